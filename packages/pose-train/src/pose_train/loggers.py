"""Where metrics go besides metrics.jsonl: TensorBoard, Weights & Biases; both are extras."""

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pose_train.config import Config, ConfigError

Logger = Callable[[dict[str, Any]], None]  # takes a record of metrics.jsonl


def open_loggers(config: Config, run_dir: Path, settings: dict[str, Any]) -> list[Logger]:
    """Return what every record is to be handed to; check_extras comes first.

    settings: the config as plain values, which Weights & Biases shows beside the curves.
    """
    loggers: list[Logger] = []
    if config.log.tensorboard:
        loggers.append(_tensorboard(run_dir))
    if config.log.wandb is not None:
        loggers.append(_wandb(config.log.wandb, run_dir, settings))
    return loggers


def check_extras(config: Config) -> None:
    """Raise ConfigError for an extra that the config asks for and that is not installed."""
    wanted = {"log.tensorboard": config.log.tensorboard, "log.wandb": config.log.wandb is not None}
    for key, is_wanted in wanted.items():
        extra = key.removeprefix("log.")
        if is_wanted and importlib.util.find_spec(extra) is None:
            raise ConfigError(
                f"{key} needs {extra}, which is not installed: pip install 'pose-train[{extra}]'"
            )


def scalars(record: dict[str, Any]) -> dict[str, float]:
    """Return the numbers of a record as KIND/NAME, as both programs group them."""
    kind = record["kind"]
    return {
        f"{kind}/{name}": float(value)
        for name, value in record.items()
        if isinstance(value, int | float) and name != "step"
    }


def _tensorboard(run_dir: Path) -> Logger:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(run_dir / "tensorboard"))

    def log(record: dict[str, Any]) -> None:
        for name, value in scalars(record).items():
            writer.add_scalar(name, value, record["step"])
        writer.flush()

    return log


def _wandb(project: str, run_dir: Path, settings: dict[str, Any]) -> Logger:
    wandb: Any = importlib.import_module("wandb")
    # The same id for the same directory, so that a resumed run continues its curves.
    run = wandb.init(
        project=project,
        id=run_dir.resolve().name,
        name=run_dir.name,
        dir=str(run_dir),
        config=settings,
        resume="allow",
    )

    def log(record: dict[str, Any]) -> None:
        run.log(scalars(record), step=record["step"])

    return log
