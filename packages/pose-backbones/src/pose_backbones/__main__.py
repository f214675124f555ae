# PYTHON_ARGCOMPLETE_OK
"""The command line: pose-backbones list | info | zoo | convert.

Exit codes: 0 done, 1 a file that cannot be used, 2 bad arguments, each with one sentence on stderr.
"""

import argparse
import json
import os
import re
import sys
import traceback
from pathlib import Path
from typing import Any

from pose_backbones import __version__
from pose_backbones.names import MODELS, TARGETS, CheckpointError, list_models, printable, unknown
from pose_backbones.zoo import ZOO

EXAMPLES = """examples:
  pose-backbones list 'hrnet*'
  pose-backbones info checkpoint.pth
  pose-backbones zoo hrnet_w32_coco_256x192 --download
  pose-backbones convert checkpoint.pth converted.safetensors

exit codes: 0 done, 1 a file that cannot be used, 2 bad arguments"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = _parser()
    if "_ARGCOMPLETE" in os.environ:  # a shell asks for completions (extra: completion)
        import argcomplete

        argcomplete.autocomplete(parser)
    args = parser.parse_args(arguments)
    try:
        found = args.run(args)
        text = found if isinstance(found, str) else json.dumps(found, indent=2)
        print(printable(text), flush=True)
    except ValueError as error:
        return _failed(1 if isinstance(error, CheckpointError) else 2, error, args)
    except ImportError as error:  # a library is missing or broken
        if (error.name or "").startswith("pose_"):
            raise
        return _failed(1, error, args)
    except OSError as error:
        if not isinstance(error, BrokenPipeError):  # as of `head`, which has enough
            where = "" if error.filename is None else f"{error.filename}: "
            _failed(1, f"{where}{error.strerror or error}", args)
        try:
            sys.stdout.flush()
        except OSError:  # of the output: Python would complain once more when it exits
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("pose-backbones: interrupted", file=sys.stderr)
        return 130
    return 0


def _failed(code: int, reason: object, args: argparse.Namespace) -> int:
    """Print the sentence of the error being handled, with --verbose where it was raised; a code."""
    if args.verbose:
        traceback.print_exc()
    print(printable(f"pose-backbones: error: {reason}"), file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pose-backbones",
        description="List the networks and the published weights, look into checkpoints, "
        "convert them.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"pose-backbones {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("list", help="names of the models, or a table of them")
    command.add_argument("pattern", nargs="?", default="*", help="shell pattern, such as 'hrnet*'")
    command.add_argument("--format", choices=["names", "md"], default="names")
    command.set_defaults(run=_list)

    command = commands.add_parser("info", help="one model, entry of the zoo, or checkpoint file")
    command.add_argument("name")
    command.set_defaults(run=_info)

    command = commands.add_parser("zoo", help="the published weights, or the path of one")
    command.add_argument("name", nargs="?")
    command.add_argument("--download", action="store_true", help="fetch it if it is not here")
    command.add_argument(
        "--mirror", action="append", default=[], metavar="URL", help="ask it first"
    )
    command.set_defaults(run=_zoo)

    command = commands.add_parser("convert", help="write a checkpoint under other names")
    command.add_argument("source", metavar="IN")
    command.add_argument("target", metavar="OUT", help="OUT.safetensors; OUT.pth with other --to")
    command.add_argument(
        "--to", choices=TARGETS, default="pose-backbones", help="default pose-backbones"
    )
    command.add_argument("--model", help="where shapes cannot tell")
    command.add_argument("--input-size", metavar="WxH", help="written into the metadata")
    command.set_defaults(run=_convert)
    for command in commands.choices.values():
        group = command.add_argument_group("messages")
        group.add_argument("--json", action="store_true", help="for programs")
        loudness = group.add_mutually_exclusive_group()
        loudness.add_argument("-q", "--quiet", action="store_true", help="no progress")
        loudness.add_argument(
            "-v",
            "--verbose",
            action="store_true",
            help="where in the code an error was raised, too",
        )
    return parser


# Each returns what is printed: text, or with --json what json.dumps takes.


def _list(args: argparse.Namespace) -> str | list[str]:
    if args.json:
        return list_models(args.pattern)
    if args.format == "md":
        from pose_backbones.table import models_table

        return models_table(args.pattern)
    return "\n".join(list_models(args.pattern))


def _info(args: argparse.Namespace) -> str | dict[str, Any]:
    # Imported here and below: help, list and zoo do not wait for torch.
    from pose_backbones.checkpoint import our_names
    from pose_backbones.checkpoint_files import read_checkpoint
    from pose_backbones.models import find_model, identify
    from pose_backbones.table import (
        GREY_NORMALIZATION,
        NORMALIZATION,
        describe,
        describe_weights,
        model_facts,
        weights_facts,
    )

    if model := find_model(args.name):
        return model_facts(model) if args.json else describe(model)
    if args.name in ZOO:
        return weights_facts(args.name) if args.json else describe_weights(args.name)
    if "/" not in args.name and "." not in args.name and not Path(args.name).exists():
        raise ValueError(unknown("model or weights", args.name, [*MODELS, *ZOO]))
    file = read_checkpoint(args.name)
    names = our_names(file.tensors, file.metadata)
    state = names.state(file.tensors)
    networks = identify(state)
    models = list(map(str, networks))
    channels = {network.options.get("in_channels", 3) for network in networks}
    inputs = {3: f"input: {NORMALIZATION}", 1: f"input: {GREY_NORMALIZATION}"}
    if not models and all(name.startswith("backbone.") for name in state):
        models = ["a backbone without a head"]
    values = sum(tensor.numel() for tensor in state.values())
    notes = [*file.notes, *names.notes]
    if args.json:
        return {
            "file": args.name,
            "format": names.format,
            "models": models,
            "tensors": len(state),
            "values": values,
            "notes": notes,
        }
    return "\n".join(
        [
            f"format: {names.format}",
            f"model: {' or '.join(models) or 'unknown'}",
            *(inputs[number] for number in sorted(channels) if number in inputs),
            f"{len(state)} tensors, {values} values",
            *(f"note: {text}" for text in notes),
        ]
    )


def _zoo(args: argparse.Namespace) -> str | dict[str, str] | list[dict[str, Any]]:
    from pose_backbones.hub import hide_bars
    from pose_backbones.table import weights_facts, zoo_table
    from pose_backbones.weights import find_weights, log_line, progress_line

    if args.quiet:
        hide_bars()
    if args.name is None:
        return list(map(weights_facts, ZOO)) if args.json else zoo_table()
    path = find_weights(
        args.name,
        download=args.download,
        mirrors=args.mirror,
        progress=None if args.quiet else progress_line,
        log=None if args.quiet else log_line,
    )
    return {"name": args.name, "path": str(path)} if args.json else str(path)


def _convert(args: argparse.Namespace) -> str | dict[str, str]:
    from pose_backbones.convert import convert

    size = None
    if args.input_size is not None:
        match = re.fullmatch(r"(\d+)x(\d+)", args.input_size)
        if match is None:
            raise ValueError(f"--input-size must be WIDTHxHEIGHT, got {args.input_size}")
        size = (int(match[1]), int(match[2]))
    metadata = convert(args.source, args.target, to=args.to, model=args.model, input_size=size)
    if args.json:
        return dict(metadata)
    return "\n".join(f"{key}: {value}" for key, value in metadata.items())


if __name__ == "__main__":
    raise SystemExit(main())
