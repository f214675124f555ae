"""Prepare a network for training: frozen layers, optimizer, several processes, learning rates."""

import dataclasses
from collections import Counter
from pathlib import Path

import torch
from torch import nn

from pose_data import GroupedBatches
from pose_train.config.schema import Config, ConfigError, Train
from pose_train.distributed import Ranks, share_gradients
from pose_train.inference.forward import fastest_amp
from pose_train.training.checkpoints import Progress, Training, read_last, restore_checkpoint
from pose_train.training.optim import (
    Ema,
    carry_over,
    create_optimizer,
    decide,
    freeze,
    last_epochs,
    learning_rate,
    scaled_learning_rate,
    set_training,
    trained_names,
)
from pose_train.training.run_dir import Run, say
from pose_train.words import note


def begin(
    config: Config, net: nn.Module, ranks: Ranks, device: torch.device, *, resume: bool
) -> tuple[Training, nn.Module, list[str]]:
    """Prepare for training from the start, or from the last checkpoint in `config.out`.

    Returns what prepare_training does, and what starts afresh, in sentences.
    """
    if not resume:
        return *prepare_training(config, net, ranks, device), []
    last = read_last(Path(config.out))
    training, forward = prepare_training(config, net, ranks, device, last.epoch)
    return training, forward, restore_checkpoint(last, training, config)


def prepare_training(
    config: Config, net: nn.Module, ranks: Ranks, device: torch.device, epoch: int = 1
) -> tuple[Training, nn.Module]:
    """Return the training state and the forward module (wrapped in DDP, compiled).

    epoch: the first to be trained; what is frozen depends on it.
    """
    settings = config.train
    try:
        freeze(net, settings.freeze, epoch)
    except ValueError as error:
        raise ConfigError(f"train.freeze: {error}") from error
    try:
        decide(net, settings.lr_mult)
    except ValueError as error:
        raise ConfigError(f"train.lr_mult: {error}") from error
    notes = _about_layers(config, net, epoch) + _about_steps(config, ranks, device)
    note(*(notes if ranks.is_first else ()))
    if settings.sync_bn and device.type == "cuda":
        net = nn.SyncBatchNorm.convert_sync_batchnorm(net)  # type: ignore[no-untyped-call]
    elif settings.sync_bn:
        raise ConfigError(f"train.sync_bn needs GPUs, and train.device is {device.type}")
    net.to(device)
    if settings.channels_last:
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = _optimizer(settings, net)
    forward = _forward(config, net, ranks, device)
    ema = None if settings.ema is None else Ema(net, settings.ema)
    scaler = torch.amp.GradScaler(device.type, enabled=settings.amp == "fp16")
    return Training(net, optimizer, scaler, ema, Progress()), forward


def check_epoch(
    config: Config, net: nn.Module, batches: GroupedBatches, ranks: Ranks, epoch: int = 1
) -> None:
    """Raise ConfigError for batches too few for the schedule, or too small for batch norms.

    epoch: where training begins. The network may be left in training mode.
    """
    (w, h), settings = config.model.input_size, config.train
    total, warmup = total_steps(settings, len(batches)), settings.warmup_steps
    if epoch > settings.epochs:
        return  # resumed to be evaluated alone
    if settings.schedule == "cosine" and total <= warmup:
        raise ConfigError(
            f"train.schedule cosine begins after train.warmup_steps, which is {warmup}, and the "
            f"run has no more than {total} steps: {settings.epochs} epochs of {len(batches)} "
            f"batches, train.accumulate {settings.accumulate}"
        )
    if batches.smallest > 1 or (settings.sync_bn and ranks.world_size > 1):
        return
    # A map of one pixel of one image has no variance. On the meta device a batch costs little, and
    # changes nothing.
    state = {name: tensor.to("meta") for name, tensor in net.state_dict().items()}
    image = torch.zeros(1, config.model.channels, h, w, device="meta")
    set_training(net, settings.freeze_bn)
    try:
        with torch.no_grad():
            torch.func.functional_call(net, state, (image,))
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ConfigError(
            f"train.batch_size {settings.batch_size} leaves one sample for a batch, and "
            f"{config.model.name} at model.input_size {[w, h]} has maps of one pixel, whose "
            "variance batch norms cannot take: choose another batch size, a larger input, or "
            "train.freeze_bn=true"
        ) from error


def unfreeze(run: Run, training: Training, forward: nn.Module) -> tuple[Training, nn.Module]:
    """Begin to train what was frozen until the epoch before; return what trains from here on.

    The optimizer starts these parameters afresh and keeps the averages of the others. DDP knows
    from its start which gradients to wait for, and is made anew.
    """
    settings, net, epoch = run.config.train, training.net, training.progress.epoch
    until, parameters = last_epochs(settings.freeze), dict(net.named_parameters())
    due = Counter[str]()
    for name, pattern in decide(net, until).items():
        last = until[pattern]
        if last is not None and last + 1 == epoch and not parameters[name].requires_grad:
            due[pattern] += parameters[name].numel()
    if not due:
        return training, forward
    freeze(net, settings.freeze, epoch)
    for pattern, count in due.items():
        say(run, f"{pattern}: {count:,} parameters train from epoch {epoch} on")
    before = training.optimizer
    optimizer = _optimizer(settings, net)
    carry_over(optimizer, net, before.state_dict(), trained_names(before, net))
    forward = _forward(run.config, net, run.ranks, run.device)
    return dataclasses.replace(training, optimizer=optimizer), forward


def _optimizer(settings: Train, net: nn.Module) -> torch.optim.Optimizer:
    try:
        return create_optimizer(
            settings.optimizer,
            net,
            settings.lr,
            weight_decay=settings.weight_decay,
            momentum=settings.momentum,
            lr_mult=settings.lr_mult,
        )
    except ValueError as error:
        raise ConfigError(f"train: {error}") from error


def _forward(config: Config, net: nn.Module, ranks: Ranks, device: torch.device) -> nn.Module:
    """Return the network, wrapped so that backward averages the gradients of all processes."""
    w, h = config.model.input_size

    def probe() -> None:
        output = net(torch.zeros(1, config.model.channels, h, w, device=device))
        maps = (*output.heatmaps, *output.tags)
        torch.stack([one.sum() for one in maps]).sum().backward()  # type: ignore[no-untyped-call]

    forward = share_gradients(net, ranks, device, probe)
    return torch.compile(forward) if config.train.compile else forward  # type: ignore[return-value]


def step_learning_rate(config: Config, progress: Progress, batches: int, ranks: Ranks) -> float:
    """Return the rate of the next optimizer step; `batches` of them make an epoch."""
    settings = config.train
    per_step = settings.batch_size * settings.accumulate * ranks.world_size
    try:
        return learning_rate(
            scaled_learning_rate(settings.lr, per_step, settings.base_batch_size),
            epoch=progress.epoch,
            step=progress.step,
            warmup_steps=settings.warmup_steps,
            lr_steps=settings.lr_steps,
            schedule=settings.schedule,
            total_steps=total_steps(settings, batches),
        )
    except ValueError as error:
        raise ConfigError(f"train: {error}") from error


def total_steps(settings: Train, batches: int) -> int:
    """Return how many optimizer steps a run has; `batches` of them make an epoch."""
    return settings.epochs * -(-batches // settings.accumulate)


def _about_layers(config: Config, net: nn.Module, epoch: int) -> list[str]:
    """Return what is frozen and what has a rate of its own, by the patterns of the config."""
    settings, lines = config.train, []
    sizes = {name: parameter.numel() for name, parameter in net.named_parameters()}
    for pattern, last in last_epochs(settings.freeze).items():
        if last is None or epoch <= last:
            end = "" if last is None else f" until epoch {last}"
            count = _count(sizes, decide(net, last_epochs(settings.freeze)), pattern)
            lines.append(f"{pattern}: {count:,} parameters frozen{end}")
    for pattern, factor in settings.lr_mult.items():
        count = _count(sizes, decide(net, settings.lr_mult), pattern)
        lines.append(f"{pattern}: learning rate x {factor:g} for {count:,} parameters")
    if settings.freeze_bn:
        lines.append("batch norms keep their statistics")
    return lines


def _count(sizes: dict[str, int], decided: dict[str, str], pattern: str) -> int:
    return sum(sizes[name] for name, found in decided.items() if found == pattern)


def _about_steps(config: Config, ranks: Ranks, device: torch.device) -> list[str]:
    """Return how steps are computed, where the config leaves it open, and odd learning rates."""
    settings, lines = config.train, []
    if settings.amp == "auto":
        lines.append(f"train.amp auto is {fastest_amp(device)} on {device.type}")
    if settings.base_batch_size is not None:
        per_step = settings.batch_size * settings.accumulate * ranks.world_size
        lr = scaled_learning_rate(settings.lr, per_step, settings.base_batch_size)
        lines.append(
            f"learning rate {lr:.3g}: train.lr {settings.lr:.3g} is meant for "
            f"{settings.base_batch_size} samples a step, and here are {per_step}"
        )
    late = [epoch for epoch in settings.lr_steps if epoch >= settings.epochs]
    if late and settings.schedule == "step":
        lines.append(
            f"note: train.lr_steps {list(settings.lr_steps)}: of {settings.epochs} epochs none "
            f"comes after {', '.join(map(str, late))}, so the rate does not fall there"
        )
    return lines
