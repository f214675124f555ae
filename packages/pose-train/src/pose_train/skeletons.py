"""The keypoints of a network: those of what it was trained on."""

from typing import Any

from pose_data import AIC, COCO, Skeleton
from pose_data.combine import union
from pose_data.skeleton import with_flip_pairs, with_sigmas
from pose_train.config import Data


def published_skeleton(data: Data, own: Skeleton | None = None) -> Skeleton:
    """Return what is trained on sets like these: COCO's or AIC's keypoints, or both combined.

    own: the main set's, where it is known to be another.
    """
    known = {"coco": COCO, "aic": AIC}
    skeleton = own or known[data.format]
    if data.flip_pairs is not None:
        skeleton = with_flip_pairs(skeleton, data.flip_pairs)
    skeleton = with_sigmas(skeleton, data.sigmas)
    if data.mix == "combine":
        same = {name: one[0] if len(one) == 1 else one for name, one in data.same.items()}
        for extra in data.extra.values():
            skeleton = union(skeleton, known[extra.format], same)  # type: ignore[arg-type]
    return skeleton


def skeleton_from_plain(content: dict[str, Any]) -> Skeleton:
    """Return a skeleton from what dataclasses.asdict made of it, lists for tuples allowed."""
    pairs = ("flip_pairs", "links")
    return Skeleton(
        name=str(content["name"]),
        keypoints=tuple(map(str, content["keypoints"])),
        upper_body=tuple(map(int, content["upper_body"])),
        lower_body=tuple(map(int, content["lower_body"])),
        sigmas=tuple(map(float, content["sigmas"])),
        **{key: tuple((int(a), int(b)) for a, b in content[key]) for key in pairs},
    )
