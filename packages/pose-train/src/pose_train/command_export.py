"""Write a trained network as ONNX, TorchScript or torch.export."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("source", help="a run directory, a checkpoint, a preset or a YAML file")
    parser.add_argument("--format", choices=("onnx", "torchscript", "torch-export"), default="onnx")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    parser.add_argument(
        "--weights", help="checkpoint; not needed for a run directory or one itself"
    )
    parser.add_argument(
        "--input-size",
        type=int,
        nargs=2,
        metavar=("W", "H"),
        help="default: that of the config; bottom-up, any",
    )
    parser.add_argument(
        "--batch",
        type=int,
        metavar="N",
        help="take N pictures at once, always; default: any number",
    )
    parser.add_argument(
        "--half", action="store_true", help="weights and arithmetic of 16 bits; maps stay float32"
    )
    parser.add_argument("--opset", type=int, metavar="N", help="of ONNX; default 18")


def main(args: argparse.Namespace) -> int:
    """Run the command."""
    from pose_train.export import export
    from pose_train.trained import load_trained

    trained = load_trained(args.source, weights=args.weights, device="cpu")
    print(f"weights: {trained.origin}")
    for note in trained.notes:
        print(f"note: {note}")
    size = tuple(args.input_size) if args.input_size else None
    said = export(
        trained, args.out, args.format, size, opset=args.opset, half=args.half, batch=args.batch
    )
    print(said)
    return 0
