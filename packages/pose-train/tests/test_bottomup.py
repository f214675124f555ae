"""The bottom-up recipe on drawn pictures: what a run leaves, what it learns, how it resumes."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

import pose_codecs.torch
from pose_backbones import PoseOutput
from pose_codecs import AssociativeEmbedding
from pose_data import Persons, keypoints_to_image, load_coco, synthesize
from pose_data.samples.crop import transform_points
from pose_data.samples.scene import Resized, resize_for_test
from pose_eval import evaluate
from pose_train.__main__ import main
from pose_train.config.load import load_config
from pose_train.config.schema import Config, ConfigError, Data, Model, Train
from pose_train.distributed import Ranks
from pose_train.inference.bottomup import Scene, merge_maps, scene_rows
from pose_train.recipes import bottomup
from pose_train.recipes.data import load_sets
from pose_train.training import loop

CPU = torch.device("cpu")

TINY = """
recipe: bottomup
model:
  name: higherhrnet
  options: {width: 4, stem_channels: 8, num_modules: [1, 1, 1], num_blocks: 1}
  input_size: [64, 64]
train: {epochs: 2, batch_size: 3, lr: 1e-3, warmup_steps: 2, num_workers: 0, device: cpu}
eval: {every: 1, batch_size: 2}
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn set that the tests read: 8 pictures to train on, 3 batches."""
    out = tmp_path_factory.mktemp("bottomup") / "data"
    return synthesize(out, num_train=8, num_val=3, image_size=(96, 64), seed=3)


@pytest.fixture
def config_file(tmp_path: Path, data: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(f"data: {{root: {data}}}\n{TINY}")
    return path


def records(run_dir: Path) -> list[dict[str, Any]]:
    lines = (run_dir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize(
    "overrides",
    [
        ["eval.multi_scale=[2, 1]", "train.num_workers=1"],
        ["model.options.tag_per_keypoint=false", "train.amp=bf16", "train.freeze=[backbone]"],
    ],
)
def test_a_run_leaves_everything(config_file: Path, tmp_path: Path, overrides: list[str]) -> None:
    out = tmp_path / "run"
    assert main(["run", str(config_file), f"out={out}", *overrides]) == 0
    kinds = [record["kind"] for record in records(out)]
    assert kinds == ["train", "val"] * (len(kinds) // 2)
    trained = [record for record in records(out) if record["kind"] == "train"]
    assert all(np.isfinite(record["loss"]) for record in trained)
    for record in trained:
        parts = [record[f"{name}_loss"] for name in ("heatmap", "push", "pull")]
        assert min(parts) >= 0
        assert min(parts[:2]) > 0
        assert sum(parts) == pytest.approx(record["loss"], rel=1e-5)
    rows = json.loads((out / "results.json").read_text())
    assert all(len(row["keypoints"]) == 51 for row in rows)
    assert (out / "report.html").stat().st_size > 0
    checkpoint = torch.load(out / "checkpoint_last.pth", weights_only=True)
    assert all(torch.isfinite(t).all() for t in checkpoint["state_dict"].values())


@pytest.mark.parametrize(
    "options",
    [
        ["train.ema=0.9", "train.accumulate=2"],
        ["train.ema=0.9", "data.weight=id", "train.scene.colour.p=1", "train.scene.noise={}"],
    ],
)
def test_resumed_equals_uninterrupted(
    options: list[str], config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main(["run", str(config_file), f"out={whole}", *options]) == 0
    with monkeypatch.context() as patch:
        original = loop.batch_losses

        def asked(*args: Any) -> Any:
            patch.setattr(loop, "batch_losses", original)  # once
            os.kill(os.getpid(), signal.SIGTERM)
            return original(*args)

        patch.setattr(loop, "batch_losses", asked)
        assert main(["run", str(config_file), f"out={parts}", *options]) == 0
    assert not (parts / "results.json").exists()
    assert main(["resume", str(parts)]) == 0
    files = [path / "checkpoint_last.pth" for path in (whole, parts)]
    one, other = (torch.load(file, weights_only=True) for file in files)
    for part in ("state_dict", "train_state_dict"):
        assert all(torch.equal(t, other[part][name]) for name, t in one[part].items())
    same = ("kind", "epoch", "step", "lr", "loss", "heatmap_loss", "push_loss", "pull_loss", "AP")
    for a, b in zip(records(whole), records(parts), strict=True):
        assert [a.get(key) for key in same] == [b.get(key) for key in same]
    assert (whole / "results.json").read_text() == (parts / "results.json").read_text()


def test_ratios_draw_the_pictures_of_each_source(
    config_file: Path, data: Path, tmp_path: Path
) -> None:
    """Of 8 pictures two rounds and of 6 a half: 8 + 8 + 3 samples in an epoch, half of them new."""
    other = synthesize(tmp_path / "other", num_train=6, num_val=1, image_size=(96, 64), seed=4)
    extra = f"data.extra={{more: {{root: {other}, ratio: 0.5}}}}"
    config = load_config(config_file, [extra, "data.ratio=2", "train.epochs=1"])
    sets = load_sets(config.data, config.eval, data, "images")
    _, codec = bottomup.build(config, 17)
    dataset = bottomup.samples(config, sets.train, codec, CPU, True)
    batches = bottomup.batches(config, dataset, Ranks())
    drawn = []
    for batches.epoch in (1, 2):
        keys = [key for batch in batches for key in batch]
        counts = np.bincount([index for _, index, _ in keys], minlength=14)
        assert counts[:8].tolist() == [2] * 8
        assert sorted(counts[8:]) == [0, 0, 0, 1, 1, 1]
        assert {repeat for _, index, repeat in keys if index == 0} == {0, 1}
        drawn.append(counts.tolist())
    assert drawn[0] != drawn[1]
    first, again = (dataset[(1, 0, repeat)]["image"] for repeat in (0, 1))
    assert (first != again).any(), "augmented anew"
    out = tmp_path / "run"
    command = ["run", str(config_file), f"out={out}", extra, "data.ratio=2", "train.epochs=1"]
    assert main(command) == 0
    assert records(out)[0]["step"] == 7


def test_groups_of_whole_images_come_equally_often(
    config_file: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of 8 images 2 are of one camera; of the extra source, without cameras, half comes."""
    root = tmp_path / "cameras"
    shutil.copytree(data, root)
    file = root / "annotations/person_keypoints_train2017.json"
    content = json.loads(file.read_text())
    for i, image in enumerate(content["images"]):
        image["camera"] = "left" if i < 2 else "right"
    file.write_text(json.dumps(content))
    options = [f"data.root={root}", f"data.extra={{more: {{root: {data}, ratio: 0.5}}}}"]
    options += ["data.balance=camera", "train.epochs=1"]
    config = load_config(config_file, options)
    sets = load_sets(config.data, config.eval, root, "images")
    _, codec = bottomup.build(config, 17)
    dataset = bottomup.samples(config, sets.train, codec, CPU, True)
    for world_size in (1, 2):
        ranks = [Ranks(rank, world_size) for rank in range(world_size)]
        batches = [bottomup.batches(config, dataset, each) for each in ranks]
        drawn = [key for own in batches for batch in own for key in batch]
        counts = np.bincount([index for _, index, _ in drawn], minlength=16)
        assert [counts[:2].sum(), counts[2:8].sum(), counts[8:].sum()] == [4, 4, 4]
        assert len(set(drawn)) == 12, "drawn again with the next repeat"
    out = tmp_path / "run"
    assert main(["run", str(config_file), f"out={out}", *options]) == 0
    assert records(out)[0]["step"] == 4
    printed = capsys.readouterr().out
    assert "  balanced by camera of images: 2 groups of images\n" in printed
    assert "    smallest, left: 2 -> 4 samples an epoch\n" in printed


def two_samples(config: Config, persons: Persons, codec: AssociativeEmbedding) -> dict[str, Any]:
    dataset = bottomup.samples(config, persons, codec, CPU, True)
    batch: dict[str, Any] = torch.utils.data.default_collate([dataset[0], dataset[1]])
    return batch


def test_targets_made_on_the_device_are_the_same(
    config_file: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(config_file)
    net, codec = bottomup.build(config, 17)
    persons = load_coco(data / "annotations/person_keypoints_train2017.json", data / "train2017")
    losses = []
    for on_device in (False, True):
        monkeypatch.setattr(bottomup, "_encodes_on", lambda _, chosen=on_device: chosen)
        batch = two_samples(config, persons, codec)
        assert batch["indices"][0].ndim == (3 if on_device else 4)
        losses.append(loop.batch_losses(config, net, codec, batch, CPU))
    torch.testing.assert_close(losses[0], losses[1], rtol=0, atol=0)


def test_it_learns_one_picture(config_file: Path, data: Path) -> None:
    """Heatmaps come to look like their targets, and the tags of a person like each other."""
    config = load_config(config_file)
    torch.manual_seed(0)
    net, codec = bottomup.build(config, 17)
    assert codec.heatmap_sizes == ((16, 16), (32, 32))
    assert codec.tag_per_keypoint
    persons = load_coco(data / "annotations/person_keypoints_train2017.json", data / "train2017")
    batch = two_samples(config, persons, codec)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    net.train()
    losses = []
    for _ in range(25):
        loss = loop.batch_losses(config, net, codec, batch, CPU)
        optimizer.zero_grad()
        loss["loss"].backward()
        optimizer.step()
        losses.append(loss)
    assert losses[-1]["heatmap_loss"] < 0.5 * losses[0]["heatmap_loss"]
    assert losses[-1]["push_loss"] < losses[0]["push_loss"]


def test_processes_share_the_pictures_and_find_the_same(
    config_file: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(config_file, ["eval.batch_size=1"])
    torch.manual_seed(0)
    net, codec = bottomup.build(config, 17)
    for parameter in net.head.final_layers.parameters():  # type: ignore[union-attr]
        torch.nn.init.normal_(parameter)  # so that it sees people
    monkeypatch.setattr(torch.nn.BatchNorm2d, "forward", None)  # they are in the convolutions
    val = load_coco(data / "annotations/person_keypoints_val2017.json", data / "val2017")

    def rows_of(ranks: Ranks) -> list[dict[str, Any]]:
        return bottomup.predict(config, net, codec, val.skeleton, val, val, ranks, CPU)

    alone = rows_of(Ranks())
    parts: list[Any] = []

    def gather(scenes: Any, _: Ranks) -> list[Any]:
        parts.append(scenes)
        return list(parts)

    monkeypatch.setattr(bottomup, "gather", gather)
    rows_of(Ranks(0, 2))
    assert rows_of(Ranks(1, 2)) == alone
    assert [len(part) for part in parts] == [1, 2]
    assert {row["image_id"] for row in alone} == set(val.image_ids.tolist())


def test_stages_share_targets_of_their_size() -> None:
    model = Model("hourglass_ae", (64, 64), options={"num_stacks": 2})
    net, codec = bottomup.build(config_of(model), 3)
    assert codec.heatmap_sizes == ((16, 16),)
    with torch.no_grad():
        output = net(torch.zeros(1, 3, 64, 64))
    assert len(output.heatmaps) == 2
    maps, visible = torch.zeros(1, 3, 16, 16), torch.zeros(1, 30, 3, 2, dtype=torch.int32)
    targets = {"heatmaps": [maps], "masks": [maps[:, 0] > -1], "indices": [visible]}
    loss = bottomup.loss(config_of(model), codec, output, targets)
    expected = sum(float(each.square().mean()) for each in output.heatmaps)
    assert float(loss["heatmap_loss"]) == pytest.approx(expected, rel=1e-5)


def config_of(model: Model) -> Config:
    train = Train(epochs=1, batch_size=1, lr=1e-3, device="cpu")
    return Config(data=Data(root="nowhere"), model=model, train=train, recipe="bottomup")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Model("hrnet", (64, 64), options={"width": 4}), "hrnet is a top-down network"),
        (Model("higherhrnet", (64, 60), options={"width": 4}), "model: .*32"),
        (
            Model("higherhrnet", (64, 64), heatmap_sizes=((16, 16),), options={"width": 4}),
            r"heatmap_sizes is \[\[16, 16\]\], but .* \[\[16, 16\], \[32, 32\]\]",
        ),
    ],
)
def test_networks_that_do_not_fit_are_errors(model: Model, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        bottomup.build(config_of(model), 17)


def test_scales_without_1_are_an_error(config_file: Path) -> None:
    with pytest.raises(ConfigError, match=r"must hold 1, .* got \[2.0, 0.5\]"):
        load_config(config_file, ["eval.multi_scale=[2, 0.5]"])


def test_a_codec_that_cannot_be_is_an_error_before_there_is_a_directory(
    config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main(["run", str(config_file), f"out={out}", "grouping.max_instances=0"]) == 2
    assert "grouping.max_instances must be at least 1, got 0" in capsys.readouterr().err
    assert not out.exists()


def perfect_maps(persons: Persons, picture: int, resized: Resized) -> PoseOutput:
    """Return the targets of a test picture as if a network had made them, tags 5, 10, 15 ..."""
    assert persons.regions is not None
    rows = np.flatnonzero(persons.regions.image_index == picture)
    keypoints = transform_points(persons.regions.keypoints[rows], resized.matrix())
    visible = persons.regions.visible[rows]
    w, h = (side // 4 for side in resized.size)
    codec = AssociativeEmbedding((192, 192), ())
    coarse, indices = bottomup.encode_targets(codec, keypoints / 4, visible, (w, h))
    fine, _ = bottomup.encode_targets(codec, keypoints / 2, visible, (2 * w, 2 * h))
    tags = np.zeros(coarse.size, np.float32)
    for person, entries in enumerate(indices, start=1):
        tags[entries[entries[:, 1] > 0, 0]] = 5 * person
    tags = cv2.dilate(tags.reshape(coarse.shape).transpose(1, 2, 0), np.ones((5, 5)))
    maps = torch.from_numpy(coarse), torch.from_numpy(fine)
    return PoseOutput(maps, (torch.from_numpy(tags.transpose(2, 0, 1).copy()),))


def test_perfect_maps_give_nearly_perfect_people(tmp_path: Path) -> None:
    """From annotations to targets and back to annotations: no step is half a pixel off."""
    root = synthesize(tmp_path / "data", num_train=1, num_val=6, image_size=(240, 192), seed=0)
    annotations = root / "annotations" / "person_keypoints_val2017.json"
    persons = load_coco(annotations, root / "val2017")
    codec = AssociativeEmbedding((192, 192), [])
    scenes = []
    for i, (width, height) in enumerate(persons.image_sizes.tolist()):
        resized = resize_for_test((width, height), 192)
        looks = [[perfect_maps(persons, i, resized)]]
        heatmaps, tags = merge_maps(pose_codecs.torch, looks, [1.0], resized.size)
        people = codec.decode(heatmaps.numpy(), tags.numpy())
        keypoints = keypoints_to_image(
            people.keypoints, resized.center, resized.scale, resized.size
        )
        image_id = int(persons.image_ids[i])
        scenes.append(Scene(i, image_id, keypoints, people.scores, people.person_scores))
    assert evaluate(scene_rows(scenes), annotations).stats["AP"] > 0.95
