"""Time pose-eval against pycocotools on one pair of files, in one run.

    python evaluate.py RESULTS.json GT.json [--hotcoco bin/coco] [--repeat 3] [--rows 1000000]

Every measurement is a fresh process with one thread; the least CPU time (user and system) of
--repeat runs counts. "In process" is from the two files to the ten numbers without importing;
"whole process" is a script, and the command as a user runs it; "first ever" is the same with empty
caches, so that Python compiles every module it imports, numpy's too. --rows also times a results
file of so many rows, made by repeating the given one.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

PYCOCOTOOLS = """
import sys, time, json, contextlib, io
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
start = time.process_time()
with contextlib.redirect_stdout(io.StringIO()):
    gt = COCO(sys.argv[1])
    evaluation = COCOeval(gt, gt.loadRes(sys.argv[2]), "keypoints")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
print(json.dumps([time.process_time() - start, list(evaluation.stats)]))
"""
POSE_EVAL = """
import sys, time, json
import pose_eval
pose_eval.evaluate  # imports it
start = time.process_time()
report = pose_eval.evaluate(sys.argv[2], sys.argv[1])
print(json.dumps([time.process_time() - start, [report.stats[n] for n in list(report.stats)[:10]]]))
"""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


def measure(
    command: list[str], repeat: int, *, first: bool = False
) -> tuple[float, float, float, str]:
    """Return the least CPU and wall seconds and the most MB of some runs, and the last output.

    first: with an empty cache of compiled modules in each run.
    """
    runs = []
    for _ in range(repeat):
        environment = {**os.environ, **dict.fromkeys(THREADS, "1")}
        if first:
            environment["PYTHONPYCACHEPREFIX"] = tempfile.mkdtemp()
        wall = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
        assert process.stdout is not None
        output = process.stdout.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{command[0]} ended with {process.returncode}")
        cpu = usage.ru_utime + usage.ru_stime
        runs.append((cpu, time.perf_counter() - wall, usage.ru_maxrss / 1024))
    return min(r[0] for r in runs), min(r[1] for r in runs), max(r[2] for r in runs), output


@dataclass
class Timing:
    """CPU seconds within and of the whole process, peak MB, and the ten numbers."""

    inside: float
    whole: float
    megabytes: float
    stats: list[float]


def in_process(code: str, files: list[str], repeat: int) -> Timing:
    """Run a script that prints its CPU seconds and numbers."""
    found = [measure([sys.executable, "-c", code, *files], 1) for _ in range(repeat)]
    parsed = [json.loads(output) for _, _, _, output in found]
    least = min(p[0] for p in parsed), min(f[0] for f in found)
    return Timing(*least, max(f[2] for f in found), parsed[-1][1])


def repeated(results: Path, rows: int, folder: str) -> Path:
    """Write the rows of a file again and again until there are so many."""
    body = results.read_text().strip()[1:-1]
    count = body.count('"image_id"')
    file = Path(folder) / f"results_{rows}.json"
    with file.open("w") as out:
        out.write("[" + body)
        for _ in range(max(0, round(rows / count) - 1)):
            out.write(", " + body)
        out.write("]")
    return file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results")
    parser.add_argument("gt")
    parser.add_argument("--hotcoco", help="its command; measured too if given")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--rows", type=int, action="append", default=[])
    args = parser.parse_args()
    files = [args.gt, args.results]
    load = f"load average {os.getloadavg()[0]:.1f} before"
    in_process(POSE_EVAL, files, 1)  # fill the caches
    theirs = in_process(PYCOCOTOOLS, files, args.repeat)
    ours = in_process(POSE_EVAL, files, args.repeat)
    worst = max(abs(a - b) for a, b in zip(theirs.stats, ours.stats, strict=True))
    command = [sys.executable, "-m", "pose_eval", args.results, "--gt", args.gt, "--quiet"]
    whole = measure(command, args.repeat)
    print(
        f"{load}, {os.getloadavg()[0]:.1f} after; largest difference of the ten numbers {worst:g}"
    )
    print("| CPU seconds | pycocotools | pose-eval | ratio |")
    print("|---|---|---|---|")
    print(f"| in process | {theirs.inside:.2f} | {ours.inside:.2f} | ", end="")
    print(f"{theirs.inside / ours.inside:.1f} |")
    print(
        f"| whole process | {theirs.whole:.2f} | {whole[0]:.2f} | {theirs.whole / whole[0]:.1f} |"
    )
    cold = measure([sys.executable, "-c", PYCOCOTOOLS, *files], args.repeat, first=True)[0]
    own = measure(command, args.repeat, first=True)[0]
    print(f"| whole process, first ever | {cold:.2f} | {own:.2f} | {cold / own:.1f} |")
    print(f"| peak MB | {theirs.megabytes:.0f} | {whole[2]:.0f} | |", flush=True)
    if args.hotcoco:
        command = [args.hotcoco, "eval", "--gt", args.gt, "--dt", args.results]
        found = measure([*command, "--iou-type", "keypoints"], args.repeat)
        print(f"| hotcoco's command, whole process | {found[0]:.2f} | {whole[0]:.2f} | ", end="")
        print(f"{found[0] / whole[0]:.1f} |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for rows in args.rows:
            file = str(repeated(Path(args.results), rows, folder))
            timing = in_process(POSE_EVAL, [args.gt, file], 1)
            size = os.path.getsize(file) / 1e6
            print(f"| {rows} rows, {size:.0f} MB | | {timing.inside:.2f} | ", end="")
            print(f"peak {timing.megabytes:.0f} MB |", flush=True)


if __name__ == "__main__":
    main()
