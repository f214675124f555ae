"""How often the samples of a set come in an epoch, relative to one another.

What the groups and weights are is read from annotation files by formats/values.py.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Unit = Literal["persons", "images"]


@dataclass(frozen=True)
class Shares:
    """Groups that come equally often, and within each its S samples by their weights.

    unit: what a sample is; images are those with annotations. groups (S,): rows of `names`, -1 for
    what comes as often as it would without shares. weights (S,): relative to others of the group.
    balance, weight: the keys they come from, "video_id of `images`"; "" where none was asked for.
    """

    unit: Unit
    groups: Ints = field(repr=False)
    weights: Floats = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    balance: str = ""
    weight: str = ""


def expected_counts(shares: Shares) -> Floats:
    """Return how often each sample (S,) comes in an epoch on average; the mean over all is 1."""
    known = shares.groups >= 0
    own, weights = shares.groups[known], shares.weights[known]
    totals = np.bincount(own, weights)  # (G,)
    is_drawn = totals > 0
    counts = np.ones(len(known))
    counts[known] = len(own) / is_drawn.sum() * weights / np.where(is_drawn, totals, 1)[own]
    return counts


def draw_shares(shares: Shares, count: int, rng: np.random.Generator) -> Ints:
    """Draw an epoch of `count` samples; rows in order, not shuffled.

    Each sample comes its expected number of times, rounded up or down, and so does each group
    (systematic sampling: one random start, then equal steps).
    """
    order = np.lexsort((rng.random(len(shares.groups)), shares.groups))  # groups are consecutive
    ends = np.cumsum(expected_counts(shares)[order])
    places = np.floor(ends / ends[-1] * count + rng.random()).astype(np.int64)
    return np.sort(np.repeat(order, np.diff(places, prepend=0)))


def describe_shares(shares: Shares, ratio: float = 1.0) -> list[str]:
    """Return lines on how often samples come: before and after, of the smallest and largest group.

    ratio: how often each comes in an epoch without shares.
    """
    counts, known = ratio * expected_counts(shares), shares.groups >= 0
    own, unit = shares.groups[known], shares.unit
    lines = []
    if shares.balance:
        sizes, after = np.bincount(own), np.bincount(own, counts[known])
        used = np.flatnonzero(sizes)
        plural = "s" * (len(used) != 1)
        lines.append(f"balanced by {shares.balance}: {len(used)} group{plural} of {unit}")
        by_size = used[np.argsort(sizes[used], kind="stable")]
        for title, i in (("smallest", by_size[0]), ("largest", by_size[-1])):
            before = f"{ratio * sizes[i]:.4g}"
            lines.append(
                f"  {title}, {shares.names[i]}: {before} -> {after[i]:.4g} samples an epoch"
            )
    if shares.weight:
        low, high = counts[known].min(), counts[known].max()
        text = f"each of the {unit} comes {low:.3g} to {high:.3g} times an epoch"
        lines.append(f"weighted by {shares.weight}: {text}")
    if not known.all():
        count = f"{(~known).sum()} of {len(known)} {unit}"
        lines.append(f"{count} have no such key and come as often as without it")
    return lines
