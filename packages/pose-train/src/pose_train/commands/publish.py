"""pose-train publish SOURCE --repo USER/NAME: a trained network on the Hugging Face hub."""

import argparse

from pose_train.commands.options import WEIGHTS, add_source
from pose_train.words import note

HELP = "Upload a trained network to the Hugging Face hub, with its config and a model card."
EXAMPLES = "pose-train publish runs/mine --repo USER/NAME --license apache-2.0"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source(parser)
    add = parser.add_argument
    add("--repo", required=True, metavar="USER/NAME", help="made if there is none")
    add("--weights", **WEIGHTS)
    add("--private", action="store_true", help="nobody else sees it")
    add(
        "--license",
        metavar="ID",
        help="of the weights, as the hub names it: apache-2.0, mit, cc-by-4.0 ...",
    )


def run(args: argparse.Namespace) -> int:
    """Upload and print the URL, and how to use what is there."""
    from pose_train.inference.load import load_trained
    from pose_train.inference.publish import publish

    trained = load_trained(args.source, weights=args.weights, device="cpu")
    note(f"weights: {trained.origin}")
    if args.license is None:
        note("note: the model card states no licence: say which with --license, e.g. apache-2.0")
    url = publish(trained, args.repo, private=args.private, license=args.license)
    print(f"{url}: pose-train predict hf://{args.repo} photo.jpg --out found")
    return 0
