"""Track people through a video: a person keeps one id from frame to frame.

Two-stage association with a Kalman filter, as in ByteTrack (Zhang et al., "ByteTrack: Multi-Object
Tracking by Associating Every Detection Box", ECCV 2022), but for poses: similarity mixes the OKS of
keypoints with the IoU of boxes, and motion is measured on the keypoints. Times are in seconds, so
that frames may be unevenly spaced.
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

# Motion, in heights of the person and seconds. The Kalman gain depends on the ratios of these
# alone, so that nobody's height is needed. The values are ByteTrack's at 30 frames per second.
POSITION_NOISE = 1 / 20  # standard deviation of a measured position
FIRST_SPEED = 10 / 160 * 30  # standard deviation of the speed of a new track
ACCELERATION = (1 / 160 * 30) ** 2 * 30  # variance that speed gains in a second
BOX_SECONDS = 0.5  # time constant at which the box of a track takes the size of those found


@dataclass(frozen=True)
class TrackOptions:
    """The thresholds of a Tracker; those of scores and the time are ByteTrack's.

    high_score: people with at least this person score are matched first. low_score: those between
    the two continue a track that was seen in the previous frame; lower ones are ignored. new_score:
    starts a track. min_similarity: of a track and a person, from 0 to 1. oks_weight: share of OKS
    in it, beside IoU. min_keypoint_score: keypoints below it are left out. lost_seconds: a track
    that was not seen for longer ends.

    A bottom-up network's person score is a mean over all keypoints, found or not: lower the
    thresholds where people are seen by half.

    Raises ValueError for values outside of their range, and scores that are not in order.
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
                "low_score <= high_score <= new_score must hold, got "
                f"{self.low_score}, {self.high_score} and {self.new_score}"
            )


BYTETRACK = TrackOptions()


class Tracks(NamedTuple):
    """T tracks: the person as seen last, moved to the place at the current time.

    ids (T,), -1 until confirmed; seen (T,), when last, in seconds; keypoints (T, K, 2), scores
    (T, K), bboxes (T, 4) xyxy; velocities (T, 2) in pixels per second; covariances (T, 2, 2) of
    position and velocity, the same for x and y, in heights of the person and seconds.
    """

    ids: Ints
    seen: F64
    keypoints: F64
    scores: F64
    bboxes: F64
    velocities: F64
    covariances: F64


class Tracker:
    """Track the people of a video: `track_ids = tracker.update(people, time)` for each frame."""

    def __init__(self, skeleton: Skeleton, options: TrackOptions = BYTETRACK) -> None:
        self.options = options
        self._sigmas = np.array(skeleton.sigmas)
        self._next_id = 1
        self.reset()

    def reset(self) -> None:
        """Drop all tracks before another video; ids go on, so that no two videos share one."""
        self._time: float | None = None
        self._tracks = _empty_tracks(len(self._sigmas))

    def update(self, people: People, time: float) -> Ints:
        """Return the track ids (P,) of a frame's people: from 1, or -1 for people without a track.

        time: of the frame, in seconds. People in the first frame get their ids at once, later ones
        when they are found in a second frame running. Raises ValueError for a time that is not
        after the previous one, and for people of another number of keypoints.
        """
        self._check(people, time)
        is_first = self._time is None
        tracks = predict(self._tracks, 0.0 if self._time is None else time - self._time)
        track_of = self._associate(tracks, people)  # (P,)
        is_matched = track_of >= 0

        rows = track_of[is_matched]
        measured = _new_tracks(people, is_matched, time)
        found = correct(_take(tracks, rows), measured, self.options.min_keypoint_score)
        found = self._with_ids(found)  # of those that this frame confirms
        is_missed = np.ones(len(tracks.ids), np.bool_)
        is_missed[rows] = False
        # Unconfirmed tracks end with the first frame that misses them.
        is_waiting = (tracks.ids >= 0) & (time - tracks.seen <= self.options.lost_seconds)
        starts = ~is_matched & (people.person_scores >= self.options.new_score)
        new = _new_tracks(people, starts, time)
        if is_first:
            new = self._with_ids(new)

        track_ids = np.full(len(people), -1)
        track_ids[is_matched], track_ids[starts] = found.ids, new.ids
        self._tracks = _concatenate(found, _take(tracks, is_missed & is_waiting), new)
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
        """Return the row of each person's track (P,), or -1: ByteTrack's three rounds."""
        options = self.options
        similar = similarity(tracks, people, self._sigmas, options)  # (T, P)
        scores = people.person_scores
        is_high = scores >= options.high_score
        is_low = ~is_high & (scores >= options.low_score)
        is_confirmed = tracks.ids >= 0
        # Low scores are often no people: they do not revive a lost track.
        is_in_sight = tracks.seen == self._time
        track_of = np.full(len(people), -1)
        for rows, columns in (
            (is_confirmed, is_high),
            (is_confirmed & is_in_sight, is_low),
            (~is_confirmed, is_high),
        ):
            free_rows = np.setdiff1d(np.flatnonzero(rows), track_of)
            free_columns = np.flatnonzero(columns & (track_of < 0))
            row, column = match(similar[np.ix_(free_rows, free_columns)], options.min_similarity)
            track_of[free_columns[column]] = free_rows[row]
        return track_of

    def _with_ids(self, tracks: Tracks) -> Tracks:
        """Give new ids to tracks that have none."""
        is_new = tracks.ids < 0
        ids = np.where(is_new, self._next_id - 1 + np.cumsum(is_new), tracks.ids)
        self._next_id += int(is_new.sum())
        return tracks._replace(ids=ids)


def predict(tracks: Tracks, seconds: float) -> Tracks:
    """Return tracks some seconds later: moved by their velocities, their covariances widened.

    Velocity is a random walk in continuous time, so that two steps equal one of their sum. Poses
    and boxes keep shape and size.
    """
    moved = seconds * tracks.velocities  # (T, 2)
    step = np.array([[1.0, seconds], [0.0, 1.0]])
    noise = np.array([[seconds**3 / 3, seconds**2 / 2], [seconds**2 / 2, seconds]])
    return tracks._replace(
        keypoints=tracks.keypoints + moved[:, None],
        bboxes=tracks.bboxes + np.tile(moved, 2),
        covariances=step @ tracks.covariances @ step.T + ACCELERATION * noise,
    )


def correct(before: Tracks, found: Tracks, min_keypoint_score: float) -> Tracks:
    """Return M predicted tracks updated by what was found of each: the Kalman filter's update.

    A track has the shape that was found, at a place between those predicted and found. Keypoints
    that were not found are remembered relative to the others, and the box changes its size slowly:
    a person who comes out from behind something is not the half that went in.
    """
    error = displacement(before, found, min_keypoint_score)  # (M, 2)
    variance = before.covariances[:, 0, 0] + POSITION_NOISE**2
    gain = before.covariances[:, :, 0] / variance[:, None]  # (M, 2): of position, of velocity
    back = (gain[:, :1] - 1) * error  # (M, 2) from the place found to the one between
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
    """Return how far (M, 2) M people were found from where their tracks were predicted.

    The median over the keypoints that both have: the center of a box moves when its person is half
    hidden, and single keypoints are found on the person in front. Without common keypoints, the
    distance of the boxes' centers.
    """
    both = (before.scores >= min_keypoint_score) & (found.scores >= min_keypoint_score)  # (M, K)
    moves = np.where(both[..., None], found.keypoints - before.keypoints, np.nan)  # (M, K, 2)
    centers = (found.bboxes - before.bboxes).reshape(-1, 1, 2, 2).mean(axis=2)  # (M, 1, 2)
    count = both.sum(axis=1)[:, None, None]
    return np.nanmedian(np.where(count > 0, moves, centers), axis=1)


def similarity(tracks: Tracks, people: People, sigmas: F64, options: TrackOptions) -> F64:
    """Return the similarity (T, P) of tracks and people, from 0 to 1: OKS mixed with IoU.

    OKS weighs `oks_weight` where a pair has all keypoints in common, and less where it has fewer.
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
    keypoints: Floats, valid: Bools, others: Floats, others_valid: Bools, areas: F64, sigmas: F64
) -> tuple[F64, F64]:
    """Return the OKS of T poses and P others, (T, P), and the share of keypoints in common, (T, P).

    keypoints (T, K, 2), others (P, K, 2). valid (T, K), others_valid (P, K): a pair is compared by
    the keypoints that are valid in both; without any its OKS is 0. areas (T, P): the scale of each
    pair, in square pixels. sigmas (K,): as COCO's.
    """
    both = valid[:, None] & others_valid  # (T, P, K)
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
    """Match rows and columns of similar (T, P), each at most once.

    Returns the rows and the columns (M,) of the pairs. All are above `least`, and the sum of the
    excess over it is the greatest there is.
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


def _new_tracks(people: People, rows: Bools, time: float) -> Tracks:
    """Return unconfirmed tracks of some of the people."""
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


def _take(tracks: Tracks, rows: Ints | Bools) -> Tracks:
    return Tracks._make(array[rows] for array in tracks)


def _concatenate(*parts: Tracks) -> Tracks:
    return Tracks._make(np.concatenate(arrays) for arrays in zip(*parts, strict=True))
