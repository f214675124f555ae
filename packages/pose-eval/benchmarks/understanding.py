"""Time NMS with evaluation, error types, bootstrap, comparison and the page, one thread.

    OMP_NUM_THREADS=1 python understanding.py RESULTS GT [--repeat 3]

Prints CPU seconds (user + system), the least of the repeats, after one warm-up.
Made for sets such as made_up.py writes.
"""

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import pose_eval
from pose_eval import analyse, bootstrap, compare, diagnose, evaluate
from pose_eval.coco.evaluate import report_of
from pose_eval.coco.suppress import parse_suppression, suppress
from pose_eval.render.html import page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results")
    parser.add_argument("gt")
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    report = evaluate(args.results, args.gt)
    results, settings = report.results, report.settings

    def suppressed(nms: str) -> Any:
        how = parse_suppression(nms, "bbox*keypoint:0.2", "joints")
        return suppress(results, settings, how)

    other = report_of(suppressed("oks:0.9"), report.gt, settings, [])
    jobs: dict[str, Callable[[], Any]] = {
        "read both files and evaluate": lambda: evaluate(args.results, args.gt),
        "evaluate": lambda: report_of(results, report.gt, settings, []),
        "OKS-NMS 0.9 with rescoring": lambda: suppressed("oks:0.9"),
        "OKS-NMS 0.9 with rescoring + evaluate": lambda: report_of(
            suppressed("oks:0.9"), report.gt, settings, []
        ),
        "soft OKS-NMS 0.9": lambda: suppressed("soft:0.9"),
        "nearby NMS 0.05": lambda: suppressed("nearby:0.05"),
        "error types and 17 repaired APs": lambda: diagnose(report),
        "bootstrap, 1000 replicates, ten numbers": lambda: bootstrap(report, 1000),
        "compare, 1000 replicates": lambda: compare(report, other, replicates=1000),
        "everything on the HTML page": lambda: page(analyse(report)),
    }
    print(
        f"pose-eval {pose_eval.__version__}, numpy {np.__version__}, Python "
        f"{sys.version.split()[0]}: {len(report.gt.image_ids)} images, "
        f"{report.counts['persons']} persons, {len(results.row)} rows\n"
    )
    print("| step | CPU s |\n|---|---:|")
    for title, job in jobs.items():
        job()
        times = []
        for _ in range(args.repeat):
            start = time.process_time()
            job()
            times.append(time.process_time() - start)
        print(f"| {title} | {min(times):.3f} |", flush=True)


if __name__ == "__main__":
    main()
