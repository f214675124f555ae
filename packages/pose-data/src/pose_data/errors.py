"""The one error type of this package, and where it happened."""

from collections.abc import Iterator
from contextlib import contextmanager


class DatasetError(ValueError):
    """Annotations or images that cannot be used; the message names the file and the record."""


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
