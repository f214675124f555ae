"""The top-down recipe, in reading order: data, model, training loop, evaluation, report."""

import contextlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pose_backbones import PoseOutput, create_model
from pose_codecs import MSRAHeatmap, UDPHeatmap
from pose_codecs.torch import encode_msra
from pose_data import COCO, GroupedBatches, Persons, TopDown
from pose_data.combine import convert
from pose_train.checkpoints import Training
from pose_train.config import Codec, Config, ConfigError, Model
from pose_train.losses import keypoint_mse
from pose_train.optim import set_training
from pose_train.outcome import (
    finish_evaluation,
    is_due,
    is_out_of_patience,
    needs_evaluation,
    say_stopped_early,
    shown_again,
)
from pose_train.predict import normalize
from pose_train.ranks import gather, joined, share_buffers
from pose_train.run import Outcome, Run, load_given_sets, open_run, save, save_epoch, say
from pose_train.rundir import cut_metrics
from pose_train.sets import eval_loader, make_batches, train_loader
from pose_train.signals import stop_requests
from pose_train.testing import mean_losses, predict_boxes
from pose_train.timing import Timing
from pose_train.training import (
    accumulation,
    autocast,
    averaged_weights,
    begin,
    finish_epoch,
    is_time_to_look,
    no_sync,
    optimizer_step,
    show_progress,
    step_learning_rate,
    unfreeze,
)
from pose_train.watch import Clock, look
from pose_train.weights import start_from_weights

Floats = NDArray[np.float32]
Heatmap = MSRAHeatmap | UDPHeatmap


def run(config: Config, *, resume: bool = False) -> Outcome | None:
    """Train, evaluate and leave a run directory; None if asked to stop before the end.

    resume: go on in the run directory `config.out`. Raises ConfigError, DatasetError or
    CheckpointError; a mistake in the config, the model or the user's data shows before a directory
    is made.
    """
    if config.recipe != "topdown":
        raise ConfigError(f"recipe is {config.recipe}, not topdown")
    with (
        joined(config.train.device) as (ranks, device),
        stop_requests(tell=ranks.is_first) as stop,
    ):
        torch.manual_seed(config.seed)
        sets = load_given_sets(config)
        skeleton = COCO if sets is None else sets.train.skeleton
        net, heatmap_size = create_net(config.model, skeleton.num_keypoints)
        if not resume:
            config = start_from_weights(net, config, None if sets is None else sets.train)
        codec = create_codec(config.codec, config.model.input_size, heatmap_size)
        training, forward, notes = begin(config, net, ranks, device, resume=resume)
        run = open_run(config, sets, ranks, device, stop, resume)
        for text in notes:
            say(run, f"note: {text}")
        outcome = _train(run, training, forward, codec)
        if outcome is None and stop.asked:
            say(run, f"stopped; go on with: pose-train resume {run.dir}")
        return outcome


def _train(run: Run, training: Training, forward: nn.Module, codec: Heatmap) -> Outcome | None:
    """Train from the start or from the last checkpoint: the loop over epochs."""
    config, plan = run.config, run.config.train
    dataset = train_samples(config, run.sets.train, codec, run.device)
    dataset[0]  # compiles the codec here, once, before the workers are forked
    batches = make_batches(run.sets.train, config, run.ranks)
    loader = train_loader(dataset, batches, plan.num_workers, run.device)
    if run.ranks.is_first:
        cut_metrics(run.dir, training.progress.records)
    save(run, training)  # from here on there is always one to resume from
    run.pace.start(training.progress.step)

    outcome = None
    if needs_evaluation(run, training):
        outcome = _evaluate(run, training, codec, training.progress.epochs_begun)
        save(run, training)
    for epoch in range(training.progress.epoch, plan.epochs + 1):
        if is_out_of_patience(run, training):
            say_stopped_early(run, training)
            break
        training, forward = unfreeze(run, training, forward)
        if not _train_epoch(run, training, forward, codec, loader, batches):
            return None
        if is_due(config, epoch):
            save(run, training)  # evaluating may take long
            outcome = _evaluate(run, training, codec, epoch)
        training.progress.next_epoch()
        save_epoch(run, training, epoch)
        if epoch < plan.epochs and any(gather(run.stop.asked, run.ranks)):
            return None
    return outcome or shown_again(run)


def _train_epoch(
    run: Run,
    training: Training,
    forward: nn.Module,
    codec: Heatmap,
    loader: DataLoader[dict[str, Any]],
    batches: GroupedBatches,
) -> bool:
    """Run one epoch, or what is left of it; False if asked to stop in its middle."""
    config, plan, at = run.config, run.config.train, training.progress
    batches.epoch, batches.start = at.epoch, 0
    total = len(batches)
    at.count_in(total, plan.accumulate)
    if at.batch == total:
        return True  # resumed where only the evaluation was missing
    batches.start = at.batch
    set_training(training.net, plan.freeze_bn)
    title = f"epoch {at.epoch}/{plan.epochs}"
    clock = Clock(title, total, at.batch, run.ranks.is_first, run.device)
    # Of each batch since the last look, on the device.
    losses: list[tuple[dict[str, Tensor], Tensor]] = []
    saved = time.monotonic()
    for batch in clock.batches(loader):
        lr = step_learning_rate(config, at, total, run.ranks)
        group, is_step = accumulation(at.batch, total, plan.accumulate)
        with contextlib.nullcontext() if is_step else no_sync(forward):
            loss = batch_loss(forward, batch, codec, run.device, plan.amp)
            training.scaler.scale(loss / group).backward()  # type: ignore[no-untyped-call]
        if is_step:
            optimizer_step(training, lr, plan.clip_grad)
        at.batch += 1
        losses.append(({"loss": loss.detach()}, batch["index"]))
        if not is_step or not is_time_to_look(run, at.batch, total):
            continue
        is_asked = look(run, at, losses, lambda i: run.sets.train.image_path(i).name)
        show_progress(run, training, clock, lr)
        is_due = 0 < config.checkpoints.minutes * 60 <= time.monotonic() - saved
        if at.batch < total and (is_asked or is_due):
            save(run, training)
            saved = time.monotonic()
            if is_asked:
                clock.bar.close()
                return False
    finish_epoch(run, training, clock, lr)
    return True


def batch_loss(
    forward: nn.Module,
    batch: dict[str, Tensor],
    codec: Heatmap,
    device: torch.device,
    amp: str,
) -> Tensor:
    """Run the network on a batch and return its loss, a scalar; nothing here waits for a GPU."""
    images = batch["image"].to(device, non_blocking=True)  # (B, H, W, 3)
    targets = batch["heatmaps"].to(device, non_blocking=True)  # (B, K, h, w), or see _on_device
    weights = batch["weights"].to(device, non_blocking=True)  # (B, K)
    if isinstance(codec, MSRAHeatmap) and _on_device(codec, device):
        targets, weights = encode_msra(codec, targets, weights)  # (B, K, h, w), (B, K)
    with autocast(device, amp):
        output: PoseOutput = forward(normalize(images))  # heatmaps: stages of (B, K, h, w)
    # Every stage learns the same target: intermediate supervision.
    return torch.stack([keypoint_mse(h, targets, weights) for h in output.heatmaps]).sum()


def create_net(model: Model, num_keypoints: int) -> tuple[nn.Module, tuple[int, int]]:
    """Build the network and try it on an empty picture, so that sizes fit before a run starts.

    Returns it and the (w, h) of its heatmaps.
    """
    w, h = model.input_size
    try:
        net = create_model(model.name, num_keypoints=num_keypoints, **model.options)
        with torch.inference_mode():
            output = net.eval()(torch.zeros(1, model.channels, h, w))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"model: {error}") from error
    if output.tags:
        raise ConfigError(f"model.name {model.name} is a bottom-up network; this recipe is topdown")
    height, width = output.heatmaps[-1].shape[-2:]
    given = model.heatmap_size
    if given is not None and given != (width, height):
        raise ConfigError(
            f"model.heatmap_size is {list(given)}, but {model.name} makes heatmaps of "
            f"{[width, height]} from an input of {[w, h]}"
        )
    return net, (width, height)


def create_codec(
    codec: Codec, input_size: tuple[int, int], heatmap_size: tuple[int, int]
) -> Heatmap:
    """Return what turns keypoints into heatmaps and back; raises ConfigError."""
    try:
        if codec.udp:
            return UDPHeatmap(input_size, heatmap_size, codec.sigma, codec.blur_size)
        return MSRAHeatmap(
            input_size, heatmap_size, codec.sigma, codec.refine, codec.unbiased, codec.blur_size
        )
    except ValueError as error:
        raise ConfigError(f"codec: {error}") from error


def train_samples(
    config: Config, persons: Persons, codec: Heatmap, device: torch.device
) -> TopDown:
    """Return the training samples: augmented crops with their targets."""
    encode = keep_points if _on_device(codec, device) else codec.encode
    return _samples(config, persons, encode, augmented=True)


def _samples(
    config: Config, persons: Persons, encode: Callable[..., Any] | None, *, augmented: bool
) -> TopDown:
    data = config.data
    return TopDown(
        persons,
        config.model.input_size,
        encode,
        config.train.augment if augmented else None,
        config.seed,
        warp=data.chosen_warp,
        udp=config.codec.udp,
        decode=data.decode,
        exif=data.exif,
        bits=data.bits,
        channels=config.model.channels,
        cache_mb=data.cache_mb,
        max_broken=data.max_broken,
    )


def _on_device(codec: Heatmap, device: torch.device) -> bool:
    """Whether targets are made where the network is: a GPU does it faster than it receives them."""
    return device.type == "cuda" and isinstance(codec, MSRAHeatmap)


def keep_points(keypoints: Floats, visible: Floats) -> tuple[Floats, Floats]:
    """Stand in for a codec's encode where targets are made later, from these."""
    return keypoints, visible


def _evaluate(run: Run, training: Training, codec: Heatmap, epoch: int) -> Outcome | None:
    """Evaluate, shared among the processes; the first writes results, page and best checkpoint."""
    timing = Timing()
    losses: dict[str, float] = {}
    with averaged_weights(training):
        share_buffers(training.net, run.ranks)
        rows = predict_boxes(
            run.config,
            training.net,
            run.sets.train.skeleton,
            codec,
            *run.sets.evaluated,
            run.ranks,
            run.device,
            timing,
        )
        if run.config.chosen_eval.loss:
            losses = _val_losses(run, training.net, codec)
    return finish_evaluation(run, training, rows, losses, timing, epoch)


def _val_losses(run: Run, net: nn.Module, codec: Heatmap) -> dict[str, float]:
    """Return the training loss over the annotated persons of the evaluated set, not augmented."""
    config, device = run.config, run.device
    persons = convert(run.sets.evaluated[0], run.sets.train.skeleton)
    encode = keep_points if _on_device(codec, device) else codec.encode
    dataset = _samples(config, persons, encode, augmented=False)
    batch_size, workers = config.chosen_eval.batch_size, config.train.num_workers
    loader = eval_loader(dataset, batch_size, workers, device, run.ranks)

    def losses_of(batch: dict[str, Any]) -> dict[str, Tensor]:
        return {"loss": batch_loss(net, batch, codec, device, config.train.amp)}

    return mean_losses(net, loader, losses_of, run.ranks)
