"""The tables of an analysis and of a comparison, and the analysis as Markdown."""

from pose_eval.analysis.bootstrap import Comparison
from pose_eval.analysis.breakdown import Analysis, CategoryAnalysis
from pose_eval.analysis.error_types import LABELS, REPAIRS, Diagnosis
from pose_eval.render.table import Part, as_markdown, gain, number, plain

NO_FLIPS = (
    "No keypoint names differ in left and right, so inversions are not looked for (--flip-pairs)."
)
PER_JOINT = (
    "PCK 0.1: keypoints nearer than 0.1 of the root of the person's area, those of missed persons "
    "counted as wrong. Similarity, distances: matched persons."
)


def markdown(analysis: Analysis, digits: int = 3) -> str:
    """Return tables of the numbers, keypoints, errors and groups. Same input, same bytes."""
    report, counts = analysis.report, analysis.report.counts
    title = f"# {plain(report.results.name)} on {plain(report.gt.name)}\n\n"
    about = (
        f"{counts['images']} images, {counts['persons']} persons, {counts['detections']} "
        f"detections; protocol {report.protocol}."
    )
    parts = [numbers(analysis, digits), Part(note=about)]
    if report.warnings:
        lines = "\n".join(f"- {plain(line)}" for line in report.warnings)
        parts.append(Part("warnings", note=lines))
    if len(report.gt.categories) > 1:
        parts.append(Part("categories", report.category_rows(digits)))
    return title + as_markdown([*parts, *breakdown(analysis, digits)])


def breakdown(analysis: Analysis, digits: int) -> list[Part]:
    """Return the tables of every category."""
    several = len(analysis.report.gt.categories) > 1
    parts = []
    for category in analysis.categories:
        parts += [Part(f"category {plain(category.name)}")] if several else []
        parts += [
            Part("keypoints", joints(category, digits), PER_JOINT),
            Part("what goes wrong", labels(category.diagnosis), found(category.diagnosis)),
            Part("what each kind of error costs", repairs(category.diagnosis, digits)),
            *groups(category, digits),
        ]
    return parts


def numbers(analysis: Analysis, digits: int) -> Part:
    """Return the numbers, with their intervals if there are some."""
    report, intervals = analysis.report, analysis.intervals
    further = {k: v for k, v in report.all_stats().items() if k in intervals}
    rows = [["number", "value", "95 % interval"]]
    for name, value in (report.stats | further).items():
        each = intervals.get(name)
        ends = f"{each.low:.{digits}f} to {each.high:.{digits}f}" if each else "-"
        rows.append([name, number(value, digits), ends])
    note = f"Bootstrap over images, {analysis.replicates} replicates."
    return Part("", rows, note) if intervals else Part("", [row[:2] for row in rows])


def joints(category: CategoryAnalysis, digits: int) -> list[list[str]]:
    """Return how well each keypoint is found."""
    head = ["keypoint", "labelled", "AP", "PCK 0.1", "PCK 0.3", "similarity"]
    rows = [[*head, "median px", "mean px", "of person"]]
    for row in category.joints:
        share = row["mean_share"]
        cells = [number(row[key], digits) for key in ("ap", "pck10", "pck30", "similarity")]
        cells += [number(row["median_px"], 1), number(row["mean_px"], 1)]
        cells += ["-" if share is None else f"{100 * share:.1f} %"]
        rows.append([row["name"], str(row["labelled"]), *cells])
    return rows


def labels(diagnosis: Diagnosis) -> list[list[str]]:
    """Return the shares of the labels of each keypoint, and of all."""
    counts = diagnosis.counts()[1:]
    rows = [["keypoint", "labelled", *LABELS[1:]]]
    columns = [*zip(diagnosis.joint_names, counts.T, strict=True), ("all", counts.sum(axis=1))]
    for name, column in columns:
        total = int(column.sum())
        shares = (f"{100 * count / total:7.1f} %" if total else "-" for count in column)
        rows.append([name, str(total), *shares])
    return rows


def found(diagnosis: Diagnosis) -> str:
    """Return how many detections belong to persons, and what is left over."""
    text = (
        f"{len(diagnosis.rows)} detections belong to a person (OKS 0.1 and more), "
        f"{len(diagnosis.duplicates)} are duplicates, {len(diagnosis.background)} are background; "
        f"{len(diagnosis.missed)} of {diagnosis.counted} persons are missed."
    )
    return text if diagnosis.flips else f"{text} {NO_FLIPS}"


def repairs(diagnosis: Diagnosis, digits: int) -> list[list[str]]:
    """Return the AP with each kind of error repaired, alone and with all above it."""
    now = before = diagnosis.repaired["now"]["AP"]
    rows = [["repaired", "alone", "AP", "with all above", "AP"]]
    rows.append(["nothing", "", number(now, digits), "", number(now, digits)])
    for name in REPAIRS:
        row = [name]
        together = diagnosis.cumulated[name]["AP"]
        for old, new in ((now, diagnosis.repaired[name]["AP"]), (before, together)):
            row += [gain(old, new, digits), number(new, digits)]
        rows.append(row)
        before = together
    return rows


def groups(category: CategoryAnalysis, digits: int) -> list[Part]:
    """Return how well groups of persons are found, and keypoints by visibility."""
    parts = []
    for number_of, (title, members) in enumerate(category.groups.items()):
        rows = [[title, "persons", "AR50", "AR75", "AR", "mean OKS"]]
        for group in members:
            values = (group.recall50, group.recall75, group.ar, group.oks)
            cells = [number(value, digits) for value in values]
            rows.append([group.name, str(group.persons), *cells])
        parts.append(Part("" if number_of else "groups of persons", rows))
    rows = [["visibility", "labelled", "mean similarity", "good"]]
    for each in category.visibility:
        cells = [number(each["similarity"], digits), f"{100 * each['good']:.1f} %"]
        rows.append([each["name"], str(each["joints"]), *cells])
    return [*parts, Part("", rows)]


SHOWN = 10


def compared(comparison: Comparison, digits: int, bold: str = "") -> list[Part]:
    """Return the numbers and the images that changed most; bold marks what is surely not equal."""
    rows = [["", "a", "b", "b - a", "95 % interval", "p"]]
    for name, c in comparison.changes.items():
        mark = bold if c.low * c.high > 0 else ""
        values = f"{c.a:.{digits}f}", f"{c.b:.{digits}f}", f"{mark}{c.delta:+.{digits}f}{mark}"
        rows.append([name, *values, f"[{c.low:+.{digits}f}, {c.high:+.{digits}f}]", f"{c.p:.3f}"])
    rows += [[name, "-", "-", "-", "", ""] for name in comparison.unmeasured]
    note = (
        f"paired bootstrap over images, {comparison.replicates} replicates, "
        f"seed {comparison.seed}; persons are found better or worse in {len(comparison.images)} "
        "images"
    )
    parts = [Part("", rows, note)]
    if comparison.images:
        head = ["image", "file", "change", "persons", "mean OKS a", "mean OKS b"]
        title = "images that changed most (sum over persons of the change in OKS)"
        images = [
            [
                *(str(image.image_id), image.file_name, f"{image.change:+.{digits}f}"),
                *(str(image.persons), f"{image.a:.{digits}f}", f"{image.b:.{digits}f}"),
            ]
            for image in comparison.images[:SHOWN]
        ]
        parts.append(Part(title, [head, *images]))
    return parts
