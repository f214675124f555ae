"""The persons of a set of images, one row each: what loaders return and datasets take."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pose_data.errors import DatasetError
from pose_data.images.decode import read_picture
from pose_data.images.headers import Exif
from pose_data.regions import Regions
from pose_data.shares import Shares, describe_shares
from pose_data.skeleton import Skeleton


class Category(NamedTuple):
    """A category of a file: names of its keypoints, () for none, links as the file has them.

    num_keypoints: of its names, else of its first annotation with some; 0 for boxes alone.
    is_used: whether an annotation of it has keypoints.
    """

    id: int
    name: str
    keypoints: tuple[str, ...] = ()
    links: Any = None
    num_keypoints: int = 0
    is_used: bool = False


@dataclass(frozen=True)
class Source:
    """One annotation file among several: its rows are consecutive, in the order of the sources.

    ratio: how often each of its persons comes in an epoch, on average. shares: how often relative
    to one another; None for equally often.
    """

    name: str
    annotation_file: Path
    num_persons: int
    num_images: int
    ratio: float = 1.0
    shares: Shares | None = None


@dataclass(frozen=True, repr=False)
class Persons:
    """The N annotated persons of I images, one row each, image by image.

    image_folder: None where only the annotations were loaded.
    image_ids (I,), file_names (I), image_sizes (I, 2) as (w, h): every image of the file.
    ids (N,) annotation ids, image_index (N,) rows of the image arrays, category_ids (N,),
    bbox_xyxy (N, 4) clipped to the image, area (N,), keypoints (N, K, 2), visible (N, K) with
    COCO's 0 (not labelled), 1 (occluded) and 2 (visible). scores (N,) of detected boxes, None for
    annotated ones.
    regions: every annotation of the file, crowds and unlabelled persons too, in the same images.
    categories: those of the persons.
    shares: how often they come in an epoch, from `with_shares`; None for equally often, and where
    `sources` have theirs.
    sources: the files these persons come from, where `merge` or `combine` joined several.
    notices: what was derived or left out, one sentence each.
    """

    annotation_file: Path
    image_folder: Path | None
    skeleton: Skeleton
    image_ids: NDArray[np.int64]
    file_names: NDArray[np.str_] | tuple[str, ...]
    image_sizes: NDArray[np.int64]
    ids: NDArray[np.int64]
    image_index: NDArray[np.int64]
    category_ids: NDArray[np.int64]
    bbox_xyxy: NDArray[np.float32]
    area: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    visible: NDArray[np.float32]
    scores: NDArray[np.float32] | None = None
    regions: Regions | None = None
    categories: tuple[Category, ...] = ()
    shares: Shares | None = None
    sources: tuple[Source, ...] = ()
    notices: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        keypoints = f"{self.skeleton.num_keypoints} keypoints ({self.skeleton.name})"
        counts = f"{len(self)} {self.noun} in {len(self.image_ids)} images"
        return (
            f"<Persons {', '.join(each.name for each in sources_of(self))}: {counts}, {keypoints}>"
        )

    @property
    def image_dir(self) -> Path:
        """The folder of the images; raises DatasetError where none was given."""
        if self.image_folder is None:
            text = "was loaded without its images: give load_coco or load_aic their image_dir"
            raise DatasetError(f"{self.annotation_file} {text}")
        return self.image_folder

    def image_path(self, index: int) -> Path:
        """Return the image file of person `index`; raises DatasetError without image_dir."""
        return self.image_dir / str(self.file_names[self.image_index[index]])

    def file_of_image(self, row: int) -> Path:
        """Return the annotation file that names an image, a row of the image arrays."""
        if not self.sources:
            return self.annotation_file
        ends = np.cumsum([source.num_images for source in self.sources])
        return self.sources[int(np.searchsorted(ends, row, side="right"))].annotation_file

    def where(self, index: int) -> str:
        """Name the record of person `index`, for messages: its file and annotation id."""
        return f"{self.file_of_image(self.image_index[index])} annotation id {self.ids[index]}"

    @property
    def source_index(self) -> NDArray[np.int64]:
        """Which of the sources each person comes from (N,)."""
        counts = [source.num_persons for source in self.sources] or [len(self)]
        return np.repeat(np.arange(len(counts)), counts)

    @property
    def noun(self) -> str:
        """What these are called in messages: persons, or instances of mouse."""
        names = dict.fromkeys(category.name for category in self.categories)
        if not names or "person" in names:
            return "persons"
        return f"instances of {', '.join(names)}"

    def describe(self) -> str:
        """Return the counts of persons and images of each source, and how often they come."""
        lines = []
        sources = sources_of(self)
        # Of several files, what one calls cats another may call animals.
        several = "persons" if self.noun == "persons" else "instances"
        noun = self.noun if len(sources) == 1 else several
        for each in sources:
            ratio = "" if each.ratio == 1 else f", {each.ratio:g} x per epoch"
            counts = f"{each.num_persons} {noun} in {each.num_images} images"
            lines.append(f"{each.name}: {counts}{ratio}")
            if each.shares is not None:
                lines += [f"  {line}" for line in describe_shares(each.shares, each.ratio)]
        if len(sources) > 1:
            lines.append(f"together: {len(self)} {noun}, {self.skeleton.num_keypoints} keypoints")
        return "\n".join(lines)


def as_source(persons: Persons, ratio: float = 1.0) -> Source:
    """Describe persons that came from one file."""
    file = persons.annotation_file
    return Source(file.name, file, len(persons), len(persons.image_ids), ratio, persons.shares)


def sources_of(persons: Persons) -> tuple[Source, ...]:
    """Return the files that persons come from, one if nothing was joined."""
    return persons.sources or (as_source(persons),)


def read_image(
    persons: Persons, index: int, exif: Exif = "auto", bits: int | None = None
) -> NDArray[np.uint8]:
    """Decode the image of a person as (H, W, 3) BGR; raises DatasetError."""
    w, h = persons.image_sizes[persons.image_index[index]].tolist()
    try:
        return read_picture(persons.image_path(index), (w, h), exif=exif, bits=bits).pixels
    except DatasetError as error:
        raise DatasetError(f"{persons.where(index)}: {error}") from error
