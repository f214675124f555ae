"""A training step never waits for a GPU: no `.item()`, no shape that depends on values.

Under torch's FakeTensorMode tensors have shapes and no values, and whatever asks for a value
raises; so this shows on a CPU.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils.data import default_collate

from pose_train import RECIPES, load_config
from pose_train.config.schema import Config, RecipeName
from pose_train.distributed import Ranks
from pose_train.inference import forward
from pose_train.recipes import bottomup, topdown
from pose_train.recipes.data import draw_images, load_sets
from pose_train.training.loop import batch_losses, optimizer_step
from pose_train.training.optim import set_training
from pose_train.training.prepare import prepare_training

CPU = torch.device("cpu")
TINY = ("data.synthetic.num_train=4", "data.synthetic.num_val=1", "train.batch_size=2")
PRESETS = {"topdown": "demo", "bottomup": "demo_higherhrnet"}


@pytest.fixture(autouse=True)
def _around_fake_tensors(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep fake tensors out of other tests' caches, and modules from moving, which these cannot."""
    monkeypatch.setattr(nn.Module, "to", lambda module, *_, **__: module)
    forward._statistics.cache_clear()
    yield
    forward._statistics.cache_clear()


def take_step(config: Config, folder: Path) -> torch.Tensor:
    """Train one step on fake tensors, in the shapes of real samples; return the loss."""
    assert config.data.synthetic is not None
    draw_images(config.data.synthetic, folder / "data", config.seed)
    recipe = RECIPES[config.recipe]
    persons = load_sets(config.data, config.eval, folder / "data", recipe.unit).train
    codec = recipe.build(config, persons.skeleton.num_keypoints)[1]
    samples = recipe.samples(config, persons, codec, CPU, True)
    batch = default_collate([samples[(1, 0)], samples[(1, 1)]])
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        net, _ = recipe.build(config, persons.skeleton.num_keypoints)
        training, module = prepare_training(config, net, Ranks(), CPU)
        set_training(training.net, config.train.freeze_bn)
        fake = torch.utils._pytree.tree_map_only(torch.Tensor, mode.from_tensor, batch)
        loss = batch_losses(config, module, codec, fake, CPU)["loss"]
        training.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        optimizer_step(training, 0.001, config.train.clip_grad)
    return loss


@pytest.mark.parametrize("on_device", [False, True], ids=["targets given", "targets made there"])
@pytest.mark.parametrize("recipe", PRESETS)
def test_a_step_asks_for_no_value(
    recipe: RecipeName, on_device: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = {"topdown": topdown, "bottomup": bottomup}[recipe]
    monkeypatch.setattr(file, "_encodes_on", lambda *_: on_device)
    options = ("train.clip_grad=1.0", "train.ema=0.99", "train.amp=bf16")
    config = load_config(PRESETS[recipe], [*TINY, *options])
    loss = take_step(config, tmp_path)
    with pytest.raises(DataDependentOutputException):  # it was a fake one all along
        loss.item()


def test_a_loss_that_asks_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topdown, "keypoint_mse", lambda maps, *_: maps.sum() * maps.mean().item())
    with pytest.raises(DataDependentOutputException):
        take_step(load_config("demo", TINY), tmp_path)
