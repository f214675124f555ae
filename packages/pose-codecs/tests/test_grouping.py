"""Assignment and grouping against plain Python."""

from itertools import permutations

import numpy as np
import pytest

from pose_codecs import Candidates, assign, group


def reference_munkres(costs):
    """Solve as munkres 1.1.4 does, step by step on a square list of lists."""
    rows, n = len(costs), len(costs[0])
    work = [list(map(float, row)) for row in costs] + [[0.0] * n for _ in range(n - rows)]
    work = [[value - min(row) for value in row] for row in work]
    stars = {}
    for i in range(n):
        for j in range(n):
            if work[i][j] == 0 and j not in stars.values():
                stars[i] = j
                break
    while len(stars) < n:
        covered_rows, covered_columns, primes = set(), set(stars.values()), {}
        i0 = j0 = 0
        while True:
            zero = find_zero(work, covered_rows, covered_columns, i0, j0)
            if zero is None:
                free = [i for i in range(n) if i not in covered_rows]
                open_ = [j for j in range(n) if j not in covered_columns]
                least = min(work[i][j] for i in free for j in open_)
                for i in range(n):
                    for j in range(n):
                        work[i][j] += least if i in covered_rows else 0
                        work[i][j] -= least if j not in covered_columns else 0
                i0 = j0 = 0
                continue
            i0, j0 = zero
            primes[i0] = j0
            if i0 not in stars:
                break
            covered_rows.add(i0)
            j0 = stars[i0]
            covered_columns.discard(j0)
        row = i0
        while row is not None:
            column = primes[row]
            before = next((i for i, j in stars.items() if j == column), None)
            stars[row], row = column, before
    return [stars[i] for i in range(rows)]


def find_zero(work, covered_rows, covered_columns, i0, j0):
    n = len(work)
    for i in [(i0 + d) % n for d in range(n)]:
        zeros = [
            j
            for j in [(j0 + d) % n for d in range(n)]
            if work[i][j] == 0 and i not in covered_rows and j not in covered_columns
        ]
        if zeros:
            return i, zeros[-1]
    return None


def test_munkres_breaks_ties_as_the_reference():
    rng = np.random.default_rng(0)
    for _ in range(60):
        rows = rng.integers(1, 8)
        costs = rng.integers(0, 4, (rows, rows + rng.integers(0, 4))) * 100.0
        if rng.random() < 0.5:
            costs -= rng.random((rows, 1)).round(1)
        np.testing.assert_array_equal(assign(costs), reference_munkres(costs))


def test_both_assignments_cost_least():
    rng = np.random.default_rng(1)
    for _ in range(30):
        rows, columns = rng.integers(1, 5), 5
        costs = rng.normal(size=(rows, columns)).round(1)
        least = min(
            sum(costs[i, j] for i, j in enumerate(chosen))
            for chosen in permutations(range(columns), int(rows))
        )
        for assignment in ("munkres", "optimal"):
            chosen = assign(costs, assignment)
            assert len(set(chosen)) == rows
            assert costs[np.arange(rows), chosen].sum() == pytest.approx(least)


def test_assign_names_mistakes():
    with pytest.raises(ValueError, match="R <= C"):
        assign(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="costs must be finite"):
        assign([[np.nan, 1]])
    with pytest.raises(ValueError, match='assignment must be "munkres" or "optimal"'):
        assign([[1, 2]], "greedy")


def candidates(rows):
    """Make candidates (K, M) from lists of (x, score, tag), padded with score 0."""
    slots = max(len(row) for row in rows)
    padded = np.zeros((len(rows), slots, 3), np.float32)
    for k, row in enumerate(rows):
        padded[k, : len(row)] = np.array(row, np.float32).reshape(-1, 3)
    locations = np.stack([padded[..., 0], 0 * padded[..., 0]], axis=2).astype(np.int32)
    return Candidates(locations, padded[..., 1], padded[..., 2:])


def test_close_tags_join_and_far_ones_open_a_person():
    people = group(candidates([[(1, 0.9, 0), (2, 0.8, 5)], [(3, 0.7, 5.4), (4, 0.6, -3)]]))
    assert people.keypoints[:, :, 0].tolist() == [[1, 0], [2, 3], [0, 4]]
    np.testing.assert_allclose(people.scores, [[0.9, 0], [0.8, 0.7], [0, 0.6]])
    np.testing.assert_allclose(people.tags[..., 0], [[0, 0], [5, 5.4], [0, -3]])
    np.testing.assert_allclose(people.person_scores, [0.45, 0.75, 0.3])


def test_an_equal_first_tag_takes_over_the_person():
    people = group(candidates([[(1, 0.9, 2), (2, 0.8, 2)], [(3, 0.7, 2)]]))
    assert people.keypoints[:, :, 0].tolist() == [[2, 3]]


def test_options_of_group():
    many = candidates([[(1, 0.9, 0), (2, 0.8, 5)], [(3, 0.7, 9), (4, 0.2, 0.6)]])
    assert len(group(many).keypoints) == 3
    assert len(group(many, detection_threshold=0.75).keypoints) == 2
    assert len(group(many, tag_threshold=0.5).keypoints) == 4
    assert len(group(many, max_instances=2, ignore_too_much=True).keypoints) == 2
    assert len(group(many, max_instances=2).keypoints) == 3
    reordered = group(many, keypoint_order=[1, 0]).keypoints[:, :, 0]
    assert reordered.tolist() == [[0, 3], [1, 4], [2, 0]]
    for assignment in ("munkres", "optimal"):
        by_distance = group(many, use_detection_val=False, assignment=assignment)
        assert len(by_distance.keypoints) == 3
    with pytest.raises(ValueError, match="keypoint_order must order 2 keypoints"):
        group(many, keypoint_order=[0, 0])


def test_no_candidates_are_no_people():
    people = group(candidates([[(0, 0.05, 0)], []]))
    assert [len(part) for part in people] == [0, 0, 0, 0]
