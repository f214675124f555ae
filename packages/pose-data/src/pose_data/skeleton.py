"""What the joints of a person are called, which of them mirror each other and how they connect."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Skeleton:
    """Describe K keypoints; every index below is a position in `keypoints`.

    flip_pairs: (left, right) indices that swap when the picture is mirrored.
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

    @property
    def num_keypoints(self) -> int:
        return len(self.keypoints)

    @property
    def flip_indices(self) -> tuple[int, ...]:
        """Where the mirrored keypoints come from: mirrored[i] = original[flip_indices[i]]."""
        indices = list(range(self.num_keypoints))
        for left, right in self.flip_pairs:
            indices[left], indices[right] = right, left
        return tuple(indices)


# fmt: off
_COCO_LINKS = (
    (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8),
    (7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
)
# fmt: on

COCO = Skeleton(
    name="coco",
    keypoints=(
        "nose",
        "left_eye",
        "right_eye",
        "left_ear",
        "right_ear",
        "left_shoulder",
        "right_shoulder",
        "left_elbow",
        "right_elbow",
        "left_wrist",
        "right_wrist",
        "left_hip",
        "right_hip",
        "left_knee",
        "right_knee",
        "left_ankle",
        "right_ankle",
    ),
    flip_pairs=((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)),
    links=_COCO_LINKS,
    upper_body=tuple(range(11)),
    lower_body=tuple(range(11, 17)),
    sigmas=(
        *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
        *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
    ),
)
