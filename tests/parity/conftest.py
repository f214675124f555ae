"""Where the parity tests find the reference numbers."""

from pathlib import Path

import pytest
import reference


@pytest.fixture(scope="session")
def parity_dir() -> Path:
    """Return the folder with topdown/ and bottomup/: PARITY_DIR, else the committed subset."""
    return reference.FOLDER
