"""16-bit images with fewer bits in use: training, testing and prediction see the same pixels."""

import base64
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from pose_data.images import depth
from pose_train import Predictor
from pose_train.__main__ import main
from pose_train.config.load import load_config
from pose_train.config.schema import Config
from pose_train.distributed import Ranks
from pose_train.inference.load import load_tested, load_trained, predict_rows
from pose_train.recipes import bottomup, topdown
from pose_train.recipes.data import load_annotated

TINY = "model.options={width: 8, stem_channels: 8, num_modules: [1, 1, 1], num_blocks: 1}"
SMALL = [TINY, "model.input_size=[64, 64]", "model.heatmap_size=[16, 16]", "data.synthetic=null"]
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def nothing_said() -> Iterator[None]:
    depth._said.clear()
    yield
    depth._said.clear()


def with_pixels(data: Path, root: Path, shift: int) -> Path:
    """Copy a set, its images as PNG: 8 bits, or 16 of which 8 + shift are in use."""
    shutil.copytree(data, root)
    for path in sorted(root.glob("*2017/*")):
        image = cv2.imread(str(path))
        assert image is not None
        path.unlink()
        deep = image.astype(np.uint16) << shift if shift else image
        assert cv2.imwrite(str(path.with_suffix(".png")), deep)
    for file in (root / "annotations").iterdir():
        file.write_text(file.read_text().replace(".jpg", ".png"))
    return root


@pytest.fixture
def plain(drawn_data: Path, tmp_path: Path) -> Path:
    return with_pixels(drawn_data, tmp_path / "plain", 0)


@pytest.fixture
def deep(drawn_data: Path, tmp_path: Path) -> Path:
    return with_pixels(drawn_data, tmp_path / "deep", 4)


def test_results_are_those_of_8_bits(run_dir: Path, plain: Path, deep: Path) -> None:
    """Of a test, and of a prediction by path, bytes and array."""
    rows, people = [], []
    for root, more in ((plain, []), (deep, ["data.bits=12"])):
        trained = load_trained(run_dir, overrides=[f"data.root={root}", *more], device="cpu")
        val, boxes = load_tested(trained.config)
        rows.append(predict_rows(trained, val, boxes, Ranks(), trained.device))
        path = sorted((root / "val2017").iterdir())[0]
        array = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        people.append(Predictor(trained)([path, path.read_bytes(), array]))
    assert rows[0] == rows[1]
    for one, other in zip(*people, strict=True):
        np.testing.assert_array_equal(one.keypoints, other.keypoints)
    np.testing.assert_array_equal(
        people[0][0].plot(path, bits=12), people[1][0].plot(array, bits=12)
    )


def test_the_config_reaches_the_samples(plain: Path, deep: Path) -> None:
    def config(name: str, root: Path, *more: str) -> Config:
        return load_config(name, ["data.synthetic=null", f"data.root={root}", *more])

    images: list[list[np.ndarray]] = [[], []]
    for root, more in ((plain, ()), (deep, ("data.bits=12",))):
        plan = config("demo", root, *more)
        persons = load_annotated(root, plan.data.train, "coco", "data.root")
        _, codec = topdown.build(plan, 17)
        images[0].append(topdown.samples(plan, persons, codec, CPU, True)[(1, 0)]["image"])
        plan = config("demo_higherhrnet", root, *more)
        _, grouping = bottomup.build(plan, 17)
        images[1].append(bottomup.samples(plan, persons, grouping, CPU, True)[(1, 0)]["image"])
    for one, other in images:
        assert one.max() > 100
        np.testing.assert_array_equal(one, other)


def test_predict(
    run_dir: Path, plain: Path, deep: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """--bits reads and draws as 8 bits would be; without it, one notice says so."""
    found = []
    for name, root, more in (("a", plain, []), ("b", deep, ["--bits", "12"]), ("c", deep, [])):
        out = tmp_path / name
        assert main(["predict", str(run_dir), str(root / "val2017"), "--out", str(out), *more]) == 0
        drawn = [cv2.imread(str(path)) for path in sorted(out.glob("*.png"))]
        found.append((json.loads((out / "predictions.json").read_text()), np.array(drawn)))
        said = [r.getMessage() for r in caplog.records if r.name == "pose_data"]
        assert len(said) == (name == "c")
    assert "read nearly black: if its range is 12 bits, say so with bits=12" in said[0]
    assert found[0][0] == found[1][0] != found[2][0]
    np.testing.assert_array_equal(found[0][1], found[1][1])
    assert found[2][1].mean() < found[0][1].mean() - 20


def test_predict_refuses_other_numbers(
    run_dir: Path, plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["predict", str(run_dir), str(plain / "val2017"), "--out", str(tmp_path / "o")]
    assert main([*command, "--bits", "7"]) == 2
    assert "--bits must be from 8 to 16, got 7" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("bits", "end"),
    [
        (None, ": they use 12 bits; set data.bits=12"),
        ("12", "; data.bits is 12"),
        ("10", ": data.bits is 10, and what is above 1,023 is cut off; set data.bits=12"),
    ],
)
def test_check(
    bits: str | None, end: str, deep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = [*SMALL, f"data.root={deep}", *([f"data.bits={bits}"] if bits else [])]
    assert main(["check", "demo", *plan, "--out", str(tmp_path / "batch.png")]) == 0
    lines = capsys.readouterr().out.splitlines()
    lines = [line for line in lines if "16 bits a channel" in line]
    for line, (split, count) in zip(lines, (("train", 2), ("val", 4)), strict=True):
        files = [cv2.imread(str(path), -1) for path in (deep / f"{split}2017").iterdir()]
        highest = max(int(image.max()) for image in files if image is not None)
        start = f"person_keypoints_{split}2017.json: {count} of {count} images looked at have "
        assert line == f"{start}16 bits a channel, with values up to {highest:,}{end}"


def test_check_says_nothing_of_8_bits(
    plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = [*SMALL, f"data.root={plain}"]
    assert main(["check", "demo", *plan, "--out", str(tmp_path / "batch.png")]) == 0
    assert "16 bits" not in capsys.readouterr().out


def test_init(deep: Path, plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for root, bits in ((deep, 12), (plain, None)):
        file = root / "annotations/person_keypoints_train2017.json"
        assert main(["init", str(file)]) == 0
        text = capsys.readouterr().out
        (tmp_path / "my.yaml").write_text(text)
        assert load_config(tmp_path / "my.yaml").data.bits == bits
        has_comment = (
            "  # 2 of 2 images looked at have 16 bits a channel, with values up to " in text
        )
        assert has_comment == (bits == 12)


def test_a_run_draws_what_it_read(deep: Path, tmp_path: Path) -> None:
    """The config in the run directory keeps the bits, and its pictures are as bright."""
    means = []
    for name, more in (("right", ["data.bits=12"]), ("dark", [])):
        out = tmp_path / name
        plan = [*SMALL, f"data.root={deep}", f"out={out}", "train.epochs=1", "train.num_workers=0"]
        plan += ["train.batch_size=2", "train.lr_steps=[]", "eval.flip_test=false", *more]
        assert main(["run", "demo", *plan]) == 0
        embedded = re.findall(r"data:image/jpeg;base64,([^\"]+)", (out / "report.html").read_text())
        assert embedded
        buffers = [np.frombuffer(base64.b64decode(each), np.uint8) for each in embedded]
        images = [cv2.imdecode(each, cv2.IMREAD_COLOR) for each in buffers]
        means.append(np.mean([np.median(image) for image in images if image is not None]))
    assert load_config(tmp_path / "right/config.yaml").data.bits == 12
    assert means[0] > means[1] + 20
