"""The One-Euro filter on the keypoints of tracks."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pose_data import COCO
from pose_train.inference.people import People
from pose_train.inference.smooth import OneEuro

Array = NDArray[Any]
POSE = np.random.default_rng(0).uniform(100, 200, (17, 2))
SIZE = 100  # of the person: the square root of the area of boxes of 50 by 200


def people_of(*poses: Array) -> People:
    keypoints = np.stack(poses).astype(np.float32)  # (P, 17, 2)
    low = keypoints.min(axis=1)
    return People(
        keypoints,
        np.full(keypoints.shape[:2], 0.8, np.float32),
        np.full(len(poses), 0.9, np.float32),
        np.concatenate([low, low + np.float32([50, 200])], axis=1),
        COCO,
    )


def smoothed(smooth: OneEuro, poses: Array, times: Array) -> Array:
    """Return the keypoints (N, 17, 2) of one person, smoothed over N frames."""
    one = np.array([1])
    frames = zip(poses, times.tolist(), strict=True)
    return np.stack([smooth(people_of(pose), one, time).keypoints[0] for pose, time in frames])


def test_constant_positions_stay() -> None:
    times = np.cumsum(np.random.default_rng(1).uniform(0.01, 0.1, 40))
    found = smoothed(OneEuro(), np.tile(POSE, (40, 1, 1)), times)
    np.testing.assert_array_equal(found, np.tile(POSE.astype(np.float32), (40, 1, 1)))


def test_jitter_at_rest_falls_to_a_third_and_error_to_half() -> None:
    """At 25 frames per second, with noise of 1 % of the person's size."""
    noise = 0.01 * SIZE * np.random.default_rng(2).normal(size=(1000, 17, 2))
    found = smoothed(OneEuro(), POSE + noise, np.arange(1000) / 25)
    assert (found[50:] - POSE).std() < 0.5 * noise.std()
    assert np.diff(found[50:], axis=0).std() < 0.33 * np.diff(noise, axis=0).std()


@pytest.mark.parametrize("speed", [30.0, 120.0, 400.0])
@pytest.mark.parametrize("longest", [0.02, 0.1])
def test_lag_behind_steady_motion_is_one_time_constant(speed: float, longest: float) -> None:
    """The distance covered in 1 / (2 pi cutoff) seconds, however the frames are spaced."""
    times = np.cumsum(np.random.default_rng(3).uniform(0.01, longest, 400))
    steps = times[:, None, None] * np.array([speed, 0])  # (400, 1, 2)
    found = smoothed(OneEuro(min_cutoff=1.5, beta=6.0), POSE + steps, times)
    lag = speed / (2 * np.pi * (1.5 + 6.0 * speed / SIZE))
    np.testing.assert_allclose((POSE + steps - found)[-1], np.tile([lag, 0], (17, 1)), atol=0.02)


def test_lag_behind_a_walker_is_below_2_percent_of_their_size() -> None:
    times = np.arange(100) / 25
    poses = POSE + times[:, None, None] * np.array([1.2 * SIZE, 0])
    assert np.abs(poses - smoothed(OneEuro(), poses, times))[50:].max() < 0.02 * SIZE


def test_smoothing_does_not_depend_on_resolution() -> None:
    rng = np.random.default_rng(4)
    poses, times = POSE + rng.normal(0, 3, (30, 17, 2)).cumsum(axis=0), np.arange(30) / 25
    small, large, one = OneEuro(), OneEuro(), np.array([1])
    for pose, time in zip(poses, times.tolist(), strict=True):
        near = people_of(4 * pose)
        near.bboxes[:, 2:] += 3 * np.float32([50, 200])
        expected = 4 * small(people_of(pose), one, time).keypoints
        np.testing.assert_allclose(large(near, one, time).keypoints, expected, rtol=1e-5)


def test_only_keypoints_change_and_in_a_copy() -> None:
    smooth, ids = OneEuro(), np.array([1])
    smooth(people_of(POSE), ids, 0.0)
    given = people_of(POSE + 5)
    found = smooth(given, ids, 0.04)
    np.testing.assert_array_equal(given.keypoints[0], (POSE + 5).astype(np.float32))
    assert (found.keypoints < given.keypoints).all()
    assert found.keypoints.dtype == np.float32
    for name in ("scores", "person_scores", "bboxes"):
        assert getattr(found, name) is getattr(given, name)


def test_tracks_are_smoothed_apart_in_any_order() -> None:
    rng = np.random.default_rng(5)
    poses = POSE + rng.normal(0, 3, (2, 20, 17, 2))
    times = np.arange(20) / 25
    apart = [smoothed(OneEuro(), each, times) for each in poses]
    smooth = OneEuro()
    for i, time in enumerate(times.tolist()):
        order = rng.permutation(2)
        people = people_of(*poses[order, i])
        found = smooth(people, 7 + order, time).keypoints
        np.testing.assert_array_equal(found, [apart[who][i] for who in order])


def test_people_without_a_track_stay() -> None:
    smooth, ids = OneEuro(), np.array([-1, -1, 2])
    for time in (0.0, 0.04):
        people = people_of(POSE + 90 * time, POSE, POSE + 90 * time)
        found = smooth(people, ids, time).keypoints
        np.testing.assert_array_equal(found[:2], people.keypoints[:2])
    assert (found[2] < people.keypoints[2]).all()


@pytest.mark.parametrize("is_hidden", [True, False], ids=["keypoints of score 0", "nobody"])
def test_filters_start_afresh_after_a_long_gap(is_hidden: bool) -> None:
    def after(gap: float) -> Array:
        smooth, ids = OneEuro(longest_gap=0.25), np.array([1])
        smooth(people_of(POSE), ids, 0.0)
        away = people_of(0 * POSE)
        away.scores[:] = 0.0
        found = smooth(away, ids if is_hidden else np.array([-1]), gap / 2).keypoints
        np.testing.assert_array_equal(found, away.keypoints)
        found = smooth(people_of(POSE + 40), ids, gap).keypoints[0] - (POSE + 40)
        # The next frame is not smoothed with the place before the gap, either.
        return np.stack([found, smooth(people_of(POSE + 40), ids, gap + 0.04).keypoints[0] - POSE])

    np.testing.assert_allclose(after(0.3), [np.zeros((17, 2)), np.full((17, 2), 40)], atol=1e-4)
    assert (after(0.2)[0] < -1).all()


def test_one_keypoint_starts_afresh_by_itself() -> None:
    smooth, ids = OneEuro(), np.array([1])
    for i in range(20):
        people = people_of(POSE + i)
        people.scores[0, 3] = 0.0 if 5 <= i < 15 else 0.8
        found = smooth(people, ids, i / 25).keypoints[0]
        if 5 <= i <= 15:
            np.testing.assert_array_equal(found[3], people.keypoints[0, 3])
        elif i:
            assert (found[3] < people.keypoints[0, 3]).all()
        assert i == 0 or (found[4] < people.keypoints[0, 4]).all()


def test_filters_start_afresh_after_reset() -> None:
    smooth, ids = OneEuro(), np.array([1])
    smooth(people_of(POSE), ids, 5.0)
    smooth.reset()
    people = people_of(POSE + 40)
    np.testing.assert_array_equal(smooth(people, ids, 0.1).keypoints, people.keypoints)


def test_memory_does_not_grow_with_tracks() -> None:
    smooth = OneEuro()
    for i in range(100):
        smooth(people_of(POSE), np.array([i]), i / 25)
    assert len(smooth._filters) < 10


def test_bad_calls_are_named() -> None:
    smooth = OneEuro()
    smooth(people_of(POSE), np.array([1]), 1.0)
    with pytest.raises(ValueError, match=r"got 0\.5 s after 1\.0 s; call reset\(\)"):
        smooth(people_of(POSE), np.array([1]), 0.5)
    with pytest.raises(ValueError, match=r"have the same track id: \[3, -1, 3\]"):
        smooth(people_of(POSE, POSE, POSE), np.array([3, -1, 3]), 2.0)
    for name in ("min_cutoff", "d_cutoff"):
        with pytest.raises(ValueError, match=f"{name} must be above 0 Hz, got 0"):
            OneEuro(**{name: 0})
    for name in ("beta", "longest_gap"):
        with pytest.raises(ValueError, match=f"{name} must be at least 0, got -1"):
            OneEuro(**{name: -1})
