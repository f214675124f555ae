"""Say what is installed, which devices there are, and what commonly goes wrong."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes: nothing."""


def main(args: argparse.Namespace) -> int:
    """Run the command; 1 where something is wrong."""
    from pose_train.doctor import examine

    lines, problems = examine()
    print("\n".join(lines))
    for problem in problems:
        print(f"problem: {problem}")
    print("no problems found" if not problems else f"{len(problems)} to look at")
    return 1 if problems else 0
