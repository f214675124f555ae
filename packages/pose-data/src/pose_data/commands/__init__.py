"""The commands of `pose-data`, one file each.

A file has HELP (a sentence), EXAMPLES (lines below the help), `add_arguments(parser)` and
`run(args) -> exit code`. All are imported for any help: only `run` imports what takes time.
"""

import argparse
from collections.abc import Iterable
from importlib import import_module


def add_arguments(parser: argparse.ArgumentParser, package: str, names: Iterable[str]) -> None:
    """Add the commands of a package, in the order of help, and what every one of them takes.

    package: has them in `commands`, as files of this protocol; pose-train's, too.
    """
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in names:
        module = import_module(f"{package}.commands.{name}")
        examples = module.EXAMPLES.replace("\n", "\n  ")
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.HELP,
            epilog=f"examples:\n  {examples}" if examples else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
        said = command.add_argument_group("messages").add_mutually_exclusive_group()
        said.add_argument("-q", "--quiet", action="store_true", help="results and errors alone")
        said.add_argument(
            "-v", "--verbose", action="store_true", help="all of the log, and tracebacks of errors"
        )
