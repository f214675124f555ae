"""Skeletons: names of keypoints, which of them mirror each other and how they connect.

The shipped skeletons carry MMPose's published names, links, halves and sigmas.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from pose_data.errors import DatasetError, reading


@dataclass(frozen=True, repr=False)
class Skeleton:
    """Describe K keypoints; every index below is a position in `keypoints`.

    Raises DatasetError where a keypoint is in two flip pairs: a mirror would lose one of them.

    flip_pairs: (left, right) indices that swap when the image is mirrored.
    links: index pairs joined by a line when a person is drawn.
    upper_body, lower_body: the two halves of the half-body augmentation.
    sigmas: K per-keypoint OKS standard deviations, as a fraction of sqrt(area).
    """

    name: str
    keypoints: tuple[str, ...]
    flip_pairs: tuple[tuple[int, int], ...]
    links: tuple[tuple[int, int], ...]
    upper_body: tuple[int, ...]
    lower_body: tuple[int, ...]
    sigmas: tuple[float, ...]

    def __post_init__(self) -> None:
        used = [index for pair in self.flip_pairs for index in pair]
        if twice := [self.keypoints[index] for index in used if used.count(index) > 1]:
            raise DatasetError(f"skeleton {self.name}: {twice[0]} is in two flip pairs")

    def __repr__(self) -> str:
        return f"<Skeleton {self.name}: {self.num_keypoints} keypoints>"

    @property
    def num_keypoints(self) -> int:
        return len(self.keypoints)

    @cached_property
    def flip_indices(self) -> tuple[int, ...]:
        """Where the mirrored keypoints come from: mirrored[i] = original[flip_indices[i]]."""
        return tuple(flip_indices(self.num_keypoints, self.flip_pairs))

    def indices(self, names: tuple[str, ...] | list[str]) -> tuple[int, ...]:
        """Return the positions of some keypoints by name; raises DatasetError for unknown ones."""
        known = {plain_name(name): place for place, name in enumerate(self.keypoints)}
        if strange := [name for name in names if plain_name(name) not in known]:
            text = f"skeleton {self.name} has no keypoint {strange[0]!r}; it has "
            raise DatasetError(text + ", ".join(self.keypoints))
        return tuple(known[plain_name(name)] for name in names)


def coco_category(skeleton: Skeleton) -> dict[str, Any]:
    """Return the category of a COCO file for persons of a skeleton; its links count from 1."""
    return {
        "id": 1,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(skeleton.keypoints),
        "skeleton": [(first + 1, second + 1) for first, second in skeleton.links],
    }


def flip_indices(count: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Return which of `count` keypoints each comes from where pairs of them are exchanged."""
    indices = list(range(count))
    for left, right in pairs:
        indices[left], indices[right] = right, left
    return indices


def with_flip_pairs(skeleton: Skeleton, pairs: Sequence[Sequence[str]]) -> Skeleton:
    """Return the skeleton with other flip pairs, (left, right) by name.

    Raises DatasetError for what is not a pair of its keypoints, and for a keypoint in two pairs.
    """
    if wrong := [pair for pair in pairs if isinstance(pair, str) or len(pair) != 2]:
        raise DatasetError(f"flip_pairs: {wrong[0]!r} is not a pair of names")
    with reading("flip_pairs"):
        found = [skeleton.indices(list(pair)) for pair in pairs]
        changed = replace(skeleton, flip_pairs=tuple((left, right) for left, right in found))
    return skeleton if changed.flip_indices == skeleton.flip_indices else changed


def with_sigmas(skeleton: Skeleton, sigmas: Mapping[str, float]) -> Skeleton:
    """Return the skeleton with other sigmas for some keypoints, by name.

    Raises DatasetError for unknown names and for sigmas that are not above 0.
    """
    if wrong := [name for name, sigma in sigmas.items() if not 0 < sigma < math.inf]:
        raise DatasetError(f"sigmas: that of {wrong[0]!r} must be above 0, got {sigmas[wrong[0]]}")
    with reading("sigmas"):
        changed = dict(zip(skeleton.indices(list(sigmas)), sigmas.values(), strict=True))
    new = (float(changed.get(k, sigma)) for k, sigma in enumerate(skeleton.sigmas))
    return replace(skeleton, sigmas=tuple(new))


def plain_name(name: str) -> str:
    """Return a name as it is compared: `Left Shoulder` and `leftShoulder` are left_shoulder."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name.strip())
    return re.sub(r"[\W_]+", "_", parted).strip("_").lower()


def named_twice(names: Sequence[str]) -> str | None:
    """Return the first name that means the same as one before it."""
    plain = [plain_name(name) for name in names]
    return next((name for i, name in enumerate(names) if plain[i] in plain[:i]), None)


def _skeleton(
    name: str, keypoints: str, links: str, lower_body: str, sigmas: tuple[float, ...]
) -> Skeleton:
    """Build a skeleton from words: names, `a-b` links, the lower half; left and right by name."""
    names = tuple(keypoints.split())
    place = {each: index for index, each in enumerate(names)}
    pairs = [link.split("-") for link in links.split()]
    left = [each for each in names if each.startswith("left_")]
    lower = {place[each] for each in lower_body.split()}
    return Skeleton(
        name=name,
        keypoints=names,
        flip_pairs=tuple((place[each], place[each.replace("left_", "right_")]) for each in left),
        links=tuple((place[first], place[second]) for first, second in pairs),
        upper_body=tuple(index for index in range(len(names)) if index not in lower),
        lower_body=tuple(sorted(lower)),
        sigmas=sigmas,
    )


_COCO_NAMES = """
    nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow
    left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle
"""
_LIMBS = """
    left_ankle-left_knee left_knee-left_hip right_ankle-right_knee right_knee-right_hip
    left_hip-right_hip left_shoulder-left_hip right_shoulder-right_hip
    left_shoulder-right_shoulder left_shoulder-left_elbow right_shoulder-right_elbow
    left_elbow-left_wrist right_elbow-right_wrist
"""
_COCO_LINKS = f"""{_LIMBS} left_eye-right_eye nose-left_eye nose-right_eye left_eye-left_ear
    right_eye-right_ear left_ear-left_shoulder right_ear-right_shoulder
"""
_LEGS = "left_hip right_hip left_knee right_knee left_ankle right_ankle"
_COCO_SIGMAS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
    *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
)

COCO = _skeleton("coco", _COCO_NAMES, _COCO_LINKS, _LEGS, _COCO_SIGMAS)

AIC = _skeleton(
    "aic",
    """
    right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist right_hip right_knee
    right_ankle left_hip left_knee left_ankle head_top neck
    """,
    """
    right_wrist-right_elbow right_elbow-right_shoulder right_shoulder-neck neck-left_shoulder
    left_shoulder-left_elbow left_elbow-left_wrist right_ankle-right_knee right_knee-right_hip
    right_hip-left_hip left_hip-left_knee left_knee-left_ankle head_top-neck
    right_shoulder-right_hip left_shoulder-left_hip
    """,
    _LEGS,
    (
        *(0.01388152, 0.01515228, 0.01057665, 0.01417709, 0.01497891, 0.01402144, 0.03909642),
        *(0.03686941, 0.01981803, 0.03843971, 0.03412318, 0.02415081, 0.01291456, 0.01236173),
    ),
)

COCO_AIC = _skeleton(  # what `combine` trains: COCO's keypoints and two more of AIC
    "coco_aic",
    f"{_COCO_NAMES} head_top neck",
    f"{_COCO_LINKS} head_top-neck",
    _LEGS,
    (*_COCO_SIGMAS, 0.026, 0.026),
)

CROWDPOSE = _skeleton(
    "crowdpose",
    """
    left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist left_hip right_hip
    left_knee right_knee left_ankle right_ankle top_head neck
    """,
    f"{_LIMBS} top_head-neck right_shoulder-neck left_shoulder-neck",
    _LEGS,
    (
        *(0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107),
        *(0.087, 0.087, 0.089, 0.089, 0.079, 0.079),
    ),
)

MPII = _skeleton(
    "mpii",
    """
    right_ankle right_knee right_hip left_hip left_knee left_ankle pelvis thorax upper_neck head_top
    right_wrist right_elbow right_shoulder left_shoulder left_elbow left_wrist
    """,
    """
    right_ankle-right_knee right_knee-right_hip right_hip-pelvis pelvis-left_hip left_hip-left_knee
    left_knee-left_ankle pelvis-thorax thorax-upper_neck upper_neck-head_top
    right_wrist-right_elbow right_elbow-right_shoulder right_shoulder-thorax thorax-left_shoulder
    left_shoulder-left_elbow left_elbow-left_wrist
    """,
    f"{_LEGS} pelvis",
    (
        *(0.089, 0.083, 0.107, 0.107, 0.083, 0.089, 0.026, 0.026),
        *(0.026, 0.026, 0.062, 0.072, 0.179, 0.179, 0.072, 0.062),
    ),
)

SKELETONS = {skeleton.name: skeleton for skeleton in (COCO, AIC, COCO_AIC, CROWDPOSE, MPII)}
