"""Annotations alone, without the folder of their images; and short reprs of what holds arrays."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pose_data import (
    COCO,
    BottomUp,
    DatasetError,
    GroupedBatches,
    Persons,
    TopDown,
    check,
    load_aic,
    load_coco,
    merge,
    read_image,
    synthesize,
    with_shares,
)
from pose_data.__main__ import main


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthesize(tmp_path_factory.mktemp("data") / "d", num_train=4, num_val=2)


def annotations(data: Path) -> Path:
    return data / "annotations/person_keypoints_train2017.json"


@pytest.fixture
def alone(data: Path) -> Persons:
    return load_coco(annotations(data))


def test_the_annotations_are_the_same(data: Path, alone: Persons) -> None:
    both = load_coco(annotations(data), data / "train2017")
    for name in ("ids", "image_sizes", "bbox_xyxy", "keypoints", "visible", "area"):
        np.testing.assert_array_equal(getattr(alone, name), getattr(both, name))
    assert alone.describe() == both.describe()
    assert alone.image_folder is None
    assert replace(alone, image_folder=both.image_dir).image_path(0) == both.image_path(0)


def test_what_needs_pixels_asks_for_the_folder(alone: Persons) -> None:
    wanted = r"train2017\.json was loaded without its images: give .* their image_dir"
    for needs_pixels in (
        lambda: TopDown(alone, (24, 32)),
        lambda: BottomUp(alone),
        lambda: read_image(alone, 0),
        lambda: alone.image_path(0),
        lambda: alone.image_dir,
    ):
        with pytest.raises(DatasetError, match=wanted):
            needs_pixels()


def test_merged_sets_have_images_where_all_parts_have(data: Path, alone: Persons) -> None:
    both = load_coco(annotations(data), data / "train2017")
    assert merge(both, both).image_path(0).is_file()
    joined = merge(both, alone)
    assert len(joined) == 2 * len(alone)
    with pytest.raises(DatasetError, match="without its images"):
        joined.image_path(0)


def test_sizes_must_come_from_somewhere(data: Path, tmp_path: Path) -> None:
    content = json.loads(annotations(data).read_text())
    del content["images"][2]["width"]
    file = tmp_path / "gt.json"
    file.write_text(json.dumps(content))
    assert len(load_coco(file, data / "train2017"))
    with pytest.raises(DatasetError, match=r"image 2 has no width and height: .*image_dir"):
        load_coco(file)
    assert "no-size" not in {each.slug for each in check(file)}, "check reads on without sizes"


def test_converted_files_of_aic_need_no_images(tmp_path: Path) -> None:
    root = synthesize(tmp_path / "aic", num_train=2, num_val=1, layout="aic")
    file, out = root / "keypoint_train_annotations.json", tmp_path / "coco.json"
    images = str(root / "keypoint_train_images")
    assert main(["convert", str(file), str(out), "--images", images]) == 0
    np.testing.assert_array_equal(load_aic(out).ids, load_aic(file, images).ids)
    with pytest.raises(DatasetError, match="image_dir"):
        load_aic(file)


def test_stats_takes_annotations_alone(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = []
    for more in ([], [str(data / "train2017")]):
        assert main(["stats", str(annotations(data)), *more]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]


def test_reprs_are_one_short_line(data: Path, alone: Persons) -> None:
    shares = with_shares(alone, balance="file_name").shares
    persons = replace(alone, image_folder=data / "train2017")
    batches = GroupedBatches(np.arange(5000), 4)
    for value in (alone, alone.regions, COCO, shares, batches, merge(alone, alone)):
        text = repr(value)
        assert len(text) < 200, text
        assert "\n" not in text
    assert repr(COCO) == "<Skeleton coco: 17 keypoints>"
    assert f"{len(alone)} persons in 4 images, 17 keypoints (coco)" in repr(alone)
    assert "\n" not in repr(TopDown(persons, (24, 32)))
