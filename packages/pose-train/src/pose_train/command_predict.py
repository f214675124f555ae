"""Find people in pictures and videos, draw them, and write them as JSON."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("source", help="a run directory, a checkpoint, a preset or a YAML file")
    parser.add_argument(
        "inputs",
        nargs="+",
        help="pictures, videos, folders of pictures, or patterns such as '*.jpg'",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for pictures and JSON")
    parser.add_argument(
        "--weights", help="checkpoint; not needed for a run directory or one itself"
    )
    parser.add_argument(
        "--boxes", type=Path, help="JSON of the persons' boxes (top-down); else whole pictures"
    )
    parser.add_argument(
        "--box-score", type=float, default=0.3, help="leave out boxes below it (default 0.3)"
    )
    parser.add_argument(
        "--min-score", type=float, default=0.2, help="draw joints from this score on (default 0.2)"
    )
    parser.add_argument("--no-draw", action="store_true", help="write the JSON alone")
    parser.add_argument("--no-flip", action="store_true", help="without the mirrored picture")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1 ...; default auto")


def main(args: argparse.Namespace) -> int:
    """Run the command; 1 where some inputs could not be read."""
    from pose_train.drawing import Summary, predict_inputs
    from pose_train.inputs import find_inputs, read_boxes
    from pose_train.predictor import Predictor

    inputs = find_inputs(args.inputs)
    boxes = None if args.boxes is None else read_boxes(args.boxes, args.box_score)
    predictor = Predictor.from_checkpoint(
        args.source,
        weights=args.weights,
        device=args.device,
        flip_test=False if args.no_flip else None,
    )
    summary: Summary = predict_inputs(
        predictor, inputs, args.out, boxes, draw=not args.no_draw, min_score=args.min_score
    )
    print(summary)
    return 1 if summary.skipped else 0
