"""Smooth the keypoints of a video's tracks: no jitter of who stands still, little lag of who moves.

The One-Euro filter of Casiez, Roussel and Vogel ("1 Euro Filter: A Simple Speed-based Low-pass
Filter for Noisy Input in Interactive Systems", CHI 2012), on time stamps, so that frames may be
unevenly spaced. Speed is in sizes of the person and not in pixels: the same settings suit people
near and far, and videos of any resolution.
"""

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pose_train.inference.people import People

Floats = NDArray[np.floating[Any]]
F64 = NDArray[np.float64]
Ints = NDArray[np.int64]


class Filter(NamedTuple):
    """One person's K keypoints, each as of the last frame in which it was found.

    times (K,) in seconds, -inf for one not found yet; found (K, 2) and smoothed (K, 2) in pixels,
    velocities (K, 2) in pixels per second, smoothed as well.
    """

    times: F64
    found: F64
    smoothed: F64
    velocities: F64


class OneEuro:
    """Smooth keypoints by track: `people = smooth(people, track_ids, time)` for each frame."""

    def __init__(
        self,
        min_cutoff: float = 1.0,
        beta: float = 10.0,
        d_cutoff: float = 1.0,
        longest_gap: float = 0.25,
    ) -> None:
        """Take the filter's parameters; raises ValueError for what makes no filter.

        min_cutoff: in Hz, for what stands still; lower smooths more. beta: in Hz for each size of
        the person, the square root of the box's area, that a keypoint moves in a second; higher
        lags less. d_cutoff: in Hz, for the speed. longest_gap: in seconds; a keypoint that was not
        found for longer starts anew.
        """
        for name, value in (("min_cutoff", min_cutoff), ("d_cutoff", d_cutoff)):
            if not value > 0:
                raise ValueError(f"{name} must be above 0 Hz, got {value!r}")
        for name, value in (("beta", beta), ("longest_gap", longest_gap)):
            if not value >= 0:
                raise ValueError(f"{name} must be at least 0, got {value!r}")
        self.min_cutoff, self.beta, self.d_cutoff = min_cutoff, beta, d_cutoff
        self.longest_gap = longest_gap
        self.reset()

    def reset(self) -> None:
        """Forget all tracks, for another video."""
        self._time = -math.inf
        self._filters: dict[int, Filter] = {}

    def __call__(self, people: People, track_ids: Ints, time: float) -> People:
        """Return the people of a frame with smoothed keypoints; scores and boxes stay.

        track_ids: (P,), as Tracker returns them. Who is in no track (-1) stays, and so does a
        keypoint of score 0. time: of the frame, in seconds. Raises ValueError for a time that is
        not after that of the frame before, and for an id of two people.
        """
        if not time > self._time:
            raise ValueError(
                f"frames must be given in the order of their times, got {time!r} s after "
                f"{self._time!r} s; call reset() before another video"
            )
        self._time = time
        keypoints = people.keypoints.copy()
        rows = np.flatnonzero(track_ids >= 0)
        if len(np.unique(track_ids[rows])) < len(rows):
            raise ValueError(f"two people of a frame have the same track id: {track_ids.tolist()}")
        for row in rows.tolist():
            track_id = int(track_ids[row])
            is_found = people.scores[row] > 0  # (K,)
            before = self._filters.get(track_id) or _start(len(is_found))
            found = people.keypoints[row].astype(np.float64)
            after = self._step(before, found, people.bboxes[row], time)
            self._filters[track_id] = _where(is_found, after, before)
            keypoints[row, is_found] = after.smoothed[is_found]
        self._filters = {
            track_id: each
            for track_id, each in self._filters.items()
            if time - each.times.max() <= self.longest_gap
        }
        return replace(people, keypoints=keypoints)

    def _step(self, before: Filter, found: F64, bbox: Floats, time: float) -> Filter:
        """Return the filter after a frame in which all keypoints (K, 2) were found."""
        seconds = (time - before.times)[:, None]  # (K, 1)
        # The speed is that of the places found, as in the authors' code: the lag of the smoothed
        # ones would add to it, the more the shorter a frame is.
        measured = (found - before.found) / seconds
        velocities = _blend(before.velocities, measured, self.d_cutoff, seconds)
        size = math.sqrt(max(1.0, float((bbox[2:] - bbox[:2]).prod())))
        speed = np.linalg.norm(velocities, axis=1, keepdims=True) / size  # (K, 1)
        cutoff = self.min_cutoff + self.beta * speed
        smoothed = _blend(before.smoothed, found, cutoff, seconds)
        times = np.full(len(found), time)
        continued = Filter(times, found, smoothed, velocities)
        fresh = Filter(times, found, found, np.zeros_like(found))
        return _where(seconds[:, 0] <= self.longest_gap, continued, fresh)


def _start(count: int) -> Filter:
    """Return the filter of keypoints that were not found yet."""
    return Filter(np.full(count, -np.inf), *(np.zeros((count, 2)) for _ in range(3)))


def _blend(before: F64, now: F64, cutoff: F64 | float, seconds: F64) -> F64:
    """Return what a low-pass filter of a cutoff in Hz makes of a value and the one before it."""
    share = 1 / (1 + 1 / (2 * np.pi * cutoff * seconds))
    return before + share * (now - before)


def _where(is_first: NDArray[np.bool_], first: Filter, second: Filter) -> Filter:
    """Return the first filter for some keypoints (K,), the second for the others."""
    places = zip(first[1:], second[1:], strict=True)
    return Filter(
        np.where(is_first, first.times, second.times),
        *(np.where(is_first[:, None], one, other) for one, other in places),
    )
