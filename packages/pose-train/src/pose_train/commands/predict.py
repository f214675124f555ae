"""pose-train predict SOURCE INPUT ... --out DIR: people in images, videos, cameras, streams."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pose_data.errors import printable
from pose_train.commands.options import COUNT, OFFLINE, WEIGHTS
from pose_train.words import are_notes_shown, note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pose_train.files.inputs import Input

HELP = "Find people in images and videos, draw them, and write them as JSON."
EXAMPLES = """pose-train predict runs/mine photos/ film.mp4 --out drawn/
pose-train predict hrnet_w32 film.mp4 --track --csv --out drawn/
pose-train predict hrnet_w32 0 --show --out drawn/
pose-train predict net.onnx 'a/**/*.jpg' --boxes boxes.json --no-draw --out found/"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "source",
        help="a run directory, a checkpoint, hf://USER/NAME, a preset, a YAML file, or an exported "
        "NAME.onnx",
    )
    add(
        "inputs",
        nargs="+",
        help="images, videos, folders with all below them, patterns such as 'a/**/*.jpg', the "
        "number of a camera, rtsp:// and http:// addresses, or - for a list of these on stdin",
    )
    add("--recursive", action="store_true", help="search all folders below, as is always done")
    add = parser.add_argument_group("whose keypoints").add_argument
    add("--boxes", type=Path, help="JSON of the persons' boxes (top-down)")
    add(
        "--gt",
        type=Path,
        help="annotation file of the images: predict those that it names, and write its image and "
        "category ids, as pose-eval wants them",
    )
    add("--box-score", type=float, default=0.3, help="leave out boxes below it (default 0.3)")
    add(
        "--detector",
        nargs="?",
        const="",  # inference.detect.DEFAULT_DETECTOR
        metavar="MODEL",
        help="find the people (top-down): a folder or Hugging Face name of a detector, or an ONNX "
        "file; without MODEL RT-DETR v2; extra pose-train[detect]. A network of COCO's keypoints "
        "that was trained on photographs does so without being asked to, where the extra is "
        "installed and the files are in the hub's cache, or can be fetched: on a terminal, without "
        "--offline",
    )
    add(
        "--whole-image",
        action="store_true",
        help="take each image for one person, as is done where nothing finds people",
    )
    add("--det-score", type=float, default=0.5, help="leave out its boxes below it; default 0.5")
    add("--det-nms", type=float, default=0.7, help="largest IoU of two of them; default 0.7")
    add("--classes", nargs="+", default=["person"], metavar="NAME", help="default: person")
    add = parser.add_argument_group("videos and cameras").add_argument
    add("--every", **COUNT, help="of videos and cameras, every N-th frame; default each")
    add("--track", action="store_true", help="number people over a video (track_id)")
    add("--smooth", action="store_true", help="smooth keypoints over a video; tracks")
    add(
        "--live",
        action="store_true",
        help="write predictions.jsonl, too: a row a line, as they come",
    )
    add(
        "--allow-download",
        action="store_true",
        help="take images and recorded videos at http(s) addresses",
    )
    add = parser.add_argument_group("what is written and shown").add_argument
    add("--out", type=Path, required=True, help="folder for drawings and JSON")
    add(
        "--csv",
        action="store_true",
        help="write predictions.csv, too: image, frame, time, person, keypoint, x, y, score",
    )
    add("--no-draw", action="store_true", help="write the JSON alone")
    add("--show", action="store_true", help="show drawings in a window; q or Esc ends")
    add(
        "--contact-sheet",
        action="store_true",
        help="write contact-sheet.jpg: up to 100 of the drawings, small, evenly spaced",
    )
    add = parser.add_argument_group("drawings").add_argument
    add(
        "--min-score",
        type=float,
        default=0.2,
        help="draw keypoints from this score on (default 0.2)",
    )
    add(
        "--person-score",
        type=float,
        help="draw people from this score on; default 0, bottom-up 0.2",
    )
    add(
        "--colours",
        choices=("side", "identity"),
        help="of drawings: by side, or one for each person; default side, in tracked videos "
        "identity",
    )
    add("--draw-boxes", action="store_true", help="draw people's boxes and scores, too")
    add = parser.add_argument_group("the network, and what it runs on").add_argument
    add("--weights", **WEIGHTS)
    add(
        "--bits",
        **COUNT,
        help="bits in use in 16-bit images, 8 to 16; default: data.bits of the training",
    )
    add("--no-flip", action="store_true", help="without the flip test")
    add("--batch-size", **COUNT, help="boxes at once; default 32")
    add(
        "--parts",
        **COUNT,
        help="in so many parts, which processes of torchrun share (by default 4 each); a run that "
        "ended early does what is missing",
    )
    add(
        "--amp",
        choices=("off", "bf16", "fp16", "auto"),
        default="off",
        help="compute with 16 bits: faster where the hardware has them, which auto finds out",
    )
    add("--compile", action="store_true", help="by torch.compile, for many inputs")
    add(
        "--device",
        default="auto",
        help="cpu, cuda, cuda:1 ..., mps, of ONNX also openvino; default auto: cuda if there, else "
        "mps, else cpu",
    )
    add("--threads", **COUNT, help="on a CPU; default: as many as cores are free")
    add("--offline", **OFFLINE)


def run(args: argparse.Namespace) -> int:
    """Run the command; 1 where some inputs could not be read, or not to the end."""
    from dataclasses import replace

    from pose_train.config.schema import ConfigError
    from pose_train.cores import choose_threads
    from pose_train.files.boxes import read_boxes, read_ids
    from pose_train.files.contact_sheet import check_contact_sheet, write_contact_sheet
    from pose_train.files.inputs import IMAGES, VIDEOS, find_inputs
    from pose_train.files.live import Window
    from pose_train.inference.detect import WHOLE, find_detector
    from pose_train.inference.predict import predict_inputs
    from pose_train.inference.predictor import Predictor, load_network
    from pose_train.inference.rows import find_parts

    if args.out.suffix.lower() in (*IMAGES, *VIDEOS) and not args.out.is_dir():
        raise ConfigError(f"--out {args.out} must be a folder: drawings and rows go into it")
    for name in ("threads", "batch_size", "every"):
        if (value := getattr(args, name)) is not None and value < 1:
            raise ConfigError(f"--{name.replace('_', '-')} must be at least 1, got {value}")
    if args.bits is not None and not 8 <= args.bits <= 16:
        raise ConfigError(f"--bits must be from 8 to 16, got {args.bits}")
    inputs = find_inputs(args.inputs, args.out, allow_download=args.allow_download)
    if args.show or args.live or any(entry.is_live for entry in inputs):
        _check_live(args, inputs)
    if args.contact_sheet:
        check_contact_sheet(inputs, args.no_draw)
    window = Window() if args.show else None
    gt = None if args.gt is None else read_ids(args.gt)
    threads = choose_threads(args.threads, to=sys.stderr)
    network = load_network(
        args.source,
        weights=args.weights,
        device=args.device,
        threads=threads,
        amp=args.amp,
        compiled=args.compile,
    )
    if args.bits is not None:
        network = replace(network, usage=replace(network.usage, bits=args.bits))
    messages = [f"weights: {network.origin}", *(f"note: {note}" for note in network.notes)]
    boxes = detector = None
    if args.boxes is not None:
        boxes = read_boxes(args.boxes, args.box_score, gt, network.usage.skeleton.num_keypoints)
        messages += boxes.notices
    if args.detector is not None or args.whole_image or (network.of_people and boxes is None):
        detector, found = find_detector(args, network, threads)
        messages += found
    elif boxes is None and not network.usage.is_bottomup:
        messages.append(
            f"{WHOLE}; for several, or small ones, let a detector find them (--detector), or give "
            "its boxes: --boxes FILE"
        )
    predictor = Predictor(
        network,
        flip_test=False if args.no_flip else None,
        batch_size=32 if args.batch_size is None else args.batch_size,
        detector=detector,
    )
    if os.environ.get("RANK", "0") == "0":
        note(*messages, to=sys.stderr)
    origin = network.origin + ", detected" * bool(detector)
    parts = find_parts(args, [entry.name for entry in inputs], origin)
    summary = predict_inputs(
        predictor,
        inputs,
        args.out,
        boxes,
        gt,
        draw=not args.no_draw,
        csv=args.csv,
        min_score=args.min_score,
        person_score=args.person_score,
        colours=args.colours,
        draw_boxes=args.draw_boxes,
        track=args.track or args.smooth,
        smooth=args.smooth,
        every=args.every or 1,
        parts=parts,
        live=args.live,
        window=window,
    )
    if args.contact_sheet and (parts is None or parts.are_there()):
        write_contact_sheet(inputs, args.out)
    if not are_notes_shown():
        summary = replace(summary, notes=[], not_in_gt=0, outside=0)
    print(printable(summary), flush=True)
    if window is not None and summary.images:
        window.wait()
    return 1 if summary.problems else 0


def _check_live(args: argparse.Namespace, inputs: "Sequence[Input]") -> None:
    """Raise ConfigError for options that do not go with a camera, a stream, --show or --live."""
    from pose_train.config.schema import ConfigError

    if args.parts is not None or os.environ.get("WORLD_SIZE", "1") != "1":
        raise ConfigError(
            "a camera, a stream, --show and --live are for one process: leave --parts and torchrun "
            "out"
        )
    if inputs[0].is_live and not args.boxes is args.gt is None:
        raise ConfigError(f"no file knows the frames of {inputs[0].name}: leave --boxes, --gt out")
