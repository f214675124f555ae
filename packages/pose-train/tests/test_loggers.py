"""Metrics handed to TensorBoard and Weights & Biases; both are extras that may be missing."""

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from pose_train import ConfigError, load_config
from pose_train.training.run_dir import check_extras, open_loggers

RECORDS: list[dict[str, Any]] = [
    {"kind": "train", "epoch": 1, "step": 6, "lr": 1e-3, "loss": 0.5},
    {"kind": "val", "epoch": 1, "step": 6, "AP": 0.25, "APL": None},
]


@pytest.mark.parametrize(
    ("override", "extra"), [("log.tensorboard=true", "tensorboard"), ("log.wandb=mine", "wandb")]
)
def test_a_missing_extra_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, override: str, extra: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=rf"pip install 'pose-train\[{extra}\]'"):
        check_extras(load_config("demo", [override]))


def test_wandb_gets_numbers_by_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[tuple[dict[str, float], int]] = []
    begun: dict[str, Any] = {}

    def init(**settings: Any) -> SimpleNamespace:
        begun.update(settings)
        return SimpleNamespace(log=lambda values, step: logged.append((values, step)))

    module = ModuleType("wandb")
    module.__spec__ = ModuleSpec("wandb", None)
    module.init = init  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    config = load_config("demo", ["log.wandb=poses"])
    check_extras(config)
    (log,) = open_loggers(config, tmp_path, {"seed": 0})
    for record in RECORDS:
        log(record)
    assert begun["project"] == "poses"
    assert begun["config"] == {"seed": 0}
    assert logged == [
        ({"train/epoch": 1.0, "train/lr": 1e-3, "train/loss": 0.5}, 6),
        ({"val/epoch": 1.0, "val/AP": 0.25}, 6),
    ]


def test_tensorboard_event_files_hold_the_numbers(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra pose-train[tensorboard] is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (log,) = open_loggers(load_config("demo", ["log.tensorboard=true"]), tmp_path, {})
    for record in RECORDS:
        log(record)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    (loss,) = events.Scalars("train/loss")
    assert (loss.step, loss.value) == (6, 0.5)
    assert events.Scalars("val/AP")[0].value == 0.25
    assert "val/APL" not in events.Tags()["scalars"]
