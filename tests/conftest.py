"""In how many threads the tests compute: one.

The reference's own numbers were made in one; and two processes of two threads each, on two cores,
would mostly wait for each other.
"""

import os
from collections.abc import Iterator

import pytest
import torch

from pose_train.inference import detect


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # for the commands, which would choose
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _no_default_detector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whole images are taken, whatever this machine has in the hub's cache, and by processes, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_CACHE", str(tmp_path_factory.mktemp("empty")))
        patch.setattr(detect, "DEFAULT_DETECTOR", "none")
        yield
