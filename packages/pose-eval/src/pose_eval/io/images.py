"""The list `images` of a ground truth, and images that results name by their file."""

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pose_eval.coco.tables import Floats, Ints, ResultsError, SettingsError
from pose_eval.io import hints
from pose_eval.io.columns import id_array, raise_problems
from pose_eval.io.rows import Problem, entry_id


class Images(NamedTuple):
    """Ids in sorted order (I,), file names, sizes (I, 2), 0 for unknown, CrowdPose's crowdIndex."""

    ids: NDArray[Any]
    file_names: tuple[str, ...]
    sizes: Floats
    crowd_index: Floats | None


def read_images(entries: Sequence[Any], name: str, notes: Counter[str]) -> tuple[Images, list[str]]:
    """Return the images of a COCO file and warnings about them; raises ResultsError."""
    problems, ids = [], []
    for number, entry in enumerate(entries):
        try:
            key = entry_id(entry, notes)
            if key is None:
                raise Problem("must be an object with an id")
            ids.append(key)
        except Problem as problem:
            problems.append(f"{name} image {number}: {problem}")
    raise_problems(problems)
    if len({isinstance(key, str) for key in ids}) > 1:
        raise ResultsError(f"{name}: image ids are integers and strings; use one kind")
    names = ["" if (each := e.get("file_name")) is None else str(each) for e in entries]
    sizes = np.array([[_number(e.get(side)) for side in ("width", "height")] for e in entries])
    crowded = None
    if any("crowdIndex" in entry for entry in entries):
        crowded = np.array([_number(e.get("crowdIndex"), np.nan) for e in entries])
    return sorted_images(name, Images(id_array(ids), tuple(names), sizes, crowded))


def sorted_images(name: str, images: Images) -> tuple[Images, list[str]]:
    """Return images by id; of an image that is listed twice the last entry, with a warning."""
    ids, file_names, sizes, crowd_index = images
    if not len(ids):
        raise ResultsError(f"{name} has no images: its list `images` is empty")
    found, last = np.unique(ids[::-1], return_index=True)
    last = len(ids) - 1 - last
    warnings = []
    if len(found) < len(ids):
        again = np.flatnonzero(~np.isin(np.arange(len(ids)), last))
        text = (
            f"{name}: {len(again)} images are listed more than once (first: id {ids[again[0]]}); "
            "the last entry counts, as in pycocotools"
        )
        warnings.append(hints.warning("images-twice", text))
    names = tuple(file_names[row] for row in last.tolist())
    crowded = None if crowd_index is None else crowd_index[last]
    return Images(found, names, sizes[last], crowded), warnings


def images_by_name(ids: NDArray[Any], file_names: Sequence[str], how: str, name: str) -> Ints:
    """Return the index of the image that each id (M,) names, -1 where there is none.

    how: file_name, as the ground truth writes it, or stem, without folders and suffix. Raises
    ResultsError where two images have that name.
    """
    known: dict[str, list[int]] = {}
    for index, file in enumerate(file_names):
        if file:
            known.setdefault(file if how == "file_name" else _stem(file), []).append(index)
    if not known:
        raise SettingsError(f"images cannot be matched by {how}: {name} has no file_name")
    asked, row = np.unique(ids.astype(np.str_), return_inverse=True)
    found = np.full(len(asked), -1, np.int64)
    for place, text in enumerate(asked.tolist()):
        at = known.get(text) or (known.get(_stem(text), []) if how == "stem" else [])
        if len(at) > 1:
            files = ", ".join(file_names[index] for index in at[:3])
            raise ResultsError(f'image_id "{text}" may be any of {files} in {name}')
        found[place] = at[0] if at else -1
    return found[row]


def _stem(file: str) -> str:
    return PurePosixPath(file.replace("\\", "/")).stem


def _number(value: Any, missing: float = 0.0) -> float:
    try:
        return float(value) if isinstance(value, int | float) else missing
    except OverflowError:
        return missing
