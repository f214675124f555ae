"""pose-train export SOURCE --out FILE: a trained network for other programs."""

import argparse
from pathlib import Path

from pose_train.commands.options import COUNT, OFFLINE, SIZE, WEIGHTS, add_source
from pose_train.words import note

HELP = "Write a trained network as ONNX, TorchScript or torch.export."
EXAMPLES = "pose-train export runs/mine --format onnx --out net.onnx"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source(parser)
    add = parser.add_argument
    # inference.export.FORMATS
    add("--format", choices=("onnx", "torchscript", "torch-export"), default="onnx")
    add("--out", type=Path, required=True, help="the file to write")
    add("--weights", **WEIGHTS)
    add("--input-size", **SIZE, help="default: that of the config; bottom-up, any")
    add("--batch", **COUNT, help="always take N images at once; default: any number")
    add(
        "--half",
        action="store_true",
        help="weights and arithmetic of 16 bits; maps stay float32",
    )
    add("--opset", **COUNT, help="of ONNX; default 18")
    add("--offline", **OFFLINE)


def run(args: argparse.Namespace) -> int:
    from pose_train.inference.export import export
    from pose_train.inference.load import load_trained

    trained = load_trained(args.source, weights=args.weights, device="cpu")
    note(f"weights: {trained.origin}", *(f"note: {text}" for text in trained.notes))
    size = tuple(args.input_size) if args.input_size else None
    written = export(
        trained, args.out, args.format, size, opset=args.opset, half=args.half, batch=args.batch
    )
    print(written)
    return 0
