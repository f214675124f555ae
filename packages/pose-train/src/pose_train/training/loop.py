"""The training loop, for every recipe, on a CPU, a GPU or many of them; read it from the top."""

import contextlib
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pose_data import COCO, BottomUp, GroupedBatches, TopDown
from pose_data.combine import convert
from pose_eval import Report
from pose_train.config.schema import Config
from pose_train.cores import allowed_workers
from pose_train.distributed import gather, joined, no_sync, share_buffers
from pose_train.files.write import write_text
from pose_train.inference.evaluate import Rows, evaluate_rows
from pose_train.inference.forward import autocast, normalize
from pose_train.inference.weights import BEST, start_from_weights
from pose_train.progress import ProgressLine, losses_text, stop_requests
from pose_train.recipes import RECIPES
from pose_train.recipes.loaders import eval_loader, progress_bar, train_loader
from pose_train.recipes.recipe import Batch
from pose_train.report import write_report
from pose_train.training.checkpoints import Progress, Training
from pose_train.training.optim import set_training
from pose_train.training.prepare import (
    begin,
    check_epoch,
    step_learning_rate,
    total_steps,
    unfreeze,
)
from pose_train.training.run_dir import (
    RESULTS,
    NonFiniteError,
    Run,
    about_run,
    cut_metrics,
    how_to_go_on,
    load_given_sets,
    lock_run_dir,
    open_run,
    read_metrics,
    read_results,
    record,
    save,
    save_epoch,
    say,
    say_stopped_early,
)
from pose_train.words import note

Samples = TopDown | BottomUp
Pending = list[tuple[dict[str, Tensor], Tensor]]  # losses of each batch, and its samples


@dataclass(frozen=True)
class Outcome:
    """What a run has to show: the last evaluation, if there is one, and the page about it."""

    evaluation: Report | None
    report: Path


def run(config: Config, *, resume: bool = False) -> Outcome | None:
    """Train, evaluate and leave a run directory; None if asked to stop before the end.

    resume: go on in the run directory `config.out`. Raises ConfigError, DatasetError or
    CheckpointError; a mistake in the config, the model or the user's data shows before a directory
    is made.
    """
    with (
        joined(config.train.device) as (ranks, device),
        stop_requests(tell=ranks.is_first) as stop,
        contextlib.ExitStack() as held,
    ):
        torch.manual_seed(config.seed)
        recipe = RECIPES[config.recipe]
        sets = load_given_sets(config, recipe.unit)
        persons = None if sets is None else sets.train
        skeleton = COCO if persons is None else persons.skeleton  # drawn people are COCO's
        net, codec = recipe.build(config, skeleton.num_keypoints)
        if not resume:
            config, notes = start_from_weights(net, config, persons)
            note(*(notes if ranks.is_first else ()))
        elif ranks.is_first:
            held.enter_context(lock_run_dir(Path(config.out)))  # before its checkpoint is read
        training, forward, notes = begin(config, net, ranks, device, resume=resume)
        if persons is not None:
            samples = recipe.samples(config, persons, codec, device, True)
            batches = recipe.batches(config, samples, ranks)
            check_epoch(config, training.net, batches, ranks, training.progress.epoch)
        run = open_run(config, recipe.unit, sets, ranks, device, stop, resume, held)
        for text in notes:
            say(run, f"note: {text}")
        outcome = _train(run, training, forward, codec)
        if outcome is None and stop.asked:
            say(run, f"stopped; go on with: pose-train resume {run.dir}")
        return outcome


def _train(run: Run, training: Training, forward: nn.Module, codec: Any) -> Outcome | None:
    """Train from the start or from the last checkpoint: the loop over epochs."""
    config, recipe = run.config, RECIPES[run.config.recipe]
    samples = recipe.samples(config, run.sets.train, codec, run.device, True)
    samples[0]  # compiles the codec here, once, before the workers are forked
    batches = recipe.batches(config, samples, run.ranks)
    if config.data.synthetic is not None:  # the number of people is known only once they are drawn
        check_epoch(config, training.net, batches, run.ranks, training.progress.epoch)
    loader = train_loader(samples, batches, config.train.num_workers, run.device)
    if run.ranks.is_first:
        cut_metrics(run, training)
    save(run, training)  # from here on there is always one to resume from
    run.pace.start(training.progress.step)

    outcome = None
    if _needs_evaluation(run, training):
        outcome = _evaluate(run, training, codec, training.progress.epochs_begun)
        save(run, training)
    for epoch in range(training.progress.epoch, config.train.epochs + 1):
        if _is_out_of_patience(run, training):
            say_stopped_early(run, training)
            break
        training, forward = unfreeze(run, training, forward)
        if not _train_epoch(run, training, forward, codec, loader, batches, samples):
            return None
        every = None if config.eval is None else config.eval.every
        if every is not None and (epoch % every == 0 or epoch == config.train.epochs):
            save(run, training)  # evaluating may take long
            outcome = _evaluate(run, training, codec, epoch)
        training.progress.next_epoch()
        save_epoch(run, training, epoch)
        if epoch < config.train.epochs and any(gather(run.stop.asked, run.ranks)):
            return None
    return outcome or _last_outcome(run, training)


def _train_epoch(
    run: Run,
    training: Training,
    forward: nn.Module,
    codec: Any,
    loader: DataLoader[dict[str, Any]],
    batches: GroupedBatches,
    samples: Samples,
) -> bool:
    """Train for one epoch, or what is left of it; False if asked to stop in its middle."""
    config, settings, progress = run.config, run.config.train, training.progress
    batches.epoch, batches.start = progress.epoch, 0
    total = len(batches)
    progress.count_in(total, settings.accumulate)
    if progress.batch == total:
        return True  # resumed where only the evaluation was missing
    batches.start = progress.batch
    set_training(training.net, settings.freeze_bn)
    title = f"epoch {progress.epoch}/{settings.epochs}"
    line = ProgressLine(title, total, progress.batch, run.ranks.is_first, run.device)
    # Reading a loss waits for a GPU, so that losses stay on it for a few steps: on a CPU for one.
    look_every = 1 if run.device.type == "cpu" else config.log.every * settings.accumulate
    pending: Pending = []
    saved = time.monotonic()
    for batch in line.batches(loader):
        lr = step_learning_rate(config, progress, total, run.ranks)
        # A step is taken with the gradients of up to `accumulate` batches; the last may have fewer.
        first = progress.batch - progress.batch % settings.accumulate
        count = min(settings.accumulate, total - first)
        is_step = progress.batch + 1 == first + count
        with contextlib.nullcontext() if is_step else no_sync(forward):
            losses = batch_losses(config, forward, codec, batch, run.device)
            training.scaler.scale(losses["loss"] / count).backward()  # type: ignore[no-untyped-call]
        if is_step:
            optimizer_step(training, lr, settings.clip_grad)
        progress.batch += 1
        detached = {name: value.detach() for name, value in losses.items()}
        pending.append((detached, batch["index"]))
        if not is_step or (progress.batch % look_every and progress.batch < total):
            continue
        is_asked = _add_losses(run, progress, pending, samples)
        _show(run, training, line, lr)
        is_due = 0 < config.checkpoints.minutes * 60 <= time.monotonic() - saved
        if progress.batch < total and (is_asked or is_due):
            save(run, training)
            saved = time.monotonic()
            if is_asked:
                line.bar.close()
                return False
    _end_epoch(run, training, line, lr)
    return True


def batch_losses(
    config: Config, forward: nn.Module, codec: Any, batch: Batch, device: torch.device
) -> dict[str, Tensor]:
    """Run the network on a batch and return its losses; nothing here waits for a GPU."""
    images = normalize(batch["image"].to(device, non_blocking=True))  # (B, C, H, W), channels last
    with autocast(device, config.train.amp):
        output = forward(images if config.train.channels_last else images.contiguous())
    return RECIPES[config.recipe].loss(config, codec, output, batch)


def optimizer_step(training: Training, lr: float, clip_grad: float | None) -> None:
    """Update the weights, and their average, from the gradients that have come together."""
    optimizer, scaler, net = training.optimizer, training.scaler, training.net
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_mult"]
    if clip_grad is not None:
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(net.parameters(), clip_grad)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
    if training.ema is not None:
        training.ema.update()
    training.progress.step += 1


def _add_losses(run: Run, progress: Progress, pending: Pending, samples: Samples) -> bool:
    """Add the losses of the last batches to the epoch's; tell whether any process is to stop.

    pending: losses and samples of each; emptied. Raises NonFiniteError, in every process, if one of
    them had a loss that is not finite.
    """
    table = torch.stack([torch.stack([*losses.values()]) for losses, _ in pending]).tolist()
    names = list(pending[0][0])
    sums, images, problem = dict.fromkeys(names, 0.0), 0, ""
    first = progress.batch - len(pending) + 1
    for number, (row, (_, indices)) in enumerate(zip(table, pending, strict=True), start=first):
        values, index = dict(zip(names, row, strict=True)), indices.tolist()
        for name, value in values.items():
            sums[name] += value * len(index)
        images += len(index)
        if not math.isfinite(values["loss"]) and not problem:
            names_of = samples.persons.file_names
            file_names = [names_of[samples.image_row(i)] for i in index]
            problem = (
                f"the loss became {values['loss']} in epoch {progress.epoch}, batch {number}, of "
                + ", ".join(sorted({Path(str(name)).name for name in file_names}))
            )
    pending.clear()
    everywhere = gather((sums, images, run.stop.asked, problem), run.ranks)
    for *_, problem_there in everywhere:
        if problem_there:
            raise NonFiniteError(f"{problem_there}; {how_to_go_on(run)}")
    for name in names:
        total = math.fsum(part[0][name] for part in everywhere)
        progress.loss_sums[name] = progress.loss_sums.get(name, 0.0) + total
    progress.images += sum(part[1] for part in everywhere)
    return any(part[2] for part in everywhere)


def _show(run: Run, training: Training, line: ProgressLine, lr: float) -> None:
    """Write the progress line; say once in a run if the loader is the bottleneck."""
    progress, settings = training.progress, run.config.train
    left = run.pace.left(progress.step, total_steps(settings, line.total))
    line.show(progress.losses, lr, left)
    if line.waits_for_data() and "loader" not in run.notes_shown:
        run.notes_shown.add("loader")
        workers = settings.num_workers
        has_more = allowed_workers(workers + 1) > workers
        advice = f"more train.num_workers (now {workers}) or " if has_more else ""
        with line.bar.external_write_mode():
            say(
                run,
                f"note: the network waits for data {line.data_share:.0%} of the time; {advice}"
                "data.decode=fast may help, and `pose-train bench` measures both",
            )


def _end_epoch(run: Run, training: Training, line: ProgressLine, lr: float) -> None:
    """Close the progress line; write and print what the epoch came to."""
    line.bar.close()
    progress, settings = training.progress, run.config.train
    images_per_s = line.images_per_s * run.ranks.world_size
    values = {
        "kind": "train",
        "epoch": progress.epoch,
        "step": progress.step,
        "lr": lr,
        **progress.losses,
        "images_per_s": images_per_s,
        "data_share": line.data_share,
        "seconds": line.elapsed,
    }
    record(run, training, values)
    left = run.pace.left(progress.step, total_steps(settings, line.total))
    say(
        run,
        f"epoch {progress.epoch}/{settings.epochs}  {losses_text(progress.losses)}  lr {lr:.1e}  "
        f"{images_per_s:.0f} images/s  waited for data {line.data_share:.0%}"
        + (f"  {left}" if left else ""),
    )


def _evaluate(run: Run, training: Training, codec: Any, epoch: int) -> Outcome | None:
    """Evaluate, shared among the processes; the first writes results, page and best checkpoint.

    Returns None but in the first process.
    """
    config, (val, boxes) = run.config, run.sets.evaluated
    skeleton, losses = run.sets.train.skeleton, dict[str, float]()
    with contextlib.nullcontext() if training.ema is None else training.ema.applied():
        share_buffers(training.net, run.ranks)
        rows: Rows = RECIPES[config.recipe].predict(
            config, training.net, codec, skeleton, val, boxes, run.ranks, run.device
        )
        if config.chosen_eval.loss:
            losses = _val_losses(run, training.net, codec)
    if not run.ranks.is_first:
        return None
    write_text(run.dir / RESULTS, json.dumps(rows))
    evaluation = evaluate_rows(rows, val)
    ap = evaluation.stats["AP"] or 0.0  # None where the ground truth has nothing to find
    place = {"kind": "val", "epoch": epoch, "step": training.progress.step}
    record(run, training, place | losses | evaluation.stats)
    say(run, f"epoch {epoch}: AP {ap:.3f}" + (f"  val {losses_text(losses)}" if losses else ""))
    if training.progress.count_evaluation(ap, epoch):
        save(run, training, BEST)
    return _report(run, training, evaluation)


@torch.inference_mode()
def _val_losses(run: Run, net: nn.Module, codec: Any) -> dict[str, float]:
    """Return the mean training losses over the evaluated set, not augmented, of all processes."""
    net.eval()
    config, (val, _) = run.config, run.sets.evaluated
    persons = convert(val, run.sets.train.skeleton)
    samples = RECIPES[config.recipe].samples(config, persons, codec, run.device, False)
    batch_size, workers = config.chosen_eval.batch_size, config.train.num_workers
    loader = eval_loader(samples, batch_size, workers, run.device, run.ranks)
    parts: list[dict[str, Tensor]] = []
    counts: list[int] = []
    for batch in progress_bar(loader, run.ranks, "val loss"):
        parts.append(batch_losses(config, net, codec, batch, run.device))
        counts.append(len(batch["index"]))
    # Read at the end, all at once: until here nothing has waited for a GPU.
    own = {
        name: torch.stack([part[name] for part in parts]).tolist() for name in (parts or [{}])[0]
    }
    everyone = gather((own, counts), run.ranks)
    total = sum(sum(numbers) for _, numbers in everyone)
    names = next(values for values, _ in everyone if values)
    return {
        name: math.fsum(
            value * count
            for values, numbers in everyone
            for value, count in zip(values.get(name, []), numbers, strict=True)
        )
        / total
        for name in names
    }


def _is_out_of_patience(run: Run, training: Training) -> bool:
    """Tell whether AP has not risen for as long as train.patience, the same in all processes."""
    patience = run.config.train.patience
    if patience is None:
        return False
    # The first process counts the evaluations.
    return bool(gather(training.progress.since_best >= patience, run.ranks)[0])


def _needs_evaluation(run: Run, training: Training) -> bool:
    """Tell whether a resumed run is over and its weights were never evaluated.

    With fewer epochs or less patience than before, that is: to stop here and see what there is.
    """
    is_last = training.progress.epoch > run.config.train.epochs
    if run.config.eval is None or not (is_last or _is_out_of_patience(run, training)):
        return False
    is_evaluated = False
    if run.ranks.is_first and read_results(run.dir) is not None:
        steps = [line["step"] for line in read_metrics(run.dir) if line["kind"] == "val"]
        is_evaluated = steps[-1:] == [training.progress.step]
    return not any(gather(is_evaluated, run.ranks))


def _last_outcome(run: Run, training: Training) -> Outcome | None:
    """Return the outcome of a run that did not end with an evaluation.

    It was resumed after its end, has stopped early, or evaluates nothing. None but in the first
    process.
    """
    if not run.ranks.is_first:
        return None
    if run.config.eval is None:
        return _report(run, training, None)
    rows = read_results(run.dir)
    assert rows is not None  # or it would have been evaluated again
    return _report(run, training, evaluate_rows(rows, run.sets.evaluated[0]))


def _report(run: Run, training: Training, evaluation: Report | None) -> Outcome:
    """Write the page of the run; return what it has to show."""
    metrics, val = read_metrics(run.dir), run.sets.val
    facts = about_run(run, training, sum(each.get("seconds", 0.0) for each in metrics))
    return Outcome(evaluation, write_report(run.dir, run.config, metrics, facts, evaluation, val))
