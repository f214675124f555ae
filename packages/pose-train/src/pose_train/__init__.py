"""Train, test and predict with top-down and bottom-up pose networks on plain PyTorch."""

__version__ = "0.1.0"
