"""Find out the skeleton of a file: a shipped one by its names, else what the names let on."""

import re
from collections.abc import Sequence
from typing import Any

from pose_data.errors import DatasetError
from pose_data.skeleton import COCO, SKELETONS, Skeleton, plain_name

DEFAULT_SIGMA = 0.067  # the mean of COCO's
_RENAMED = {"head": "top_head"}  # CrowdPose's own files, and MMPose's skeleton of them
_OTHER_SIDE = {"left": "right", "l": "r", "lt": "rt", "lft": "rgt"}
_LOWER = {
    *("hip", "knee", "ankle", "foot", "feet", "toe", "heel", "leg", "thigh", "shin", "calf"),
    *("pelvis", "crotch", "hoof"),
}
_UPPER = {
    *("nose", "eye", "ear", "mouth", "lip", "chin", "jaw", "head", "face", "forehead", "beak"),
    *("neck", "throat", "shoulder", "elbow", "wrist", "hand", "finger", "thumb", "palm", "arm"),
    *("chest", "thorax", "sternum", "clavicle", "withers"),
}


def infer_skeleton(categories: Sequence[dict[str, Any]]) -> tuple[Skeleton, tuple[str, ...]]:
    """Return the skeleton of a COCO file's `categories`, and notices of what was inferred.

    The first category with `keypoints` counts. The names of a shipped skeleton give that one; else
    left and right are paired by name, links are the category's `skeleton` (1-based), halves and
    sigmas come from the names where they tell. Raises DatasetError where no category has keypoints.
    """
    category = next((c for c in categories if isinstance(c, dict) and c.get("keypoints")), None)
    if category is None:
        raise DatasetError("no category has `keypoints`: give the skeleton")
    title = f"category {category.get('name', '')!r}"
    names = category["keypoints"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DatasetError(f"{title}: keypoints must be a list of names, got {names!r:.60}")
    plain = [plain_name(name) for name in names]
    for place, name in enumerate(plain):
        if name in plain[:place]:
            raise DatasetError(f"{title}: keypoint {names[place]!r} stands there twice")
    for known in SKELETONS.values():
        if known.keypoints in (tuple(plain), tuple(_RENAMED.get(name, name) for name in plain)):
            return known, ()
    links = _links(category.get("skeleton") or [], len(names), title)
    return _inferred(str(category.get("name") or "custom"), tuple(names), links)


def _inferred(
    title: str, names: tuple[str, ...], links: tuple[tuple[int, int], ...]
) -> tuple[Skeleton, tuple[str, ...]]:
    """Infer all that the names tell, and say it in words."""
    pairs = _flip_pairs(names)
    words = [set(plain_name(name).split("_")) for name in names]
    words = [found | {re.sub(r"s$|\d+$", "", word) for word in found} for found in words]
    lower = tuple(i for i, found in enumerate(words) if found & _LOWER)
    upper = tuple(i for i, found in enumerate(words) if found & _UPPER and i not in lower)
    coco = zip(COCO.keypoints, COCO.sigmas, strict=True)
    known_sigmas = {name.split("_")[-1]: sigma for name, sigma in coco}
    sigmas = [next((known_sigmas[w] for w in found if w in known_sigmas), None) for found in words]
    alone = sorted(set(range(len(names))) - {i for pair in pairs for i in pair})
    halves = set(upper) | set(lower)
    without_sigma = [name for name, sigma in zip(names, sigmas, strict=True) if sigma is None]
    notices = [
        f"skeleton of {title!r}, by its names: left-right pairs "
        + (", ".join(f"{names[a]} <-> {names[b]}" for a, b in pairs) or "none")
        + "; not mirrored: "
        + (", ".join(names[i] for i in alone) or "none"),
        f"skeleton of {title!r}: {len(links)} links; lower body "
        + (", ".join(names[i] for i in lower) or "unknown")
        + "; in neither half "
        + (", ".join(name for i, name in enumerate(names) if i not in halves) or "none"),
    ]
    if without_sigma:
        notices.append(
            f"skeleton of {title!r}: sigma {DEFAULT_SIGMA} (the mean of COCO's) for "
            + ", ".join(without_sigma)
        )
    found_sigmas = tuple(DEFAULT_SIGMA if sigma is None else sigma for sigma in sigmas)
    skeleton = Skeleton(title, names, pairs, links, upper, lower, found_sigmas)
    return skeleton, tuple(notices)


def unnamed_skeleton(count: int) -> tuple[Skeleton, tuple[str, ...]]:
    """Return COCO's skeleton for 17 keypoints without names, else one in which nothing mirrors."""
    if count == COCO.num_keypoints:
        return COCO, ("the file names no keypoints: taken for COCO's 17",)
    names = tuple(f"keypoint_{i}" for i in range(count))
    notice = f"the file names no keypoints: {count} that no flip swaps and no link joins"
    return Skeleton("unnamed", names, (), (), (), (), (DEFAULT_SIGMA,) * count), (notice,)


def _flip_pairs(names: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """Pair left_x with right_x, l_x with r_x, xL with xR, lx with rx."""
    place = {plain_name(name): index for index, name in enumerate(names)}
    pairs = []
    for name, index in place.items():
        words = name.split("_")
        candidates = [
            "_".join([*words[:i], _OTHER_SIDE[word], *words[i + 1 :]])
            for i, word in enumerate(words)
            if word in _OTHER_SIDE
        ]
        if name.startswith("left"):
            candidates.append("right" + name[4:])
        elif name.startswith("l"):
            candidates.append("r" + name[1:])
        other = next((place[c] for c in candidates if c in place), None)
        if other is not None:
            pairs.append((index, other))
    return tuple(pairs)


def _links(value: object, count: int, title: str) -> tuple[tuple[int, int], ...]:
    """Return a category's `skeleton` with indices from 0."""
    links = []
    for pair in value if isinstance(value, list) else [value]:
        numbers = list(pair) if isinstance(pair, list | tuple) else []
        if len(numbers) != 2 or not all(type(n) is int and 1 <= n <= count for n in numbers):
            raise DatasetError(
                f"{title}: skeleton must hold pairs of keypoint numbers from 1 to {count}, "
                f"got {pair!r:.60}"
            )
        links.append((numbers[0] - 1, numbers[1] - 1))
    return tuple(links)
