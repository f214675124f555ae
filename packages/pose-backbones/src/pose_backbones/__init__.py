"""Stacked Hourglass, HRNet, CPM and HigherHRNet as plain PyTorch modules that load published checkpoints."""

__version__ = "0.1.0"
