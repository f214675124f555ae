"""In how many threads the tests compute: one.

The reference's own numbers were made in one; and two processes of two threads each, on two cores,
would mostly wait for each other.
"""

import logging
import os
import warnings
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
    """Take whole images, whatever this machine has in the hub's cache; in subprocesses, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("empty")))
        patch.delenv("HF_HUB_CACHE", raising=False)
        patch.setattr(detect, "DEFAULT_DETECTOR", "none")
        yield


@pytest.fixture
def quiet() -> Iterator[None]:
    """Keep what bad files are told about out of the tests that read hundreds of them."""
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)
