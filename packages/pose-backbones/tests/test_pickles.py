"""Pickles are data: nothing in them is called, and none can ask for more than it is worth."""

import argparse
import builtins
import codecs
import collections
import functools
import operator
import os
import pickle
import struct
import subprocess
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from pose_backbones import CheckpointError, read_checkpoint

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3).T, "a.count": torch.tensor(3)}
CONTAINERS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


class Reduce:
    """Pickle as the call `function(*args)`."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call

    def __call__(self):
        """Pass for a function, so that the result of a call can be called again."""


class HistoryBuffer:
    """Stand for mmengine's class of this name, which keeps its methods in its state."""

    def __init__(self):
        self.log_history = np.array([1.5, 2.5])
        self.methods = {"min": HistoryBuffer.min, "mean": HistoryBuffer.mean}

    def min(self):
        return self.log_history.min()

    def mean(self):
        return self.log_history.mean()


def assert_equal(tensors, expected=STATE):
    assert tensors.keys() == expected.keys()
    for name, tensor in tensors.items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=0)


def write(path, pickled):
    """Write bytes of a pickle as the content of a zip file without numbers."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickled)
    return path


@CONTAINERS
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_objects_of_other_libraries_become_inert(tmp_path, zipped, protocol):
    meta = {
        "cfg": "model = dict()",
        "time": np.float64(3.5),
        "array": np.arange(3),
        "names": np.array(["a", "b"]),
        "objects": np.array([None, "a"]),
        "args": argparse.Namespace(lr=0.1),
        "path": Path("x"),
        "counts": collections.defaultdict(list, a=[1]),
        "counter": collections.Counter("aab"),
        "history": HistoryBuffer(),
        "schedule": functools.partial(max, 1),
        "device": torch.device("cpu"),
        "dtype": torch.float16,
        "shape": torch.Size([1, 2]),
        "set": {"a", (1, 2)},
        "complex": 1j,
        "layer": torch.nn.Linear(1, 1),
        ("a", "tuple"): "as a key",
    }
    state = {"state_dict": STATE, "meta": meta, "message_hub": {"log_scalars": HistoryBuffer()}}
    path = tmp_path / "a.pth"
    torch.save(state, path, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    if protocol < 4:  # as MMPose 1.x saves: a method is a call of getattr on its class
        assert b"getattr" in path.read_bytes()
    file = read_checkpoint(path)
    assert_equal(file.tensors)
    assert file.metadata["cfg"] == "model = dict()"
    assert file.content["meta"]["counter"] == {"a": 2, "b": 1}
    assert file.content["meta"]["shape"] == (1, 2)


def test_subclasses_of_containers_hold_what_they_were_given(tmp_path):
    class Named(dict):
        pass

    globals()["Named"] = Named  # so that it can be pickled
    Named.__qualname__ = "Named"
    try:
        torch.save({"state_dict": Named(STATE), "meta": Named(cfg="x")}, tmp_path / "a.pth")
    finally:
        del globals()["Named"]
    file = read_checkpoint(tmp_path / "a.pth")
    assert_equal(file.tensors)
    assert file.metadata["cfg"] == "x"


def attacks(witness):
    """Yield what would leave `witness` behind if it ran, and whether naming it is refused."""
    touch, code = f"touch {witness}", f"open({str(witness)!r}, 'w')"
    yield Reduce(os.system, touch), True
    yield Reduce(eval, code), True
    yield Reduce(exec, code), True
    yield Reduce(compile, code, "a", "exec"), True
    yield Reduce(getattr, Reduce(__import__, "os"), "system"), True
    yield Reduce(subprocess.call, ["touch", str(witness)]), True
    yield Reduce(torch.load, str(witness)), True
    yield Reduce(torch.hub.load, "a/b", "c"), True
    yield Reduce(torch.jit.load, str(witness)), True
    yield Reduce(pickle.loads, pickle.dumps(Reduce(os.system, touch))), True
    yield Reduce(open, str(witness), "w"), True
    yield Reduce(codecs.open, str(witness), "w"), True
    yield Reduce(functools.partial, os.system, touch), True
    yield Reduce(Reduce(functools.partial, os.system, touch)), True
    yield Reduce(Reduce(operator.attrgetter("system"), Reduce(__import__, "os")), touch), True
    yield Reduce(operator.methodcaller("write_text", "x"), Path(witness)), False
    yield Reduce(Path.touch, Path(witness)), False
    yield Reduce(getattr, Path(witness), "touch"), False
    yield Reduce(Reduce(getattr, Path(witness), "touch")), False
    # From a harmless class to all that its module can reach.
    chain = Reduce(getattr, Reduce(getattr, HistoryBuffer, "__init__"), "__globals__")
    yield Reduce(Reduce(getattr, Reduce(getattr, chain, "get"), "__call__"), "os"), False
    yield Reduce(Reduce(operator.attrgetter("__init__.__globals__"), HistoryBuffer)), False
    yield Reduce(map, operator.methodcaller("touch"), [Path(witness)]), False
    yield Reduce(np.save, str(witness), np.zeros(1)), False
    yield Reduce(torch.utils.data.DataLoader, Reduce(Path.touch, Path(witness))), False
    yield Reduce(codecs.encode, Reduce(Path.touch, Path(witness)), "latin1"), False
    yield Reduce(np.dtype("f4").__reduce__()[0], Reduce(Path.touch, Path(witness))), False


@CONTAINERS
@pytest.mark.parametrize("place", ["alone", "nested", "as a tensor", "as a key"])
def test_nothing_is_called(tmp_path, zipped, place):
    witness, path = tmp_path / "ran", tmp_path / "a.pth"
    for attack, is_refused in attacks(witness):
        contents = {
            "alone": attack,
            "nested": {"state_dict": STATE, "meta": {"a": [{"b": (attack, {"c": attack})}]}},
            "as a tensor": {"state_dict": {**STATE, "b.weight": attack}},
            "as a key": {"state_dict": STATE, "meta": {attack: 1}},
        }
        torch.save(contents[place], path, _use_new_zipfile_serialization=zipped)
        if is_refused:
            with pytest.raises(CheckpointError, match="asks to run"):
                read_checkpoint(path)
        elif place == "alone":
            with pytest.raises(CheckpointError, match="not a state dict"):
                read_checkpoint(path)
        else:
            assert_equal(read_checkpoint(path).tensors)
        assert not witness.exists()


def test_state_that_objects_are_given_does_nothing(tmp_path):
    # BUILD could set attributes of a tensor or call __setstate__.
    payload = pickle.dumps(HistoryBuffer(), protocol=2)
    assert pickle.BUILD in payload
    content = collections.OrderedDict(STATE)
    content.extra = "set by BUILD"
    torch.save(content, tmp_path / "a.pth")
    assert_equal(read_checkpoint(tmp_path / "a.pth").tensors)


def global_(module, name):
    return f"c{module}\n{name}\n".encode()


def bombs():
    """Yield pickles that are small and ask for much, each with a word of its error or None."""
    head = pickle.PROTO + b"\x02"
    # Tuples in tuples, each twice the one before: quick to make, endless to hash, print or compare.
    doubling = b"K\x01\x85q\x00" + b"".join(
        b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(100)
    )
    yield head + b"}" + doubling + b"K\x01s.", "no|empty"  # as a key
    yield head + global_("builtins", "set") + b"]" + doubling + b"a\x85R.", "state dict"
    yield head + b"(" + doubling + b"\x91.", "damaged|state dict"  # FROZENSET
    yield head + b"}X\x04\0\0\0meta" + doubling + b"s.", "no tensors|state dict"
    # The same as the identity of numbers, and as a size of a tensor.
    yield head + b"(X\x07\0\0\0storage" + doubling + b"tQ.", "not supported"
    storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x06tQ"
    rebuild = global_("torch._utils", "_rebuild_tensor_v2")
    yield head + rebuild + b"(" + storage + b"K\0" + doubling + doubling + b"tR.", "size|shape"
    # One long list, copied for each byte of the rest.
    copies = b"h\x00h\x01\x85R0" * 20_000
    long = b"](" + b"K\x01" * 60_000 + b"eq\x01"
    yield head + global_("builtins", "tuple") + b"q\x00" + long + copies + b".", "asks for more"
    # Deep nesting, and what claims to be long.
    yield head + b"]" * 500_000 + b"a" * 499_999 + b".", "state dict"
    yield head + b"(" * 200_000 + b"t" * 200_000 + b".", "state dict"
    yield head + pickle.BYTEARRAY8 + struct.pack("<Q", 1 << 45) + b"x.", "damaged|state dict"
    yield head + pickle.BINBYTES8 + struct.pack("<Q", 1 << 45) + b"x.", "damaged|state dict"
    yield head + pickle.LONG4 + struct.pack("<i", 1 << 30) + b"x.", "damaged|state dict"
    yield (
        pickle.PROTO + b"\x04" + pickle.FRAME + struct.pack("<Q", 1 << 45) + b"N.",
        "damaged|state",
    )
    yield head + b"I" + b"9" * 1_000_000 + b"\n.", "damaged"
    yield head + pickle.EXT1 + b"\x01.", "instruction"
    yield head + b"]h\xff.", "damaged"
    yield head + b"0.", "damaged"
    # An object that holds itself, where a network's layers are expected.
    module = global_("a", "Net") + b")\x81q\x00}X\x08\0\0\0_modules}X\x01\0\0\0ah\x00ssb"
    yield head + module + b".", "state dict"


@pytest.mark.parametrize("number", range(len(list(bombs()))))
def test_small_files_that_ask_for_much(tmp_path, number):
    pickled, word = list(bombs())[number]
    started = time.perf_counter()
    with pytest.raises(CheckpointError, match=word):
        read_checkpoint(write(tmp_path / "a.pth", pickled))
    (tmp_path / "b.pth").write_bytes(pickled)  # in the place of the first one of a legacy file
    with pytest.raises(CheckpointError):
        read_checkpoint(tmp_path / "b.pth")
    assert time.perf_counter() - started < 20  # they would take for ever, not seconds


def test_many_networks_that_share_their_layers_end(tmp_path):
    # Each layer holds the next one twice: 2^60 names if all were written out.
    layer = torch.nn.Linear(1, 1)
    for _ in range(60):
        layer = torch.nn.ModuleList([layer, layer])
    torch.save(layer, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="not a state dict"):
        read_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("numbers", "size", "stride", "offset", "word"),
    [
        (6, (2, 4), (4, 1), 0, "outside"),
        (6, (6,), (1,), 1, "outside"),
        (6, (2,), (6,), 0, "outside"),
        (6, (-1,), (1,), 0, "size"),
        (6, (1 << 62, 1 << 62), (1, 1), 0, "outside"),
        (6, (2, 3), (1,), 0, "shape"),
        (6, (1,) * 65, (1,) * 65, 0, "shape"),
        (1 << 40, (1,), (1,), 0, "record"),
        (1 << 70, (1,), (1,), 0, "size"),
        (5, (1,), (1,), 0, "record"),
    ],
)
def test_tensors_that_reach_outside_of_their_numbers(tmp_path, numbers, size, stride, offset, word):
    storage = builtins.type("Storage", (), {})()

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            kind = ("storage", torch.FloatStorage, "0", "cpu", numbers)
            return kind if value is storage else None

    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as archive:
        with archive.open("a/data.pkl", "w") as file:
            rebuild = torch._utils._rebuild_tensor_v2
            tensor = Reduce(rebuild, storage, offset, size, stride, False, {})
            Pickler(file, 2).dump({"w": tensor})
        archive.writestr("a/data/0", bytes(24))
    with pytest.raises(CheckpointError, match=word):
        read_checkpoint(path)
