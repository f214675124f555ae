"""The settings of an evaluation as one frozen object, and how they are read from text."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_eval.coco.tables import (
    Category,
    Floats,
    GroundTruth,
    SettingsError,
    did_you_mean,
    one_line,
)


@dataclass(frozen=True)
class Area:
    """A range of person areas in square pixels, both ends included."""

    name: str
    low: float
    high: float

    @property
    def suffix(self) -> str:
        """What follows AP in the name of its number."""
        short = {"all": "", "small": "S", "medium": "M", "large": "L"}
        return short.get(self.name, f"_{self.name}")


ALL = Area("all", 0.0, 1e10)
COCO_AREAS = (ALL, Area("medium", 32.0**2, 96.0**2), Area("large", 96.0**2, 1e10))
COCO_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())  # not arange: the last bits differ
PROTOCOLS = ("coco", "xtcoco", "crowdpose")


@dataclass(frozen=True)
class Settings:
    """All choices of an evaluation.

    protocol: coco, xtcoco or crowdpose. sigmas: one tuple for each category of the ground truth, as
    long as it has keypoints. thresholds: of OKS. areas: the first is "all". max_dets: detections of
    an image and category that take part. area_from: "ann" (the area of the annotation) or "bbox"
    (0.53 w h). joints, categories: those of the file that are evaluated (indices), None for all.
    """

    sigmas: tuple[tuple[float, ...], ...]
    protocol: str = "coco"
    thresholds: tuple[float, ...] = COCO_THRESHOLDS
    areas: tuple[Area, ...] = COCO_AREAS
    max_dets: int = 20
    area_from: str = "ann"
    joints: tuple[int, ...] | None = None
    categories: tuple[int, ...] | None = None
    __repr__ = one_line

    def variances(self, category: int) -> Floats:
        """Return (2 sigma)^2 of each keypoint of a category, as pycocotools computes it."""
        return (np.asarray(self.sigmas[category], np.float64) * 2) ** 2


def checked(name: str, value: Any, allowed: Sequence[str]) -> str:
    """Return the value if it is allowed; raises SettingsError with the nearest that is."""
    if value in allowed:
        return str(value)
    near = did_you_mean(value, allowed)
    raise SettingsError(f"{name} must be one of {', '.join(allowed)}, got {value!r}{near}")


def parse_areas(areas: Any) -> tuple[Area, ...]:
    """Return area ranges from "small=0:1024,large=9216:1e10" or {"small": (0, 1024), ...}.

    "all" comes first, and is added where it is missing. Raises SettingsError.
    """
    if isinstance(areas, str):
        pairs = [part.partition("=") for part in areas.split(",")]
        entries = [(name.strip(), ends.split(":")) for name, _, ends in pairs]
    elif isinstance(areas, Mapping):
        entries = [(str(name), list(ends)) for name, ends in areas.items()]
    else:
        entries = [(a.name, [a.low, a.high]) for a in areas]
    found: dict[str, Area] = {}
    for name, ends in entries:
        try:
            low, high = (float(end) for end in ends)
        except (TypeError, ValueError):
            raise SettingsError(f"area {name!r} must be NAME=LOW:HIGH, two numbers") from None
        if not name or not 0 <= low < high:
            raise SettingsError(f"area {name!r}: 0 <= LOW < HIGH must hold, got {low:g}:{high:g}")
        if name in found:
            raise SettingsError(f"area {name!r} is given twice")
        found[name] = Area(name, low, high)
    return (found.pop("all", ALL), *found.values())


def parse_thresholds(oks: Any) -> tuple[float, ...]:
    """Return OKS thresholds from "0.5:0.95:0.05" (ends included), "0.5,0.75" or numbers."""
    form = f"OKS thresholds must be FIRST:LAST:STEP or numbers between commas, got {oks!r}"
    try:
        if isinstance(oks, str) and ":" in oks:
            first, last, step = (float(part) for part in oks.split(":"))
            if not (step > 0 and last >= first):
                form = f"OKS thresholds {oks!r}: FIRST <= LAST and STEP > 0 must hold"
                raise ValueError
            values = np.linspace(first, last, round((last - first) / step) + 1).tolist()
        else:
            parts = oks.split(",") if isinstance(oks, str) else np.atleast_1d(oks)
            values = [float(part) for part in parts]
    except (TypeError, ValueError, OverflowError):
        raise SettingsError(form) from None
    if not values or not all(0 < value <= 1 for value in values):
        raise SettingsError(f"OKS thresholds must lie above 0 and at most at 1, got {oks!r}")
    if sorted(set(values)) != values:
        raise SettingsError(f"OKS thresholds must rise, got {oks!r}")
    return tuple(values)


def parse_joints(joints: Any, names: Sequence[str]) -> tuple[int, ...]:
    """Return keypoint indices from "5-16", "nose,0,3-5" or a list of names and numbers."""
    parts = joints.split(",") if isinstance(joints, str) else list(joints)
    lower = [name.lower() for name in names]
    found: list[int] = []
    for part in parts:
        text = str(part).strip()
        first, dash, last = text.partition("-")
        if text.lower() in lower:
            found.append(lower.index(text.lower()))
        elif text.isdecimal():
            found.append(int(text))
        elif dash and first.isdecimal() and last.isdecimal() and int(first) <= int(last) < 10**6:
            found.extend(range(int(first), int(last) + 1))
        else:
            raise SettingsError(f"there is no keypoint {text!r}{did_you_mean(text, names)}")
    beyond = [k for k in found if k >= len(names)]
    if beyond:
        raise SettingsError(
            f"keypoint {beyond[0]} does not exist: there are {len(names)}, 0 to {len(names) - 1}"
        )
    if len(set(found)) < len(found):
        raise SettingsError(f"joints {joints!r} name a keypoint twice")
    return tuple(found)


def parse_pairs(text: str, names: Sequence[str]) -> list[tuple[int, int]]:
    """Return the mirrored keypoints meant by "1-2,3-4" or "left_eye-right_eye,..."."""
    found: list[tuple[int, int]] = []
    for part in text.split(","):
        ends = part.split("-")
        if len(ends) != 2:
            raise SettingsError(f"flip pair {part!r} is not two keypoints with a dash between them")
        a, b = (parse_joints(end, names)[0] for end in ends)
        if a == b or {a, b} & {joint for pair in found for joint in pair}:
            raise SettingsError(f"flip pair {part!r}: a keypoint mirrors one other keypoint")
        found.append((a, b))
    return found


def parse_categories(chosen: Any, known: Sequence[Category]) -> tuple[int, ...]:
    """Return the indices of categories from "cat,2", a name, an id, or a list of these.

    A name comes before an id of the same text. Raises SettingsError with the nearest name.
    """
    names = {str(c.id): i for i, c in enumerate(known)} | {c.name: i for i, c in enumerate(known)}
    if isinstance(chosen, str):
        chosen = [chosen] if chosen in names else chosen.split(",")
    elif not isinstance(chosen, Sequence):
        chosen = [chosen]
    found = set()
    for part in chosen:
        text = str(part).strip()
        if text not in names:
            near = did_you_mean(text, names)[2:]
            hint = f" ({near})" if near else ""
            have = ", ".join(f"{c.name} (id {c.id})" for c in known[:20])
            raise SettingsError(
                f"there is no category {text!r} with keypoints{hint}; there are {have}"
            )
        if [c.name for c in known].count(text) > 1:
            raise SettingsError(f"{text!r} is the name of several categories; give their ids")
        found.add(names[text])
    if not found:
        raise SettingsError("no category is chosen")
    return tuple(sorted(found))


def category_index(gt: GroundTruth, category: int | str) -> int:
    """Return the index of a category given as its index, or as text: its name or id."""
    if isinstance(category, str):
        return parse_categories([category], gt.categories)[0]
    return int(category)


def parse_images(images: Any, known: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which of the known image ids (I,) are meant by ids, "1,2,3", or a file of ids.

    A file holds a JSON list or one id on each line. Raises SettingsError.
    """
    parts = images.split(",") if isinstance(images, str) else images
    if isinstance(images, Path) or (isinstance(images, str) and Path(images).is_file()):
        try:
            text = Path(images).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"cannot read image ids {images}: {error}") from None
        try:
            parts = json.loads(text)
        except ValueError:
            parts = text.replace(",", " ").split()
    if not isinstance(parts, Iterable) or isinstance(parts, str | Mapping):
        parts = [parts]
    chosen = {str(part).strip() for part in parts}
    names = [str(key) for key in known.tolist()]
    unknown = sorted(chosen - set(names))
    if unknown:
        listed = ", ".join(unknown[:5]) + (", ..." if len(unknown) > 5 else "")
        raise SettingsError(
            f"{len(unknown)} of the chosen images are not in the ground truth: {listed} "
            "(not a file either)"
        )
    return np.array([name in chosen for name in names], np.bool_)
