"""What an evaluation is asked to do, as one frozen object."""

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_eval.coco.tables import Floats, SettingsError


@dataclass(frozen=True)
class Area:
    """A range of person areas in square pixels, both ends included."""

    name: str
    low: float
    high: float


ALL = Area("all", 0.0, 1e10)
COCO_AREAS = (ALL, Area("medium", 32.0**2, 96.0**2), Area("large", 96.0**2, 1e10))
COCO_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())  # not arange: the last bits differ


@dataclass(frozen=True)
class Settings:
    """All choices of an evaluation.

    protocol: coco, xtcoco or crowdpose. sigmas: one tuple for each category of the ground truth, as
    long as it has joints. thresholds: of OKS. areas: the first is "all". max_dets: detections of an
    image and category that take part. area_from: "ann" (the area of the annotation) or "bbox"
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

    def variances(self, category: int) -> Floats:
        """Return (2 sigma)^2 of each joint of a category, as pycocotools computes it."""
        return (np.asarray(self.sigmas[category], np.float64) * 2) ** 2


PROTOCOLS = ("coco", "xtcoco", "crowdpose")


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
    first = found.pop("all", ALL)
    return (first, *found.values())


def parse_thresholds(oks: Any) -> tuple[float, ...]:
    """Return OKS thresholds from "0.5:0.95:0.05" (ends included), "0.5,0.75" or numbers."""
    try:
        if isinstance(oks, str) and ":" in oks:
            first, last, step = (float(part) for part in oks.split(":"))
            if step <= 0 or last < first:
                raise SettingsError(f"OKS thresholds {oks!r}: FIRST <= LAST and STEP > 0 must hold")
            values = np.linspace(first, last, round((last - first) / step) + 1).tolist()
        elif isinstance(oks, str):
            values = [float(part) for part in oks.split(",")]
        else:
            values = [float(value) for value in np.atleast_1d(oks)]
    except SettingsError:
        raise
    except (TypeError, ValueError, OverflowError):
        raise SettingsError(
            f"OKS thresholds must be FIRST:LAST:STEP or numbers between commas, got {oks!r}"
        ) from None
    if not values or not all(0 < value <= 1 for value in values):
        raise SettingsError(f"OKS thresholds must lie above 0 and at most at 1, got {oks!r}")
    if sorted(set(values)) != values:
        raise SettingsError(f"OKS thresholds must rise, got {oks!r}")
    return tuple(values)


def parse_joints(joints: Any, names: Sequence[str]) -> tuple[int, ...]:
    """Return joint indices from "5-16", "nose,0,3-5" or a list of names and numbers."""
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
            near = difflib.get_close_matches(text.lower(), lower, n=1)
            hint = f"; did you mean {names[lower.index(near[0])]}?" if near else ""
            raise SettingsError(f"there is no joint {text!r}{hint}")
    beyond = [k for k in found if k >= len(names)]
    if beyond:
        raise SettingsError(
            f"joint {beyond[0]} does not exist: there are {len(names)}, 0 to {len(names) - 1}"
        )
    if len(set(found)) < len(found):
        raise SettingsError(f"joints {joints!r} name a joint twice")
    return tuple(found)


def parse_images(images: Any, known: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which of the known image ids (I,) are meant by ids, "1,2,3", or a file of ids.

    A file holds a JSON list or one id on each line. Raises SettingsError.
    """
    if isinstance(images, Path) or (isinstance(images, str) and Path(images).is_file()):
        try:
            text = Path(images).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"cannot read image ids {images}: {error}") from None
        try:
            parts = json.loads(text)
        except ValueError:
            parts = text.replace(",", " ").split()
    else:
        parts = images.split(",") if isinstance(images, str) else images
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


def checked(name: str, value: Any, allowed: Sequence[str]) -> str:
    """Return the value if it is allowed; raises SettingsError with the nearest that is."""
    if value in allowed:
        return str(value)
    near = difflib.get_close_matches(str(value).lower(), allowed, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise SettingsError(f"{name} must be one of {', '.join(allowed)}, got {value!r}{hint}")
