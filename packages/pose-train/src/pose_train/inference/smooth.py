"""Smooth keypoints along tracks: less jitter of people at rest, little lag behind those who move.

The One-Euro filter (Casiez, Roussel and Vogel, "1 Euro Filter: A Simple Speed-based Low-pass Filter
for Noisy Input in Interactive Systems", CHI 2012). It takes time stamps, so that frames may be
unevenly spaced, and measures speed in sizes of the person, not in pixels: the same parameters suit
people near and far, and videos of any resolution.
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
    """The state of one track's K keypoints, each as of the last frame in which it was found.

    times (K,) in seconds, -inf for a keypoint not found yet; found (K, 2) and smoothed (K, 2) in
    pixels; velocities (K, 2) in pixels per second, smoothed as well.
    """

    times: F64
    found: F64
    smoothed: F64
    velocities: F64


class OneEuro:
    """Smooth keypoints along tracks: `people = smooth(people, track_ids, time)` for each frame."""

    def __init__(
        self,
        min_cutoff: float = 1.0,
        beta: float = 10.0,
        d_cutoff: float = 1.0,
        longest_gap: float = 0.25,
    ) -> None:
        """Set the parameters of the filter; raises ValueError for those out of range.

        min_cutoff: cutoff in Hz at rest; lower removes more jitter. beta: how many Hz the cutoff
        rises for a speed of one size of the person, the square root of the box's area, per second;
        higher lags less. d_cutoff: cutoff in Hz of the speed itself. longest_gap: in seconds; a
        keypoint that was missing for longer starts afresh.
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
        """Drop all tracks before another video."""
        self._time = -math.inf
        self._filters: dict[int, Filter] = {}

    def __call__(self, people: People, track_ids: Ints, time: float) -> People:
        """Return the people of a frame with smoothed keypoints; scores and boxes are as given.

        track_ids: (P,), as Tracker returns them. Keypoints of people without a track (-1), and
        those of score 0, are as given, too. time: of the frame, in seconds. Raises ValueError for a
        time that is not after the previous one, and for an id that two people have.
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
        # From the previous place as found, as in the authors' code: from the smoothed one, its lag
        # would count as speed, the more the higher the frame rate.
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
    """Return the filter of keypoints not found yet."""
    return Filter(np.full(count, -np.inf), *(np.zeros((count, 2)) for _ in range(3)))


def _blend(before: F64, now: F64, cutoff: F64 | float, seconds: F64) -> F64:
    """Return the next value of a low-pass filter with a cutoff in Hz."""
    share = 1 / (1 + 1 / (2 * np.pi * cutoff * seconds))
    return before + share * (now - before)


def _where(is_first: NDArray[np.bool_], first: Filter, second: Filter) -> Filter:
    """Return the first filter for some keypoints (K,), the second for the others."""
    places = zip(first[1:], second[1:], strict=True)
    return Filter(
        np.where(is_first, first.times, second.times),
        *(np.where(is_first[:, None], one, other) for one, other in places),
    )
