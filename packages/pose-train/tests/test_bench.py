"""The bench command measures all three parts of a run."""

import pytest

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
