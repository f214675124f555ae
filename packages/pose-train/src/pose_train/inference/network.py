"""What a network is to those who use it: how its input is made and its maps are read.

Nothing here imports torch. `forward.py` and `onnx.py` make backends; `topdown.py` and `bottomup.py`
find people with them.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

import pose_codecs
from pose_codecs import AssociativeEmbedding, MSRAHeatmap, UDPHeatmap
from pose_data import Skeleton
from pose_data.images.channels import Channels
from pose_data.images.headers import EXIFS, Exif
from pose_data.images.warp import WARPS, Warp
from pose_data.samples.topdown import PADDING
from pose_train.config.schema import RunError

Codec = MSRAHeatmap | UDPHeatmap | AssociativeEmbedding
Size = tuple[int, int]  # (w, h)
Contexts = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Usage:
    """What prediction needs to know of a network besides its weights.

    input_size: of the crops; bottom-up, its short side is the one that images are resized to.
    codec: turns its maps into keypoints, or into people. skeleton: of its K keypoints. warp: cuts
    crops, as in training. flip_test, multi_scale, batch_size: `eval`'s of the config, the last for
    whole images. weights: the file they are from, epoch: after how many epochs, where it says so.
    padding: of a box, as a factor. exif, bits: `data`'s. channels: 3 are RGB, 1 is grey.
    """

    input_size: Size
    codec: Codec
    skeleton: Skeleton
    warp: Warp
    exif: Exif
    flip_test: bool
    multi_scale: tuple[float, ...]
    batch_size: int
    weights: str
    epoch: int | None = None
    padding: float = PADDING
    channels: Channels = 3
    bits: int | None = None

    @property
    def is_bottomup(self) -> bool:
        return isinstance(self.codec, AssociativeEmbedding)

    @property
    def udp(self) -> bool:
        """Whether crops are UDP's, whose mirrored maps need no shift."""
        return isinstance(self.codec, UDPHeatmap)

    @property
    def origin(self) -> str:
        """Which weights these are."""
        return self.weights + ("" if self.epoch is None else f", after epoch {self.epoch}")


class Maps(NamedTuple):
    """What a network makes of a batch: heatmaps (B, K, h, w) and tags (B, T, h, w), coarse first.

    Arrays or tensors, float32. It has the names of pose_backbones.PoseOutput, which needs torch.
    """

    heatmaps: tuple[Any, ...]
    tags: tuple[Any, ...]


class Backend(NamedTuple):
    """What runs a network, and computes with its maps where they lie.

    run: (images, flip_test) -> the Maps of images uint8 (B, h, w, C), RGB or grey; with flip_test
    also those of the mirrored images. codecs: `pose_codecs` for arrays, `pose_codecs.torch` for
    tensors, whose functions have the same names. decode: (codec, heatmaps (K, h, w), tags
    (T, h, w, L)) -> the people of an image. fetch: maps -> the same as an array. mark: () -> what
    makes contexts, in any thread, for work on the maps of all runs so far: within one of them a GPU
    does it beside what it was given since, instead of after it.
    """

    run: Callable[[Any, bool], list[Maps]]
    codecs: ModuleType
    decode: Callable[[AssociativeEmbedding, Any, Any], pose_codecs.People]
    fetch: Callable[[Any], NDArray[np.float32]]
    mark: Callable[[], Contexts]


@dataclass(frozen=True)
class Network:
    """A network that is ready to predict.

    find: `find` of topdown.py or bottomup.py. origin: which weights these are. notes: what was
    chosen in loading it that a user should know. of_people: it wants boxes of people, in
    photographs, so that a detector of people is of use.
    """

    usage: Usage
    backend: Backend
    find: Callable[..., list[Any]]
    origin: str
    notes: tuple[str, ...] = ()
    of_people: bool = False

    def __repr__(self) -> str:
        return f"Network({self.usage.skeleton.num_keypoints} keypoints, {self.origin})"


@contextmanager
def finite_maps() -> Iterator[None]:
    """Decode within it: NaN in maps, of which a codec complains, is an error of the user's."""
    try:
        yield
    except ValueError as error:
        if "must be finite" not in str(error):
            raise
        raise RunError(
            "the network makes maps with NaN or infinite numbers, though its weights are finite: "
            "its training has diverged (a smaller train.lr), or 16 bits are too few (train.amp, "
            "export --half)"
        ) from error


# What is text in the metadata; everything else is JSON.
TEXTS = ("recipe", "warp", "exif", "weights")
NEEDED = (
    *("recipe", "input_size", "codec", "udp", "skeleton", "warp", "exif", "padding"),
    *("channels", "bits", "flip_test", "multi_scale", "batch_size", "weights", "epoch"),
)


def to_metadata(usage: Usage, version: str) -> dict[str, str]:
    """Return a usage as text for a file's metadata, and the version of pose-train that wrote it.

    `keypoints`, `flip_indices` and `links` repeat what is in `skeleton`, for programs that want no
    more of it.
    """
    skeleton = usage.skeleton
    content = {
        "recipe": "bottomup" if usage.is_bottomup else "topdown",
        "input_size": usage.input_size,
        "codec": dataclasses.asdict(usage.codec),
        "udp": usage.udp,
        "skeleton": dataclasses.asdict(skeleton),
        "keypoints": skeleton.keypoints,
        "flip_indices": skeleton.flip_indices,
        "links": skeleton.links,
        "warp": usage.warp,
        "exif": usage.exif,
        "padding": usage.padding,
        "channels": usage.channels,
        "bits": usage.bits,
        "flip_test": usage.flip_test,
        "multi_scale": usage.multi_scale,
        "batch_size": usage.batch_size,
        "weights": usage.weights,
        "epoch": usage.epoch,
    }
    facts = {key: value if key in TEXTS else json.dumps(value) for key, value in content.items()}
    return {"pose_train": version, **facts}  # type: ignore[dict-item]  # texts are text


UNREADABLE = (OverflowError, RecursionError)  # numbers and nesting that JSON has and Python not


def from_metadata(facts: Mapping[str, str], name: str) -> Usage:
    """Return the usage that to_metadata wrote into the file `name`.

    Raises RunError where keys are missing, as in files of others and of older versions (which did
    not write what cannot be told from the rest), and where values are not what was written.
    """
    if lacking := [key for key in NEEDED if key not in facts]:
        advice = "export it with `pose-train export`"
        if "recipe" in facts and "codec" in facts:
            advice = "an older pose-train wrote it: export it again"
        raise RunError(f"{name}: its metadata lacks {', '.join(lacking)}; {advice}")
    try:
        return _usage({k: facts[k] if k in TEXTS else json.loads(facts[k]) for k in NEEDED})
    except (
        AttributeError,
        KeyError,
        OverflowError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise RunError(f"{name}: its metadata is damaged ({error})") from error


def _usage(content: Mapping[str, Any]) -> Usage:
    for key, allowed in {
        "recipe": ("topdown", "bottomup"),
        "warp": WARPS,
        "exif": EXIFS,
        "channels": get_args(Channels),
    }.items():
        if content[key] not in allowed:
            raise ValueError(
                f"{key} must be one of {', '.join(map(str, allowed))}, got {content[key]}"
            )
    create: type[Codec] = UDPHeatmap if content["udp"] else MSRAHeatmap
    if content["recipe"] == "bottomup":
        create = AssociativeEmbedding
    w, h = content["input_size"]
    epoch, bits = content["epoch"], content["bits"]
    return Usage(
        input_size=(int(w), int(h)),
        codec=create(**{key: _tuples(value) for key, value in content["codec"].items()}),
        skeleton=skeleton_from_plain(content["skeleton"]),
        warp=content["warp"],
        exif=content["exif"],
        padding=float(content["padding"]),
        flip_test=bool(content["flip_test"]),
        multi_scale=tuple(map(float, content["multi_scale"])),
        batch_size=int(content["batch_size"]),
        weights=content["weights"],
        epoch=None if epoch is None else int(epoch),
        channels=content["channels"],
        bits=None if bits is None else int(bits),
    )


def _tuples(value: Any) -> Any:
    """Return a value with tuples for its lists, which is what JSON makes of tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def skeleton_from_plain(content: dict[str, Any]) -> Skeleton:
    """Return a skeleton from what dataclasses.asdict made of it, lists for tuples allowed."""
    pairs = ("flip_pairs", "links")
    return Skeleton(
        name=str(content["name"]),
        keypoints=tuple(map(str, content["keypoints"])),
        upper_body=tuple(map(int, content["upper_body"])),
        lower_body=tuple(map(int, content["lower_body"])),
        sigmas=tuple(map(float, content["sigmas"])),
        **{key: tuple((int(a), int(b)) for a, b in content[key]) for key in pairs},
    )
