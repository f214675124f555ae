"""The commands and snippets of the READMEs run."""

import os
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from pages import MAINS, blocks, commands, run

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
READMES = [ROOT / "README.md", *sorted(ROOT.glob("packages/*/README.md"))]


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.parent.name)
def test_python_snippets(readme: Path, tmp_path: Path) -> None:
    """Run a README's snippets one after the other, as a reader would type them."""
    code = "\n".join(blocks(readme.read_text(encoding="utf-8"), "python"))
    assert code
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_two_commands_are_scripts_of_the_environment() -> None:
    first = blocks(README, "bash")[0].splitlines()
    commands = [shlex.split(line, comments=True) for line in first]
    assert commands == [["./run", "demo"], ["./run", "test"]]
    workspace = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    scripts = workspace["tool"]["hatch"]["envs"]["default"]["scripts"]
    assert scripts["demo"] == "pose-train run demo {args}"
    assert scripts["test"] == "pytest {args}"
    assert os.access(ROOT / "run", os.X_OK)


def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the README's own lines in their order; training is cut short by overrides."""
    monkeypatch.chdir(tmp_path)
    lines = commands(blocks(README, "bash")[1])
    assert any(line.startswith("pose-train run") for line in lines)
    assert any(line.startswith("pose-eval") for line in lines)
    for line in lines:
        code, output = run(line)
        assert code == 0, f"{line}\n{output}"


@pytest.mark.parametrize("command", MAINS)
def test_a_command_is_installed(command: str) -> None:
    script = Path(sys.executable).with_name(command)
    done = subprocess.run([script, "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: {command} ")


def test_no_package_ships_a_licence_link() -> None:
    licence = (ROOT / "LICENSE").read_bytes()
    for package in (ROOT / "packages").iterdir():
        copy = package / "LICENSE"
        assert not copy.is_symlink(), "a link would dangle in the sdist"
        assert copy.read_bytes() == licence
