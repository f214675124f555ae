"""Help and completion of the four commands: groups, examples that can be typed, no colours."""

import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from pages import MAINS

from pose_data.__main__ import COMMANDS as DATA_COMMANDS
from pose_data.__main__ import parse as parse_data
from pose_train.__main__ import COMMANDS as TRAIN_COMMANDS
from pose_train.__main__ import EXAMPLES
from pose_train.__main__ import parse as parse_train

HEAVY = {"torch", "numpy", "cv2", "yaml", "numba", "tqdm", "orjson", "huggingface_hub"}
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


PARSERS = {
    "pose_data": (parse_data, DATA_COMMANDS),
    "pose_train": (parse_train, TRAIN_COMMANDS),
}
PROTOCOL = [(package, name) for package, (_, names) in PARSERS.items() for name in names]


@pytest.mark.parametrize(("package", "name"), PROTOCOL)
def test_every_command_takes_quiet_and_verbose(
    package: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parse = PARSERS[package][0]
    with pytest.raises(SystemExit):
        parse([name, "--help"])
    end = capsys.readouterr().out.partition("\nmessages:\n")[2]
    assert "-q, --quiet" in end
    assert "-v, --verbose" in end
    with pytest.raises(SystemExit) as left:
        parse([name, "-q", "-v"])
    assert left.value.code == 2


@pytest.mark.parametrize(("package", "name"), PROTOCOL)
def test_commands_have_one_protocol(
    package: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sentence, examples of the command that can be typed, and what `main` calls."""
    monkeypatch.chdir(tmp_path)
    command = import_module(f"{package}.commands.{name}")
    assert re.fullmatch(r"[A-Z].*\.", command.HELP)
    parse, program = PARSERS[package][0], package.replace("_", "-")
    for line in command.EXAMPLES.splitlines():
        words = shlex.split(line.partition(" > ")[0])
        if words[0] == program:  # not torchrun
            args = parse(words[1:])
            assert (args.command, args.run) == (name, command.run)


def test_examples_of_pose_train_parse() -> None:
    for line in EXAMPLES.splitlines():
        words = shlex.split(line.partition(" > ")[0])
        if "--help" not in words:
            assert parse_train(words[1:]).command == words[1]


@pytest.mark.parametrize("package", PARSERS)
def test_commands_are_files_with_a_name_in_the_list(package: str) -> None:
    folder = Path(import_module(f"{package}.commands").__path__[0])
    files = {file.stem for file in folder.glob("*.py")}
    assert files - {"__init__", "options"} == set(PARSERS[package][1])


@pytest.mark.parametrize("package", PARSERS)
def test_files_of_commands_import_nothing_heavy(package: str) -> None:
    names = [f"{package}.commands.{name}" for name in PARSERS[package][1]]
    code = (
        f"import sys, {', '.join(names)}; "
        f"print(*{HEAVY!r} & {{name.partition('.')[0] for name in sys.modules}})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


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
