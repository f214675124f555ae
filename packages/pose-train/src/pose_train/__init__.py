"""Train and evaluate pose networks on plain PyTorch."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pose_train.config.load import load_config, shipped_configs
    from pose_train.config.schema import Config, ConfigError, RunError
    from pose_train.inference.detect import load_detector
    from pose_train.inference.people import People
    from pose_train.inference.predictor import Predictor
    from pose_train.inference.stream import predict_batch
    from pose_train.recipes import RECIPES
    from pose_train.recipes.recipe import Recipe
    from pose_train.training.loop import Outcome, run

__version__ = "0.1.0"

__all__ = [
    "RECIPES",
    "Config",
    "ConfigError",
    "Outcome",
    "People",
    "Predictor",
    "Recipe",
    "RunError",
    "load_config",
    "load_detector",
    "predict_batch",
    "run",
    "shipped_configs",
]

# Public names with their modules, imported when they are asked for: --help does not wait for them.
_LATE = {
    "load_config": "config.load",
    "shipped_configs": "config.load",
    "Config": "config.schema",
    "ConfigError": "config.schema",
    "RunError": "config.schema",
    "People": "inference.people",
    "predict_batch": "inference.stream",
    "Predictor": "inference.predictor",
    "load_detector": "inference.detect",
    "RECIPES": "recipes",
    "Recipe": "recipes.recipe",
    "Outcome": "training.loop",
    "run": "training.loop",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"pose_train.{_LATE[name]}"), name)
