"""The pages of the reference: made from the dataclasses, the parsers and the docstrings."""

import argparse
import dataclasses
import inspect
import os
import re
import types
import typing
from collections.abc import Callable, Collection, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import yaml

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 88  # of code blocks
SPECIAL = ("__call__", "__getitem__")  # methods that are explained where they have a docstring


def config_page() -> str:
    """Return a page with every key of a config: type, default, range and meaning."""
    from pose_train.config.schema import Config

    lines = [
        "# Config keys",
        "",
        "A config is one YAML file, and `pose-train run my.yaml train.lr=1e-3` changes a key of "
        "it. Sizes are (width, height); `null` is none, or off. Complete ones are the "
        "[presets](presets.md): `base: demo` at the top of a file takes one of them, and the file "
        "gives only what differs. An unknown key, a wrong type or an impossible value is an error "
        "that names it.",
        "",
    ]
    for section in sections(Config):
        title = f"`{section.key}`" if section.key else "Top level"
        lines += [f"## {title}", ""]
        doc = inspect.cleandoc(section.kind.__doc__ or "")
        if not doc.startswith(f"{section.kind.__name__}("):  # dataclass's, where there is none
            lines += [doc, ""]
        rows = ["key", "type", "default", "meaning"], *rows_of(section)
        lines += [*table(rows), ""]
    return "\n".join(lines)


class Section(NamedTuple):
    """A section of a config: the key that leads to it, its dataclass, what it is by default."""

    key: str
    kind: Any
    default: Any


def sections(kind: Any, key: str = "", default: Any = None) -> Iterator[Section]:
    """Yield the sections of a config, an outer one before those in it."""
    yield Section(key, kind, default)
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        hint, name = hints[field.name], f"{key}.{field.name}".lstrip(".")
        if typing.get_origin(hint) is dict:
            hint, name = typing.get_args(hint)[1], f"{name}.NAME"
        for each in (hint, *typing.get_args(hint)):
            if dataclasses.is_dataclass(each):
                inner = default_of(field, default)
                yield from sections(each, name, inner if type(inner) is each else None)


def default_of(field: Any, section: Any) -> Any:
    """Return the default of a field, in a section if that has another; MISSING for none."""
    if section is not None:
        return getattr(section, field.name)
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def rows_of(section: Section) -> Iterator[list[str]]:
    """Yield what the table says about each key of a section."""
    hints, comments = typing.get_type_hints(section.kind), comments_of(section.kind)
    for field in dataclasses.fields(section.kind):
        key = f"{section.key}.{field.name}".lstrip(".")
        kind, default = kind_of(hints[field.name]), default_of(field, section.default)
        if default is dataclasses.MISSING:
            shown = "needed"
        else:
            shown = "" if dataclasses.is_dataclass(default) else f"`{as_yaml(default)}`"
        if field.metadata:
            kind += f", {field.metadata['words']}" + ", in order" * field.metadata["ordered"]
        anchor = key.replace(".", "").lower() + "name" * kind.startswith("name")
        name = f"[`{key}`](#{anchor})" if "section" in kind else f"`{key}`"
        yield [name, kind, shown, comments[field.name]]


def comments_of(section: Any) -> dict[str, str]:
    """Return the comments of a dataclass's fields, from the lines above each and behind it."""
    found, above = {}, []
    for line in inspect.getsource(section).splitlines():
        code, _, comment = line.strip().partition("# ") if "# " in line else (line.strip(), "", "")
        if not code:
            above = [*above, comment] if comment else []
        elif match := re.match(r"(\w+): ", code):
            text = " ".join(filter(None, [*above, comment]))
            found[match[1]] = plain(re.sub(r"\bNone\b", "null", text))
            above = []
    return found


def kind_of(hint: Any) -> str:
    """Return the type of a key's values in the words of a config."""
    inner, origin = typing.get_args(hint), typing.get_origin(hint)
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(kind_of(each) for each in inner)
    if origin is tuple:
        if inner[-1] is ...:
            return f"list of {kind_of(inner[0])}"
        return f"[{', '.join(map(kind_of, inner))}]"
    if origin is dict:
        return f"name: {kind_of(inner[1])}"
    if dataclasses.is_dataclass(hint):
        return "section"
    return {types.NoneType: "null", Any: "value"}.get(hint) or f"{hint.__name__}"


def as_yaml(value: Any) -> str:
    """Return a value as it stands in a config, on one line."""
    plain = list(value) if isinstance(value, tuple) else value
    text: str = yaml.safe_dump(plain, default_flow_style=True)
    return text.removesuffix("\n").removesuffix("\n...")


def presets_page() -> str:
    """Return a page with the shipped presets."""
    lines = ["# Presets", "", "What `pose-train configs` lists, whole.", ""]
    for path in sorted(ROOT.glob("packages/pose-train/src/pose_train/config/presets/*.yaml")):
        lines += [f"## {path.stem}", "", fence(path.read_text(encoding="utf-8"), "yaml")]
    return "\n".join(lines)


def commands_page(package: str) -> str:
    """Return a page with the commands of a package: what each does, and what it takes."""
    main = import_module(f"{package.replace('-', '_')}.__main__").main
    top = parser_of(main)
    lines = [f"# {top.prog}", ""]
    if subcommands(top):
        lines += [plain(top.description or ""), ""]
    for name in command_names(package):
        parser = parser_of(main, name)
        with mock.patch.dict(os.environ, COLUMNS="80"):
            usage = parser.format_usage().removeprefix("usage: ")
        lines += [f"## {parser.prog}", "", plain(parser.description or ""), ""]
        lines += [fence(usage, "text")]
        for group in parser._action_groups:
            actions = [action for action in group._group_actions if action.dest != "help"]
            rows = ["argument", "meaning", "default"], *(words_of(parser, each) for each in actions)
            lines += [f"**{plain(group.title or '')}**", "", *table(rows), ""] if actions else []
        lines += [fence(parser.epilog, "text")] if parser.epilog else []
    return "\n".join(lines)


def command_names(package: str) -> list[str]:
    """Return the commands of a package, in the order of its help."""
    module = import_module(f"{package.replace('-', '_')}.__main__")
    return list(subcommands(parser_of(module.main)) or module.COMMANDS)


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of a parser's commands by name, none where it has none."""
    found = (a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return dict(next(found, {}))


def parser_of(main: Callable[[list[str]], int], *words: str) -> argparse.ArgumentParser:
    """Return the parser that a command line of ours parses these words with, the command's own."""

    class Found(Exception):
        pass

    def find(self: argparse.ArgumentParser, *args: Any, **options: Any) -> Any:
        raise Found(self)

    try:
        with mock.patch.object(argparse.ArgumentParser, "parse_known_args", find):
            main(list(words))
    except Found as found:
        parser: argparse.ArgumentParser = found.args[0]
        return subcommands(parser).get(words[0], parser) if words else parser
    raise AssertionError(f"{main.__module__} parses nothing")


def words_of(parser: argparse.ArgumentParser, action: argparse.Action) -> list[str]:
    """Return an argument's names, its meaning and its default."""
    formatter, options = parser._get_formatter(), action.option_strings
    value = formatter._format_args(action, action.dest.upper() if options else action.dest)
    names = " ".join(filter(None, [", ".join(options), value]))
    meaning = plain(formatter._expand_help(action)) if action.help else ""
    default = action.default
    if default in (None, False, [], argparse.SUPPRESS):
        return [f"`{names}`", meaning, ""]
    shown = ",".join(map(str, default)) if isinstance(default, list | tuple) else default
    return [f"`{names}`", meaning, f"`{shown}`"]


def api_page(module: str) -> str:
    """Return a page with the public names of a package: signatures and docstrings."""
    import griffe

    source = ROOT / "packages" / module.replace("_", "-") / "src"
    package = griffe.load(module, search_paths=[source])
    # By its import, because a function may have the name of its file.
    paths = {name: package.imports.get(name, f"{module}.{name}") for name in package.exports}
    public = {name: package.modules_collection[path] for name, path in paths.items()}
    lines = [f"# {module}", "", with_links(package.docstring.value, public), ""]
    for name, found in sorted(public.items(), key=lambda item: item[0].lower()):
        each = found.final_target if found.is_alias else found
        members = each.members if each.is_class else {}
        shown = {"": each} | {
            f".{name}": member
            for name, member in members.items()
            if member.docstring and (not name.startswith("_") or name in SPECIAL)
        }
        for end, one in shown.items():
            marks = "###" if end else "##"
            lines += [f"{marks} {name}{end}", "", fence(signature_of(one), "python")]
            lines += [text_of(one, public), ""]
            if not end and "__init__" in members:
                lines += [text_of(members["__init__"], public), ""]
    return "\n".join(lines)


def signature_of(each: Any) -> str:
    """Return how a class or function is called, or the type and value of another name."""
    if each.is_attribute:
        value = None if each.value is None else str(each.value)
        if value and (len(value) > WIDTH or "\n" in value):
            value = "..."
        return typed(each.name, each.annotation, value)
    words = list(parameters_of(each))
    if each.is_class and not words:  # a NamedTuple
        words = [typed(m.name, m.annotation, m.value) for m in each.attributes.values()]
    if each.is_class and not words:
        return f"class {each.name}({', '.join(map(str, each.bases))})"
    end = f" -> {each.returns}" if each.is_function and each.returns else ""
    line = f"{each.name}({', '.join(words)}){end}"
    if len(line) <= WIDTH:
        return line
    return f"{each.name}(\n" + "".join(f"    {word},\n" for word in words) + f"){end}"


def parameters_of(each: Any) -> Iterator[str]:
    """Yield the parameters of a function or class as they are written, without self."""
    stars = {"variadic positional": "*", "variadic keyword": "**"}
    is_by_name = False
    for parameter in each.parameters:
        kind = parameter.kind.value
        if parameter.name in ("self", "cls"):
            continue
        if kind == "keyword-only" and not is_by_name:
            yield "*"
        is_by_name = is_by_name or kind in ("keyword-only", "variadic positional")
        default = None if kind in stars else parameter.default
        yield typed(stars.get(kind, "") + parameter.name, parameter.annotation, default)


def typed(name: str, annotation: Any, default: Any) -> str:
    """Return `name: annotation = default`, of which the last two may be None."""
    words = f"{name}: {annotation}" if annotation is not None else name
    return words if default is None else f"{words} = {default}"


def text_of(each: Any, public: Collection[str]) -> str:
    """Return a docstring as Markdown; the names of public things in it lead to them.

    What it says of a parameter or field, on a line that begins with its name, is a paragraph.
    """
    text = each.docstring.value if each.docstring else ""
    names = {*each.members, *(p.name for p in getattr(each, "parameters", ()))}

    def opened(match: re.Match[str]) -> str:
        known = set(match[1].split(", ")) <= names
        return f"\n*{match[1]}*: " if known else match[0]

    text = re.sub(r"^(\w+(?:, \w+)*): ", opened, text, flags=re.MULTILINE)
    return with_links(text, public)


def with_links(text: str, public: Collection[str]) -> str:
    """Return text in which names of the page between backticks lead to them."""

    def link(match: re.Match[str]) -> str:
        name = match[1]
        return f"[`{name}`](#{name.lower()})" if name in public else match[0]

    return re.sub(r"(?<!`)`(\w+)`(?!`)", link, text)


# Markdown.


def fence(text: str, language: str) -> str:
    """Return a fenced block."""
    marks = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{marks}{language}\n{text.rstrip()}\n{marks}\n"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table, its head first; columns without a value are left out."""
    used = [i for i in range(len(rows[0])) if any(row[i] for row in rows[1:])]
    lines = [f"| {' | '.join(row[i].replace('|', chr(92) + '|') for i in used)} |" for row in rows]
    return [lines[0], "|" + "---|" * len(used), *lines[1:]]


def plain(text: str) -> str:
    """Return text in which nothing but what stands between backticks is Markdown."""
    return re.sub(r"(`[^`]*`)|([*<\[])", lambda m: m[1] or f"\\{m[2]}", " ".join(text.split()))
