"""Run the benchmarks of all packages into one page: ./run bench [--only TEXT]

Writes what they print to docs/benchmarks.md, and from that page the chart docs/images/speed.svg and
the table in README.md. A benchmark is a script in packages/*/benchmarks that prints Markdown and
runs by itself; what it compares takes turns in one run, so that the load of the machine falls on
all of it. With --only, the scripts whose command contains the text are run and printed, and nothing
is written. All take about 20 minutes; leave the machine to them.

--mmpose1, --mmpose0: Pythons that have MMPose 1.3.2 and 0.29.0, which do not install beside today's
libraries without help. Without them plain numpy stands in, and training steps are not compared.
"""

import argparse
import math
import os
import platform
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

from pose_eval.render.svg import LIGHT, bars

ROOT = Path(__file__).resolve().parent.parent
PAGE, CHART = ROOT / "docs/benchmarks.md", ROOT / "docs/images/speed.svg"
README = ROOT / "README.md"
BEGIN, END = "<!-- written by ./run bench -->\n", "<!-- until here -->\n"
# {made} is a new folder, {images} one like coco-mini: real pictures and their annotations.
SCRIPTS = {
    "pose-backbones": ("forward.py --rounds 5 --batches 1 --threads 1",),
    "pose-codecs": ("codecs.py", "codecs.py --first"),
    "pose-data": (
        "samples.py --data {images}",
        "packs.py --data {images}",
        "load.py",
        "pixels.py",
    ),
    "pose-eval": (
        "made_up.py {made}",
        "evaluate.py {made}/results.json {made}/gt.json",
        "understanding.py {made}/results.json {made}/gt.json",
    ),
    "pose-train": (
        "step.py --mmpose1 '{mmpose1}' --mmpose0 '{mmpose0}' --rounds 2",
        "start.py --mmpose1 '{mmpose1}' --rounds 3",
        "tag_losses.py",
        "track.py --films 5",
    ),
}


@dataclass(frozen=True)
class Figure:
    """A ratio on the page: where a row and a column meet, in a table named by how it begins."""

    job: str
    against: str | int  # a name, or the column that it heads
    script: str
    table: str
    row: str
    column: int

    def read(self, page: str) -> tuple[str, float]:
        """Return what was compared with, and the ratio: a number, or the one before an x.

        "520 (62x)" is 62. NaN where nothing was compared.
        """
        parts = re.split(r"^### ", page, flags=re.MULTILINE)
        text = "\n".join(part for part in parts if part.startswith(f"`{self.script}"))
        for header, *rows in tables(text):
            if header[0].startswith(self.table):
                row = next(row for row in rows if " | ".join(row).startswith(self.row))
                found = re.search(r"[\d.]+(?=x)|^[\d.]+$", row[self.column])
                against = self.against if isinstance(self.against, str) else header[self.against]
                return against, float(found[0]) if found else math.nan
        raise ValueError(f"{self.script} prints no table that begins with {self.table!r}")


MAPS, AE, PLAIN = ("codecs.py", "17"), ("codecs.py", "size"), "plain OpenCV"
FIGURES = (
    Figure("evaluate a results file", "pycocotools", "evaluate.py", "", "pycocotools /", 1),
    Figure("load COCO's annotations", "pycocotools", "load.py", "", "load_coco, .json", 3),
    Figure("encode MSRA heatmaps", -2, *MAPS, "encode", -1),
    Figure("decode MSRA heatmaps, 64", -2, *MAPS, "decode, batch", -1),
    Figure("decode with DARK, 32", -2, *MAPS, "DARK decode, two", -1),
    Figure("decode AE, 1 person", -1, *AE, "512 | 1 |", -1),
    Figure("decode AE, 30 people", -1, *AE, "512 | 30 |", -1),
    Figure("AE loss, 30 people", "a loop", "tag_losses.py", "batch", "24 | 30", -1),
    Figure("top-down samples", PLAIN, "samples.py", "top", 'decode="exact"', 3),
    Figure("top-down, packed raw", PLAIN, "packs.py", "top", "packed, raw", 3),
    Figure("bottom-up samples", PLAIN, "samples.py", "bottom", 'decode="exact"', 3),
    Figure("bottom-up, packed raw", PLAIN, "packs.py", "bottom", "packed, raw", 3),
    Figure("train a small HRNet", "MMPose 1.3.2", "step.py", "work", "step of small HRNet", -2),
    Figure("train it in bfloat16", "MMPose 1.3.2", "step.py", "work", "step of small HRNet", -1),
    Figure("test it, mirrored too", "MMPose 1.3.2", "step.py", "work", "test of small HRNet", -2),
    Figure("train HRNet-W32", "MMPose 1.3.2", "step.py", "work", "step of HRNet-W32", -2),
    Figure("test it, mirrored too", "MMPose 1.3.2", "step.py", "work", "test of HRNet-W32", -2),
    Figure("start its training", "MMPose 1.3.2", "start.py", "CPU", "to the end of a step", 3),
    Figure(
        "train a small HigherHRNet", "MMPose 0.29", "step.py", "work", "step of small Higher", -2
    ),
    Figure("test it, mirrored too", "MMPose 0.29", "step.py", "work", "test of small Higher", -2),
)


def main() -> int:
    """Run the scripts and write or print the page; 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", metavar="TEXT", default="")
    parser.add_argument("--images", metavar="COCO_MINI", default=default_images())
    parser.add_argument("--mmpose1", metavar="PYTHON", default="")
    parser.add_argument("--mmpose0", metavar="PYTHON", default="")
    args = parser.parse_args()
    parts, failed = [head()], 0
    with tempfile.TemporaryDirectory() as made:
        given = {"made": made, "images": args.images}
        given |= {"mmpose1": args.mmpose1, "mmpose0": args.mmpose0}
        for package, scripts in SCRIPTS.items():
            chosen = [script for script in scripts if args.only in f"{package}/{script}"]
            parts += [f"## {package}\n"] if chosen else []
            for script in chosen:
                pythons = [sys.executable]
                if script == "codecs.py":  # it compares with what it can import
                    pythons = [p for p in (args.mmpose1, args.mmpose0) if p] or pythons
                for python in pythons:
                    status, output = run(python, package, script.format(**given))
                    shown = re.sub(r" --\w+ '?\{\w+\}'?", "", script).replace("{made}/", "")
                    parts.append(f"### `{shown.replace(' {made}', '')}`\n\n{output.strip()}\n")
                    failed |= status
    page = "\n".join(parts)
    if args.only or failed:
        print(page)
    else:
        write(page)
    return failed


def default_images() -> str:
    """Return the folder of real pictures that the environment names, or ""."""
    folder = os.environ.get("POSE_DATA_DIR")
    return str(Path(folder) / "coco-mini") if folder else ""


def run(python: str, package: str, command: str) -> tuple[int, str]:
    """Return 0 and what a script prints, or 1 and why it failed; tell the terminal how long."""
    print(f"{package}: {command} ...", end="", flush=True, file=sys.stderr)
    sources = os.pathsep.join(str(ROOT / "packages" / name / "src") for name in SCRIPTS)
    script, *options = shlex.split(command)
    file, started = ROOT / "packages" / package / "benchmarks" / script, time.monotonic()
    done = subprocess.run(
        [python, file, *options],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": sources},
    )
    print(f" {time.monotonic() - started:.0f} s", file=sys.stderr)
    if done.returncode:
        return 1, f"Failed: {(done.stderr.strip() or 'no message').splitlines()[-1]}"
    return 0, re.sub(r"^# .*\n", "", done.stdout, flags=re.MULTILINE)  # the page has a title


def head() -> str:
    """Return the title and what is needed to read the figures."""
    names = ("torch", "numpy", "numba", "opencv-python")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return (
        f"# Benchmarks, {date.today()}\n\nWritten by `./run bench`: what each script in "
        "`packages/*/benchmarks` prints. Compare what stands in one\ntable: only that was "
        f"measured in turns. One thread.\n\n{processor()}{load}. Python "
        f"{platform.python_version()},\n{versions}.\n\n![Times as fast as](images/{CHART.name})\n"
    )


def processor() -> str:
    """Return how many processors of which kind there are, and their widest instructions."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return f"{os.cpu_count()} processors ({platform.processor() or platform.machine()})"
    name = re.search(r"model name\s*: (.*)", text)
    wide = next((flag for flag in ("avx512f", "avx2") if flag in text), platform.machine())
    return f"{os.cpu_count()} virtual processors ({name[1] if name else 'unnamed'}, {wide})"


def tables(text: str) -> Iterator[list[list[str]]]:
    """Yield the tables of a page as rows of cells, the header first, the line below it left out."""
    for block in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE):
        rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in block.splitlines()]
        yield [row for row in rows if set("".join(row)) - set("-: ")]


def write(page: str) -> None:
    """Write the page, its chart, and the table of the README."""
    PAGE.write_text(page, encoding="utf-8")
    CHART.write_text(chart(page), encoding="utf-8")
    before, rest = README.read_text(encoding="utf-8").split(BEGIN)
    readme = before + BEGIN + table(page) + END + rest.split(END)[1]
    README.write_text(readme, encoding="utf-8")


def measured(page: str) -> list[tuple[str, str, float]]:
    """Return job, what it is compared with, and the ratio of the figures that there are."""
    rows = [(figure.job, *figure.read(page)) for figure in FIGURES]
    return [row for row in rows if not math.isnan(row[2])]


def table(page: str) -> str:
    """Return the figures as a Markdown table."""
    rows = [f"| {job} | {against} | {rounded(ratio)} |\n" for job, against, ratio in measured(page)]
    return f"\n| job | against | times as fast |\n|---|---|---:|\n{''.join(rows)}\n"


def chart(page: str) -> str:
    """Draw the figures as bars, from 1 on; their axis is logarithmic."""
    figures = measured(page)
    top = math.log(max(ratio for _, _, ratio in figures))
    rows = [
        (job, [max(0.0, math.log(ratio)) / top], f"{rounded(ratio)}x {against}")
        for job, against, ratio in figures
    ]
    svg = bars(rows, title="Times as fast, on a logarithmic axis", right=150)
    return svg.replace(">", f">{LIGHT}", 1) + "\n"


def rounded(ratio: float) -> str:
    """Return two digits of a ratio: more are noise."""
    return f"{ratio:.1f}" if ratio < 10 else f"{float(f'{ratio:.2g}'):.0f}"


if __name__ == "__main__":
    raise SystemExit(main())
