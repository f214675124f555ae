"""Run the benchmarks of all packages: ./run bench [--only TEXT] [--images COCO_MINI]

Writes what they print to one dated page, docs/benchmarks.md, and from that page the chart
docs/images/speed.svg and the table in README.md. A benchmark is a script in packages/*/benchmarks
that prints Markdown and runs by itself; what it compares takes turns in one run, so that the load
of the machine falls on all of it. With --only, the scripts whose command contains the text are run
and printed, and nothing is written. All take about 15 minutes; leave the machine to them.
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
    "pose-data": ("samples.py --data {images}", "load.py", "pixels.py"),
    "pose-eval": (
        "made_up.py {made}",
        "evaluate.py {made}/results.json {made}/gt.json",
        "understanding.py {made}/results.json {made}/gt.json",
    ),
    "pose-train": ("tag_losses.py", "track.py --films 5"),
}


@dataclass(frozen=True)
class Figure:
    """A ratio on the page: where a row and a column meet, both named by how they begin."""

    job: str
    against: str
    script: str
    table: str  # how its header begins
    row: str
    column: str

    def read(self, page: str) -> float:
        """Return the ratio: a cell's number, or the one before an x, as in "520 (62x)"."""
        part = page.split(f"\n### `{self.script}", 1)[-1].split("\n### ", 1)[0]
        for header, *rows in tables(part):
            if header[0].startswith(self.table) and self.column in header:
                row = next(row for row in rows if " | ".join(row).startswith(self.row))
                found = re.search(r"[\d.]+(?=x)|^[\d.]+$", row[header.index(self.column)])
                return float(found[0]) if found else math.nan
        raise ValueError(f"{self.script} prints no table {self.table!r} with {self.column!r}")


FIGURES = (
    Figure(
        "evaluate a results file", "pycocotools", "evaluate.py", "", "pycocotools /", "in process"
    ),
    Figure("encode MSRA heatmaps", "plain numpy", "codecs.py", "17", "encode", "ratio"),
    Figure("decode MSRA heatmaps", "plain numpy", "codecs.py", "17", "decode, batch", "ratio"),
    Figure("decode with DARK", "plain numpy", "codecs.py", "17", "DARK decode", "ratio"),
    Figure("decode AE, 1 person", "plain numpy", "codecs.py", "size", "512 | 1 |", "plain"),
    Figure("decode AE, 30 people", "plain numpy", "codecs.py", "size", "512 | 30 |", "plain"),
    Figure("AE loss, 30 people", "a loop", "tag_losses.py", "batch", "24 | 30", "ratio"),
    Figure(
        "top-down samples", "plain OpenCV", "samples.py", "top", 'decode="exact"', "ratio to plain"
    ),
    Figure(
        "bottom-up samples", "plain OpenCV", "samples.py", "bot", 'decode="exact"', "ratio to plain"
    ),
)


def main() -> int:
    """Run the scripts and write or print the page; 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", metavar="TEXT", default="")
    parser.add_argument("--images", metavar="COCO_MINI", default=default_images())
    args = parser.parse_args()
    parts, failed = [head()], 0
    with tempfile.TemporaryDirectory() as made:
        for package, scripts in SCRIPTS.items():
            chosen = [script for script in scripts if args.only in f"{package}/{script}"]
            parts += [f"## {package}\n"] if chosen else []
            for script in chosen:
                status, output = run(package, script.format(made=made, images=args.images))
                parts.append(f"### `{script}`\n\n{output.strip()}\n")
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


def run(package: str, command: str) -> tuple[int, str]:
    """Return 0 and what a script prints, or 1 and why it failed; tell the terminal how long."""
    print(f"{package}: {command} ...", end="", flush=True, file=sys.stderr)
    script, *options = shlex.split(command)
    file, started = ROOT / "packages" / package / "benchmarks" / script, time.monotonic()
    done = subprocess.run(
        [sys.executable, file, *options],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    print(f" {time.monotonic() - started:.0f} s", file=sys.stderr)
    if done.returncode:
        return 1, f"Failed: {(done.stderr.strip() or 'no message').splitlines()[-1]}"
    return 0, done.stdout


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


def table(page: str) -> str:
    """Return the figures as a Markdown table."""
    rows = [f"| {f.job} | {f.against} | {rounded(f.read(page))} |\n" for f in FIGURES]
    return f"\n| job | against | times as fast |\n|---|---|---:|\n{''.join(rows)}\n"


def chart(page: str) -> str:
    """Draw the figures as bars, from 1 on; their axis is logarithmic."""
    ratios = [figure.read(page) for figure in FIGURES]
    top = math.log(max(ratios))
    rows = [
        (figure.job, [max(0.0, math.log(ratio)) / top], f"{rounded(ratio)}x {figure.against}")
        for figure, ratio in zip(FIGURES, ratios, strict=True)
    ]
    svg = bars(rows, title="Times as fast, on a logarithmic axis", right=150)
    return svg.replace(">", f">{LIGHT}", 1) + "\n"


def rounded(ratio: float) -> str:
    """Return two digits of a ratio: more are noise."""
    return f"{ratio:.1f}" if ratio < 10 else f"{float(f'{ratio:.2g}'):.0f}"


if __name__ == "__main__":
    raise SystemExit(main())
