"""Several annotation files, of the same skeleton or not, as one set of persons.

Keypoints are matched by name: those that a source does not label stay unlabelled (visible 0), so
that they weigh nothing in a loss.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial, reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_data.errors import DatasetError
from pose_data.persons import Persons, as_source, sources_of
from pose_data.regions import join_regions
from pose_data.shares import Shares, draw_shares
from pose_data.skeleton import SKELETONS, Skeleton, plain_name

Same = Mapping[str, str | tuple[str, str]]
_ARRAYS = [
    "image_ids",
    "image_sizes",
    "ids",
    "category_ids",
    "bbox_xyxy",
    "area",
    "keypoints",
    "visible",
]


def merge(
    *sources: Persons,
    skeleton: Skeleton | None = None,
    ratios: Sequence[float] | None = None,
    same: Same | None = None,
) -> Persons:
    """Join persons into one set with one skeleton, that of the first unless given.

    Keypoints the skeleton lacks are dropped, those a source lacks are unlabelled. `same` names
    keypoints that are called differently, {"neck": "upper_neck"}, or lie between two, {"neck":
    ("left_shoulder", "right_shoulder")}: the skeleton's name first. `ratios`: see `epoch_rows`.

    Raises DatasetError where a source shares no keypoint with the skeleton.
    """
    if not sources:
        raise DatasetError("nothing to merge")
    if any(persons.sources for persons in sources):
        raise DatasetError("merge or combine all sources at once, not what was merged before")
    ratios = [1.0] * len(sources) if ratios is None else list(ratios)
    if len(ratios) != len(sources) or not all(0 <= ratio < np.inf for ratio in ratios):
        raise DatasetError(f"ratios must be {len(sources)} numbers >= 0, got {ratios}")
    target = skeleton or sources[0].skeleton
    parts = [convert(persons, target, same) for persons in sources]
    image_folder, file_names = _common_names(parts)
    first_image = np.cumsum([0] + [len(part.image_ids) for part in parts[:-1]]).tolist()
    moved = [part.image_index + first for part, first in zip(parts, first_image, strict=True)]
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS
    }
    regions = [part.regions for part in parts if part.regions is not None]
    has_all = len(regions) == len(parts)
    return Persons(
        annotation_file=parts[0].annotation_file,
        image_folder=image_folder,
        skeleton=target,
        file_names=file_names,
        image_index=np.concatenate(moved),
        **joined,
        regions=join_regions(regions, first_image) if has_all else None,
        categories=parts[0].categories,
        sources=tuple(as_source(part, r) for part, r in zip(parts, ratios, strict=True)),
        notices=tuple(notice for part in parts for notice in part.notices),
    )


def combine(
    *sources: Persons, ratios: Sequence[float] | None = None, same: Same | None = None
) -> Persons:
    """Join persons under the union of their skeletons: the first one's keypoints, then the others'.

    COCO and AIC give COCO_AIC: 17 keypoints, then head_top and neck. The first K outputs of a
    network trained on it are those of the first source, and are what is evaluated on it.
    """
    skeletons = [persons.skeleton for persons in sources]
    target = reduce(partial(union, same=same), skeletons) if skeletons else None
    return merge(*sources, skeleton=target, ratios=ratios, same=same)


def union(first: Skeleton, second: Skeleton, same: Same | None = None) -> Skeleton:
    """Return the keypoints of the first skeleton, then those that only the second has."""
    renamed = {plain_name(v): plain_name(k) for k, v in (same or {}).items() if isinstance(v, str)}
    names = list(first.keypoints)
    place = {plain_name(name): index for index, name in enumerate(names)}
    new_place = []  # of each keypoint of the second skeleton
    for name in second.keypoints:
        plain = plain_name(name)
        new_place.append(place.get(plain, place.get(renamed.get(plain, ""), len(names))))
        if new_place[-1] == len(names):
            names.append(name)
    for known in SKELETONS.values():
        if tuple(map(plain_name, names)) == known.keypoints:
            return known
    is_new = [index >= first.num_keypoints for index in new_place]

    def added(pairs: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        return tuple((new_place[a], new_place[b]) for a, b in pairs if is_new[a] or is_new[b])

    return Skeleton(
        name=f"{first.name}_{second.name}" if any(is_new) else first.name,
        keypoints=tuple(names),
        flip_pairs=first.flip_pairs + added(second.flip_pairs),
        links=first.links + added(second.links),
        upper_body=first.upper_body + tuple(new_place[i] for i in second.upper_body if is_new[i]),
        lower_body=first.lower_body + tuple(new_place[i] for i in second.lower_body if is_new[i]),
        sigmas=first.sigmas + tuple(s for s, new in zip(second.sigmas, is_new, strict=True) if new),
    )


def keypoint_indices(
    source: Skeleton, target: Skeleton, same: Same | None = None
) -> NDArray[np.int64]:
    """Return where each target keypoint comes from: (K', 2) source indices, -1 for nowhere.

    The two are equal for one keypoint, and differ for the middle of two.
    """
    place = {plain_name(name): index for index, name in enumerate(source.keypoints)}
    renamed = {plain_name(name): value for name, value in (same or {}).items()}
    indices = np.full((target.num_keypoints, 2), -1)
    for row, name in enumerate(map(plain_name, target.keypoints)):
        value = name if name in place else renamed.get(name, name)
        both = [plain_name(v) for v in ((value, value) if isinstance(value, str) else value)]
        if all(one in place for one in both):
            indices[row] = [place[one] for one in both]
    return indices


def map_keypoints(
    keypoints: NDArray[np.float32], visible: NDArray[np.float32], indices: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Rearrange keypoints (..., K, 2) and visible (..., K) to (..., K', 2) and (..., K').

    Keypoints from nowhere are 0 and unlabelled; one between two is their middle, labelled where
    both are (MMPose's KeypointConverter).
    """
    a, b = indices.T
    middle = np.float32(0.5) * (keypoints[..., a, :] + keypoints[..., b, :])
    mapped = np.where((a == b)[:, None], keypoints[..., a, :], middle)  # (..., K', 2)
    seen = np.minimum(visible[..., a], visible[..., b])  # (..., K')
    mapped[..., a < 0, :] = 0
    seen[..., a < 0] = 0
    return mapped, seen


def convert(persons: Persons, skeleton: Skeleton, same: Same | None = None) -> Persons:
    """Return the persons with the keypoints of another skeleton, matched by name; see `merge`."""
    if persons.skeleton == skeleton:
        return persons
    indices = keypoint_indices(persons.skeleton, skeleton, same)
    if (indices < 0).all():
        raise DatasetError(
            f"{persons.annotation_file} ({', '.join(persons.skeleton.keypoints)}) shares no "
            f"keypoint with {skeleton.name} ({', '.join(skeleton.keypoints)}); give `same`"
        )
    keypoints, visible = map_keypoints(persons.keypoints, persons.visible, indices)
    regions = persons.regions
    if regions is not None:
        points = regions.keypoints.astype(np.float32, copy=False)
        of_all = map_keypoints(points, regions.visible, indices)
        regions = replace(regions, keypoints=of_all[0], visible=of_all[1])
    return replace(
        persons, skeleton=skeleton, keypoints=keypoints, visible=visible, regions=regions
    )


def epoch_rows(persons: Persons, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw the persons of one epoch by the ratios of their sources; rows in order, not shuffled.

    Ratio 1 takes all, 0.5 a random half, 2.5 all twice and a random half once more. Of a source
    with shares as many are drawn, by these.
    """
    sources = sources_of(persons)
    counts, ratios = [each.num_persons for each in sources], [each.ratio for each in sources]
    return draw_rows(counts, ratios, rng, [each.shares for each in sources])


def draw_rows(
    counts: Sequence[int],
    ratios: Sequence[float],
    rng: np.random.Generator,
    shares: Sequence[Shares | None] | None = None,
) -> NDArray[np.int64]:
    """Draw rows that are ordered by source, `counts` of each, by a ratio for each source.

    epoch_rows says what a ratio means, and shares; this is for samples that are not persons.
    """
    rows, first = [], 0
    shares = shares or [None] * len(counts)
    for count, ratio, own in zip(counts, ratios, shares, strict=True):
        whole = int(ratio)
        part = round((ratio - whole) * count)
        if own is None:
            once_more = rng.permutation(count)[:part]
            rows += [np.tile(np.arange(count), whole) + first, once_more + first]
        else:
            assert len(own.groups) == count, f"shares are of {own.unit}"
            rows.append(draw_shares(own, whole * count + part, rng) + first)
        first += count
    return np.sort(np.concatenate(rows)).astype(np.int64)


def _common_names(parts: list[Persons]) -> tuple[Path | None, NDArray[np.str_]]:
    """Return one folder and the names of all images from there; None where a part has none."""
    if any(part.image_folder is None for part in parts):
        return None, np.concatenate([np.asarray(part.file_names, np.str_) for part in parts])
    folders = [os.path.abspath(part.image_dir) for part in parts]
    try:
        common = os.path.commonpath(folders)
    except ValueError:  # different drives
        common = ""
    names = []
    for part, folder in zip(parts, folders, strict=True):
        prefix = os.path.relpath(folder, common) if common else folder
        own = np.asarray(part.file_names, np.str_)
        names.append(own if prefix == os.curdir else np.char.add(prefix + os.sep, own))
    return Path(common), np.concatenate(names)
