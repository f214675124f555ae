"""`pose-train init`: a file of one's own in, a config that loads out."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from pose_data import DatasetError, load_coco, synthesize
from pose_data.skeleton import with_flip_pairs
from pose_data.synthetic.synthesize import custom_skeleton
from pose_train import load_config
from pose_train.config.schema import ConfigError
from pose_train.inference.load import published_skeleton
from pose_train.recipes.data import load_main
from pose_train.recipes.starter import starter_config
from pose_train.recipes.topdown import build


@pytest.fixture(scope="module", params=[5, 9])
def own(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("own") / "data"
    skeleton = custom_skeleton(request.param)
    return synthesize(out, num_train=3, num_val=2, image_size=(96, 72), skeleton=skeleton)


def written(tmp_path: Path, text: str) -> Any:
    path = tmp_path / "my.yaml"
    path.write_text(text)
    return load_config(path)


def test_two_sets(own: Path, tmp_path: Path) -> None:
    train, val = (own / f"annotations/person_keypoints_{s}2017.json" for s in ("train", "val"))
    text = starter_config(train, val=val)
    config = written(tmp_path, text)
    assert config.recipe == "topdown"
    assert config.data.root == str(own.resolve())
    assert config.data.train.images == "train2017"
    assert config.data.val.annotations == "annotations/person_keypoints_val2017.json"
    names = json.loads(train.read_text())["categories"][0]["keypoints"]
    comment = " ".join(text.replace("#  ", "").split())
    assert f"{len(names)} keypoints: {', '.join(names)}." in comment
    loaded = load_coco(train, own / "train2017").skeleton
    assert config.data.flip_pairs is not None
    assert "  flip_pairs: [[left_shoulder, right_shoulder], [left_hip, right_hip]" in text
    assert with_flip_pairs(loaded, config.data.flip_pairs) is loaded
    assert len(text.splitlines()) < 60
    assert max(map(len, text.splitlines())) <= 100 + len(str(own))


@pytest.mark.parametrize(
    ("model", "recipe", "sizes"),
    [
        ("hourglass52", "topdown", (64, 64)),
        ("cpm", "topdown", (24, 32)),
        ("higherhrnet_w32", "bottomup", ((128, 128), (256, 256))),
    ],
)
def test_every_family(own: Path, tmp_path: Path, model: str, recipe: str, sizes: Any) -> None:
    text = starter_config(own / "annotations/person_keypoints_train2017.json", model=model)
    config = written(tmp_path, text)
    assert config.recipe == recipe
    if model == "cpm":  # its shape follows the persons', which are drawn
        assert config.model.heatmap_size is not None
        assert [side * 8 for side in config.model.heatmap_size] == list(config.model.input_size)
    else:
        assert (config.model.heatmap_size or config.model.heatmap_sizes) == sizes
    assert "Nothing is kept aside" in text
    assert config.data.val == config.data.train


def test_training_starts_from_weights_of_the_zoo(own: Path, tmp_path: Path) -> None:
    file = own / "annotations/person_keypoints_train2017.json"
    text = starter_config(file)
    config = written(tmp_path, text)
    assert config.model.name == "hrnet_w32"
    assert config.model.weights == "hrnet_w32_coco_256x192"
    assert config.model.reinit_head
    comment = " ".join(text.replace("  #", "").split())
    assert "`pose-train zoo fetch hrnet_w32_coco_256x192` downloads them" in comment
    assert "persons are few: --model hrnet_small needs fewer." in comment
    for model, size, row in [
        ("hourglass52", (384, 384), "hourglass52_coco_384x384"),
        ("cpm", None, "cpm_coco_256x192"),
        ("higherhrnet_w48", None, "higherhrnet_w48_coco_512x512"),
        ("hrnet_w48", None, "hrnet_w48_coco_256x192"),
    ]:
        config = written(tmp_path, starter_config(file, model=model, input_size=size))
        assert config.model.weights == row
    text = starter_config(file, model="hrnet_w48_ae")
    assert written(tmp_path, text).model.weights is None
    assert "no published weights of hrnet_w48_ae" in text


def test_a_small_network_for_few_instances(own: Path, tmp_path: Path) -> None:
    text = starter_config(own / "annotations/person_keypoints_train2017.json", model="hrnet_small")
    config = written(tmp_path, text)
    assert config.model.name == "hrnet"
    assert config.model.weights is None
    large = written(tmp_path, starter_config(own / "annotations/person_keypoints_train2017.json"))
    assert config.model.input_size == tuple(side // 2 for side in large.model.input_size)
    assert config.train.epochs > large.train.epochs
    net, codec = build(config, 5)
    assert codec.heatmap_size == config.model.heatmap_size
    assert sum(parameter.numel() for parameter in net.parameters()) < 1e6


def test_sigmas_of_other_names_than_cocos_are_shown(tmp_path: Path) -> None:
    path = write_animals(tmp_path, ["nose", "tail"])
    text = starter_config(path)
    assert "sigmas: {tail: 0.067}" in " ".join(text.split())
    line = "  flip_pairs: []\n"
    assert line in text
    config = written(tmp_path, text.replace(line, f"{line}  sigmas: {{tail: 0.2}}\n"))
    skeleton = load_main(tmp_path.parent, config.data, config.data.val).skeleton
    assert skeleton.sigmas == (0.026, 0.2)
    assert published_skeleton(config.data, load_coco(path, tmp_path).skeleton).sigmas[1] == 0.2


def write_animals(folder: Path, *keypoints: list[str], name: str = "my.json") -> Path:
    """Write a file with one animal of each category, in a picture beside it."""
    folder.mkdir(exist_ok=True)
    (folder / "x.jpg").touch()
    content = {
        "images": [{"id": 1, "file_name": "x.jpg", "width": 50, "height": 50}],
        "categories": [
            {"id": i, "name": f"animal {i}", "keypoints": names}
            for i, names in enumerate(keypoints, start=1)
        ],
        "annotations": [
            {
                "id": i,
                "image_id": 1,
                "category_id": i,
                "bbox": [1, 1, 30, 20],
                "keypoints": [9, 9, 2] * len(names),
            }
            for i, names in enumerate(keypoints, start=1)
        ],
    }
    path = folder / name
    path.write_text(json.dumps(content))
    return path


def test_keypoints_without_sides_are_not_flipped(tmp_path: Path) -> None:
    path = write_animals(tmp_path, ["head", "middle", "tail"])
    config = written(tmp_path, starter_config(path))
    assert config.data.flip_pairs == ()
    assert not config.eval.flip_test
    assert config.train.augment.flip_prob == 0.0
    assert config.model.input_size == (256, 192)
    config = written(tmp_path, starter_config(path, model="higherhrnet_w32"))
    assert not config.eval.flip_test
    assert config.train.scene.flip_prob == 0.0


@pytest.mark.parametrize("count", [1, 50])
def test_any_number_of_keypoints_by_any_name(tmp_path: Path, count: int) -> None:
    path = write_animals(tmp_path, [f"left {i}: '#{i}' \"\u00fc\"" for i in range(count)])
    text = starter_config(path)
    config = written(tmp_path, text)
    assert config.data.train.annotations == f"{tmp_path.name}/my.json"
    assert f"# {count} keypoint{'s' * (count > 1)}: left 0: '#0' \"\u00fc\"" in text
    assert max(map(len, text.splitlines())) <= 100 + len(str(tmp_path))
    assert config.eval.flip_test == (count == 1), "one keypoint alone mirrors itself"


def test_what_a_mirror_exchanges_stands_where_it_can_be_corrected(tmp_path: Path) -> None:
    pairs = [("左眼", "右眼"), ("yes_l", "yes_r"), ("LF: x", "RF: x"), ("p]' \"L", "p]' \"R")]
    path = write_animals(tmp_path, ["left_foot", *(name for pair in pairs for name in pair)])
    text = starter_config(path)
    assert "  # Without a partner: left_foot.\n  flip_pairs: [[左眼, 右眼], [yes_l, yes_r]" in text
    config = written(tmp_path, text)
    assert config.data.flip_pairs == tuple(pairs)
    published = published_skeleton(config.data, load_coco(path, tmp_path).skeleton)
    assert published.flip_pairs == ((1, 2), (3, 4), (5, 6), (7, 8))
    changed = dataclasses.replace(config.data, flip_pairs=(("left_foot", "左眼"),))
    assert published_skeleton(changed, published).flip_pairs == ((0, 1),)


def test_several_categories(tmp_path: Path) -> None:
    path = write_animals(tmp_path, ["nose", "tail"], ["nose", "left_ear", "right_ear"])
    with pytest.raises(DatasetError, match=r"several skeletons \(animal 1 .*data\.categories"):
        starter_config(path)
    text = starter_config(path, categories=["animal 2"])
    assert "3 keypoints: nose, left_ear, right_ear." in text
    assert written(tmp_path, text).data.categories == ("animal 2",)
    content = json.loads(path.read_text())
    content["annotations"].pop()  # the second is not used now
    path.write_text(json.dumps(content))
    assert "2 keypoints: nose, tail." in starter_config(path)
    path = write_animals(tmp_path, ["nose", "tail"], ["nose", "tail"])
    # Of two categories with one skeleton.
    assert "2 instances of animal 1, animal 2, 1 images" in starter_config(path)


def test_files_of_other_tools_are_named(tmp_path: Path) -> None:
    (tmp_path / "export.zip").write_bytes(b"PK\x03\x04 and more")
    with pytest.raises(DatasetError, match="is a packed archive: unpack it"):
        starter_config(tmp_path / "export.zip")


def test_two_sets_may_share_their_pictures(tmp_path: Path) -> None:
    """As `pose-data split` leaves them."""
    train = write_animals(tmp_path / "pictures", ["head", "tail"], name="a.json")
    val = write_animals(tmp_path / "pictures", ["head", "tail"], name="b.json")
    for path in (train, val):
        path.rename(tmp_path / path.name)
    lists = tmp_path / "a.json", tmp_path / "b.json"
    config = written(tmp_path, starter_config(lists[0], tmp_path / "pictures", lists[1]))
    assert config.data.train.images == config.data.val.images == "pictures"
    assert config.data.val.annotations == "b.json"
    with pytest.raises(ConfigError, match="--val-images belongs to --val"):
        starter_config(lists[0], tmp_path / "pictures", None, tmp_path / "pictures")
    content = lists[1].read_text()
    lists[1].write_text(content.replace("x.jpg", "nowhere.jpg"))
    with pytest.raises(
        ConfigError, match=r"nowhere\.jpg is in no folder near .*b\.json: give --val-images"
    ):
        starter_config(lists[0], tmp_path / "pictures", lists[1])
    other = write_animals(tmp_path / "pictures", ["tail", "head"], name="c.json")
    with pytest.raises(ConfigError, match=r"c\.json has other keypoints than .*a\.json"):
        starter_config(lists[0], tmp_path / "pictures", other)


def test_mistakes_are_named(own: Path, tmp_path: Path) -> None:
    file = own / "annotations/person_keypoints_train2017.json"
    with pytest.raises(ConfigError, match="--model vitpose: there are hrnet_small, cpm, "):
        starter_config(file, model="vitpose")
    with pytest.raises(ConfigError, match="--model hrnet_smal: did you mean hrnet_small"):
        starter_config(file, model="hrnet_smal")
    with pytest.raises(ConfigError, match="multiples of 32, got 100x100"):
        starter_config(file, input_size=(100, 100))
    with pytest.raises(ConfigError, match="multiples of 128, got 96x96"):
        starter_config(file, model="hourglass52", input_size=(96, 96))
    with pytest.raises(ConfigError, match="--input-size must be above 0, got 0 0"):
        starter_config(file, input_size=(0, 0))
    lonely = tmp_path / "far/from/images/lonely.json"
    lonely.parent.mkdir(parents=True)
    lonely.write_bytes(file.read_bytes())
    with pytest.raises(ConfigError, match=r"in no folder near .*give --images"):
        starter_config(lonely)
    lonely.write_text("[]")
    with pytest.raises(ConfigError, match="no COCO annotation file"):
        starter_config(lonely)
