"""Read MMPose's config files, and the config texts in its checkpoints, without running them.

Understood are literals, `dict(...)`, names and items defined above, arithmetic on numbers, sums of
strings and of lists, f-strings of such values, assignments that change what is defined above, and
`_base_` with `_delete_`. Everything else becomes a note.
"""

import ast
import operator
import os
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pose_train.config.schema import ConfigError

# Limits, far above those of real configs.
MOST_CHARACTERS = 2_000_000  # of a text; real ones have up to 0.2 million
MOST_VALUES = 300_000  # of a config; a name counts wherever it is used
MOST_FILES = 50
MOST_ITEMS = 10_000  # of a list or string that is computed
LARGEST = 1e15  # of a number

OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}


class NotRead(Exception):
    """The reason why a piece of a config cannot be read without running it."""


def read_config_file(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Return a `.py` config with its `_base_` files, and notes of what could not be read.

    Tuples become lists. Raises ConfigError.
    """
    reader = _Reader()
    return reader.read_file(path, ()), reader.notes


def read_config_text(text: str, name: str) -> tuple[dict[str, Any], list[str]]:
    """Read a config without files beside it; `name` tells in messages where it comes from."""
    reader = _Reader()
    return reader.read_text(text, name, ()), reader.notes


def _parse(text: str, name: str) -> list[ast.stmt]:
    if len(text) > MOST_CHARACTERS:
        raise ConfigError(f"{name} has {len(text) / 1e6:.0f} million characters: not a config")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about backslashes in strings
            return ast.parse(text).body
    except SyntaxError as error:
        line = f"line {error.lineno}: " if error.lineno else ""
        raise ConfigError(f"{name} is not Python: {line}{error.msg}") from None
    except ValueError as error:  # of a zero byte, before Python 3.11.4
        raise ConfigError(f"{name} is not Python: {error}") from None


def merge(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return a config merged into its base; `_delete_=True` in a dict drops what the base has."""
    merged = dict(base)
    for key, value in own.items():
        if isinstance(value, dict):
            below = {} if value.get("_delete_") else base.get(key)
            rest = {k: v for k, v in value.items() if k != "_delete_"}
            value = merge(below if isinstance(below, dict) else {}, rest)
        merged[key] = value
    return merged


@dataclass
class _Reader:
    """A config with its bases: the notes on it, and how much was read so far."""

    notes: list[str] = field(default_factory=list)
    num_files: int = 0
    num_values: int = 0

    def read_file(self, path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
        """Return a file merged into its bases; `above` are the files that it is a base of."""
        path = Path(os.path.abspath(path))
        name = f"{path}, _base_ of {above[-1]}," if above else str(path)
        self.num_files += 1
        if path in above:
            raise ConfigError(f"{path}: its _base_ leads back to itself")
        if self.num_files > MOST_FILES:
            raise ConfigError(f"{above[0]} has more than {MOST_FILES} files as its _base_")
        try:
            size = path.stat().st_size
            if not path.is_file():  # /dev/zero has no end
                raise ConfigError(f"{name} is not a file")
            if size > MOST_CHARACTERS:
                raise ConfigError(f"{name} has {size / 1e6:.0f} MB: not a config")
            text = path.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise ConfigError(f"{name} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigError(f"{name} is not UTF-8 text, as a config (.py) must be") from None
        return self.read_text(text, str(path), (*above, path))

    def read_text(self, text: str, name: str, files: tuple[Path, ...]) -> dict[str, Any]:
        """Return the content of a text; `files` ends with the file that it is in, if any."""
        try:
            module = _Module(self, Path(name).name, text.splitlines(), files)
            for statement in _parse(text, name):
                module.execute(statement)
            return merge(module.base, module.names)
        except (RecursionError, MemoryError):
            raise ConfigError(f"{name} is nested too deeply to be a config") from None

    def copy(self, value: Any) -> Any:
        """Return a copy of a value; raises ConfigError where copies of copies become too many."""
        self.num_values += 1
        if self.num_values > MOST_VALUES:
            raise ConfigError(f"the config has more than {MOST_VALUES} values: not a config")
        if isinstance(value, dict):
            return {key: self.copy(item) for key, item in value.items()}
        return [self.copy(item) for item in value] if isinstance(value, list) else value


@dataclass
class _Module:
    """The names that one text has defined so far."""

    reader: _Reader
    name: str
    lines: list[str]
    files: tuple[Path, ...]
    names: dict[str, Any] = field(default_factory=dict)
    base: dict[str, Any] = field(default_factory=dict)

    def execute(self, statement: ast.stmt) -> None:
        """Execute an assignment; note any other statement."""
        match statement:
            case ast.Expr(value=ast.Constant()):
                return
            case ast.Assign(targets=[ast.Name(id="_base_")], value=value):
                found = self.read_or_note(value)
                for file in found if isinstance(found, list) else [found]:
                    self.load_base(file)
            case ast.Assign(targets=targets, value=value):
                self.assign(targets, value)
            case ast.AugAssign(target=target, op=op, value=value):
                self.assign([target], ast.copy_location(ast.BinOp(target, op, value), statement))
            case ast.ImportFrom(names=names) | ast.Import(names=names):
                # type=HRNet, as in new configs: the name of the class is all that is needed.
                self.names |= {each.asname or each.name: each.name for each in names}
                self.note(statement, "imports are not followed")
            case _:
                self.note(statement, "only assignments are read")

    def load_base(self, file: Any) -> None:
        if isinstance(file, str) and self.files and "::" not in file:
            self.base |= self.reader.read_file(self.files[-1].parent / file, self.files)
        elif file is not None:
            self.reader.notes.append(f"{self.name}: its _base_ {file} is not available")

    def assign(self, targets: list[ast.expr], node: ast.expr) -> None:
        value = self.read_or_note(node)
        for target in targets:
            try:
                container, key = self.place(target)
                container[key] = self.reader.copy(value)
            except (NotRead, LookupError, TypeError):
                self.note(target, "this cannot be assigned to")

    def read_or_note(self, node: ast.expr) -> Any:
        """Return a value; None, not the value before, where it cannot be read."""
        try:
            return self.value(node)
        except NotRead as error:
            self.note(node, str(error))
            return None

    def note(self, node: ast.AST, reason: str) -> None:
        line = getattr(node, "lineno", 1)
        code = " ".join(self.lines[line - 1].split()) if line <= len(self.lines) else ""
        code = code if len(code) <= 50 else f"{code[:47]}..."
        self.reader.notes.append(f"{self.name} line {line}, `{code}`: {reason}")

    def value(self, node: ast.expr) -> Any:
        """Return the value of an expression; raises NotRead."""
        match node:
            case ast.Constant(value=str() | None as constant):
                return self.reader.copy(constant)
            case ast.Constant(value=bool() | int() | float() as number):
                return self.limited(number)
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return self.read_list(items)
            case ast.Dict(keys=keys, values=values):
                return self.read_dict(zip(keys, values, strict=True))
            case ast.Call(func=ast.Name(id="dict"), args=args, keywords=keywords):
                named = [(ast.Constant(k.arg) if k.arg else None, k.value) for k in keywords]
                return self.read_dict([*((None, arg) for arg in args), *named])
            case ast.Name() | ast.Attribute() | ast.Subscript():
                return self.reader.copy(self.find(node))
            case ast.Set(elts=[ast.Set(elts=[inner])]):  # {{_base_.name}}
                return self.value(inner)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self.compute(ast.Sub, 0, self.value(operand))
            case ast.BinOp(left=left, op=op, right=right):
                return self.compute(type(op), self.value(left), self.value(right))
            case ast.JoinedStr(values=parts):
                return self.limited("".join(map(self.formatted, parts)))
            case ast.Call():
                raise NotRead("a call other than dict(...)")
        raise NotRead("neither a literal nor a name from above")

    def read_list(self, nodes: list[ast.expr]) -> list[Any]:
        items: list[Any] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                items += self.unpacked(node.value, list)
            else:
                items.append(self.value(node))
        return items

    def read_dict(self, pairs: Iterable[tuple[ast.expr | None, ast.expr]]) -> dict[Any, Any]:
        """Return a dict; a value without a key is a dict to be merged into it."""
        items: dict[Any, Any] = {}
        for key_node, node in pairs:
            if key_node is None:
                items |= self.unpacked(node, dict)
                continue
            key = self.value(key_node)
            if not isinstance(key, str | int):
                raise NotRead("a key that is not a string")
            items[key] = self.read_or_note(node)
        return items

    def unpacked(self, node: ast.expr, kind: type) -> Any:
        value = self.value(node)
        if not isinstance(value, kind):
            raise NotRead(f"something other than a {kind.__name__} is unpacked")
        return value

    def place(self, node: ast.expr) -> tuple[Any, Any]:
        """Return the container and the key that a name, an attribute or an item stands for."""
        match node:
            case ast.Name(id="_base_"):
                return {"_base_": self.base}, "_base_"
            case ast.Name(id=name):
                return self.names, name
            case ast.Attribute(value=inner, attr=name):
                return self.find(inner), name
            case ast.Subscript(value=inner, slice=index):
                return self.find(inner), self.value(index)
        raise NotRead

    def find(self, node: ast.expr) -> Any:
        """Return the value of a name or of an item of it, not copied."""
        if not isinstance(node, ast.Name | ast.Attribute | ast.Subscript):
            return self.value(node)
        container, key = self.place(node)
        try:
            return container[key]
        except (LookupError, TypeError):
            what = f"there is no item {str(key)[:50]!r}"
            what = f"{key} is not defined above" if container is self.names else what
            raise NotRead(what) from None

    def compute(self, op: type[ast.operator], left: Any, right: Any) -> Any:
        are_numbers = all(type(each) in (int, float) for each in (left, right))
        is_sum = op is ast.Add and type(left) is type(right) and isinstance(left, list | str)
        is_repeated = op is ast.Mult and isinstance(left, list) and type(right) is int
        if op not in OPERATORS or not (are_numbers or is_sum or is_repeated):
            raise NotRead("not plain arithmetic")
        if is_repeated and len(left) * right > MOST_ITEMS:
            raise NotRead("a very long list")
        try:
            result = OPERATORS[op](left, right)
        except ArithmeticError as error:
            raise NotRead(str(error)) from None
        return self.limited(result)

    def limited(self, value: Any) -> Any:
        """Return a value, counted; raises NotRead where it is larger than configs need."""
        is_long = isinstance(value, str | list) and len(value) > MOST_ITEMS
        if is_long or (isinstance(value, int | float) and not abs(value) <= LARGEST):
            raise NotRead("a very large value")
        return self.reader.copy(value)

    def formatted(self, part: ast.expr) -> str:
        match part:
            case ast.Constant(value=str() as constant):
                return constant
            case ast.FormattedValue(value=inner, conversion=-1, format_spec=None):
                return str(self.value(inner))
        raise NotRead("a formatted f-string")
