"""What can be found in a file: a stable slug each, how bad it is, and what to do about it.

Who reads a file reports to `Findings`. Loading has strict ones: what cannot be used raises, the
rest becomes notices. `check` has others, which collect everything.
"""

import re
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, NoReturn

from pose_data.errors import DatasetError

SHOWN = 8  # records named by a finding

Level = Literal["refused", "error", "warning", "note"]


class Kind(NamedTuple):
    """Loading refuses what is refused; errors make wrong training data or a wrong AP.

    Warnings deserve a check. Notes are for those who load a file, and not for `check`.
    """

    level: Level
    meaning: str
    advice: str


# slug: what it means -> what to do about it. Lines that begin with a space go on the one above.
_TEXTS: dict[Level, str] = {
    "refused": """
unreadable: the file cannot be read -> Write or copy it again.
not-coco: not a COCO keypoint file -> It needs lists `images`, `annotations`, `categories`.
wrong-type: a value has the wrong type, or is NaN -> Numbers are finite, ids are integers.
keypoint-count: an annotation does not have 3 numbers for each keypoint of its category
    -> Write x, y, v for every keypoint; 0, 0, 0 where it is not labelled.
duplicate-image-id: duplicate id of an image -> Number the images; scoring keeps one of each.
duplicate-annotation-id: duplicate id of an annotation -> Number them; scoring keeps one of each.
image-ids-disjoint: no image_id is in `images`: AP is -1 or 0
    -> Check that both belong to the same split and that ids are integers, not file names.
category-ids-disjoint: no category_id is in `categories`: AP is -1
    -> Set category_id to the id of the category with keypoints.
several-skeletons: categories in use have different keypoints
    -> A network learns one: data.categories: [NAME] chooses, `pose-data filter` divides.
ambiguous-sides: it is not clear which keypoints mirror each other -> List them in data.flip_pairs.
wrong-category-chosen: a chosen category does not exist -> Compare with the names in the file.
outside-folder: a file_name leads out of the image folder: such files are not opened
    -> Give a folder that holds them, or `pose-data fix --strip-prefix`.
no-size: the size of an image is unknown -> Write width and height.
""",
    "error": """
no-persons: nothing in it can be trained on or evaluated -> Keypoints need v > 0, persons iscrowd 0.
unknown-image: image_id is not in `images` -> Add the image, or remove the annotation.
wrong-category: category_id is not in `categories`: such rows do not count
    -> Set category_id to the id of the person category (1 in COCO).
wrong-area: areas cannot be right: OKS divides by them, so AP is near 0 (or 1)
    -> area is in square pixels: that of the mask, else about 0.53 * width * height of the box.
wrong-coordinates: keypoints of results fit the annotations only after a change: AP is near 0
    -> Write keypoints in pixels of the image, in the order of the category's names.
empty-box: a box has no width or height: the person is left out -> Write x, y, width, height.
box-outside-image: a box is outside of its image, the person left out -> Check width and height.
xyxy-boxes: boxes look like x1, y1, x2, y2
    -> COCO's bbox is x, y, width, height: subtract the first two from the last two.
normalised-coordinates: coordinates look like fractions of the image -> Multiply by its size.
no-labels: every num_keypoints is 0: nothing counts, AP is -1 -> Count the keypoints with v > 0.
num-keypoints-zero: num_keypoints is 0 where keypoints are labelled: the person does not count
    -> Count the keypoints with v > 0.
aic-visibility: v is often 3: absent in AI Challenger's codes, in COCO's it counts as labelled
    -> pose-data convert --from aic reads AI Challenger's original files.
points-outside-box: most labelled keypoints lie outside of their own box
    -> Boxes and keypoints may belong to different persons, images or scales.
left-right-swapped: left and right look swapped throughout: the left eye of someone
    facing us is on the right -> left is the person's own left. Check the order of the names.
missing-file: the file of an image is missing -> Check the folder and the names.
broken-image: a file is empty or not an image -> Download it again.
truncated-image: a JPEG ends too early: its lower part decodes to grey -> Download it again.
wrong-depth: an image has float or 32-bit values -> Write it with 8 or 16 bits a channel.
size-differs: width and height are not the image's
    -> Boxes and keypoints may refer to another size: rescale them, or fix width and height.
no-score: a result has no score -> AP ranks by score: write one with each row.
boxes-in-some-rows: row 0 has a bbox, another row none: the area of a detection comes from
    all or none -> Write bbox with each row, or with none.
""",
    "warning": """
no-keypoint-names: no category names its keypoints -> Give it `keypoints` and `skeleton` (from 1).
duplicate-file-name: duplicate file_name -> Merge the images, or people are missing in both.
image-twice: an image is listed twice -> One of them is enough.
odd-ids: ids are written like 139.0 or "1", and read as integers -> Write integers.
doubled-person: a person is annotated twice: the same keypoints in the same image
    -> `pose-data fix` leaves one of each; the second counts as missed.
wrong-skeleton: the links of a category are not pairs of its keypoints -> Number them from 1.
lone-side: a keypoint has a side, and none mirrors it -> Check its name, or data.flip_pairs.
area-and-box: area and bbox contradict each other -> One of them is wrong; OKS divides by area.
missing-field: a field is missing; loading derives it, other tools fail
    -> Write bbox, area, iscrowd and num_keypoints with each annotation.
num-keypoints-differ: num_keypoints is not the number of keypoints with v > 0 -> Count them again.
visibility-values: v is not 0 (not labelled), 1 (occluded) or 2 (visible) -> Above 0 is labelled.
labelled-at-origin: a keypoint at (0, 0) counts as labelled -> Set v to 0 where there is no point.
points-outside-image: labelled keypoints are outside of the image: not trained -> Set v to 0.
left-right-doubtful: nearly everyone has the left shoulder on the left, as if seen from behind
    -> Unless they are, left and right are swapped: see with pose-data show.
left-right-mixed: left and right of shoulders and hips contradict each other
    -> See with pose-data show; flips during training mix up the sides of these.
no-flip-pairs: no left-right pairs in the keypoints' names
    -> Name them left_x and right_x, or train and test without flips.
exif-rotation: an image has an EXIF orientation, and its size does not settle whether that applies
    -> It is read upright. If the annotations are of the stored pixels: data.exif=ignore.
not-rgb: an image is grey, CMYK, 16-bit or has transparency -> It is read as 8-bit RGB.
unused-bits: 16-bit images use fewer bits: they are read too dark -> Set data.bits.
boxes-alone: rows have a bbox and no keypoints
    -> For a top-down network's boxes that is right; pose-eval evaluates keypoints.
equal-rows: the keypoints of all results are equal -> Check the network.
missing-images: most images with persons have no row -> They count as missed.
equal-scores: all scores are equal: AP cannot rank them -> Write the network's confidence.
""",
    "note": """
inferred: what the keypoints' names imply
other-categories: annotations of other categories
other-names: names differ from those of the given skeleton
no-segmentation: regions without labels are masked by their bbox
no-cache: the file is parsed each time
""",
}
KINDS: dict[str, Kind] = {}
for _level, _text in _TEXTS.items():
    for _entry in re.split(r"\n(?! )", _text.strip()):
        _slug, _, _rest = " ".join(_entry.split()).partition(": ")
        KINDS[_slug] = Kind(_level, *_rest.partition(" -> ")[::2])


@dataclass
class Finding:
    """One kind of thing found, how often, and the first records it was found in."""

    slug: str
    count: int = 0
    records: list[str] = field(default_factory=list)
    has_more: bool = False

    @property
    def kind(self) -> Kind:
        return KINDS[self.slug]

    @property
    def is_error(self) -> bool:
        return self.kind.level != "warning"

    def __str__(self) -> str:
        word = "error" if self.is_error else "warning"
        more = [f"... {self.count} in all"] * self.has_more
        records = [f"    {line}" for line in (*self.records, *more, f"-> {self.kind.advice}")]
        return "\n".join([f"{word} {self.slug} ({self.count}): {self.kind.meaning}", *records])


class Findings:
    """Findings by slug, in the order in which they were found.

    is_strict: raise DatasetError for the first that loading refuses.
    """

    def __init__(self, *, is_strict: bool = False) -> None:
        self.is_strict = is_strict
        self.by_slug: dict[str, Finding] = {}

    def add(self, slug: str, record: str, count: int = 1) -> None:
        """Count a finding, and keep its record, a sentence, if it is among the first.

        count: how many records the sentence is about; nothing is added for 0.
        """
        if not count:
            return
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
        shown = [each for each in self.by_slug.values() if each.kind.level != "note"]
        return sorted(shown, key=lambda finding: not finding.is_error)
