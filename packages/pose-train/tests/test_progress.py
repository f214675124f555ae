"""The progress line, and whether the loader is the bottleneck."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from pose_train.progress import SLOW_SECONDS, Pace, ProgressLine, losses_text
from pose_train.words import duration


class Time:
    """Seconds on a host and in the queue of a GPU, which the tests let pass."""

    def __init__(self) -> None:
        self.host = self.device = 0.0

    def queue(self, seconds: float) -> None:
        """Hand work to the GPU, which begins when it has done what came before."""
        self.device = max(self.device, self.host) + seconds


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> Time:
    now = Time()

    class Event:
        """Notes when the GPU comes to it."""

        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self, stream: object) -> None:
            self.at = max(now.device, now.host)

        def elapsed_time(self, other: "Event") -> float:
            return 1000 * (other.at - self.at)

    monkeypatch.setattr(time, "perf_counter", lambda: now.host)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    return now


def loader(now: Time, batches: int, seconds: float) -> Iterator[dict[str, Any]]:
    for _ in range(batches):
        now.host += seconds
        yield {"index": torch.zeros(4)}


def loader_of(
    line: ProgressLine, now: Time, batches: int, seconds: float
) -> Iterator[dict[str, Any]]:
    return line.batches(loader(now, batches, seconds))


def line_on(device: str) -> ProgressLine:
    return ProgressLine("", 10, 0, show=False, device=torch.device(device))


def test_waiting_is_told_from_work_and_from_saving(passing: Time) -> None:
    line = line_on("cpu")
    for number, _ in enumerate(loader_of(line, passing, 10, 1.0)):
        passing.host += 2.0  # a step
        if number == 5:
            passing.host += 10.0  # a checkpoint is saved
        line.show({"loss": 0.5}, 1e-3)
    assert line.waited == pytest.approx(10.0)
    assert line.data_share == pytest.approx(10 / 40)
    assert line.images_per_s == pytest.approx(1.0)


@pytest.mark.parametrize(("seconds", "idle"), [(0.9, 0.9), (1.1, 2.0)])
def test_a_gpu_that_has_work_does_not_wait(passing: Time, seconds: float, idle: float) -> None:
    """The host waits nearly all the time, the GPU only where it has run out of work.

    Steps take a second. A loader of 0.9 s a batch makes it wait for the first alone, one of 1.1 s
    for a tenth of a second each time.
    """
    line = line_on("cuda")
    for number, _ in enumerate(loader_of(line, passing, 10, seconds)):
        passing.queue(1.0)
        if number == 9:  # a look waits for the GPU
            passing.host = passing.device
            line.show({"loss": 0.5}, 1e-3)
    assert line.waited == pytest.approx(idle)


@pytest.mark.parametrize(("seconds", "is_slow"), [(0.3, False), (0.6, True)])
def test_a_slow_loader_shows_after_a_while(passing: Time, seconds: float, is_slow: bool) -> None:
    line = line_on("cpu")
    verdicts = []
    for _ in loader_of(line, passing, 40, seconds):
        passing.host += 1.0
        verdicts.append(line.waits_for_data())
    assert not any(verdicts[: int(SLOW_SECONDS / (1 + seconds))]), "too early to judge"
    assert verdicts[-1] == is_slow


def test_losses_in_words() -> None:
    assert losses_text({"loss": 0.0123456}) == "loss 0.01235"
    losses = {"loss": 0.5, "heatmap_loss": 0.375, "push_loss": 1e-4, "pull_loss": 0.0}
    assert losses_text(losses) == "loss 0.50000 (heatmap 0.38, push 0.0001, pull 0)"


def test_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    pace = Pace()
    pace.start(50)  # resumed at step 50
    now += 600.0
    assert pace.left(60, 100) == "40 min left"
    assert pace.left(100, 100) == ""
    assert pace.left(50, 51) == "10 min left", "before the first step"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (89, "89 s"),
        (91, "2 min"),
        (3569, "59 min"),
        (3590, "1 h 0 min"),
        (12000, "3 h 20 min"),
        (187200, "2 days 4 h"),
    ],
)
def test_times_in_words(seconds: float, text: str) -> None:
    assert duration(seconds) == text
