"""Numbers and times in words, for people to read; and notes, which are said beside results."""

import logging
from typing import TextIO

from pose_data.errors import printable


def counted(number: int, name: str) -> str:
    """Return a number of things that take an s: 1 keypoint, 2 keypoints."""
    return f"{number} {name}{'s' * (number != 1)}"


def duration(seconds: float) -> str:
    """Return a time in its two largest units: 40 s, 12 min, 3 h 20 min, 2 days 4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} days {hours} h"


def note(*lines: object, to: TextIO | None = None) -> None:
    """Print lines that are no results, where notes are shown. to: stdout if not given."""
    if are_notes_shown():
        for line in lines:
            print(printable(line), file=to, flush=True)


def are_notes_shown() -> bool:
    """Tell whether notes and progress are shown: where the log "pose_train" lets warnings through.

    --quiet raises its level.
    """
    return logging.getLogger("pose_train").isEnabledFor(logging.WARNING)
