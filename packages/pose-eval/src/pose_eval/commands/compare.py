"""pose-eval compare A B --gt GT: what changed, how sure that is, and a gate for CI."""

import argparse
import json
from collections.abc import Sequence

from pose_eval.analysis.compare import compare
from pose_eval.commands.arguments import add_output, add_settings, read_reports
from pose_eval.commands.gates import add_gate, drop_gate, fallen, outcome, too_low
from pose_eval.render import comparison
from pose_eval.render.text import emit

EPILOG = """exit codes: 0 done, 1 bad data, 2 bad arguments, 3 a gate failed"""
WRITERS = {"text": comparison.text, "md": comparison.markdown, "html": comparison.page}


def run(argv: Sequence[str]) -> int:
    """Run the command; returns 3 where a gate fails."""
    args = parser().parse_args(argv)
    report_a, report_b = read_reports(args, (args.a, args.b))
    found = compare(report_a, report_b, replicates=args.bootstrap, seed=args.seed)
    stats = report_b.all_stats()
    failures = too_low(stats, args.fail_below) + fallen(stats, found, args.fail_drop)
    if args.format == "json":
        content = found.section() | {"failed": failures}
        output = json.dumps(content, indent=2, allow_nan=False) + "\n"
    else:
        output = WRITERS[args.format](found, args.digits)
    emit(output, args.out)
    return outcome(failures)


def parser() -> argparse.ArgumentParser:
    """Return the parser of this command."""
    found = argparse.ArgumentParser(
        prog="pose-eval compare",
        description="Compare results B with results A on the same ground truth.",
        epilog=EPILOG,
    )
    found.add_argument("a", metavar="A", help="the results to compare with")
    found.add_argument("b", metavar="B", help="the results that gates are about")
    add_settings(found)
    group = found.add_argument_group("comparison")
    add_gate(group, "exit with 3 if this number of B is lower; may be repeated")
    add = group.add_argument
    add("--bootstrap", type=positive, default=1000, metavar="N", help="replicates (1000)")
    add("--seed", type=int, default=0, help="of the bootstrap (0)")
    add(
        "--fail-drop",
        type=drop_gate,
        action="append",
        default=[],
        metavar="0.002",
        help="exit with 3 if AP falls by more from A to B; NAME=0.002 for another number",
    )
    add_output(found, ("text", "json", "md", "html"))
    return found


def positive(text: str) -> int:
    """Read a whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
