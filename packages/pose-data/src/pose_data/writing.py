"""Write files whole or not at all."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from pose_data.errors import DatasetError


def write_json(path: Path, content: Any) -> None:
    """Write compact JSON, under a temporary name first; raises DatasetError."""
    write_bytes(path, json.dumps(content, separators=(",", ":")).encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file under a temporary name and rename it, so that no half file is ever seen."""
    scratch = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(scratch, 0o644)
        os.replace(scratch, path)
    except OSError as error:
        raise DatasetError(f"cannot write {path}: {error.strerror}") from error
    finally:  # Ctrl-C too leaves nothing
        if scratch is not None:
            Path(scratch).unlink(missing_ok=True)
