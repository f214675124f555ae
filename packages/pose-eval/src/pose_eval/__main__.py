"""The command line: pose-eval RESULTS.json --gt ANNOTATIONS.json, and the other commands."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from pose_eval.coco.tables import ResultsError, SettingsError
from pose_eval.commands.options import parser
from pose_eval.render.table import printable

# The module of `commands` that has the function of that name; without one it is `evaluate`.
COMMANDS = {
    "evaluate": "evaluate",
    **dict.fromkeys(("errors", "compare", "pck"), "understand"),
    **dict.fromkeys(("check", "nms", "sigmas"), "files"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns 0 done, 1 bad data, 2 bad arguments, 3 a gate failed."""
    words = list(sys.argv[1:] if argv is None else argv)
    command = words.pop(0) if words and words[0] in COMMANDS else "evaluate"
    args = parser(command).parse_args(words)
    module = import_module(f"pose_eval.commands.{COMMANDS[command]}")
    try:
        code: int = getattr(module, command)(args)
        sys.stdout.flush()
    except SettingsError as error:
        print(printable(f"pose-eval: {error}"), file=sys.stderr)
        return 2
    except ResultsError as error:
        print(printable(f"pose-eval: {error}"), file=sys.stderr)
        return 1
    except BrokenPipeError:  # `pose-eval ... | head`: whoever read the output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    return code


if __name__ == "__main__":
    raise SystemExit(main())
