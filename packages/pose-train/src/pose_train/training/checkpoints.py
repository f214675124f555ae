"""Checkpoints: all that a run needs to go on as if it had never stopped."""

import re
import zipfile
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pose_backbones import CheckpointError
from pose_train.config.load import parse_config
from pose_train.config.schema import Config, ConfigError
from pose_train.files.write import RunDirError, write_file
from pose_train.inference.weights import BEST, LAST
from pose_train.training.optim import Ema, carry_over, trained_names


@dataclass
class Progress:
    """Where a run stands.

    loss_sums: over the images of the epoch so far, of all ranks; "loss" is what is trained.
    """

    epoch: int = 1
    batch: int = 0  # batches done in this epoch
    batches: int = 0  # of this epoch, all of them
    step: int = 0  # optimizer steps done in this run
    loss_sums: dict[str, float] = field(default_factory=dict)
    images: int = 0
    records: int = 0  # lines in metrics.jsonl
    best_ap: float = -1.0
    best_epoch: int = 0  # after which the best checkpoint was saved
    since_best: int = 0  # evaluations without a better AP, since the first above 0

    def count_in(self, batches: int, accumulate: int = 1) -> None:
        """Count this epoch in so many batches; keep the share if it was left with others.

        Another batch size or number of processes changes them. A part of an optimizer step is done
        again.
        """
        if self.batch > 0 and self.batches not in (0, batches):
            is_done = self.batch == self.batches
            done = self.batch * batches // self.batches // accumulate * accumulate
            self.batch = batches if is_done else done
        self.batches = batches

    @property
    def losses(self) -> dict[str, float]:
        """The means over the images of the epoch so far, by name."""
        return {name: total / self.images for name, total in self.loss_sums.items()}

    @property
    def epochs_begun(self) -> int:
        """The number of epochs, one that is under way included."""
        return self.epoch if self.batch else self.epoch - 1

    def count_evaluation(self, ap: float, epoch: int) -> bool:
        """Count an evaluation; tell whether its weights are the best, of equal ones the newer."""
        is_better = ap > self.best_ap or self.best_ap <= 0
        self.since_best = 0 if is_better else self.since_best + 1
        if ap < self.best_ap:
            return False
        self.best_ap, self.best_epoch = ap, epoch
        return True

    def next_epoch(self) -> None:
        """Go to the start of the next epoch."""
        self.epoch += 1
        self.batch, self.loss_sums, self.images = 0, {}, 0


@dataclass(frozen=True)
class Training:
    """What training changes."""

    net: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    ema: Ema | None
    progress: Progress


def save_checkpoint(path: Path, training: Training, about: dict[str, Any]) -> None:
    """Save a run, and with it what `about` says of it in plain values.

    `state_dict` is what is evaluated: the averaged weights, if there are any. A file that was there
    before stays whole until the new one is. Raises RunDirError.
    """
    ema = training.ema
    content = {
        "state_dict": training.net.state_dict() if ema is None else ema.tensors,
        "optimizer": training.optimizer.state_dict(),
        "trained": trained_names(training.optimizer, training.net),
        "scaler": training.scaler.state_dict(),
        "rng": torch.get_rng_state(),
        **vars(training.progress),
        **about,
    }
    if ema is not None:
        content |= {"ema": ema.state_dict(), "train_state_dict": training.net.state_dict()}
    if torch.cuda.is_available():
        content["rng_cuda"] = torch.cuda.get_rng_state()
    write_file(
        path, lambda file: torch.save(content, file)
    )  # torch.load(weights_only=True) reads it


@dataclass(frozen=True)
class Last:
    """The last checkpoint of a run, read; before: the config of the run when it was saved."""

    path: Path
    content: dict[str, Any]
    before: Config

    @property
    def epoch(self) -> int:
        """The epoch that is under way or comes next."""
        return int(self.content["epoch"])


def read_last(run_dir: Path) -> Last:
    """Read the last checkpoint of a run directory.

    Raises RunDirError where there is none, CheckpointError where it is damaged.
    """
    path = run_dir / LAST
    if not path.is_file():
        raise RunDirError(
            f"{path} does not exist: this run never got as far; start it again with "
            f"`pose-train run {run_dir / 'config.yaml'} out=DIR`"
        )
    try:
        with zipfile.ZipFile(path) as archive:  # torch does not look at the checksums in it
            if (bad := archive.testzip()) is not None:
                raise ValueError(f"its record {bad} is not what was written")
        content = torch.load(path, map_location="cpu", weights_only=True)
        before = parse_config(content["config"], f"the config in {path}")
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        best = run_dir / BEST
        advice = f"; start from the best one: `model.weights={best}`" if best.is_file() else ""
        raise CheckpointError(f"{path} is damaged: {reason}{advice}") from error
    return Last(path, content, before)


def restore_checkpoint(last: Last, training: Training, config: Config) -> list[str]:
    """Bring a run back to where a checkpoint was saved; change nothing in its directory.

    Optimizer, rates, weight decay, frozen layers and amp may be others than before: what fits is
    carried over. Returns what starts afresh, in sentences. Raises ConfigError where a changed key
    needs another network.
    """
    content, before, net = last.content, last.before, training.net
    try:
        net.load_state_dict(content.get("train_state_dict", content["state_dict"]))
    except RuntimeError as error:
        raise ConfigError(
            f"the network is not that of {last.path}: {_changes(before, config)} cannot change in "
            "a resume; start a new run with `pose-train run`"
        ) from error
    notes = _restore_optimizer(content, training, before, config)
    if content["scaler"] and training.scaler.is_enabled():
        training.scaler.load_state_dict(content["scaler"])
    elif training.scaler.is_enabled():
        notes.append("train.amp is new: the scale of its losses starts afresh")
    if training.ema is not None and "ema" in content:
        training.ema.load_state_dict(content["ema"])
    elif training.ema is not None:
        notes.append("train.ema is new: the averages start from the weights as they are")
        for name, tensor in net.state_dict().items():
            training.ema.tensors[name].copy_(tensor)
    torch.set_rng_state(content["rng"])
    if "rng_cuda" in content and torch.cuda.is_available():
        torch.cuda.set_rng_state(content["rng_cuda"])
    for name, start in vars(training.progress).items():  # what an older checkpoint lacks starts
        setattr(training.progress, name, content.get(name, start))
    return notes + _renew_patience(training.progress, before, config)


def _restore_optimizer(
    content: dict[str, Any], training: Training, before: Config, config: Config
) -> list[str]:
    """Give each parameter the state that the optimizer kept for it, by name; return notes."""
    was, now = before.train.optimizer, config.train.optimizer
    if was != now:
        return [f"train.optimizer was {was}: the averages of {now} start afresh"]
    # Older checkpoints do not name the parameters: theirs are the same.
    names = content.get("trained")
    fresh = carry_over(training.optimizer, training.net, content["optimizer"], names)
    return [f"{len(fresh)} parameters were frozen before, {fresh[0]} for one"] if fresh else []


def _renew_patience(at: Progress, before: Config, config: Config) -> list[str]:
    """Count anew where a run that stopped early is to have more epochs; return notes."""
    patience = before.train.patience
    if patience is None or at.since_best < patience or config.train.epochs <= before.train.epochs:
        return []
    at.since_best = 0
    return ["train.epochs was raised: evaluations without a better AP are counted anew"]


def _changes(before: Config, after: Config) -> str:
    """Return which keys that decide about a network differ, with what they were."""
    changed = [
        f"{key} ({was!r} in this run, now {now!r})"
        for key in ("recipe", "model.name", "model.options", "data.mix", "data.root", "data.train")
        if (was := attrgetter(key)(before)) != (now := attrgetter(key)(after))
    ]
    return ", ".join(changed) or "the keypoints of the annotation file"


def keep_newest(run_dir: Path, count: int) -> None:
    """Delete all but the newest numbered checkpoints."""
    numbered = [p for p in run_dir.iterdir() if re.fullmatch(r"checkpoint_\d+\.pth", p.name)]
    for path in sorted(numbered, key=lambda p: int(p.stem.rpartition("_")[2]))[:-count]:
        path.unlink()
