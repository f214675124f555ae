"""How a network is used, and how a file exported from it says so: its metadata."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pose_codecs import AssociativeEmbedding, MSRAHeatmap, UDPHeatmap
from pose_data import Skeleton
from pose_data.images.channels import Channels
from pose_data.images.headers import EXIFS, Exif
from pose_data.images.warp import WARPS, Warp
from pose_data.samples.topdown import PADDING
from pose_train.config import RunError
from pose_train.skeletons import skeleton_from_plain

Codec = MSRAHeatmap | UDPHeatmap | AssociativeEmbedding
Size = tuple[int, int]  # (w, h)


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
        """Say which weights these are."""
        return self.weights + ("" if self.epoch is None else f", after epoch {self.epoch}")


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
    except (AttributeError, KeyError, TypeError, ValueError) as error:
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
