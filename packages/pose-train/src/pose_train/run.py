"""A run: what stays the same while it lasts, how it begins, and what it writes."""

import dataclasses
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pose_eval import Report
from pose_train.checkpoints import LAST, Training, keep_newest, save_checkpoint
from pose_train.config import Config, RunError
from pose_train.ground_truth import check_evaluation
from pose_train.loggers import Logger, check_extras, open_loggers
from pose_train.ranks import Ranks, gather
from pose_train.read_config import to_yaml
from pose_train.rundir import append_metrics, create_run_dir, write_text
from pose_train.sets import Sets, check_pictures, describe, draw, load_sets
from pose_train.signals import StopRequest
from pose_train.words import duration

SIGMAS = "sigmas.json"  # of the keypoints, by name: pose-eval takes them from a run directory


class NonFiniteError(RunError):
    """The loss or the weights became NaN or infinite; the message says where."""


@dataclass(frozen=True)
class Outcome:
    """What a run has to show: the last evaluation, if there is one, and the page about it."""

    evaluation: Report | None
    report: Path


@dataclass
class Pace:
    """How fast a run gets on, evaluations included, for the time that is left."""

    started: float = 0.0
    step: int = 0  # optimizer steps that were done then

    def start(self, step: int) -> None:
        """Begin to measure."""
        self.started, self.step = time.monotonic(), step

    def left(self, step: int, last: int) -> str:
        """Say how long it is from a step to the last one; "" where that is it."""
        if step >= last:
            return ""
        seconds = (time.monotonic() - self.started) / max(1, step - self.step) * (last - step)
        return f"{duration(seconds)} left"


@dataclass(frozen=True)
class Run:
    """What stays the same during a run."""

    config: Config
    about: dict[str, Any]  # what every checkpoint says of the run: its config, the skeleton
    dir: Path
    sets: Sets
    ranks: Ranks
    device: torch.device
    stop: StopRequest
    loggers: list[Logger]
    pace: Pace = field(default_factory=Pace)
    said: list[str] = field(default_factory=list)  # notes that come once in a run


def load_given_sets(config: Config) -> Sets | None:
    """Load the sets of data.root; None where they are yet to be drawn.

    What would keep results from being evaluated shows now, not after the first epochs.
    """
    check_extras(config)
    if config.data.root is None:
        return None
    sets = load_sets(config.data, config.eval, Path(config.data.root), config.recipe)
    if sets.val is not None:
        check_pictures(sets.val)
        check_evaluation(config, sets.train.skeleton, sets.val)
    return sets


def open_run(
    config: Config,
    sets: Sets | None,
    ranks: Ranks,
    device: torch.device,
    stop: StopRequest,
    resume: bool,
) -> Run:
    """Make the run directory, and the pictures if they are to be drawn; or open what is there."""
    path, text = Path(config.out), to_yaml(config)
    if ranks.is_first and not resume:
        create_run_dir(config.out)
        if config.data.synthetic is not None:
            draw(config.data.synthetic, path / "data", config.seed)
    gather(None, ranks)  # the others wait until the pictures are there
    if sets is None:
        sets = load_sets(config.data, config.eval, path / "data", config.recipe)
    loggers: list[Logger] = []
    if ranks.is_first:
        write_text(path / "config.yaml", text)
        sigmas: dict[str, float] = {}
        for persons in (sets.train, sets.val):
            if persons is not None:
                skeleton = persons.skeleton
                sigmas |= zip(skeleton.keypoints, skeleton.sigmas, strict=True)
        write_text(path / SIGMAS, json.dumps(sigmas, indent=1, ensure_ascii=False))
        print(describe(sets), flush=True)
        loggers = open_loggers(config, path, dataclasses.asdict(config))
    plain = json.loads(json.dumps(dataclasses.asdict(sets.train.skeleton)))
    about = {"config": text, "skeleton": plain}
    return Run(config, about, path, sets, ranks, device, stop, loggers)


def save(run: Run, training: Training, name: str = LAST) -> None:
    """Save a checkpoint in the run directory; only the first process does.

    Raises NonFiniteError for weights that are not: a finite loss may have had a gradient that was
    not, and the checkpoint from before must stay.
    """
    if not run.ranks.is_first:
        return
    at = training.progress
    if not _is_finite(training.net):
        raise NonFiniteError(
            f"weights became NaN or infinite in epoch {at.epoch}, batch {at.batch} or shortly "
            f"before; {how_to_go_on(run)}"
        )
    save_checkpoint(run.dir / name, training, run.about)


def how_to_go_on(run: Run) -> str:
    """Say what to do where numbers are no longer finite."""
    lr = run.config.train.lr / 2
    return f"{LAST} is from before that: try `pose-train resume {run.dir} train.lr={lr:.2g}`"


def _is_finite(net: nn.Module) -> bool:
    largest = torch._foreach_norm([p.detach() for p in net.parameters()], float("inf"))
    return bool(torch.stack(list(largest)).isfinite().all())


def save_epoch(run: Run, training: Training, epoch: int) -> None:
    """Save the end of an epoch: as the last checkpoint, and numbered where the config asks."""
    save(run, training)
    every = run.config.checkpoints.every
    if every and epoch % every == 0 and run.ranks.is_first:
        save(run, training, f"checkpoint_{epoch:04d}.pth")
        keep_newest(run.dir, run.config.checkpoints.keep)


def record(run: Run, training: Training, values: dict[str, Any]) -> None:
    """Write one record of metrics, in metrics.jsonl and to the loggers."""
    training.progress.records += 1
    if run.ranks.is_first:
        append_metrics(run.dir, values)
        for log in run.loggers:
            log(values)


def say(run: Run, text: str) -> None:
    """Print a line with the time, once for all processes."""
    if run.ranks.is_first:
        print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)
