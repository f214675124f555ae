"""What `check` can find: a stable slug each, whether it is an error, and what to do about it."""

from dataclasses import dataclass, field
from typing import NamedTuple

SHOWN = 8  # records named by a finding


class Kind(NamedTuple):
    """Errors make wrong training data or a wrong AP; warnings are worth a look."""

    is_error: bool
    meaning: str
    advice: str


KINDS: dict[str, Kind] = {
    "unreadable": Kind(True, "the file cannot be read", "Write or copy it again."),
    "not-coco": Kind(
        True, "not a COCO keypoint file", "It needs lists `images`, `annotations`, `categories`."
    ),
    "no-persons": Kind(
        True, "nothing in it can be trained on or evaluated", "See the other findings for why."
    ),
    "wrong-type": Kind(
        True, "a value has the wrong type, or is NaN", "Numbers are finite, ids are integers."
    ),
    "keypoint-count": Kind(
        True,
        "an annotation has not 3 numbers for each keypoint of its category",
        "Write x, y, v for every keypoint; 0, 0, 0 where it is not labelled.",
    ),
    "no-keypoint-names": Kind(
        True,
        "no category names its keypoints",
        "Give categories[0] the lists `keypoints` (names) and `skeleton` (pairs from 1).",
    ),
    "duplicate-image-id": Kind(
        True, "an image id is there twice", "Number the images; one replaces the other in scoring."
    ),
    "duplicate-annotation-id": Kind(
        True,
        "an annotation id is there twice",
        "Number the annotations; COCO's scoring keeps one of each id.",
    ),
    "duplicate-file-name": Kind(
        False, "two images have the same file", "Merge them, or people are missing in both."
    ),
    "image-ids-disjoint": Kind(
        True,
        "no image id of the one is among the other's: AP is -1 or 0",
        "Check that both belong to the same split and that ids are integers, not file names.",
    ),
    "unknown-image": Kind(
        True, "image_id is not in `images`", "Add the image, or remove the annotation."
    ),
    "wrong-category": Kind(
        True,
        "category_id is not that of the category with keypoints: such rows do not count",
        "Set category_id to the id of the person category (1 in COCO).",
    ),
    "wrong-area": Kind(
        True,
        "areas cannot be right: OKS divides by them, so AP is near 0 (or 1)",
        "area is in square pixels: that of the mask, else about 0.53 * width * height of the box.",
    ),
    "missing-field": Kind(
        False,
        "a field is missing; loading derives it, other tools fail",
        "Write bbox, area, iscrowd and num_keypoints with each annotation.",
    ),
    "empty-box": Kind(
        True, "a box has no width or height: the person is left out", "Write x, y, width, height."
    ),
    "box-outside-picture": Kind(
        True, "a box lies outside of its picture: the person is left out", "Check width and height."
    ),
    "xyxy-boxes": Kind(
        True,
        "boxes look like x1, y1, x2, y2",
        "COCO's bbox is x, y, width, height: subtract the first two from the last two.",
    ),
    "normalised-coordinates": Kind(
        True, "coordinates look like fractions of the picture", "Multiply by width and height."
    ),
    "no-labels": Kind(
        True,
        "every num_keypoints is 0: nothing counts, AP is -1",
        "num_keypoints is how many keypoints have v > 0.",
    ),
    "num-keypoints-differ": Kind(
        False, "num_keypoints is not the number of keypoints with v > 0", "Count them again."
    ),
    "num-keypoints-zero": Kind(
        True,
        "num_keypoints is 0 where keypoints are labelled: the person does not count",
        "Count the keypoints with v > 0.",
    ),
    "visibility-values": Kind(
        True,
        "v is not 0 (not labelled), 1 (occluded) or 2 (visible)",
        "AI Challenger's codes are other ones: pose-data convert-aic.",
    ),
    "labelled-at-origin": Kind(
        False, "a keypoint at (0, 0) counts as labelled", "Set v to 0 where there is no point."
    ),
    "points-outside-picture": Kind(
        False,
        "labelled keypoints lie outside of the picture",
        "They are not trained: v should be 0.",
    ),
    "points-outside-box": Kind(
        True,
        "most labelled keypoints lie outside of their own box",
        "Boxes and keypoints may belong to different persons, pictures or scales.",
    ),
    "left-right-swapped": Kind(
        True,
        "left and right look swapped throughout: the left eye of someone facing us is on the right",
        "left is the person's own left. Check the order of the names.",
    ),
    "left-right-doubtful": Kind(
        False,
        "nearly everyone has the left shoulder on the left, as if seen from behind",
        "Unless they are, left and right are swapped: look at them with pose-data show.",
    ),
    "left-right-mixed": Kind(
        False,
        "left and right of shoulders and hips contradict each other",
        "Look at them with pose-data show; flips during training mix up the sides of these.",
    ),
    "no-flip-pairs": Kind(
        False,
        "no left-right pairs in the keypoints' names",
        "Name them left_x and right_x, or train and test without flips.",
    ),
    "missing-picture": Kind(True, "the file of an image is missing", "Check the image folder."),
    "broken-picture": Kind(True, "a file is empty or no picture", "Fetch it again."),
    "truncated-picture": Kind(
        True, "a JPEG ends too early: its lower part decodes to grey", "Fetch it again."
    ),
    "size-differs": Kind(
        True,
        "width and height are not the picture's",
        "Boxes and keypoints may refer to another size: rescale them, or fix width and height.",
    ),
    "exif-rotation": Kind(
        False,
        "a picture carries an EXIF rotation; its stored pixels are used",
        "Viewers turn it: if it was annotated as seen, the labels are turned against the pixels.",
    ),
    "exif-size": Kind(
        True,
        "width and height are those of the picture after its EXIF rotation",
        "Rotate the stored pixels (exiftran -a, jpegtran) and remove the tag.",
    ),
    "not-rgb": Kind(
        False,
        "a picture is grey, CMYK, 16-bit or has transparency; it is read as 8-bit RGB",
        "Convert it, if its colours matter.",
    ),
    "no-score": Kind(True, "a result has no score", "AP ranks by score: write one with each row."),
    "equal-scores": Kind(
        False, "all scores are equal: AP cannot rank them", "Write the network's confidence."
    ),
}


@dataclass
class Finding:
    """One kind of thing found, how often, and the first records it was found in."""

    slug: str
    count: int = 0
    records: list[str] = field(default_factory=list)

    @property
    def is_error(self) -> bool:
        return KINDS[self.slug].is_error

    def __str__(self) -> str:
        kind = KINDS[self.slug]
        word = "error" if kind.is_error else "warning"
        lines = [f"{word} {self.slug} ({self.count}): {kind.meaning}"]
        lines += [f"    {record}" for record in self.records]
        if self.count > len(self.records):
            lines.append(f"    ... {self.count} in all")
        return "\n".join([*lines, f"    -> {kind.advice}"])


class Findings:
    """Collect findings by slug, in the order of their first appearance."""

    def __init__(self) -> None:
        self.by_slug: dict[str, Finding] = {}

    def add(self, slug: str, record: str, count: int = 1) -> None:
        """Count a finding, and keep its record if it is among the first."""
        assert slug in KINDS
        finding = self.by_slug.setdefault(slug, Finding(slug))
        finding.count += count
        if len(finding.records) < SHOWN:
            finding.records.append(record)

    def sorted(self) -> list[Finding]:
        """Return errors, then warnings."""
        return sorted(self.by_slug.values(), key=lambda finding: not finding.is_error)
