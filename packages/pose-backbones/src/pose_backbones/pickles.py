"""Unpickle checkpoints as data: nothing that a pickle names is looked up, imported or called.

Tensors, containers, numbers and strings are built; every other class or function becomes an inert
`Placeholder`, and so does whatever the pickle asks it to return. A file that names something that
could only be there to act (`os.system`, `builtins.eval`) is refused all the same: its author meant
harm, and its weights are not to be trusted either.

Why not `torch.load(weights_only=True)`, with placeholders listed as safe: it keeps that list for
the whole process, names the globals of zip files only, reads protocol 2 only, appends to nothing
but a list and sets items of nothing but a dict, which subclasses of both in real files ask for,
and reads the storages of optimizers before anything can be chosen.
"""

import _compat_pickle
import pickle
from collections.abc import Callable, Iterable, Sequence
from typing import IO, Any, ClassVar, NamedTuple

import torch

from pose_backbones.names import CheckpointError


class Storage(NamedTuple):
    """Name the values that tensors are views of; the container of the pickle holds them."""

    key: str
    dtype: torch.dtype
    size: int


class StoredTensor(NamedTuple):
    """Describe a tensor that has not been read: a view of a storage, by strides and offset."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class Placeholder:
    """Stand in for an object that is not built, or for what would have built it.

    entries: the items that it was given, as a dict; state: what its attributes were set from.
    """

    def __init__(self) -> None:
        self.entries: dict[Any, Any] = {}
        self.state: Any = None


class Builder:
    """Stand in for one of the few functions that are known, and rebuilt here."""

    def __init__(self, build: Callable[..., Any]) -> None:
        self.build = build


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
# What stands in a file only to act when it is read. Naming these is refused; all else is inert.
ACTING_MODULES = {"code", "commands", "ctypes", "imp", "importlib", "marshal", "nt", "os", "pickle"}
ACTING_MODULES |= {"posix", "pty", "runpy", "shutil", "socket", "subprocess", "sys", "webbrowser"}
ACTING_MODULES |= {"_pickle", "_posixsubprocess", "torch.hub", "torch.jit"}
OPENING = {"open", "open_code", "FileIO"}
ACTING_NAMES = {
    "builtins": {"__import__", "breakpoint", "compile", "eval", "exec", "execfile", "open"},
    "codecs": {"open"},
    "io": OPENING,
    "_io": OPENING,  # as Python 3.13 names them
    "torch": {"load", "save"},
    "torch.serialization": {"load", "save"},
}
MOST_DIMENSIONS = 64  # of a tensor in PyTorch


class CheckpointUnpickler(pickle._Unpickler):
    """Build what a pickle describes from plain values, `StoredTensor`s and `Placeholder`s.

    It derives from the pure-Python unpickler, whose instructions can be replaced one by one; the C
    one calls what it finds, and allocates what a damaged file claims.
    """

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)
    # Of the base class, which sets them in `load`.
    stack: list[Any]
    append: Callable[[Any], None]
    pop_mark: Callable[[], list[Any]]
    read: Callable[[int], bytes]

    def __init__(self, file: IO[bytes], size: int) -> None:
        """Take a file and the number of bytes in it, which bounds the work that it can ask for."""
        super().__init__(file, encoding="latin1")
        self.budget = 1000 + 10 * size
        self.storages: dict[str, Storage] = {}  # all that the pickle names

    def find_class(self, module: str, name: str) -> Any:
        # Files of protocol 2, torch's, use Python 2's names: `commands` is `subprocess`.
        python3 = (_compat_pickle.IMPORT_MAPPING.get(module, module), name)
        module, name = _compat_pickle.NAME_MAPPING.get((module, name), python3)
        _refuse_if_acting(module, name)
        if module in ("torch", "torch.storage") and name in DTYPES:
            return DTYPES[name]
        build = BUILDERS.get((module, name))
        return Placeholder() if build is None else Builder(build)

    def persistent_load(self, pid: Any) -> Any:
        if not isinstance(pid, tuple) or not pid or not isinstance(pid[0], str):
            raise CheckpointError("it stores its tensors in a way that is not supported")
        if pid[0] == "module":  # (class, source file, source): how legacy files name a layer
            return Placeholder()
        kind, dtype, key, _, size = pid[:5]
        view = pid[5] if len(pid) > 5 else None
        is_plain = isinstance(dtype, torch.dtype) and isinstance(key, str | int) and view is None
        if kind != "storage" or not is_plain:
            raise CheckpointError("it stores its tensors in a way that is not supported")
        storage = Storage(str(key), dtype, _count(size))
        if self.storages.setdefault(storage.key, storage) != storage:
            raise CheckpointError("it describes one storage in two ways")
        return storage

    def build_object(self, function: Any, arguments: Any) -> Any:
        """Return what a call would have built; only the builders below are ever called."""
        if not isinstance(function, Builder) or not isinstance(arguments, tuple | list):
            return Placeholder()
        # A pickle can hand over one long list again and again, to be copied each time.
        self.budget -= sum(len(each) for each in arguments if isinstance(each, tuple | list | dict))
        self.budget -= len(arguments)
        if self.budget < 0:
            raise CheckpointError("it asks for more than a file of its size can hold")
        return function.build(*arguments)

    # What an instruction leaves on the stack is written out beside it: `... a b -> c`.

    def load_reduce(self) -> None:  # function arguments -> object
        arguments, function = self.stack.pop(), self.stack.pop()
        self.append(self.build_object(function, arguments))

    def load_newobj_ex(self) -> None:  # class arguments options -> object
        self.stack.pop()
        self.load_reduce()

    def _instantiate(self, function: Any, arguments: Any) -> None:  # of INST and OBJ
        self.append(self.build_object(function, arguments))

    def load_build(self) -> None:  # object state -> object
        state = self.stack.pop()
        if isinstance(self.stack[-1], Placeholder):
            self.stack[-1].state = state

    def load_append(self) -> None:  # list item -> list
        self.extend_list([self.stack.pop()])

    def load_appends(self) -> None:  # list mark items -> list
        self.extend_list(self.pop_mark())

    def extend_list(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)

    def load_setitem(self) -> None:  # dict key value -> dict
        value, key = self.stack.pop(), self.stack.pop()
        self.update_dict([key, value])

    def load_setitems(self) -> None:  # dict mark keys and values -> dict
        self.update_dict(self.pop_mark())

    def update_dict(self, items: list[Any]) -> None:
        target = self.stack[-1]
        entries = target.entries if isinstance(target, Placeholder) else target
        if isinstance(entries, dict):
            entries.update(_pairs(zip(items[::2], items[1::2], strict=True)))

    def load_additems(self) -> None:  # set mark items -> set
        items = self.pop_mark()
        if isinstance(self.stack[-1], set):
            self.stack[-1].update(_keys(items))

    def load_frozenset(self) -> None:  # mark items -> frozenset
        self.append(frozenset(_keys(self.pop_mark())))

    def load_bytearray8(self) -> None:  # -> bytes, of which no more are read than there are
        self.append(self.read(int.from_bytes(self.read(8), "little")))

    def refuse(self) -> None:
        raise CheckpointError("it uses an instruction of pickle that no checkpoint needs")

    dispatch |= {
        pickle.REDUCE[0]: load_reduce,
        pickle.NEWOBJ[0]: load_reduce,  # class arguments -> object
        pickle.NEWOBJ_EX[0]: load_newobj_ex,
        pickle.BUILD[0]: load_build,
        pickle.APPEND[0]: load_append,
        pickle.APPENDS[0]: load_appends,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.ADDITEMS[0]: load_additems,
        pickle.FROZENSET[0]: load_frozenset,
        pickle.BYTEARRAY8[0]: load_bytearray8,
        # These reach for objects outside of the file.
        **dict.fromkeys(b"".join((pickle.EXT1, pickle.EXT2, pickle.EXT4)), refuse),
        **dict.fromkeys(b"".join((pickle.NEXT_BUFFER, pickle.READONLY_BUFFER)), refuse),
    }


def _refuse_if_acting(module: str, name: str) -> None:
    parents = {module.rsplit(".", n)[0] for n in range(module.count(".") + 1)}
    if parents & ACTING_MODULES or name.partition(".")[0] in ACTING_NAMES.get(module, ()):
        raise CheckpointError(
            f"it asks to run {module}.{name}, which no checkpoint needs; nothing was run"
        )


def _is_key(value: Any) -> bool:
    """Tell whether a value is quick to hash; nested tuples and long integers can take for ever."""
    if isinstance(value, int):
        return value.bit_length() < 61
    return isinstance(value, str | bytes | None)


def _pairs(pairs: Iterable[Sequence[Any]]) -> dict[Any, Any]:
    return {key: value for key, value in pairs if _is_key(key)}


def _keys(items: Iterable[Any]) -> list[Any]:
    return [item for item in items if _is_key(item)]


def _dict(*arguments: Any) -> dict[Any, Any]:
    """Build an OrderedDict, Counter or defaultdict; Python 2 wrote their items as [key, value]."""
    items = arguments[0] if arguments and isinstance(arguments[0], list | dict) else []
    if isinstance(items, dict):
        return dict(items)
    return _pairs(pair for pair in items if isinstance(pair, list | tuple) and len(pair) == 2)


def _items(items: Any = (), *more: Any) -> list[Any]:
    return list(items) if isinstance(items, list | tuple) else []


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *more: Any) -> StoredTensor:
    if not isinstance(storage, Storage):
        raise CheckpointError("a tensor in it has no storage")
    size, stride = _items(size), _items(stride)
    if len(size) != len(stride) or len(size) > MOST_DIMENSIONS:
        raise CheckpointError("a tensor in it has a shape that no tensor has")
    return StoredTensor(storage, _count(offset), _counts(size), _counts(stride))


def _counts(values: list[Any]) -> tuple[int, ...]:
    return tuple(_count(value) for value in values)


def _count(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value < 1 << 63:
        raise CheckpointError("a size in it is not a number, or none that can be")
    return value


def _subclass_tensor(function: Any, _: Any, arguments: Any, *more: Any) -> Any:
    """Build a tensor that has a class or attributes of its own without them."""
    known = isinstance(function, Builder) and function.build is _tensor
    return _tensor(*arguments) if known and isinstance(arguments, tuple) else Placeholder()


BUILDERS: dict[tuple[str, str], Callable[..., Any]] = {
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): lambda tensor, *more: tensor,
    ("torch._utils", "_rebuild_parameter_with_state"): lambda tensor, *more: tensor,
    ("torch._tensor", "_rebuild_from_type_v2"): _subclass_tensor,
    ("torch", "Size"): lambda *arguments: tuple(_items(*arguments)),
    ("collections", "OrderedDict"): _dict,
    ("collections", "Counter"): _dict,
    ("collections", "defaultdict"): lambda factory=None, *more: _dict(*more),
    ("builtins", "dict"): _dict,
    ("builtins", "list"): _items,
    ("builtins", "tuple"): lambda *arguments: tuple(_items(*arguments)),
    ("builtins", "set"): lambda *arguments: set(_keys(_items(*arguments))),
    ("builtins", "frozenset"): lambda *arguments: frozenset(_keys(_items(*arguments))),
}
