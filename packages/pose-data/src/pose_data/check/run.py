"""Find out what is wrong with an annotation file, its pictures and a results file."""

from pathlib import Path
from typing import Any

from pose_data.check.annotations import check_table
from pose_data.check.findings import Finding, Findings
from pose_data.check.pictures import check_pictures
from pose_data.check.results import check_results
from pose_data.check.table import Table, read_table
from pose_data.errors import DatasetError


def check(
    annotations: str | Path,
    image_dir: str | Path | None = None,
    *,
    results: str | Path | None = None,
) -> list[Finding]:
    """Return what is wrong with a COCO keypoint file, errors first; an empty list where nothing is.

    image_dir: look at its pictures too (headers and ends of files, nothing is decoded). results: a
    results or detections file to hold against the annotations. Broken files are findings, too.
    """
    findings = Findings()
    table = _readable(lambda: read_table(Path(annotations), findings), findings)
    if table is None:
        return findings.sorted()
    check_table(table, findings)
    if image_dir is not None:
        check_pictures(table, Path(image_dir), findings)
    if results is not None:
        _readable(lambda: check_results(Path(results), table, findings), findings)
    return findings.sorted()


def _readable(read: Any, findings: Findings) -> Table | None:
    try:
        return read()
    except DatasetError as error:
        findings.add("unreadable", str(error))
        return None
