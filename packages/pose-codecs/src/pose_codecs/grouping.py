"""Associative embedding, step 2: group candidates into people by their tags.

Newell et al., "Associative Embedding", NIPS 2017, as in MMPose 0.29. Rounded tag distances make
most of its assignment problems ambiguous, so the people found depend on how the solver breaks ties:
"munkres" reproduces munkres 1.1.4, the one behind the published results.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pose_codecs._jit import F32, F64, I64, compile_from_now_on, jit_later, jit_part
from pose_codecs.candidates import Candidates

Assignment = Literal["munkres", "optimal"]
NEW_GROUP_COST = 1e10
LARGE = 2500  # costs of a problem that Python would take longer to solve than to compile the solver


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
    if slots**2 > LARGE:
        compile_from_now_on()
    most = keypoints * slots
    members = np.full((most, keypoints), -1, np.int64)  # candidate of group, keypoint
    count = _group(
        np.ascontiguousarray(candidates.scores, np.float32),
        np.ascontiguousarray(candidates.tags, np.float32),
        np.array(order, np.int64),
        float(detection_threshold),
        float(tag_threshold),
        bool(use_detection_val),
        max_instances if ignore_too_much else most,
        True if assignment == "optimal" else None,
        members,
        np.empty((most, 2 + candidates.tags.shape[2]), np.float32),
        np.empty((slots, most)),
        np.empty(slots, np.int64),
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


@jit_later()
def _group(
    scores: F32,
    tags: F32,
    order: I64,
    detection_threshold: float,
    tag_threshold: float,
    use_detection_val: bool,
    limit: int,
    optimal: bool | None,
    members: I64,
    groups: F32,
    distances: F64,
    rows: I64,
) -> int:
    """Fill members (G, K) with candidate numbers, groups in creation order; return their number.

    `optimal` is None for munkres: then numba does not compile the other solver, which takes time.
    `groups` (G, 2 + L), of each its first tag value, its size and the sums of its tags, `distances`
    (M, G) and `rows` (M,) are memory to work in.
    """
    count = 0
    for k in order:
        added, old = 0, min(count, limit)
        for row in range(scores.shape[1]):
            if np.float64(scores[k, row]) > detection_threshold:
                rows[added] = row
                added += 1
        size = max(added, old)
        costs = np.empty((added, size), np.float64)  # a column >= old is a new group
        for i in range(added):
            for g in range(size):
                costs[i, g] = NEW_GROUP_COST
                if g >= old:
                    continue
                square = 0.0
                for t in range(tags.shape[2]):
                    # The published means are float32, everything after them is float64.
                    mean = groups[g, 2 + t] / groups[g, 1]
                    difference = np.float64(tags[k, rows[i], t]) - mean
                    square += difference * difference
                distances[i, g] = costs[i, g] = np.sqrt(square)
                if use_detection_val:
                    costs[i, g] = np.rint(distances[i, g]) * 100 - scores[k, rows[i]]
        columns = _munkres(costs) if optimal is None else _optimal(costs)
        for i in range(added):
            g = columns[i]
            if not (g < old and distances[i, g] < tag_threshold):
                # A group is known by its first tag value. A second one with an equal value takes
                # over the group: its keypoints stay, its tags are forgotten. Published behaviour.
                g = 0
                while g < count and groups[g, 0] != tags[k, rows[i], 0]:
                    g += 1
                count = max(count, g + 1)
                groups[g, 0] = tags[k, rows[i], 0]
                for t in range(1, groups.shape[1]):
                    groups[g, t] = 0
            members[g, k] = rows[i]
            groups[g, 1] += 1
            for t in range(tags.shape[2]):
                groups[g, 2 + t] += tags[k, rows[i], t]
    return count


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
    if matrix.size > LARGE:
        compile_from_now_on()
    return _solve(matrix, True if assignment == "optimal" else None)[: len(matrix)]


def check_assignment(assignment: str) -> None:
    """Raise ValueError for an unknown assignment."""
    if assignment not in ("munkres", "optimal"):
        raise ValueError(f'assignment must be "munkres" or "optimal", got {assignment!r}')


@jit_later()
def _solve(costs: F64, optimal: bool | None) -> I64:
    """Return the columns of the rows of costs (R, C), and more; `optimal` as in _group."""
    return _munkres(costs) if optimal is None else _optimal(costs)


@jit_part
def _munkres(costs: F64) -> I64:
    """Solve costs (R, C), R <= C, with the scan order of munkres 1.1.4."""
    rows, size = costs.shape
    work = np.empty((size, size), np.float64)
    for i in range(size):
        least = np.inf
        for j in range(size):
            least = min(least, costs[i, j]) if i < rows else 0.0
        for j in range(size):
            work[i, j] = costs[i, j] - least if i < rows else 0.0  # rows of zeros make it square
    star_of_row, star_of_column, prime_of_row = _numbers(size), _numbers(size), _numbers(size)
    covered = _numbers(2 * size)  # rows, then columns: 1 or 0
    missing = size
    for i in range(size):
        for j in range(size):
            if work[i, j] == 0 and star_of_column[j] < 0:
                star_of_row[i], star_of_column[j] = j, i
                missing -= 1
                break
    for _ in range(missing):
        row = _prime_zeros(work, star_of_row, star_of_column, prime_of_row, covered)
        # Flip the path that alternates between the last prime and the stars before it.
        while row >= 0:
            column = prime_of_row[row]
            next_row = star_of_column[column]
            star_of_row[row], star_of_column[column] = column, row
            row = next_row
    return star_of_row


@jit_part
def _numbers(size: int) -> I64:
    """Return -1 (size,): no row and no column."""
    numbers = np.empty(size, np.int64)
    for i in range(size):
        numbers[i] = -1
    return numbers


@jit_part
def _prime_zeros(
    work: F64, star_of_row: I64, star_of_column: I64, prime_of_row: I64, covered: I64
) -> int:
    """Prime uncovered zeros, making new ones in work, until a primed row has no star; return it."""
    size = len(work)
    for i in range(size):
        covered[i], covered[size + i] = 0, star_of_column[i] >= 0
    row, column = 0, 0
    while True:
        # The first uncovered zero in the rows from `row` on, cyclically, and in a row the last from
        # `column`: munkres 1.1.4 does not stop at the first zero of a row. This breaks the ties.
        at, least = -1, np.inf
        for i in range(row, row + size):
            r = i if i < size else i - size
            if covered[r]:
                continue
            for j in range(column + size - 1, column - 1, -1):
                c = j if j < size else j - size
                if not covered[size + c]:
                    least = min(least, work[r, c])
                    if work[r, c] == 0:
                        row, at = r, c
                        break
            if at >= 0:
                break
        if at >= 0:
            prime_of_row[row] = at
            column = star_of_row[row]
            if column < 0:
                return row
            covered[row], covered[size + column] = 1, 0
            continue
        # None: make some by the smallest uncovered value.
        for i in range(size):
            for j in range(size):
                if covered[i]:
                    work[i, j] += least  # and minus it again below: two roundings, as published
                if not covered[size + j]:
                    work[i, j] -= least
        row, column = 0, 0


@jit_part
def _optimal(costs: F64) -> I64:
    """Solve costs (R, C), R <= C, by shortest augmenting paths (Jonker and Volgenant 1987).

    The prices keep every cost - row_price - column_price >= 0, and 0 for assigned pairs: what is
    assigned is always the best for the rows so far.
    """
    rows, size = costs.shape
    columns, row_of_column, previous = _numbers(rows), _numbers(size), _numbers(size)
    # Of each row its price; of each column its price, the path to it, and whether that is final.
    row_price, column_price = np.empty(rows, np.float64), np.empty(size, np.float64)
    path_cost, done = np.empty(size, np.float64), _numbers(size)
    for i in range(rows):
        row_price[i] = 0
    for j in range(size):
        column_price[j] = 0
    for start in range(rows):
        # Dijkstra from the new row, over assigned columns to their rows, to a free column.
        for j in range(size):
            path_cost[j], done[j] = np.inf, 0
        row, reached, total = start, -1, 0.0
        while row >= 0:
            reached = -1
            for j in range(size):
                cost = total + costs[row, j] - row_price[row] - column_price[j]
                if not done[j] and cost < path_cost[j]:
                    path_cost[j], previous[j] = cost, row
                if not done[j] and (reached < 0 or path_cost[j] < path_cost[reached]):
                    reached = j
            total, done[reached] = path_cost[reached], 1
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
