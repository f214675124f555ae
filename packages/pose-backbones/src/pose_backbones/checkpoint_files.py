"""Read checkpoint files: find out what a file is, whatever its name, and the weights in it.

Nothing in a file is run (see `pickles.py`), and only the tensors of the network are read.
"""

import hashlib
import json
import math
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor

from pose_backbones.names import CheckpointError
from pose_backbones.pickles import (
    CheckpointUnpickler,
    Placeholder,
    Storage,
    StoredTensor,
)


class Checkpoint(NamedTuple):
    """Hold the content of a file.

    tensors: by the names in the file. metadata: the strings that describe them (of MMPose's files
    those in `meta`). content: what else was pickled, foreign objects as placeholders. notes: which
    of several state dicts was taken.
    """

    path: Path
    tensors: dict[str, Tensor]
    metadata: dict[str, str]
    content: dict[str, Any]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Checkpoint({str(self.path)!r}, {len(self.tensors)} tensors)"


# Where a file holds its state dict. Averaged weights come first: they are what is evaluated.
AVERAGED = ("state_dict_ema", "ema_state_dict", "model_ema", "params_ema", "ema")
STATE_DICTS = (
    *("state_dict", "model_state_dict", "model_state", "model", "network", "net", "weights"),
    *("params", "generator", "module", "best_state_dict"),
)
MOST_MODULES = 20_000  # of a network that was saved as a whole
CUT_OFF = "a download or copy that was cut off; fetch or copy it again"
CLAIMS = "its tensors claim more data than the file holds"
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
MOST_DEFLATED = 10  # times its own size that a zip file may unpack to; weights hardly shrink
# What a file without weights is, by the bytes at an offset.
NO_CHECKPOINTS = (
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file it stands for: fetch that "
     "with `git lfs pull`, or download it from the site's own page"),
    (0, b"\x1f\x8b", "a gzip archive: unpack it first"),
    (0, b"BZh", "a bzip2 archive: unpack it first"),
    (0, b"\xfd7zXZ", "an xz archive: unpack it first"),
    (0, b"7z\xbc\xaf", "a 7z archive: unpack it first"),
    (0, b"Rar!", "a RAR archive: unpack it first"),
    (257, b"ustar", "a tar archive: unpack it first"),
    (0, b"\x89HDF", "an HDF5 file, as Keras writes them; only PyTorch's files can be read"),
    (0, b"\x89PNG", "an image"),
    (0, b"\xff\xd8\xff", "an image"),
    (0, b"\x93NUMPY", "a numpy array, not a checkpoint"),
)  # fmt: skip


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Return the tensors in a file, on the CPU.

    Reads safetensors and what `torch.save` writes, in its zip and its legacy container: state
    dicts, bare or below the usual keys, and whole networks. The content of a file decides, not its
    suffix. Raises CheckpointError for a file that cannot be read, is damaged or something else, or
    asks to run something.
    """
    path = Path(path)
    try:
        return _read(path)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (Exception, MemoryError) as error:
        # A damaged file can fail in any way while it is taken apart; all of them mean the same.
        what = " ".join(f"{type(error).__name__}: {error}".split())[:200].rstrip(": ")
        raise CheckpointError(
            f"{path}: not a checkpoint, or damaged ({what}); fetch or copy it again"
        ) from error


def _read(path: Path) -> Checkpoint:
    if path.is_dir():
        what = "an unpacked checkpoint" if any(path.rglob("data.pkl")) else "a folder"
        raise CheckpointError(f"it is {what}; the file itself is needed")
    if not path.is_file():
        raise CheckpointError("there is no such file")
    with path.open("rb") as file:
        head = file.read(512)
    size = path.stat().st_size
    _refuse_other_files(head, size)
    if head[8:9] == b"{":
        return _read_safetensors(path, int.from_bytes(head[:8], "little"), size)
    if head[:2] == b"PK":
        return _read_zip(path)
    return _read_legacy(path)


def _refuse_other_files(head: bytes, size: int) -> None:
    """Raise CheckpointError for a file whose first bytes are those of something else."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if size == 0:
        raise CheckpointError("the file is empty: fetch or copy it again")
    if not text.strip(b"\0"):
        raise CheckpointError("it begins with zeros: a download that was never finished")
    for offset, magic, what in NO_CHECKPOINTS:
        if head.startswith(magic, offset):
            raise CheckpointError(f"it is {what}")
    if text[:1] == b"<":
        raise CheckpointError(
            "it is a web page, not a checkpoint: the site wanted a click or a login before the "
            "download; open the link in a browser"
        )
    # A model of ONNX begins with its version, then the name of the program that wrote it.
    if head[:1] == b"\x08" and head[2:3] == b"\x12":
        raise CheckpointError(
            "it is an ONNX file, a network for deployment: give the checkpoint it was made from"
        )
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head):
        beginning = " ".join(text[:60].decode("ascii").split())
        raise CheckpointError(f"it is text, not a checkpoint; it begins {beginning!r}")


def _read_safetensors(path: Path, header: int, size: int) -> Checkpoint:
    if 8 + header > size:
        raise CheckpointError(
            f"it ends early: its header alone should have {header} bytes, and there are "
            f"{size - 8}; fetch or copy it again"
        )
    data = path.read_bytes()  # not mapped: a file that is cut meanwhile would kill the process
    try:
        tensors = load_tensors(data)
    except SafetensorError as error:
        raise CheckpointError(f"it is damaged ({error}), perhaps {CUT_OFF}") from error
    if not tensors:
        raise CheckpointError("it holds no tensors")
    metadata = json.loads(data[8 : 8 + header]).get("__metadata__") or {}
    return Checkpoint(path, tensors, metadata, {}, ())


def _read_zip(path: Path) -> Checkpoint:
    """Read the format of torch >= 1.6: a zip file with `data.pkl` and one record per storage."""
    if not zipfile.is_zipfile(path):
        raise CheckpointError(f"its end is missing after {path.stat().st_size} bytes: {CUT_OFF}")
    with zipfile.ZipFile(path) as archive:
        records = {info.filename: info for info in archive.infolist()}
        root = _root_of(records)
        if sum(info.file_size for info in records.values()) > MOST_DEFLATED * (
            1000 + path.stat().st_size
        ):
            raise CheckpointError("it would unpack to many times its own size, as no weights do")

        def read(name: str, size: int | None = None) -> bytes:
            info = records.get(root + name)
            if info is None or size not in (None, info.file_size):
                raise CheckpointError(f"its record {name} is missing, or not of the size it claims")
            return archive.read(info)

        if f"{root}byteorder" in records and read("byteorder") != sys.byteorder.encode():
            raise CheckpointError("it was written on a machine with the other byte order")

        def read_storages(wanted: Mapping[str, Storage]) -> Iterator[tuple[str, bytes]]:
            for key, storage in wanted.items():
                yield key, read(f"data/{key}", storage.size * storage.dtype.itemsize)

        pickled = read("data.pkl")
        content = CheckpointUnpickler(BytesIO(pickled), len(pickled)).load()
        return _checkpoint(path, content, read_storages)


def _root_of(records: Mapping[str, object]) -> str:
    """Return what stands before `data.pkl` in the names of a zip file's records."""
    roots = [n.removesuffix("data.pkl") for n in records if f"/{n}".endswith("/data.pkl")]
    if len(roots) == 1 and f"{roots[0]}constants.pkl" in records:
        raise CheckpointError(
            "it is a TorchScript program, a network for deployment: give the checkpoint it was "
            "made from"
        )
    if len(roots) == 1:
        return roots[0]
    if any("serialized_exported_program" in n or "archive_format" in n for n in records):
        raise CheckpointError(
            "it is a program of torch.export: give the checkpoint it was made from"
        )
    inside = [n for n in records if n.endswith((".pth", ".pt", ".ckpt", ".safetensors", ".tar"))]
    hint = f"; unpack {inside[0]} from it" if inside else ""
    raise CheckpointError(f"it is a zip file, but not a checkpoint{hint}")


class _Reader:
    """An open file of which no more is read than there is, whatever a pickle claims.

    It is not mapped into memory: a file that is cut meanwhile would kill the process.
    """

    def __init__(self, file: IO[bytes], size: int) -> None:
        self.file, self.size = file, size
        self.readline, self.tell, self.seek = file.readline, file.tell, file.seek

    def read(self, count: int) -> bytes:
        """Return so many bytes, or those that are left."""
        return self.file.read(max(0, min(count, self.size - self.tell())))


def _read_legacy(path: Path) -> Checkpoint:
    """Read the format of torch < 1.6: four pickles, the storage keys, then their bytes."""
    size = path.stat().st_size
    with path.open("rb") as opened:
        file = _Reader(opened, size)

        def unpickler() -> CheckpointUnpickler:
            return CheckpointUnpickler(file, size)  # type: ignore[arg-type]

        if unpickler().load() != LEGACY_MAGIC:
            raise CheckpointError("it is a pickle, but not a PyTorch checkpoint")
        unpickler().load()  # the version of the format
        system = unpickler().load()
        if not isinstance(system, dict) or not system.get("little_endian", True):
            raise CheckpointError("it was written on a machine with the other byte order")
        pickled = unpickler()
        content, keys = pickled.load(), unpickler().load()
        if not isinstance(keys, list) or set(map(str, keys)) != pickled.storages.keys():
            raise CheckpointError("its list of tensors is not that of its content")

        def read_storages(wanted: Mapping[str, Storage]) -> Iterator[tuple[str, bytes]]:
            for key in map(str, keys):
                storage = pickled.storages[key]
                length = storage.size * storage.dtype.itemsize
                if file.read(8) != struct.pack("<q", storage.size):
                    raise CheckpointError(f"it ends early, or {CLAIMS}")
                if file.tell() + length > size:
                    raise CheckpointError(f"it ends early, or {CLAIMS}: {CUT_OFF}")
                if key in wanted:
                    yield key, file.read(length)
                else:
                    file.seek(length, 1)

        return _checkpoint(path, content, read_storages)


def _checkpoint(
    path: Path,
    content: object,
    read_storages: Callable[[Mapping[str, Storage]], Iterator[tuple[str, bytes]]],
) -> Checkpoint:
    """Find the state dict in the unpickled content, and read only its tensors.

    read_storages: yields the bytes of the wanted storages, by key.
    """
    top = _entries(content)
    if not top:
        what = "an empty dict" if content == {} else "a pickled object"
        raise CheckpointError(f"it holds {what}, not a state dict")
    stored, notes = _find_state_dict(top)
    wanted = {tensor.storage.key: tensor.storage for tensor in stored.values()}
    storages: dict[str, Tensor] = {}
    for key, data in read_storages(wanted):
        empty = torch.empty(0, dtype=wanted[key].dtype)
        # A bytearray, because tensors can be written to.
        storages[key] = torch.frombuffer(bytearray(data), dtype=empty.dtype) if data else empty
    tensors = {name: _view(storages[t.storage.key], t) for name, t in stored.items()}
    metadata = {}
    if "meta" in top:
        meta = _entries(top["meta"]).items()
        metadata = {k: v for k, v in meta if isinstance(k, str) and isinstance(v, str)}
        metadata.setdefault("mmpose_version", "unknown")
    named = {key: value for key, value in top.items() if isinstance(key, str)}
    return Checkpoint(path, tensors, metadata, named, notes)


def _view(storage: Tensor, tensor: StoredTensor) -> Tensor:
    """View a 1-D storage as a tensor; raise where it would reach outside."""
    last = tensor.offset + sum(
        (n - 1) * step for n, step in zip(tensor.size, tensor.stride, strict=True)
    )
    count = math.prod(tensor.size)
    if count > storage.numel() or (count and last >= storage.numel()):
        raise CheckpointError("a tensor reaches outside of its storage")
    return storage.as_strided(tensor.size, tensor.stride, tensor.offset)


def _entries(value: object) -> dict[Any, Any]:
    """Return the items of a dict or a subclass of it, or the weights of a network saved whole."""
    if isinstance(value, Placeholder):
        if not value.entries:
            value.entries, value.state = _state_of_module(value), None
        return value.entries
    return value if isinstance(value, dict) else {}


def _state_of_module(module: Placeholder) -> dict[str, StoredTensor]:
    """Return the state dict of a network that was saved with its code, `torch.save(model)`."""
    state: dict[str, StoredTensor] = {}
    left: list[tuple[str, Any]] = [("", module)]
    seen = 0
    while left:
        prefix, each = left.pop()
        seen += 1
        parts = each.state if isinstance(each, Placeholder) else None
        if not isinstance(parts, dict) or seen > MOST_MODULES:
            return {}
        for kind in ("_parameters", "_buffers"):
            own = _entries(parts.get(kind)).items()
            state |= {f"{prefix}{n}": t for n, t in own if isinstance(t, StoredTensor)}
        below = _entries(parts.get("_modules")).items()
        left += [(f"{prefix}{n}.", m) for n, m in below if m is not None and len(prefix) < 1000]
    return state


def _find_state_dict(
    top: Mapping[Any, Any],
) -> tuple[dict[str, StoredTensor], tuple[str, ...]]:
    """Return the tensors that are the weights, and which of several they are, in notes."""
    keys = (*AVERAGED, *STATE_DICTS)
    if "mmengine_version" in _entries(top.get("meta")):
        # Its hook for averaged weights swaps the two as it saves: state_dict holds the averages.
        keys = (*STATE_DICTS, *AVERAGED)
    found = [(key, *each) for key in keys if (each := _state_dict_below(top, key))]
    own = _stored(top)
    if not found:  # below a key of the author's own
        others = [key for key in top if isinstance(key, str) and "optimizer" not in key]
        found = [(key, *each) for key in others if (each := _state_dict_below(top, key))]
        found = [each for each in found if len(each[2]) > len(own)]
        if len(found) > 1:
            names = ", ".join(key for key, _, _ in found[:4])
            raise CheckpointError(f"it holds several networks ({names}): save the one you want")
    if found:
        key, place, state = found[0]
        averaged = "averaged " if key in AVERAGED else ""
        others = [each[1] for each in found[1:]]
        instead = f", not those in {', '.join(others)}" if others else ""
        is_usual = place in ("state_dict", "model") and not others
        return state, () if is_usual else (f"took the {averaged}weights in {place}{instead}",)
    if own:
        return own, ()
    if top.keys() & {"optimizer", "optimizer_states", "param_groups"}:
        raise CheckpointError("it holds the state of an optimizer, and no weights")
    raise CheckpointError("it holds no tensors by name, so no state dict")


def _state_dict_below(
    values: Mapping[Any, Any], key: str, deepest: int = 3
) -> tuple[str, dict[str, StoredTensor]] | None:
    """Return the state dict in one entry, or in one of its own, and the keys that lead to it."""
    inside = _entries(values.get(key))
    for nested in (*AVERAGED, *STATE_DICTS) if inside and deepest > 1 else ():
        found = _state_dict_below(inside, nested, deepest - 1)
        if found is not None:
            return f"{key}.{found[0]}", found[1]
    own = _stored(inside)
    return (key, own) if own else None


def _stored(values: Mapping[Any, Any]) -> dict[str, StoredTensor]:
    return {k: v for k, v in values.items() if isinstance(k, str) and isinstance(v, StoredTensor)}


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
