"""Why AP is nearly 0: what the coordinates of the rows may be instead of pixels of their image.

This file is the same in pose-data and pose-eval: they do not import each other, and a test of the
repository holds both against each other.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BEST, GAIN = 0.4, 0.25  # mean OKS of a reading that is named, and how far that lies above now
SIMPLER = 0.03  # by how much a reading with more to fit must be better than a simpler one
LEAST = 5  # persons that must have a row in their image
MOST = 200_000  # joints of all pairs that are looked at; more persons are thinned out


class Pairs(NamedTuple):
    """Each of some persons with every row of its image, person after person: P pairs.

    first: where the pairs of each person begin. rows, placed (P, K, 3). row_box, box (P, 4): x, y,
    w, h. size (P, 2): of the image. area (P,). variance (K,): (2 sigma)^2.
    """

    first: Ints
    rows: Floats
    placed: Floats
    row_box: Floats
    box: Floats
    size: Floats
    area: Floats
    variance: Floats


Reading = tuple[str, str, Pairs, Floats]  # what, how to mend it, and x, y of each row then


@np.errstate(all="ignore")
def explain(
    points: Floats,
    row_boxes: Floats,
    row_image: Ints,
    gt_points: Floats,
    gt_boxes: Floats,
    gt_image: Ints,
    image_sizes: Floats,
    sigmas: Floats,
) -> str | None:
    """Return what the rows fit much better as than as they are, and how to mend it; else None.

    points (M, K, 3): x, y, score as written. row_boxes (M, 4), gt_boxes (N, 4): x, y, w, h, NaN for
    none. row_image (M,), gt_image (N,): index of the image in the order of ids. gt_points (N, K,
    3): x, y, v of the persons that count. image_sizes (I, 2): w, h, 0 for unknown. sigmas (K,).
    Each reading is measured by the mean over persons of the best OKS with a row of their image.
    """
    rows = points, row_boxes, row_image
    truth = gt_points, gt_boxes, gt_image, image_sizes, (2 * np.asarray(sigmas)) ** 2
    pairs = _pairs(rows, truth)
    now = best = _mean(_oks(pairs, pairs.rows[..., :2]), pairs)
    found = None
    for reading in _readings(pairs, rows, truth) if now < BEST else ():
        what, mend, own, xy = reading
        value = _mean(_oks(own, xy), own)
        if value > max(BEST, now + GAIN, best + SIMPLER):
            best, found = value, f"read as {what}, the rows have a mean OKS of {value:.2f} with the"
            found += f" annotated persons, as they are {now:.2f}: {mend}"
    return found


def _pairs(rows: tuple[Any, ...], truth: tuple[Any, ...], step: int = 0) -> Pairs:
    """Return the pairs of each image, of every n-th person if too many; rows moved by `step`."""
    points, row_boxes, row_image = rows
    gt_points, gt_boxes, gt_image, image_sizes, variance = truth
    order = np.argsort(row_image, kind="stable")
    start = np.searchsorted(row_image[order] + step, gt_image, side="left")
    many = np.searchsorted(row_image[order] + step, gt_image, side="right") - start
    many[(gt_points[..., 2] > 0).sum(axis=1) < min(3, len(variance))] = 0
    who = np.flatnonzero(many)
    who = who[:: int(many.sum()) * len(variance) // MOST + 1]
    first = np.cumsum(many[who]) - many[who]
    person = np.repeat(who, many[who])
    row = order[np.arange(len(person)) + np.repeat(start[who] - first, many[who])]
    placed, box = gt_points[person], gt_boxes[person]
    labelled = placed[..., 2:] > 0
    low = np.where(labelled, placed[..., :2], np.inf).min(axis=1)
    extent = np.where(labelled, placed[..., :2], -np.inf).max(axis=1) - low
    wh = np.where(box[:, 2:] > 0, box[:, 2:], extent)
    box = np.where(np.isnan(box), np.hstack([low, extent]), box)
    size, area = image_sizes[gt_image[person]], np.maximum(0.53 * wh.prod(axis=1), 1)
    return Pairs(first, points[row], placed, row_boxes[row], box, size, area, variance)


def _oks(pairs: Pairs, xy: Floats) -> Floats:
    """Return the OKS of each pair with the row's joints at xy (P, K, 2)."""
    labelled = pairs.placed[..., 2] > 0
    squared = ((xy - pairs.placed[..., :2]) ** 2).sum(axis=-1)  # (P, K)
    similar = np.exp(-squared / pairs.variance / pairs.area[:, None] / 2)
    return np.nan_to_num((similar * labelled).sum(axis=1) / labelled.sum(axis=1))


def _mean(oks: Floats, pairs: Pairs) -> float:
    """Return the mean over persons of their best OKS; 0 for too few persons."""
    return float(np.maximum.reduceat(oks, pairs.first).mean()) if len(pairs.first) >= LEAST else 0


def _best(value: Floats, pairs: Pairs) -> Ints:
    """Return the pair of the highest value of each person."""
    person = np.repeat(np.arange(len(pairs.first)), np.diff(pairs.first, append=len(value)))
    return np.lexsort((-value, person))[pairs.first]


def _readings(pairs: Pairs, rows: tuple[Any, ...], truth: tuple[Any, ...]) -> Iterator[Reading]:
    """Yield readings, the simple ones first."""
    u, size = pairs.rows, pairs.size[:, None]
    x, y = u[..., 0], u[..., 1]
    order = "write x, y, score of one joint after the other"
    yield "(y, x, score)", order, pairs, u[..., 1::-1]
    yield "(score, x, y)", order, pairs, u[..., 1:]
    flat = u.reshape(len(u), 3, u.shape[1])  # (P, 3, K)
    yield "(all x, all y, all scores)", order, pairs, np.stack([flat[:, 0], flat[:, 1]], axis=-1)
    mirrored = np.stack([size[..., 0] - 1 - x, y], axis=-1)
    yield "pixels of the mirrored image", "undo the flip: x is width - 1 - x", pairs, mirrored
    each = "multiply x by the width and y by the height of the image"
    yield "fractions of the image", each, pairs, u[..., :2] * size
    for name, box in (("bbox", pairs.row_box), ("annotated box", pairs.box)):
        what = f"pixels of the crop, counted from the corner of the {name}"
        yield what, "add x and y of the box", pairs, u[..., :2] + box[:, None, :2]
    for step, way in ((1, "next"), (-1, "previous")):
        other = _pairs(rows, truth, step)
        what = f"rows of the {way} image in the order of ids"
        yield what, "image_id is off by one", other, other.rows[..., :2]
    if len(pairs.first) >= LEAST:
        yield from _scaled(pairs)
        yield _reordered(pairs)


def _scaled(pairs: Pairs) -> Iterator[Reading]:
    """Yield readings in pixels of another scale, which is estimated.

    Each row is fitted to a person axis by axis, u = low + slope g; the best row of each person
    tells the scale, the medians over persons that of the file.
    """
    u, g, seen = pairs.rows[..., :2], pairs.placed[..., :2], pairs.placed[..., 2:] > 0
    count = seen.sum(axis=1)
    mean_u, mean_g = (u * seen).sum(axis=1) / count, (g * seen).sum(axis=1) / count  # (P, 2)
    away = (g - mean_g[:, None]) * seen
    slope = (away * u).sum(axis=1) / (away**2).sum(axis=1)
    low = mean_u - slope * mean_g
    shape = np.where((slope > 0).all(axis=1), _oks(pairs, (u - low[:, None]) / slope[:, None]), 0)
    fit = _best(shape, pairs)
    fit = fit[shape[fit] > 0.5]
    if len(fit) < LEAST:
        return
    factor = np.median((mean_u[fit] * mean_g[fit]).sum(axis=1) / (mean_u[fit] ** 2).sum(axis=1))
    what = f"pixels of images {1 / factor:.2g} times as large"
    yield what, f"multiply x and y by {factor:.2g}", pairs, u * factor
    whole = np.hstack([np.zeros_like(pairs.size), pairs.size])
    for name, box in (("image", whole), ("box", pairs.row_box), ("box", pairs.box)):
        mend = "scale them back" + " and add the corner of the crop" * (name == "box")
        wh, centre = box[:, 2:], box[:, :2] + box[:, 2:] / 2
        middle = np.median((low + slope * centre)[fit], axis=0)  # half the size of the scaled crop
        if not (middle > 0).all():
            continue
        aspect = middle[0] / middle[1]
        wide = np.maximum(wh[:, 0], wh[:, 1] * aspect)
        for side in (wh, np.stack([wide, wide / aspect], axis=1)):  # stretched, or padded
            scale = np.median((slope * side)[fit], axis=0)
            xy = centre[:, None] + (u - middle) / scale * side[:, None]
            yield _scaled_words(name, 2 * middle), mend, pairs, xy


def _scaled_words(name: str, size: Floats) -> str:
    if size.max() < 1.6:
        return f"fractions of the {name}"
    text = f"{size[0]:.0f}x{size[1]:.0f}"
    if name == "image":
        return f"pixels of the whole image scaled to about {text}"
    kind = "heatmap" if size.max() < 140 else "input"
    return f"pixels of the network's {kind}, the crop scaled to about {text}"


def _reordered(pairs: Pairs) -> Reading:
    """Return the reading with the joints in the order that fits best, joint after joint."""
    seen = pairs.placed[..., 2:] > 0
    centre = (pairs.placed[..., :2] * seen).sum(axis=1) / seen.sum(axis=1)
    fit = _best(-np.hypot(*(pairs.rows[..., :2].mean(axis=1) - centre).T), pairs)
    joints = len(pairs.variance)
    fit = fit[:: len(fit) * joints * joints // (10 * MOST) + 1]
    away = pairs.placed[fit, :, None, :2] - pairs.rows[fit, None, :, :2]  # (F, K, K, 2)
    spread = pairs.variance[:, None] * pairs.area[fit, None, None]
    similar = np.exp(-(away**2).sum(axis=-1) / spread / 2) * seen[fit]
    value = np.nan_to_num(similar).sum(axis=0) + 1e-6 * np.eye(joints)
    order = np.full(joints, -1)
    for at in np.argsort(-value, axis=None, kind="stable"):
        k, j = divmod(int(at), joints)
        if order[k] < 0 and j not in order:
            order[k] = j
    listed = ", ".join(map(str, order[:20])) + (", ..." if joints > 20 else "")
    mend = f"the annotations' joints 0, 1, 2, ... are the rows' joints {listed}"
    return "joints in another order", mend, pairs, pairs.rows[:, order, :2]
