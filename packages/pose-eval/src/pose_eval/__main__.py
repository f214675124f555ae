"""The command line: pose-eval RESULTS.json --gt ANNOTATIONS.json, and the other commands."""

import os
import sys
from collections.abc import Callable, Sequence

from pose_eval.coco.tables import ResultsError, SettingsError
from pose_eval.render.text import OutputError


def evaluate(argv: Sequence[str]) -> int:
    """Print AP and AR of a results file."""
    from pose_eval.commands.evaluate import run

    return run(argv)


def check(argv: Sequence[str]) -> int:
    """Check a results or annotation file without evaluating it."""
    from pose_eval.commands.check import run

    return run(argv)


def errors(argv: Sequence[str]) -> int:
    """Print what goes wrong at the joints, and what it costs."""
    from pose_eval.commands.errors import run

    return run(argv)


def compare(argv: Sequence[str]) -> int:
    """Compare two results files on the same ground truth."""
    from pose_eval.commands.compare import run

    return run(argv)


def nms(argv: Sequence[str]) -> int:
    """Remove duplicate detections from a results file."""
    from pose_eval.commands.nms import run

    return run(argv)


def pck(argv: Sequence[str]) -> int:
    """Print PCK, AUC, EPE and NME."""
    from pose_eval.commands.pck import run

    return run(argv)


def sigmas(argv: Sequence[str]) -> int:
    """Print sigmas from repeated annotations."""
    from pose_eval.commands.sigmas import run

    return run(argv)


# Each imports what it needs when it is called. Without one of these words it is `evaluate`.
COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "evaluate": evaluate,
    "check": check,
    "errors": errors,
    "compare": compare,
    "nms": nms,
    "pck": pck,
    "sigmas": sigmas,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns 0 done, 1 bad data, 2 bad arguments, 3 a gate failed."""
    words = list(sys.argv[1:] if argv is None else argv)
    command = COMMANDS["evaluate"]
    if words and words[0] in COMMANDS:
        command = COMMANDS[words.pop(0)]
    try:
        code = command(words)
        sys.stdout.flush()
    except (SettingsError, OutputError) as error:
        print(f"pose-eval: {error}", file=sys.stderr)
        return 2
    except ResultsError as error:
        print(f"pose-eval: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `pose-eval ... | head`: whoever read the output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    return code


if __name__ == "__main__":
    raise SystemExit(main())
