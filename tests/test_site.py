"""The pages that docs/generate.py makes say all there is; `./run docs` shows that they build."""

import argparse
import dataclasses
import re
import sys
from pathlib import Path

import pages
import pytest

from pose_codecs.__main__ import main as pose_codecs
from pose_data.__main__ import COMMANDS as DATA_COMMANDS
from pose_eval.__main__ import COMMANDS as EVAL_COMMANDS
from pose_train import load_config
from pose_train.__main__ import COMMANDS as TRAIN_COMMANDS

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "docs"))  # behind all else: its files have common names

import generate  # noqa: E402
import reference_pages as reference  # noqa: E402

COMMANDS = {
    "pose-train": list(TRAIN_COMMANDS),
    "pose-data": list(DATA_COMMANDS),
    "pose-eval": list(EVAL_COMMANDS),
    "pose-backbones": ["list", "info", "zoo", "convert"],
    "pose-codecs": ["warmup"],
}
MAINS = pages.MAINS | {"pose-codecs": pose_codecs}


def keys_of(settings: object, path: str = "") -> list[str]:
    keys = []
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        value, key = getattr(settings, field.name), f"{path}.{field.name}".lstrip(".")
        keys.append(key)
        if dataclasses.is_dataclass(value):
            keys += keys_of(value, key)
        elif isinstance(value, dict) and field.name == "extra":
            keys += [inner for each in value.values() for inner in keys_of(each, f"{key}.NAME")]
    return keys


def test_every_key_of_a_config_is_explained() -> None:
    page = reference.config_page()
    shown = re.findall(r"^\| \[?`([\w.]+)`", page, re.MULTILINE)
    pixels = [
        f"train.{section}.{each}={{}}"
        for section in ("augment", "scene")
        for each in ("colour", "blur", "noise", "erase")
    ]
    config = load_config("demo", [*pixels, "data.extra.mice.root=mice"])
    assert set(keys_of(config)) == set(shown)
    assert len(shown) == len(set(shown))
    for key in shown:
        pages.check_key(key)
    row = next(line for line in page.splitlines() if line.startswith("| `train.accumulate`"))
    assert row == "| `train.accumulate` | int, at least 1 | `1` | batches per optimizer step |"
    assert "| `model.name` | str | needed | a name of pose" in page


@pytest.mark.parametrize("package", COMMANDS)
def test_every_command_and_option_is_explained(
    package: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page = reference.commands_page(package)
    sections = re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    assert reference.command_names(package) == COMMANDS[package]
    for name, section in zip(COMMANDS[package], sections, strict=True):
        assert section.splitlines()[0].endswith(name) or name == "evaluate"
        with pytest.raises(SystemExit):
            MAINS[package](["--help"] if name == "evaluate" else [name, "--help"])
        text = capsys.readouterr().out
        options = set(re.findall(r"^  (?:-\w\b[^,]*, )?(--[\w-]+)", text, re.MULTILINE))
        table = "".join(re.findall(r"^\| (`.*?`)", section, re.MULTILINE))
        assert options
        assert options - {"--help"} <= set(re.findall(r"--[\w-]+", table)), name


def test_defaults_choices_and_marks_of_markdown() -> None:
    parser = argparse.ArgumentParser("x")
    parser.add_argument("--many", default=(1, 2), help="a*b | c (100 %%)")
    parser.add_argument("--how", choices=("a", "b"))
    many, how = [reference.words_of(parser, action) for action in parser._actions[1:]]
    assert many == ["`--many MANY`", "a\\*b | c (100 %)", "`1,2`"]
    assert how == ["`--how {a,b}`", "", ""]
    lines = reference.table([["argument", "meaning", "default"], many, how])
    assert lines[2] == "| `--many MANY` | a\\*b \\| c (100 %) | `1,2` |"


def test_links_hold_in_the_site() -> None:
    text = (
        "[a](../README.md#train) [b](../packages/pose-data) [c](images/people.jpg) "
        "[d](../packages/pose-eval/benchmarks/) [e](../notebooks/own-data.ipynb) [f](#here) "
        "[g](../packages/pose-data/benchmarks/load.py) [h](https://example.org/x.py)"
    )
    files = generate.written_page("docs/page.md", text)
    assert files.pop("docs/page.md") == (
        "[a](../index.md#train) [b](../packages/pose-data/README.md) [c](images/people.jpg) "
        "[d](../packages/pose-eval/benchmarks/index.md) [e](../notebooks/own-data.md) [f](#here) "
        "[g](../packages/pose-data/benchmarks/load.py.md) [h](https://example.org/x.py)"
    )
    assert set(files) == {"docs/images/people.jpg", "packages/pose-data/benchmarks/load.py.md"}


def test_every_page_is_in_the_contents(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "docs/how-to\n" in generate.contents()
    assert set(generate.NOTEBOOKS) == {path.stem for path in ROOT.glob("notebooks/*.ipynb")}
    monkeypatch.setattr(generate, "CHAPTERS", {"Tutorials": ("your-own-data",)})
    with pytest.raises(AssertionError, match=r"CHAPTERS lacks .*how-to"):
        generate.contents()


def test_the_gallery_is_drawn() -> None:
    files = generate.gallery()
    page = str(files.pop("gallery.md"))
    assert set(files) >= {"gallery/show.jpg", "gallery/pixels.jpg", "extra/report.html"}
    for name, content in files.items():
        assert len(content) > 10_000
        assert name.removeprefix("extra/") in page
    for target in re.findall(r"\]\((?!gallery/)([^)#]+)", page):
        assert (ROOT / target).exists()
