"""The findings that the image files allow; few are decoded."""

import os
from pathlib import Path

from pose_data.errors import DatasetError
from pose_data.findings import SHOWN, Findings
from pose_data.formats.coco import Annotations
from pose_data.images.decode import read_picture
from pose_data.images.depth import MOST, measure_depth
from pose_data.images.headers import Header, read_header, upright_size
from pose_data.images.missing import leads_outside, why_missing

_TAIL = 1 << 16  # bytes at the end of a JPEG in which its end marker must be; some cameras append


def check_images(table: Annotations, image_dir: Path, findings: Findings) -> None:
    """Compare every image of the table with its file."""
    if not image_dir.is_dir():
        findings.add("missing-file", f"image folder {image_dir} does not exist")
        return
    missing, unsettled, stored, deep = 0, [], 0, False
    for name, (w, h) in zip(table.file_names, table.image_sizes.tolist(), strict=True):
        path, size = image_dir / name, (w, h)
        if leads_outside(image_dir, name):
            why = why_missing(image_dir, name)
            findings.add("outside-folder", f"file_name {name!r:.200}: {why}")
            continue
        if not name or not os.path.isfile(path):  # False also for a name that no file can have
            why = f": {why_missing(image_dir, name)}" if missing < SHOWN else ""
            findings.add("missing-file", f"{path}{why}")
            missing += 1
            continue
        try:
            header = read_header(path)
        except DatasetError as error:
            findings.add("broken-image", str(error))
            continue
        _check_file(path, header, size, findings)
        deep = deep or header.bits == MOST
        as_stored, as_seen = (header.width, header.height), upright_size(header)
        if size == as_stored != as_seen:
            stored += 1
        elif header.orientation != 1 and as_stored == as_seen:
            unsettled.append(f"{path}: orientation {header.orientation}")
    others = f"; {stored} others are read as stored, by their sizes" * (stored > 0)
    for record in unsettled:
        findings.add("exif-rotation", record + others)
    if deep:
        names = [name for name in table.file_names if not leads_outside(image_dir, name)]
        depth = measure_depth([image_dir / name for name in names])
        if depth.bits < MOST:
            findings.add("unused-bits", depth.describe(), depth.deep)


def _check_file(path: Path, header: Header, size: tuple[int, int], findings: Findings) -> None:
    w, h = stored = (header.width, header.height)
    if header.format == "jpeg":
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL))
            findings.add("truncated-image", str(path), int(b"\xff\xd9" not in file.read()))
    if header.channels != 3 or header.bits != 8:
        kind = {1: "grey", 2: "grey with alpha", 4: "CMYK" if header.format == "jpeg" else "alpha"}
        depth = f", {header.bits} bits" * (header.bits != 8)
        findings.add("not-rgb", f"{path}: {kind.get(header.channels, 'colour')}{depth}")
    if header.bits > MOST:
        try:
            read_picture(path)
        except DatasetError as error:
            findings.add("wrong-depth", str(error))
    if min(size) > 0 and size not in (stored, upright_size(header)):
        findings.add("size-differs", f"{path}: {w} x {h}, written {size[0]} x {size[1]}")
