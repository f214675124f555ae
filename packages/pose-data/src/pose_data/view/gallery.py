"""Pages and sheets of images: what is in a set of persons, and what training makes of them."""

import base64
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pose_data.errors import DatasetError
from pose_data.images.channels import from_input
from pose_data.images.decode import read_picture
from pose_data.images.headers import Exif
from pose_data.opencv import cv2
from pose_data.persons import Persons
from pose_data.regions import trained_pixels
from pose_data.samples.bottomup import BottomUp
from pose_data.samples.topdown import TopDown
from pose_data.view.draw import LETTER, bgr, draw_people, write_text
from pose_data.view.page import cards, colour_key, html_page
from pose_data.writing import write_bytes

Image = NDArray[np.uint8]
Key = Sequence[tuple[str, str]]  # colours and their meaning
MASKED = ("#c83cc8", "masked out: ignored by the loss")
_GROUND: dict[str, Any] = {"constant_values": 60}  # of sheets, for np.pad


class Shown(NamedTuple):
    """An image (H, W, 3) BGR, or several that belong together, and its caption."""

    image: Image
    caption: str


def annotated_images(
    persons: Persons,
    images: Sequence[int],
    *,
    names: bool = False,
    exif: Exif = "auto",
    bits: int | None = None,
) -> list[Shown]:
    """Return images by row with all that is annotated: skeletons, boxes, masks of the ignored."""
    shown, height = [], 720 if names else 300
    for row in images:
        w, h = persons.image_sizes[row].tolist()
        path = persons.image_dir / str(persons.file_names[row])
        image = read_picture(path, (w, h), exif=exif, bits=bits).pixels
        scale = height / image.shape[0]
        size = (max(1, round(image.shape[1] * scale)), height)
        canvas: Any = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        if persons.regions is not None:
            rows = np.flatnonzero(persons.regions.image_index == row)
            trained = trained_pixels(persons.regions, rows, (w, h))  # (H, W), 0 or 255
            _tint(canvas, cv2.resize(trained, size, interpolation=cv2.INTER_NEAREST) == 0)
        who = np.flatnonzero(persons.image_index == row)
        points = (persons.keypoints[who] + 0.5) * np.float32(scale) - np.float32(0.5)
        visible, boxes = persons.visible[who], persons.bbox_xyxy[who] * np.float32(scale)
        canvas = draw_people(canvas, points, visible, persons.skeleton, names=names, boxes=boxes)
        plural = "s" * (len(who) != 1)
        shown.append(Shown(canvas, f"{persons.file_names[row]}, {len(who)} person{plural}"))
    return shown


def augmented_samples(
    dataset: TopDown | BottomUp, indices: Sequence[int], draws: int = 4, *, names: bool = False
) -> list[Shown]:
    """Return training samples with their labels, `draws` augmentations of each side by side.

    A BottomUp must have maps of its input's size: what the loss ignores is violet. Samples with
    names are twice as large.
    """
    persons, zoom = dataset.persons, 2 if names else 1
    if isinstance(dataset, TopDown):
        dataset = replace(dataset, encode=lambda points, labelled: (points, labelled))
    shown = []
    for index in indices if draws > 0 else ():
        images = []
        for epoch in range(draws):
            sample = dataset[(epoch, index)]
            image: Any = from_input(sample["image"])
            if isinstance(dataset, BottomUp):
                _tint(image, ~sample["masks"][0])
                points, visible = sample["keypoints"][0], sample["visible"]  # (P, K, 2), (P, K)
                caption = str(persons.file_names[dataset.images[index]])
            else:
                points, visible = sample["heatmaps"][None], sample["weights"][None]
                caption = str(persons.file_names[persons.image_index[index]])
                caption += f", annotation id {persons.ids[index]}"
            image = cv2.resize(image, None, fx=zoom, fy=zoom)
            places = (points + 0.5) * zoom - 0.5
            images.append(draw_people(image, places, visible, persons.skeleton, names=names))
        shown.append(Shown(_stack(images, 1, 4), caption))
    return shown


def write_gallery(
    out: Path, title: str, groups: Sequence[tuple[str, Sequence[Shown]]], key: Key
) -> None:
    """Write images as one sheet (.png, .jpg) or one page (.html); raises DatasetError."""
    suffix = out.suffix.lower()
    if suffix in (".html", ".htm"):
        body = [colour_key(key)]
        for heading, shown in groups:
            figures = cards([_figure(one) for one in shown])
            body.append(f"<h2 style='margin-top:26px'>{escape(heading)}</h2>{figures}")
        write_bytes(out, html_page(title, "", body).encode(errors="backslashreplace"))
    elif suffix in (".png", ".jpg", ".jpeg"):
        write_bytes(out, cv2.imencode(suffix, sheet(groups, key))[1].tobytes())
    else:
        raise DatasetError(f"cannot write {out}: end it with .html, .png or .jpg")


def _tint(canvas: NDArray[Any], where: NDArray[np.bool_]) -> None:
    canvas[where] = (0.5 * canvas[where] + 0.5 * np.array(bgr(MASKED[0]))).astype(np.uint8)


def _figure(shown: Shown) -> str:
    jpeg = cv2.imencode(".jpg", shown.image, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes()
    source = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
    caption = f"<figcaption>{escape(shown.caption)}</figcaption>"
    return f'<figure><img alt="" src="{source}">{caption}</figure>'


def sheet(groups: Sequence[tuple[str, Sequence[Shown]]], key: Key, width: int = 1600) -> Image:
    """Lay images and captions out in rows as wide as fit, below a key; each group begins a row."""
    if not any(shown for _, shown in groups):
        raise DatasetError("there is nothing to show")
    rows: list[list[Image]] = [[_line(text, colour=colour) for colour, text in key]] if key else []
    for heading, shown in groups:
        rows += [[_line(heading)]] if heading else []
        room = 0
        for one in shown:
            tile = _stack([one.image, _line(one.caption, one.image.shape[1])], 0, 0)
            if room < tile.shape[1]:
                rows.append([])
                room = width
            rows[-1].append(tile)
            room -= tile.shape[1] + 8
    return np.pad(_stack([_stack(row, 1) for row in rows], 0), ((8, 8), (8, 8), (0, 0)), **_GROUND)


def _stack(images: Sequence[Image], axis: int, gap: int = 8) -> Image:
    """Join images on grey: below one another (axis 0), or side by side (1)."""
    most = max(image.shape[1 - axis] for image in images)
    parts = []
    for place, image in enumerate(images):
        pads = [(0, 0), (0, 0), (0, 0)]
        pads[axis], pads[1 - axis] = (gap * (place > 0), 0), (0, most - image.shape[1 - axis])
        parts.append(np.pad(image, pads, **_GROUND))
    return np.concatenate(parts, axis)


def _line(text: str, room: int = 0, colour: str = "") -> Image:
    """Return a line of text on grey, behind a square of the colour; of long text the end."""
    start = 20 if colour else 2
    text = text[-max(room // LETTER, 40) :] if room else text
    line = np.full((20, max(room, start + LETTER * len(text)), 3), 60, np.uint8)
    line[4:16, 4:16] = bgr(colour) if colour else 60
    write_text(line, text, start, 14)
    return line
