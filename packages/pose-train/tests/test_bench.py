"""The bench command measures all three parts of a run; its suite all there is to know of a GPU."""

import json
from pathlib import Path

import pytest
import torch

from pose_train.__main__ import main


@pytest.mark.parametrize("overrides", [[], ["train.amp=fp16", "train.num_workers=1"]])
def test_bench(capsys: pytest.CaptureFixture[str], overrides: list[str]) -> None:
    tiny = [
        "model.options={width: 4, stem_channels: 8, num_modules: [1, 1, 1], num_blocks: 1}",
        "model.input_size=[32, 32]",
        "model.heatmap_size=null",
        "data.synthetic={num_train: 4, num_val: 1, image_size: [96, 64]}",
        "train.batch_size=2",
        "train.num_workers=0",
        "train.device=cpu",
    ]
    assert main(["bench", "demo", *tiny, *overrides, "--seconds", "0.2"]) == 0
    lines = capsys.readouterr().out.splitlines()[-4:]
    speeds = {line.split()[0]: float(line.split()[1]) for line in lines[:3]}
    assert list(speeds) == ["loader", "step", "both"]
    assert all(speed > 0 for speed in speeds.values())
    slower = "loader" if speeds["loader"] < speeds["step"] else "step"
    assert lines[3] == f"the {slower} is the bottleneck"


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU it takes twenty minutes")
def test_suite_runs_every_part_without_a_gpu(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "--suite", "gpu", "--out", str(tmp_path)]) == 0
    (file,) = tmp_path.glob("gpu-suite-*.json")
    tables = json.loads(file.read_text())
    rows = [row for table in tables.values() for row in table]
    assert len(tables) == 6
    assert not any("error" in row for row in rows)
    assert all(row["step, images/s"] > 0 for row in tables["Training step"])
    page = file.with_suffix(".md").read_text()
    assert page in capsys.readouterr().out
    assert "No GPU" in page
    for title in tables:
        assert f"## {title}" in page


def test_a_part_that_fails_stands_in_its_row() -> None:
    from pose_train.training.suite import _tried

    def work() -> dict[str, int]:
        raise RuntimeError("out of memory\nmore")

    assert _tried({"network": "x"}, work) == {
        "network": "x",
        "error": "RuntimeError: out of memory",
    }


@pytest.mark.parametrize(
    ("words", "reason"), [([], "needs a config"), (["demo"], "leave demo out")]
)
def test_bench_takes_a_config_or_the_suite(
    words: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--suite", "gpu"] if words else []
    assert main(["bench", *words, *options]) == 2
    assert reason in capsys.readouterr().err
