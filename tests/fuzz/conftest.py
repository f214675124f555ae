"""How much is fuzzed: `./run fuzz --examples 5000 --seed 3` tries more than the tests do."""

import harness
import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("fuzz")
    group.addoption("--examples", type=int, help="examples of each test of tests/fuzz")
    group.addoption("--seed", type=int, help="draw other examples than the tests do")


def pytest_configure(config: pytest.Config) -> None:
    harness.chosen_examples = config.getoption("--examples", default=None)
    harness.chosen_seed = config.getoption("--seed", default=None)


@pytest.fixture(autouse=True)
def _always_quiet(quiet: None) -> None:
    pass
