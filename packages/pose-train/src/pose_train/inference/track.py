"""Who is who in a video: one number for each person, from frame to frame.

Association in rounds with a motion model, as in ByteTrack (Zhang et al., "ByteTrack: Multi-Object
Tracking by Associating Every Detection Box", ECCV 2022), with two changes. Similarity is OKS of the
poses beside IoU of the boxes. Time is in seconds, so that frames may be unevenly spaced.
"""

import math
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pose_codecs import assign
from pose_data import Skeleton
from pose_train.inference.people import People

Floats = NDArray[np.floating[Any]]
F64 = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# The motion model, in heights of the person and seconds: ByteTrack's for 30 frames per second.
POSITION_NOISE = 1 / 20  # standard deviation of a measured position
FIRST_SPEED = 10 / 160 * 30  # standard deviation of the speed of a new track
ACCELERATION = (1 / 160 * 30) ** 2 * 30  # variance that speed gains in a second
BOX_SECONDS = 0.5  # in which a box takes most of a change of its size


@dataclass(frozen=True)
class TrackOptions:
    """When a detection continues a track, when it starts one, and how long a track is kept.

    high_score, low_score: person scores for the first and the second round; a person below both is
    left out. new_score: starts a track. min_similarity: of a track and a person, from 0 to 1.
    oks_weight: of OKS in the similarity, the rest is IoU. min_keypoint_score: keypoints below it do
    not count. lost_seconds: how long a track waits to be seen again. Raises ValueError for scores
    and shares outside of 0 to 1, and for a time below 0.
    """

    high_score: float = 0.5
    low_score: float = 0.1
    new_score: float = 0.6
    min_similarity: float = 0.2
    oks_weight: float = 0.75
    min_keypoint_score: float = 0.2
    lost_seconds: float = 1.0

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            value, most = getattr(self, name), math.inf if name == "lost_seconds" else 1.0
            if not 0 <= value <= most:
                raise ValueError(f"{name} must be from 0 to {most:g}, got {value!r}")
        if not self.low_score <= self.high_score <= self.new_score:
            raise ValueError(
                "low_score, high_score and new_score must not fall, got "
                f"{self.low_score}, {self.high_score} and {self.new_score}"
            )


BYTETRACK = TrackOptions()


class Tracks(NamedTuple):
    """T tracks: what each looked like when it was seen last, moved to where it is expected now.

    ids (T,), -1 until confirmed; seen (T,), the time in seconds; keypoints (T, K, 2), scores
    (T, K), bboxes (T, 4) xyxy; velocities (T, 2) in pixels per second; covariances (T, 2, 2) of
    position and velocity along an axis, in heights of the person and seconds.
    """

    ids: Ints
    seen: F64
    keypoints: F64
    scores: F64
    bboxes: F64
    velocities: F64
    covariances: F64


class Tracker:
    """Follow the people of a video: `track_ids = tracker.update(people, time)` for each frame."""

    def __init__(self, skeleton: Skeleton, options: TrackOptions = BYTETRACK) -> None:
        self.options = options
        self._sigmas = np.array(skeleton.sigmas)
        self._next_id = 1
        self.reset()

    def reset(self) -> None:
        """Forget everybody, for another video; ids go on, so that no two videos share one."""
        self._time: float | None = None
        self._tracks = _empty_tracks(len(self._sigmas))

    def update(self, people: People, time: float) -> Ints:
        """Return the track ids (P,) of a frame's people, from 1, and -1 for who is in no track.

        time: of the frame, in seconds. The people of the first frame are in tracks at once; later
        ones when they are seen in two frames running. Raises ValueError for a time that is not
        after that of the frame before, and for another number of keypoints.
        """
        self._check(people, time)
        is_first = self._time is None
        tracks = predict(self._tracks, time - (time if self._time is None else self._time))
        track_of = self._associate(tracks, people)  # (P,)
        is_matched = track_of >= 0

        rows = track_of[is_matched]
        measured = _started(people, is_matched, time)
        found = correct(tracks, rows, measured, self.options.min_keypoint_score)
        found = found._replace(ids=self._numbered(found.ids))
        is_missed = np.ones(len(tracks.ids), np.bool_)
        is_missed[rows] = False
        is_waiting = (tracks.ids >= 0) & (time - tracks.seen <= self.options.lost_seconds)
        starts = ~is_matched & (people.person_scores >= self.options.new_score)
        new = _started(people, starts, time)
        if is_first:
            new = new._replace(ids=self._numbered(new.ids))

        track_ids = np.full(len(people), -1)
        track_ids[is_matched], track_ids[starts] = found.ids, new.ids
        self._tracks = _joined(found, _chosen(tracks, is_missed & is_waiting), new)
        self._time = time
        return track_ids

    def _check(self, people: People, time: float) -> None:
        if self._time is not None and not time > self._time:
            raise ValueError(
                f"frames must be given in the order of their times, got {time!r} s after "
                f"{self._time!r} s; call reset() before another video"
            )
        if people.keypoints.shape[1] != len(self._sigmas):
            raise ValueError(
                f"the tracker's skeleton has {len(self._sigmas)} keypoints, the people have "
                f"{people.keypoints.shape[1]}"
            )

    def _associate(self, tracks: Tracks, people: People) -> Ints:
        """Return the track (a row, or -1) of each person (P,): ByteTrack's three rounds."""
        options = self.options
        similar = similarity(tracks, people, self._sigmas, options)  # (T, P)
        scores = people.person_scores
        is_high = scores >= options.high_score
        is_low = ~is_high & (scores >= options.low_score)
        is_confirmed = tracks.ids >= 0
        # A low score may be anything: it continues only who was there in the frame before.
        was_there = tracks.seen == self._time
        track_of = np.full(len(people), -1)
        for rows, columns in (
            (is_confirmed, is_high),
            (is_confirmed & was_there, is_low),
            (~is_confirmed, is_high),
        ):
            free_rows = np.setdiff1d(np.flatnonzero(rows), track_of)
            free_columns = np.flatnonzero(columns & (track_of < 0))
            row, column = match(similar[np.ix_(free_rows, free_columns)], options.min_similarity)
            track_of[free_columns[column]] = free_rows[row]
        return track_of

    def _numbered(self, ids: Ints) -> Ints:
        """Return ids with numbers of their own for those that have none."""
        is_new = ids < 0
        numbered = np.where(is_new, self._next_id - 1 + np.cumsum(is_new), ids)
        self._next_id += int(is_new.sum())
        return numbered


def predict(tracks: Tracks, seconds: float) -> Tracks:
    """Move tracks on by their velocities, and widen their covariances.

    Speed is a random walk in continuous time, so that two steps come to the same as one of their
    sum. A box keeps its size.
    """
    moved = seconds * tracks.velocities  # (T, 2)
    step = np.array([[1.0, seconds], [0.0, 1.0]])
    gained = ACCELERATION * np.array(
        [[seconds**3 / 3, seconds**2 / 2], [seconds**2 / 2, seconds]],
    )
    return tracks._replace(
        keypoints=tracks.keypoints + moved[:, None],
        bboxes=tracks.bboxes + np.tile(moved, 2),
        covariances=step @ tracks.covariances @ step.T + gained,
    )


def correct(tracks: Tracks, rows: Ints, found: Tracks, min_keypoint_score: float) -> Tracks:
    """Return tracks[rows] with what was found of them (M): the Kalman filter's second half.

    Their place is between where they were expected and where they were found. Keypoints that were
    not found keep their place in the pose, and a box changes its size slowly: who comes out from
    behind something looks like before, and not like the part that was seen last.
    """
    before = _chosen(tracks, rows)
    error = displacement(before, found, min_keypoint_score)  # (M, 2)
    variance = before.covariances[:, 0, 0] + POSITION_NOISE**2
    gain = before.covariances[:, :, 0] / variance[:, None]  # (M, 2): of position, of velocity
    back = (gain[:, :1] - 1) * error  # (M, 2): from where they were found to where they are now
    moved = before.keypoints + error[:, None]
    moved_boxes = before.bboxes + np.tile(error, 2)
    is_hidden = (found.scores < min_keypoint_score) & (before.scores >= min_keypoint_score)
    new_share = 1 - np.exp((before.seen - found.seen) / BOX_SECONDS)[:, None]  # (M, 1)
    boxes = moved_boxes + new_share * (found.bboxes - moved_boxes)
    return found._replace(
        ids=before.ids,
        keypoints=np.where(is_hidden[..., None], moved, found.keypoints) + back[:, None],
        scores=np.where(is_hidden, before.scores, found.scores),
        bboxes=boxes + np.tile(back, 2),
        velocities=before.velocities + gain[:, 1:] * error,
        covariances=before.covariances - gain[:, :, None] * before.covariances[:, :1],
    )


def displacement(before: Tracks, found: Tracks, min_keypoint_score: float) -> F64:
    """Return how far (M, 2) M people were found from where their tracks were expected.

    It is the median of the keypoints that both have, and not the boxes': that of a person who is
    half hidden has another center, and keypoints may be found on who stands before them. Where both
    have none, it is that of the boxes' centers.
    """
    both = (before.scores >= min_keypoint_score) & (found.scores >= min_keypoint_score)  # (M, K)
    moves = np.where(both[..., None], found.keypoints - before.keypoints, np.nan)  # (M, K, 2)
    centers = (found.bboxes - before.bboxes).reshape(-1, 1, 2, 2).mean(axis=2)  # (M, 1, 2)
    return np.nanmedian(np.where(both.any(axis=1)[:, None, None], moves, centers), axis=1)


def similarity(tracks: Tracks, people: People, sigmas: F64, options: TrackOptions) -> F64:
    """Return how much each track is like each person, (T, P), from 0 to 1.

    The more keypoints both have, the more OKS weighs in it, up to `oks_weight`.
    """
    iou = iou_matrix(tracks.bboxes, people.bboxes)
    areas = (_areas(tracks.bboxes)[:, None] + _areas(people.bboxes)) / 2  # (T, P)
    oks, shared = oks_matrix(
        *(tracks.keypoints, tracks.scores >= options.min_keypoint_score),
        *(people.keypoints, people.scores >= options.min_keypoint_score),
        areas,
        sigmas,
    )
    weight = options.oks_weight * shared
    return weight * oks + (1 - weight) * iou


def oks_matrix(
    keypoints: Floats, counts: Bools, others: Floats, others_count: Bools, areas: F64, sigmas: F64
) -> tuple[F64, F64]:
    """Return the OKS of T poses and P others, (T, P), and the share of keypoints it is from.

    keypoints (T, K, 2), others (P, K, 2). counts (T, K), others_count (P, K): which of them are
    there; a pair is compared by those that both have, and is 0 without any. areas (T, P): the
    scale of each pair in square pixels. sigmas (K,): as COCO's.
    """
    both = counts[:, None] & others_count  # (T, P, K)
    squared = ((keypoints[:, None] - others) ** 2).sum(axis=-1)  # (T, P, K)
    spread = 2 * np.maximum(areas, 1)[..., None] * (2 * sigmas) ** 2  # (T, P, K)
    similar = np.where(both, np.exp(-squared / spread), 0).sum(axis=-1)  # (T, P)
    count = both.sum(axis=-1)
    return similar / np.maximum(count, 1), count / len(sigmas)


def iou_matrix(boxes: Floats, others: Floats) -> F64:
    """Return the intersection over union (T, P) of boxes (T, 4) and others (P, 4), xyxy."""
    low = np.maximum(boxes[:, None, :2], others[:, :2])  # (T, P, 2)
    high = np.minimum(boxes[:, None, 2:], others[:, 2:])
    common = np.maximum(high - low, 0).prod(axis=-1)  # (T, P)
    union = _areas(boxes)[:, None] + _areas(others) - common
    return common / np.where(union > 0, union, 1)


def match(similar: F64, least: float) -> tuple[Ints, Ints]:
    """Pair rows with columns of similar (T, P) so that what pairs have above `least` is the most.

    Returns the rows and the columns (M,) of the pairs; none is as low as `least`.
    """
    gains = np.maximum(similar - least, 0)
    if gains.shape[0] > gains.shape[1]:
        columns, rows = match(similar.T, least)
        return rows, columns
    columns = assign(-gains, "optimal")
    rows = np.flatnonzero(gains[np.arange(len(gains)), columns] > 0)
    return rows, columns[rows]


def _areas(boxes: Floats) -> F64:
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return sides.prod(axis=-1, dtype=np.float64)


def _started(people: People, rows: Bools, time: float) -> Tracks:
    """Return tracks that start with some of the people."""
    count = int(rows.sum())
    return Tracks(
        np.full(count, -1),
        np.full(count, time),
        people.keypoints[rows].astype(np.float64),
        people.scores[rows].astype(np.float64),
        people.bboxes[rows].astype(np.float64),
        np.zeros((count, 2)),
        np.tile(np.diag([(2 * POSITION_NOISE) ** 2, FIRST_SPEED**2]), (count, 1, 1)),
    )


def _empty_tracks(keypoints: int) -> Tracks:
    return Tracks(
        ids=np.empty(0, np.int64),
        seen=np.empty(0),
        keypoints=np.empty((0, keypoints, 2)),
        scores=np.empty((0, keypoints)),
        bboxes=np.empty((0, 4)),
        velocities=np.empty((0, 2)),
        covariances=np.empty((0, 2, 2)),
    )


def _chosen(tracks: Tracks, rows: Ints | Bools) -> Tracks:
    return Tracks._make(array[rows] for array in tracks)


def _joined(*parts: Tracks) -> Tracks:
    return Tracks._make(np.concatenate(arrays) for arrays in zip(*parts, strict=True))
