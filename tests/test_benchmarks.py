"""The README says of speed what the page of benchmarks says, and the page knows every script."""

import importlib.util
import math
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
# They need a network, an hour, other programs beside them, or memory that few machines have.
BY_HAND = {
    "large.py",
    "many_images.py",
    "predict.py",
    "seeds.py",
    "soak.py",
    "threads.py",
}
PAGE = """
### `codecs.py --first`

| 17 keypoints | ratio |
|---|---|
| encode | 3 |

### `codecs.py`

| size | people | plain |
|---|---|---|
| 512 | 1 | - |
| 512 | 30 | 1520 (62.5x) |

text

| 17 keypoints, 48x64 | us | ratio |
|---|---:|---:|
| encode, one | 7.4 | 29.9 |
"""


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench", ROOT / "benchmarks/run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_readme_and_chart_are_made_from_the_page(bench: ModuleType) -> None:
    page = bench.PAGE.read_text(encoding="utf-8")
    assert bench.BEGIN + bench.table(page) + bench.END in bench.README.read_text(encoding="utf-8")
    assert bench.chart(page) == bench.CHART.read_text(encoding="utf-8")


def test_every_script_is_run_or_left_out_by_name(bench: ModuleType) -> None:
    run = {f"{p}/{s.split()[0]}" for p, scripts in bench.SCRIPTS.items() for s in scripts}
    there = {
        f"{file.parts[-3]}/{file.name}"
        for file in ROOT.glob("packages/*/benchmarks/*.py")
        if '__name__ == "__main__"' in file.read_text(encoding="utf-8")
    }
    assert run <= there
    assert {name.split("/")[1] for name in there - run} == BY_HAND


def test_a_figure_is_where_row_and_column_meet(bench: ModuleType) -> None:
    def read(table: str, row: str) -> tuple[str, float]:
        return bench.Figure("", -2, "codecs.py`", table, row, -1).read(PAGE)

    assert read("17", "encode") == ("us", 29.9)
    assert read("size", "512 | 30") == ("people", 62.5)
    assert math.isnan(read("size", "512 | 1 |")[1])
    with pytest.raises(ValueError, match="begins with '18'"):
        read("18", "encode")
