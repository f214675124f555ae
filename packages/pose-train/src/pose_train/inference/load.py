"""Load a trained network with all that is needed to use it: its config, skeleton and codec."""

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from pose_backbones import (
    ZOO,
    Checkpoint,
    CheckpointError,
    LoadReport,
    fuse,
    load_checkpoint,
    read_checkpoint,
)
from pose_data import AIC, COCO, Persons, Skeleton
from pose_data.combine import union
from pose_data.errors import printable
from pose_data.skeleton import with_flip_pairs, with_sigmas
from pose_train.config.load import load_config, parse_config, shipped_configs
from pose_train.config.schema import Config, ConfigError, Data, Model
from pose_train.cores import find_device
from pose_train.distributed import Ranks
from pose_train.inference.evaluate import Rows
from pose_train.inference.forward import AMP, fastest_amp, torch_backend
from pose_train.inference.network import Codec, Network, Usage, skeleton_from_plain
from pose_train.inference.weights import (
    BEST,
    LAST,
    PREFIX,
    PUBLISHED,
    SKELETON,
    fetch_network,
    settle_warp,
    weights_file,
    zoo_row,
)
from pose_train.recipes import RECIPES
from pose_train.recipes.data import check_images, load_boxes, load_main

_log = logging.getLogger("pose_train")

# Names that promise a checkpoint, so that a web page under one of them is called what it is.
CHECKPOINTS = (".pth", ".pt", ".ckpt", ".tar", ".bin", ".safetensors", ".onnx")


@dataclass(frozen=True)
class Trained:
    """A network in evaluation mode on its device.

    codec: turns its maps into keypoints, or into people. skeleton: of its K keypoints. weights: the
    file they are from, epoch: after how many epochs, where it says so. notes: what was chosen in
    loading it that a user should know.
    """

    net: nn.Module
    config: Config
    codec: Codec
    skeleton: Skeleton
    device: torch.device
    weights: Path
    epoch: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def origin(self) -> str:
        """Which weights these are."""
        return usage_of(self).origin

    def __repr__(self) -> str:
        model, count = self.config.model.name, self.skeleton.num_keypoints
        return f"Trained({model}, {count} keypoints, {self.device}, {self.origin})"


def usage_of(trained: Trained) -> Usage:
    """Return how a network is used, by its config."""
    config = trained.config
    return Usage(
        input_size=config.model.input_size,
        codec=trained.codec,
        skeleton=trained.skeleton,
        warp=config.data.chosen_warp,
        exif=config.data.exif,
        flip_test=config.chosen_eval.flip_test,
        multi_scale=config.chosen_eval.multi_scale,
        batch_size=config.chosen_eval.batch_size,
        weights=str(trained.weights),
        epoch=trained.epoch,
        channels=config.model.channels,
        bits=config.data.bits,
    )


def as_network(trained: Trained, amp: str = "off", compiled: bool = False) -> Network:
    """Return the network for a Predictor, its batch norms folded into the convolutions.

    amp: of autocast, "off", "bf16" or "fp16", or "auto", see fastest_amp. compiled: by
    torch.compile, at its first batch and again for other shapes. Raises ConfigError for another
    amp.
    """
    if amp not in (*AMP, "auto"):
        raise ConfigError(f"amp must be one of {', '.join(AMP)} or auto, got {amp!r}")
    notes = trained.notes
    if amp == "auto":
        amp = fastest_amp(trained.device)
        notes += (f"amp auto is {amp} on {trained.device.type}",)
    usage, find = usage_of(trained), RECIPES[trained.config.recipe].find
    net = fuse(trained.net, onednn=amp == "off" and not compiled)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if compiled:
        net.compile()
    backend = torch_backend(net, trained.device, amp)
    of_people = (
        set(COCO.keypoints) <= set(usage.skeleton.keypoints)
        and trained.config.data.synthetic is None  # a detector does not know our drawn people
        and not usage.is_bottomup
    )
    return Network(usage, backend, find, usage.origin, notes, of_people)


def load_trained(
    source: str | Path,
    *,
    weights: str | Path | None = None,
    overrides: Sequence[str] = (),
    device: str | None = None,
) -> Trained:
    """Load a network to test, predict with or export.

    source: a run directory (its best checkpoint, else its last), a checkpoint file of ours (it
    carries its config), hf://USER/NAME, a preset or a config file; hrnet_w32 and the like are the
    preset of the zoo with the smallest input. weights: a file, a run directory or a name of the
    zoo, instead of the source's own; a preset of the zoo finds its file by itself (see
    `weights_file`). overrides: of the config, `key.sub=value`. Raises ConfigError or
    CheckpointError.
    """
    if Path(source).suffix.lower() == ".onnx":
        raise ConfigError(
            f"{source} is an exported network, which only `pose-train predict` takes: name the run "
            "directory or the checkpoint that it was exported from"
        )
    if str(source).startswith(PREFIX):
        source = fetch_network(str(source))
    row = None if Path(source).exists() else zoo_row(Model(str(source), (1, 1)))  # the smallest
    source = row or source
    config, found = _config_and_weights(Path(source), overrides)
    of_zoo = str(source) if str(source) in ZOO else None
    chosen = weights or found or config.model.weights or of_zoo
    if chosen is None:
        raise ConfigError(f"{source} is a config without weights: say which with --weights FILE")
    file = chosen if isinstance(chosen, Checkpoint) else read_checkpoint(weights_file(chosen))
    skeleton = _skeleton(config, file)
    # What training started from does not matter now.
    bare = replace(config, model=replace(config.model, weights=None))
    if bare.model.options:  # of a file, perhaps a stranger's: they can ask for any size
        with torch.device("meta"):  # without memory
            described, _ = RECIPES[config.recipe].build(bare, skeleton.num_keypoints)
        _check_size(described, file)
    net, codec = RECIPES[config.recipe].build(bare, skeleton.num_keypoints)
    report = _load(net, file)
    config, notes = settle_warp(config, report)
    # Under torchrun, "auto" and "cuda" are the GPU of this process.
    on = find_device(device or config.train.device, int(os.environ.get("LOCAL_RANK", "0")))
    _log.info("%s: %s on %s", printable(file.path), config.model.name, on)
    net = net.to(on).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    all_notes = (*report.notes, *notes)
    return Trained(net.eval(), config, codec, skeleton, on, file.path, _epoch(file), all_notes)


def _epoch(file: Checkpoint) -> int | None:
    """Return after how many epochs a checkpoint of ours was saved."""
    epoch, batch = file.content.get("epoch"), file.content.get("batch")
    if "config" in file.content and isinstance(epoch, int) and isinstance(batch, int):
        return epoch if batch else epoch - 1
    return None


def _check_size(net: nn.Module, file: Checkpoint) -> None:
    """Raise CheckpointError for a network that is larger than all that a file holds."""
    needed = sum(parameter.numel() for parameter in net.parameters())
    held = sum(tensor.numel() for tensor in file.tensors.values())
    if needed > held:
        raise CheckpointError(
            f"{file.path} holds {held:,} numbers, and the network of model.options has {needed:,} "
            "parameters"
        )


def _load(net: nn.Module, file: Checkpoint) -> LoadReport:
    """Load all weights of a network; raises CheckpointError for a file that lacks some."""
    report = load_checkpoint(net, file)
    # PyTorch < 0.4.1 did not write the counters of batch norms.
    lacking = [name for name in report.missing if not name.endswith(".num_batches_tracked")]
    if lacking:
        raise CheckpointError(
            f"{file.path} is of a backbone, to start training from: it lacks {lacking[0]} and "
            f"{len(lacking) - 1} more of a trained network"
        )
    return report


def _config_and_weights(
    path: Path, overrides: Sequence[str]
) -> tuple[Config, Checkpoint | Path | None]:
    """Return the config of a source, and the weights that come with it, if any do."""
    if str(path) in shipped_configs() and not (path / "config.yaml").is_file():
        return load_config(path, overrides), None
    if path.is_dir():
        if not (path / "config.yaml").is_file():
            raise ConfigError(f"{path} is no run directory: it has no config.yaml")
        # The directory may have been moved since, and what was drawn for the run with it.
        config = replace(load_config(path / "config.yaml", overrides), out=str(path))
        return config, path if any((path / f).is_file() for f in (BEST, LAST, PUBLISHED)) else None
    if not path.is_file() or _is_config(path):
        return load_config(path, overrides), None
    file = read_checkpoint(path)
    text = file.content.get("config")
    if isinstance(text, str):
        return parse_config(text, f"the config in {path}", overrides), file
    advice = "name the preset or config file that it belongs to, and give it as --weights"
    if file.metadata.keys() & {"cfg", "config"}:
        advice += f"; `pose-train init --from-mmpose {path}` writes one from what MMPose left in it"
    raise ConfigError(f"{path} carries no config: {advice}")


def _is_config(path: Path) -> bool:
    """Tell a config from a checkpoint under any name: a checkpoint is never without zeros."""
    if path.suffix.lower() in CHECKPOINTS:
        return False
    with path.open("rb") as file:
        return b"\0" not in file.read(4096)


def _skeleton(config: Config, file: Checkpoint) -> Skeleton:
    """Return the skeleton in a checkpoint, else that of the config's data, else the published one.

    A checkpoint that was trained on keypoints of one's own is of little use without its names. The
    data of a config that lies in the checkpoint are not read: it may be a stranger's.
    """
    stored = file.content.get("skeleton")
    beside = file.path.with_name(SKELETON)  # of a published network
    if isinstance(stored, dict) or (file.path.name == PUBLISHED and beside.is_file()):
        try:
            if not isinstance(stored, dict):
                stored = json.loads(beside.read_text(encoding="utf-8"))
            return skeleton_from_plain(stored)
        except (KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
            raise CheckpointError(f"{file.path}: the skeleton in it is damaged ({error})") from None
    data = config.data
    root = Path(config.out, "data") if data.root is None else Path(data.root)
    annotations, images = root / data.val.annotations, root / data.val.images
    own, is_given = None, "config" not in file.content
    if is_given and data.format == "coco" and annotations.is_file() and images.is_dir():
        own = load_main(root, data, data.val).skeleton
    return published_skeleton(data, own)


def load_tested(config: Config) -> tuple[Persons, Persons]:
    """Return the annotated set that a config evaluates on, and the boxes in its images.

    Raises ConfigError, DatasetError.
    """
    data = config.data
    root = Path(config.out, "data") if data.root is None else Path(data.root)
    if data.format != "coco":
        raise ConfigError(
            f"data.format {data.format} cannot be evaluated as it is: write it as COCO with "
            "`pose-data convert` and set data.format=coco"
        )
    val = load_main(root, data, data.val)
    check_images(val)
    return val, load_boxes(data, config.chosen_eval, root, val)


def predict_rows(
    trained: Trained, val: Persons, boxes: Persons, ranks: Ranks, device: torch.device
) -> Rows:
    """Predict a set by the recipe of the network's config; return COCO result rows."""
    config, net, codec = trained.config, trained.net, trained.codec
    predict = RECIPES[config.recipe].predict
    return predict(config, net, codec, trained.skeleton, val, boxes, ranks, device)


def published_skeleton(data: Data, own: Skeleton | None = None) -> Skeleton:
    """Return what is trained on sets like these: COCO's or AIC's keypoints, or both combined.

    own: the main set's, where it is known to be another.
    """
    known = {"coco": COCO, "aic": AIC}
    skeleton = own or known[data.format]
    if data.flip_pairs is not None:
        skeleton = with_flip_pairs(skeleton, data.flip_pairs)
    skeleton = with_sigmas(skeleton, data.sigmas)
    if data.mix == "combine":
        same = {name: one[0] if len(one) == 1 else one for name, one in data.same.items()}
        for extra in data.extra.values():
            skeleton = union(skeleton, known[extra.format], same)  # type: ignore[arg-type]
    return skeleton
