"""Write a config of ours for a config file or a checkpoint of MMPose 0.x or 1.x."""

import shlex
import textwrap
from pathlib import Path
from typing import Any

import yaml

from pose_train.config.load import parse_config
from pose_train.config.schema import ConfigError
from pose_train.mmpose.data import convert_data, prepare_sets
from pose_train.mmpose.network import network_of_config, network_of_tensors
from pose_train.mmpose.recipe import convert_recipe
from pose_train.mmpose.schedule import convert_schedule
from pose_train.mmpose.text import Parsed, read_config_file, read_config_text
from pose_train.mmpose.values import FIXED, GREY, Theirs

ORDER = ("recipe", "data", "model", "codec", "grouping", "loss", "train", "eval", "seed")


def config_from_mmpose(file: Path, data_root: str | None = None) -> str:
    """Return the YAML for a `.py` config, or for a checkpoint by the config in it and its tensors.

    What is not carried over stands in comments at its top. data_root: instead of the config's.
    Raises ConfigError and CheckpointError.
    """
    try:
        parsed, tensors = (read_config_file(file), None) if file.suffix == ".py" else _read(file)
        theirs = Theirs(parsed.content, parsed.notes)
        ours = _convert(theirs, tensors)
        if data_root is not None:
            ours["data"]["root"] = data_root
        text = "".join(f"{line}\n" for key in ours for line in _lines(key, ours[key]))
        parse_config(text, "what it gives is no config")
    except RecursionError:
        raise ConfigError(f"{file}: its config is nested too deeply") from None
    except ConfigError as error:
        raise ConfigError(str(error) if str(file) in str(error) else f"{file}: {error}") from None
    return _header(file, tensors is not None, data_root, [*theirs.notes, *theirs.left()]) + text


def _read(file: Path) -> tuple[Parsed, dict[str, Any]]:
    """Return the config in a checkpoint, and its tensors under our names."""
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


def _convert(theirs: Theirs, tensors: dict[str, Any] | None) -> dict[str, Any]:
    prepare_sets(theirs)
    if tensors is None:
        name, options = network_of_config(theirs)
    else:
        name, options = network_of_tensors(theirs, tensors)
    if options.get("in_channels") == 1:
        theirs.fixed = FIXED | GREY
    ours = convert_recipe(theirs)
    train = ours["train"]
    convert_schedule(theirs, train)
    train |= {key: train.pop(key) for key in ("augment", "scene") if key in train}  # last
    ours["data"], boxes = convert_data(theirs)
    ours["model"] = {"name": name, "options": _plain(options), **ours["model"]}
    if not options:
        del ours["model"]["options"]
    ours["eval"] = boxes | ours["eval"]
    return {key: ours[key] for key in ORDER if key in ours}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _lines(key: str, value: Any, indent: str = "") -> list[str]:
    """Return YAML: a section of plain values on one line, where it fits."""
    flow = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6)
    line = f"{indent}{key}: {flow.removesuffix('...' + chr(10)).strip()}"
    if not isinstance(value, dict):
        return [line]
    nested = any(isinstance(item, dict | list) for item in value.values())
    if len(line) <= 100 and (indent or not nested):
        return [line]
    below = [text for name in value for text in _lines(name, value[name], indent + "  ")]
    return [f"{indent}{key}:", *below]


def _header(file: Path, is_checkpoint: bool, data_root: str | None, notes: list[str]) -> str:
    name = shlex.quote(str(file))
    weights = name if is_checkpoint else "FILE"
    root = "" if data_root else " --data-root FOLDER"
    lines = [
        f"# pose-train init --from-mmpose {name}",
        f"# pose-train test my.yaml --weights {weights}{root}",
        "# pose-train check my.yaml, then pose-train run my.yaml",
    ]
    if notes:
        lines += ["#", "# Not carried over, or not the same:"]
    layout = textwrap.TextWrapper(99, initial_indent="# - ", subsequent_indent="#   ")
    layout.break_on_hyphens = layout.break_long_words = False  # nor paths and addresses
    lines += [line for note in dict.fromkeys(notes) for line in layout.wrap(note)]
    # No text of theirs can end a comment.
    return "".join(f"{''.join(c if c.isprintable() else ' ' for c in line)}\n" for line in lines)
