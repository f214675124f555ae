# PYTHON_ARGCOMPLETE_OK
"""The command line: pose-eval RESULTS.json --gt ANNOTATIONS.json, and the other commands."""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

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
    if "_ARGCOMPLETE" in os.environ:  # a shell asks for completions (extra: completion)
        complete(os.environ["COMP_LINE"].split()[1:])
    words = list(sys.argv[1:] if argv is None else argv)
    command = words.pop(0) if words and words[0] in COMMANDS else "evaluate"
    args = parser(command).parse_args(words)
    try:
        # Imported only now: help and mistakes do not wait for numpy.
        module = import_module(f"pose_eval.commands.{COMMANDS[command]}")
    except ImportError as error:  # a library is missing or broken
        if (error.name or "").startswith("pose_"):
            raise
        return _failed(1, error, args)
    from pose_eval.coco.tables import ResultsError, SettingsError

    try:
        code: int = getattr(module, command)(args)
        sys.stdout.flush()
    except SettingsError as error:
        return _failed(2, error, args)
    except ResultsError as error:
        return _failed(1, error, args)
    except OSError as error:
        if not isinstance(error, BrokenPipeError):  # as of `head`, which has enough
            where = "" if error.filename is None else f"{error.filename}: "
            _failed(1, f"{where}{error.strerror or error}", args)
        try:
            sys.stdout.flush()
        except OSError:  # of the output: Python would complain once more when it exits
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("pose-eval: interrupted", file=sys.stderr)
        return 130
    return code


def _failed(code: int, reason: object, args: argparse.Namespace) -> int:
    """Print the sentence of the error being handled, with --verbose where it was raised; a code."""
    if args.verbose:
        traceback.print_exc()
    print(printable(f"pose-eval: error: {reason}"), file=sys.stderr)
    return code


def complete(words: Sequence[str]) -> None:
    """Give the shell its completions; the commands are alternatives to a results file."""
    import argcomplete

    if words and words[0].startswith("-"):
        argcomplete.autocomplete(parser("evaluate"))
    whole = argparse.ArgumentParser()
    commands = whole.add_subparsers()
    for name in COMMANDS:
        commands.add_parser(name, parents=[parser(name)], add_help=False)
    is_command = len(words) < 2 or words[0] in COMMANDS
    argcomplete.autocomplete(whole if is_command else parser("evaluate"))


if __name__ == "__main__":
    raise SystemExit(main())
