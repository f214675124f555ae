"""The zoo as a user goes through it, list, fetch and test, with files in the published form.

The published files cannot be had here. Each row gets one of the same size, names and wrapping, with
weights drawn by rule and its own SHA-256 in its name; nothing else of the row is changed but the
server.
"""

import functools
import hashlib
import http.server
import json
import os
import shutil
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from rule_weights import bottomup_rule, draw, topdown_rule
from torch import Tensor
from typed_commands import DETECTIONS

from pose_backbones import ZOO, HubFile, LoadReport, Weights, create_model, load_checkpoint
from pose_backbones.zoo import HUB
from pose_data import synthesize
from pose_train import load_config
from pose_train.__main__ import main

BOX_SCORE = 0.75
PICTURE_BOX = [10.5, 4.0, 100.0, 120.5]  # x, y, w, h


@functools.lru_cache(maxsize=1)  # rows of one network follow each other
def drawn(model: str, num_keypoints: int) -> dict[str, Tensor]:
    """Draw the weights of a network, under our names."""
    with torch.device("meta"):  # names and shapes alone
        net = create_model(model, num_keypoints=num_keypoints)
    entries = [(name, list(tensor.shape)) for name, tensor in net.state_dict().items()]
    if not model.startswith("higherhrnet"):
        return draw(entries, topdown_rule)
    theirs = [(name.replace("head.", "keypoint_head.", 1), shape) for name, shape in entries]
    state = draw(theirs, bottomup_rule(gain=0.5))
    return dict(zip((name for name, _ in entries), state.values(), strict=True))


def wrapped_0x(state: dict[str, Tensor]) -> dict[str, Any]:
    """Wrap weights as MMPose 0.x and mmcv did, with numbers of numpy's among what is known."""
    renamed = OrderedDict((n.replace("head.", "keypoint_head.", 1), t) for n, t in state.items())
    renamed._metadata = OrderedDict({"": {"version": 1}})  # type: ignore[attr-defined]
    meta = {
        "mmpose_version": "0.6.0+3cd0b4e",
        "mmcv_version": "1.0.3",
        "time": "Thu Jul  9 11:05:23 2020",
        "config": "log_level = 'INFO'\nmodel = dict(type='TopDown', pretrained=None)\n",
        "CLASSES": ("person",),
        "epoch": 210,
        "iter": np.int64(51240),
        "hook_msgs": {"best_score": np.float64(0.7256), "best_ckpt": "work_dirs/best.pth"},
    }
    return {"meta": meta, "state_dict": renamed}


def wrapped_1x(state: dict[str, Tensor]) -> dict[str, Any]:
    """Wrap weights as MMPose 1.x and mmengine do, with the arrays of the set's description."""
    weights = OrderedDict(state)
    weights._metadata = OrderedDict({"": {"version": 2}})  # type: ignore[attr-defined]
    meta = {
        "mmengine_version": "0.1.0",
        "cfg": "default_scope = 'mmpose'\nmodel = dict(type='TopdownPoseEstimator')\n",
        "seed": 1297838465,
        "experiment_name": "td-hm_hrnet-w32_8xb64-210e_coco-aic-256x192_20221025_210312",
        "time": "20221025_231536",
        "epoch": 210,
        "iter": 142170,
        "dataset_meta": {
            "dataset_name": "coco",
            "keypoint_id2name": {0: "nose", 1: "left_eye"},
            "upper_body_ids": [0, 1],
            "keypoint_colors": np.array([[51, 153, 255]] * 17, np.uint8),
            "dataset_keypoint_weights": np.ones(17, np.float32),
            "sigmas": np.full(17, 0.05, np.float32),
        },
    }
    return {"meta": meta, "state_dict": weights}


def bare(state: dict[str, Tensor]) -> dict[str, Any]:
    """Name weights as HRNet's authors do, whose file is a state dict and no more."""
    return OrderedDict((name.partition(".")[2], tensor) for name, tensor in state.items())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One square picture laid out like val2017, and boxes found in it: of a person, and a car."""
    root = tmp_path_factory.mktemp("coco") / "data"
    synthesize(root, num_train=1, num_val=1, image_size=(128, 128), seed=2)
    annotations = json.loads((root / "annotations/person_keypoints_val2017.json").read_text())
    box = {"image_id": annotations["images"][0]["id"], "bbox": PICTURE_BOX, "score": BOX_SCORE}
    (root / DETECTIONS).parent.mkdir()
    boxes = [{**box, "category_id": 3, "score": 0.99}, {**box, "category_id": 1}]
    (root / DETECTIONS).write_text(json.dumps(boxes))
    return root


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Serve a folder; return it and its URL."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    handler = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
    shutil.rmtree(folder)  # pytest keeps its folders for a while, and these are large


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The user's folder for weights, and nothing of this machine's."""
    monkeypatch.setenv("POSE_WEIGHTS_DIR", str(tmp_path / "weights"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("POSE_WEIGHTS_MIRRORS", raising=False)
    monkeypatch.setattr("pose_backbones.weights.TIMEOUT", 10.0)
    yield tmp_path / "weights"
    shutil.rmtree(tmp_path / "weights", ignore_errors=True)


def publish(
    content: dict[str, Any], name: str, mirror: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> Weights:
    """Put a file on the mirror where the row's is, named by its own hash; change the row to it."""
    folder, url = mirror
    row = ZOO[name]
    file = folder / "new.pth"
    # Files from before torch 1.6 are not zip files.
    torch.save(content, file, _use_new_zipfile_serialization=row.path.startswith("v1/"))
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if row.source == HUB:
        own = replace(row, hub=(HubFile("user/name", row.path, sha256=digest),))
    else:
        path = row.path.replace(row.sha256_prefix, digest[:8])
        own = replace(row, path=path, source=f"{url}/gone")
    assert own.sha256_prefix == digest[:8]
    (folder / own.path).parent.mkdir(parents=True, exist_ok=True)
    file.rename(folder / own.path)
    monkeypatch.setitem(ZOO, name, own)
    return own


class Loaded(NamedTuple):
    """A network that was loaded, how, and the shapes of what it was given since."""

    net: torch.nn.Module
    report: LoadReport
    shapes: list[tuple[int, ...]]


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[Loaded]:
    """Note which networks are loaded from now on."""
    notes: list[Loaded] = []

    def load(net: torch.nn.Module, file: Path) -> LoadReport:
        notes.append(Loaded(net, load_checkpoint(net, file), []))
        shapes = notes[-1].shapes
        net.register_forward_pre_hook(lambda _, given: shapes.append(tuple(given[0].shape)))
        return notes[-1].report

    monkeypatch.setattr("pose_train.inference.load.load_checkpoint", load)
    return notes


@pytest.mark.parametrize("name", ZOO)
def test_a_row(
    name: str,
    data: Path,
    mirror: tuple[Path, str],
    folder: Path,
    tmp_path: Path,
    loaded: list[Loaded],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    wrap, form = wrapped_0x, "mmpose-0.x"
    if ZOO[name].path.startswith("v1/"):
        wrap, form = wrapped_1x, "mmpose-1.x"
    elif ZOO[name].source == HUB:
        wrap, form = bare, "official-hrnet"
    state = drawn(ZOO[name].model, ZOO[name].num_keypoints)
    row = publish(wrap(state), name, mirror, monkeypatch)

    assert main(["zoo", "fetch", name, "--mirror", mirror[1]]) == 0
    assert capsys.readouterr().out == f"{folder / row.file}\n"
    assert [file.name for file in folder.iterdir()] == [row.file]
    (mirror[0] / row.path).unlink()
    assert main(["zoo"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith(name))
    size = (folder / row.file).stat().st_size
    assert line.split()[-3:] == [f"{size / 1e6:.1f}", "MB", str(folder / row.file)]

    out = tmp_path / "results.json"
    arguments = ["--data-root", str(data), "--workers", "0", "--out", str(out)]
    assert main(["test", name, *arguments]) == 0
    printed = capsys.readouterr().out.splitlines()
    ((net, report, shapes),) = loaded
    width, height = row.input_size
    assert shapes == [(2, 3, height, width)], "the picture and its mirror image, at once"
    assert report.format == form
    assert (report.missing, report.unexpected, report.misshaped) == ([], [], [])
    own = net.state_dict()
    assert own.keys() == state.keys()
    assert all(torch.equal(own[key], tensor) for key, tensor in state.items())
    check_table(printed, row.stats)
    assert not [line for line in printed if "note: not the published" in line]
    check_rows(json.loads(out.read_text()), load_config(name).recipe)


def check_table(printed: list[str], published: Any) -> None:
    """Hold the printed table against the published numbers."""
    table = {line.split()[0]: line.split()[1:] for line in printed if line[:2] in ("AP", "AR")}
    assert len(table) == 10
    for name, (ours, *others) in table.items():
        assert ours == "-" or 0 <= float(ours) <= 1
        wanted = []
        if name in published:
            wanted.append(f"{published[name]:.3f}")
            if ours != "-":
                wanted.append(f"{float(ours) - published[name]:+.3f}")
        assert others == wanted


def check_rows(rows: list[dict[str, Any]], recipe: str) -> None:
    """Look at what was written: whole people, of the box's score times that of its good joints."""
    assert rows
    for row in rows:
        assert (row["category_id"], len(row["keypoints"])) == (1, 51)
        assert np.isfinite(row["keypoints"]).all()
    if recipe == "topdown":
        (row,) = rows
        assert row["bbox"] == PICTURE_BOX
        scores = np.array(row["keypoints"][2::3])
        good = scores[scores > 0.2]
        assert len(set(row["keypoints"][::3])) > 5  # joints lie where the drawn maps say
        assert row["score"] == pytest.approx(BOX_SCORE * (good.mean() if len(good) else 0))


def test_a_row_at_several_sizes(
    data: Path,
    mirror: tuple[Path, str],
    tmp_path: Path,
    loaded: list[Loaded],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With a quarter of the input size, for the time it takes; the table says so."""
    name = "higherhrnet_w32_coco_512x512"
    row = publish(wrapped_0x(drawn("higherhrnet_w32", 17)), name, mirror, monkeypatch)
    monkeypatch.setenv("POSE_WEIGHTS_MIRRORS", mirror[1])
    assert main(["zoo", "fetch", name]) == 0
    capsys.readouterr()
    out = tmp_path / "results.json"
    sizes = ["model.input_size=[128, 128]", "model.heatmap_sizes=[[32, 32], [64, 64]]"]
    arguments = ["--data-root", str(data), "--workers", "0", "--out", str(out), *sizes]
    assert main(["test", name, "--multi-scale", *arguments]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert row.stats_multi_scale is not None
    check_table(printed, row.stats_multi_scale)
    (note,) = (line for line in printed if line.startswith("note:"))
    assert note.startswith("note: not the published test: model.input_size=(128, 128), ")
    assert "multi_scale" not in note
    (only,) = loaded
    assert only.shapes == [(2, 3, side, side) for side in (256, 128, 64)]
    check_rows(json.loads(out.read_text()), "bottomup")


def test_what_is_not_the_published_file_is_refused(
    data: Path,
    mirror: tuple[Path, str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the row as it is, all but its server."""
    name = "cpm_coco_256x192"
    monkeypatch.setitem(ZOO, name, replace(ZOO[name], source=f"{mirror[1]}/gone"))
    row = ZOO[name]
    (mirror[0] / row.path).parent.mkdir(parents=True)
    content = wrapped_0x({"backbone.stem.0.conv.weight": torch.ones(1)})
    torch.save(content, mirror[0] / row.path)
    assert main(["zoo", "fetch", name, "--mirror", mirror[1]]) == 1
    error = capsys.readouterr().err
    assert "its SHA-256 starts with" in error
    assert "not aa4ba095" in error
    assert "HTTP 404" in error
    assert list(folder.iterdir()) == []
    (mirror[0] / row.path).rename(folder / row.file)
    for words in (["zoo", "fetch", name], ["test", name, "--data-root", str(data)]):
        assert main(words) == 1
        error = capsys.readouterr().err
        assert f"{folder / row.file} is damaged or another file" in error
        assert error.count("\n") == 1


class Attack:
    """What a pickle of a stranger can hold: a call, made by who reads it in the usual way."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.witness),)


@pytest.mark.parametrize("place", ["meta", "state_dict"])
def test_code_in_a_file_is_never_run(
    place: str,
    data: Path,
    mirror: tuple[Path, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also in a file whose hash is right."""
    content = wrapped_0x({"backbone.stem.0.conv.weight": torch.ones(1)})
    content[place]["more"] = Attack(tmp_path / "witness")
    name = "hrnet_w32_coco_aic_merge_256x192"
    publish(content, name, mirror, monkeypatch)
    assert main(["zoo", "fetch", name, "--mirror", mirror[1]]) == 0
    capsys.readouterr()
    assert main(["test", name, "--data-root", str(data)]) == 1
    error = capsys.readouterr().err
    assert "asks to run posix.mkdir" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "witness").exists()
