"""Checkpoints: damaged bytes, safetensors headers, and pickles whose instructions are shuffled."""

import itertools
import json
import pickletools
import struct
import zipfile
from collections import OrderedDict
from io import BytesIO
from random import Random

import pytest
import torch
from harness import fuzzed
from mutations import damaged, dumps, mutated
from safetensors.torch import save
from torch import nn

from pose_backbones import CheckpointError, load_checkpoint, read_checkpoint

# What an instruction is replaced by: names that act, lengths beyond the file, odd constants.
ODD = [
    *(b"N", b"]", b"}", b")", b"(", b".", b"0", b"2", b"t", b"R", b"b", b"\x81", b"\x90", b"\x91"),
    *(b"a", b"e", b"s", b"u", b"o", b"Q", b"\x93", b"\x94", b"h\x00", b"1", b"\x8f"),
    *(b"cos\nsystem\n", b"cbuiltins\neval\n", b"ios\nsystem\n", b"ccollections\nOrderedDict\n"),
    *(b"\x8a\x08" + b"\xff" * 8, b"\x8a\x01\x80", b"I99999999999999\n", b"F1e400\n"),
    *(b"X\xff\xff\xff\x7f", b"\x8e" + b"\xff" * 7 + b"\x7f", b"\x96" + b"\xff" * 7 + b"\x0f"),
    *(b"\x95" + b"\xff" * 8, b"r\xff\xff\xff\x7f", b"p999999999\n", b"V\\ud800\n", b"S'\\xff'\n"),
    b"G" + struct.pack(">d", float("nan")),
]


def model() -> nn.Module:
    net = nn.Sequential()
    net.add_module("backbone", nn.Conv2d(3, 4, 3))
    net.add_module("head", nn.Conv2d(4, 2, 1))
    return net


def saved(content: object, **options: bool) -> bytes:
    torch.save(content, buffer := BytesIO(), **options)
    return buffer.getvalue()


STATE = model().state_dict()
ABOUT = {"meta": {"mmpose_version": "1.0", "x": [1, {"a": 3}]}, "optimizer": {"state": {0: {}}}}
PACKED = [saved({"state_dict": OrderedDict(STATE), **ABOUT}), saved(model())]
LEGACY = saved({"state_dict": STATE, "epoch": 3}, _use_new_zipfile_serialization=False)
TENSORS = save(STATE, {"format": "pt", "source_format": "x"})


def instructions(data: bytes) -> list[bytes]:
    places = [place for _, _, place in pickletools.genops(data)] + [len(data)]
    return [data[a:b] for a, b in itertools.pairwise(places)]


def shuffled(data: bytes, rng: Random) -> bytes:
    """Return a pickle with some instructions left out, repeated, exchanged or replaced."""
    parts = instructions(data)
    for _ in range(rng.randint(1, 4)):
        i, j, how = rng.randrange(len(parts)), rng.randrange(len(parts)), rng.randrange(6)
        if how == 0 and len(parts) > 1:
            del parts[i]
        elif how == 1:
            parts.insert(i, parts[j])
        elif how == 2:
            parts[i], parts[j] = parts[j], parts[i]
        elif how == 3:
            parts[i] = damaged(parts[i], rng, 1)
        else:
            parts[i] = rng.choice(ODD)
    return b"".join(parts)


def with_pickle(packed: bytes, rng: Random) -> bytes:
    """Return a zip file with other instructions in its pickle."""
    source = zipfile.ZipFile(BytesIO(packed))
    with zipfile.ZipFile(buffer := BytesIO(), "w") as target:
        for info in source.infolist():
            data = source.read(info)
            is_pickle = info.filename.endswith("data.pkl")
            target.writestr(info.filename, shuffled(data, rng) if is_pickle else data)
    return buffer.getvalue()


def with_header(tensors: bytes, rng: Random) -> bytes:
    length = int.from_bytes(tensors[:8], "little")
    header = mutated(json.loads(tensors[8 : 8 + length]), rng)
    text = dumps(header).encode("utf-8", "surrogatepass")
    return len(text).to_bytes(8, "little") + text + tensors[8 + length :]


@fuzzed(400)
def test_reading_and_loading(
    tmp_path_factory: pytest.TempPathFactory, rng: Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzzed.pth"
    how = rng.randrange(4)
    if how == 0:
        data = damaged(rng.choice((*PACKED, LEGACY, TENSORS)), rng)
    elif how == 1:
        data = with_header(TENSORS, rng)
    elif how == 2:
        data = with_pickle(rng.choice(PACKED), rng)
    else:
        end = LEGACY.rindex(b".", 0, -400) + 1  # the pickles; tensors follow
        data = damaged(LEGACY[:end], rng, 6) + LEGACY[end:]
    file.write_bytes(data)
    monkeypatch.setattr("os.system", lambda *words: pytest.fail("a checkpoint has run something"))
    try:
        load_checkpoint(model(), read_checkpoint(file))
    except CheckpointError:
        return
