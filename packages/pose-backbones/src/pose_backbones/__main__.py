# PYTHON_ARGCOMPLETE_OK
"""The command line: pose-backbones list | info | zoo | convert.

Exit codes: 0 done, 1 a file that cannot be used, 2 bad arguments, each with one sentence on stderr.
"""

import argparse
import os
import re
import sys
from pathlib import Path

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
        print(printable(args.run(args)), flush=True)
    except ValueError as error:
        print(printable(f"pose-backbones: error: {error}"), file=sys.stderr)
        return 1 if isinstance(error, CheckpointError) else 2
    except ImportError as error:  # a library is missing or broken
        if (error.name or "").startswith("pose_"):
            raise
        print(f"pose-backbones: error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if not isinstance(error, BrokenPipeError):  # as of `head`, which has enough
            where = "" if error.filename is None else f"{error.filename}: "
            text = f"pose-backbones: error: {where}{error.strerror or error}"
            print(printable(text), file=sys.stderr)
        try:
            sys.stdout.flush()
        except OSError:  # of the output: Python would complain once more when it exits
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("pose-backbones: interrupted", file=sys.stderr)
        return 130
    return 0


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
    return parser


def _list(args: argparse.Namespace) -> str:
    if args.format == "md":
        from pose_backbones.table import models_table

        return models_table(args.pattern)
    return "\n".join(list_models(args.pattern))


def _info(args: argparse.Namespace) -> str:
    # Imported here and below: help, list and zoo do not wait for torch.
    from pose_backbones.checkpoint import our_names
    from pose_backbones.checkpoint_files import read_checkpoint
    from pose_backbones.models import find_model, identify
    from pose_backbones.table import (
        GREY_NORMALIZATION,
        NORMALIZATION,
        describe,
        describe_weights,
    )

    if model := find_model(args.name):
        return describe(model)
    if args.name in ZOO:
        return describe_weights(args.name)
    if "/" not in args.name and "." not in args.name and not Path(args.name).exists():
        raise ValueError(unknown("model or weights", args.name, [*MODELS, *ZOO]))
    file = read_checkpoint(args.name)
    names = our_names(file.tensors, file.metadata)
    state = names.state(file.tensors)
    networks = identify(state)
    models = " or ".join(map(str, networks))
    channels = {network.options.get("in_channels", 3) for network in networks}
    inputs = {3: f"input: {NORMALIZATION}", 1: f"input: {GREY_NORMALIZATION}"}
    if not models and all(name.startswith("backbone.") for name in state):
        models = "a backbone without a head"
    values = sum(tensor.numel() for tensor in state.values())
    return "\n".join(
        [
            f"format: {names.format}",
            f"model: {models or 'unknown'}",
            *(inputs[number] for number in sorted(channels) if number in inputs),
            f"{len(state)} tensors, {values} values",
            *(f"note: {text}" for text in (*file.notes, *names.notes)),
        ]
    )


def _zoo(args: argparse.Namespace) -> str:
    from pose_backbones.table import zoo_table
    from pose_backbones.weights import find_weights, log_line, progress_line

    if args.name is None:
        return zoo_table()
    return str(
        find_weights(
            args.name,
            download=args.download,
            mirrors=args.mirror,
            progress=progress_line,
            log=log_line,
        )
    )


def _convert(args: argparse.Namespace) -> str:
    from pose_backbones.convert import convert

    size = None
    if args.input_size is not None:
        match = re.fullmatch(r"(\d+)x(\d+)", args.input_size)
        if match is None:
            raise ValueError(f"--input-size must be WIDTHxHEIGHT, got {args.input_size}")
        size = (int(match[1]), int(match[2]))
    metadata = convert(args.source, args.target, to=args.to, model=args.model, input_size=size)
    return "\n".join(f"{key}: {value}" for key, value in metadata.items())


if __name__ == "__main__":
    raise SystemExit(main())
