"""Identities over the frames of a video."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pose_data import AIC, COCO
from pose_eval.nms import mutual_oks
from pose_train.inference.people import People
from pose_train.inference.track import (
    ACCELERATION,
    FIRST_SPEED,
    POSITION_NOISE,
    Tracker,
    TrackOptions,
    Tracks,
    correct,
    displacement,
    iou_matrix,
    match,
    oks_matrix,
    predict,
    similarity,
)

Array = NDArray[Any]
POSE = np.random.default_rng(0).uniform([-30, -100], [30, 100], (17, 2))  # about its center
FPS = 25


def people_of(centers: Any, scores: Any = 0.9, poses: Any = POSE) -> People:
    """Return people at centers (P, 2) in boxes of 60 by 200; scores: of persons, one or (P,)."""
    centers = np.asarray(centers, np.float32).reshape(-1, 2)
    count, half = len(centers), np.array([30, 100])
    return People(
        (centers[:, None] + poses).astype(np.float32),
        np.full((count, 17), 0.8, np.float32),
        np.full(count, scores, np.float32),
        np.concatenate([centers - half, centers + half], axis=1).astype(np.float32),
        COCO,
    )


def tracks_of(people: People) -> Tracks:
    """Return the tracks that a tracker starts with people."""
    tracker = Tracker(COCO)
    tracker.update(people, 0.0)
    return tracker._tracks


def test_first_frame_starts_tracks_and_later_frames_confirm_them() -> None:
    tracker = Tracker(COCO)
    assert tracker.update(people_of([(100, 200)]), 0.0).tolist() == [1]
    both = people_of([(500, 200), (100, 200)])
    assert tracker.update(both, 0.04).tolist() == [-1, 1]
    assert tracker.update(both, 0.08).tolist() == [2, 1]


def test_false_positive_of_one_frame_uses_no_id() -> None:
    tracker = Tracker(COCO)
    tracker.update(people_of([(100, 200)]), 0.0)
    assert tracker.update(people_of([(100, 200), (900, 200)]), 0.04).tolist() == [1, -1]
    tracker.update(people_of([(100, 200)]), 0.08)
    again = people_of([(100, 200), (900, 200)])
    assert tracker.update(again, 0.12).tolist() == [1, -1]  # a new start: the first was forgotten
    assert tracker.update(again, 0.16).tolist() == [1, 2]


def test_crossing_people_keep_their_ids() -> None:
    """Their poses and sizes are the same: only motion tells them apart."""
    tracker = Tracker(COCO)
    for i in range(4 * FPS):
        time = i / FPS
        centers = np.array([(100 + 150 * time, 200), (700 - 150 * time, 210)])
        order = [0, 1] if i % 3 else [1, 0]
        ids = tracker.update(people_of(centers[order]), time)
        if i == 0:
            assert ids.tolist() == [1, 2]
            first = dict(zip(order, ids.tolist(), strict=True))
        assert ids.tolist() == [first[who] for who in order], f"frame {i}"


def test_poses_tell_people_with_the_same_box_apart() -> None:
    poses = np.stack([POSE, POSE * [-1, 1]])
    tracker = Tracker(COCO)
    tracker.update(people_of([(100, 200), (104, 200)], poses=poses), 0.0)
    swapped = people_of([(100, 200), (104, 200)], poses=poses[::-1])
    assert tracker.update(swapped, 0.04).tolist() == [2, 1]
    by_boxes = Tracker(COCO, TrackOptions(oks_weight=0.0))
    by_boxes.update(people_of([(100, 200), (104, 200)], poses=poses), 0.0)
    assert by_boxes.update(swapped, 0.04).tolist() == [1, 2]


@pytest.mark.parametrize("lost_seconds", [0.5, 1.0, 2.0])
def test_tracks_bridge_occlusions_of_lost_seconds(lost_seconds: float) -> None:
    """A walker goes on behind a wall and comes out somewhere else."""

    def id_after(hidden_frames: int) -> int:
        tracker = Tracker(COCO, TrackOptions(lost_seconds=lost_seconds))
        shown = [*range(2 * FPS), *range(2 * FPS + hidden_frames, 4 * FPS + hidden_frames)]
        for i in range(shown[-1] + 1):
            centers = [(100 + 150 * i / FPS, 200)] if i in shown else []
            ids = tracker.update(people_of(centers), i / FPS)
        return int(ids[0])

    assert id_after(int(lost_seconds * FPS)) == 1
    assert id_after(int(lost_seconds * FPS) + 2) == 2


def test_low_scores_continue_tracks_but_do_not_start_or_revive_them() -> None:
    tracker = Tracker(COCO)
    low = people_of([(100, 200), (500, 200)], scores=0.3)
    assert tracker.update(low, 0.0).tolist() == [-1, -1]
    assert tracker.update(people_of([(100, 200)]), 0.04).tolist() == [-1]
    assert tracker.update(people_of([(100, 200)]), 0.08).tolist() == [1]
    assert tracker.update(low, 0.12).tolist() == [1, -1]
    assert tracker.update(low, 0.16).tolist() == [1, -1]
    assert tracker.update(people_of([(100, 200)], scores=0.05), 0.20).tolist() == [-1]
    assert tracker.update(low, 0.24).tolist() == [-1, -1]  # not in the previous frame
    assert tracker.update(people_of([(100, 200)]), 0.28).tolist() == [1]


def test_high_scores_come_before_low_ones() -> None:
    tracker = Tracker(COCO)
    tracker.update(people_of([(100, 200)]), 0.0)
    both = people_of([(100, 200), (108, 200)], scores=[0.45, 0.55])
    assert tracker.update(both, 0.04).tolist() == [-1, 1]


def test_scores_between_high_and_new_continue_tracks_alone() -> None:
    tracker = Tracker(COCO)
    assert tracker.update(people_of([(100, 200), (500, 200)], [0.9, 0.55]), 0.0).tolist() == [1, -1]
    for i in range(1, 4):
        people = people_of([(100, 200), (500, 200)], scores=0.55)
        assert tracker.update(people, i / FPS).tolist() == [1, -1]


def test_motion_is_by_time_stamps() -> None:
    """In the longest gap the person moves by 4 boxes: only a speed in seconds finds them again."""
    times = np.cumsum([0, *[0.02, 0.05, 0.1] * 6, 0.8, 0.02, 0.4])
    tracker = Tracker(COCO)
    for time in times.tolist():
        assert tracker.update(people_of([(100 + 300 * time, 200)]), time).tolist() == [1]


def test_frames_may_be_further_apart_than_lost_seconds() -> None:
    tracker = Tracker(COCO, TrackOptions(lost_seconds=1.0))
    for i in range(5):
        people = people_of([(100 + 5 * i, 200), (400, 200 - 3 * i)])
        assert tracker.update(people, 3.0 * i).tolist() == [1, 2]


def test_frames_without_people() -> None:
    tracker = Tracker(COCO)
    for time in (0.0, 0.1):
        ids = tracker.update(people_of([]), time)
        assert ids.shape == (0,)
        assert ids.dtype == np.int64
    tracker.update(people_of([(100, 200)]), 0.2)
    assert tracker.update(people_of([(100, 200)]), 0.3).tolist() == [1]
    tracker.update(people_of([]), 0.4)
    assert tracker.update(people_of([(100, 200)]), 0.5).tolist() == [1]


def test_two_videos_share_no_ids() -> None:
    tracker = Tracker(COCO)
    people = people_of([(100, 200), (500, 200)])
    assert tracker.update(people, 7.0).tolist() == [1, 2]
    tracker.reset()
    assert tracker.update(people, 0.0).tolist() == [3, 4]


def test_half_hidden_people_stay_where_they_are() -> None:
    """The legs go behind a table: the box's center rises, the person does not."""
    people = people_of([(100, 200)])
    upper = people_of([(100, 200)])
    upper.scores[:, POSE[:, 1] > 0] = 0.05
    upper.keypoints[:, POSE[:, 1] > 0] += 40
    upper.bboxes[:, 3] -= 100
    tracker = Tracker(COCO)
    tracker.update(people, 0.0)
    for i in range(1, 5):
        assert tracker.update(upper, i / FPS).tolist() == [1]
    np.testing.assert_allclose(tracker._tracks.velocities, 0, atol=1e-9)
    np.testing.assert_allclose(tracker._tracks.keypoints, people.keypoints)
    # On its way from 300 to 200, by a time constant of half a second.
    assert tracker._tracks.bboxes[0, 3] == pytest.approx(200 + 100 * np.exp(-4 / FPS / 0.5))


def test_displacement_without_common_keypoints_is_that_of_boxes() -> None:
    before, found = people_of([(100, 200), (0, 0)]), people_of([(103, 198), (5, 6)])
    found.scores[0] = 0.0
    found.keypoints[0] = 0.0
    moved = displacement(tracks_of(before), tracks_of(found), 0.2)
    np.testing.assert_allclose(moved, [(3, -2), (5, 6)], atol=1e-5)


def test_two_predictions_equal_one_of_their_sum() -> None:
    tracks = tracks_of(people_of([(100, 200), (300, 100)]))._replace(
        velocities=np.array([(10.0, -5.0), (0.0, 3.0)])
    )
    at_once, in_steps = predict(tracks, 0.7), predict(predict(tracks, 0.2), 0.5)
    for one, other in zip(at_once, in_steps, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    np.testing.assert_allclose(at_once.bboxes[0], tracks.bboxes[0] + np.tile([7, -3.5], 2))


def test_motion_is_a_kalman_filter() -> None:
    """Compared with one in matrix form, for a pose that keeps its shape."""
    rng = np.random.default_rng(3)
    measured = np.cumsum(rng.normal(4, 3, (12, 2)), axis=0)
    times = np.cumsum(rng.uniform(0.02, 0.3, 12))
    tracks = tracks_of(people_of(measured[0]))
    state = np.stack([measured[0], np.zeros(2)])  # (2, 2): position and velocity, of x and y
    covariance = np.diag([(2 * POSITION_NOISE) ** 2, FIRST_SPEED**2])
    seen = np.array([[1.0, 0.0]])
    for point, seconds in zip(measured[1:], np.diff(times), strict=True):
        found = tracks_of(people_of(point))
        tracks = correct(predict(tracks, float(seconds)), found, 0.2)
        step = np.array([[1, seconds], [0, 1]])
        noise = [[seconds**3 / 3, seconds**2 / 2], [seconds**2 / 2, seconds]]
        state = step @ state
        covariance = step @ covariance @ step.T + ACCELERATION * np.array(noise)
        gain = covariance @ seen.T / (seen @ covariance @ seen.T + POSITION_NOISE**2)
        state = state + gain @ (point[None] - seen @ state)
        covariance = (np.eye(2) - gain @ seen) @ covariance
    np.testing.assert_allclose(tracks.velocities[0], state[1], rtol=1e-4)
    np.testing.assert_allclose(tracks.keypoints[0] - POSE, np.tile(state[0], (17, 1)), atol=1e-3)
    np.testing.assert_allclose(tracks.covariances[0], covariance, rtol=1e-9)


def test_oks_equals_that_of_pose_eval() -> None:
    rng = np.random.default_rng(1)
    poses = 100 + 10 * rng.normal(size=(6, 17, 2))
    scores, areas = rng.random((6, 17)), rng.uniform(2000, 9000, 6)
    scores[5] = 0.0
    points = np.concatenate([poses, scores[..., None]], axis=-1)
    expected = mutual_oks(points, areas, COCO.sigmas, vis_thr=0.3)
    counts = scores > 0.3
    mean_areas = (areas[:4, None] + areas[2:]) / 2
    oks, share = oks_matrix(
        poses[:4], counts[:4], poses[2:], counts[2:], mean_areas, np.array(COCO.sigmas)
    )
    np.testing.assert_allclose(oks, expected[:4, 2:], atol=1e-6)
    assert 0 < oks[0, 0] < oks[2, 0] == 1
    np.testing.assert_allclose(share, (counts[:4, None] & counts[2:]).mean(axis=-1))


def test_similarity_without_common_keypoints_is_iou() -> None:
    people = people_of([(100, 200), (130, 200)])
    people.scores[1] = 0.0
    tracks = tracks_of(people_of([(100, 200)]))
    similar = similarity(tracks, people, np.array(COCO.sigmas), TrackOptions())
    np.testing.assert_allclose(similar, [[1, 1 / 3]])


def test_iou() -> None:
    boxes = np.array([(0, 0, 10, 10), (5, 5, 5, 9)])
    others = np.array([(5, 0, 15, 10), (0, 0, 10, 10), (20, 20, 30, 30), (5, 5, 5, 9)])
    expected = [(1 / 3, 1, 0, 0), (0, 0, 0, 0)]
    np.testing.assert_allclose(iou_matrix(boxes, others), expected)


@pytest.mark.parametrize("shape", [(4, 4), (2, 5), (5, 3), (1, 1), (0, 3), (3, 0), (0, 0)])
def test_match_is_the_best_of_all_assignments(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(7)
    for _ in range(20):
        similar = rng.random(shape)
        rows, columns = match(similar, 0.4)
        assert len(set(rows.tolist())) == len(rows) == len(set(columns.tolist())) == len(columns)
        assert (similar[rows, columns] > 0.4).all()
        wide = similar if shape[0] <= shape[1] else similar.T
        gains = np.maximum(wide - 0.4, 0)
        best = max(
            gains[np.arange(len(wide)), list(order)].sum()
            for order in permutations(range(wide.shape[1]), len(wide))
        )
        assert (similar[rows, columns] - 0.4).sum() == pytest.approx(best)


def test_bad_calls_are_named() -> None:
    tracker = Tracker(COCO)
    tracker.update(people_of([(100, 200)]), 1.0)
    for time in (1.0, 0.5, float("nan")):
        with pytest.raises(ValueError, match=rf"got {time} s after 1\.0 s; call reset\(\)"):
            tracker.update(people_of([(100, 200)]), time)
    with pytest.raises(ValueError, match="skeleton has 14 keypoints, the people have 17"):
        Tracker(AIC).update(people_of([(100, 200)]), 0.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"oks_weight": 1.5}, "oks_weight must be from 0 to 1, got 1.5"),
        ({"lost_seconds": -1}, "lost_seconds must be from 0 to inf, got -1"),
        (
            {"new_score": 0.4},
            "low_score <= high_score <= new_score must hold, got 0.1, 0.5 and 0.4",
        ),
        ({"low_score": float("nan")}, "low_score must be from 0 to 1, got nan"),
    ],
)
def test_bad_options_are_named(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrackOptions(**options)
