"""Write a trained network as ONNX, TorchScript or torch.export, for any batch size."""

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


def main(args: argparse.Namespace) -> int:
    """Run the command."""
    from pose_train.export import export
    from pose_train.trained import load_trained

    trained = load_trained(args.source, weights=args.weights, device="cpu")
    print(f"weights: {trained.origin}")
    for note in trained.notes:
        print(f"note: {note}")
    size = tuple(args.input_size) if args.input_size else None
    print(export(trained, args.out, args.format, size))
    return 0
