"""Mistakes in how to train are one sentence, and leave no run directory behind."""

from pathlib import Path

import pytest

from pose_data import synthesize
from pose_train.__main__ import main

TINY = [
    "model.options={width: 4, stem_channels: 8, num_modules: [1, 1, 1], num_blocks: 1}",
    "model.input_size=[32, 32]",
    "model.heatmap_size=null",
    "data.synthetic=null",
    "train.num_workers=0",
    "train.device=cpu",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("mistakes") / "data"
    return synthesize(out, num_train=4, num_val=1, image_size=(96, 64), seed=3)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.freeze=[bockbone]"], "train.freeze: 'bockbone' matches no parameter"),
        (["train.freeze=['*']"], "train: all parameters are frozen"),
        (["train.sync_bn=true"], "train.sync_bn needs GPUs, and train.device is cpu"),
        (["codec.blur_size=4"], "codec: "),
        (
            [
                "train.schedule=cosine",
                "train.epochs=3",
                "train.batch_size=100",
                "train.warmup_steps=3",
            ],
            "train.warmup_steps, which is 3, and the run has no more than 3 steps: 3 epochs of 1 ",
        ),
        (["train.batch_size=1"], "train.batch_size 1 leaves one sample for a batch, and hrnet at "),
        (["data.extra={more: {}}"], "data.extra.more.root is missing"),
        (["data.extra={more: {root: nowhere}}"], "data.extra.more.root nowhere does not exist"),
        (["eval.boxes=detections", "data.detections.file=none.json"], "none.json"),
        (["out=/proc/nothing/here"], "cannot create the run directory /proc/nothing/here"),
    ],
)
def test_one_sentence(
    tmp_path: Path,
    data: Path,
    capsys: pytest.CaptureFixture[str],
    overrides: list[str],
    message: str,
) -> None:
    out = tmp_path / "run"
    assert main(["run", "demo", f"data.root={data}", f"out={out}", *TINY, *overrides]) == 2
    lines = capsys.readouterr().err.splitlines()
    (sentence,) = [line for line in lines if line.startswith("pose-train: error: ")]
    assert message in sentence
    assert not any("Traceback" in line for line in lines)
    assert not out.exists()


def test_check_says_them_too(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["check", "demo", f"data.root={data}", "--out", str(tmp_path / "batch.png"), *TINY]
    assert main([*words, "train.schedule=cosine", "train.warmup_steps=999"]) == 2
    assert "train.warmup_steps, which is 999" in capsys.readouterr().err
    assert main([*words, "train.batch_size=1"]) == 2
    assert "train.batch_size 1 leaves one sample for a batch" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


DRAWN = "data.synthetic={num_train: 3, num_val: 1, image_size: [96, 64]}"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.schedule=cosine", "train.warmup_steps=500"], "train.warmup_steps, which is 500"),
        (["train.batch_size=2"], "train.batch_size 2 leaves one sample for a batch"),
    ],
)
def test_of_drawn_images_the_batches_are_known_once_they_are_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], overrides: list[str], message: str
) -> None:
    out = tmp_path / "run"
    few = ["train.epochs=2", "train.batch_size=8", "eval=null"]
    assert main(["run", "demo", f"out={out}", *TINY, DRAWN, *few, *overrides]) == 2
    assert message in capsys.readouterr().err
    assert not (out / "checkpoint_last.pth").exists()


@pytest.mark.parametrize("overrides", [["train.freeze_bn=true"], ["model.input_size=[64, 32]"]])
def test_a_batch_of_one_sample_is_trained_where_it_can_be(
    tmp_path: Path, overrides: list[str]
) -> None:
    few = ["train.epochs=1", "train.batch_size=2", "eval=null"]
    assert main(["run", "demo", f"out={tmp_path}", *TINY, DRAWN, *few, *overrides]) == 0
