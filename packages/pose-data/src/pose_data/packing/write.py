"""Write packs: shard after shard, each whole or not at all, so that a stopped one can go on."""

import hashlib
import io
import shlex
import sys
import tarfile
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray

from pose_data.errors import DatasetError, note
from pose_data.images.decode import BrokenImages, check_choices, read_picture
from pose_data.images.headers import Exif
from pose_data.images.tiles import encode_tiled
from pose_data.opencv import cv2
from pose_data.packing.reach import Reach, Size, extremes, reach_of_images, reach_of_persons
from pose_data.packing.read import (
    ABOUT,
    COLUMNS,
    FORMAT,
    VERSION,
    Key,
    Pack,
    index_path,
    keys_of_images,
    keys_of_persons,
    open_pack,
    read_about,
    read_index,
    shard_name,
    unique_names,
)
from pose_data.persons import Persons
from pose_data.samples.crop import Augmentation
from pose_data.samples.scene import SceneAugmentation
from pose_data.writing import replacing, write_bytes

Encoding = Literal["jpeg", "raw"]
ENCODINGS: tuple[Encoding, ...] = ("jpeg", "raw")
Image = NDArray[np.uint8]
Rows = NDArray[np.int64]

PER_SHARD = 4096
_TAR = tarfile.USTAR_FORMAT
_GRID = 16  # of blocks in JPEGs: what begins on it loses less by being encoded again
_FREE_KEYS = ("command",)  # of pack.json, which may differ where a pack goes on


@dataclass(frozen=True)
class _Plan:
    """What to write: the samples in order, their images, and what is kept of each."""

    persons: Persons
    about: dict[str, Any]
    keys: list[Key]
    images: Rows  # (N,) rows of the images of persons
    boxes: Rows  # (N, 4)
    sizes: Rows  # (N, 2) stored
    broken: BrokenImages
    lock: threading.Lock = field(default_factory=threading.Lock)
    stop: threading.Event = field(default_factory=threading.Event)


def pack(
    persons: Persons,
    out: Path | str,
    input_size: Size,
    augment: Augmentation | SceneAugmentation | None,
    *,
    encoding: Encoding = "jpeg",
    exif: Exif = "auto",
    bits: int | None = None,
    max_broken: int = 10,
    per_shard: int = PER_SHARD,
    workers: int = 1,
    command: str = "",
    progress: bool = False,
) -> Pack:
    """Write a pack into the folder `out`, or what is missing of it, and open it.

    A SceneAugmentation packs whole images, for `BottomUp`; an Augmentation, or None for crops as
    they are, packs persons, for `TopDown`. Of a person it keeps what its crops can show, of both at
    most the pixels that the input can: see `Reach`. Shards that are there already are kept, if they
    are of the same pack; the bytes written are the same each time, for any number of workers.

    encoding: "jpeg" is quality 95 with full chroma (whole images that are JPEGs and small enough
    stay as they are), "raw" is uncompressed. exif, bits, max_broken: as `TopDown` has them.
    workers: threads. command: what finishes the pack, for messages; this program's by default.
    progress: print a line after each shard.

    Raises DatasetError; also where `out` holds another pack.
    """
    if encoding not in ENCODINGS:
        raise ValueError(f"encoding must be one of {', '.join(ENCODINGS)}, got {encoding!r}")
    if per_shard < 1 or workers < 1:
        raise ValueError(f"per_shard and workers must be at least 1, got {per_shard}, {workers}")
    check_choices("cv2", "exact", exif, bits, 3)
    out, plan = Path(out), _plan(persons, input_size, augment, BrokenImages(max_broken))
    plan.about.update(encoding=encoding, exif=exif, bits=bits, per_shard=per_shard)
    plan.about["command"] = command or shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    _begin(out, plan.about)
    shards = range(-(-len(plan.keys) // per_shard))
    left = [shard for shard in shards if not _is_written(out, shard, plan)]
    with ThreadPoolExecutor(workers) as pool:
        started, written = time.monotonic(), 0
        jobs = [pool.submit(_write_shard, out, shard, plan) for shard in left]
        try:
            for done, job in enumerate(as_completed(jobs), 1):
                written += job.result()
                seconds = (time.monotonic() - started) / done * (len(left) - done)
                if progress:
                    note(
                        f"{len(shards) - len(left) + done} of {len(shards)} shards, "
                        f"{written / 1e6:.0f} MB written, about {seconds / 60:.0f} min left"
                    )
        finally:  # on an error, or Ctrl-C, the other threads stop, too
            plan.stop.set()
    return open_pack(out)


def _plan(
    persons: Persons,
    input_size: Size,
    augment: Augmentation | SceneAugmentation | None,
    broken: BrokenImages,
) -> _Plan:
    """Decide what is stored of each sample."""
    if isinstance(augment, SceneAugmentation):
        if persons.regions is None:
            raise DatasetError("persons have no regions: they are boxes, not annotations")
        images = np.unique(persons.regions.image_index)
        keys = keys_of_images(persons, images)
        reach = reach_of_images(persons, images, input_size, augment)
        boxes = reach.boxes
    else:
        images, keys = persons.image_index, keys_of_persons(persons)
        reach = reach_of_persons(persons, input_size, augment)
        boxes = _on_grid(reach)
    if not keys:
        raise DatasetError(f"{persons.annotation_file}: there is nothing to pack")
    sides = boxes[:, 2:] - boxes[:, :2]
    sizes = np.ceil(sides / reach.steps[:, None] - 1e-9).astype(np.int64)
    digest = hashlib.sha256(orjson.dumps(keys))
    digest.update(boxes.tobytes() + sizes.tobytes())
    about = {
        "format": FORMAT,
        "version": VERSION,
        "samples": "images" if isinstance(augment, SceneAugmentation) else "persons",
        "count": len(keys),
        "sources": unique_names(persons),
        "input_size": list(input_size),
        "extremes": extremes(augment),
        "sha256": digest.hexdigest(),  # of ids, boxes and sizes
    }
    return _Plan(persons, about, keys, images, boxes, sizes, broken)


def _on_grid(reach: Reach) -> Rows:
    """Return what is to be stored, as boxes on the grid of JPEG blocks."""
    boxes = reach.at_steps(reach.steps)
    low, high = boxes[:, :2] // _GRID, -(-boxes[:, 2:] // _GRID)
    return np.minimum(np.concatenate([low, high], axis=1) * _GRID, np.tile(reach.sizes, 2))


def _begin(out: Path, about: dict[str, Any]) -> None:
    """Write pack.json, or find that what is there is the same pack; remove what a kill left."""
    out.mkdir(parents=True, exist_ok=True)
    if not (out / ABOUT).exists():
        if any(out.iterdir()):
            raise DatasetError(f"{out} is not empty, and no pack; give a new folder")
        write_bytes(out / ABOUT, orjson.dumps(about, option=orjson.OPT_INDENT_2) + b"\n")
        return
    there = read_about(out)
    now = orjson.loads(orjson.dumps(about))
    other = [key for key in now if key not in _FREE_KEYS and there.get(key) != now[key]]
    if other:
        values = f"{other[0]} {there.get(other[0])} there, {now[other[0]]} now"
        if other[0] == "sha256":
            values = "annotations have changed"
        raise DatasetError(f"{out} holds another pack ({values}); give a new folder, or remove it")
    for left_over in out.glob(".pack*"):
        left_over.unlink()


def _is_written(out: Path, shard: int, plan: _Plan) -> bool:
    """Tell whether a shard is there, as long as its index says."""
    if not (index_path(out, shard).is_file() and (out / shard_name(shard)).is_file()):
        return False
    per_shard = plan.about["per_shard"]
    index = read_index(out, shard, min(per_shard, len(plan.keys) - shard * per_shard))
    return bool((out / shard_name(shard)).stat().st_size == index["tar_bytes"])


def _write_shard(out: Path, shard: int, plan: _Plan) -> int:
    """Write a shard, then its index; return its bytes."""
    path, first = out / shard_name(shard), shard * plan.about["per_shard"]
    index: dict[str, Any] = {name: [] for name in COLUMNS}
    suffix = "jpg" if plan.about["encoding"] == "jpeg" else "ppm"
    image, pixels = -1, None
    index_path(out, shard).unlink(missing_ok=True)
    try:
        with replacing(path) as file, tarfile.open(fileobj=file, mode="w", format=_TAR) as tar:
            for row in range(first, min(first + plan.about["per_shard"], len(plan.keys))):
                if plan.stop.is_set():
                    raise DatasetError(f"{path}: stopped")
                if image != plan.images[row]:
                    image = int(plan.images[row])
                    pixels = _read(plan, image)
                stored = b"" if pixels is None else _encode(plan, row, pixels)
                offset = tar.offset + tarfile.BLOCKSIZE  # behind its header
                _add(tar, f"{row:08d}.{suffix}", stored)
                _add(tar, f"{row:08d}.json", _labels(plan, row))
                entry = *plan.keys[row], plan.boxes[row].tolist(), plan.sizes[row].tolist()
                rest = offset, len(stored), zlib.crc32(stored)
                for name, value in zip(COLUMNS, (*entry, *rest), strict=True):
                    index[name].append(value)
        index["tar_bytes"] = path.stat().st_size
        write_bytes(index_path(out, shard), orjson.dumps(index))
    except OSError as error:
        raise DatasetError(f"cannot write {path}: {error.strerror}") from error
    return int(index["tar_bytes"])


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Add a file without times and owners, so that the same samples are the same bytes."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def _read(plan: _Plan, image: int) -> Image | None:
    """Return the pixels of an image, BGR; None where it cannot be read."""
    persons, about = plan.persons, plan.about
    path, (width, height) = _path(plan, image), persons.image_sizes[image].tolist()
    try:
        return read_picture(path, (width, height), 1, about["exif"], about["bits"]).pixels
    except DatasetError as error:
        where = f"{persons.file_of_image(image)} image id {persons.image_ids[image]}"
        with plan.lock:
            plan.broken.skip(path, DatasetError(f"{where}: {error}"))
        return None


def _path(plan: _Plan, image: int) -> Path:
    return plan.persons.image_dir / str(plan.persons.file_names[image])


def _encode(plan: _Plan, row: int, image: Image) -> bytes:
    """Return the file that is stored of a sample."""
    left, top, right, bottom = plan.boxes[row].tolist()
    width, height = plan.sizes[row].tolist()
    part = image[top:bottom, left:right]
    is_smaller = part.shape[:2] != (height, width)
    if is_smaller:
        part = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    if plan.about["encoding"] == "raw":
        head = f"P6\n{width} {height}\n255\n".encode()
        return head + cv2.cvtColor(part, cv2.COLOR_BGR2RGB).tobytes()
    if plan.about["samples"] == "images" and not is_smaller:
        data = _path(plan, int(plan.images[row])).read_bytes()
        if data[:2] == b"\xff\xd8":
            return data  # a JPEG as it is
    return encode_tiled(part)


def _labels(plan: _Plan, row: int) -> bytes:
    """Return what is known of a sample, for other readers: ours take it from the annotations."""
    persons, image, (source, id_, _) = plan.persons, int(plan.images[row]), plan.keys[row]
    labels: dict[str, Any] = {
        "annotations": plan.about["sources"][source],
        "image_id": persons.image_ids[image],
        "file_name": str(persons.file_names[image]),
        "image_size": persons.image_sizes[image],
        "box": plan.boxes[row],
    }
    if plan.about["samples"] == "persons":
        points = np.concatenate([persons.keypoints[row], persons.visible[row, :, None]], axis=1)
        labels |= {
            "id": id_,
            "category_id": persons.category_ids[row],
            "bbox_xyxy": persons.bbox_xyxy[row],
            "area": persons.area[row],
            "keypoints": points,
        }
    return orjson.dumps(labels, option=orjson.OPT_SERIALIZE_NUMPY)
