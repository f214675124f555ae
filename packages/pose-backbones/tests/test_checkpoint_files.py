"""Checkpoint files in the forms in which people have them: what a file is, and its weights."""

import bz2
import collections
import gzip
import lzma
import os
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import warnings
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pose_backbones import CheckpointError, create_model, load_checkpoint, read_checkpoint

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3).T, "a.count": torch.tensor(3)}
SMALL = {"width": 8, "stem_channels": 8, "num_modules": (1, 1, 1), "num_blocks": 1}
CONTAINERS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def small(num_keypoints=17):
    return create_model("hrnet", num_keypoints=num_keypoints, **SMALL)


def assert_equal(tensors, expected=STATE):
    assert tensors.keys() == expected.keys()
    for name, tensor in tensors.items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=0)


def refusal(path):
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(path)
    text = str(error.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text.removeprefix(f"{path}: ")


@CONTAINERS
@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"state_dict": s, "meta": {"mmpose_version": "0.29.0", "epoch": 210}},
        lambda s: {"model": collections.OrderedDict(s), "optimizer": {"lr": 0.1}},
        lambda s: {"state_dict": {k: torch.nn.Parameter(v, False) for k, v in s.items()}},
        lambda s: {"state_dict": s, "optimizer": {"state": {0: {"exp_avg": torch.ones(9)}}}},
    ],
    ids=["bare", "mmpose", "model", "parameters", "with optimizer"],
)
def test_reads_what_torch_saves(tmp_path, zipped, wrap):
    path = tmp_path / "a.pth"
    torch.save(wrap(STATE), path, _use_new_zipfile_serialization=zipped)
    file = read_checkpoint(path)
    assert_equal(file.tensors)
    assert repr(file) == f"Checkpoint({str(path)!r}, {len(STATE)} tensors)"
    assert file.path == path
    assert file.notes == ()
    file.tensors["a.weight"][0] = 7  # they can be written to


@CONTAINERS
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.bool])
def test_reads_dtypes_and_shared_and_empty_storages(tmp_path, dtype, zipped):
    base = torch.ones(4, 4).to(dtype)
    state = {"all": base, "row": base[1, 1:], "none": torch.empty(0, dtype=dtype)}
    torch.save(state, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    assert_equal(read_checkpoint(tmp_path / "a.pth").tensors, state)


@pytest.mark.parametrize("name", ["a.pth", "a.pth.tar", "a.ckpt", "A.PTH", "a.bin", "a", "ü a.pt"])
@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_the_content_decides_not_the_name(tmp_path, name, form):
    if form == "safetensors":
        save_file({n: t.contiguous() for n, t in STATE.items()}, tmp_path / name, {"model": "x"})
        assert read_checkpoint(tmp_path / name).metadata == {"model": "x"}
    else:
        torch.save(STATE, tmp_path / name, _use_new_zipfile_serialization=form == "zip")
    assert_equal(read_checkpoint(tmp_path / name).tensors)
    shutil.copy(tmp_path / name, tmp_path / "b.safetensors")
    assert_equal(read_checkpoint(tmp_path / "b.safetensors").tensors)


ZERO = {name: torch.zeros_like(tensor) for name, tensor in STATE.items()}


@pytest.mark.parametrize(
    ("content", "note"),
    [
        ({"network": STATE}, "took the weights in network"),
        ({"net": STATE, "acc": 0.5}, "took the weights in net"),
        ({"weights": STATE}, "took the weights in weights"),
        ({"params": STATE}, "took the weights in params"),
        ({"model_state": STATE}, "took the weights in model_state"),
        ({"generator": STATE}, "took the weights in generator"),
        ({"my_own_key": STATE}, "took the weights in my_own_key"),
        ({"state_dict": {"model": STATE}}, "took the weights in state_dict.model"),
        ({"model": {"state_dict": STATE}}, "took the weights in model.state_dict"),
        ({"ema_state_dict": STATE}, "took the averaged weights in ema_state_dict"),
        (
            {"state_dict": ZERO, "state_dict_ema": STATE},
            "took the averaged weights in state_dict_ema, not those in state_dict",
        ),
        (
            {"params": ZERO, "params_ema": STATE},
            "took the averaged weights in params_ema, not those in params",
        ),
        # mmengine's EMAHook puts the averages into state_dict as it saves.
        (
            {"state_dict": STATE, "ema_state_dict": ZERO, "meta": {"mmengine_version": "0.10.7"}},
            "took the weights in state_dict, not those in ema_state_dict",
        ),
        (
            {"state_dict": STATE, "best_state_dict": ZERO},
            "took the weights in state_dict, not those in best_state_dict",
        ),
    ],
)
@CONTAINERS
def test_where_the_weights_are_and_which_were_taken(tmp_path, content, note, zipped):
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    file = read_checkpoint(tmp_path / "a.pth")
    assert_equal(file.tensors)
    assert file.notes == (note,)


@CONTAINERS
@pytest.mark.parametrize("wrap", [lambda net: net, torch.nn.DataParallel, lambda net: {"ema": net}])
def test_a_network_that_was_saved_with_its_code(tmp_path, wrap, zipped):
    source, model = small(), small()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(wrap(source), tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    load_checkpoint(model, tmp_path / "a.pth")
    assert_equal(model.state_dict(), source.state_dict())


def test_content_beside_the_weights(tmp_path):
    content = {"state_dict": STATE, "config": "a: 1\n", "skeleton": {"names": ["a"]}, "epoch": 3}
    torch.save(content, tmp_path / "a.pth")
    found = read_checkpoint(tmp_path / "a.pth").content
    assert {key: found[key] for key in ("config", "skeleton", "epoch")} == {
        "config": "a: 1\n",
        "skeleton": {"names": ["a"]},
        "epoch": 3,
    }


def rezip(path, target, **options):
    with zipfile.ZipFile(path) as good, zipfile.ZipFile(target, "w", **options) as archive:
        for info in good.infolist():
            archive.writestr(info.filename, good.read(info))
    return target


def test_zip_files_that_were_unpacked_and_packed_again(tmp_path):
    state = {"a.weight": torch.randn(100, 100)}
    torch.save(state, tmp_path / "good.pth")
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        path = rezip(tmp_path / "good.pth", tmp_path / "again.pth", compression=method)
        assert_equal(read_checkpoint(path).tensors, state)
    with zipfile.ZipFile(tmp_path / "good.pth") as archive:
        archive.extractall(tmp_path / "folder")
    assert "an unpacked checkpoint" in refusal(tmp_path / "folder")


def test_a_zip_file_that_unpacks_to_very_much(tmp_path):
    torch.save({"a.weight": torch.zeros(10_000_000)}, tmp_path / "good.pth")
    path = rezip(tmp_path / "good.pth", tmp_path / "a.pth", compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    assert "many times its own size" in refusal(path)


def other_files(folder):
    """Yield files that hold no weights, each with words of its error."""
    good = folder / "good.pth"
    torch.save(STATE, good)
    data = good.read_bytes()
    yield "html", b"<!DOCTYPE html><html><title>Virus scan warning</title></html>", "a web page"
    yield "html2", b"\xef\xbb\xbf\n <html lang='en'>", "a web page"
    yield "xml", b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>", "a web page"
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 115123\n"
    yield "lfs", pointer, "Git LFS pointer.*git lfs pull"
    yield "json", b'{"error": "Entry not found"}', "text.*Entry not found"
    yield "text", b"hello, this is text", "text, not a checkpoint; it begins 'hello"
    yield "empty", b"", "empty"
    yield "zeros", bytes(5000), "never finished"
    yield "gz", gzip.compress(data), "gzip archive: unpack"
    yield "bz2", bz2.compress(data), "bzip2 archive: unpack"
    yield "xz", lzma.compress(data), "xz archive: unpack"
    yield "keras", b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5.*Keras"
    yield "png", b"\x89PNG\r\n\x1a\n" + bytes(100), "an image"
    yield "noise", np.random.default_rng(0).bytes(1000), "not a checkpoint, or damaged"


def test_files_that_are_something_else(tmp_path):
    for name, content, words in other_files(tmp_path):
        (tmp_path / name).write_bytes(content)
        assert re.search(words, refusal(tmp_path / name)), name


def test_archives_and_programs_are_named(tmp_path):
    torch.save(STATE, tmp_path / "good.pth")
    with tarfile.open(tmp_path / "real.pth.tar", "w") as archive:
        archive.add(tmp_path / "good.pth", "good.pth")
    assert "tar archive: unpack" in refusal(tmp_path / "real.pth.tar")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "good.pth", "good.pth")
    assert "not a checkpoint; unpack good.pth from it" in refusal(tmp_path / "a.zip")
    np.savez(tmp_path / "a.npz", a=np.zeros(3))
    assert "zip file, but not a checkpoint" in refusal(tmp_path / "a.npz")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        script = torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2))
        script.save(str(tmp_path / "script.pt"))
        program = torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),))
        torch.export.save(program, tmp_path / "program.pt2")
    assert "TorchScript program" in refusal(tmp_path / "script.pt")
    assert "program of torch.export" in refusal(tmp_path / "program.pt2")


@pytest.mark.parametrize("dynamo", [True, False])
def test_onnx_files_are_named(tmp_path, dynamo):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net, example = torch.nn.Linear(2, 2), (torch.zeros(1, 2),)
        torch.onnx.export(net, example, str(tmp_path / "a.onnx"), dynamo=dynamo, verbose=False)
    assert "ONNX file" in refusal(tmp_path / "a.onnx")


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_files_that_end_early(tmp_path, form):
    state = {"a.weight": torch.randn(50, 50), "b.weight": torch.randn(50, 50)}
    path = tmp_path / "good"
    if form == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "zip")
    data = path.read_bytes()
    for share in (0.1, 0.3, 0.5, 0.7, 0.9, 0.999):
        (tmp_path / "part").write_bytes(data[: int(share * len(data))])
        text = refusal(tmp_path / "part")
        assert "fetch or copy it again" in text, (share, text)
        assert "KeyError" not in text
    (tmp_path / "head").write_bytes(data[:9])
    assert "again" in refusal(tmp_path / "head")


def test_records_that_are_not_of_their_size(tmp_path):
    torch.save(STATE, tmp_path / "good.pth")
    with zipfile.ZipFile(tmp_path / "good.pth") as good:
        with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
            for info in good.infolist():
                data = good.read(info)
                archive.writestr(info.filename, data[:4] if "/data/" in info.filename else data)
        assert "record data/0 is missing, or not of the size" in refusal(tmp_path / "a.pth")
        with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
            for info in good.infolist():
                if "/data/" not in info.filename:
                    archive.writestr(info.filename, good.read(info))
        assert "record data/0 is missing" in refusal(tmp_path / "a.pth")


def test_a_legacy_tensor_that_claims_8_gigabytes(tmp_path):
    path = tmp_path / "legacy.pth"
    torch.save(STATE, path, _use_new_zipfile_serialization=False)
    numel = struct.pack("<B", 6)  # BININT1 operand of the storage's size
    data = path.read_bytes()
    at = data.index(b"cpu") + data[data.index(b"cpu") :].index(b"K" + numel)
    huge = b"\x8a\x05" + (2_000_000_000).to_bytes(5, "little")
    path.write_bytes(data[:at] + huge + data[at + 2 :])
    assert "claim more data" in refusal(path)


def test_damaged_safetensors(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
    assert "ends early: its header alone" in refusal(path)
    path.write_bytes(struct.pack("<Q", 4) + b"{  }")
    assert "no tensors" in refusal(path)
    path.write_bytes(struct.pack("<Q", 4) + b"{[]}")
    assert "damaged" in refusal(path)


def test_content_that_is_no_state_dict(tmp_path):
    path = tmp_path / "a.pth"
    optimizer = torch.optim.Adam(torch.nn.Linear(2, 2).parameters()).state_dict()
    two = {"teacher": {"a.weight": torch.ones(1)}, "student": {"a.weight": torch.ones(1)}}
    for content, words in (
        ([1], "not a state dict"),
        (3, "not a state dict"),
        ({}, "empty dict"),
        ({"a": 1}, "no tensors"),
        (list(STATE.values()), "not a state dict"),
        (optimizer, "state of an optimizer, and no weights"),
        ({"optimizer": optimizer, "epoch": 4}, "state of an optimizer, and no weights"),
        (two, "several networks (teacher, student)"),
    ):
        torch.save(content, path)
        assert words in refusal(path)


def test_files_that_cannot_be_read(tmp_path):
    assert "no such file" in refusal(tmp_path / "none.pth")
    assert "a folder; the file itself" in refusal(tmp_path)
    path = tmp_path / "a.pth"
    torch.save(STATE, path)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read every file")
    assert "cannot be read: Permission denied" in refusal(path)


CUT_WHILE_READ = """
import os, sys
import pose_backbones.checkpoint_files as files

path, original = sys.argv[1], files._checkpoint

def cut(*arguments):
    os.truncate(path, 0)
    return original(*arguments)

files._checkpoint = cut
try:
    tensors = files.read_checkpoint(path).tensors
except files.CheckpointError as error:
    print(error)
else:
    os.truncate(path, 0)
    print(sum(float(tensor.sum()) for tensor in tensors.values()))
"""


@pytest.mark.parametrize(
    ("name", "outcome"), [("a.safetensors", "300000.0"), ("a.pth", "not a checkpoint, or damaged")]
)
def test_a_file_that_is_cut_while_it_is_read_ends_no_process(tmp_path, name, outcome):
    """As a mapped one would, by SIGBUS."""
    path, state = tmp_path / name, {"w": torch.ones(300_000)}  # more than is read at once
    if name == "a.pth":
        torch.save(state, path, _use_new_zipfile_serialization=False)
    else:
        save_file(state, path)
    command = [sys.executable, "-c", CUT_WHILE_READ, str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert outcome in ended.stdout
