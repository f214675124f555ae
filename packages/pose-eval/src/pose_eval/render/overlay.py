"""Images with skeletons drawn over them, as HTML. The bytes of a file are embedded unchanged."""

import base64
import struct
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from pose_eval.analysis.breakdown import CategoryAnalysis
from pose_eval.coco.report import Report
from pose_eval.coco.tables import Floats

# Told apart also by those who see red and green alike; in the order of errors.LABELS.
COLOURS = ("#adb5bd", "#3a9d6b", "#f2b632", "#8f5fbf", "#2f80d1", "#d1405a")
MISSED, WRONG, TRUTH, DETECTED = "#ff2d55", "#495057", "#ffffff", "#66e0f5"
WAY = "#ff8787"  # from a keypoint to where it belongs


def figure(
    report: Report, category: CategoryAnalysis, image_id: Any, caption: str, folder: Path
) -> str:
    """Return a figure of an image: persons in white, detections by kind of error.

    caption: text that follows id and file name. An image that is not in the folder, or is neither
    JPEG nor PNG, gives a figure that says so.
    """
    image = int(np.flatnonzero(report.gt.image_ids == image_id)[0])
    file, key = escape(report.gt.file_names[image]), escape(str(image_id))
    below = f"<figcaption>{key} &middot; {file} &middot; {escape(caption)}</figcaption></figure>"
    data = read_image(folder, report.gt.file_names[image])
    if data is None:
        return f'<figure class="absent"><p>no image {file} in the folder</p>{below}'
    kind, width, height, content = data
    known = report.gt.image_sizes[image]
    if (known > 0).all():  # what the annotations are in, should the file be scaled
        width, height = (int(v) for v in known)
    encoded = base64.b64encode(content).decode()
    drawing = _drawing(report, category, image, max(width, height))
    return (
        f'<figure><div class="image"><img alt="image {key}" '
        f'src="data:image/{kind};base64,{encoded}">'
        f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" '
        f'xmlns="http://www.w3.org/2000/svg">{drawing}</svg></div>{below}'
    )


def read_image(folder: Path, file_name: str) -> tuple[str, int, int, bytes] | None:
    """Return kind, width, height and bytes of a JPEG or PNG below the folder, else None.

    file_name comes from the annotations: a name that leads out of the folder is not followed. Where
    it names folders of its own (train2017/1.jpg), the last part alone is tried, too.
    """
    if not file_name:
        return None
    root = folder.resolve()
    for name in (file_name, Path(file_name).name):
        try:
            path = (root / name).resolve()
            if not path.is_relative_to(root) or not path.is_file():
                continue
            content = path.read_bytes()
        except (OSError, ValueError):
            continue
        if content[:8] == b"\x89PNG\r\n\x1a\n" and len(content) >= 24:
            return ("png", *struct.unpack(">II", content[16:24]), content)
        if size := _jpeg_size(content):
            return ("jpeg", *size, content)
    return None


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    """Return the size in the frame header (SOF0 to SOF15 but DHT, JPG and DAC)."""
    if content[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker, length = content[at + 1], struct.unpack(">H", content[at + 2 : at + 4])[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", content[at + 5 : at + 9])
            return width, height
        at += 2 + length
    return None


def _drawing(report: Report, category: CategoryAnalysis, image: int, size: int) -> str:
    """Draw the persons of an image and its detections, lines as thick as suits the size."""
    gt, results, diagnosis = report.gt, report.results, category.diagnosis
    links = gt.categories[category.index].links
    thick = max(size / 320, 0.5)
    total = diagnosis.labels.shape[1]
    matched, background = diagnosis.rows, diagnosis.background
    # Of the background what scores as high as the middle one of the matched detections.
    least = np.median(results.scores[matched]) if len(matched) else -np.inf
    confident = background[results.scores[background] >= least]
    found = []
    for person in np.flatnonzero((gt.image == image) & (gt.category == category.index)):
        joints = gt.keypoints[person, :total]
        missed = person in diagnosis.missed
        limbs = _limbs(joints, links, joints[:, 2] > 0)
        found += [_path(limbs, "#00000099", 2.2 * thick)]
        found += [_path(limbs, MISSED if missed else TRUTH, 1.1 * thick)]
        if missed:
            x, y, w, h = (f"{v:.1f}" for v in np.nan_to_num(gt.bbox[person]))
            found.append(
                f'<rect x="{x}" y="{y}" width="{w}" height="{h}" fill="none" stroke="{MISSED}" '
                f'stroke-width="{1.2 * thick:.2f}" stroke-dasharray="{4 * thick:.1f}"/>'
            )
    for row in confident:
        if results.image[row] == image:
            limbs = _limbs(results.keypoints[row, :total], links, np.ones(total, bool))
            found.append(_path(limbs, WRONG, thick))
    for number in np.flatnonzero(results.image[matched] == image):
        joints = results.keypoints[matched[number], :total]
        labels = diagnosis.labels[number]
        places = gt.keypoints[diagnosis.persons[number], :total]
        ways = [_between(joints[k], places[k]) for k in np.flatnonzero(labels > 1)]
        found.append(_path(ways, WAY, 0.9 * thick, f' stroke-dasharray="{1.6 * thick:.1f}"'))
        found.append(_path(_limbs(joints, links, labels > 0), DETECTED + "cc", 1.1 * thick))
        found += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{1.9 * thick:.2f}" fill="{COLOURS[label]}" '
            f'stroke="#000" stroke-width="{0.4 * thick:.2f}"/>'
            for (x, y, _), label in zip(joints, labels, strict=True)
            if label
        ]
    return "".join(found)


def _limbs(joints: Floats, links: Sequence[tuple[int, int]], drawn: Any) -> list[str]:
    return [
        _between(joints[a], joints[b])
        for a, b in links
        if max(a, b) < len(joints) and drawn[a] and drawn[b]
    ]


def _between(a: Floats, b: Floats) -> str:
    return f"M{a[0]:.1f} {a[1]:.1f}L{b[0]:.1f} {b[1]:.1f}"


def _path(lines: Sequence[str], colour: str, thick: float, more: str = "") -> str:
    style = f'fill="none" stroke="{colour}" stroke-width="{thick:.2f}" stroke-linecap="round"'
    return f'<path d="{"".join(lines)}" {style}{more}/>' if lines else ""
