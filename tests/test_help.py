"""Help and completion of the four commands: groups, examples that can be typed, no colours."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from pages import MAINS

from pose_data.__main__ import COMMANDS as DATA_COMMANDS
from pose_train.arguments import COMMANDS as TRAIN_COMMANDS
from pose_train.arguments import parse
from pose_train.help import EXAMPLES, GROUPS

HELPS = [
    *([name] for name in MAINS),
    *(["pose-data", name] for name in DATA_COMMANDS),
    *(["pose-train", name] for name in TRAIN_COMMANDS),
]


def shown_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as done:
        MAINS[words[0]]([*words[1:], "--help"])
    assert done.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("words", HELPS, ids=" ".join)
def test_help_has_examples(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    text = shown_help(words, capsys)
    assert text.startswith(f"usage: {' '.join(words)} ")
    assert "\x1b" not in text, "no colours where no terminal is"
    if words not in (["pose-data"], ["pose-train", "configs"]):
        assert re.search(rf"^examples:\n  {' '.join(words)}\b", text, re.MULTILINE), text


def test_examples_of_pose_train_parse() -> None:
    for name, lines in EXAMPLES.items():
        for line in lines.splitlines():
            words = shlex.split(line.partition(" > ")[0])
            if words[0] == "pose-train" and "--help" not in words:
                command = parse(words[1:]).command
                assert command == name or name == ""


def test_groups_name_options_that_there_are() -> None:
    for name, groups in GROUPS.items():
        known = {option.names[0] for option in TRAIN_COMMANDS[name].options}
        assert {option for options in groups.values() for option in options} <= known


@pytest.mark.parametrize(
    ("module", "line", "found"),
    [
        ("pose_train", "pose-train pre", ["predict "]),
        ("pose_train", "pose-train predict --contact", ["--contact-sheet "]),
        ("pose_data", "pose-data sy", ["synth "]),
        ("pose_data", "pose-data show --bottom", ["--bottom-up "]),
        ("pose_eval", "pose-eval comp", ["compare "]),
        ("pose_eval", "pose-eval compare --fail-d", ["--fail-drop "]),
        ("pose_eval", "pose-eval results.json --per", ["--per-image "]),
        ("pose_backbones", "pose-backbones conv", ["convert "]),
    ],
)
def test_completion(module: str, line: str, found: list[str], tmp_path: Path) -> None:
    pytest.importorskip("argcomplete", reason="comes with the extras named completion")
    environment = os.environ | {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(tmp_path / "found"),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }
    subprocess.run([sys.executable, "-m", module], env=environment, cwd=tmp_path, check=True)
    assert (tmp_path / "found").read_text().split("\n") == found
