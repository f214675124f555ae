"""Inputs as a stream of images and frames, with what is known of each."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from pose_data import DatasetError
from pose_data.errors import printable
from pose_data.images.decode import decode_picture, read_picture
from pose_data.images.headers import Exif
from pose_train.files.boxes import Boxes, ImageFile, Known, known_of
from pose_train.files.images import Image, download
from pose_train.files.inputs import Input
from pose_train.files.live import LiveSource
from pose_train.files.video import read_frames, video_facts
from pose_train.words import are_notes_shown


class Item(NamedTuple):
    """An image, or a frame of a video, to be predicted.

    where: `file_name`, and of a frame `frame` and `time`. read: gives its pixels.
    """

    entry: Input
    known: Known
    where: dict[str, Any]
    read: Callable[[], Image]


def find_known(
    inputs: Sequence[Input], boxes: ImageFile | None, gt: ImageFile | None
) -> list[Known | None]:
    """Return what the files hold about each input; None for those that gt does not name."""
    nothing: list[Known | None] = [None] * len(inputs)
    own = [each or Known() for each in (known_of(boxes, inputs) if boxes else nothing)]
    if gt is None:
        return [*own]
    return [
        None if listed is None else listed._replace(boxes=boxed.boxes)
        for listed, boxed in zip(known_of(gt, inputs), own, strict=True)
    ]


def read_items(
    inputs: Sequence[Input],
    known: Sequence[Known | None],
    exif: Exif,
    bits: int | None,
    every: int = 1,
) -> Iterator[Item]:
    """Yield the images and the frames of videos, but for inputs of which nothing is known (None).

    exif: of images whose size is known, others are turned upright. bits: in use of 16-bit images.
    every: of videos, every so many-th frame.
    An input that cannot be read is an item whose `read` raises DatasetError.
    """
    hidden = None if are_notes_shown() else True  # None: shown on a terminal alone
    bar = tqdm(inputs, unit="file", leave=False, disable=hidden)
    for entry, facts in zip(bar, known, strict=True):
        if facts is None:
            continue
        try:
            yield from (
                _frames(entry, facts, every) if entry.is_video else _image(entry, facts, exif, bits)
            )
        except DatasetError as error:  # which is told when its turn comes
            yield Item(entry, facts, {}, partial(_raise, error))


def _raise(error: DatasetError) -> Image:
    raise error


def _image(entry: Input, known: Known, exif: Exif, bits: int | None) -> Iterator[Item]:
    if known.boxes and None not in known.boxes:
        raise DatasetError(f"boxes of image {entry.path} have a `frame`, as those of videos")

    def read() -> Image:
        turned = "apply" if known.size is None else exif
        if entry.address is not None:
            data, where = download(entry.address), f"image {entry.name}"
            return decode_picture(data, where, known.size, exif=turned, bits=bits).pixels
        return read_picture(entry.path, known.size, exif=turned, bits=bits).pixels

    yield Item(entry, known, {"file_name": entry.name}, read)


def _frames(entry: Input, known: Known, every: int) -> Iterator[Item]:
    if None in known.boxes:
        raise DatasetError(f"boxes of video {entry.path} have no `frame` (from 0)")
    source = entry.address or entry.path
    frames, total = read_frames(source), video_facts(source).frames or None
    hidden = None if are_notes_shown() else True  # None: shown on a terminal alone
    bar = tqdm(frames, printable(entry.name), total, leave=False, unit="frame", disable=hidden)
    for number, (image, time) in enumerate(bar):
        if number % every:
            continue
        where = {"file_name": entry.name, "frame": number, "time": round(time, 6)}
        yield Item(entry, known, where, partial(np.asarray, image))


def live_items(entry: Input, source: LiveSource, is_stopped: Callable[[], bool]) -> Iterator[Item]:
    """Yield the newest frame of a camera or stream whenever one is asked for."""
    hidden = None if are_notes_shown() else True  # None: shown on a terminal alone
    frames = source.frames(is_stopped)
    bar = tqdm(frames, printable(entry.name), leave=False, unit="frame", disable=hidden)
    for number, image, time in bar:
        where = {"file_name": entry.name, "frame": number, "time": round(time, 6)}
        yield Item(entry, Known(), where, partial(np.asarray, image))


def boxes_inside(item: Item, image: Image) -> Boxes:
    """Return the boxes (P, 6) of an item that are not outside of its image."""
    height, width = image.shape[:2]
    given = item.known.boxes.get(item.where.get("frame"), np.empty((0, 6)))
    inside = (given[:, :2] < [width, height]) & (given[:, 2:4] > 0)
    return given[inside.all(axis=1)]
