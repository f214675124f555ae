"""Files on the Hugging Face hub, in the hub's own cache; huggingface_hub is the extra `hub`.

It resumes, takes tokens, mirrors (HF_ENDPOINT) and offline mode (HF_HUB_OFFLINE) as everywhere.
"""

import errno
import os
import re
from http.client import responses
from pathlib import Path

from pose_backbones.names import CheckpointError
from pose_backbones.zoo import HubFile

INSTALL = "pip install 'pose-backbones[hub]'"


def hide_bars() -> None:
    """Have huggingface_hub show no progress; it asks once, when it is imported."""
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"


def hub_cache() -> Path | None:
    """Return the folder of the hub's cache; None without huggingface_hub."""
    try:
        from huggingface_hub.constants import HF_HUB_CACHE
    except ImportError:
        return None
    return Path(HF_HUB_CACHE)


def cached_file(file: HubFile) -> Path | None:
    """Return where a file is in the hub's cache; None if it is not, or without huggingface_hub."""
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    found = try_to_load_from_cache(file.repo, file.path, revision=file.revision)
    return Path(found) if isinstance(found, str) else None


def fetch_file(file: HubFile) -> Path:
    """Download a file into the hub's cache, verify its SHA-256 and return its path there.

    Where no SHA-256 is known, it is held against the one that the hub states. A file that fails is
    removed. Raises CheckpointError, whose message is the reason alone, and OSError for a full disk.
    """
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise CheckpointError(f"huggingface_hub is not installed: {INSTALL}") from None
    try:
        path = Path(hf_hub_download(file.repo, file.path, revision=file.revision))
    except Exception as error:  # of httpx, of requests, or its own, by its version
        if is_full_disk(error):
            raise
        raise CheckpointError(hub_error(error)) from error
    from pose_backbones.checkpoint_files import sha256  # and torch

    blob = path.resolve()
    # The cache names what it stores by its ETag, which is the SHA-256 of large files.
    stated = blob.name if re.fullmatch("[0-9a-f]{64}", blob.name) else None
    wanted = file.sha256 or stated
    digest = sha256(blob)
    if wanted not in (None, digest):
        path.unlink()
        blob.unlink(missing_ok=True)
        raise CheckpointError(
            f"it is damaged or another file: its SHA-256 is {digest}, not {wanted}"
        )
    return path


def is_full_disk(error: Exception) -> bool:
    """Return whether an error says that there is no space left."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def hub_error(error: Exception) -> str:
    """Return in one line why something on the hub could not be fetched or written."""
    cause = error.__cause__ or error
    response = getattr(cause, "response", None)
    if response is None:
        return f"{type(cause).__name__}: {str(cause).strip().partition(chr(10))[0]}"
    code = response.status_code
    advice = ""
    if code in (401, 403):
        advice = ": no such repository, or you must log in with `hf auth login` or HF_TOKEN"
    return f"HTTP {code} {responses.get(code, '')}{advice}"
