"""What a run makes of its result rows: the numbers, the page, the best checkpoint."""

import json
from typing import Any

from pose_train.checkpoints import BEST, Training
from pose_train.config import Config
from pose_train.ranks import gather
from pose_train.report import write_report
from pose_train.run import Outcome, Run, record, save, say
from pose_train.rundir import read_metrics, write_text
from pose_train.testing import evaluate_rows
from pose_train.timing import Timing
from pose_train.watch import losses_text

RESULTS, SECONDS = "results.json", "seconds.json"


def is_due(config: Config, epoch: int) -> bool:
    """Tell whether an epoch is evaluated at its end."""
    every = None if config.eval is None else config.eval.every
    return every is not None and (epoch % every == 0 or epoch == config.train.epochs)


def finish_evaluation(
    run: Run,
    training: Training,
    rows: list[dict[str, Any]],
    losses: dict[str, float],
    timing: Timing,
    epoch: int,
) -> Outcome | None:
    """Write results, page and the best checkpoint; None but in the first process.

    losses: those of the evaluated set, by name; {} where eval.loss is off.
    """
    seconds = timing.of_all(run.ranks)
    if not run.ranks.is_first:
        return None
    write_text(run.dir / RESULTS, json.dumps(rows))
    write_text(run.dir / SECONDS, json.dumps(sorted(seconds.items())))
    val, _ = run.sets.evaluated
    evaluation = evaluate_rows(rows, val)
    ap = evaluation.stats["AP"] or 0.0  # None where the ground truth has nothing to find
    place = {"kind": "val", "epoch": epoch, "step": training.progress.step}
    record(run, training, place | losses | evaluation.stats)
    say(run, f"epoch {epoch}: AP {ap:.3f}" + (f"  val {losses_text(losses)}" if losses else ""))
    if training.progress.count_evaluation(ap, epoch):
        save(run, training, BEST)
    page = write_report(run.dir, run.config, evaluation, val, seconds)
    return Outcome(evaluation, page)


def is_out_of_patience(run: Run, training: Training) -> bool:
    """Tell whether AP has not risen for as long as train.patience, the same in all processes."""
    patience = run.config.train.patience
    if patience is None:
        return False
    # The first process counts the evaluations.
    return bool(gather(training.progress.since_best >= patience, run.ranks)[0])


def is_over(run: Run, training: Training) -> bool:
    """Tell whether no epoch is left to train."""
    is_last = training.progress.epoch > run.config.train.epochs
    return is_last or is_out_of_patience(run, training)


def needs_evaluation(run: Run, training: Training) -> bool:
    """Tell whether a resumed run is over and its weights were never evaluated.

    With fewer epochs or less patience than before, that is: to stop here and see what there is.
    """
    if run.config.eval is None or not is_over(run, training):
        return False
    return not is_evaluated(run, training)


def say_stopped_early(run: Run, training: Training) -> None:
    """Say why a run has ended before its last epoch."""
    at = training.progress
    after = f" after epoch {at.best_epoch}" if at.best_epoch else ""  # older checkpoints: 0
    say(
        run,
        f"stopped early after epoch {at.epochs_begun}: no better AP in {at.since_best} "
        f"evaluations; the best was AP {at.best_ap:.3f}{after}, in {BEST}",
    )


def is_evaluated(run: Run, training: Training) -> bool:
    """Tell whether the last evaluation was of these weights, the same in all processes."""
    is_same = False
    if run.ranks.is_first and (run.dir / RESULTS).is_file():
        steps = [line["step"] for line in read_metrics(run.dir) if line["kind"] == "val"]
        is_same = steps[-1:] == [training.progress.step]
    return any(gather(is_same, run.ranks))


def shown_again(run: Run) -> Outcome | None:
    """Return what a run came to that did not end with an evaluation; None but in the first process.

    It was resumed after its end, has stopped early, or evaluates nothing.
    """
    if not run.ranks.is_first:
        return None
    if run.config.eval is None:
        return Outcome(None, write_report(run.dir, run.config))
    rows = json.loads((run.dir / RESULTS).read_text(encoding="utf-8"))
    timed = run.dir / SECONDS  # runs of earlier versions have none
    seconds = dict(json.loads(timed.read_text(encoding="utf-8"))) if timed.is_file() else {}
    val, _ = run.sets.evaluated
    evaluation = evaluate_rows(rows, val)
    page = write_report(run.dir, run.config, evaluation, val, seconds)
    return Outcome(evaluation, page)
