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
