"""merge and combine: joints by name, pictures of several folders, ratios."""

import json
from pathlib import Path

import numpy as np
import pytest

from pose_data import (
    AIC,
    COCO,
    COCO_AIC,
    CROWDPOSE,
    MPII,
    DatasetError,
    Persons,
    Skeleton,
    combine,
    epoch_rows,
    load_coco,
    merge,
)
from pose_data.combine import union


def persons(folder: Path, skeleton: Skeleton, count: int = 3, first_id: int = 1) -> Persons:
    """Load `count` persons whose keypoint k is at (k + 1, 2 k + id), in two pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 100, "height": 90} for i in (1, 2)]
    rows = []
    for number in range(first_id, first_id + count):
        points = [
            v for k in range(skeleton.num_keypoints) for v in (k + 1, 2 * k + number, 1 + k % 2)
        ]
        rows.append(
            {
                "id": number,
                "image_id": 1 + number % 2,
                "category_id": 1,
                "bbox": [1, 1, 50, 60],
                "area": 900,
                "iscrowd": 0,
                "num_keypoints": skeleton.num_keypoints,
                "keypoints": points,
            }
        )
    crowd = {
        **rows[0],
        "id": 99,
        "iscrowd": 1,
        "num_keypoints": 0,
        "segmentation": [[1, 1, 9, 1, 9, 9]],
    }
    category = {"id": 1, "name": skeleton.name, "keypoints": skeleton.keypoints}
    content = {"images": images, "annotations": [crowd, *rows], "categories": [category]}
    file = folder / f"{skeleton.name}.json"
    file.write_text(json.dumps(content))
    return load_coco(file, folder, skeleton=skeleton)


def test_merge(tmp_path: Path) -> None:
    coco, aic = persons(tmp_path / "coco", COCO), persons(tmp_path / "more/aic", AIC, 4)
    both = merge(coco, aic)
    assert both.skeleton is COCO
    assert len(both) == 7
    assert both.source_index.tolist() == [0] * 3 + [1] * 4
    np.testing.assert_array_equal(both.keypoints[:3], coco.keypoints)
    for k, name in enumerate(COCO.keypoints):
        if name in AIC.keypoints:
            source = AIC.keypoints.index(name)
            np.testing.assert_array_equal(both.keypoints[3:, k], aic.keypoints[:, source])
            np.testing.assert_array_equal(both.visible[3:, k], aic.visible[:, source])
        else:
            assert not both.visible[3:, k].any()
            assert not both.keypoints[3:, k].any()
    assert both.image_path(0) == coco.image_path(0)
    assert both.image_path(6) == aic.image_path(3)
    assert both.where(0) == f"{coco.annotation_file} annotation id {coco.ids[0]}"
    assert both.where(6) == f"{aic.annotation_file} annotation id {aic.ids[3]}"
    assert both.describe().splitlines() == [
        "coco.json: 3 instances in 2 images",
        "aic.json: 4 instances in 2 images",
        "together: 7 instances, 17 keypoints",
    ]


def test_regions_of_both_stay_with_their_pictures(tmp_path: Path) -> None:
    coco, aic = persons(tmp_path / "coco", COCO), persons(tmp_path / "aic", AIC, 4)
    both = combine(coco, aic).regions
    assert both is not None
    assert both.keypoints.shape == (9, 19, 2)
    assert both.is_crowd.tolist() == [True, False, False, False, True] + [False] * 4
    assert both.image_index[4] == 2 + aic.regions.image_index[0]  # type: ignore[union-attr]
    assert both.rles(4, (100, 90)) == coco.regions.rles(0, (100, 90))  # type: ignore[union-attr]
    assert both.rles(1, (100, 90)) == []


def test_combine_gives_the_union(tmp_path: Path) -> None:
    coco, aic = persons(tmp_path / "coco", COCO), persons(tmp_path / "aic", AIC)
    both = combine(coco, aic)
    assert both.skeleton is COCO_AIC
    assert not both.visible[:3, 17:].any()
    assert both.visible[3:, 17:].all()
    np.testing.assert_array_equal(both.keypoints[3:, 17], aic.keypoints[:, 12])


def test_any_two_skeletons() -> None:
    joined = union(COCO, MPII)
    assert joined.keypoints[:17] == COCO.keypoints
    assert set(joined.keypoints[17:]) == {"pelvis", "thorax", "upper_neck", "head_top"}
    assert joined.flip_pairs == COCO.flip_pairs
    assert joined.links[: len(COCO.links)] == COCO.links
    names = [{joined.keypoints[a], joined.keypoints[b]} for a, b in joined.links[len(COCO.links) :]]
    assert {"upper_neck", "head_top"} in names
    assert {"right_hip", "pelvis"} in names
    assert sorted(joined.upper_body + joined.lower_body) == list(range(21))
    assert joined.keypoints.index("pelvis") in joined.lower_body
    assert len(joined.sigmas) == 21
    same = {"head_top": "top_head"}
    assert union(AIC, CROWDPOSE, same) == AIC
    assert union(AIC, CROWDPOSE).keypoints[14:] == ("top_head",)


def test_joints_of_other_names_and_between_two(tmp_path: Path) -> None:
    crowdpose, coco = persons(tmp_path / "c", CROWDPOSE), persons(tmp_path / "coco", COCO)
    assert not merge(crowdpose, skeleton=AIC).visible[:, 12].any()
    renamed = merge(crowdpose, skeleton=AIC, same={"head_top": "top_head"})
    np.testing.assert_array_equal(renamed.keypoints[:, 12], crowdpose.keypoints[:, 12])
    middle = {"neck": ("left_shoulder", "right_shoulder")}
    necks = merge(coco, skeleton=AIC, same=middle)
    np.testing.assert_allclose(necks.keypoints[:, 13], coco.keypoints[:, [5, 6]].mean(axis=1))
    assert (necks.visible[:, 13] == coco.visible[:, [5, 6]].min(axis=1)).all()


def test_epochs_by_ratio(tmp_path: Path) -> None:
    a, b = persons(tmp_path / "a", COCO, 10), persons(tmp_path / "b", AIC, 8)
    both = merge(a, b, ratios=(1, 0.5))
    rows = epoch_rows(both, np.random.default_rng(0))
    assert rows[:10].tolist() == list(range(10))
    assert len(set(rows[10:].tolist())) == 4
    assert all(10 <= row < 18 for row in rows[10:])
    assert (rows != epoch_rows(both, np.random.default_rng(1))).any()
    more = epoch_rows(merge(a, b, ratios=(0, 2.25)), np.random.default_rng(0))
    counts = np.bincount(more, minlength=18)
    assert not counts[:10].any()
    assert sorted(counts[10:].tolist()) == [2] * 6 + [3] * 2
    assert epoch_rows(a, np.random.default_rng(0)).tolist() == list(range(10))
    assert "0.5 x per epoch" in both.describe()


def test_mistakes(tmp_path: Path) -> None:
    coco = persons(tmp_path / "coco", COCO)
    mouse = Skeleton("mouse", ("snout", "tail"), (), (), (), (), (0.05, 0.05))
    mice = persons(tmp_path / "mice", mouse)
    with pytest.raises(DatasetError, match=r"mouse\.json \(snout, tail\) shares no keypoint with"):
        merge(coco, mice)
    assert combine(coco, mice).skeleton.num_keypoints == 19
    with pytest.raises(DatasetError, match="ratios must be 2 numbers >= 0"):
        merge(coco, coco, ratios=(1, -1))
    with pytest.raises(DatasetError, match="ratios must be 2 numbers"):
        merge(coco, coco, ratios=(1,))
    with pytest.raises(DatasetError, match="nothing to merge"):
        merge()
    with pytest.raises(DatasetError, match="all sources at once"):
        merge(merge(coco, coco), coco)
