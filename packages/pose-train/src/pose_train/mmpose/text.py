"""MMPose's config files, and the texts in its checkpoints, as nested dicts; nothing in them is run.

Read are literals, `dict(...)`, names and items defined above, sums and products of numbers, sums of
texts and lists, f-strings of such values, assignments that change what stands above, and `_base_`
with `_delete_`. The rest becomes a note.
"""

import ast
import operator
import os
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from pose_train.config.schema import ConfigError

LONGEST = 2_000_000  # characters of a text; real ones have up to 0.2 million
MOST_VALUES = 300_000  # of a config; a name counts wherever it is used
MOST_FILES = 50
MOST_ITEMS = 10_000  # of a computed list, and characters of a computed text

OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}


class Parsed(NamedTuple):
    """What a config says, tuples as lists, and what of it could not be read."""

    content: dict[str, Any]
    notes: list[str]


class NotRead(Exception):
    """Say why a piece of a config cannot be read without running it."""


def read_config_file(path: Path) -> Parsed:
    """Read a `.py` config and its `_base_` files; raises ConfigError."""
    reader = _Reader()
    return Parsed(reader.read_file(path, ()), reader.notes)


def read_config_text(text: str, name: str) -> Parsed:
    """Read a config that has no files beside it; `name` says in messages where it stands."""
    reader = _Reader()
    return Parsed(reader.read_text(text, name, None, ()), reader.notes)


def _load(path: Path, above: tuple[Path, ...]) -> str:
    named = f"{path}, _base_ of {above[-1]}," if above else str(path)
    try:
        size = path.stat().st_size
        if size > LONGEST:
            raise ConfigError(f"{named} has {size / 1e6:.0f} MB, which no config file has")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{named} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{named} is no text in UTF-8, as a config (.py) is") from None


def _parse(text: str, name: str) -> list[ast.stmt]:
    if len(text) > LONGEST:
        raise ConfigError(f"{name} has {len(text) / 1e6:.0f} million characters, as no config has")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a backslash in a text
            return ast.parse(text).body
    except SyntaxError as error:
        line = f"line {error.lineno}: " if error.lineno else ""
        raise ConfigError(f"{name} is not Python: {line}{error.msg}") from None
    except ValueError as error:  # of a zero byte, before Python 3.11.4
        raise ConfigError(f"{name} is not Python: {error}") from None
    except (RecursionError, MemoryError):
        raise ConfigError(f"{name} is nested too deeply to be a config") from None


class _Reader:
    """A config with its bases: what was read so far, counted, and what was not."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.num_files = 0
        self.num_values = 0

    def read_file(self, path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
        """Return a file merged into its bases; `above` are the files that it is a base of."""
        path = Path(os.path.abspath(path))
        self.num_files += 1
        if path in above:
            raise ConfigError(f"{path}: its _base_ leads back to itself")
        if self.num_files > MOST_FILES:
            raise ConfigError(f"{above[0]} has more than {MOST_FILES} files as its _base_")
        return self.read_text(_load(path, above), str(path), path.parent, (*above, path))

    def read_text(
        self, text: str, name: str, folder: Path | None, above: tuple[Path, ...]
    ) -> dict[str, Any]:
        """Return what a text says; `folder` is where its bases are, None for none."""
        body = _parse(text, name)
        scope = _Scope(self, Path(name).name, text.splitlines())
        try:
            for base in scope.bases(body):
                if "::" in base or folder is None:
                    self.notes.append(f"{scope.name}: its _base_ {base} is not at hand")
                else:
                    scope.base |= self.read_file(folder / base, above)
            for statement in body:
                scope.execute(statement)
            return merge(scope.base, scope.names)
        except RecursionError:
            raise ConfigError(f"{name} is nested too deeply to be a config") from None

    def copy(self, value: Any) -> Any:
        """Return a copy of a value; raises ConfigError where copies of copies become too many."""
        self.num_values += 1
        if self.num_values > MOST_VALUES:
            raise ConfigError(f"the config has more than {MOST_VALUES} values, as no config has")
        if isinstance(value, dict):
            return {key: self.copy(item) for key, item in value.items()}
        return [self.copy(item) for item in value] if isinstance(value, list) else value


def merge(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return a config merged into its base; `_delete_=True` in a dict drops what the base has."""
    merged = dict(base)
    for key, value in own.items():
        if isinstance(value, dict):
            below = base.get(key)
            replaced = value.get("_delete_") or not isinstance(below, dict)
            rest = {k: v for k, v in value.items() if k != "_delete_"}
            value = merge({} if replaced else below, rest)  # type: ignore[arg-type]
        merged[key] = value
    return merged


class _Scope:
    """The names of one text, as far as it has been read."""

    def __init__(self, reader: _Reader, name: str, lines: list[str]) -> None:
        self.reader = reader
        self.name = name
        self.lines = lines
        self.names: dict[str, Any] = {}
        self.base: dict[str, Any] = {}

    def bases(self, body: list[ast.stmt]) -> list[str]:
        """Return what a text gives as its `_base_`."""
        for statement in body:
            match statement:
                case ast.Assign(targets=[ast.Name(id="_base_")], value=value):
                    found = self._read_or_note(value)
                    found = found if isinstance(found, list) else [found]
                    return [base for base in found if isinstance(base, str)]
        return []

    def execute(self, statement: ast.stmt) -> None:
        """Do what an assignment does; note any other statement."""
        match statement:
            case ast.Assign(targets=[ast.Name(id="_base_")]) | ast.Expr(value=ast.Constant()):
                return
            case ast.Assign(targets=targets, value=value):
                self._assign(targets, value)
            case ast.AugAssign(target=target, op=op, value=value):
                self._assign([target], ast.copy_location(ast.BinOp(target, op, value), statement))
            case ast.ImportFrom(names=names) | ast.Import(names=names):
                # type=HRNet, as new configs have it: the class's name is all that is needed.
                self.names |= {each.asname or each.name: each.name for each in names}
                self._note(statement, "imports are not followed")
            case _:
                self._note(statement, "only assignments are read")

    def _assign(self, targets: list[ast.expr], node: ast.expr) -> None:
        value = self._read_or_note(node)
        for target in targets:
            try:
                container, key = self._place(target)
                container[key] = self.reader.copy(value)
            except (NotRead, LookupError, TypeError):
                self._note(target, "this cannot be assigned to")

    def _place(self, target: ast.expr) -> tuple[Any, Any]:
        match target:
            case ast.Name(id=name):
                return self.names, name
            case ast.Attribute(value=inner, attr=name):
                return self._find(inner), name
            case ast.Subscript(value=inner, slice=index):
                return self._find(inner), self.value(index)
        raise NotRead

    def _read_or_note(self, node: ast.expr) -> Any:
        """Return a value; None where it cannot be read, for what stood there before is not it."""
        try:
            return self.value(node)
        except NotRead as error:
            self._note(node, str(error))
            return None

    def _note(self, node: ast.AST, reason: str) -> None:
        line = getattr(node, "lineno", 1)
        code = " ".join(self.lines[line - 1].split()) if line <= len(self.lines) else ""
        code = code if len(code) <= 50 else f"{code[:47]}..."
        self.reader.notes.append(f"{self.name} line {line}, `{code}`: {reason}")

    def value(self, node: ast.expr) -> Any:
        """Return what an expression stands for; raises NotRead."""
        match node:
            case ast.Constant(value=bool() | int() | float() | str() | None as constant):
                return self.reader.copy(constant)
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return self._list(items)
            case ast.Dict(keys=keys, values=values):
                return self._dict(zip(keys, values, strict=True))
            case ast.Call(func=ast.Name(id="dict"), args=args, keywords=keywords):
                pairs: list[tuple[ast.expr | None, ast.expr]] = [(None, arg) for arg in args]
                pairs += [(ast.Constant(k.arg) if k.arg else None, k.value) for k in keywords]
                return self._dict(pairs)
            case ast.Name() | ast.Attribute() | ast.Subscript():
                return self.reader.copy(self._find(node))
            case ast.Set(elts=[ast.Set(elts=[inner])]):  # {{_base_.name}}
                return self.value(inner)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self._compute(ast.Sub, 0, self.value(operand))
            case ast.BinOp(left=left, op=op, right=right):
                return self._compute(type(op), self.value(left), self.value(right))
            case ast.JoinedStr(values=parts):
                return self._joined(parts)
            case ast.Call():
                raise NotRead("a call other than dict(...)")
        raise NotRead("neither a literal nor a name from above")

    def _list(self, nodes: list[ast.expr]) -> list[Any]:
        items: list[Any] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                several = self.value(node.value)
                if not isinstance(several, list):
                    raise NotRead("a * before what is no list")
                items += several
            else:
                items.append(self.value(node))
        return items

    def _dict(self, pairs: Iterable[tuple[ast.expr | None, ast.expr]]) -> dict[Any, Any]:
        """Return a dict; without a key, a value is a dict whose items are taken."""
        items: dict[Any, Any] = {}
        for key_node, node in pairs:
            if key_node is None:
                several = self.value(node)
                if not isinstance(several, dict):
                    raise NotRead("a dict of what is no dict")
                items |= several
                continue
            key = self.value(key_node)
            if not isinstance(key, str | int):
                raise NotRead("a key that is no text")
            items[key] = self._read_or_note(node)
        return items

    def _find(self, node: ast.expr) -> Any:
        """Return what a name or an item of it stands for, not copied."""
        match node:
            case ast.Name(id="_base_"):
                return self.base
            case ast.Name(id=name):
                if name not in self.names:
                    raise NotRead(f"{name} is not defined above")
                return self.names[name]
            case ast.Attribute(value=inner, attr=key):
                return self._item(self._find(inner), key)
            case ast.Subscript(value=inner, slice=index):
                return self._item(self._find(inner), self.value(index))
        return self.value(node)

    def _item(self, container: Any, key: Any) -> Any:
        is_key = isinstance(key, str | int)
        if isinstance(container, dict) and is_key and key in container:
            return container[key]
        if isinstance(container, list) and type(key) is int and abs(key) < len(container):
            return container[key]
        raise NotRead(f"there is no item {str(key)[:50]!r}")

    def _compute(self, op: type[ast.operator], left: Any, right: Any) -> Any:
        numbers = all(type(each) in (int, float) for each in (left, right))
        alike = type(left) is type(right) and isinstance(left, list | str)
        repeated = op is ast.Mult and isinstance(left, list) and type(right) is int
        if repeated and len(left) * right > MOST_ITEMS:
            raise NotRead("a very long list")
        if op not in OPERATORS or not (numbers or repeated or (alike and op is ast.Add)):
            raise NotRead("not plain arithmetic")
        try:
            result = OPERATORS[op](left, right)
        except (ArithmeticError, ValueError) as error:
            raise NotRead(str(error)) from None
        size = abs(result) / 1e15 if numbers else len(result) / MOST_ITEMS
        if not size <= 1:
            raise NotRead("a very large result")
        return self.reader.copy(result)

    def _joined(self, parts: list[ast.expr]) -> str:
        text = ""
        for part in parts:
            match part:
                case ast.Constant(value=str() as constant):
                    text += constant
                case ast.FormattedValue(value=inner, conversion=-1, format_spec=None):
                    text += str(self.value(inner))
                case _:
                    raise NotRead("a formatted f-string")
        if len(text) > MOST_ITEMS:
            raise NotRead("a very long text")
        return text
