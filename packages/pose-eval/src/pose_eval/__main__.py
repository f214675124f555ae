"""The command line: pose-eval RESULTS.json --gt ANNOTATIONS.json, and the other commands."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from pose_eval.coco.tables import ResultsError, SettingsError

# Each is a module of `commands`, imported when it is called. Without one of these words it is
# `evaluate`.
COMMANDS = ("evaluate", "check", "errors", "compare", "nms", "pck", "sigmas")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns 0 done, 1 bad data, 2 bad arguments, 3 a gate failed."""
    words = list(sys.argv[1:] if argv is None else argv)
    command = words.pop(0) if words and words[0] in COMMANDS else "evaluate"
    module = import_module(f"pose_eval.commands.{command}")
    try:
        code: int = module.run(words)
        sys.stdout.flush()
    except SettingsError as error:
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
