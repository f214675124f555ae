"""The cells of the notebooks run, shortened; `./run notebooks` runs them whole, in Jupyter."""

import json
import re
import shlex
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pages
import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
MOST_BYTES = 300_000


def cells(path: Path, kind: str) -> list[str]:
    content = json.loads(path.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == kind]


def run_cell(source: str, names: dict[str, Any]) -> None:
    """Run a cell: lines that open with `!` as commands, ours in this process; then the others."""
    lines = source.replace("\\\n", " ").splitlines()
    for line in (line[1:] for line in lines if line.startswith("!")):
        ours = re.sub(r"\s2?>\s?(/dev/null|&1|\w+\.txt)|\|.*", "", line)
        if shlex.split(ours)[0] in pages.MAINS:
            code, output = pages.run(ours)
            assert code == 0, f"{line}\n{output}"
        else:
            subprocess.run(line, shell=True, check=True)
    exec("\n".join(line for line in lines if not line.startswith("!")), names)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_cells_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    display = types.ModuleType("IPython.display")
    display.SVG = display.Image = lambda *args, **options: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.chdir(tmp_path)  # and back afterwards
    names: dict[str, Any] = {"__name__": "__notebook__"}
    for source in cells(path, "code"):
        source = source.replace("tempfile.mkdtemp()", '"."')
        try:
            run_cell(source, names)
        except Exception as error:
            raise AssertionError(source) from error


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_they_are_committed_with_what_they_show(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text) < MOST_BYTES
    code = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    outputs = [output for cell in code for output in cell["outputs"]]
    assert all(cell["execution_count"] for cell in code)
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert any(re.search("image/", kind) for each in outputs for kind in each.get("data", {}))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_names_and_links(path: Path, tmp_path: Path) -> None:
    text = "\n\n".join(cells(path, "markdown"))
    pages.check_spans(text)
    for target in re.findall(r"\]\((?!\w+:)([^)#\s]+)", text):
        assert (path.parent / target).exists(), target
