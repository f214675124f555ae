"""Ranges of settings, declared where the setting is: in the metadata of a dataclass's field."""

import dataclasses
import math
from typing import Any


def within(low: float, high: float = math.inf, *, ordered: bool = False) -> dict[str, Any]:
    """Return the metadata of a field whose values, if not None, are from `low` to `high`.

    ordered: of several values none is below the one before.
    """
    words = f"from {low} to {high}" if math.isfinite(high) else f"at least {low}"
    return {"allows": lambda n: low <= n <= high, "words": words, "ordered": ordered}


def between(low: float, high: float = math.inf, *, ordered: bool = False) -> dict[str, Any]:
    """Return the metadata of a field whose values are above `low` and below `high`.

    ordered: as for `within`.
    """
    words = f"above {low}" + f" and below {high}" * math.isfinite(high)
    return {"allows": lambda n: low < n < high, "words": words, "ordered": ordered}


def check_ranges(settings: Any, path: str = "") -> None:
    """Raise ValueError for the first field of a dataclass with a value out of its range.

    Of a tuple or mapping, each number must be in it. path: prefix of the name in the message.
    """
    for field in dataclasses.fields(settings):
        value, name = getattr(settings, field.name), f"{path}{field.name}"
        if not field.metadata or value is None:
            continue
        values = {name: value}
        if isinstance(value, tuple):
            values = {f"{name}[{i}]": each for i, each in enumerate(value)}
        elif isinstance(value, dict):
            values = {f"{name}.{key}": each for key, each in value.items()}
        for where, number in values.items():
            is_number = number is not None and not isinstance(number, str)
            if is_number and not field.metadata["allows"](number):
                raise ValueError(f"{where} must be {field.metadata['words']}, got {number}")
        if field.metadata["ordered"] and list(value) != sorted(value):
            raise ValueError(f"{name} must be in order, the lowest first, got {list(value)}")
