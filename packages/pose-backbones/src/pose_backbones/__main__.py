"""The command line: pose-backbones list | info | zoo | convert.

Exit codes: 0 done, 2 bad usage or bad input with one sentence on stderr.
"""

import argparse
import re
import sys

from pose_backbones.checkpoint import to_our_names
from pose_backbones.convert import convert, identify
from pose_backbones.models import MODELS, list_models
from pose_backbones.names import unknown
from pose_backbones.reading import read_checkpoint
from pose_backbones.table import describe, models_table, zoo_table
from pose_backbones.weights import find_weights, progress_line
from pose_backbones.zoo import ZOO


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    args = _parser().parse_args(arguments)
    try:
        print(args.run(args))
    except ValueError as error:
        print(f"pose-backbones: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pose-backbones", description=__doc__)
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

    command = commands.add_parser("convert", help="write a checkpoint as clean .safetensors")
    command.add_argument("source", metavar="IN")
    command.add_argument("target", metavar="OUT.safetensors")
    command.add_argument("--model", help="where shapes cannot tell")
    command.add_argument("--input-size", metavar="WxH", help="noted in the file")
    command.set_defaults(run=_convert)
    return parser


def _list(args: argparse.Namespace) -> str:
    return (
        models_table(args.pattern) if args.format == "md" else "\n".join(list_models(args.pattern))
    )


def _info(args: argparse.Namespace) -> str:
    if args.name in MODELS:
        return describe(args.name)
    if args.name in ZOO:
        weights = ZOO[args.name]
        fields = {**vars(weights), "file": weights.file, "sha256_prefix": weights.sha256_prefix}
        for key in ("stats", "stats_multi_scale"):
            figures = (fields[key] or {}).items()
            fields[key] = ", ".join(f"{name} {value:.3f}" for name, value in figures) or "none"
        return "\n".join(f"{key}: {value}" for key, value in fields.items())
    if "/" not in args.name and not args.name.endswith((".pth", ".pt", ".tar", ".safetensors")):
        raise ValueError(unknown("model or weights", args.name, [*MODELS, *ZOO]))
    file = read_checkpoint(args.name)
    kind, state = to_our_names(file.tensors, file.metadata)
    models = " or ".join(f"{name} with {k} keypoints" for name, k in identify(state))
    numbers = sum(tensor.numel() for tensor in state.values())
    return f"format: {kind}\nmodel: {models or 'unknown'}\n{len(state)} tensors, {numbers} numbers"


def _zoo(args: argparse.Namespace) -> str:
    if args.name is None:
        return zoo_table()
    return str(
        find_weights(args.name, download=args.download, mirrors=args.mirror, progress=progress_line)
    )


def _convert(args: argparse.Namespace) -> str:
    if not args.target.endswith(".safetensors"):
        raise ValueError(f"the target must end in .safetensors, got {args.target}")
    size = None
    if args.input_size is not None:
        match = re.fullmatch(r"(\d+)x(\d+)", args.input_size)
        if match is None:
            raise ValueError(f"--input-size must be WIDTHxHEIGHT, got {args.input_size}")
        size = (int(match[1]), int(match[2]))
    metadata = convert(args.source, args.target, model=args.model, input_size=size)
    return "\n".join(f"{key}: {value}" for key, value in metadata.items())


if __name__ == "__main__":
    raise SystemExit(main())
