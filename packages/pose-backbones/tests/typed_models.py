"""What a type checker knows of models; mypy reads this file (`./run lint`), nothing runs it."""

from collections.abc import Callable
from typing import assert_type

import torch
from torch import Tensor

from pose_backbones import (
    CPM,
    HigherHRNet,
    Hourglass,
    HourglassAE,
    HRNet,
    PoseNet,
    PoseOutput,
    create_model,
)

images = torch.zeros(1, 3, 64, 64)
model = create_model("hrnet_w32")
assert_type(model, PoseNet)
assert_type(model(images), PoseOutput)
assert_type(model(images).heatmaps[-1], Tensor)
assert_type(HigherHRNet(32)(images), PoseOutput)
run: Callable[[Tensor], PoseOutput] = model

assert_type(HRNet(32)(images), list[Tensor])
assert_type(Hourglass()(images), list[Tensor])
assert_type(HourglassAE(34)(images), list[Tensor])
assert_type(CPM(17)(images), list[Tensor])
