"""The one error type of this package, where it happened, and messages for a terminal."""

import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

PACKAGES = ("pose_backbones", "pose_codecs", "pose_data", "pose_eval", "pose_train")
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


def note(text: object) -> None:
    """Print what is said beside a result, where the logger "pose_data" lets warnings through."""
    if logging.getLogger("pose_data").isEnabledFor(logging.WARNING):
        print(printable(text), flush=True)


@contextmanager
def manners(*, quiet: bool, verbose: bool) -> Iterator[None]:
    """Set what our packages say meanwhile, by the levels of their loggers.

    quiet: errors alone, no notes and no progress; Python's warnings are left out, too. verbose: all
    records of the log, on stderr.
    """
    loggers = [logging.getLogger(name) for name in PACKAGES]
    before = [logger.level for logger in loggers]
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s", "%H:%M:%S"))
    with warnings.catch_warnings():
        if quiet:
            warnings.simplefilter("ignore")
        for logger in loggers if quiet or verbose else ():
            logger.setLevel(logging.ERROR if quiet else logging.DEBUG)
            if verbose:
                logger.addHandler(handler)
        try:
            yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)
                logger.removeHandler(handler)


def drop_output() -> None:
    """Drop what cannot be printed: Python would complain of it once more when it exits."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
