"""How much of our code a reader meets, held to a budget; measure_house.py says what is counted."""

import measure_house
import pytest

# Files and functions of each path, without building and loading a network; see ARCHITECTURE.md.
BUDGETS = {"predict": (35, 137), "start": (51, 278), "sample": (8, 27)}


@pytest.mark.parametrize("name", BUDGETS)
def test_paths_are_short(name: str) -> None:
    walk = measure_house.without_networks(measure_house.walk_of(name))
    files, functions = BUDGETS[name]
    assert len(walk) <= files
    assert measure_house.count_functions(walk) <= functions


@pytest.mark.parametrize("package", ["backbones", "codecs", "data", "eval", "train"])
def test_modules_do_not_import_each_other_in_a_circle(package: str) -> None:
    chain = measure_house.longest_import_chain(f"pose-{package}")  # raises for a circle
    assert len(chain) <= (10 if package == "train" else 14)
