"""Time pose-eval, pycocotools, faster-coco-eval and hotcoco on one pair of files, in one run.

    python evaluate.py RESULTS.json GT.json [--repeat 3] [--rows 1000000]

Every measurement is a fresh process with one thread; the tools take turns, and the least CPU time
(user and system) of --repeat rounds counts. "In process" is from the two files to the ten numbers
without importing; "whole process" is a script, and pose-eval's command as a user runs it; "first
ever" is the same with empty caches, so that Python compiles every module it imports, numpy's too. A
tool that is not installed is left out. --rows also times a results file of so many rows, made by
repeating the given one.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

COCO_API = """
import sys, time, json, contextlib, io
from {module} import COCO
from {evaluation} as Evaluation
start = time.process_time()
with contextlib.redirect_stdout(io.StringIO()):
    gt = COCO(sys.argv[1])
    evaluation = Evaluation(gt, gt.loadRes(sys.argv[2]), "keypoints")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
print(json.dumps([time.process_time() - start, list(evaluation.stats)[:10]]))
"""
POSE_EVAL = """
import sys, time, json
import pose_eval
pose_eval.evaluate  # imports it
start = time.process_time()
report = pose_eval.evaluate(sys.argv[2], sys.argv[1])
print(json.dumps([time.process_time() - start, [report.stats[n] for n in list(report.stats)[:10]]]))
"""
EVALUATIONS = {
    "pycocotools": ("pycocotools.coco", "pycocotools.cocoeval import COCOeval"),
    "faster_coco_eval": ("faster_coco_eval", "faster_coco_eval import COCOeval_faster"),
    "hotcoco": ("hotcoco", "hotcoco import COCOeval"),
}
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


@dataclass
class Timing:
    """The least CPU seconds in process, of the whole process, and of a first one; the most MB."""

    inside: float = float("inf")
    whole: float = float("inf")
    first: float = float("inf")
    megabytes: float = 0.0
    stats: list[float] = field(default_factory=list)


def measure(command: list[str], *, first: bool = False) -> tuple[float, float, str]:
    """Return CPU seconds, peak MB and output of a process; first: no module is compiled yet."""
    environment = {**os.environ, **dict.fromkeys(THREADS, "1")}
    with tempfile.TemporaryDirectory() as cache:
        if first:
            environment["PYTHONPYCACHEPREFIX"] = cache
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
        assert process.stdout is not None
        output = process.stdout.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output


def scripts(gt: str, results: str) -> dict[str, tuple[list[str], list[str]]]:
    """Return of each tool that is installed the script that measures itself, and its command."""
    python, found = [sys.executable, "-c"], {}
    for name, (module, evaluation) in EVALUATIONS.items():
        if find_spec(name):
            code = COCO_API.format(module=module, evaluation=evaluation)
            found[name] = ([*python, code, gt, results],) * 2
    command = [sys.executable, "-m", "pose_eval", results, "--gt", gt, "--quiet"]
    found["pose-eval"] = ([*python, POSE_EVAL, gt, results], command)
    return found


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
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--rows", type=int, action="append", default=[])
    args = parser.parse_args()
    tools = scripts(args.gt, args.results)
    found = {name: Timing() for name in tools}
    load = f"load average {os.getloadavg()[0]:.1f} before"
    for script, _ in tools.values():
        measure(script)  # fill the caches
    for _ in range(args.repeat):
        for name, (script, command) in tools.items():
            timing = found[name]
            whole, megabytes, output = measure(script)
            inside, timing.stats = json.loads(output)
            timing.inside = min(timing.inside, inside)
            if command != script:
                whole, megabytes, _ = measure(command)
            timing.whole = min(timing.whole, whole)
            timing.megabytes = max(timing.megabytes, megabytes)
            timing.first = min(timing.first, measure(command, first=True)[0])
    print(f"{load}, {os.getloadavg()[0]:.1f} after\n")
    print("| | in process | whole process | first ever | peak MB | largest difference |")
    print("|---|---:|---:|---:|---:|---:|")
    wanted = next(iter(found.values())).stats
    for name, timing in found.items():
        worst = max(abs(a - b) for a, b in zip(timing.stats, wanted, strict=True))
        seconds = f"{timing.inside:.2f} | {timing.whole:.2f} | {timing.first:.2f}"
        print(f"| {name} | {seconds} | {timing.megabytes:.0f} | {worst:g} |")
    ours = found.pop("pose-eval")
    for name, timing in found.items():
        ratios = timing.inside / ours.inside, timing.whole / ours.whole, timing.first / ours.first
        print(f"| {name} / pose-eval | {' | '.join(f'{r:.1f}' for r in ratios)} | | |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for rows in args.rows:
            file = str(repeated(Path(args.results), rows, folder))
            _, megabytes, output = measure([sys.executable, "-c", POSE_EVAL, args.gt, file])
            size = os.path.getsize(file) / 1e6
            print(f"| {rows} rows, {size:.0f} MB | {json.loads(output)[0]:.2f} | ", end="")
            print(f"peak {megabytes:.0f} MB |", flush=True)


if __name__ == "__main__":
    main()
