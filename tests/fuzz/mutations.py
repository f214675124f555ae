"""Documents and files with random damage, as `random.Random` draws it.

A valid document with a few damaged values reaches far deeper into a reader than random bytes do.
"""

import json
from random import Random
from typing import Any


class Raw(str):
    """JSON text to be written as it stands, for what no Python value becomes."""


class Key(str):
    """A key that is equal to itself alone, so that a dict can hold its text twice."""

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


# What stands in for a value, by the reason that it is hard.
ODD: list[Any] = [
    *(None, True, False, "", [], {}, [[]], [{}], {"": None}),
    *(0, -1, 1, 2, 3, 0.5, -0.0, 1e-320, 1e20, 1e300, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64),
    *(-(2**63), 10**400, float("nan"), float("inf"), float("-inf"), Raw("1e400"), Raw("-1e400")),
    *(Raw("9" * 5000), Raw("[" * 3000 + "]" * 3000), Raw('{"a":' * 3000 + "1" + "}" * 3000)),
    *(Raw('"\\ud800"'), Raw('"\\u0000"'), Raw("-"), Raw("01"), Raw("'a'"), Raw("1,")),
    *("a", "1", "-1", "1.0", "nan", "\x1b[31m", "a\nb", "é", "\u202e", "x" * 3000),
    *("../../etc/passwd", "/etc/passwd", "C:\\a.png", "http://localhost/a.png", "a.png", "."),
    *("<script>alert(1)</script>", '"><img src=x>', "=1+1", "%s%n{0}", "/", "..", "con"),
]


def mutated(document: Any, rng: Random, most: int = 3) -> Any:
    """Return a deep copy of a document of dicts, lists and values with 1 to `most` changes."""
    top = [_copied(document)]
    for _ in range(rng.randint(1, most)):
        _change(top, rng)
    return top[0]


def dumps(document: Any) -> str:
    """Return a document as JSON, or as what almost is."""
    if isinstance(document, Raw):
        return document
    if isinstance(document, dict):
        items = (f"{json.dumps(str(key))}: {dumps(value)}" for key, value in document.items())
        return "{" + ", ".join(items) + "}"
    if isinstance(document, list):
        return "[" + ", ".join(map(dumps, document)) + "]"
    return json.dumps(document)


def damaged(data: bytes, rng: Random, most: int = 4) -> bytes:
    """Return bytes with 1 to `most` of them changed, or pieces cut out, repeated or moved."""
    content = bytearray(data)
    for _ in range(rng.randint(1, most)):
        at, how = rng.randrange(len(content) + 1), rng.randrange(6)
        length = min(rng.choice((1, 1, 2, 4, 8, 100)), len(content) - at)
        if how == 0 and at < len(content):
            content[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            content[at : at + length] = bytes([rng.choice((0, 1, 127, 128, 255))]) * length
        elif how == 2:
            del content[at : at + length]
        elif how == 3:
            content[at:at] = content[at : at + length]
        elif how == 4:
            other = rng.randrange(len(content) + 1)
            content[other : other + length] = content[at : at + length]
        elif rng.randrange(4) == 0:
            del content[at:]
    return bytes(content)


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _change(top: list[Any], rng: Random) -> None:
    """Change one value at a random depth, in place."""
    holder, key = _place(top, rng)
    value, how = holder[key], rng.randrange(8)
    if how == 0 and holder is not top:
        del holder[key]
    elif how == 1 and isinstance(holder, dict):
        holder[Key(key)] = rng.choice((value, _odd(rng)))  # the key again
    elif how == 1 and holder is not top:
        holder.insert(rng.randrange(len(holder) + 1), value)
    elif how == 2 and isinstance(holder, dict):
        del holder[key]
        holder[str(rng.choice(("", "id", "a", "\x1b[2J", f"{key} ", str(key).upper())))] = value
    elif how == 2:
        other, there = _place(top, rng)  # a value from elsewhere
        if other is not top:
            holder[key] = _copied(other[there])
    elif how == 3:
        holder[key] = _retyped(value)
    elif how == 4 and isinstance(value, list):
        holder[key] = value * rng.choice((0, 2, 3)) if rng.randrange(2) else value[:-1]
    else:
        holder[key] = _odd(rng)


def _place(top: list[Any], rng: Random) -> tuple[Any, Any]:
    """Walk down from the top, and stop at a random depth; returns what holds a value, and where."""
    holder, key = top, 0
    while True:
        value = holder[key]
        if not isinstance(value, dict | list) or not value or rng.randrange(6) == 0:
            return holder, key
        holder = value
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))


def _odd(rng: Random) -> Any:
    return _copied(rng.choice(ODD))


def _retyped(value: Any) -> Any:
    """Return the same value in another type."""
    if isinstance(value, bool | None):
        return int(value or 0)
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return list(value.values())
    return dict(zip(map(str, range(len(value))), value, strict=True))
