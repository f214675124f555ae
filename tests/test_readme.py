"""The commands and snippets of the READMEs run."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
READMES = [ROOT / "README.md", *sorted(ROOT.glob("packages/*/README.md"))]

# What makes a training run of the README short enough for a test.
SHORT = [
    "data.synthetic={num_train: 6, num_val: 3, image_size: [128, 96]}",
    "train.epochs=1",
    "train.num_workers=0",
]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


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


def test_commands(tmp_path: Path) -> None:
    """Run the README's own lines in their order; training is cut short by overrides."""
    scripts = Path(sys.executable).parent
    lines = blocks(README, "bash")[1].splitlines()
    assert any(line.startswith("pose-train run") for line in lines)
    assert any(line.startswith("pose-eval") for line in lines)
    for line in lines:
        name, *arguments = shlex.split(line, comments=True)
        if arguments[0] == "run":
            arguments += SHORT
        done = subprocess.run(
            [scripts / name, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}: {done.stderr}"


def test_the_packages_linked_are_there() -> None:
    targets = [t for t in re.findall(r"\]\(([^)]+)\)", README) if not t.startswith("http")]
    assert len(targets) >= 7
    assert all((ROOT / target).exists() for target in targets)


def test_no_package_ships_a_licence_link() -> None:
    licence = (ROOT / "LICENSE").read_bytes()
    for package in (ROOT / "packages").iterdir():
        copy = package / "LICENSE"
        assert not copy.is_symlink(), "a link would dangle in the sdist"
        assert copy.read_bytes() == licence
