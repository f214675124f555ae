"""init: a config for a user's own file, with the reasons for its numbers as comments."""

import argparse
import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from pose_backbones import create_model, list_models
from pose_data import COCO, DatasetError, Persons, Skeleton, load_coco
from pose_data.formats.foreign import foreign
from pose_data.formats.json import read_json
from pose_data.images.depth import MOST, measure_depth
from pose_data.infer import DEFAULT_SIGMA
from pose_data.sides import names_a_side
from pose_data.skeleton import SKELETONS
from pose_train.config.schema import ConfigError, Model
from pose_train.inference.weights import FEW, zoo_row
from pose_train.mmpose.convert import config_from_mmpose
from pose_train.recipes.data import quiet_loaders
from pose_train.words import counted

# Where pictures lie beside `annotations/NAME.json` or `NAME.json`, in words that go by many names.
_FOLDERS = ("{split}", "images/{split}", "images", "train2017", "val2017", ".")
_STEPS = 40_000  # optimizer steps that a small set gets; COCO's recipe is 60 000 of 512 persons
_SCRATCH_STEPS = 6_000  # that a small network needs from scratch, however small the set is
_STRIDE = 64  # what every network's input must be a multiple of; HRNet's of 32
# Networks for few instances or no GPU, by the name that --model takes: model.name and its options.
SMALL_MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "hrnet_small": (
        "hrnet",
        {"width": 16, "stem_channels": 24, "num_modules": [1, 1, 1], "num_blocks": 1},
    ),
}


def main(args: argparse.Namespace) -> int:
    """Print the config: pose-train init MY.json > my.yaml, or --from-mmpose FILE > my.yaml."""
    if (args.from_mmpose is None) == (args.annotations is None):
        raise ConfigError("give either ANNOTATIONS, a COCO-format JSON, or --from-mmpose FILE")
    if args.from_mmpose is not None:
        of_annotations = ("images", "val", "val_images", "model", "input_size", "categories")
        given = [name for name in of_annotations if getattr(args, name) is not None]
        if given:
            raise ConfigError(
                f"--{given[0].replace('_', '-')} is for ANNOTATIONS, not for --from-mmpose"
            )
        print(config_from_mmpose(args.from_mmpose, args.data_root), end="")
        return 0
    if args.data_root is not None:
        raise ConfigError("--data-root is for --from-mmpose; ANNOTATIONS have their own folder")
    print(
        starter_config(
            args.annotations,
            args.images,
            args.val,
            args.val_images,
            model=args.model,
            input_size=tuple(args.input_size) if args.input_size else None,
            categories=args.categories,
        ),
        end="",
    )
    return 0


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
        with quiet_loaders():  # what there is to say was said of the other file
            other = load_coco(*paths[2:], categories=chosen).skeleton
        if other.keypoints != train.skeleton.keypoints:
            raise ConfigError(f"{val} has other keypoints than {annotations}")
    root = Path(os.path.commonpath([path.resolve().parent for path in paths]))
    names = [os.path.relpath(path.resolve(), root) for path in paths]
    size = input_size or _input_size(train, model)
    heatmaps = _heatmap_sizes(model, size, train.skeleton.num_keypoints)
    text = _data_text(root, names, val is None)
    text += "" if chosen is None else _line("categories", chosen)
    text += _depth_text(train, images)
    text += _flip_text(train.skeleton) + _sigma_text(train.skeleton)
    text += _model_text(train, model, size, heatmaps)
    return _header(annotations, train, model) + text + _train_text(train, model, size)


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


def _input_size(train: Persons, model: str) -> tuple[int, int]:
    """Return 192x256 for upright boxes, 256x192 for lying ones, else a square; half if small."""
    if "higher" in model or model.endswith("_ae"):
        return 512, 512
    sides = train.bbox_xyxy[:, 2:] - train.bbox_xyxy[:, :2]
    ratio = float(np.median(sides[:, 0] / np.maximum(sides[:, 1], 1)))
    w, h = (192, 256) if ratio < 1 else (256, 192)
    if model.startswith("hourglass") or 0.87 <= ratio <= 1.15:
        w, h = 256, 256
    return (w // 2, h // 2) if model in SMALL_MODELS else (w, h)


def _heatmap_sizes(model: str, size: tuple[int, int], count: int) -> list[list[int]]:
    """Return the (w, h) of every map the network makes, by shapes alone."""
    stride = 32 if model.startswith("hrnet") else _STRIDE
    if any(side % stride or side < 1 for side in size):
        raise ConfigError(f"--input-size must be multiples of {stride}, got {size[0]} {size[1]}")
    name, options = SMALL_MODELS.get(model, (model, {}))
    with torch.device("meta"), torch.inference_mode():
        net = create_model(name, num_keypoints=count, **options).eval()
        output = net(torch.zeros(1, 3, size[1], size[0]))
    sizes = [[maps.shape[3], maps.shape[2]] for maps in output.heatmaps]
    if output.tags:
        return [size for i, size in enumerate(sizes) if size not in sizes[:i]]
    return [sizes[-1]]


def _header(annotations: Path, train: Persons, model: str) -> str:
    skeleton = train.skeleton
    names = f"{counted(skeleton.num_keypoints, 'keypoint')}: {', '.join(skeleton.keypoints)}."
    lines = [
        f"# {model}; {annotations.name}: {len(train)} {train.noun}, {len(train.image_ids)} images.",
        "# pose-train check my.yaml, then pose-train run my.yaml",
        "#",
        *_wrapped(names.split()),
        "# Names and links come from the file's `categories`.",
    ]
    return "\n".join(lines) + "\n"


def _data_text(root: Path, names: list[str], same_set: bool) -> str:
    train, val = ({"annotations": names[i], "images": names[i + 1]} for i in (0, 2))
    text = "data:\n" + _line("root", str(root)) + _line("train", train) + _line("val", val)
    if same_set:
        note = (
            "  # Nothing is kept aside: the AP shows how well the set is fitted, not more. Make\n"
        )
        text += note + "  # two files with `pose-data split`, and name the second one here.\n"
    return text


def _depth_text(train: Persons, images: Path) -> str:
    """Return data.bits where 16-bit images use fewer bits."""
    depth = measure_depth([images / train.file_names[i] for i in np.unique(train.image_index)])
    if depth.bits == MOST:
        return ""
    seen = f"{depth.deep} of {depth.looked_at} images looked at have 16 bits a channel"
    return f"  # {seen}, with values up to {depth.highest:,}.\n{_line('bits', depth.bits)}"


def _flip_text(skeleton: Skeleton) -> str:
    """Return the pairs that the names tell, where a person can correct them."""
    names, flips = skeleton.keypoints, skeleton.flip_indices
    lines = ["  # What a mirrored image exchanges, by the names; correct it where they mislead."]
    lone = [name for i, name in enumerate(names) if flips[i] == i and names_a_side(name)]
    if lone:
        lines += _wrapped(f"Without a partner: {', '.join(lone)}.".split(), "  #", "  #  ")
    pairs = [_flow([names[a], names[b]]) for a, b in skeleton.flip_pairs]
    commas = [f"{pair}," for pair in pairs[:-1]] + pairs[-1:]
    flow = "\n".join(_wrapped(commas, "  flip_pairs: [", "   ")).replace("[ ", "[", 1)
    return "\n".join([*lines, f"{flow}]\n"])


def _sigma_text(skeleton: Skeleton) -> str:
    """Return a comment about the sigmas of keypoints whose names COCO does not have."""
    own = [name for name in skeleton.keypoints if name not in COCO.keypoints]
    if not own or skeleton.name in SKELETONS:
        return ""
    words = (
        "How exactly a keypoint can be annotated, for AP (`pose-eval sigmas` estimates it): "
        f"{DEFAULT_SIGMA} for other names than COCO's. sigmas: {_flow({own[0]: DEFAULT_SIGMA})}"
    )
    return "\n".join(_wrapped(words.split(), "  #", "  #")) + "\n"


def _weights_text(train: Persons, model: str, size: tuple[int, int]) -> str:
    """Return what training starts from: weights of the zoo, the other way in a comment."""
    row = zoo_row(Model(model, size))
    few = ""
    if len(train) < FEW and model not in SMALL_MODELS:
        few = f", for which {len(train)} {train.noun} are few: --model hrnet_small needs fewer"
    if row is None:
        words = (
            f"There are no published weights of {model}: it is trained from scratch{few}. To start "
            "from another training of it: weights: FILE, reinit_head: true."
        )
        return "\n".join(_wrapped(words.split(), "  #", "  #")) + "\n"
    words = (
        f"It starts from published weights; `pose-train zoo fetch {row}` downloads them. Without "
        f"these two lines it is trained from scratch{few}."
    )
    return (
        "\n".join(_wrapped(words.split(), "  #", "  #"))
        + f"\n  weights: {row}\n  reinit_head: true  # a new last layer where keypoints differ\n"
    )


def _model_text(
    train: Persons, model: str, size: tuple[int, int], heatmaps: list[list[int]]
) -> str:
    name, options = SMALL_MODELS.get(model, (model, {}))
    if len(heatmaps) > 1 or "higher" in model or model.endswith("_ae"):
        recipe, key, value = "bottomup", "heatmap_sizes", str(heatmaps)
    else:
        recipe, key, value = "topdown", "heatmap_size", str(heatmaps[0])
    sigma = 3.0 if min(size) >= 288 and recipe == "topdown" else 2.0
    return (
        f"recipe: {recipe}\n"
        f"model:\n  name: {name}\n"
        + (_line("options", options) if options else "")
        + f"  input_size: {list(size)}\n  {key}: {value}\n"
        + _weights_text(train, model, size)
        + f"codec: {{sigma: {sigma}}}  # of the Gaussians, in heatmap pixels\n"
    )


def _train_text(train: Persons, model: str, size: tuple[int, int]) -> str:
    is_bottomup = "higher" in model or model.endswith("_ae")
    samples = len(np.unique(train.image_index)) if is_bottomup else len(train)
    batch = 8 if is_bottomup else max(2, min(32, samples // 8))
    per_epoch = -(-samples // batch)
    epochs = max(20, min(210, _STEPS // per_epoch))
    if model in SMALL_MODELS:  # it sees few instances more often, and costs little
        epochs = max(epochs, _SCRATCH_STEPS // per_epoch)
    steps = [round(epochs * 0.8), round(epochs * 0.95)]
    warmup = min(500, max(10, epochs * per_epoch // 20))
    lr, base = ("1.5e-3", 192) if is_bottomup else ("5e-4", 512)
    rate = f"lr: {lr}  # Adam's, for any batch; published for {base}"
    if model in SMALL_MODELS:
        rate = "lr: 2e-3"
    pairs = bool(train.skeleton.flip_pairs) or train.skeleton.num_keypoints == 1
    lines = [
        "train:",
        f"  epochs: {epochs}",
        f"  batch_size: {batch}",
        f"  {rate}",
        f"  lr_steps: {steps}",
        f"  warmup_steps: {warmup}",
        "  num_workers: 2",
    ]
    if not is_bottomup:
        half = "0.3" if train.skeleton.upper_body and train.skeleton.lower_body else "0.0"
        lines.append(
            f"  augment: {{flip_prob: {0.5 if pairs else 0.0}, half_body_prob: {half}, "
            "scale: 0.5, rotate: 80.0}"
        )
    elif not pairs:
        lines.append("  scene: {flip_prob: 0.0}")
    lines += [
        "eval:",
        f"  flip_test: {'true' if pairs else 'false'}"
        + ("" if pairs else "  # no keypoint has a mirror image: not known what a flip does"),
        f"  every: {max(1, epochs // 10)}",
        f"  batch_size: {batch if is_bottomup else 32}",
    ]
    if not is_bottomup:
        lines.append("  boxes: gt  # or detections, with data.detections.file")
    return "\n".join(lines) + "\n"


def _line(key: str, value: Any) -> str:
    return f"  {key}: {_flow(value)}\n"


def _flow(value: Any) -> str:
    """Return a value as YAML on one line."""
    flow = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, width=1000, allow_unicode=True
    )
    return flow.removesuffix("...\n").strip()


def _wrapped(words: Sequence[str], start: str = "#", more: str = "#  ") -> list[str]:
    """Put words on lines, a comment's unless they start with something else."""
    lines = [start]
    for word in words:
        if len(lines[-1]) + len(word) > 98:
            lines.append(more)
        lines[-1] += f" {word}"
    return lines
