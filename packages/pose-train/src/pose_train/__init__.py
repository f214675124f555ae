"""Train and evaluate pose networks on plain PyTorch."""

from typing import TYPE_CHECKING, Any

from pose_train.config import Config, ConfigError, RunError
from pose_train.read_config import load_config, shipped_configs

__version__ = "0.1.0"

__all__ = ["Config", "ConfigError", "Predictor", "RunError", "load_config", "shipped_configs"]

if TYPE_CHECKING:
    from pose_train.predictor import Predictor


def __getattr__(name: str) -> Any:
    """Import Predictor, and with it torch, only when it is asked for: commands start faster."""
    if name != "Predictor":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pose_train.predictor import Predictor

    return Predictor
