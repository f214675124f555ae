"""The bottom-up recipe, in reading order: data, model, training loop, evaluation, report."""

import contextlib
import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

import pose_codecs.torch as codecs
from pose_backbones import PoseOutput, create_model
from pose_codecs import AssociativeEmbedding, encode_people, keypoint_indices
from pose_data import COCO, BottomUp, GroupedBatches, Persons, SceneAugmentation
from pose_data.combine import convert, draw_rows
from pose_data.persons import sources_of
from pose_train.checkpoints import Training
from pose_train.config import Config, ConfigError, Model
from pose_train.losses import BottomUpLoss, bottomup_loss
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
from pose_train.ranks import Ranks, gather, joined, share_buffers
from pose_train.run import Outcome, Run, load_given_sets, open_run, save, save_epoch, say
from pose_train.rundir import cut_metrics
from pose_train.sets import eval_loader, train_loader
from pose_train.signals import stop_requests
from pose_train.testing import mean_losses, predict_pictures
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
Size = tuple[int, int]


class Maps(NamedTuple):
    """What a network makes of an input of the config's size.

    sizes: the (w, h) of its maps, in the order in which they first come; scales: for each stage,
    which of them it has. HigherHRNet: two sizes, scales (0, 1); stacked hourglass: (0, 0, 0, 0).
    """

    sizes: tuple[Size, ...]
    scales: tuple[int, ...]
    tag_per_keypoint: bool


def run(config: Config, *, resume: bool = False) -> Outcome | None:
    """Train, evaluate and leave a run directory; None if asked to stop before the end.

    resume: go on in the run directory `config.out`. Raises ConfigError, DatasetError or
    CheckpointError; a mistake in the config, the model or the user's data shows before a directory
    is made.
    """
    if config.recipe != "bottomup":
        raise ConfigError(f"recipe is {config.recipe}, not bottomup")
    with (
        joined(config.train.device) as (ranks, device),
        stop_requests(tell=ranks.is_first) as stop,
    ):
        torch.manual_seed(config.seed)
        sets = load_given_sets(config)
        skeleton = COCO if sets is None else sets.train.skeleton
        net, maps = create_net(config.model, skeleton.num_keypoints)
        if not resume:
            config = start_from_weights(net, config, None if sets is None else sets.train)
        codec = create_codec(config)
        training, forward, notes = begin(config, net, ranks, device, resume=resume)
        run = open_run(config, sets, ranks, device, stop, resume)
        for text in notes:
            say(run, f"note: {text}")
        outcome = _train(run, training, forward, maps, codec)
        if outcome is None and stop.asked:
            say(run, f"stopped; go on with: pose-train resume {run.dir}")
        return outcome


def _train(
    run: Run,
    training: Training,
    forward: nn.Module,
    maps: Maps,
    codec: AssociativeEmbedding,
) -> Outcome | None:
    """Train from the start or from the last checkpoint: the loop over epochs."""
    config, plan = run.config, run.config.train
    dataset = train_samples(config, run.sets.train, maps, run.device)
    dataset[0]  # compiles the codec here, once, before the workers are forked
    batches = make_batches(dataset, config, run.ranks)
    loader = train_loader(dataset, batches, plan.num_workers, run.device)

    def name_of(sample: int) -> str:
        return str(run.sets.train.file_names[dataset.images[sample]])

    if run.ranks.is_first:
        cut_metrics(run.dir, training.progress.records)
    save(run, training)  # from here on there is always one to resume from
    run.pace.start(training.progress.step)

    outcome = None
    if needs_evaluation(run, training):
        outcome = _evaluate(run, training, maps, codec, training.progress.epochs_begun)
        save(run, training)
    for epoch in range(training.progress.epoch, plan.epochs + 1):
        if is_out_of_patience(run, training):
            say_stopped_early(run, training)
            break
        training, forward = unfreeze(run, training, forward)
        if not _train_epoch(run, training, forward, maps, loader, batches, name_of):
            return None
        if is_due(config, epoch):
            save(run, training)  # evaluating may take long
            outcome = _evaluate(run, training, maps, codec, epoch)
        training.progress.next_epoch()
        save_epoch(run, training, epoch)
        if epoch < plan.epochs and any(gather(run.stop.asked, run.ranks)):
            return None
    return outcome or shown_again(run)


def _train_epoch(
    run: Run,
    training: Training,
    forward: nn.Module,
    maps: Maps,
    loader: DataLoader[dict[str, Any]],
    batches: GroupedBatches,
    name_of: Callable[[int], str],
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
            loss = batch_loss(forward, batch, maps, config, run.device)
            training.scaler.scale(loss.total / group).backward()  # type: ignore[no-untyped-call]
        if is_step:
            optimizer_step(training, lr, plan.clip_grad)
        at.batch += 1
        losses.append((loss.named(), batch["index"]))
        if not is_step or not is_time_to_look(run, at.batch, total):
            continue
        is_asked = look(run, at, losses, name_of)
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
    forward: nn.Module, batch: dict[str, Any], maps: Maps, config: Config, device: torch.device
) -> BottomUpLoss:
    """Run the network on a batch and return its loss; nothing here waits for a GPU."""
    images = batch["image"].to(device, non_blocking=True)  # (B, H, W, 3)
    # One of each size: (B, K, h, w), (B, h, w), (B, P, K, 2)
    targets, masks, indices = (
        [each.to(device, non_blocking=True) for each in batch[key]]
        for key in ("heatmaps", "masks", "indices")
    )
    if _on_device(device):  # they are keypoints (B, P, K, 2) and visible (B, P, K), see keep_points
        people = list(zip(targets, indices, maps.sizes, strict=True))
        targets = [codecs.encode_people(*each, config.codec.sigma) for each in people]
        indices = [codecs.keypoint_indices(*each, maps.tag_per_keypoint) for each in people]
    with autocast(device, config.train.amp):
        output: PoseOutput = forward(normalize(images))
    return bottomup_loss(
        output.heatmaps,
        output.tags,
        [targets[i] for i in maps.scales],
        [masks[i] for i in maps.scales],
        [indices[i] for i in maps.scales],
        supervise_empty=config.loss.supervise_empty,
        push_factor=config.loss.push,
        pull_factor=config.loss.pull,
    )


def create_net(model: Model, num_keypoints: int) -> tuple[nn.Module, Maps]:
    """Build the network and try it on an empty picture, so that sizes fit before a run starts."""
    w, h = model.input_size
    try:
        net = create_model(model.name, num_keypoints=num_keypoints, **model.options)
        with torch.inference_mode():
            output = net.eval()(torch.zeros(1, model.channels, h, w))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"model: {error}") from error
    if not output.tags:
        raise ConfigError(f"model.name {model.name} is a top-down network; this recipe is bottomup")
    stages = [(maps.shape[3], maps.shape[2]) for maps in output.heatmaps]
    sizes = tuple(dict.fromkeys(stages))
    if model.heatmap_sizes and model.heatmap_sizes != sizes:
        raise ConfigError(
            f"model.heatmap_sizes is {[list(size) for size in model.heatmap_sizes]}, but "
            f"{model.name} makes heatmaps of {[list(size) for size in sizes]} from an input of "
            f"{[w, h]}"
        )
    tag_per_keypoint = output.tags[0].shape[1] == num_keypoints
    return net, Maps(sizes, tuple(sizes.index(size) for size in stages), tag_per_keypoint)


def create_codec(config: Config) -> AssociativeEmbedding:
    """Return what turns heatmaps and tags into people; raises ConfigError."""
    grouping = config.grouping
    try:
        return AssociativeEmbedding(
            config.model.input_size,
            config.model.heatmap_sizes,
            sigma=config.codec.sigma,
            max_instances=grouping.max_instances,
            detection_threshold=grouping.detection_threshold,
            tag_threshold=grouping.tag_threshold,
            nms_kernel=grouping.nms_kernel,
            adjust=grouping.adjust,
            refine=grouping.refine,
        )
    except ValueError as error:
        raise ConfigError(f"grouping: {error}") from error


def encode_targets(
    keypoints: Floats,
    visible: Floats,
    size: Size,
    *,
    sigma: float,
    max_instances: int,
    tag_per_keypoint: bool,
) -> tuple[Floats, NDArray[np.int32]]:
    """Turn keypoints (P, K, 2) in pixels of a map into its heatmaps (K, h, w) and tag indices."""
    return (
        encode_people(keypoints, visible, size, sigma),
        keypoint_indices(keypoints, visible, size, max_instances, tag_per_keypoint),
    )


def keep_points(
    keypoints: Floats, visible: Floats, size: Size, *, max_instances: int
) -> tuple[Floats, Floats]:
    """Stand in for encode_targets where targets are made later; pad to max_instances people."""
    room = [(0, max_instances - len(visible)), (0, 0)]
    return np.pad(keypoints, [*room, (0, 0)]), np.pad(visible, room)


def _on_device(device: torch.device) -> bool:
    """Whether targets are made where the network is: a GPU does it faster than it receives them."""
    return device.type == "cuda"


def train_samples(config: Config, persons: Persons, maps: Maps, device: torch.device) -> BottomUp:
    """Return the training samples: augmented pictures with targets for maps of every size."""
    return _samples(config, persons, maps, device, config.train.scene)


def _samples(
    config: Config, persons: Persons, maps: Maps, device: torch.device, scene: SceneAugmentation
) -> BottomUp:
    data, most = config.data, config.grouping.max_instances
    encode: Callable[..., Any] = functools.partial(
        encode_targets,
        sigma=config.codec.sigma,
        max_instances=most,
        tag_per_keypoint=maps.tag_per_keypoint,
    )
    if _on_device(device):
        encode = functools.partial(keep_points, max_instances=most)
    return BottomUp(
        persons,
        config.model.input_size,
        maps.sizes,
        encode,
        scene,
        max_people=most,
        seed=config.seed,
        warp=data.chosen_warp,
        decode=data.decode,
        exif=data.exif,
        bits=data.bits,
        channels=config.model.channels,
        max_broken=data.max_broken,
    )


def make_batches(dataset: BottomUp, config: Config, ranks: Ranks) -> GroupedBatches:
    """Return the order of training samples of this process; set its `epoch` and `start`."""
    sources = sources_of(dataset.persons)
    ratios, shares = [each.ratio for each in sources], [each.shares for each in sources]
    # The pictures of a source stand together; those without annotations are no samples.
    bounds = np.cumsum([0, *(source.num_images for source in sources)])
    counts = np.diff(np.searchsorted(dataset.images, bounds)).tolist()
    has_shares = any(each is not None for each in shares)
    weighted = has_shares or any(ratio != 1 for ratio in ratios)
    try:
        return GroupedBatches(
            np.arange(len(dataset)),
            config.train.batch_size,
            config.seed,
            ranks.rank,
            ranks.world_size,
            lanes=max(1, config.train.num_workers),
            rows=(lambda rng: draw_rows(counts, ratios, rng, shares)) if weighted else None,
            spread=has_shares,
        )
    except ValueError as error:
        raise ConfigError(f"train: {error}") from error


def _evaluate(
    run: Run, training: Training, maps: Maps, codec: AssociativeEmbedding, epoch: int
) -> Outcome | None:
    """Evaluate, shared among the processes; the first writes results, page and best checkpoint."""
    timing = Timing()
    losses: dict[str, float] = {}
    with averaged_weights(training):
        share_buffers(training.net, run.ranks)
        rows = predict_pictures(
            run.config,
            training.net,
            run.sets.train.skeleton,
            codec,
            run.sets.evaluated[0],
            run.ranks,
            run.device,
            timing,
        )
        if run.config.chosen_eval.loss:
            losses = _val_losses(run, training.net, maps)
    return finish_evaluation(run, training, rows, losses, timing, epoch)


def _val_losses(run: Run, net: nn.Module, maps: Maps) -> dict[str, float]:
    """Return the training losses over the annotated pictures of the evaluated set, not augmented.

    Of each picture the region around its middle, as long as `train.scene.side`.
    """
    config, device = run.config, run.device
    persons = convert(run.sets.evaluated[0], run.sets.train.skeleton)
    still = SceneAugmentation(0.0, 0.0, (1.0, 1.0), 0.0, config.train.scene.side)
    dataset = _samples(config, persons, maps, device, still)
    batch_size, workers = config.chosen_eval.batch_size, config.train.num_workers
    loader = eval_loader(dataset, batch_size, workers, device, run.ranks)

    def losses_of(batch: dict[str, Any]) -> dict[str, Tensor]:
        return batch_loss(net, batch, maps, config, device).named()

    return mean_losses(net, loader, losses_of, run.ranks)
