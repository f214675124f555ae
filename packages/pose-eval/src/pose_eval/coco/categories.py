"""Categories by name or id: which are evaluated, and what they are called."""

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pose_eval.coco.tables import Category, GroundTruth, SettingsError


def category_names(gt: GroundTruth) -> tuple[str, ...]:
    """Return what to call each category: its name, with the id where two have the same."""
    times = Counter(c.name for c in gt.categories)
    return tuple(c.name if times[c.name] == 1 else f"{c.name} ({c.id})" for c in gt.categories)


def category_index(gt: GroundTruth, category: int | str) -> int:
    """Return the index of a category given as its index, or as text: its name or id."""
    if not isinstance(category, str):
        return int(category)
    return parse_categories([category], gt.categories)[0]


def parse_categories(chosen: Any, known: Sequence[Category]) -> tuple[int, ...]:
    """Return the indices of categories from "cat,2", a name, an id, or a list of these.

    A name comes before an id of the same text. Raises SettingsError with the nearest name.
    """
    names = {str(c.id): at for at, c in enumerate(known)} | {
        c.name: at for at, c in enumerate(known)
    }
    if isinstance(chosen, str):
        chosen = [chosen] if chosen in names else chosen.split(",")
    elif not isinstance(chosen, Sequence) or isinstance(chosen, Mapping):
        chosen = [chosen]
    found = set()
    for part in chosen:
        text = str(part).strip()
        if text not in names:
            near = difflib.get_close_matches(text, names, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            have = ", ".join(f"{c.name} (id {c.id})" for c in known[:20])
            raise SettingsError(
                f"there is no category {text!r} with joints{hint}; there are {have}"
            )
        if [c.name for c in known].count(text) > 1:
            raise SettingsError(f"{text!r} is the name of several categories; give their ids")
        found.add(names[text])
    if not found:
        raise SettingsError("no category is chosen")
    return tuple(sorted(found))


def choose_categories(gt: GroundTruth, chosen: Sequence[int]) -> GroundTruth:
    """Return the ground truth of some categories (rising indices), with all images."""
    rows = np.isin(gt.category, chosen)
    return replace(
        gt,
        categories=tuple(gt.categories[c] for c in chosen),
        ids=gt.ids[rows],
        image=gt.image[rows],
        category=np.searchsorted(chosen, gt.category[rows]),
        keypoints=gt.keypoints[rows],
        bbox=gt.bbox[rows],
        area=gt.area[rows],
        crowd=gt.crowd[rows],
        num_keypoints=gt.num_keypoints[rows],
    )
