"""Checkpoints: all that a run needs to go on as if it had never stopped."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pose_backbones import CheckpointError
from pose_train.ema import Ema
from pose_train.rundir import RunDirError, save_tensors

LAST, BEST = "checkpoint_last.pth", "checkpoint_best.pth"


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
        "scaler": training.scaler.state_dict(),
        "rng": torch.get_rng_state(),
        **vars(training.progress),
        **about,
    }
    if ema is not None:
        content |= {"ema": ema.state_dict(), "train_state_dict": training.net.state_dict()}
    if torch.cuda.is_available():
        content["rng_cuda"] = torch.cuda.get_rng_state()
    save_tensors(path, content)


def restore_checkpoint(path: Path, training: Training) -> None:
    """Bring a run back to where its checkpoint was saved.

    Raises RunDirError where there is none, CheckpointError where it is of another network.
    """
    if not path.is_file():
        raise RunDirError(
            f"{path} does not exist: this run never got as far; start it again with "
            f"`pose-train run {path.parent / 'config.yaml'} out=DIR`"
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        _restore(content, training)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{path} does not fit this run or is damaged: {reason}") from error


def _restore(content: dict[str, Any], training: Training) -> None:
    training.net.load_state_dict(content.get("train_state_dict", content["state_dict"]))
    training.optimizer.load_state_dict(content["optimizer"])
    training.scaler.load_state_dict(content["scaler"])
    if training.ema is not None and "ema" in content:
        training.ema.load_state_dict(content["ema"])
    elif training.ema is not None:  # averaging was asked for in the middle of a run
        for name, tensor in training.net.state_dict().items():
            training.ema.tensors[name].copy_(tensor)
    torch.set_rng_state(content["rng"])
    if "rng_cuda" in content and torch.cuda.is_available():
        torch.cuda.set_rng_state(content["rng_cuda"])
    for name, start in vars(training.progress).items():  # what an older checkpoint lacks starts
        setattr(training.progress, name, content.get(name, start))


def keep_newest(run_dir: Path, count: int) -> None:
    """Delete all but the newest numbered checkpoints."""
    numbered = [p for p in run_dir.iterdir() if re.fullmatch(r"checkpoint_\d+\.pth", p.name)]
    for path in sorted(numbered, key=lambda p: int(p.stem.rpartition("_")[2]))[:-count]:
        path.unlink()
