"""Train and evaluate pose networks on plain PyTorch."""

from pose_train.config import Config, ConfigError
from pose_train.read_config import load_config, shipped_configs

__version__ = "0.1.0"

__all__ = ["Config", "ConfigError", "load_config", "shipped_configs"]
