"""Infer the skeleton of a file: a shipped one with the same names, else what the names imply."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pose_data.errors import DatasetError
from pose_data.sides import names_a_side, side_pairs
from pose_data.skeleton import COCO, SKELETONS, Skeleton, named_twice, plain_name, with_flip_pairs

DEFAULT_SIGMA = 0.067  # the mean of COCO's
_RENAMED = {"head": "top_head"}  # CrowdPose's own files, and MMPose's skeleton of them
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
    """Return the skeleton of the first of a COCO file's `categories` with `keypoints`, and notices.

    See `skeleton_of`. Raises DatasetError where no category has keypoints.
    """
    category = next((c for c in categories if isinstance(c, dict) and c.get("keypoints")), None)
    if category is None:
        raise DatasetError("no category has `keypoints`: give the skeleton")
    return skeleton_of(category)


def skeleton_of(
    category: Mapping[str, Any], flip_pairs: Sequence[Sequence[str]] | None = None
) -> tuple[Skeleton, tuple[str, ...]]:
    """Return the skeleton of a category with `keypoints`, and notices of what was inferred.

    The names of a shipped skeleton give that one; else left and right are paired by name, links are
    the category's `skeleton` (1-based), halves and sigmas come from the names where possible.
    flip_pairs: names of what mirrors each other, where the names alone mislead. Raises DatasetError
    for wrong names, and without flip_pairs where a name could mirror several others.
    """
    title = f"category {category.get('name', '')!r}"
    names = category["keypoints"]
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise DatasetError(f"{title}: keypoints must be a list of names, got {names!r:.60}")
    if twice := named_twice(names):
        raise DatasetError(f"{title}: keypoint {twice!r} is listed twice")
    plain = [plain_name(name) for name in names]
    for known in SKELETONS.values():
        if known.keypoints in (tuple(plain), tuple(_RENAMED.get(name, name) for name in plain)):
            return known if flip_pairs is None else with_flip_pairs(known, flip_pairs), ()
    links, wrong = _links(category.get("skeleton") or [], len(names))
    own = str(category.get("name") or "custom")
    skeleton, notices = _inferred(own, tuple(names), links, flip_pairs)
    return skeleton, (*notices, *(f"{title}: {text}" for text in wrong))


def _inferred(
    title: str,
    names: tuple[str, ...],
    links: tuple[tuple[int, int], ...],
    flip_pairs: Sequence[Sequence[str]] | None,
) -> tuple[Skeleton, list[str]]:
    """Infer a skeleton from names, with notices of what was inferred."""
    words = [set(plain_name(name).split("_")) for name in names]
    words = [found | {re.sub(r"s$|(?<!\d)\d+$", "", word) for word in found} for found in words]
    lower = tuple(i for i, found in enumerate(words) if found & _LOWER)
    upper = tuple(i for i, found in enumerate(words) if found & _UPPER and i not in lower)
    coco = zip(COCO.keypoints, COCO.sigmas, strict=True)
    known = {name.split("_")[-1]: sigma for name, sigma in coco}
    sigmas = [next((known[part] for part in known if part in found), None) for found in words]
    found_sigmas = tuple(DEFAULT_SIGMA if sigma is None else sigma for sigma in sigmas)
    pairs: Sequence[tuple[int, int]] = ()
    if flip_pairs is None:
        pairs, unclear = side_pairs(names)
        for name, others in unclear.items():
            raise DatasetError(
                f"category {title!r}: which of {', '.join(names[i] for i in others)} mirrors "
                f"{names[name]}? Rename the others, or list what mirrors what in the config, as in "
                f"data.flip_pairs: [[{', '.join(sorted((names[name], names[others[0]])))}], ...]"
            )
    skeleton = Skeleton(title, names, tuple(pairs), links, upper, lower, found_sigmas)
    skeleton = skeleton if flip_pairs is None else with_flip_pairs(skeleton, flip_pairs)
    alone = [name for i, name in enumerate(names) if skeleton.flip_indices[i] == i]
    by = "its names" if flip_pairs is None else "flip_pairs"
    mirrored = ", ".join(f"{names[a]} <-> {names[b]}" for a, b in skeleton.flip_pairs) or "none"
    below = ", ".join(names[i] for i in lower) or "unknown"
    other = ", ".join(name for i, name in enumerate(names) if i not in upper + lower) or "none"
    own = f"skeleton of {title!r}"
    notices = [
        f"{own}, by {by}: left-right pairs {mirrored}; not mirrored: {', '.join(alone) or 'none'}",
        f"{own}: {len(links)} links; lower body {below}; in neither half {other}",
    ]
    if without := [name for name, sigma in zip(names, sigmas, strict=True) if sigma is None]:
        text = f"{own}: sigma {DEFAULT_SIGMA} (the mean of COCO's) for {', '.join(without)}"
        notices.append(text)
    if flip_pairs is None and (lone := [name for name in alone if names_a_side(name)]):
        have = "has" if len(lone) == 1 else "have"
        notices.append(f"{own}: {', '.join(lone)} {have} a side but no partner")
    return skeleton, notices


def unnamed_skeleton(count: int) -> tuple[Skeleton, tuple[str, ...]]:
    """Return COCO's skeleton for 17 keypoints without names, else one in which nothing mirrors."""
    if count == COCO.num_keypoints:
        return COCO, ("the file names no keypoints: taken for COCO's 17",)
    names = tuple(f"keypoint_{i}" for i in range(count))
    notice = f"the file names no keypoints: {count} that no flip swaps and no link joins"
    return Skeleton("unnamed", names, (), (), (), (), (DEFAULT_SIGMA,) * count), (notice,)


def _links(value: Any, count: int) -> tuple[tuple[tuple[int, int], ...], list[str]]:
    """Return a category's `skeleton` with indices from 0; where it is wrong, none and a notice."""
    links = []
    for pair in value if isinstance(value, list | tuple) else [value]:
        numbers = list(pair) if isinstance(pair, list | tuple) else []
        if len(numbers) != 2 or not all(type(n) is int and 1 <= n <= count for n in numbers):
            text = "its `skeleton` is left out: it must hold pairs of keypoint numbers from 1 to "
            return (), [f"{text}{count}, got {pair!r:.60}"]
        links.append((numbers[0] - 1, numbers[1] - 1))
    return tuple(links), []
