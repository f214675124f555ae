"""A network that is ready to predict, whatever runs it: what a Predictor is given."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_train.scenes import Scene
from pose_train.usage import Usage

FlipIndices = Sequence[int] | None
PredictHeatmaps = Callable[[NDArray[np.uint8], FlipIndices], NDArray[np.float32]]
FindPeople = Callable[[Iterable[dict[str, Any]], FlipIndices, int | None, bool], list[Scene]]


@dataclass(frozen=True)
class Network:
    """A network with what prediction needs of it.

    `trained.py` makes one of torch's modules, `onnx_network.py` one of an ONNX file.

    predict_heatmaps: top-down; (images, flip_indices) -> the heatmaps (B, K, h, w) of crops uint8
    (B, H, W, C), RGB or grey, averaged with those of the mirrored crops where flip_indices are
    given.
    find_people: bottom-up; (batches, flip_indices, threads, keep_maps) -> scenes, as
    `scenes.find_scenes` says. origin: which weights these are. notes: what was chosen in loading it
    that a user should know.
    """

    usage: Usage
    predict_heatmaps: PredictHeatmaps
    find_people: FindPeople
    origin: str
    notes: tuple[str, ...] = ()
