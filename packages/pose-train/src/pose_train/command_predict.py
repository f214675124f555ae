"""Find people in pictures and videos, draw them, and write them as JSON."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "source",
        help="a run directory, a checkpoint, a preset, a YAML file, or an exported NAME.onnx",
    )
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
        "--gt",
        type=Path,
        help="annotation file of the pictures: predict those that it names, and write its image "
        "and category ids, as pose-eval wants them",
    )
    parser.add_argument(
        "--box-score", type=float, default=0.3, help="leave out boxes below it (default 0.3)"
    )
    parser.add_argument(
        "--min-score", type=float, default=0.2, help="draw joints from this score on (default 0.2)"
    )
    parser.add_argument(
        "--csv",
        action="store_true",
        help="write predictions.csv, too: image, frame, time, person, keypoint, x, y, score",
    )
    parser.add_argument(
        "--bits",
        type=int,
        metavar="N",
        help="in use of 16-bit pictures, 8 to 16; default: data.bits of the network's training",
    )
    parser.add_argument("--no-draw", action="store_true", help="write the JSON alone")
    parser.add_argument("--no-flip", action="store_true", help="without the mirrored picture")
    parser.add_argument(
        "--device",
        default="auto",
        help="cpu, cuda, cuda:1 ..., of ONNX also openvino; default auto: cuda if there, else cpu",
    )
    parser.add_argument(
        "--threads", type=int, metavar="N", help="on a CPU; default: as many as cores are free"
    )


def main(args: argparse.Namespace) -> int:
    """Run the command; 1 where some inputs could not be read, or not to the end."""
    from pose_train.boxes import read_boxes, read_ids
    from pose_train.config import ConfigError
    from pose_train.cores import choose_threads
    from pose_train.drawing import predict_inputs
    from pose_train.inputs import PICTURES, VIDEOS, find_inputs
    from pose_train.predictor import Predictor, load_network

    if args.out.suffix.lower() in (*PICTURES, *VIDEOS) and not args.out.is_dir():
        raise ConfigError(f"--out {args.out} must be a folder: drawings and rows go into it")
    if args.threads is not None and args.threads < 1:
        raise ConfigError(f"--threads must be at least 1, got {args.threads}")
    if args.bits is not None and not 8 <= args.bits <= 16:
        raise ConfigError(f"--bits must be from 8 to 16, got {args.bits}")
    inputs = find_inputs(args.inputs, args.out)
    gt = None if args.gt is None else read_ids(args.gt)
    network = load_network(
        args.source,
        weights=args.weights,
        device=args.device,
        threads=choose_threads(args.threads, to=sys.stderr),
    )
    if args.bits is not None:
        network = replace(network, usage=replace(network.usage, bits=args.bits))
    predictor = Predictor(network, flip_test=False if args.no_flip else None)
    print(f"weights: {predictor.network.origin}", file=sys.stderr)
    for note in predictor.network.notes:
        print(f"note: {note}", file=sys.stderr)
    boxes = None
    if args.boxes is not None:
        count = predictor.skeleton.num_keypoints
        boxes = read_boxes(args.boxes, args.box_score, gt, count)
        for notice in boxes.notices:
            print(notice, file=sys.stderr)
    elif not predictor.network.usage.is_bottomup:
        print(
            "note: the whole picture is taken for one person; for several, or small ones, give a "
            "detector's boxes: --boxes FILE",
            file=sys.stderr,
        )
    summary = predict_inputs(
        predictor,
        inputs,
        args.out,
        boxes,
        gt,
        draw=not args.no_draw,
        csv=args.csv,
        min_score=args.min_score,
    )
    # A name may hold bytes that are no text.
    print(str(summary).encode(errors="backslashreplace").decode())
    return 1 if summary.problems else 0
