"""The one error type of this package, where it happened, and messages for a terminal."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

UNPRINTABLE = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


class DatasetError(ValueError):
    """Annotations or images that cannot be used; the message names the file and the record."""


def printable(text: object) -> str:
    """Return text for a terminal: control characters, which names in files may hold, as escapes.

    They would move the cursor, set the window's title or turn the direction of what follows.
    """
    return UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


@contextmanager
def reading(where: object) -> Iterator[None]:
    """Raise errors of the block as a DatasetError that names `where`.

    For content that is used without a check of each value.
    """
    try:
        yield
    except DatasetError as error:
        raise DatasetError(f"{where}: {error}") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        problem = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise DatasetError(f"{where}: a value is missing or wrong: {problem}") from error
