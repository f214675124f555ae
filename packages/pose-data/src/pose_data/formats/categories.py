"""The categories of a COCO file: whose keypoints are which, and which of them are taken."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pose_data.findings import Findings
from pose_data.formats.records import Columns, Rows
from pose_data.persons import Category
from pose_data.skeleton import plain_name


def read_categories(
    listed: list[Any], columns: Columns, path: Path, findings: Findings
) -> tuple[Category, ...]:
    """Read categories, and settle in the columns of the annotations which category each has.

    Annotations of no category are no longer used. Raises DatasetError where the file cannot be
    read without an answer.
    """
    used, lacks = columns["is_used"], columns["lacks_category"]
    has_points = used & (columns["point_count"] > 0)
    is_labelled = has_points & (columns["num_keypoints"] > 0)
    ids, given = np.unique(columns["category_id"][used & ~lacks]), listed
    if not listed:
        listed = [{"id": i} for i in ids.tolist()] or [{"id": 1}]
        if used.any():
            text = f"{path} has no categories: one for each category_id, without names"
            findings.add("no-keypoint-names", text)
    rows = Rows(listed, f"{path} category", 0, findings)
    numbers, is_missing = rows.integers("id", required=False, text=True)
    if is_missing.any():
        if len(listed) > 1 or len(ids) > 1:
            rows.refuse(int(np.argmax(is_missing)), "id is missing")
        numbers = ids if len(ids) else np.ones(1, np.int64)
        findings.add("missing-field", f"{path}: the category has no id: that of its annotations")
    names = [_names(rows, i) for i in range(len(rows))]
    named = [i for i, own in enumerate(names) if own] or list(range(len(rows)))
    if lacks.any() and (lacks & used).any():
        if len(named) > 1:
            text = f"{path}: {(lacks & used).sum()} annotations have no category_id, and there are"
            findings.stop("wrong-type", f"{text} {len(named)} categories")
        columns["category_id"][lacks] = numbers[named[0]]
        count = int((lacks & used).sum())
        text = f"{path}: {count} annotations have no category_id: the only one with keypoints"
        findings.add("missing-field", text, count)
    found = []
    for i in np.flatnonzero(~rows.is_bad).tolist():
        own = has_points & (columns["category_id"] == numbers[i])
        counted = columns["point_count"][np.argmax(own)] // 3 if own.any() else 0
        record = rows.records[i]
        title = str(record.get("name") or numbers[i])
        count = len(names[i]) or int(counted)
        links, is_used = record.get("skeleton"), bool((own & is_labelled).any())
        found.append(Category(int(numbers[i]), title, names[i], links, count, is_used))
    if len({each.id for each in found}) < len(found):
        findings.stop("wrong-type", f"{path}: two categories have the same id")
    _leave_out_strangers(found, columns, path, findings)
    if given and not any(each.keypoints for each in found) and has_points.any():
        text = f"{path}: no category names its keypoints"
        findings.add("no-keypoint-names", text)
    return tuple(found)


def _names(rows: Rows, i: int) -> tuple[str, ...]:
    value = rows.records[i].get("keypoints")
    if not value and not isinstance(value, bool | int | str | dict):
        return ()
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        rows.refuse(i, f"keypoints must be a list of names, got {value!r:.60}")
        return ()
    for place, name in enumerate(map(plain_name, value)):
        if name in list(map(plain_name, value))[:place]:
            rows.refuse(i, f"keypoint {value[place]!r} stands there twice")
    return tuple(value)


def _leave_out_strangers(
    found: list[Category], columns: Columns, path: Path, findings: Findings
) -> None:
    """Stop using annotations whose category is not listed."""
    used, own = columns["is_used"], columns["category_id"]
    known = [each.id for each in found]
    lost = used & ~np.isin(own, known)
    if not lost.any():
        return
    ids = ", ".join(map(str, np.unique(own[lost])[:5].tolist()))
    if lost.sum() == used.sum():
        text = f"{path}: annotations are of the categories {ids}, which are not in `categories` "
        findings.add("category-ids-disjoint", f"{text}({', '.join(map(str, known))})")
    else:
        rows = np.flatnonzero(lost)
        first = ", ".join(map(str, columns["id"][rows[:5]].tolist()))
        findings.add(
            "wrong-category",
            f"{path}: {len(rows)} annotations left out, whose category_id ({ids}) is not in "
            f"`categories`: annotation ids {first}",
            len(rows),
        )
    columns["is_used"] = used & ~lost


def choose_categories(
    categories: Sequence[Category],
    wanted: Sequence[int | str] | None,
    path: Path,
    findings: Findings,
) -> tuple[Category, ...]:
    """Return the categories whose annotations are taken: all have the same keypoints.

    wanted: ids or names; None for those in use. Different skeletons are refused.
    """
    if wanted is not None:
        chosen = [c for c in categories if c.id in wanted or c.name in wanted]
        known = {key for c in chosen for key in (c.id, c.name)}
        if strangers := [each for each in wanted if each not in known]:
            listed = ", ".join(f"{c.name} (id {c.id})" for c in categories)
            text = f"{path} has no category {strangers[0]!r}; it has {listed}"
            findings.stop("wrong-category-chosen", text)
    else:
        named = [c for c in categories if c.keypoints] or list(categories)
        chosen = [c for c in named if c.is_used] or named[:1]
    of_first = [c for c in chosen if _skeleton_of(c) == _skeleton_of(chosen[0])]
    if len(of_first) < len(chosen):
        findings.add(
            "several-skeletons",
            f"{path} has keypoints of several skeletons ({', '.join(map(_described, chosen))}): "
            f"a network learns one. Choose with data.categories: [{chosen[0].name}] in a config, "
            "load_coco(..., categories=[...]), or `pose-data filter`",
        )
    return tuple(of_first)


def _skeleton_of(category: Category) -> tuple[tuple[str, ...], int]:
    return tuple(map(plain_name, category.keypoints)), category.num_keypoints


def _described(category: Category) -> str:
    return f"{category.name} (id {category.id}) with {category.num_keypoints} keypoints"
