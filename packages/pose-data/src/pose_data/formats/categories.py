"""The categories of a COCO file: whose keypoints are which, and which of them are taken."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pose_data.findings import Findings
from pose_data.formats.records import Bools, Columns, Rows, first_few
from pose_data.persons import Category
from pose_data.skeleton import named_twice, plain_name


def read_categories(
    given: list[Any], columns: Columns, path: Path, findings: Findings
) -> tuple[Category, ...]:
    """Read categories, and settle in the columns of the annotations which category each has.

    Annotations without one are left out. Raises DatasetError where the file cannot be
    read without an answer.
    """
    used, lacks = columns["is_used"], columns["lacks_category"]
    has_points = used & (columns["point_count"] > 0)
    ids = np.unique(columns["category_id"][used & ~lacks])
    entries = given or [{"id": i} for i in ids.tolist()] or [{"id": 1}]
    if not given and used.any():
        text = f"{path} has no categories: one for each category_id, without names"
        findings.add("no-keypoint-names", text)
    rows = Rows(entries, f"{path} category", 0, findings)
    numbers, is_missing = rows.integers("id", required=False, text=True)
    if is_missing.any():
        if len(entries) > 1 or len(ids) > 1:
            for i in np.flatnonzero(is_missing).tolist():
                rows.refuse(i, "id is missing")
        else:
            numbers = ids if len(ids) else np.ones(1, np.int64)
            text = f"{path}: the category has no id: that of its annotations"
            findings.add("missing-field", text)
    names = [_names(rows, i) for i in range(len(rows))]
    named = [i for i, own in enumerate(names) if own] or list(range(len(rows)))
    if count := int((lacks & used).sum()):
        text = f"{path}: {count} annotations have no category_id"
        if len(named) > 1:
            findings.stop("wrong-type", f"{text}, and there are {len(named)} categories")
        columns["category_id"][lacks] = numbers[named[0]]
        findings.add("missing-field", f"{text}: the only one with keypoints", count)
    found = []
    for i in np.flatnonzero(~rows.is_bad).tolist():
        own, record = has_points & (columns["category_id"] == numbers[i]), rows.records[i]
        title = str(record.get("name") or numbers[i])
        count = len(names[i]) or int(columns["point_count"][own][:1].sum()) // 3
        is_used = bool((columns["num_keypoints"][own] > 0).any())
        links = record.get("skeleton")
        found.append(Category(int(numbers[i]), title, names[i], links, count, is_used))
    known = [each.id for each in found]
    if len(set(known)) < len(known):
        findings.stop("wrong-type", f"{path}: two categories have the same id")
    lost = used & ~np.isin(columns["category_id"], known)
    strangers = first_few(np.unique(columns["category_id"][lost]))
    no_category = (
        f"{path}: annotations are of the categories {strangers}, which are not in `categories` "
    )
    no_category += f"({', '.join(map(str, known))})"
    some = f"category_id ({strangers}) is not in `categories`"
    reasons = {"category-ids-disjoint": no_category, "wrong-category": some}
    leave_out(lost, reasons, columns, path, findings)
    if given and not any(each.keypoints for each in found) and has_points.any():
        findings.add("no-keypoint-names", f"{path}: no category names its keypoints")
    return tuple(found)


def _names(rows: Rows, i: int) -> tuple[str, ...]:
    value = rows.records[i].get("keypoints")
    if not value and not isinstance(value, bool | int | str | dict):
        return ()
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        rows.refuse(i, f"keypoints must be a list of names, got {value!r:.60}")
        return ()
    if twice := named_twice(value):
        rows.refuse(i, f"keypoint {twice!r} is listed twice")
    return tuple(value)


def leave_out(
    lost: Bools, reasons: dict[str, str], columns: Columns, path: Path, findings: Findings
) -> None:
    """Stop using some annotations.

    reasons: by slug, first the sentence for a file that loses all of them, then why some are.
    """
    (of_all, sentence), (of_some, why) = reasons.items()
    count = int(lost.sum())
    if count == columns["is_used"].sum() > 0:
        findings.add(of_all, sentence)
    else:
        text = f"{path}: {count} annotations left out, whose {why}: annotation ids "
        findings.add(of_some, text + first_few(columns["id"][lost]), count)
    columns["is_used"] &= ~lost


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
            titles = ", ".join(f"{c.name} (id {c.id})" for c in categories)
            text = f"{path} has no category {strangers[0]!r}; it has {titles}"
            findings.stop("wrong-category-chosen", text)
    else:
        named = [c for c in categories if c.keypoints] or list(categories)
        chosen = [c for c in named if c.is_used] or named[:1]
    skeletons = [(*map(plain_name, c.keypoints), c.num_keypoints) for c in chosen]
    of_first = [c for c, own in zip(chosen, skeletons, strict=True) if own == skeletons[0]]
    if len(of_first) < len(chosen):
        each = [f"{c.name} (id {c.id}) with {c.num_keypoints} keypoints" for c in chosen]
        text = f"{path} has keypoints of several skeletons ({', '.join(each)}): a network learns "
        text += f"one. Choose with data.categories: [{chosen[0].name}] in a config, "
        text += "load_coco(..., categories=[...]), or `pose-data filter`"
        findings.add("several-skeletons", text)
    return tuple(of_first)
