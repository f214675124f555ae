"""Checkpoint files are data: nothing in them runs, and damaged ones give a sentence."""

import argparse
import collections
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pose_backbones import CheckpointError, read_checkpoint

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3).T, "a.count": torch.tensor(3)}


class Reduce:
    """Pickle as the call `function(*args)`."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


class HistoryBuffer:
    """Stand for a class of another library, with state and items."""

    def __init__(self):
        self.values = [np.float64(1.5)]


def assert_equal(tensors, expected=STATE):
    assert tensors.keys() == expected.keys()
    for name, tensor in tensors.items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=0)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"state_dict": s, "meta": {"mmpose_version": "0.29.0", "epoch": 210}},
        lambda s: {"model": collections.OrderedDict(s), "optimizer": {"lr": 0.1}},
        lambda s: {"state_dict": {k: torch.nn.Parameter(v, False) for k, v in s.items()}},
    ],
    ids=["bare", "mmpose", "model", "parameters"],
)
def test_reads_what_torch_saves(tmp_path, zipped, wrap):
    path = tmp_path / "a.pth"
    torch.save(wrap(STATE), path, _use_new_zipfile_serialization=zipped)
    assert_equal(read_checkpoint(path).tensors)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.bool])
def test_reads_dtypes_and_shared_and_empty_storages(tmp_path, dtype):
    base = torch.ones(4, 4).to(dtype)
    state = {"all": base, "row": base[1, 1:], "none": torch.empty(0, dtype=dtype)}
    torch.save(state, tmp_path / "a.pth")
    assert_equal(read_checkpoint(tmp_path / "a.pth").tensors, state)


def test_reads_safetensors_with_metadata(tmp_path):
    state = {name: tensor.contiguous() for name, tensor in STATE.items()}
    save_file(state, tmp_path / "a.safetensors", {"model": "x"})
    file = read_checkpoint(tmp_path / "a.safetensors")
    assert file.metadata == {"model": "x"}
    assert_equal(file.tensors)


def test_foreign_objects_become_inert(tmp_path):
    meta = {
        "config": "model = dict()",
        "time": np.float64(3.5),
        "array": np.arange(3),
        "args": argparse.Namespace(lr=0.1),
        "path": Path("x"),
        "counts": collections.defaultdict(list, a=[1]),
        "history": HistoryBuffer(),
        "device": torch.device("cpu"),
        "shape": torch.Size([1, 2]),
        "names": {"a", "b"},
        "layer": torch.nn.Linear(1, 1),
    }
    for zipped in (True, False):
        path = tmp_path / f"{zipped}.pth"
        state = {"state_dict": STATE, "meta": meta, "message_hub": HistoryBuffer()}
        torch.save(state, path, _use_new_zipfile_serialization=zipped)
        file = read_checkpoint(path)
        assert_equal(file.tensors)
        assert file.metadata["config"] == "model = dict()"


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("nested", [False, True])
def test_a_pickle_that_calls_something_is_refused(tmp_path, zipped, nested):
    witness = tmp_path / "ran"
    touch = f"touch {witness}"
    code = f"open({str(witness)!r}, 'w')"
    attacks = [
        Reduce(os.system, touch),
        Reduce(eval, code),
        Reduce(exec, code),
        Reduce(getattr, Reduce(__import__, "os"), "system"),
        Reduce(__import__("subprocess").call, ["touch", str(witness)]),
        Reduce(torch.load, str(witness)),
        Reduce(torch.hub.load, "a/b", "c"),
        Reduce(torch.jit.load, str(witness)),
        Reduce(pickle.loads, pickle.dumps(Reduce(os.system, touch))),
        Reduce(open, str(witness), "w"),
        Reduce(__import__("functools").partial, os.system, touch),
        Reduce(__import__("operator").attrgetter, "system"),
        Reduce(__import__("codecs").open, str(witness), "w"),
    ]
    for attack in attacks:
        content = {"state_dict": STATE, "meta": {"a": [{"b": attack}]}} if nested else attack
        path = tmp_path / "a.pth"
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
        with pytest.raises(CheckpointError, match="asks to run"):
            read_checkpoint(path)
        assert not witness.exists()


def test_state_of_objects_is_dropped(tmp_path):
    # BUILD could set attributes of a tensor or call __setstate__; it does nothing here.
    payload = pickle.dumps(HistoryBuffer(), protocol=2)
    assert pickle.BUILD in payload
    content = collections.OrderedDict(STATE)
    content.extra = "set by BUILD"
    torch.save(content, tmp_path / "a.pth")
    assert_equal(read_checkpoint(tmp_path / "a.pth").tensors)


def damaged_files(folder):
    """Yield files that are no checkpoints, each with a word its error must contain."""
    good, legacy = folder / "good.pth", folder / "legacy.pth"
    torch.save(STATE, good)
    torch.save(STATE, legacy, _use_new_zipfile_serialization=False)
    yield b"", "empty"
    yield b"hello, this is text", "not a checkpoint"
    yield b"\x80\x02K\x01.", "not a PyTorch checkpoint"
    yield pickle.dumps({"a": 1}), "not a PyTorch checkpoint"
    for share in (0.3, 0.6, 0.9, 0.99):
        yield good.read_bytes()[: int(share * good.stat().st_size)], ""
        yield legacy.read_bytes()[: int(share * legacy.stat().st_size)], ""
    # A legacy file and a zip file whose tensor claims 8 GB.
    numel = struct.pack("<B", 6)  # BININT1 operand of the storage's size
    data = legacy.read_bytes()
    at = data.index(b"cpu") + data[data.index(b"cpu") :].index(b"K" + numel)
    huge = b"\x8a\x05" + (2_000_000_000).to_bytes(5, "little")
    yield data[:at] + huge + data[at + 2 :], "claim"
    yield pickle.PROTO + b"\x02" + b"\x8e" + struct.pack("<Q", 1 << 40) + b"x.", "damaged"
    yield pickle.PROTO + b"\x02" + b"K\x01r\xff\xff\xff\x7f.", "not a PyTorch checkpoint"


def test_damaged_files_give_a_sentence(tmp_path):
    for i, (content, word) in enumerate(damaged_files(tmp_path)):
        path = tmp_path / f"{i}.pth"
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=f"{i}.pth: .*{word}"):
            read_checkpoint(path)


def test_zip_files_that_are_no_checkpoints(tmp_path):
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(CheckpointError, match="zip file, but not a checkpoint"):
        read_checkpoint(path)

    torch.save(STATE, tmp_path / "good.pth")
    with zipfile.ZipFile(tmp_path / "good.pth") as good:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for info in good.infolist():
                archive.writestr(info.filename, good.read(info))
        with pytest.raises(CheckpointError, match="not of the size"):
            read_checkpoint(path)
        with zipfile.ZipFile(path, "w") as archive:
            for info in good.infolist():
                data = good.read(info)
                archive.writestr(info.filename, data[:4] if "/data/" in info.filename else data)
        with pytest.raises(CheckpointError, match="data/0 is not of the size"):
            read_checkpoint(path)


def test_content_that_is_no_state_dict(tmp_path):
    path = tmp_path / "a.pth"
    for content, word in (([1], "not a state dict"), ({"a": 1}, "no tensors"), (3, "not a state")):
        torch.save(content, path)
        with pytest.raises(CheckpointError, match=word):
            read_checkpoint(path)
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(CheckpointError, match="pickled object"):
        read_checkpoint(path)
    with pytest.raises(CheckpointError, match="no such file"):
        read_checkpoint(tmp_path / "none.pth")
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", 1 << 40) + b"{}")
    with pytest.raises(CheckpointError, match="damaged"):
        read_checkpoint(tmp_path / "a.safetensors")
    save_file({}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="no tensors"):
        read_checkpoint(tmp_path / "a.safetensors")
