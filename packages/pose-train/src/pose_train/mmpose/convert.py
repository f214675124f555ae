"""Write a config of ours for a config file or a checkpoint of MMPose 0.x or 1.x.

The section `data` is made here; network.py and recipe.py make the others.
"""

import posixpath
import shlex
import textwrap
from pathlib import Path
from typing import Any

import yaml

from pose_train.config.load import parse_config, without_tuples
from pose_train.config.schema import ConfigError
from pose_train.mmpose.network import network_of_config, network_of_tensors
from pose_train.mmpose.recipe import Section, convert_recipe
from pose_train.mmpose.source import MMPoseConfig, short
from pose_train.mmpose.text import read_config_file, read_config_text

ORDER = ("recipe", "data", "model", "codec", "grouping", "loss", "train", "eval", "seed")
COCO_LIKE = ("CocoDataset", "TopDownCocoDataset", "BottomUpCocoDataset")
AIC = ("AicDataset", "TopDownAicDataset", "BottomUpAicDataset")


def config_from_mmpose(file: Path, data_root: str | None = None) -> str:
    """Return the YAML for a `.py` config, or for a checkpoint by the config and the tensors in it.

    Comments at its top list what is not carried over. data_root replaces the config's. Raises
    ConfigError and CheckpointError.
    """
    try:
        is_text = file.suffix == ".py"
        parsed, tensors = (read_config_file(file), None) if is_text else _read_checkpoint(file)
        source = MMPoseConfig(*parsed)
        config = _convert(source, tensors)
        if data_root is not None:
            config["data"]["root"] = data_root
        text = "".join(f"{line}\n" for key in config for line in _yaml_lines(key, config[key]))
        parse_config(text, "the converted config is not valid")
    except RecursionError:
        raise ConfigError(f"{file}: its config is nested too deeply") from None
    except ConfigError as error:
        raise ConfigError(str(error) if str(file) in str(error) else f"{file}: {error}") from None
    name = shlex.quote(str(file))
    return _header(name, is_text, data_root is None, source.notes + source.unused_notes()) + text


def _read_checkpoint(file: Path) -> tuple[tuple[Section, list[str]], dict[str, Any]]:
    """Return the config in a checkpoint and notes on it, and the tensors under our names."""
    from pose_backbones import read_checkpoint
    from pose_backbones.checkpoint import to_our_names

    checkpoint = read_checkpoint(file)
    text = checkpoint.metadata.get("cfg", checkpoint.metadata.get("config"))  # 1.x, 0.x
    if text is None:
        raise ConfigError(
            f"{file} has no config in it (meta.cfg of 1.x, meta.config of 0.x): give the .py that "
            "it was trained with instead"
        )
    _, tensors = to_our_names(checkpoint.tensors, checkpoint.metadata)
    return read_config_text(text, f"the config in {file}"), tensors


def _convert(source: MMPoseConfig, tensors: dict[str, Any] | None) -> Section:
    _normalize_sets(source)
    if tensors is None:
        name, options = network_of_config(source)
    else:
        name, options = network_of_tensors(source, tensors)
    source.is_grey = options.get("in_channels") == 1
    if source.get("model.backbone.with_cp"):
        options["grad_checkpoint"] = True
    config = convert_recipe(source)
    model = {"name": name, "options": without_tuples(options)} if options else {"name": name}
    config["model"] = model | config["model"]
    config["data"], boxes = _data(source)
    config["eval"] = boxes | config["eval"]
    return {key: config[key] for key in ORDER if key in config}


def _yaml_lines(key: str, value: Any, indent: str = "") -> list[str]:
    """Return YAML, with a section of plain values on one line where it fits."""
    flow = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6)
    line = f"{indent}{key}: {flow.removesuffix('...' + chr(10)).strip()}"
    if not isinstance(value, dict):
        return [line]
    is_nested = any(isinstance(item, dict | list) for item in value.values())
    if len(line) <= 100 and (indent or not is_nested):
        return [line]
    below = [text for name in value for text in _yaml_lines(name, value[name], indent + "  ")]
    return [f"{indent}{key}:", *below]


def _header(name: str, is_text: bool, needs_root: bool, notes: list[str]) -> str:
    weights, root = "FILE" if is_text else name, " --data-root FOLDER" if needs_root else ""
    lines = [
        f"# pose-train init --from-mmpose {name}",
        f"# pose-train test my.yaml --weights {weights}{root}",
        "# pose-train check my.yaml, then pose-train run my.yaml",
    ]
    if notes:
        lines += ["#", "# Not carried over, or different here:"]
    layout = textwrap.TextWrapper(99, initial_indent="# - ", subsequent_indent="#   ")
    layout.break_on_hyphens = layout.break_long_words = False  # keeps paths and addresses whole
    lines += [line for note in dict.fromkeys(notes) for line in layout.wrap(note)]
    # No text of the source can end a comment.
    return "".join(f"{''.join(c if c.isprintable() else ' ' for c in line)}\n" for line in lines)


def _normalize_sets(source: MMPoseConfig) -> None:
    """Bring the data into one form, in place: a test set, and sets without lists and wrappers."""
    content, data = source.content, source.peek("data")
    data = data if isinstance(data, dict) else {}
    tested = [(content, "test_dataloader"), (content, "test_evaluator")]
    tested += [(data, "test"), (data, "test_dataloader")]
    for holder, key in tested:
        val = key.replace("test", "val")
        if not holder.get(key) and val in holder:
            holder[key] = holder[val]
    _unwrap(source, content, "test_evaluator")
    for part in ("train", "test"):
        _unwrap(source, data, part)
        _unwrap(source, content.get(f"{part}_dataloader"), "dataset")


def _unwrap(source: MMPoseConfig, holder: Any, key: str) -> None:
    """Replace a list by its first item, and a wrapper around a set by the set, in place."""
    while isinstance(holder, dict):
        inside = holder.get(key)
        if isinstance(inside, list) and inside:
            if inside[1:]:
                source.notes.append(f"{key}: {short(inside[0])} is the first of {len(inside)}")
            holder[key] = inside[0]
        elif isinstance(inside, dict) and isinstance(inside.get("dataset"), dict):
            source.notes.append(f"{key} = {short(inside)}; here the set in it")
            holder[key] = inside["dataset"]
        else:
            return


def _data(source: MMPoseConfig) -> tuple[Section, Section]:
    """Return the section `data`, and the part of `eval` about boxes."""
    train, val, test = (
        f"data.{part}" if source.peek(f"data.{part}") is not None else f"{part}_dataloader.dataset"
        for part in ("train", "val", "test")
    )
    several = source.items(f"{train}.datasets")
    main = several[0] if several else train
    files = {"train": _files(source, main), "val": _files(source, test)}
    evaluated = _files(source, val)
    if evaluated and evaluated != files["val"]:
        source.notes.append(f"while training, {evaluated[0]} is evaluated; here the test set")
    declared = source.get(f"{main}.data_root", "data_root", kind=str, default="")
    root = _common_root([path for pair in files.values() for path in pair], declared)
    data: Section = {"root": root, "warp": "opencv4"}
    is_aic, _ = _is_aic(source, main), _is_aic(source, test)
    if is_aic:
        data["format"] = "aic"
    for key, pair in files.items():
        if pair:
            data[key] = _below(root, pair)
        else:
            source.notes.append(f"data.{key} is not given; here COCO 2017's")
    if several:
        source.type_name(train)
        _extra(source, data, several, f"{train}.sample_ratio_factor")
    if source.is_bottomup:
        return data, {}
    cfg = "data.test.data_cfg"
    boxes = source.get(f"{test}.bbox_file", f"{cfg}.bbox_file", kind=str)
    paths = f"{test}.filter_cfg.bbox_score_thr", f"{cfg}.det_bbox_thr", f"{cfg}.image_thr"
    threshold = source.get(*paths)
    if source.get(f"{cfg}.use_gt_bbox") or not boxes:
        return data, {"boxes": "gt"}
    data["detections"] = {"file": _relative(boxes, root)}
    if threshold:
        data["detections"]["score_threshold"] = threshold
    return data, {"boxes": "detections"}


def _is_aic(source: MMPoseConfig, path: str) -> bool:
    """Tell AIC from COCO; note a set that is neither."""
    name = source.type_name(path)
    if name and name not in COCO_LIKE + AIC:
        source.notes.append(f"{path} = {name}(...); here its annotations must be in COCO's form")
    return name in AIC


def _files(source: MMPoseConfig, path: str) -> tuple[str, ...]:
    """Return the annotation file of a set and the folder of its images, or ()."""
    root, annotations = (
        source.get(f"{path}.{key}", kind=str, default="") for key in ("data_root", "ann_file")
    )
    images = source.get(f"{path}.data_prefix.img", f"{path}.img_prefix", kind=str, default="")
    names = (annotations, images) if annotations else ()
    return tuple(posixpath.normpath(posixpath.join(root, name)) for name in names)


def _common_root(paths: list[str], declared: str) -> str:
    """Return the declared folder if it holds all paths, else the nearest that does."""
    declared = posixpath.normpath(declared or ".")
    if not paths or all(path.startswith(f"{declared}/") for path in paths):
        return declared
    try:
        return posixpath.commonpath([posixpath.dirname(path) for path in paths]) or "."
    except ValueError:  # absolute and relative ones
        return declared


def _relative(path: str, root: str) -> str:
    is_other = posixpath.isabs(path) != posixpath.isabs(root)
    return path if is_other else posixpath.relpath(path, root)


def _below(root: str, files: tuple[str, ...]) -> Section:
    annotations, images = (_relative(path, root) for path in files)
    return {"annotations": annotations, "images": images}


def _extra(source: MMPoseConfig, data: Section, paths: list[str], ratio_path: str) -> None:
    """Fill in the training sets besides the first, and how keypoints are joined."""
    ratios = source.get(ratio_path, kind=list, default=[])
    ratios = ratios if len(ratios) == len(paths) else [1.0] * len(paths)
    if ratios[0] != 1:
        data["ratio"] = ratios[0]
    own_count = len(_keypoints(source, paths[0])[1]) or 17
    for path, ratio in zip(paths[1:], ratios[1:], strict=True):
        files, is_aic = _files(source, path), _is_aic(source, path)
        if not files:
            continue  # unused_notes lists its values
        root = _common_root(list(files), source.get(f"{path}.data_root", kind=str, default=""))
        extra = {"root": root, "format": "aic" if is_aic else "coco", "train": _below(root, files)}
        if ratio != 1:
            extra["ratio"] = ratio
        name = source.type_name(path).removesuffix("Dataset").lower()
        name = name if name.isidentifier() else "set"
        known = data.setdefault("extra", {})
        known[f"{name}_{len(known) + 1}" if name in known else name] = extra
        count, mapping = _keypoints(source, path)
        data["mix"] = "combine" if count > own_count else "merge"
        if not is_aic or mapping != _mapping_by_name(data["mix"]):
            source.notes.append(f"{path}: keypoints are matched by name here; see data.same")


def _keypoints(source: MMPoseConfig, path: str) -> tuple[int, list[Any]]:
    """Return how many keypoints a set is given, and the pairs of its own and given ones."""
    for each in source.items(f"{path}.pipeline"):
        if source.type_name(each) == "KeypointConverter":
            count = source.get(f"{each}.num_keypoints", kind=int, default=17)
            return count, source.get(f"{each}.mapping", kind=list, default=[])
    return 17, []


def _mapping_by_name(mix: str) -> list[list[int]]:
    """Return the pairs of AIC's keypoints that are found by name."""
    from pose_data import AIC, COCO
    from pose_data.combine import union

    target = (union(COCO, AIC) if mix == "combine" else COCO).keypoints
    return [[i, target.index(name)] for i, name in enumerate(AIC.keypoints) if name in target]
