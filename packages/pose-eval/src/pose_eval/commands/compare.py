"""pose-eval compare A B --gt GT: what changed, how sure that is, and a gate for CI."""

import argparse
from collections.abc import Iterable, Mapping, Sequence

from pose_eval.analysis.compare import Comparison, compare
from pose_eval.commands import options
from pose_eval.render import comparison

EPILOG = "exit codes: 0 done, 1 bad data, 2 bad arguments, 3 a gate failed"
WRITERS = {"text": comparison.text, "md": comparison.markdown, "html": comparison.page}


def run(argv: Sequence[str]) -> int:
    """Run the command; returns 3 where a gate fails."""
    args = parser().parse_args(argv)
    report_a, report_b = options.read_reports(args, args.a, args.b)
    found = compare(report_a, report_b, replicates=args.bootstrap, seed=args.seed)
    stats = report_b.all_stats()
    failures = options.too_low(stats, args.fail_below) + _fallen(stats, found, args.fail_drop)
    if args.format == "json":
        output = options.as_json(found.section() | {"failed": failures})
    else:
        output = WRITERS[args.format](found, args.digits)
    options.emit(output, args.out)
    return options.exit_code(failures)


def _fallen(
    stats: Mapping[str, float | None], found: Comparison, gates: Iterable[tuple[str, float]]
) -> list[str]:
    """Return one line for each number that is lower in b than in a by more than its limit."""
    lines = []
    for name, limit in gates:
        options.gated(stats, name)
        change = found.changes.get(name)
        if change is None:
            lines.append(f"{name} has no value in both, so its drop is not known")
        elif -change.delta > limit:
            values = f"{-change.delta:.6f} ({change.a:.6f} to {change.b:.6f})"
            lines.append(f"{name} fell by {values}, more than {limit:g}")
    return lines


def parser() -> argparse.ArgumentParser:
    """Return the parser of this command."""
    return options.command_parser(
        "compare",
        "Compare results b with results a on the same ground truth.",
        {"a": "the results to compare with", "b": "the results that gates are about"},
        {
            **options.SETTINGS,
            "comparison": ("--fail-below", "--fail-drop", "--bootstrap", "--seed"),
            "output": options.OUTPUT,
        },
        {
            "--format": {"choices": ("text", "json", "md", "html")},
            "--fail-below": {"help": "exit with 3 if this number of b is lower; repeatable"},
        },
        EPILOG,
    )
