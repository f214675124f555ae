"""The bench command measures all three parts of a run; its suite all there is to know of a GPU."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pose_backbones import create_model
from pose_train.__main__ import main
from pose_train.training import parity, suite


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
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PARITY_DIR", raising=False)
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
    assert "No stored numbers (--parity DIR)" in page
    for title in tables:
        assert f"## {title}" in page


def test_a_part_that_fails_stands_in_its_row() -> None:
    def work() -> dict[str, int]:
        raise RuntimeError("out of memory\nmore")

    assert suite._tried({"network": "x"}, work) == {
        "network": "x",
        "error": "RuntimeError: out of memory",
    }


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A folder with the numbers of a tiny network, as the suite computes them today."""
    options = {"width": 4, "stem_channels": 8, "num_modules": [1, 1, 1], "num_blocks": 1}
    net = create_model("hrnet", num_keypoints=17, **options).eval()
    entries = [(name, list(tensor.shape)) for name, tensor in net.state_dict().items()]
    net.load_state_dict(parity.draw(entries, parity.topdown_rule))
    images = np.random.RandomState(3).standard_normal((2, 3, 64, 64)).astype(np.float32)
    with torch.inference_mode():
        maps = net(torch.from_numpy(images)).heatmaps[-1].numpy()
    folder = tmp_path / "numbers" / "topdown"
    contents = {
        "manifests/tiny.json": {"state_dict": entries},
        "forward/forward.json": {
            "models": {
                "tiny": {
                    "input": {"seed": 3, "shape": [2, 3, 64, 64]},
                    "head_outputs": [{"absmax": float(np.abs(maps).max())}],
                },
                "without arrays": {"head_outputs": []},
            }
        },
    }
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    np.savez(folder / "forward" / "tiny.npz", heatmaps=maps, stage0_strided4=maps[..., ::4, ::4])
    return folder.parent


def test_stored_numbers_are_compared(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARITY_DIR", str(stored))
    (case,) = suite._cases(None, small=True)
    (same,) = suite._cases(stored, small=False)
    assert case.name == same.name == "tiny"
    cpu = torch.device("cpu")
    row = suite._stored(case, cpu)
    assert row == {
        "largest difference over largest value": pytest.approx(0, abs=1e-6),
        "allowed": 1e-4,
    }
    maps, stride, largest = case.stages[0]
    assert stride == 1
    off = maps + np.float32(2e-4 * largest) * (np.arange(maps.size).reshape(maps.shape) == 5)
    row = suite._stored(case._replace(stages={0: parity.Stored(off, 1, largest)}), cpu)
    assert row["error"] == "more than allowed"
    assert row["largest difference over largest value"] == pytest.approx(2e-4, rel=1e-2)


def test_a_folder_without_numbers_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARITY_DIR", str(tmp_path))
    assert suite._cases(None, small=True) == []
    assert main(["bench", "--suite", "gpu", "--parity", str(tmp_path)]) == 2
    assert f"--parity {tmp_path}: there are no numbers of forward" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "reason"), [([], "needs a config"), (["demo"], "leave demo out")]
)
def test_bench_takes_a_config_or_the_suite(
    words: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--suite", "gpu"] if words else []
    assert main(["bench", *words, *options]) == 2
    assert reason in capsys.readouterr().err
