"""In how many threads the tests compute: one.

The reference's own numbers were made in one; and two processes of two threads each, on two cores,
would mostly wait for each other.
"""

import os

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # for the commands, which would choose
    torch.set_num_threads(1)
