"""The findings that the picture files allow, without decoding them."""

from pathlib import Path

from pose_data.check.findings import Findings
from pose_data.check.table import Table
from pose_data.errors import DatasetError
from pose_data.images.headers import Header, read_header

_TAIL = 1 << 16  # bytes at the end of a JPEG in which its end marker must be; some cameras append


def check_pictures(table: Table, image_dir: Path, findings: Findings) -> None:
    """Compare every picture of the table with its file."""
    if not image_dir.is_dir():
        findings.add("missing-picture", f"image folder {image_dir} does not exist")
        return
    for name, size in zip(table.file_names, table.image_sizes.tolist(), strict=True):
        path = image_dir / name
        if not name or not path.is_file():
            findings.add("missing-picture", str(path))
            continue
        try:
            header = read_header(path)
        except DatasetError as error:
            findings.add("broken-picture", str(error))
            continue
        if header.format == "jpeg" and not _has_end(path):
            findings.add("truncated-picture", str(path))
        _check_header(path, header, (size[0], size[1]), findings)


def _has_end(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL))
        return b"\xff\xd9" in file.read()


def _check_header(
    path: Path, header: Header, size: tuple[float, float], findings: Findings
) -> None:
    stored = (header.width, header.height)
    if header.channels != 3 or header.bits != 8:
        kind = {1: "grey", 2: "grey with alpha", 4: "CMYK" if header.format == "jpeg" else "alpha"}
        depth = f", {header.bits} bits" * (header.bits != 8)
        findings.add("not-rgb", f"{path}: {kind.get(header.channels, 'colour')}{depth}")
    is_turned = header.orientation >= 5 and stored[0] != stored[1]
    if is_turned and size == stored[::-1]:
        findings.add("exif-size", f"{path}: orientation {header.orientation}")
        return
    if header.orientation != 1:
        findings.add("exif-rotation", f"{path}: orientation {header.orientation}")
    if all(value > 0 for value in size) and size != stored:
        findings.add(
            "size-differs",
            f"{path}: {stored[0]} x {stored[1]}, written {size[0]:g} x {size[1]:g}",
        )
