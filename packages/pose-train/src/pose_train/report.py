"""The page that shows a run: numbers, curves, pictures, config."""

import base64
from collections import defaultdict
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pose_data import Persons, draw_people, read_image
from pose_eval import Report
from pose_train.curves import line_chart
from pose_train.rundir import read_metrics, write_text

NUM_PICTURES = 12
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1320px; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse } td, th { padding: .2em .9em; border-bottom: 1px solid #ddd }
td { text-align: right } figure { display: inline-block; margin: 0 1em 1em 0; vertical-align: top }
figure img { max-width: 620px; display: block } figcaption { color: #555; font-size: 13px }
pre { background: #f6f6f6; padding: 1em; overflow-x: auto } .ap { font-size: 2em }
"""


def write_report(
    run_dir: Path, evaluation: Report, persons: Persons, rows: list[dict[str, Any]]
) -> Path:
    """Write curves.svg, pictures/ and the self-contained report.html; return the page's path."""
    curves = _curves(read_metrics(run_dir))
    pictures = _write_pictures(run_dir / "pictures", persons, rows)
    for name, svg in curves.items():
        write_text(run_dir / f"curve_{name}.svg", svg)
    page = run_dir / "report.html"
    config = (run_dir / "config.yaml").read_text(encoding="utf-8")
    write_text(page, _page(run_dir.name, evaluation, list(curves.values()), pictures, config))
    return page


def _curves(metrics: list[dict[str, Any]]) -> dict[str, str]:
    """Draw the learning curves: loss, AP and AR, learning rate, speed."""
    train = [record for record in metrics if record["kind"] == "train"]
    val = [record for record in metrics if record["kind"] == "val"]

    def line(records: list[dict[str, Any]], key: str) -> list[tuple[float, float]]:
        return [(r["epoch"], r[key] or 0.0) for r in records]

    return {
        "loss": line_chart("training loss", "epoch", {"loss": line(train, "loss")}),
        "ap": line_chart("evaluation", "epoch", {"AP": line(val, "AP"), "AR": line(val, "AR")}),
        "lr": line_chart("learning rate", "epoch", {"lr": line(train, "lr")}),
        "speed": line_chart("images per second", "epoch", {"": line(train, "images_per_s")}),
    }


def _write_pictures(folder: Path, persons: Persons, rows: list[dict[str, Any]]) -> list[Path]:
    """Draw ground truth (left) and prediction (right) on evaluated pictures spread over the set."""
    folder.mkdir(exist_ok=True)
    person_of_image = {int(row): i for i, row in enumerate(persons.image_index)}  # any one of them
    rows_of_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        rows_of_image[row["image_id"]].append(row)
    image_rows = sorted(person_of_image)
    chosen = np.linspace(0, len(image_rows) - 1, min(NUM_PICTURES, len(image_rows)))
    paths = []
    for image_row in (image_rows[round(position)] for position in chosen):
        image = read_image(persons, person_of_image[image_row])
        here = persons.image_index == image_row
        truth = draw_people(image, persons.keypoints[here], persons.visible[here], persons.skeleton)
        predicted = np.array(
            [row["keypoints"] for row in rows_of_image[int(persons.image_ids[image_row])]],
            np.float32,
        ).reshape(-1, persons.skeleton.num_keypoints, 3)  # (N, K, 3)
        drawn = draw_people(image, predicted[..., :2], predicted[..., 2], persons.skeleton)
        paths.append(folder / f"{Path(persons.file_names[image_row]).stem}.jpg")
        _write_jpeg(paths[-1], np.hstack([truth, drawn]))
    return paths


def _write_jpeg(path: Path, image: NDArray[np.uint8]) -> None:
    _, encoded = cv2.imencode(".jpg", image)
    path.write_bytes(encoded.tobytes())


def _page(
    title: str, evaluation: Report, curves: list[str], pictures: list[Path], config: str
) -> str:
    names = "".join(f"<th>{name}</th>" for name in evaluation.stats)
    values = "".join(
        f"<td>{'-' if value is None else f'{value:.3f}'}</td>"
        for value in evaluation.stats.values()
    )
    counts = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in evaluation.counts.items())
    warnings = "".join(f"<p>warning: {escape(text)}</p>" for text in evaluation.warnings)
    figures = "".join(
        f'<figure><img alt="" src="data:image/jpeg;base64,{_base64(path)}">'
        f"<figcaption>{escape(path.stem)}: ground truth | prediction</figcaption></figure>"
        for path in pictures
    )
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>
<style>{STYLE}</style></head><body>
<h1>{escape(title)}</h1>
<p class="ap">AP {evaluation.stats["AP"] or 0.0:.3f}</p>
<table><tr>{names}</tr><tr>{values}</tr></table>
<p>COCO keypoint metrics by pose-eval over {counts}.</p>{warnings}
<h2>Learning curves</h2>
{"".join(curves)}
<h2>Pictures of the evaluation set</h2>
<p>Left side of the body orange, right side blue.</p>
{figures}
<h2>Config</h2>
<pre>{escape(config)}</pre>
</body></html>
"""


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode("ascii")
