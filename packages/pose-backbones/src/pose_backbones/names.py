"""The wording of errors about unknown names."""

import difflib
from collections.abc import Iterable


def unknown(kind: str, name: str, allowed: Iterable[str]) -> str:
    """Word the error for a name that is not among the allowed ones, the nearest first."""
    names = sorted(allowed)
    close = difflib.get_close_matches(name, names, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are: {', '.join(names)}"
    return f"unknown {kind} {name!r}; {hint}"
