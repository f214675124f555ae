"""Pictures of what is in a set of persons, and of what training makes of them."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle

from pose_data.errors import DatasetError
from pose_data.images.decode import read_picture
from pose_data.persons import Persons
from pose_data.samples.bottomup import BottomUp
from pose_data.samples.crop import Augmentation
from pose_data.samples.scene import SceneAugmentation
from pose_data.samples.topdown import TopDown
from pose_data.view.draw import draw_people
from pose_data.view.page import cards, page
from pose_data.writing import write_bytes

Image = NDArray[np.uint8]
_BOX, _CROWD = (255, 255, 255), (200, 60, 200)  # BGR


class Shown(NamedTuple):
    """A picture (H, W, 3) BGR and what to say below it."""

    image: Image
    caption: str


def annotated_pictures(persons: Persons, images: Sequence[int], height: int = 300) -> list[Shown]:
    """Return pictures by row with all that is annotated: skeletons, boxes, masks of the ignored."""
    shown = []
    for row in images:
        w, h = persons.image_sizes[row].tolist()
        image = read_picture(persons.image_dir / str(persons.file_names[row]), (w, h)).pixels
        scale = height / image.shape[0]
        size = (max(1, round(image.shape[1] * scale)), height)
        who = np.flatnonzero(persons.image_index == row)
        ignored = _ignored_mask(persons, row)
        canvas = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        if ignored is not None:
            _tint(canvas, cv2.resize(ignored, size, interpolation=cv2.INTER_NEAREST) > 0)
        for x1, y1, x2, y2 in np.rint(persons.bbox_xyxy[who] * scale).astype(int).tolist():
            cv2.rectangle(canvas, (x1, y1), (x2, y2), _BOX, 1)
        points = (persons.keypoints[who] + 0.5) * np.float32(scale) - np.float32(0.5)
        drawn = draw_people(
            np.asarray(canvas, np.uint8), points, persons.visible[who], persons.skeleton
        )
        masked = "; masked out: violet" if ignored is not None else ""
        plural = "s" * (len(who) != 1)
        text = f"image id {persons.image_ids[row]}, {len(who)} person{plural}{masked}"
        shown.append(Shown(drawn, text))
    return shown


def augmented_samples(
    persons: Persons,
    rows: Sequence[int],
    *,
    input_size: tuple[int, int] = (192, 256),
    augmentation: Augmentation | None = None,
    draws: int = 4,
    seed: int = 0,
) -> list[Shown]:
    """Return top-down samples as training sees them, `draws` of each person, labels drawn in."""
    augment = Augmentation() if augmentation is None else augmentation
    dataset = TopDown(persons, input_size, _keep_points, augment, seed)
    shown = []
    for row in rows:
        for epoch in range(draws):
            sample = dataset[(epoch, row)]
            image = np.asarray(cv2.cvtColor(sample["image"], cv2.COLOR_RGB2BGR), np.uint8)
            points, weights = sample["heatmaps"][None], sample["weights"][None]
            drawn = draw_people(image, points, weights, persons.skeleton)
            shown.append(Shown(drawn, f"{_short(persons, row)}, draw {epoch + 1}"))
    return shown


def augmented_scenes(
    persons: Persons,
    images: Sequence[int],
    *,
    input_size: tuple[int, int] = (512, 512),
    augmentation: SceneAugmentation | None = None,
    draws: int = 4,
    seed: int = 0,
) -> list[Shown]:
    """Return bottom-up samples as training sees them, `draws` of each picture by row.

    Labels are drawn in; where the loss does not look is violet.
    """
    augment = SceneAugmentation() if augmentation is None else augmentation
    dataset = BottomUp(persons, input_size, (input_size,), augment=augment, seed=seed)
    shown = []
    for index in np.searchsorted(dataset.images, images).tolist():
        for epoch in range(draws):
            sample = dataset[(epoch, index)]
            canvas = cv2.cvtColor(sample["image"], cv2.COLOR_RGB2BGR)
            _tint(canvas, ~sample["masks"][0])
            points = sample["keypoints"][0]  # (P, K, 2)
            drawn = draw_people(
                np.asarray(canvas, np.uint8), points, sample["visible"], persons.skeleton
            )
            shown.append(Shown(drawn, f"image id {sample['image_id']}, draw {epoch + 1}"))
    return shown


def write_gallery(out: Path, title: str, groups: Sequence[tuple[str, Sequence[Shown]]]) -> None:
    """Write pictures as one sheet (.png, .jpg) or one page (.html); raises DatasetError."""
    if out.suffix.lower() in (".html", ".htm"):
        body = []
        for heading, shown in groups:
            figures = [_figure(one) for one in shown]
            body.append(f"<h2 style='margin-top:26px'>{escape(heading)}</h2>{cards(figures)}")
        write_bytes(out, page(title, "left is orange, right is blue", body).encode())
    elif out.suffix.lower() in (".png", ".jpg", ".jpeg"):
        sheet = _sheet([[one.image for one in shown] for _, shown in groups])
        write_bytes(out, cv2.imencode(out.suffix.lower(), sheet)[1].tobytes())
    else:
        raise DatasetError(f"cannot write {out}: end it with .html, .png or .jpg")


def _keep_points(
    keypoints: NDArray[np.float32], labelled: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return keypoints, labelled


def _short(persons: Persons, row: int) -> str:
    return f"annotation id {persons.ids[row]}"


def _tint(canvas: NDArray[Any], where: NDArray[np.bool_]) -> None:
    canvas[where] = (0.5 * canvas[where] + 0.5 * np.array(_CROWD)).astype(np.uint8)


def _ignored_mask(persons: Persons, row: int) -> Image | None:
    """Return where a picture's crowds and unlabelled persons are (H, W); None for nowhere."""
    regions = persons.regions
    if regions is None:
        return None
    w, h = persons.image_sizes[row].tolist()
    which = np.flatnonzero((regions.image_index == row) & regions.is_ignored)
    masks = [rle.decode(one) for r in which for one in regions.rles(int(r), (w, h))]
    return np.asarray(np.any(masks, axis=0), np.uint8) if masks else None


def _figure(shown: Shown) -> str:
    jpeg = cv2.imencode(".jpg", shown.image, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes()
    data = base64.b64encode(jpeg).decode()
    return (
        f'<figure><img alt="" src="data:image/jpeg;base64,{data}">'
        f"<figcaption>{escape(shown.caption)}</figcaption></figure>"
    )


def _sheet(groups: Sequence[Sequence[Image]], gap: int = 6, width: int = 1600) -> Image:
    """Lay pictures out in rows as wide as fit, on grey; each group begins a row."""
    rows: list[list[Image]] = []
    for images in groups:
        room = 0
        for image in images:
            if room < image.shape[1]:
                rows.append([])
                room = width
            rows[-1].append(image)
            room -= image.shape[1] + gap
    if not rows:
        raise DatasetError("there is nothing to show")
    width = max(sum(image.shape[1] + gap for image in row) for row in rows) + gap
    height = sum(max(image.shape[0] for image in row) + gap for row in rows) + gap
    sheet = np.full((height, width, 3), 60, np.uint8)
    y = gap
    for row in rows:
        x = gap
        for image in row:
            sheet[y : y + image.shape[0], x : x + image.shape[1]] = image
            x += image.shape[1] + gap
        y += max(image.shape[0] for image in row) + gap
    return sheet
