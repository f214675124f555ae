"""A config for a user's own file, with the reasons for its numbers as comments."""

import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from torch import nn

from pose_backbones import PoseOutput, create_model, list_models
from pose_data import COCO, DatasetError, Persons, Skeleton, load_coco
from pose_data.formats.foreign import foreign
from pose_data.formats.json import read_json
from pose_data.images.depth import MOST, measure_depth
from pose_data.infer import DEFAULT_SIGMA
from pose_data.sides import names_a_side
from pose_data.skeleton import SKELETONS
from pose_train.config.schema import ConfigError, Model
from pose_train.inference.weights import FEW, zoo_row
from pose_train.recipes.data import quiet_loaders
from pose_train.words import counted

# Where images are, beside `annotations/NAME.json` or `NAME.json`, in words that go by many names.
_FOLDERS = ("{split}", "images/{split}", "images", "train2017", "val2017", ".")
_STEPS = 40_000  # optimizer steps that a small set gets; COCO's recipe is 60 000 of 512 persons
_SCRATCH_STEPS = 6_000  # that a small network needs from scratch, however small the set is
_SQUARE = (256, 256)  # an input that every network takes
# Networks for few instances or no GPU, by the name that --model takes: model.name and its options.
SMALL_MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "hrnet_small": (
        "hrnet",
        {"width": 16, "stem_channels": 24, "num_modules": [1, 1, 1], "num_blocks": 1},
    ),
}


def starter_config(
    annotations: Path,
    images: Path | None = None,
    val: Path | None = None,
    val_images: Path | None = None,
    *,
    model: str | None = None,
    input_size: tuple[int, int] | None = None,
    categories: Sequence[str] | None = None,
) -> str:
    """Return a complete config, as YAML, that trains `model` on a COCO-format file.

    model: one of pose_backbones, or of SMALL_MODELS; None is hrnet_w32. Where the zoo has weights
    of it, training starts from these. The skeleton comes from the file's `categories`, of which
    `categories` chooses by name or id; input size, sigma, batch and schedule from what is in it.
    Raises ConfigError and DatasetError.
    """
    model = model or "hrnet_w32"
    if model not in SMALL_MODELS and model not in list_models():
        known = [*SMALL_MODELS, *list_models()]
        close = difflib.get_close_matches(model, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
        raise ConfigError(f"--model {model}: {hint}")
    if val is None and val_images is not None:
        raise ConfigError("--val-images belongs to --val, which is not given")
    images = images or _find_images(annotations, "--images")
    chosen = None if categories is None else [int(c) if c.isdecimal() else c for c in categories]
    train = load_coco(annotations, images, categories=chosen)
    if not len(train):
        raise ConfigError(
            f"{annotations} holds nothing to train on: no labelled keypoints in a box"
        )
    paths = [annotations, images, annotations, images]
    if val is not None:
        paths[2:] = val, val_images or _find_images(val, "--val-images", images)
        with quiet_loaders():  # its notes would repeat those of the other file
            other = load_coco(*paths[2:], categories=chosen).skeleton
        if other.keypoints != train.skeleton.keypoints:
            raise ConfigError(f"{val} has other keypoints than {annotations}")
    root = Path(os.path.commonpath([path.resolve().parent for path in paths]))
    names = [os.path.relpath(path.resolve(), root) for path in paths]
    network = _network(model, train, input_size)
    lines = [
        *_header(annotations, train, model),
        *_data_lines(root, names, chosen),
        *_depth_lines(train, images),
        *_skeleton_lines(train.skeleton),
        *_model_lines(train, model, network),
        *_train_lines(train, model, network.is_bottomup),
    ]
    return "\n".join(line for line in lines if line) + "\n"


def _find_images(annotations: Path, option: str, known: Path | None = None) -> Path:
    """Return the folder that holds a file's images: where they usually are, or a known one."""
    if what := foreign(annotations):
        raise DatasetError(what)
    content = read_json(annotations)
    try:
        name = str(content["images"][0]["file_name"])
    except (KeyError, IndexError, TypeError):
        raise ConfigError(
            f"{annotations} is no COCO annotation file with images; see `pose-data check`"
        ) from None
    split = annotations.stem.rpartition("_")[2]
    parents = annotations.resolve().parents[:3]  # `pose-data split` may have gone one down
    usual = [parent / each.format(split=split) for parent in parents for each in _FOLDERS]
    usual += [known] if known else []
    usual += [child for parent in parents for child in sorted(parent.iterdir()) if child.is_dir()]
    for folder in usual:
        if (folder / name).is_file():
            return folder
    raise ConfigError(f"{name} is in no folder near {annotations}: give {option}")


class _Network(NamedTuple):
    """A network and its input: the name and options of model.*, sizes (w, h)."""

    name: str
    options: dict[str, Any]
    input_size: tuple[int, int]
    heatmap_sizes: list[tuple[int, int]]
    is_bottomup: bool


def _network(model: str, train: Persons, input_size: tuple[int, int] | None) -> _Network:
    """Choose the input of a network; the sizes of its maps are found by shapes alone.

    Without input_size: top-down, by the shape of the boxes, or a square where the network does not
    take that. Raises ConfigError for a size that it does not take.
    """
    if input_size and min(input_size) < 1:
        raise ConfigError(f"--input-size must be above 0, got {input_size[0]} {input_size[1]}")
    name, options = SMALL_MODELS.get(model, (model, {}))
    with torch.device("meta"):
        net = create_model(name, num_keypoints=train.skeleton.num_keypoints, **options).eval()
    is_bottomup = bool(_output(net, _SQUARE).tags)
    sizes = [(512, 512)] if is_bottomup else [_usual_size(train, model in SMALL_MODELS), _SQUARE]
    for w, h in [input_size] if input_size else sizes:
        try:
            heatmaps = [(maps.shape[3], maps.shape[2]) for maps in _output(net, (w, h)).heatmaps]
        except ValueError as error:
            reason = error
            continue
        if w % heatmaps[-1][0] or h % heatmaps[-1][1]:
            raise ConfigError(f"--input-size {w} {h} is no multiple of {model}'s heatmaps")
        sizes = list(dict.fromkeys(heatmaps)) if is_bottomup else heatmaps[-1:]
        return _Network(name, options, (w, h), sizes, is_bottomup)
    raise ConfigError(f"--input-size: {reason}")


def _output(net: nn.Module, size: tuple[int, int]) -> PoseOutput:
    """Return the maps of an image on the meta device, which have shapes and no values."""
    with torch.inference_mode():
        output: PoseOutput = net(torch.zeros(1, 3, size[1], size[0], device="meta"))
    return output


def _usual_size(train: Persons, is_small: bool) -> tuple[int, int]:
    """Return 192x256 for upright boxes, 256x192 for lying ones, else a square; half if small."""
    sides = train.bbox_xyxy[:, 2:] - train.bbox_xyxy[:, :2]
    ratio = float(np.median(sides[:, 0] / np.maximum(sides[:, 1], 1)))
    w, h = _SQUARE if 0.87 <= ratio <= 1.15 else (192, 256) if ratio < 1 else (256, 192)
    return (w // 2, h // 2) if is_small else (w, h)


def _header(annotations: Path, train: Persons, model: str) -> list[str]:
    names = train.skeleton.keypoints
    return [
        f"# {model}; {annotations.name}: {len(train)} {train.noun}, {len(train.image_ids)} images.",
        "# pose-train check my.yaml, then pose-train run my.yaml",
        "#",
        _wrapped(f"{counted(len(names), 'keypoint')}: {', '.join(names)}.".split(), "#", "#  "),
        "# Names and links come from the file's `categories`.",
    ]


def _data_lines(root: Path, names: list[str], categories: list[str | int] | None) -> list[str]:
    train, val = ({"annotations": names[i], "images": names[i + 1]} for i in (0, 2))
    aside = (
        "Nothing is kept aside: the AP shows how well the set is fitted, not more. Make two files "
        "with `pose-data split`, and name the second one here."
    )
    return [
        "data:",
        f"  root: {_flow(str(root))}",
        f"  train: {_flow(train)}",
        f"  val: {_flow(val)}",
        _comment(aside) if train == val else "",
        "" if categories is None else f"  categories: {_flow(categories)}",
    ]


def _depth_lines(train: Persons, images: Path) -> list[str]:
    """Return data.bits where 16-bit images use fewer bits."""
    depth = measure_depth([images / train.file_names[i] for i in np.unique(train.image_index)])
    if depth.bits == MOST:
        return []
    found = f"{depth.deep} of {depth.looked_at} images looked at have 16 bits a channel"
    return [f"  # {found}, with values up to {depth.highest:,}.", f"  bits: {depth.bits}"]


def _skeleton_lines(skeleton: Skeleton) -> list[str]:
    """Return the pairs that the names tell, where a person can correct them.

    Where a name is not one of COCO's, a comment shows how to give its sigma.
    """
    names, flips = skeleton.keypoints, skeleton.flip_indices
    lone = [name for i, name in enumerate(names) if flips[i] == i and names_a_side(name)]
    single = f"Without a partner: {', '.join(lone)}.".split()
    pairs = [f"{_flow([names[a], names[b]])}," for a, b in skeleton.flip_pairs]
    flow = _wrapped(pairs, "  flip_pairs: [", "   ").replace("[ ", "[", 1).removesuffix(",")
    own = [name for name in names if name not in COCO.keypoints and skeleton.name not in SKELETONS]
    sigmas = "How exactly a keypoint can be annotated, for AP (`pose-eval sigmas` estimates it): "
    sigmas += f"{DEFAULT_SIGMA} for other names than COCO's. sigmas: "
    return [
        "  # What a mirrored image exchanges, by the names; correct it where they mislead.",
        _wrapped(single, "  #", "  #  ") if lone else "",
        f"{flow}]",
        _comment(sigmas + _flow({own[0]: DEFAULT_SIGMA})) if own else "",
    ]


def _model_lines(train: Persons, model: str, network: _Network) -> list[str]:
    """Return the network and what training starts from: weights of the zoo, if it has some."""
    name, options, size, heatmaps, is_bottomup = network
    row, few = zoo_row(Model(model, size)), ""
    if len(train) < FEW and model not in SMALL_MODELS:
        few = f", for which {len(train)} {train.noun} are few: --model hrnet_small needs fewer"
    scratch = (
        f"There are no published weights of {model}: it is trained from scratch{few}. To start "
        "from another training of it: weights: FILE, reinit_head: true."
    )
    published = (
        f"It starts from published weights; `pose-train zoo fetch {row}` downloads them. Without "
        f"these two lines it is trained from scratch{few}."
    )
    sizes, sigma = [[*each] for each in heatmaps], 3.0 if min(size) >= 288 else 2.0
    return [
        f"recipe: {'bottomup' if is_bottomup else 'topdown'}",
        "model:",
        f"  name: {name}",
        f"  options: {_flow(options)}" if options else "",
        f"  input_size: {[*size]}",
        f"  heatmap_sizes: {sizes}" if is_bottomup else f"  heatmap_size: {sizes[0]}",
        _comment(published if row else scratch),
        f"  weights: {row}" if row else "",
        "  reinit_head: true  # a new last layer where keypoints differ" if row else "",
        f"codec: {{sigma: {2.0 if is_bottomup else sigma}}}  # of the Gaussians, in heatmap pixels",
    ]


def _train_lines(train: Persons, model: str, is_bottomup: bool) -> list[str]:
    """Return the schedule, by the number of samples, and the evaluation."""
    skeleton, is_small = train.skeleton, model in SMALL_MODELS
    samples = len(np.unique(train.image_index)) if is_bottomup else len(train)
    batch = 8 if is_bottomup else max(2, min(32, samples // 8))
    per_epoch = -(-samples // batch)
    epochs = max(20, min(210, _STEPS // per_epoch))
    if is_small:  # it sees few instances more often, and costs little
        epochs = max(epochs, _SCRATCH_STEPS // per_epoch)
    lr, base = ("1.5e-3", 192) if is_bottomup else ("5e-4", 512)
    flips = bool(skeleton.flip_pairs) or skeleton.num_keypoints == 1
    half_body = 0.3 if skeleton.upper_body and skeleton.lower_body else 0.0
    augment = (
        f"  augment: {{flip_prob: {0.5 if flips else 0.0}, half_body_prob: {half_body}, "
        "scale: 0.5, rotate: 80.0}"
    )
    scene = "" if flips else "  scene: {flip_prob: 0.0}"
    unknown = "false  # no keypoint has a mirror image: not known what a flip does"
    return [
        "train:",
        f"  epochs: {epochs}",
        f"  batch_size: {batch}",
        "  lr: 2e-3" if is_small else f"  lr: {lr}  # Adam's, for any batch; published for {base}",
        f"  lr_steps: [{round(epochs * 0.8)}, {round(epochs * 0.95)}]",
        f"  warmup_steps: {min(500, max(10, epochs * per_epoch // 20))}",
        "  num_workers: 2",
        scene if is_bottomup else augment,
        "eval:",
        f"  flip_test: {'true' if flips else unknown}",
        f"  every: {max(1, epochs // 10)}",
        f"  batch_size: {batch if is_bottomup else 32}",
        "" if is_bottomup else "  boxes: gt  # or detections, with data.detections.file",
    ]


def _flow(value: Any) -> str:
    """Return a value as YAML on one line."""
    flow = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, width=1000, allow_unicode=True
    )
    return flow.removesuffix("...\n").strip()


def _comment(text: str) -> str:
    return _wrapped(text.split(), "  #", "  #")


def _wrapped(words: Sequence[str], start: str, more: str) -> str:
    """Put words on lines, the first of which begins with `start`, the others with `more`."""
    lines = [start]
    for word in words:
        if len(lines[-1]) + len(word) > 98:
            lines.append(more)
        lines[-1] += f" {word}"
    return "\n".join(lines)
