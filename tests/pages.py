"""Markdown pages as programs: find what a page tells its reader to type, and type it.

Fences: `bash` is run and must succeed; `console` is a `$ command` and lines of what it prints;
`python` is run; `yaml` that opens with `# NAME.yaml` is written to that file, all in one folder.
`sh` needs GPUs or published data and is only held against the commands' parsers and the config's
keys. Nothing looks at `py` and `text`.
"""

import contextlib
import dataclasses
import io
import os
import re
import shlex
import subprocess
import sys
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pose_backbones.__main__ import main as pose_backbones
from pose_data.__main__ import main as pose_data
from pose_eval.__main__ import main as pose_eval
from pose_train import load_config, shipped_configs
from pose_train.__main__ import COMMANDS as TRAIN_COMMANDS
from pose_train.__main__ import main as pose_train
from pose_train.__main__ import parse
from pose_train.config.schema import Config

MAINS: dict[str, Callable[[list[str]], int]] = {
    "pose-backbones": pose_backbones,
    "pose-data": pose_data,
    "pose-eval": pose_eval,
    "pose-train": pose_train,
}
TORCHRUN = "torchrun"

# What makes a page short enough for a test: of words given twice, the later ones count.
SHORT = {
    "pose-data synth people": ["--train", "8", "--val", "4", "--size", "128x96"],
    "pose-train run": ["train.epochs=1", "train.num_workers=0"],
    "pose-train check": [
        "model.name=hrnet",
        "model.options={width: 8, stem_channels: 8, num_modules: [1, 1, 1], num_blocks: 1}",
    ],
    "pose-train run demo": ["data.synthetic={num_train: 6, num_val: 3, image_size: [128, 96]}"],
    "pose-train resume": ["train.epochs=2"],
    "pose-train bench": ["--seconds", "0.05", "train.num_workers=0"],
}


def fences(text: str) -> list[tuple[str, str]]:
    """Return the fenced blocks of a page in their order: (language or "", content)."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def without_fences(text: str) -> str:
    """Return a page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of one language."""
    return [content for found, content in fences(text) if found == language]


def commands(block: str) -> list[str]:
    """Return the command lines of a block: continued lines joined, comments left out."""
    lines = [line.strip() for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def run_page(text: str) -> None:
    """Type all that a page gives, in its order, into the current folder."""
    names: dict[str, Any] = {"__name__": "__page__"}
    for language, content in fences(text):
        if language == "bash":
            for line in commands(content):
                code, output = run(line)
                assert code == 0, f"{line}\n{output}"
        elif language == "console":
            check_transcript(content)
        elif language == "python":
            try:
                exec(content, names)
            except Exception as error:
                raise AssertionError(content) from error
        elif language == "yaml" and (name := re.match(r"# (\w+\.yaml)\n", content)):
            Path(name[1]).write_text(content, encoding="utf-8")


def check_transcript(block: str) -> None:
    """Run the commands of a transcript; the lines below each must be printed, in their order.

    A line `...` stands for whatever a command prints between two of them, `...` in a line for what
    is left of it.
    """
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        line, *expected = part.replace("\\\n", " ").splitlines()
        _, output = run(line)
        kinds = {"...": r"(?s:.*)"}
        pattern = "".join(
            kinds.get(each, re.escape(each).replace(r"\.\.\.", ".*") + "\n") for each in expected
        )
        assert re.search(pattern, output), f"{line}\n{output}"


def run(line: str) -> tuple[int, str]:
    """Run a command in this process, shortened; return its exit code and all that it printed."""
    words, target = shlex.split(line, comments=True), None
    if ">" in words:
        *words, _, target = words
    if words[0] == TORCHRUN:
        return _run_torchrun(words)
    assert words[0] in MAINS, f"pages run our own commands, not {line}"
    for start, more in SHORT.items():
        if words[: start.count(" ") + 1] == start.split():
            words += more
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = MAINS[words[0]](words[1:])
    if target is not None:
        Path(target).write_text(out.getvalue(), encoding="utf-8")
    return code, out.getvalue() + err.getvalue()


def _run_torchrun(words: Sequence[str]) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *words[1:]],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    return done.returncode, done.stdout + done.stderr


def check_command(line: str) -> None:
    """Hold a line of a shell against our parsers; lines of other programs are left alone."""
    if not line.startswith(("pose", TORCHRUN, "srun")):
        return
    words = shlex.split(line, comments=True)
    if words[0] == "srun":
        words.pop(0)
    if words[0] == TORCHRUN:
        after = words.index("pose_train") + 1
        _check_torchrun(words[1:after])
        words = ["pose-train", *words[after:]]
    if words[0].endswith("/"):  # a folder, in a tree
        return
    assert words[0] in MAINS, f"no command of ours: {line}"
    name, *words = words
    if ">" in words:
        words = words[: words.index(">")]
    with _as_failure(line):
        if name == "pose-train":
            _check_pose_train(words)
        else:
            _parse_only(MAINS[name], words)


def _check_torchrun(words: list[str]) -> None:
    from torch.distributed.run import get_args_parser

    with _as_failure(f"torchrun {words}"):
        get_args_parser().parse_args([*words, "--"])


def _check_pose_train(words: list[str]) -> None:
    args = parse(words)
    source = getattr(args, "config", getattr(args, "source", None))
    overrides = getattr(args, "overrides", [])
    if source in shipped_configs():
        load_config(source, overrides)
    for override in overrides:
        check_key(override.partition("=")[0])


class _Parsed(Exception):
    """The words were understood; what they ask for is not done."""


def _parse_only(main: Callable[[list[str]], int], words: list[str]) -> None:
    """Run a command up to the point where its words are parsed."""
    import argparse

    original = argparse.ArgumentParser.parse_args

    def parse(self: Any, *args: Any, **options: Any) -> Any:
        original(self, *args, **options)
        raise _Parsed

    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(_Parsed):
        patch.setattr(argparse.ArgumentParser, "parse_args", parse)
        main(words)


@contextlib.contextmanager
def _as_failure(what: str) -> Iterator[None]:
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            yield
    except (SystemExit, ValueError) as error:
        raise AssertionError(f"{what}: {said.getvalue() or error}") from error


def check_key(key: str) -> None:
    """Raise AssertionError unless a config has this key, `section.name`."""
    hint: Any = Config
    for name in key.split("."):
        if isinstance(hint, types.UnionType):
            hint = typing.get_args(hint)[0]
        if typing.get_origin(hint) is dict:
            hint = typing.get_args(hint)[1]
            continue
        hints = typing.get_type_hints(hint) if dataclasses.is_dataclass(hint) else {}
        assert name in hints, f"a config has no {key}"
        hint = hints[name]


SECTIONS = "|".join(f.name for f in dataclasses.fields(Config) if dataclasses.is_dataclass(f.type))


def check_spans(text: str) -> None:
    """Check what stands between backticks in the text: names of commands, keys of a config."""
    for span in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", without_fences(text)):
        for command in re.findall(r"\bpose-train ([a-z][\w-]*)", span):
            assert command in TRAIN_COMMANDS, f"no command {command}: {span}"
        for key in re.findall(rf"(?<![\w./])((?:{SECTIONS})\.[a-z_]+(?:\.[a-z_]+)*)\b", span):
            if not key.endswith((".py", ".json", ".yaml", ".pth", ".safetensors")):
                check_key(key)


def check_links(page: Path) -> None:
    """Check that what a page links to in the repository is there, headings too."""
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://", target):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), f"{page.name} links to {target}, which is not there"
        if anchor:
            assert anchor in anchors(there.read_text(encoding="utf-8")), f"{page.name}: {target}"


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them, and those written out."""
    titles = re.findall(r"^#+ (.+)$", without_fences(text), re.MULTILINE)
    made = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
    return made | set(re.findall(r'<a id="([^"]+)">', text))
