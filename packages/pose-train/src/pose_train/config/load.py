"""YAML into the objects of config.py; every mistake is a ConfigError that names the key."""

import dataclasses
import difflib
import itertools
import math
import os
import types
import typing
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml

from pose_data.ranges import check_ranges
from pose_train.config.schema import Config, ConfigError


def shipped_configs() -> dict[str, Path]:
    """Return the presets that come with the package, by name."""
    folder = Path(str(resources.files("pose_train") / "config" / "presets"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_config(name_or_path: str | Path, overrides: typing.Sequence[str] = ()) -> Config:
    """Read a shipped preset or a YAML file and apply `key.sub=value` overrides to it.

    A file may name a preset as its `base:` and give only what differs: sections are merged key by
    key, an empty one (`options: {}`) empties, everything else replaces. Relative folders and
    weights that it names are looked for beside it first. Where an override takes another network
    than weights of the zoo are of, these are left out. Raises ConfigError for a missing file, an
    unknown key, a wrong type or an impossible value.
    """
    path = _find(name_or_path)
    content = _read_with_base(path)
    if str(name_or_path) in shipped_configs():
        content["preset"] = str(name_or_path)
    else:
        _settle_paths(content, path.parent)
    for override in overrides:
        _apply_override(content, override)
    keys = {override.partition("=")[0] for override in overrides}
    if "model.name" in keys and "model.weights" not in keys:
        _drop_weights_of_another(content)
    _settle_paths(content, Path())
    if not content.get("out"):
        content["out"] = _free_run_dir(path.stem)
    try:
        return _build(Config, content, "")
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def parse_config(text: str, name: str, overrides: typing.Sequence[str] = ()) -> Config:
    """Read a resolved config, as to_yaml writes it; `name` says in errors where it stands."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{name} is not YAML: {' '.join(str(error).split())}") from None
    try:
        if isinstance(content, dict):
            for override in overrides:
                _apply_override(content, override)
        return _build(Config, content, "")
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None


def to_yaml(config: Config) -> str:
    """Return the resolved config as YAML that `load_config` reads back to an equal object."""
    content = _plain(dataclasses.asdict(config))
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None)


def _drop_weights_of_another(content: dict[str, Any]) -> None:
    """Leave out weights of the zoo, which `init` writes, for another network, in place."""
    from pose_backbones.zoo import ZOO  # with torch, which takes a second

    model = content.get("model")
    if not isinstance(model, dict):
        return
    row = ZOO.get(str(model.get("weights")))
    if row is not None and row.model != model["name"]:
        model["weights"] = None


def _settle_paths(content: dict[str, Any], folder: Path) -> None:
    """Write paths that exist below a folder in full, so that they hold from any other, in place."""
    data = content.get("data")
    extra = data.get("extra") if isinstance(data, dict) else None
    sections = [data, content.get("model"), *(extra.values() if isinstance(extra, dict) else ())]
    for section in sections:
        if not isinstance(section, dict):
            continue  # who builds the config says so
        for key in section.keys() & {"root", "weights"}:
            value = section[key]
            if isinstance(value, str) and (path := folder / Path(value).expanduser()).exists():
                section[key] = os.path.abspath(path)


def _free_run_dir(name: str) -> str:
    taken = {path.name for path in Path("runs").glob(f"{name}-*")}
    number = next(n for n in itertools.count(1) if f"{name}-{n}" not in taken)
    return f"runs/{name}-{number}"


def _find(name_or_path: str | Path) -> Path:
    shipped = shipped_configs()
    path = shipped.get(str(name_or_path), Path(name_or_path))
    if not path.is_file():
        close = difflib.get_close_matches(str(name_or_path), shipped, n=1)
        hint = f"did you mean {close[0]}?" if close else f"shipped presets: {', '.join(shipped)}"
        raise ConfigError(f"there is no config file or preset {path}; {hint}")
    return path


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path} is not a YAML file: {reason}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold `key: value` lines")
    return content


def _read_with_base(path: Path) -> dict[str, Any]:
    content = _read_yaml(path)
    if "base" not in content:
        return content
    base, shipped = content.pop("base"), shipped_configs()
    if not isinstance(base, str) or base not in shipped:
        hint = _suggestion(str(base), list(shipped))
        raise ConfigError(f"{path}: base must be a shipped preset, got {base!r}{hint}")
    return _merge(_read_yaml(shipped[base]), content) | {"preset": base}


def _merge(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return a new mapping with the keys of both; sections of both are merged, too."""
    merged = dict(base)
    for key, value in own.items():
        below = base.get(key)
        if value and isinstance(value, dict) and isinstance(below, dict):
            merged[key] = _merge(below, value)
        else:
            merged[key] = value
    return merged


def _apply_override(content: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"override {override!r} must look like key.sub=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"override {override!r}: the value is not YAML") from None
    *parents, last = key.split(".")
    for parent in parents:
        below = content.get(parent)
        if below is None:
            below = content[parent] = {}
        if not isinstance(below, dict):
            raise ConfigError(f"override {override!r}: {parent} is not a section")
        content = below
    content[last] = value


def _build(cls: type[Any], content: object, path: str) -> Any:
    """Make the dataclass `cls` from a mapping; `path` is the key so far, for messages."""
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must be a section with keys, got {content!r}")
    hints = typing.get_type_hints(cls)
    for key in content:
        if key not in hints:
            elsewhere = [name for name in _leaves() if name.rpartition(".")[2] == key]
            hint = f"; did you mean {elsewhere[0]}?" if elsewhere else ""
            hint = hint or _suggestion(str(key), list(hints))
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
    except ValueError as error:  # of a class of pose_data's, which knows no path
        text = str(error)
        raise ConfigError(text if text.startswith(f"{path}.") else f"{path}.{text}") from error
    return settings


def _leaves(cls: type[Any] = Config, path: str = "") -> list[str]:
    """Return the keys of all settings, with their sections."""
    found = []
    for name, hint in typing.get_type_hints(cls).items():
        inner = [each for each in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(each)]
        if inner and typing.get_origin(hint) is not dict:
            found += _leaves(typing.cast("type[Any]", inner[0]), _join(path, name))
        else:
            found.append(_join(path, name))
    return found


def _convert(hint: Any, value: Any, path: str) -> Any:
    """Check one value against its type; exact types, except that whole numbers pass as floats."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union) and types.NoneType in arguments:  # `X | None`
        return None if value is None else _convert(arguments[0], value, path)
    if origin in (types.UnionType, typing.Union):
        kinds = {typing.get_origin(each): each for each in arguments}
        if kinds.keys() == {tuple, dict}:  # train.freeze
            if not isinstance(value, str | list | dict):
                raise ConfigError(f"{path} must be a list or a section, got {value!r}")
            return _convert(kinds[dict if isinstance(value, dict) else tuple], value, path)
        if type(value) not in arguments:
            allowed = " or ".join(each.__name__ for each in arguments)
            raise ConfigError(f"{path} must be {allowed}, got {value!r}")
        return value
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
        return _convert_dict(arguments[1], value, path)
    expected = origin or hint
    if type(value) is not expected:
        raise ConfigError(f"{path} must be of type {expected.__name__}, got {value!r}")
    return value


def _convert_tuple(arguments: tuple[Any, ...], value: Any, path: str) -> tuple[Any, ...]:
    if isinstance(value, str) and arguments == (str, Ellipsis):
        value = [value]  # train.freeze=backbone
    if not isinstance(value, list):
        raise ConfigError(f"{path} must be a list, got {value!r}")
    count = None if arguments[-1] is Ellipsis else len(arguments)
    if count is not None and len(value) != count:
        raise ConfigError(f"{path} must have {count} values, got {value!r}")
    return tuple(_convert(arguments[0], item, f"{path}[{i}]") for i, item in enumerate(value))


def _convert_dict(hint: Any, value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(type(key) is str for key in value):
        raise ConfigError(f"{path} must be a section with names as keys, got {value!r}")
    return {key: _convert(hint, item, _join(path, key)) for key, item in value.items()}


def _convert_float(value: Any, path: str) -> float:
    try:
        # PyYAML reads 5e-4 as a string.
        number = float(value) if type(value) in (int, float, str) else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(f"{path} must be a finite number, got {value!r}")
    return number


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _suggestion(name: str, allowed: list[str]) -> str:
    close = difflib.get_close_matches(name, allowed, n=1)
    return f"; did you mean {close[0]}?" if close else f"; allowed: {', '.join(allowed)}"


def _plain(value: Any) -> Any:
    """Turn tuples into lists, all the way down."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
