"""Write the sources of the documentation site, for Sphinx (conf.py): `./run docs` does both.

The site has the layout of the repository, so that the links of a page hold on the forge and in it.
Pages of the reference are made from the code; they are written nowhere else.
"""

import base64
import contextlib
import io
import json
import os
import posixpath
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(path) for path in (ROOT / "docs", *ROOT.glob("packages/*/src"))]

import reference_pages as reference  # noqa: E402  it is beside this file
from reference_pages import fence  # noqa: E402

PACKAGES = ("pose-train", "pose-data", "pose-eval", "pose-codecs", "pose-backbones")
PAGES = (
    "*.md",
    "docs/*.md",
    "packages/*/README.md",
    "packages/*/CHANGELOG.md",
    "packages/*/benchmarks/*.md",
)
# The pages of docs/, in the order of the sidebar.
CHAPTERS = {
    "Tutorials": (
        *("your-own-data", "photo-and-film", "evaluation-in-ci", "multi-gpu", "deploy-onnx"),
        "coming-from-mmpose",
    ),
    "How to": ("how-to", "many-images", "reproduce"),
    "Explained": ("evaluation", "coordinates", "benchmarks"),
}
NOTEBOOKS = ("quick-start", "own-data", "evaluation")
# Where links to these lead in the site.
MOVED = {
    "README.md": "index.md",
    "packages/pose-train/src/pose_train/config/schema.py": "reference/config.md",
}
TRAIN = "people/annotations/person_keypoints_train2017.json people/train2017"
# What the gallery shows: title, text, the command that makes it (run where it is not pose-train's),
# and the file: one that the command writes, or one of the site.
GALLERY = (
    (
        "Skeletons",
        "Left is orange, right is blue, and limbs are as wide as a person's size asks for. "
        "[How this was made](packages/pose-train/README.md#drawings).",
        "",
        "docs/images/skeletons.jpg",
    ),
    (
        "People",
        "A colour for each person, as in tracked videos, with boxes and scores.",
        "pose-train predict runs/demo scenes/val2017 --out drawn --draw-boxes --colours identity",
        "docs/images/people.jpg",
    ),
    (
        "Drawn people",
        "Data to try everything with, with boxes, areas, masks and crowds.",
        "pose-data synth people --train 24 --val 2 --hard --seed 3",
        "people/train2017/000000000013.jpg",
    ),
    (
        "What is annotated, and what training sees",
        "Crowds are violet, for the loss ignores them. Below, each person as four samples.",
        f"pose-data show {TRAIN} -o show.jpg --num-images 3 --samples 2 --seed 1",
        "show.jpg",
    ),
    (
        "Changes of pixels",
        "With their defaults, which are strong: colour, blur, noise, erased boxes.",
        f"pose-data show {TRAIN} -o pixels.jpg --num-images 0 --samples 2 --seed 1 "
        "--pixels colour blur noise erase",
        "pixels.jpg",
    ),
    (
        "What is in a file",
        "Visibility of keypoints, sizes of boxes, persons in an image.",
        f"pose-data stats {TRAIN} -o stats.html",
        "stats.html",
    ),
    (
        "What an evaluation says",
        "Of a small network that MMPose trained for a test of ours. A run's `report.html` is this "
        "page, with learning curves and the images that lose most.",
        "pose-eval results_det.keypoints.json --gt annotations/person_keypoints_val2017.json "
        "--format html -o report.html",
        "report.html",
    ),
    (
        "Learning curves",
        "Each run draws them; these are of the preset `demo_hrnet`. [All four]"
        "(packages/pose-train/benchmarks/demos-2026-11-21.md).",
        "pose-train run demo_hrnet",
        "packages/pose-train/benchmarks/demos-2026-11-21/demo_hrnet_ap.svg",
    ),
)
SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png", "image/svg+xml": ".svg"}
Site = dict[str, str | bytes]  # content by path


def main() -> None:
    """Write all pages and pictures into .docs/, for Sphinx."""
    shutil.rmtree(ROOT / ".docs", ignore_errors=True)
    for path, content in site().items():
        file = ROOT / ".docs" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)


def site() -> Site:
    """Return all pages and pictures."""
    pages: Site = {}
    for path in sorted(path for pattern in PAGES for path in ROOT.glob(pattern)):
        pages |= written_page(path.relative_to(ROOT).as_posix())
    for package in PACKAGES:
        module = package.replace("-", "_")
        pages[f"packages/{package}/benchmarks/index.md"] = benchmarks_page(package)
        pages[f"packages/{package}/README.md"] += tree("", ("CHANGELOG", "benchmarks/index"))
        pages[f"reference/commands/{package}.md"] = reference.commands_page(package)
        pages[f"reference/{module}.md"] = reference.api_page(module)
    pages["reference/config.md"] = reference.config_page()
    pages["reference/presets.md"] = reference.presets_page()
    for name in NOTEBOOKS:
        pages |= notebook_page(ROOT / "notebooks" / f"{name}.ipynb")
    pages |= gallery()
    pages["index.md"] = f"{pages.pop('README.md')}\n{contents()}"
    return pages


# Pages that are written by hand.


def written_page(path: str, text: str | None = None) -> Site:
    """Return a page with links that hold in the site, and what it links to that is no page.

    text: the content of the page, by default that of the file. A folder leads to its README or to
    the list of its results, source code to a page that shows it.
    """
    found: Site = {}

    def in_the_site(match: re.Match[str]) -> str:
        target = match[1]
        there = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        file = ROOT / there
        if there in MOVED:
            target = posixpath.relpath(MOVED[there], posixpath.dirname(path) or ".")
        elif file.is_dir():
            page = "README.md" if (file / "README.md").exists() else "index.md"
            target = posixpath.join(target, page)
        elif file.suffix == ".ipynb":
            target = target.removesuffix(".ipynb") + ".md"
        elif file.suffix in (".py", ".yml"):
            target += ".md"
            shown = fence(file.read_text(encoding="utf-8"), file.suffix[1:])
            found[f"{there}.md"] = f"---\norphan: true\n---\n\n# {file.name}\n\n{shown}"
        elif file.suffix != ".md" and file.exists():
            found[there] = file.read_bytes()
        return f"]({target}{match[2] or ''})"

    if text is None:
        text = (ROOT / path).read_text(encoding="utf-8")
    link = r"\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)"
    return {path: re.sub(link, in_the_site, text)} | found


def benchmarks_page(package: str) -> str:
    """Return the list of a package's results."""
    paths = sorted((ROOT / "packages" / package / "benchmarks").glob("*.md"))
    titles = [path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ") for path in paths]
    links = [f"- [{title}]({path.name})" for title, path in zip(titles, paths, strict=True)]
    lines = [f"# Benchmarks of {package}", "", "What was measured, when and where.", "", *links]
    return "\n".join(lines) + "\n\n" + tree("", [path.stem for path in paths])


def contents() -> str:
    """Return the trees of pages that the site's sidebar shows."""
    written = {path.stem for path in ROOT.glob("docs/*.md")}
    left = written - {name for names in CHAPTERS.values() for name in names}
    assert not left, f"CHAPTERS lacks {', '.join(sorted(left))}"
    trees = {title: [f"docs/{name}" for name in names] for title, names in CHAPTERS.items()}
    trees["Notebooks"] = [f"notebooks/{name}" for name in NOTEBOOKS]
    trees["Reference"] = ["reference/config", "reference/presets", "gallery"]
    trees["Commands"] = [f"reference/commands/{package}" for package in PACKAGES]
    trees["Python"] = [f"reference/{package.replace('-', '_')}" for package in PACKAGES]
    trees["Packages"] = [f"packages/{package}/README" for package in PACKAGES]
    trees["Project"] = sorted({path.stem for path in ROOT.glob("*.md")} - {"README"})
    return "\n".join(tree(title, pages) for title, pages in trees.items())


def tree(title: str, pages: Sequence[str]) -> str:
    """Return a part of the contents, which is seen in the sidebar alone."""
    options = [f":caption: {title}"] * bool(title) + [":hidden:", ""]
    return fence("\n".join([*options, *pages]), "{toctree}")


def notebook_page(path: Path) -> Site:
    """Return a notebook as a page, and the pictures it shows."""
    lines, pictures = [], Site()
    for number, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"]):
        source = "".join(cell["source"])
        language = "sh" if source.startswith("!") else "python"
        lines.append(source if cell["cell_type"] == "markdown" else fence(source, language))
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            kind = next((kind for kind in SUFFIXES if kind in data), None)
            if kind is None:
                shown = "".join(output.get("text", data.get("text/plain", "")))
                lines.append(fence(shown, "text"))
                continue
            name, content = f"{path.stem}-{number}{SUFFIXES[kind]}", "".join(data[kind])
            is_text = kind == "image/svg+xml"
            pictures[f"notebooks/{name}"] = content if is_text else base64.b64decode(content)
            lines.append(f"![What this cell shows]({name})")
    name = path.relative_to(ROOT).with_suffix(".md").as_posix()
    return written_page(name, "\n\n".join(lines) + "\n") | pictures


def gallery() -> Site:
    """Return a page of what the tools draw, with the pictures, made by its commands now."""
    from pose_data.__main__ import main as pose_data
    from pose_eval.__main__ import main as pose_eval

    mains = {"pose-data": pose_data, "pose-eval": pose_eval}
    lines = ["# Gallery", "", "Drawn people, and what the tools draw of them.", ""]
    found: Site = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for name in ("hrnet/results_det.keypoints.json", "data/annotations"):
            os.symlink(ROOT / "tests/parity/golden/trained" / name, Path(name).name)
        for title, text, command, shown in GALLERY:
            lines += [f"## {title}", "", text, "", *([fence(command, "sh")] if command else [])]
            program, *words = shlex.split(command or "-")
            if program in mains:
                with contextlib.redirect_stdout(io.StringIO()):
                    assert mains[program](words) == 0, command
            if shown.endswith(".html"):
                found[f"extra/{shown}"] = Path(shown).read_bytes()
                lines += [f'<iframe src="{shown}" title="{title}"></iframe>', ""]
                lines += [f'<a href="{shown}">The page alone</a>', ""]
                continue
            if Path(shown).exists():
                found[f"gallery/{Path(shown).name}"] = Path(shown).read_bytes()
                shown = f"gallery/{Path(shown).name}"
            lines += [f"![{title}]({shown})", ""]
    return {"gallery.md": "\n".join(lines)} | found


if __name__ == "__main__":
    main()
