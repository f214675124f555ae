"""Read checkpoint files as data: a `.pth` is a pickle, and no code named in it is ever run.

The unpickler knows tensors and plain containers. What else real files carry (configs, numpy
scalars, log buffers) becomes an inert `Placeholder`; a name that could act on the machine (`os`,
`builtins.eval`, `torch.load`, ...) is an error. `torch.load(weights_only=True)` is as careful, but
refuses files with a training log in them, as MMPose writes.
"""

import _compat_pickle
import hashlib
import io
import math
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, ClassVar, NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor


class CheckpointError(ValueError):
    """Say in one sentence why a checkpoint cannot be read or does not fit."""


class Checkpoint(NamedTuple):
    """Hold the tensors of a file by name, and the strings that describe them."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


class Placeholder:
    """Stand in for an object of a class that is not loaded; it swallows what it is given."""

    def __init__(self, *args: object, **options: object) -> None:
        pass

    def append(self, item: object) -> None:
        pass

    def extend(self, items: object) -> None:
        pass

    def add(self, item: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass


DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
BUILTIN_TYPES = {"bool", "bytearray", "bytes", "complex", "dict", "float", "int", "list", "object"}
BUILTIN_TYPES |= {"range", "slice", "str", "tuple"}
# Of the rest of the standard library, the modules whose names may stand in a file.
HARMLESS = {"_codecs", "argparse", "collections", "copyreg", "datetime", "decimal"}
HARMLESS |= {"enum", "fractions", "pathlib", "uuid"}
# Where a file holds its state dict, first found first taken; else it is the state dict itself.
STATE_DICTS = ("state_dict", "model", "model_state_dict", "best_state_dict")
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Return the tensors in a `.safetensors` or `.pth` file (zip or legacy), on the CPU.

    Raises CheckpointError for a file that is damaged, is no checkpoint, or asks to run something.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file")
    if path.stat().st_size == 0:
        raise CheckpointError(f"{path}: the file is empty")
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        content = _read_zip(path) if zipfile.is_zipfile(path) else _read_legacy(path)
        return _find_state_dict(content)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except (Exception, MemoryError) as error:
        # A damaged file can fail in any way while it is taken apart; all of them mean the same.
        what = f"{type(error).__name__}: {error}".rstrip(": ")
        raise CheckpointError(f"{path}: not a checkpoint, or damaged ({what})") from error


def _read_safetensors(path: Path) -> Checkpoint:
    with safe_open(path, framework="pt") as file:
        names = file.keys()
        if not names:
            raise CheckpointError("it holds no tensors")
        return Checkpoint({name: file.get_tensor(name) for name in names}, file.metadata() or {})


def _find_state_dict(content: object) -> Checkpoint:
    if not isinstance(content, dict):
        raise CheckpointError("it holds a pickled object, not a state dict")
    metadata = {}
    meta = content.get("meta")
    if isinstance(meta, dict):
        metadata = {str(k): v for k, v in meta.items() if isinstance(v, str)}
        metadata.setdefault("mmpose_version", "unknown")
    state: dict[Any, Any] = content
    for key in STATE_DICTS:
        if isinstance(content.get(key), dict):
            state = content[key]
            break
    tensors = {k: v for k, v in state.items() if isinstance(k, str) and isinstance(v, Tensor)}
    if not tensors:
        raise CheckpointError("it holds no tensors by name, so no state dict")
    return Checkpoint(tensors, metadata)


class SafeUnpickler(pickle._Unpickler):
    """Unpickle tensors and plain containers; `storage` returns the numbers a tensor is made of.

    It derives from the pure-Python unpickler: the C one allocates what a damaged file claims.
    """

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def __init__(self, file: IO[bytes], storage: Callable[[str, torch.dtype, int], Tensor]) -> None:
        super().__init__(file, encoding="latin1")
        self.storage = storage

    def find_class(self, module: str, name: str) -> Any:
        # Files of protocol 2, torch's, use Python 2's names: `commands` is `subprocess`.
        python3 = (_compat_pickle.IMPORT_MAPPING.get(module, module), name)
        module, name = _compat_pickle.NAME_MAPPING.get((module, name), python3)
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch._utils" and name in ("_rebuild_tensor", "_rebuild_tensor_v2"):
            return lambda *args: _rebuild_tensor(*args[:4])
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda data, requires_grad, hooks: data
        if module in ("torch", "torch.storage") and name in DTYPES:
            return DTYPES[name]
        if (module, name) == ("torch", "Size"):
            return tuple
        if module == "builtins" and name in ("set", "frozenset"):
            return {"set": set, "frozenset": frozenset}[name]
        if _could_act(module, name):
            raise CheckpointError(
                f"it asks to run {module}.{name}, which no checkpoint needs; nothing was run"
            )
        # A new class each time: a file could otherwise leave something behind in a shared one.
        return type(name, (Placeholder,), {})

    def persistent_load(self, pid: Any) -> Any:
        if pid[0] == "module":  # (class, source file, source): how legacy files name a layer
            return pid[1]
        kind, dtype, key, _, size = pid[:5]
        view = pid[5] if len(pid) > 5 else None
        if kind != "storage" or not isinstance(dtype, torch.dtype) or view is not None:
            raise CheckpointError("it stores its tensors in a way that is not supported")
        return self.storage(str(key), dtype, _count(size))

    def load_build(self) -> None:
        """Drop the state of an object: nothing that is kept needs one."""
        self.stack.pop()  # type: ignore[attr-defined]

    dispatch[pickle.BUILD[0]] = load_build


def _could_act(module: str, name: str) -> bool:
    """Tell whether naming this in a pickle can only serve to do something."""
    package = module.partition(".")[0]
    if package == "builtins":
        return name not in BUILTIN_TYPES
    if package == "torch":
        return not (module.startswith(("torch.nn", "torch.optim")) or name == "device")
    return package in sys.stdlib_module_names and package not in HARMLESS


def _rebuild_tensor(storage: Tensor, offset: int, size: Any, stride: Any) -> Tensor:
    """View a 1-D storage as a tensor of this size; raise where it would reach outside."""
    size, stride = [_count(n) for n in size], [_count(n) for n in stride]
    last = _count(offset) + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if not isinstance(storage, Tensor) or math.prod(size) > storage.numel():
        raise CheckpointError("a tensor claims more numbers than the file holds for it")
    if math.prod(size) and last >= storage.numel():
        raise CheckpointError("a tensor reaches outside of its data")
    return storage.as_strided(size, stride, offset)


def _count(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise CheckpointError(f"a size in it is {value!r}")
    return value


def _read_zip(path: Path) -> object:
    """Read the format of torch >= 1.6: a zip file with `data.pkl` and one record per storage."""
    with zipfile.ZipFile(path) as archive:
        records = {info.filename: info for info in archive.infolist()}
        roots = [name.removesuffix("data.pkl") for name in records if name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise CheckpointError("it is a zip file, but not a checkpoint")
        root = roots[0]
        if f"{root}constants.pkl" in records:
            raise CheckpointError("it is a TorchScript program, not a checkpoint")
        if (
            f"{root}byteorder" in records
            and archive.read(f"{root}byteorder") != sys.byteorder.encode()
        ):
            raise CheckpointError("it was written on a machine with the other byte order")

        def read(name: str, size: int | None = None) -> bytes:
            info = records[root + name]
            # Records are stored as they are; a compressed one could unpack to any size.
            if info.compress_type != zipfile.ZIP_STORED or size not in (None, info.file_size):
                raise CheckpointError(f"the record {name} is not of the size it should have")
            return archive.read(info)

        cache: dict[str, Tensor] = {}

        def storage(key: str, dtype: torch.dtype, size: int) -> Tensor:
            if key not in cache:
                data = bytearray(read(f"data/{key}", size * dtype.itemsize))
                empty = torch.empty(0, dtype=dtype)
                cache[key] = torch.frombuffer(data, dtype=dtype) if data else empty
            return cache[key]

        return SafeUnpickler(io.BytesIO(read("data.pkl")), storage).load()


def _read_legacy(path: Path) -> object:
    """Read the format of torch < 1.6: four pickles, the storage keys, then the raw numbers."""
    left = path.stat().st_size
    storages: dict[str, Tensor] = {}

    def storage(key: str, dtype: torch.dtype, size: int) -> Tensor:
        nonlocal left
        if key not in storages:
            left -= size * dtype.itemsize
            if left < 0:
                raise CheckpointError("its tensors claim more data than the file holds")
            storages[key] = torch.empty(size, dtype=dtype)
        return storages[key]

    with path.open("rb") as file:
        if SafeUnpickler(file, storage).load() != LEGACY_MAGIC:
            raise CheckpointError("it is a pickle, but not a PyTorch checkpoint")
        SafeUnpickler(file, storage).load()  # the version of the format
        if not SafeUnpickler(file, storage).load().get("little_endian", True):
            raise CheckpointError("it was written on a machine with the other byte order")
        content = SafeUnpickler(file, storage).load()
        for key in SafeUnpickler(file, storage).load():
            target = storages[str(key)]
            (size,) = struct.unpack("<q", file.read(8))
            data = bytearray(file.read(target.nbytes))
            if size != target.numel() or len(data) != target.nbytes:
                raise CheckpointError("it ends early, or its data are not of the size they claim")
            if data:
                target.copy_(torch.frombuffer(data, dtype=target.dtype))
    return content


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
