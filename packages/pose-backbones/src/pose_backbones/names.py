"""The names that users type, and the errors of names and files: what needs no torch.

So that help, lists and mistakes do not wait for it.
"""

import difflib
import fnmatch
import re
from collections.abc import Iterable

# The models, which models.py builds.
MODELS = [
    "cpm",
    "higherhrnet",
    "higherhrnet_w32",
    "higherhrnet_w48",
    "hourglass",
    "hourglass52",
    "hourglass_ae",
    "hrnet",
    "hrnet_ae",
    "hrnet_w32",
    "hrnet_w32_ae",
    "hrnet_w48",
    "hrnet_w48_ae",
]
# What convert.py writes, with the version of MMPose that it then states.
TARGETS = {"pose-backbones": None, "mmpose-1.x": "1.3.2", "mmpose-0.x": "0.29.0", "official": None}

UNPRINTABLE = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


class CheckpointError(ValueError):
    """Say in one sentence why a checkpoint cannot be read or does not fit."""


def printable(text: object) -> str:
    """Return text for a terminal: control characters, which names in files may hold, as escapes.

    They would move the cursor, set the window's title or turn the direction of what follows.
    """
    return UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


def list_models(pattern: str = "*") -> list[str]:
    """Return the model names that match a shell pattern such as `hrnet*`, in any case."""
    return fnmatch.filter(MODELS, pattern.lower())


def unknown(kind: str, name: str, allowed: Iterable[str]) -> str:
    """Word the error for a name that is not among the allowed ones, the nearest first."""
    names = sorted(allowed)
    close = difflib.get_close_matches(name, names, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are: {', '.join(names)}"
    return f"unknown {kind} {name!r}; {hint}"
