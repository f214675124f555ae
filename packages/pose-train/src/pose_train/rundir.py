"""What a run leaves behind. Every file is written to a temporary name and renamed."""

import json
import os
from pathlib import Path
from typing import Any

import torch

from pose_train.config import ConfigError


def create_run_dir(out: str) -> Path:
    """Make an empty run directory; raises ConfigError where something is already there."""
    path = Path(out)
    try:
        if path.is_dir() and not any(path.iterdir()):
            return path
        path.mkdir(parents=True)
    except FileExistsError:
        raise ConfigError(
            f"{path} already holds something, perhaps another run; choose another with out=DIR"
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot create the run directory {path}: {error.strerror}") from error
    return path


def write_text(path: Path, text: str) -> None:
    """Write a whole text file or nothing."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Save tensors and plain values; the file loads with `torch.load(weights_only=True)`."""
    temporary = path.with_name(path.name + ".tmp")
    torch.save(content, temporary)
    os.replace(temporary, path)


def append_metrics(run_dir: Path, record: dict[str, Any]) -> None:
    """Add one line to metrics.jsonl."""
    with (run_dir / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """Return the records of metrics.jsonl in order."""
    lines = (run_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]
