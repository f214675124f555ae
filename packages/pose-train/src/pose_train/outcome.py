"""What a run makes of its result rows: the numbers, the page, the best checkpoint."""

import json
from typing import Any

from pose_train.checkpoints import BEST, Training
from pose_train.ranks import gather
from pose_train.report import write_report
from pose_train.run import Outcome, Run, record, save, say
from pose_train.rundir import read_metrics, write_text
from pose_train.testing import evaluate_rows
from pose_train.timing import Timing

RESULTS, SECONDS = "results.json", "seconds.json"


def finish_evaluation(
    run: Run, training: Training, rows: list[dict[str, Any]], timing: Timing, epoch: int
) -> Outcome | None:
    """Write results, page and the best checkpoint; None but in the first process."""
    seconds = timing.of_all(run.ranks)
    if not run.ranks.is_first:
        return None
    write_text(run.dir / RESULTS, json.dumps(rows))
    write_text(run.dir / SECONDS, json.dumps(sorted(seconds.items())))
    evaluation = evaluate_rows(rows, run.sets.val)
    ap = evaluation.stats["AP"] or 0.0  # None where the ground truth has nothing to find
    place = {"kind": "val", "epoch": epoch, "step": training.progress.step}
    record(run, training, place | evaluation.stats)
    say(run, f"epoch {epoch}: AP {ap:.3f}")
    if ap >= training.progress.best_ap:  # of equal ones the newer
        training.progress.best_ap = ap
        save(run, training, BEST)
    page = write_report(run.dir, run.config, evaluation, run.sets.val, seconds)
    return Outcome(evaluation, page)


def is_evaluated(run: Run, training: Training) -> bool:
    """Tell whether the last evaluation was of these weights, the same in all processes."""
    is_same = False
    if run.ranks.is_first and (run.dir / RESULTS).is_file():
        steps = [line["step"] for line in read_metrics(run.dir) if line["kind"] == "val"]
        is_same = steps[-1:] == [training.progress.step]
    return any(gather(is_same, run.ranks))


def shown_again(run: Run) -> Outcome | None:
    """Return what a run that was resumed after its end came to; None but in the first process."""
    if not run.ranks.is_first:
        return None
    rows = json.loads((run.dir / RESULTS).read_text(encoding="utf-8"))
    timed = run.dir / SECONDS  # runs of earlier versions have none
    seconds = dict(json.loads(timed.read_text(encoding="utf-8"))) if timed.is_file() else {}
    evaluation = evaluate_rows(rows, run.sets.val)
    page = write_report(run.dir, run.config, evaluation, run.sets.val, seconds)
    return Outcome(evaluation, page)
