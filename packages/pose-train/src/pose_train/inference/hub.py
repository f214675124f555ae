"""Trained networks on the Hugging Face hub, by `hf://USER/NAME`; the extra `hub` is needed."""

import re
from pathlib import Path

from pose_backbones import CheckpointError
from pose_backbones.hub import hub_error
from pose_backbones.weights import is_offline
from pose_train.config.schema import ConfigError

PREFIX = "hf://"
# What a published network consists of, besides its model card.
CONFIG, SKELETON, PUBLISHED = "config.yaml", "skeleton.json", "model.safetensors"
INSTALL = "huggingface_hub is not installed: pip install 'pose-train[hub]'"


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
