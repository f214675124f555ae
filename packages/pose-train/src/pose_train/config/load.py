"""Read YAML into the objects of schema.py; every mistake is a ConfigError that names the key."""

import dataclasses
import difflib
import itertools
import logging
import math
import os
import types
import typing
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml

from pose_data.errors import printable
from pose_data.ranges import check_ranges
from pose_train.config.schema import Config, ConfigError

_log = logging.getLogger("pose_train")
# Limits, far above those of real configs: checkpoints of strangers hold configs, too.
MOST_CHARACTERS = 200_000
MOST_VALUES = 100_000


def shipped_configs() -> dict[str, Path]:
    """Return the presets that come with the package, by name."""
    folder = Path(str(resources.files("pose_train") / "config" / "presets"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_config(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a shipped preset or a YAML file and apply `key.sub=value` overrides to it.

    A file may name a preset as its `base:` and give only what differs: sections are merged key by
    key, an empty one (`options: {}`) empties, everything else replaces. Relative folders and
    weights in it are looked up beside it first. An override of `model.name` drops zoo weights of
    another network. Raises ConfigError for a missing file, an unknown key, a wrong type or an
    impossible value.
    """
    shipped = shipped_configs()
    path = shipped.get(str(name_or_path), Path(name_or_path))
    if not path.is_file():
        hint = _suggestion(str(name_or_path), shipped, "shipped presets")
        raise ConfigError(f"there is no config file or preset {path}{hint}")
    _log.info("config: %s %s", printable(path), printable(" ".join(overrides)))
    content = _read_with_base(path)
    if str(name_or_path) in shipped:
        content["preset"] = str(name_or_path)
    else:
        _resolve_paths(content, path.parent)
    for override in overrides:
        _apply_override(content, override)
    keys = {override.partition("=")[0] for override in overrides}
    if "model.name" in keys and "model.weights" not in keys:
        _drop_weights_of_another_model(content)
    _resolve_paths(content, Path())
    if not content.get("out"):
        content["out"] = _free_run_dir(path.stem)
    return _build_config(content, str(path))


def parse_config(text: str, name: str, overrides: Sequence[str] = ()) -> Config:
    """Read a resolved config, as to_yaml writes it; `name` tells in errors where it comes from."""
    content = _parse_yaml(text, name)
    for override in overrides:
        _apply_override(content, override)
    return _build_config(content, name)


def to_yaml(config: Config) -> str:
    """Return the resolved config as YAML that `load_config` reads back to an equal object."""
    content = without_tuples(dataclasses.asdict(config))
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None)


def without_tuples(value: Any) -> Any:
    """Return a value with lists in place of tuples, as YAML has them."""
    if isinstance(value, dict):
        return {key: without_tuples(item) for key, item in value.items()}
    return [without_tuples(item) for item in value] if isinstance(value, list | tuple) else value


def _drop_weights_of_another_model(content: dict[str, Any]) -> None:
    """Drop zoo weights, which `init` writes, that belong to another network, in place."""
    from pose_backbones.zoo import ZOO

    model = content.get("model")
    if isinstance(model, dict):
        row = ZOO.get(str(model.get("weights")))
        if row is not None and row.model != model["name"]:
            model["weights"] = None


def _resolve_paths(content: dict[str, Any], folder: Path) -> None:
    """Make paths that exist below a folder absolute, in place: they then hold from any other."""
    data = content.get("data")
    extra = data.get("extra") if isinstance(data, dict) else None
    sections = [data, content.get("model"), *(extra.values() if isinstance(extra, dict) else ())]
    for section in sections:
        if not isinstance(section, dict):
            continue  # _build reports it
        for key in section.keys() & {"root", "weights", "packed"}:
            value = section[key]
            if not isinstance(value, str):
                continue
            # os.path's functions take any text; Path's raise for some that no file can have.
            path = os.path.join(folder, os.path.expanduser(value))
            if os.path.exists(path):
                section[key] = os.path.abspath(path)


def _free_run_dir(name: str) -> str:
    taken = {path.name for path in Path("runs").glob(f"{name}-*")}
    number = next(n for n in itertools.count(1) if f"{name}-{n}" not in taken)
    return f"runs/{name}-{number}"


def _read_with_base(path: Path) -> dict[str, Any]:
    content = _read_yaml(path)
    if "base" not in content:
        return content
    base, shipped = content.pop("base"), shipped_configs()
    if not isinstance(base, str) or base not in shipped:
        hint = _suggestion(str(base), shipped)
        raise ConfigError(f"{path}: base must be a shipped preset, got {base!r}{hint}")
    return _merge(_read_yaml(shipped[base]), content) | {"preset": base}


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        return _parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error


def _parse_yaml(text: str, name: str) -> dict[str, Any]:
    if len(text) > MOST_CHARACTERS:  # the parser is slow
        raise ConfigError(f"{name} has {len(text):,} characters: not a config")
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: 2026-99-99, thousands of digits
        raise ConfigError(f"{name} is not YAML: {' '.join(str(error).split())}") from error
    except RecursionError:
        raise ConfigError(f"{name} is nested too deeply") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{name} must hold `key: value` lines")
    # A few lines of aliases can stand for billions of values, and checkpoints hold configs.
    values, count = list[Any]([content]), 0
    while values:
        value = values.pop()
        if isinstance(value, dict | list):
            values += value.values() if isinstance(value, dict) else value
        count += 1
        if count > MOST_VALUES:
            raise ConfigError(
                f"{name}: its aliases (*name) stand for too many values, or for themselves"
            )
    return content


def _merge(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return a new mapping with the keys of both; sections of both are merged, too."""
    merged = dict(base)
    for key, value in own.items():
        below = base.get(key)
        is_section = value and isinstance(value, dict) and isinstance(below, dict)
        merged[key] = _merge(below, value) if is_section else value  # type: ignore[arg-type]
    return merged


def _apply_override(content: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"override {override!r} must look like key.sub=value")
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ConfigError(f"override {override!r}: the value is not YAML") from None
    *parents, last = key.split(".")
    for parent in parents:
        if content.get(parent) in (None, []):  # train.freeze: [] may become a section
            content[parent] = {}
        content = content[parent]
        if not isinstance(content, dict):
            raise ConfigError(f"override {override!r}: {parent} is not a section")
    content[last] = value


def _build_config(content: dict[str, Any], name: str) -> Config:
    try:
        return typing.cast(Config, _build(Config, content, ""))
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None


def _build(cls: type[Any], content: object, path: str) -> Any:
    """Make the dataclass `cls` from a mapping; `path` is the key so far, for messages."""
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must be a section with keys, got {content!r}")
    hints = typing.get_type_hints(cls)
    for key in content:
        if key not in hints:
            elsewhere = [name for name in _leaves() if name.rpartition(".")[2] == key]
            hint = f"; did you mean {elsewhere[0]}?" if elsewhere else _suggestion(str(key), hints)
            raise ConfigError(f"unknown key {_join(path, key)}{hint}")
    for f in dataclasses.fields(cls):
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if required and f.name not in content:
            raise ConfigError(f"{_join(path, f.name)} is missing")
    values = {key: _convert(hints[key], value, _join(path, key)) for key, value in content.items()}
    try:
        settings = cls(**values)
        check_ranges(settings, f"{path}." if path else "")
    except ConfigError:
        raise
    except ValueError as error:  # of a class of pose_data's, which does not know the path
        text = str(error)
        raise ConfigError(text if text.startswith(f"{path}.") else f"{path}.{text}") from error
    return settings


def _leaves(cls: Any = Config, path: str = "") -> list[str]:
    """Return the keys of all settings, with their sections."""
    found = []
    for name, hint in typing.get_type_hints(cls).items():
        inner = [each for each in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(each)]
        is_section = inner and typing.get_origin(hint) is not dict
        found += _leaves(inner[0], _join(path, name)) if is_section else [_join(path, name)]
    return found


def _convert(hint: Any, value: Any, path: str) -> Any:
    """Check one value against its type; exact types, except that whole numbers pass as floats."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return _convert_union(arguments, value, path)
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast("type[Any]", hint), value, path)
    if origin is Literal:
        if value is False and "off" in arguments:  # YAML 1.1 reads a bare off as false
            return "off"
        if type(value) is not str or value not in arguments:
            allowed = ", ".join(map(str, arguments))
            raise ConfigError(f"{path} must be one of {allowed}, got {value!r}")
        return value
    if origin is tuple:
        return _convert_tuple(arguments, value, path)
    if hint is float:
        return _convert_float(value, path)
    if origin is dict and arguments[1] is not Any:
        if not isinstance(value, dict) or not all(type(key) is str for key in value):
            raise ConfigError(f"{path} must be a section with names as keys, got {value!r}")
        return {key: _convert(arguments[1], item, _join(path, key)) for key, item in value.items()}
    expected = origin or hint
    if type(value) is not expected:
        raise ConfigError(f"{path} must be of type {expected.__name__}, got {value!r}")
    return value


def _convert_union(arguments: tuple[Any, ...], value: Any, path: str) -> Any:
    """Check a value against `X | None`, a list or a section (train.freeze), or plain types."""
    if types.NoneType in arguments:
        return None if value is None else _convert(arguments[0], value, path)
    kinds = {typing.get_origin(each): each for each in arguments}
    if kinds.keys() == {tuple, dict}:
        if not isinstance(value, str | list | dict):
            raise ConfigError(f"{path} must be a list or a section, got {value!r}")
        return _convert(kinds[dict if isinstance(value, dict) else tuple], value, path)
    if type(value) not in arguments:
        allowed = " or ".join(each.__name__ for each in arguments)
        raise ConfigError(f"{path} must be {allowed}, got {value!r}")
    return value


def _convert_tuple(arguments: tuple[Any, ...], value: Any, path: str) -> tuple[Any, ...]:
    if isinstance(value, str) and arguments == (str, Ellipsis):
        value = [value]  # train.freeze=backbone
    if not isinstance(value, list):
        raise ConfigError(f"{path} must be a list, got {value!r}")
    if arguments[-1] is not Ellipsis and len(value) != len(arguments):
        raise ConfigError(f"{path} must have {len(arguments)} values, got {value!r}")
    return tuple(_convert(arguments[0], item, f"{path}[{i}]") for i, item in enumerate(value))


def _convert_float(value: Any, path: str) -> float:
    try:
        # PyYAML reads 5e-4 as a string.
        number = float(value) if type(value) in (int, float, str) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(f"{path} must be a finite number, got {value!r}")
    return number


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _suggestion(name: str, allowed: Iterable[str], title: str = "allowed") -> str:
    close = difflib.get_close_matches(name, allowed := list(allowed), n=1)
    return f"; did you mean {close[0]}?" if close else f"; {title}: {', '.join(allowed)}"
