"""Check an annotation file, its images and a results file."""

from collections.abc import Sequence
from pathlib import Path

from pose_data.check.annotations import check_annotations
from pose_data.check.images import check_images
from pose_data.check.results import check_results
from pose_data.errors import DatasetError
from pose_data.findings import Finding, Findings
from pose_data.formats.annotations import read_table
from pose_data.formats.coco import choose


def check(
    annotations: str | Path,
    image_dir: str | Path | None = None,
    *,
    results: str | Path | None = None,
    categories: Sequence[int | str] | None = None,
    flip_pairs: Sequence[Sequence[str]] | None = None,
) -> list[Finding]:
    """Return what is wrong with a COCO keypoint file, errors first; an empty list where nothing is.

    It is read as load_coco reads it, by the same functions; what that refuses is an error here.
    image_dir: check its images too (headers and ends of files; of 16-bit ones some are decoded).
    results: a results or detections file to compare with the annotations. Broken files are
    findings as well.
    """
    path, findings = Path(annotations), Findings()
    folder = None if image_dir is None else Path(image_dir)
    try:
        table = read_table(path, folder, findings)
        found = choose(table, path, findings, categories=categories, flip_pairs=flip_pairs)
        check_annotations(found, findings)
        if folder is not None:
            check_images(found, folder, findings)
        if results is not None:
            check_results(Path(results), found, table.categories, findings)
    except DatasetError as error:
        if str(error) not in findings.notices():  # not reported by the reader itself
            findings.add("unreadable", str(error))
    return findings.sorted()
