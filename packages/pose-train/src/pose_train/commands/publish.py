"""publish: a trained network on the Hugging Face hub, for everybody to use."""

import argparse

from pose_train.inference.load import load_trained
from pose_train.inference.publish import publish


def main(args: argparse.Namespace) -> int:
    """Upload and print the URL, and how to use what is there."""
    trained = load_trained(args.source, weights=args.weights, device="cpu")
    print(f"weights: {trained.origin}")
    if args.license is None:
        print("note: the model card states no licence: say which with --license, e.g. apache-2.0")
    url = publish(trained, args.repo, private=args.private, license=args.license)
    print(f"{url}: pose-train predict hf://{args.repo} photo.jpg --out found")
    return 0
