"""pose-eval compare A B --gt GT: what changed, how sure that is, and a gate for CI."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence

from pose_eval.analysis.compare import Comparison, compare
from pose_eval.commands.arguments import add_output, add_settings, read_reports
from pose_eval.render.text import emit

EPILOG = """exit codes: 0 done, 1 bad data, 2 bad arguments, 3 a gate failed"""
SHOWN = 10


def run(argv: Sequence[str]) -> int:
    """Run the command; returns 3 where a gate fails."""
    args = parser().parse_args(argv)
    report_a, report_b = read_reports(args, (args.a, args.b))
    comparison = compare(report_a, report_b, replicates=args.bootstrap, seed=args.seed)
    failures = failed(report_b.all_stats(), comparison, args.fail_below, args.fail_drop)
    if args.format == "json":
        content = comparison.section() | {"failed": failures}
        output = json.dumps(content, indent=2, allow_nan=False) + "\n"
    else:
        output = text(comparison, args.digits)
    emit(output, args.out)
    for failure in failures:
        print(f"pose-eval: gate failed: {failure}", file=sys.stderr)
    return 3 if failures else 0


def text(comparison: Comparison, digits: int = 3) -> str:
    """Return a table of the numbers and one of the images that changed most."""
    wide = digits + 4
    names = max([10, *map(len, comparison.changes)])
    lines = [
        f"a = {comparison.name_a}",
        f"b = {comparison.name_b}",
        "",
        f"{'':{names}s} {'a':>{wide}s} {'b':>{wide}s} {'b - a':>{wide + 1}s}  "
        f"{'95 % interval':^{2 * wide + 4}s}  p",
    ]
    for name, c in comparison.changes.items():
        lines.append(
            f"{name:{names}s} {c.a:{wide}.{digits}f} {c.b:{wide}.{digits}f} "
            f"{c.delta:+{wide + 1}.{digits}f}  "
            f"[{c.low:+{wide}.{digits}f}, {c.high:+{wide}.{digits}f}]  {c.p:.3f}"
        )
    lines += [
        f"{name:{names}s} {'-':>{wide}s} {'-':>{wide}s} {'-':>{wide + 1}s}"
        for name in comparison.unmeasured
    ]
    lines += [
        "",
        f"paired bootstrap over images, {comparison.replicates} replicates, "
        f"seed {comparison.seed}; persons are found better or worse in {len(comparison.images)} "
        "images",
    ]
    if comparison.images:
        lines += ["", "images that changed most (sum over persons of the change in OKS):"]
    for image in comparison.images[:SHOWN]:
        lines.append(
            f"  {image.change:+.{digits}f}  image {image.image_id}  {image.file_name}  "
            f"({image.persons} persons, mean OKS {image.a:.{digits}f} -> {image.b:.{digits}f})"
        )
    return "\n".join(lines) + "\n"


def failed(
    stats: Mapping[str, float | None],
    comparison: Comparison,
    below: Sequence[tuple[str, float]],
    drop: Sequence[tuple[str, float]],
) -> list[str]:
    """Return one line for each gate that results b do not pass."""
    lines = []
    for name, limit in below:
        value = stats.get(name)
        if value is None:
            lines.append(f"{name} has no value here, so it is not known to reach {limit:g}")
        elif value < limit:
            lines.append(f"{name} is {value:.6f}, below {limit:g}")
    for name, limit in drop:
        change = comparison.changes.get(name)
        if change is None:
            lines.append(f"{name} has no value in both, so its drop is not known")
        elif -change.delta > limit:
            lines.append(
                f"{name} fell by {-change.delta:.6f} ({change.a:.6f} to {change.b:.6f}), "
                f"more than {limit:g}"
            )
    return lines


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
    add = found.add_argument_group("comparison").add_argument
    add("--bootstrap", type=positive, default=1000, metavar="N", help="replicates (1000)")
    add("--seed", type=int, default=0, help="of the bootstrap (0)")
    add(
        "--fail-below",
        type=gate,
        action="append",
        default=[],
        metavar="AP=0.74",
        help="exit with 3 if this number of B is lower; may be repeated",
    )
    add(
        "--fail-drop",
        type=drop_gate,
        action="append",
        default=[],
        metavar="0.002",
        help="exit with 3 if AP falls by more from A to B; NAME=0.002 for another number",
    )
    add_output(found)
    return found


def positive(text: str) -> int:
    """Read a whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def gate(text: str) -> tuple[str, float]:
    """Read NAME=NUMBER; the name must be one that an evaluation can have."""
    name, _, number = text.partition("=")
    if not name.startswith(("AP", "AR")):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=NUMBER such as AP=0.74")
    try:
        limit = float(number)
    except ValueError:
        limit = float("nan")
    if not 0 <= limit <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: the limit must be a number from 0 to 1")
    return name, limit


def drop_gate(text: str) -> tuple[str, float]:
    """Read NAME=NUMBER, or a number alone, which is for AP."""
    return gate(text if "=" in text else f"AP={text}")
