"""Associative embedding, step 2: group candidates into people by their tags.

Newell et al., "Associative Embedding", NIPS 2017, as in MMPose 0.29. Rounded tag distances make
most of its assignment problems ambiguous, so the people found depend on how the solver breaks ties:
"munkres" reproduces munkres 1.1.4, the one behind the published results.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pose_codecs._jit import F32, F64, I64, Bools, jit
from pose_codecs.candidates import Candidates

Assignment = Literal["munkres", "optimal"]
NEW_GROUP_COST = 1e10


class People(NamedTuple):
    """The P people of one image; a keypoint that was not found is all zeros."""

    keypoints: F32  # (P, K, 2) xy in heatmap pixels
    scores: F32  # (P, K)
    tags: F32  # (P, K, L)
    person_scores: F32  # (P,) mean of the keypoint scores before refine, 0 for those not found

    def __repr__(self) -> str:
        people, keypoints = self.scores.shape
        return f"People({people} with {keypoints} keypoints each)"


def group(
    candidates: Candidates,
    *,
    max_instances: int = 30,
    detection_threshold: float = 0.1,
    tag_threshold: float = 1.0,
    use_detection_val: bool = True,
    ignore_too_much: bool = False,
    keypoint_order: Sequence[int] | None = None,
    assignment: Assignment = "munkres",
) -> People:
    """Group the candidates above detection_threshold, keypoint by keypoint in keypoint_order.

    A candidate joins the person it is assigned to if their tags are closer than tag_threshold, else
    it opens a new one. The cost is round(distance) * 100 - score, or the distance without
    `use_detection_val`. `ignore_too_much` stops at the first max_instances people; otherwise, as
    published, there may be more. Raises ValueError for an order that is not a permutation.
    """
    check_assignment(assignment)
    keypoints, slots = candidates.scores.shape
    order = list(range(keypoints)) if keypoint_order is None else [int(k) for k in keypoint_order]
    if sorted(order) != list(range(keypoints)):
        raise ValueError(f"keypoint_order must order {keypoints} keypoints, got {order}")
    members = np.full((keypoints * slots, keypoints), -1, np.int64)  # candidate of group, keypoint
    count = _group(
        np.ascontiguousarray(candidates.scores, np.float32),
        np.ascontiguousarray(candidates.tags, np.float32),
        np.array(order, np.int64),
        float(detection_threshold),
        float(tag_threshold),
        bool(use_detection_val),
        max_instances if ignore_too_much else len(members),
        assignment == "optimal",
        members,
    )
    chosen = members[: min(count, max_instances) if ignore_too_much else count]  # (P, K)
    channels = np.arange(keypoints)
    found = (chosen >= 0).astype(np.float32)  # (P, K)
    scores = candidates.scores[channels, chosen] * found
    return People(
        candidates.locations[channels, chosen] * found[..., None],  # (P, K, 2)
        scores,
        candidates.tags[channels, chosen] * found[..., None],  # (P, K, L)
        scores.mean(axis=1),
    )


@jit
def _group(
    scores: F32,
    tags: F32,
    order: I64,
    detection_threshold: float,
    tag_threshold: float,
    use_detection_val: bool,
    limit: int,
    optimal: bool,
    members: I64,
) -> int:
    """Fill members (G, K) with candidate numbers, groups in creation order; return their number."""
    keys = np.empty(len(members), np.float32)
    sums = np.zeros((len(members), tags.shape[2]), np.float32)
    sizes = np.zeros(len(members), np.float32)
    count = 0
    for k in order:
        rows = np.flatnonzero(scores[k] > detection_threshold)
        groups = min(count, limit)
        squares = np.zeros((len(rows), groups), np.float64)
        for t in range(tags.shape[2]):
            # The published means are float32, everything after them is float64.
            means = sums[:groups, t] / sizes[:groups]
            for i, row in enumerate(rows):
                squares[i] += (np.float64(tags[k, row, t]) - means) ** 2
        distances = np.sqrt(squares)
        columns = _match(distances, scores[k], rows, use_detection_val, optimal)
        for i, row in enumerate(rows):
            g = columns[i]
            if not (g < groups and distances[i, g] < tag_threshold):
                # A group is known by its first tag value. A second one with an equal value takes
                # over the group: its keypoints stay, its tags are forgotten. Published behaviour.
                same = np.flatnonzero(keys[:count] == tags[k, row, 0])
                g = same[0] if len(same) > 0 else count
                count = max(count, g + 1)
                keys[g], sizes[g] = tags[k, row, 0], 0
                sums[g] = 0
            members[g, k] = row
            sums[g] += tags[k, row]
            sizes[g] += 1
    return count


@jit
def _match(distances: F64, scores: F32, rows: I64, use_detection_val: bool, optimal: bool) -> I64:
    """Assign rows to groups by their distances (R, G); a column >= G is a new group."""
    added, groups = distances.shape
    if groups == 0 or added == 0:
        return np.arange(added)
    costs = np.full((added, max(added, groups)), NEW_GROUP_COST)
    costs[:, :groups] = distances
    if use_detection_val:
        costs[:, :groups] = np.rint(distances) * 100 - scores[rows].reshape(-1, 1)
    return _optimal(costs) if optimal else _munkres(costs)


def assign(costs: ArrayLike, assignment: Assignment = "munkres") -> I64:
    """Assign every row of costs (R, C), R <= C, to a column of its own at the least total cost.

    Returns the columns (R,). "munkres" returns what munkres 1.1.4 does where several assignments
    are the best; "optimal" is faster on large problems and returns another one then. Raises
    ValueError for more rows than columns, NaN and inf.
    """
    check_assignment(assignment)
    matrix = np.ascontiguousarray(costs, np.float64)
    if matrix.ndim != 2 or matrix.shape[0] > matrix.shape[1]:
        raise ValueError(f"costs must be (R, C) with R <= C, got {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise ValueError("costs must be finite, got NaN or inf")
    return _optimal(matrix) if assignment == "optimal" else _munkres(matrix)


def check_assignment(assignment: str) -> None:
    """Raise ValueError for an unknown assignment."""
    if assignment not in ("munkres", "optimal"):
        raise ValueError(f'assignment must be "munkres" or "optimal", got {assignment!r}')


@jit
def _munkres(costs: F64) -> I64:
    """Solve costs (R, C), R <= C, with the scan order of munkres 1.1.4."""
    size = costs.shape[1]
    work = np.zeros((size, size))  # rows of zeros make it square
    for i in range(len(costs)):
        work[i] = costs[i] - costs[i].min()
    star_of_row, star_of_column = np.full(size, -1), np.full(size, -1)
    for i in range(size):
        for j in range(size):
            if work[i, j] == 0 and star_of_column[j] < 0:
                star_of_row[i], star_of_column[j] = j, i
                break
    while star_of_row.min() < 0:
        prime_of_row = np.full(size, -1)
        row = _prime_zeros(work, star_of_row, star_of_column, prime_of_row)
        # Flip the path that alternates between the last prime and the stars before it.
        while row >= 0:
            column = prime_of_row[row]
            next_row = star_of_column[column]
            star_of_row[row], star_of_column[column] = column, row
            row = next_row
    return star_of_row[: len(costs)]


@jit
def _prime_zeros(work: F64, star_of_row: I64, star_of_column: I64, prime_of_row: I64) -> int:
    """Prime uncovered zeros, making new ones in work, until a primed row has no star; return it."""
    row_covered, column_covered = np.zeros(len(work), np.bool_), star_of_column >= 0
    row, column = 0, 0
    while True:
        row, column = _find_zero(work, row_covered, column_covered, row, column)
        if row < 0:
            _make_zero(work, row_covered, column_covered)
            row, column = 0, 0
            continue
        prime_of_row[row] = column
        if star_of_row[row] < 0:
            return row
        column = star_of_row[row]
        row_covered[row], column_covered[column] = True, False


@jit
def _find_zero(
    work: F64, row_covered: Bools, column_covered: Bools, row: int, col: int
) -> tuple[int, int]:
    """Find an uncovered zero: the first row from `row` on, cyclically, and in it the last from col.

    The last, because munkres 1.1.4 does not stop at the first zero of a row: this breaks the ties.
    """
    size = len(work)
    for i in range(size):
        r = (row + i) % size
        if row_covered[r]:
            continue
        for j in range(size - 1, -1, -1):
            c = (col + j) % size
            if work[r, c] == 0 and not column_covered[c]:
                return r, c
    return -1, -1


@jit
def _make_zero(work: F64, row_covered: Bools, column_covered: Bools) -> None:
    """Add the smallest uncovered value to covered rows and subtract it from uncovered columns."""
    size = len(work)
    least = np.inf
    for i in range(size):
        for j in range(size):
            if not (row_covered[i] or column_covered[j]):
                least = min(least, work[i, j])
    for i in range(size):
        for j in range(size):
            if row_covered[i]:
                work[i, j] += least  # and minus it again below: two roundings, as published
            if not column_covered[j]:
                work[i, j] -= least


@jit
def _optimal(costs: F64) -> I64:
    """Solve costs (R, C), R <= C, by shortest augmenting paths (Jonker and Volgenant 1987).

    The prices keep every cost - row_price - column_price >= 0, and 0 for assigned pairs: what is
    assigned is always the best for the rows so far.
    """
    rows, size = costs.shape
    row_price, column_price = np.zeros(rows), np.zeros(size)
    columns = np.full(rows, -1)
    row_of_column, previous = np.full(size, -1), np.empty(size, np.int64)
    for start in range(rows):
        # Dijkstra from the new row, over assigned columns to their rows, to a free column.
        path_cost, done = np.full(size, np.inf), np.zeros(size, np.bool_)
        row, reached, total = start, -1, 0.0
        while row >= 0:
            reached = -1
            for j in range(size):
                cost = total + costs[row, j] - row_price[row] - column_price[j]
                if not done[j] and cost < path_cost[j]:
                    path_cost[j], previous[j] = cost, row
                if not done[j] and (reached < 0 or path_cost[j] < path_cost[reached]):
                    reached = j
            total, done[reached] = path_cost[reached], True
            row = row_of_column[reached]
        row_price[start] += total  # restore what the prices must keep along the paths found
        for j in range(size):
            if done[j] and j != reached:
                row_price[row_of_column[j]] += total - path_cost[j]
                column_price[j] -= total - path_cost[j]
        row = -1
        while row != start:  # back along the path, each row takes the column it came through
            row = previous[reached]
            row_of_column[reached] = row
            columns[row], reached = reached, columns[row]
    return columns
