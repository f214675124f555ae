"""What a recipe is: how one kind of network is built, trained, evaluated and used."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pose_backbones import PoseOutput, create_model
from pose_data import BottomUp, GroupedBatches, Persons, Skeleton, TopDown
from pose_data.shares import Unit
from pose_train.config.schema import Config, ConfigError, Model
from pose_train.distributed import Ranks
from pose_train.inference.evaluate import Rows
from pose_train.inference.people import People

Samples = TopDown | BottomUp
Batch = Mapping[str, Any]


class Recipe(NamedTuple):
    """A recipe, as plain functions; `training/loop.py` holds the loop, which is the same for all.

    unit: what a sample is: one of the "persons", in its box, or one of the whole "images".
    build: (config, number of keypoints) -> the network and the codec of its maps; raises
    ConfigError where the config does not fit the network.
    samples: (config, persons, codec, device, augmented) -> the dataset of training samples, whose
    targets may be left to be made on the device.
    batches: (config, samples, ranks) -> the order of the samples of this process.
    loss: (config, codec, output, batch) -> scalars by name, means over the batch; "loss" is what is
    trained, the others are recorded, shown and drawn (without a `_loss` at the end of their names).
    Nothing in it waits for a GPU.
    predict: (config, net, codec, skeleton of the network, annotated set, boxes in its images,
    ranks, device) -> COCO result rows, by the published protocol. Several processes share the work,
    and each returns the rows of all.
    find: (network, images, boxes, flip_indices, *, batch_size, keep_maps) -> the People of each
    image; without torch.
    """

    unit: Unit
    build: Callable[[Config, int], tuple[nn.Module, Any]]
    samples: Callable[[Config, Persons, Any, torch.device, bool], Any]
    batches: Callable[[Config, Any, Ranks], GroupedBatches]
    loss: Callable[[Config, Any, PoseOutput, Batch], dict[str, Tensor]]
    predict: Callable[
        [Config, nn.Module, Any, Skeleton, Persons, Persons, Ranks, torch.device], Rows
    ]
    find: Callable[..., list[People]]


def create_net(model: Model, num_keypoints: int) -> tuple[nn.Module, PoseOutput]:
    """Build a network and run it on an empty image, so that sizes fit before a run starts.

    Returns it and what it made of the image. Raises ConfigError.
    """
    w, h = model.input_size
    try:
        net = create_model(model.name, num_keypoints=num_keypoints, **model.options)
        with torch.inference_mode():
            return net, net.eval()(torch.zeros(1, model.channels, h, w))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"model: {error}") from error
