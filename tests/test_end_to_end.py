"""The whole program on tiny data: what a run leaves behind, and how it refuses."""

import json
from pathlib import Path

import pytest
import torch

from pose_data import synthesize
from pose_eval import evaluate
from pose_train import load_config
from pose_train.__main__ import main

TINY = [
    "model.options={width: 8, stem_channels: 8, num_modules: [1, 1, 1], num_blocks: 1}",
    "model.input_size=[64, 64]",
    "model.heatmap_size=[16, 16]",
    "train.epochs=2",
    "train.batch_size=8",
    "train.lr_steps=[]",
    "eval.every=1",
]


def run(out: Path, *overrides: str) -> int:
    return main(["run", "demo", f"out={out}", *TINY, *overrides])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn dataset that the tests may read but not change."""
    out = tmp_path_factory.mktemp("coco") / "data"
    return synthesize(out, num_train=8, num_val=4, image_size=(128, 96), seed=1)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_run_leaves_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], num_workers: int
) -> None:
    out = tmp_path / "run"
    small = "data.synthetic={num_train: 8, num_val: 4, image_size: [128, 96]}"
    assert run(out, small, f"train.num_workers={num_workers}") == 0

    printed = capsys.readouterr()
    last = printed.out.splitlines()[-1]
    assert f"pose-train predict {out} IMAGE.jpg --out drawn/" in printed.err.splitlines()[-1]
    metrics = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [record["kind"] for record in metrics] == ["train", "val", "train", "val"]
    assert all(0 < r["loss"] < 1 for r in metrics if r["kind"] == "train")
    assert last == f"AP {metrics[-1]['AP']:.3f}  report {out / 'report.html'}"

    gt = out / "data/annotations/person_keypoints_val2017.json"
    assert evaluate(out / "results.json", gt).stats["AP"] == metrics[-1]["AP"]
    assert load_config(out / "config.yaml").out == str(out)
    for name in ("checkpoint_last.pth", "checkpoint_best.pth"):
        checkpoint = torch.load(out / name, weights_only=True)
        assert checkpoint["step"] == metrics[-1]["step"] or name == "checkpoint_best.pth"
        assert torch.isfinite(checkpoint["state_dict"]["head.final_layer.weight"]).all()
    page = (out / "report.html").read_text()
    assert len(list(out.glob("curve_*.svg"))) == 4
    assert page.count("data:image/jpeg;base64,") == page.count("<figure") >= 4
    assert all(heading in page for heading in ("Images that lose most", "Learning curves"))
    assert not list(out.rglob(".*"))


def test_the_same_seed_trains_the_same(tmp_path: Path, data: Path) -> None:
    losses = []
    for name in ("a", "b"):
        # One process and several must see the same samples.
        workers = f"train.num_workers={int(name == 'b')}"
        root = [f"data.root={data}", "data.synthetic=null"]
        assert run(tmp_path / name, *root, workers, "train.epochs=1") == 0
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        losses.append(json.loads(lines[0])["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_training_starts_from_weights(tmp_path: Path, data: Path) -> None:
    root = [f"data.root={data}", "data.synthetic=null", "train.num_workers=0", "train.epochs=1"]
    assert run(tmp_path / "a", *root) == 0
    weights = f"model.weights={tmp_path / 'a' / 'checkpoint_last.pth'}"
    assert run(tmp_path / "b", *root, weights, "train.lr=1e-12") == 0
    first, second = (
        torch.load(tmp_path / name / "checkpoint_last.pth", weights_only=True)["state_dict"]
        for name in ("a", "b")
    )
    key = "head.final_layer.weight"
    torch.testing.assert_close(first[key], second[key], rtol=0, atol=1e-6)


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one sentence on stderr."""
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    sentences = [line for line in lines if line.startswith("pose-train: error: ")]
    assert len(sentences) == 1
    assert not any("Traceback" in line for line in lines)
    return sentences[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "demmo"], "no config file or preset demmo; did you mean demo?"),
        (["run", "demo", "train.epoch=3"], "unknown key train.epoch; did you mean epochs?"),
        (["run", "coco_mini"], "either data.root"),
        (["run", "coco_mini", "data.root=nowhere"], "data.root nowhere does not exist"),
        (["run", "demo", "model.options={widht: 4}"], "widht"),
        (["run", "demo", "model.name=hrnet_w23"], "hrnet_w32"),
        (["run", "demo", "model.weights=none.pth"], "none.pth"),
        (["run", "demo", "model.heatmap_size=[48, 64]"], "makes heatmaps of [24, 32]"),
        (["run", "demo", "model.input_size=[72, 96]"], "multiple"),
        (["run", "demo", "model.name=hrnet_w32_ae", "model.options={}"], "a bottom-up network"),
        (["run", "demo", "train.device=abacus"], "train.device 'abacus' cannot be used"),
        (["run", "demo", "data.synthetic.num_train=-1"], "num_train"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_nothing(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == (1 if message == "none.pth" else 2)  # a file that fails, usage
    assert message in refusal(capsys)
    assert not list(tmp_path.iterdir())


def test_a_run_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    assert run(tmp_path / "run") == 2
    assert "already holds something" in refusal(capsys)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_broken_picture_is_named(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str], num_workers: int
) -> None:
    root = tmp_path / "coco"
    for split in ("train2017", "val2017"):
        (root / split).mkdir(parents=True)
        for picture in (data / split).iterdir():
            (root / split / picture.name).write_bytes(picture.read_bytes())
    (root / "annotations").symlink_to(data / "annotations")
    broken = sorted((root / "val2017").iterdir())[0]
    broken.write_bytes(b"not a picture")
    workers = f"train.num_workers={num_workers}"
    assert run(tmp_path / "run", f"data.root={root}", "data.synthetic=null", workers) == 1
    sentence = refusal(capsys)
    assert f"{broken} cannot be decoded" in sentence
    assert "annotation id" in sentence
