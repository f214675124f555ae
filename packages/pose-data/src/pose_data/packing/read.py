"""Read packs: find the samples of a training set in one, and decode the part that is needed."""

import mmap
import os
import types
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from pose_data.errors import DatasetError, reading
from pose_data.images.channels import Channels
from pose_data.images.decode import Decoded, Image, decode_picture
from pose_data.images.headers import Exif
from pose_data.images.tiles import Box, join_tiles
from pose_data.opencv import cv2
from pose_data.packing.reach import (
    Reach,
    Size,
    extremes,
    reach_of_images,
    reach_of_persons,
)
from pose_data.persons import Persons, sources_of
from pose_data.samples.crop import Augmentation
from pose_data.samples.scene import SceneAugmentation

FORMAT, VERSION = "pose-data pack", 1
ABOUT = "pack.json"
Rows = NDArray[np.int64]
Key = tuple[int, int, int]  # number of its source, id of its annotation (or image), image_key

# What the index of a shard says of each sample, and its shape.
COLUMNS: dict[str, tuple[int, ...]] = {
    "source": (),
    "id": (),
    "image": (),
    "box": (4,),
    "size": (2,),
    "offset": (),
    "bytes": (),
    "crc32": (),
}
_KEYS: dict[str, type | types.UnionType] = {  # of pack.json
    "samples": str,
    "count": int,
    "per_shard": int,
    "encoding": str,
    "input_size": list,
    "extremes": dict,
    "exif": str,
    "bits": int | None,
    "sources": list,
    "command": str,
}


@dataclass(frozen=True, repr=False)
class Pack:
    """A complete pack, as `open_pack` returns it; README.md describes its files.

    about: the content of pack.json. columns: what the shards' indices say of all samples, in order,
    each (N,) or (N, ...). A copy for another process opens the shards anew.
    """

    folder: Path
    about: Mapping[str, Any]
    columns: Mapping[str, Rows]
    _maps: dict[int, mmap.mmap] = field(default_factory=dict, init=False, compare=False)
    _is_checked: NDArray[np.bool_] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_is_checked", np.zeros(len(self), bool))

    def __len__(self) -> int:
        return len(self.columns["id"])

    def __repr__(self) -> str:
        return f"<Pack {self.folder}: {len(self)} {self.about['samples']}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Pack, (self.folder, self.about, self.columns)

    def rows_of_persons(
        self, persons: Persons, input_size: Size, augment: Augmentation | None
    ) -> Rows:
        """Return the row of each person (N,) in this pack; see `_rows` for what is refused."""
        keys = keys_of_persons(persons)
        reach = reach_of_persons(persons, input_size, augment)
        return self._rows("persons", persons, keys, reach, input_size, extremes(augment))

    def rows_of_images(
        self, persons: Persons, images: Rows, input_size: Size, augment: SceneAugmentation
    ) -> Rows:
        """Return the row of each image in this pack; images (M,) are rows of those of persons."""
        keys = keys_of_images(persons, images)
        reach = reach_of_images(persons, images, input_size, augment)
        return self._rows("images", persons, keys, reach, input_size, extremes(augment))

    def check_reading(self, exif: Exif, bits: int | None) -> None:
        """Raise DatasetError where images would be read in another way than for this pack."""
        for name, value in {"exif": exif, "bits": bits}.items():
            if value != (packed := self.about[name]):
                raise DatasetError(
                    f"{self.folder} was packed with {name} {packed}, not {value}: pack again, or "
                    f"train with {name} {packed}"
                )

    def read(self, row: int, box: Box | None = None, channels: Channels = 3) -> Decoded:
        """Return what is stored of a sample, or the part that holds a box in pixels of its image.

        Pixels are RGB with an unused fourth channel (h, w, 4), or grey (h, w). Raises DatasetError
        that names shard and sample.
        """
        data, (width, height) = self._bytes(row), self.columns["size"][row].tolist()
        left, top, right, bottom = self.columns["box"][row].tolist()
        step = (right - left) / width, (bottom - top) / height
        part = (0, 0, width, height)
        if box is not None:
            x_range = _part(box[0] - left, box[2] - left, step[0], width)
            y_range = _part(box[1] - top, box[3] - top, step[1], height)
            part = x_range[0], y_range[0], x_range[1], y_range[1]
        if self.about["encoding"] == "raw":
            stored = data[-3 * width * height :].reshape(height, width, 3)
            pixels: Image = stored[part[1] : part[3], part[0] : part[2]]
            code = cv2.COLOR_RGB2GRAY if channels == 1 else cv2.COLOR_RGB2RGBA
            pixels = cv2.cvtColor(pixels, code)  # type: ignore[assignment]
            x, y = part[:2]
        else:
            pixels, (x, y) = self._decode(row, data, part, step == (1, 1))
            code = cv2.COLOR_BGR2GRAY if channels == 1 else cv2.COLOR_BGR2RGBA
            pixels = cv2.cvtColor(pixels[: height - y, : width - x], code)  # type: ignore[assignment]
        return Decoded(pixels, step, (left + x * step[0], top + y * step[1]))

    def _decode(
        self, row: int, data: Image, part: Box, is_full_size: bool
    ) -> tuple[Image, tuple[int, int]]:
        """Decode the part of a JPEG that holds a box; return it, BGR, and where it begins."""
        try:
            joined, begin = join_tiles(data, part)
        except (ValueError, IndexError) as error:
            raise DatasetError(f"{self.where(row)} cannot be decoded: {error}") from error
        if joined is data:  # as any other file, perhaps to be turned upright
            left, top, right, bottom = self.columns["box"][row].tolist()
            size = (right - left, bottom - top) if is_full_size else None
            exif = self.about["exif"]
            return decode_picture(data.tobytes(), self.where(row), size, exif=exif).pixels, begin
        pixels = cv2.imdecode(joined, cv2.IMREAD_COLOR)
        if pixels is None:
            raise DatasetError(f"{self.where(row)} cannot be decoded")
        return pixels, begin  # type: ignore[return-value]

    def _bytes(self, row: int) -> Image:
        """Return the file of a sample; its checksum is verified once in each process."""
        shard = row // self.about["per_shard"]
        if shard not in self._maps:
            try:
                with (self.folder / shard_name(shard)).open("rb") as file:
                    self._maps[shard] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError) as error:  # gone, or empty, since it was opened
                raise DatasetError(f"{self.where(row)} cannot be read: {error}") from error
        length, offset = int(self.columns["bytes"][row]), int(self.columns["offset"][row])
        if not length:
            raise DatasetError(f"{self.where(row)}: its image could not be read when it was packed")
        data = np.frombuffer(self._maps[shard], np.uint8)[max(offset, 0) :][:length]
        if not self._is_checked[row]:
            if zlib.crc32(data.data) != self.columns["crc32"][row]:
                raise DatasetError(
                    f"{self.where(row)}: its bytes are not those that were packed; copy the file "
                    f"again, or remove it and make it again with: {self.about['command']}"
                )
            self._is_checked[row] = True
        return data

    def where(self, row: int) -> str:
        """Name a sample for messages: its shard, its name there, and what it is of."""
        kind = "annotation" if self.about["samples"] == "persons" else "image"
        source = self.about["sources"][self.columns["source"][row]]
        shard = self.folder / shard_name(row // self.about["per_shard"])
        return f"{shard} sample {row:08d} ({source} {kind} id {self.columns['id'][row]})"

    def _rows(
        self,
        samples: str,
        persons: Persons,
        keys: list[Key],
        reach: Reach,
        input_size: Size,
        extreme: Mapping[str, Any],
    ) -> Rows:
        """Return the rows of samples by their keys.

        Raises DatasetError where they are not in the pack, or not enough of their images is: for an
        augmentation that reaches farther, a larger input, or boxes and keypoints that have moved.
        """
        about = self.about
        again = f"; pack again, into another folder, as with: {about['command']}"
        if about["samples"] != samples:
            text = f"{self.folder} holds {about['samples']}, and {samples} are wanted"
            raise DatasetError(f"{text}: top-down trains on persons, bottom-up on images{again}")
        names = unique_names(persons)
        number = {name: place for place, name in enumerate(about["sources"])}
        if missing := [name for name in names if name not in number]:
            text = f"{self.folder} was made of {', '.join(number)} and has nothing of {missing[0]}"
            raise DatasetError(text + again)
        columns = (self.columns[name].tolist() for name in ("source", "id", "image"))
        place = {key: row for row, key in enumerate(zip(*columns, strict=True))}
        found = [place.get((number[names[source]], *rest), -1) for source, *rest in keys]
        rows = np.array(found, np.int64)
        kind = "annotation" if samples == "persons" else "image"
        if (rows < 0).any():
            source, id_, _ = keys[int(np.argmin(rows))]
            text = f"{(rows < 0).sum()} of {len(rows)} {samples} are not in {self.folder}"
            raise DatasetError(f"{text}, such as {names[source]} {kind} id {id_}{again}")
        boxes, sizes = self.columns["box"][rows], self.columns["size"][rows]
        steps = ((boxes[:, 2:] - boxes[:, :2]) / sizes).max(axis=1)
        seen = reach.at_steps(steps)
        is_short = (seen[:, :2] < boxes[:, :2]) | (seen[:, 2:] > boxes[:, 2:])
        is_short |= (steps > reach.steps + 1e-6)[:, None]
        if is_short.any():
            source, id_, _ = keys[int(np.argmax(is_short.any(axis=1)))]
            text = f"{self.folder} holds less of {names[source]} {kind} id {id_} than training sees"
            why = self._why(input_size, extreme)
            raise DatasetError(f"{text}: {why}; ask for less{again.replace('; ', ', or ', 1)}")
        return rows

    def _why(self, input_size: Size, extreme: Mapping[str, Any]) -> str:
        """Say why a pack does not hold enough: what is larger now than when it was made."""
        packed, wider = self.about["extremes"], []
        if tuple(self.about["input_size"]) != tuple(input_size):
            wider.append(
                f"an input of {_wh(input_size)}, packed for {_wh(self.about['input_size'])}"
            )
        for name, value in extreme.items():
            before = packed.get(name)
            if (value != before) if isinstance(value, str) else (value > before):
                wider.append(f"augmentation {name} {_short(value)}, packed for {_short(before)}")
        return "; ".join(wider) or "its box or its keypoints are others than when it was packed"


def open_pack(folder: Path | str) -> Pack:
    """Open a pack; raises DatasetError for one that is incomplete, cut short or of another version.

    Its shards are not read here: a sample is verified when a process first reads it.
    """
    folder = Path(folder)
    about = read_about(folder)
    count, per_shard = about["count"], about["per_shard"]
    shards = range(-(-count // per_shard))
    missing = [shard for shard in shards if not index_path(folder, shard).is_file()]
    if missing:
        raise DatasetError(
            f"{folder} is not complete: {len(missing)} of {len(shards)} shards are missing, such "
            f"as {shard_name(missing[0])}; finish it with: {about['command']}"
        )
    indices = [
        read_index(folder, shard, min(per_shard, count - shard * per_shard)) for shard in shards
    ]
    for shard, index in enumerate(indices):
        path = folder / shard_name(shard)
        size = path.stat().st_size if path.is_file() else 0
        if size != index["tar_bytes"]:
            raise DatasetError(
                f"{path} has {size} bytes, its index says {index['tar_bytes']}: copy it again, or "
                f"make it again with: {about['command']}"
            )
    columns = {name: np.concatenate([each[name] for each in indices]) for name in COLUMNS}
    return Pack(folder, about, columns)


def read_about(folder: Path) -> dict[str, Any]:
    """Return what pack.json says; raises DatasetError."""
    path = folder / ABOUT
    if not path.is_file():
        raise DatasetError(f"{folder} is no pack: it has no {ABOUT}")
    with reading(path):
        about: dict[str, Any] = orjson.loads(path.read_bytes())
        found = about["format"], about["version"]
        if found == (FORMAT, VERSION):
            if wrong := [name for name, kind in _KEYS.items() if not isinstance(about[name], kind)]:
                raise DatasetError(f"{wrong[0]} is {about[wrong[0]]!r}")
            if min(about["count"], about["per_shard"]) < 1:
                raise DatasetError("count and per_shard must be at least 1")
            return about
    text = f"{path} is of {found[0]!r}, version {found[1]}"
    raise DatasetError(f"{text}; this program reads {FORMAT!r}, {VERSION}")


def read_index(folder: Path, shard: int, count: int) -> dict[str, Any]:
    """Return the index of a shard of `count` samples, columns as arrays; raises DatasetError."""
    path = index_path(folder, shard)
    with reading(f"{path} is damaged; remove it and pack again"):
        index: dict[str, Any] = orjson.loads(path.read_bytes())
        columns = {
            name: np.array(index[name], np.int64).reshape(count, *shape)
            for name, shape in COLUMNS.items()
        }
        return columns | {"tar_bytes": int(index["tar_bytes"])}


def shard_name(shard: int) -> str:
    """Return the name of the tar file of a shard."""
    return f"pack-{shard:05d}.tar"


def index_path(folder: Path, shard: int) -> Path:
    """Return where the index of a shard is."""
    return folder / f"pack-{shard:05d}.json"


def unique_names(persons: Persons) -> list[str]:
    """Return the names of the annotation files of persons; equal ones are numbered."""
    names: list[str] = []
    for source in sources_of(persons):
        number = 1 + sum(name.partition(" (")[0] == source.name for name in names)
        names.append(source.name if number == 1 else f"{source.name} ({number})")
    return names


def keys_of_persons(persons: Persons) -> list[Key]:
    """Return what tells persons apart, whatever else is in their files."""
    images = _image_keys(persons)[persons.image_index]
    columns = persons.source_index, persons.ids, images
    return list(zip(*(each.tolist() for each in columns), strict=True))


def keys_of_images(persons: Persons, images: Rows) -> list[Key]:
    """Return what tells images apart; images (M,) are rows of those of persons."""
    counts = [source.num_images for source in sources_of(persons)]
    sources = np.repeat(np.arange(len(counts)), counts)
    columns = sources[images], persons.image_ids[images], _image_keys(persons)[images]
    return list(zip(*(each.tolist() for each in columns), strict=True))


def _image_keys(persons: Persons) -> Rows:
    """Return a checksum of each image's name and size: ids alone may be of another data set."""
    rows = zip(persons.file_names, persons.image_sizes.tolist(), strict=True)
    texts = (f"{os.path.basename(str(name))} {w}x{h}" for name, (w, h) in rows)
    return np.array([zlib.crc32(text.encode()) for text in texts], np.int64)


def _part(first: float, last: float, step: float, count: int) -> tuple[int, int]:
    """Return the range of stored pixels, of `count`, that hold a range of the image's."""
    begin = min(max(int(first / step) - 1, 0), count - 1)
    return begin, max(min(int(last / step) + 2, count), begin + 1)


def _wh(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
