"""Gates for CI: a number that must not be too low, or fall too far; a failed one is exit code 3."""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence

from pose_eval.analysis.compare import Comparison
from pose_eval.coco.tables import SettingsError

Gates = Sequence[tuple[str, float]]
FAILED = 3


def add_gate(parser: argparse._ActionsContainer, help: str) -> None:
    """Add --fail-below."""
    parser.add_argument(
        "--fail-below", type=gate, action="append", default=[], metavar="AP=0.74", help=help
    )


def gate(text: str) -> tuple[str, float]:
    """Read NAME=NUMBER."""
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


def too_low(stats: Mapping[str, float | None], gates: Gates) -> list[str]:
    """Return one line for each number below its limit; raises SettingsError for unknown names."""
    check_names(stats, gates)
    lines = []
    for name, limit in gates:
        value = stats[name]
        if value is None:
            lines.append(f"{name} has no value here, so it is not known to reach {limit:g}")
        elif value < limit:
            lines.append(f"{name} is {value:.6f}, below {limit:g}")
    return lines


def fallen(stats: Mapping[str, float | None], comparison: Comparison, gates: Gates) -> list[str]:
    """Return one line for each number that is lower in b than in a by more than its limit."""
    check_names(stats, gates)
    lines = []
    for name, limit in gates:
        change = comparison.changes.get(name)
        if change is None:
            lines.append(f"{name} has no value in both, so its drop is not known")
        elif -change.delta > limit:
            lines.append(
                f"{name} fell by {-change.delta:.6f} ({change.a:.6f} to {change.b:.6f}), "
                f"more than {limit:g}"
            )
    return lines


def check_names(stats: Mapping[str, float | None], gates: Gates) -> None:
    """Raise SettingsError that lists the names where a gate has another."""
    for name, _ in gates:
        if name not in stats:
            raise SettingsError(
                f"a gate is about {name!r}, which is not measured; there are {', '.join(stats)}"
            )


def outcome(failures: Iterable[str]) -> int:
    """Print the gates that failed; returns the exit code."""
    code = 0
    for failure in failures:
        print(f"pose-eval: gate failed: {failure}", file=sys.stderr)
        code = FAILED
    return code
