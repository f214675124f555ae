"""What the fuzz tests share: examples, and commands with what they print."""

import contextlib
import io
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from pose_data.errors import UNPRINTABLE

# Of the command line; see conftest.py.
chosen_examples: int | None = None
chosen_seed: int | None = None


def fuzzed(examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Call a test with `rng`, a random.Random, again and again; the same ones in every run.

    What fails is drawn again with fewer and simpler values.
    """

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        run = given(rng=st.randoms(use_true_random=False))(test)
        if chosen_seed is not None:
            run = seed(chosen_seed)(run)
        return settings(
            max_examples=chosen_examples or examples,
            derandomize=chosen_seed is None,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )(run)

    return decorate


def typed(main: Callable[[Sequence[str]], int], *words: object) -> tuple[int, str]:
    """Return the exit code of a command and what it prints, which a terminal must be able to show.

    What it raises, but for the exit of a wrong option, is raised.
    """
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        code = main([str(word) for word in words])
    text = printed.getvalue()
    assert not UNPRINTABLE.search(text), f"a control character is printed: {text!r:.500}"
    return code, text


def pictures(folder: Any, names: Sequence[str], size: tuple[int, int] = (64, 48)) -> None:
    """Write black images of one size (w, h)."""
    import cv2
    import numpy as np

    for name in names:
        cv2.imwrite(str(folder / name), np.zeros((size[1], size[0], 3), np.uint8))
