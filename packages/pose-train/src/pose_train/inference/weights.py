"""Weights to start from or to use: which file they are in, and what follows from their origin."""

import math
import re
from dataclasses import replace
from pathlib import Path

from torch import nn

from pose_backbones import (
    ZOO,
    CheckpointError,
    LoadReport,
    find_weights,
    load_checkpoint,
    local_weights,
)
from pose_backbones.hub import hub_error
from pose_backbones.weights import is_offline, may_download, not_here
from pose_backbones.zoo import HUB
from pose_data import Persons
from pose_data.opencv import cv2
from pose_train.config.schema import Config, ConfigError, Model
from pose_train.words import are_notes_shown

# Trained networks on the Hugging Face hub, hf://USER/NAME; they need the extra `hub`.
PREFIX = "hf://"
# What a published network consists of, besides its model card.
CONFIG, SKELETON, PUBLISHED = "config.yaml", "skeleton.json", "model.safetensors"
INSTALL = "huggingface_hub is not installed: pip install 'pose-train[hub]'"

LAST, BEST = "checkpoint_last.pth", "checkpoint_best.pth"  # of a run directory

FEW = 2000  # persons, of which COCO has 150,000
SMALL = 5_000_000  # parameters that they may suffice for


def weights_file(weights: str | Path) -> Path:
    """Return the file that is meant: a file, a run directory's best or last, or one of the zoo.

    Or that of hf://USER/NAME. A file of the zoo is verified by its SHA-256; on a terminal it is
    fetched at its first use. Raises CheckpointError.
    """
    if str(weights).startswith(PREFIX):
        return fetch_network(str(weights)) / PUBLISHED
    path = Path(weights)
    if path.is_dir():
        return checkpoint_of_run(path)
    name = str(weights)
    if name not in ZOO or path.is_file():
        return path
    if local_weights(name) is None and not may_download():
        advice = (
            "name your copy"
            if is_offline()
            else (f"fetch it with `pose-train zoo fetch {name}`, or name your copy")
        )
        raise CheckpointError(
            f"{not_here(name)}: {advice} (--weights FILE; in a config, model.weights: FILE; null "
            "trains from scratch)"
        )
    # None shows on stderr how far it is.
    return find_weights(name, download=None if are_notes_shown() else True)


def checkpoint_of_run(run_dir: Path) -> Path:
    """Return the best checkpoint of a run directory, else the last; of a published one, its own.

    Raises CheckpointError.
    """
    for name in (BEST, LAST, PUBLISHED):
        if (run_dir / name).is_file():
            return run_dir / name
    raise CheckpointError(f"{run_dir} holds no checkpoint: neither {BEST} nor {LAST}")


def start_from_weights(
    net: nn.Module, config: Config, persons: Persons | None = None
) -> tuple[Config, list[str]]:
    """Load `model.weights`, if given; return the config with what follows from them, and notes.

    persons: what will be trained on, where it is known. The notes say what was loaded, or that
    persons are few to train a large network from scratch. Raises CheckpointError where weights do
    not fit.
    """
    model, notes = config.model, list[str]()
    if model.weights is None:
        parameters = sum(parameter.numel() for parameter in net.parameters())
        if persons is not None and len(persons) < FEW and parameters > SMALL:
            notes.append(
                f"note: {len(persons)} {persons.noun} are few to train {parameters / 1e6:.0f} "
                "million parameters from scratch, and AP may stay near 0: start from weights, "
                f"model.weights={zoo_row(model) or 'FILE'} model.reinit_head=true, or train a "
                "smaller network (`pose-train init --model hrnet_small`)"
            )
        return settle_warp(config, None)[0], notes
    report = load_checkpoint(net, weights_file(model.weights), reinit_head=model.reinit_head)
    config, notes = settle_warp(config, report)
    return config, [f"{model.weights}: {report}", *notes]


def zoo_row(model: Model) -> str | None:
    """Return the row of the zoo with weights for a network, of several the one nearest in size.

    Of several equally near, the hub's: the other publisher's server is down at times.
    """
    area = math.prod(model.input_size)

    def rank(name: str) -> tuple[int, bool]:
        return abs(math.prod(ZOO[name].input_size) - area), ZOO[name].source != HUB

    return min((n for n, row in ZOO.items() if row.model == model.name), key=rank, default=None)


def settle_warp(config: Config, report: LoadReport | None) -> tuple[Config, list[str]]:
    """Choose `data.warp` where the config leaves it open; return what there is to say about it.

    Weights of MMPose's and the papers' authors' were tested with the rounding of OpenCV 4.
    """
    is_foreign = report is not None and report.is_foreign
    is_same = cv2.__version__.startswith("4.")
    warp = config.data.warp or ("opencv4" if is_foreign else "cv2")
    notes = []
    if is_foreign and warp == "cv2" and not is_same:
        notes.append(
            f"data.warp is cv2, which rounds as OpenCV {cv2.__version__} does: these weights were "
            "tested with OpenCV 4's rounding, opencv4, and some keypoints will move by pixels"
        )
    return replace(config, data=replace(config.data, warp=warp)), notes


def fetch_network(name: str) -> Path:
    """Return the folder with the files of hf://USER/NAME, or of hf://USER/NAME@REVISION.

    They are in the hub's cache, fetched if they are not there yet or have changed; with
    POSE_OFFLINE they must be there. Raises ConfigError for a name of another form or without the
    extra, CheckpointError where they cannot be fetched.
    """
    match = re.fullmatch(r"hf://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", name)
    if match is None:
        raise ConfigError(f"{name} must look like hf://USER/NAME or hf://USER/NAME@REVISION")
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise ConfigError(f"{name}: {INSTALL}") from None
    files = [CONFIG, SKELETON, PUBLISHED]
    try:
        folder = snapshot_download(
            match[1], revision=match[2], allow_patterns=files, local_files_only=is_offline()
        )
    except Exception as error:  # of httpx, of requests, or its own, by its version
        reason = "it is not in the hub's cache, and POSE_OFFLINE forbids downloads"
        reason = reason if is_offline() else hub_error(error)
        raise CheckpointError(f"{name}: {reason}") from error
    if lacking := [file for file in files if not Path(folder, file).is_file()]:
        raise CheckpointError(
            f"{name} lacks {', '.join(lacking)}: `pose-train publish` did not write it"
        )
    return Path(folder)
