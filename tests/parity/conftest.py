"""Where the parity tests find the reference numbers."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def parity_dir() -> Path:
    """Return the folder with topdown/ and bottomup/: PARITY_DIR, else the committed subset."""
    default = Path(__file__).parent / "golden"
    return Path(os.environ.get("PARITY_DIR") or default)
