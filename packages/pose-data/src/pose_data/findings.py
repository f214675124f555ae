"""What can be found in a file: a stable slug each, how bad it is, and what to do about it.

Who reads a file reports to `Findings`. Loading has strict ones: what cannot be used raises, the
rest becomes notices. `check` has others, collects everything, and reads on.
"""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, NoReturn

from pose_data.errors import DatasetError

SHOWN = 8  # records named by a finding

Level = Literal["refused", "error", "warning", "note"]


class Kind(NamedTuple):
    """Loading refuses what is refused; errors make wrong training data or a wrong AP.

    Warnings are worth a look. A note is said when a file is loaded, and is not for `check`.
    """

    level: Level
    meaning: str
    advice: str


KINDS: dict[str, Kind] = {
    "unreadable": Kind("refused", "the file cannot be read", "Write or copy it again."),
    "not-coco": Kind(
        "refused",
        "not a COCO keypoint file",
        "It needs lists `images`, `annotations`, `categories`.",
    ),
    "no-persons": Kind(
        "error",
        "nothing in it can be trained on or evaluated",
        "Persons need keypoints with v > 0, and iscrowd 0.",
    ),
    "wrong-type": Kind(
        "refused", "a value has the wrong type, or is NaN", "Numbers are finite, ids are integers."
    ),
    "keypoint-count": Kind(
        "refused",
        "an annotation has not 3 numbers for each keypoint of its category",
        "Write x, y, v for every keypoint; 0, 0, 0 where it is not labelled.",
    ),
    "no-keypoint-names": Kind(
        "warning",
        "no category names its keypoints",
        "Give categories[0] the lists `keypoints` (names) and `skeleton` (pairs from 1).",
    ),
    "duplicate-image-id": Kind(
        "refused",
        "an image id is there twice",
        "Number the images; one replaces the other in scoring.",
    ),
    "duplicate-annotation-id": Kind(
        "refused",
        "an annotation id is there twice",
        "Number the annotations; COCO's scoring keeps one of each id.",
    ),
    "duplicate-file-name": Kind(
        "warning", "two images have the same file", "Merge them, or people are missing in both."
    ),
    "image-ids-disjoint": Kind(
        "refused",
        "no image id of the one is among the other's: AP is -1 or 0",
        "Check that both belong to the same split and that ids are integers, not file names.",
    ),
    "image-twice": Kind("warning", "an image is listed twice", "One of them is enough."),
    "odd-ids": Kind(
        "warning", 'ids are written like 139.0 or "1", and read as integers', "Write integers."
    ),
    "doubled-person": Kind(
        "warning",
        "a person is annotated twice: the same keypoints in the same image",
        "`pose-data fix` leaves one of each; the second counts as missed.",
    ),
    "category-ids-disjoint": Kind(
        "refused",
        "no category_id is in `categories`: AP is -1",
        "Set category_id to the id of the category with keypoints.",
    ),
    "several-skeletons": Kind(
        "refused",
        "categories in use have different keypoints",
        "A network learns one: data.categories: [NAME] chooses, `pose-data filter` divides.",
    ),
    "ambiguous-sides": Kind(
        "refused",
        "it is not clear which keypoints mirror each other",
        "Say so with data.flip_pairs in the config.",
    ),
    "wrong-category-chosen": Kind("refused", "a chosen category is not there", "See its names."),
    "no-size": Kind(
        "refused",
        "neither the file nor the image says how large an image is",
        "Write width and height with each image.",
    ),
    "inferred": Kind("note", "what the names of keypoints let on", ""),
    "other-categories": Kind("note", "annotations of other categories", ""),
    "other-names": Kind("note", "names differ from those of the given skeleton", ""),
    "no-segmentation": Kind("note", "regions without labels are masked by their bbox", ""),
    "no-cache": Kind("note", "the file is parsed each time", ""),
    "unknown-image": Kind(
        "error", "image_id is not in `images`", "Add the image, or remove the annotation."
    ),
    "wrong-category": Kind(
        "error",
        "category_id is not in `categories`: such rows do not count",
        "Set category_id to the id of the person category (1 in COCO).",
    ),
    "wrong-area": Kind(
        "error",
        "areas cannot be right: OKS divides by them, so AP is near 0 (or 1)",
        "area is in square pixels: that of the mask, else about 0.53 * width * height of the box.",
    ),
    "area-and-box": Kind(
        "warning",
        "area and bbox contradict each other",
        "One of them is wrong; OKS divides by area.",
    ),
    "wrong-coordinates": Kind(
        "error",
        "keypoints of results fit the annotations only after a change: AP is near 0",
        "Write keypoints in pixels of the image, in the order of the category's names.",
    ),
    "missing-field": Kind(
        "warning",
        "a field is missing; loading derives it, other tools fail",
        "Write bbox, area, iscrowd and num_keypoints with each annotation.",
    ),
    "empty-box": Kind(
        "error",
        "a box has no width or height: the person is left out",
        "Write x, y, width, height.",
    ),
    "box-outside-picture": Kind(
        "error",
        "a box lies outside of its picture: the person is left out",
        "Check width and height.",
    ),
    "xyxy-boxes": Kind(
        "error",
        "boxes look like x1, y1, x2, y2",
        "COCO's bbox is x, y, width, height: subtract the first two from the last two.",
    ),
    "normalised-coordinates": Kind(
        "error", "coordinates look like fractions of the picture", "Multiply by width and height."
    ),
    "no-labels": Kind(
        "error",
        "every num_keypoints is 0: nothing counts, AP is -1",
        "num_keypoints is how many keypoints have v > 0.",
    ),
    "num-keypoints-differ": Kind(
        "warning", "num_keypoints is not the number of keypoints with v > 0", "Count them again."
    ),
    "num-keypoints-zero": Kind(
        "error",
        "num_keypoints is 0 where keypoints are labelled: the person does not count",
        "Count the keypoints with v > 0.",
    ),
    "visibility-values": Kind(
        "warning",
        "v is not 0 (not labelled), 1 (occluded) or 2 (visible)",
        "Above 0 counts as labelled, as in pycocotools.",
    ),
    "aic-visibility": Kind(
        "error",
        "v is often 3: absent in AI Challenger's codes, in COCO's it counts as labelled",
        "pose-data convert --from aic reads AI Challenger's original files.",
    ),
    "labelled-at-origin": Kind(
        "warning", "a keypoint at (0, 0) counts as labelled", "Set v to 0 where there is no point."
    ),
    "points-outside-picture": Kind(
        "warning",
        "labelled keypoints lie outside of the picture",
        "They are not trained: v should be 0.",
    ),
    "points-outside-box": Kind(
        "error",
        "most labelled keypoints lie outside of their own box",
        "Boxes and keypoints may belong to different persons, pictures or scales.",
    ),
    "left-right-swapped": Kind(
        "error",
        "left and right look swapped throughout: the left eye of someone facing us is on the right",
        "left is the person's own left. Check the order of the names.",
    ),
    "left-right-doubtful": Kind(
        "warning",
        "nearly everyone has the left shoulder on the left, as if seen from behind",
        "Unless they are, left and right are swapped: look at them with pose-data show.",
    ),
    "left-right-mixed": Kind(
        "warning",
        "left and right of shoulders and hips contradict each other",
        "Look at them with pose-data show; flips during training mix up the sides of these.",
    ),
    "no-flip-pairs": Kind(
        "warning",
        "no left-right pairs in the keypoints' names",
        "Name them left_x and right_x, or train and test without flips.",
    ),
    "missing-picture": Kind(
        "error", "the file of an image is missing", "Check the folder and the names."
    ),
    "broken-picture": Kind("error", "a file is empty or no picture", "Fetch it again."),
    "truncated-picture": Kind(
        "error", "a JPEG ends too early: its lower part decodes to grey", "Fetch it again."
    ),
    "size-differs": Kind(
        "error",
        "width and height are not the picture's",
        "Boxes and keypoints may refer to another size: rescale them, or fix width and height.",
    ),
    "exif-rotation": Kind(
        "warning",
        "an image has an EXIF orientation, and its size does not tell which way up it is meant",
        "It is read upright. If the annotations are of the stored pixels: data.exif=ignore.",
    ),
    "not-rgb": Kind(
        "warning",
        "a picture is grey, CMYK, 16-bit or has transparency; it is read as 8-bit RGB",
        "Convert it, if its colours matter.",
    ),
    "no-score": Kind(
        "error", "a result has no score", "AP ranks by score: write one with each row."
    ),
    "boxes-in-some-rows": Kind(
        "error",
        "row 0 has a bbox, another row none: the area of a detection comes from all or none",
        "Write bbox with each row, or with none.",
    ),
    "boxes-alone": Kind(
        "warning",
        "rows have a bbox and no keypoints",
        "For a top-down network's boxes that is right; pose-eval evaluates keypoints.",
    ),
    "equal-rows": Kind("warning", "the keypoints of all results are equal", "Look at the network."),
    "missing-images": Kind(
        "warning", "most images with persons have no row", "They count as missed."
    ),
    "equal-scores": Kind(
        "warning", "all scores are equal: AP cannot rank them", "Write the network's confidence."
    ),
}


@dataclass
class Finding:
    """One kind of thing found, how often, and the first records it was found in."""

    slug: str
    count: int = 0
    records: list[str] = field(default_factory=list)
    has_more: bool = False

    @property
    def is_error(self) -> bool:
        return KINDS[self.slug].level != "warning"

    def __str__(self) -> str:
        kind = KINDS[self.slug]
        word = "error" if self.is_error else "warning"
        lines = [f"{word} {self.slug} ({self.count}): {kind.meaning}"]
        lines += [f"    {record}" for record in self.records]
        if self.has_more:
            lines.append(f"    ... {self.count} in all")
        return "\n".join([*lines, f"    -> {kind.advice}"])


class Findings:
    """Findings by slug, in the order of their first appearance.

    is_strict: raise DatasetError for the first that loading refuses.
    """

    def __init__(self, *, is_strict: bool = False) -> None:
        self.is_strict = is_strict
        self.by_slug: dict[str, Finding] = {}

    def add(self, slug: str, record: str, count: int = 1) -> None:
        """Count a finding, and keep its record, a sentence, if it is among the first."""
        if self.is_strict and KINDS[slug].level == "refused":
            raise DatasetError(record)
        finding = self.by_slug.setdefault(slug, Finding(slug))
        finding.count += count
        if len(finding.records) < SHOWN:
            finding.records.append(record)
        else:
            finding.has_more = True

    def stop(self, slug: str, record: str) -> NoReturn:
        """Report what a file cannot be read beyond, strict or not; raises DatasetError."""
        self.add(slug, record)
        raise DatasetError(record)

    def notices(self) -> tuple[str, ...]:
        """Return all records that are kept."""
        return tuple(record for each in self.by_slug.values() for record in each.records)

    def sorted(self) -> list[Finding]:
        """Return errors, then warnings; no notes."""
        shown = [each for each in self.by_slug.values() if KINDS[each.slug].level != "note"]
        return sorted(shown, key=lambda finding: not finding.is_error)
