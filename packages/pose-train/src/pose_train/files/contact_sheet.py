"""contact-sheet.jpg: what `predict` has drawn, at a glance."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pose_data.opencv import cv2
from pose_data.view.gallery import Shown, sheet
from pose_train.config.schema import ConfigError
from pose_train.files.images import read_pixels, write_image
from pose_train.files.inputs import Input, target_of
from pose_train.files.video import read_frames

NAME = "contact-sheet.jpg"
MOST = 100  # images of a sheet, which is in memory as a whole
WIDTH, HEIGHT = 400, 200  # of one at most


def check_contact_sheet(inputs: Sequence[Input], no_draw: bool) -> None:
    """Raise ConfigError where nothing is drawn, or a drawing has the name of the sheet."""
    if no_draw:
        raise ConfigError("--contact-sheet shows the drawings: leave --no-draw out")
    for entry in inputs:
        if entry.drawn.casefold() == Path(NAME).stem:
            raise ConfigError(f"--contact-sheet would overwrite the drawing of {entry.name}")


def write_contact_sheet(inputs: Sequence[Input], out: Path) -> None:
    """Write the drawings that are there, small, with their names: of videos the first frame.

    Of more than MOST as many, evenly spaced. Raises RunDirError.
    """
    drawn = [entry for entry in inputs if target_of(entry, out).is_file()]
    shown = []
    for i in np.linspace(0, len(drawn) - 1, min(len(drawn), MOST)).astype(int).tolist():
        target = target_of(drawn[i], out)
        image = next(read_frames(target)).image if drawn[i].is_video else read_pixels(target)
        h, w = image.shape[:2]
        scale = min(1, HEIGHT / h, WIDTH / w)
        size = max(1, round(w * scale)), max(1, round(h * scale))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        name = drawn[i].name.encode("ascii", "replace").decode()  # OpenCV lacks other letters
        shown.append(Shown(small.astype(np.uint8), name))
    if shown:
        heading = f"{len(shown)} of {len(drawn)}" if len(drawn) > len(shown) else ""
        write_image(out / NAME, sheet([(heading, shown)], ()))
