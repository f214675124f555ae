"""Where the parity tests find the reference numbers, and in how many threads they compute.

The reference's own numbers were made in one; and two processes of two threads each, on two cores,
would mostly wait for each other.
"""

from pathlib import Path

import pytest
import reference
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def parity_dir() -> Path:
    """Return the folder with topdown/ and bottomup/: PARITY_DIR, else the committed subset."""
    return reference.FOLDER
