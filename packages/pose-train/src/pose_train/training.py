"""What both recipes do alike: prepare a network for training, scale its rate, take a step."""

import contextlib
import dataclasses
from collections import Counter
from pathlib import Path

import torch
from torch import nn

from pose_train.checkpoints import Progress, Training, read_last, restore_checkpoint
from pose_train.config import Config, ConfigError, Train
from pose_train.cores import allowed_workers
from pose_train.ema import Ema
from pose_train.optim import (
    carry_over,
    create_optimizer,
    decide,
    freeze,
    last_epochs,
    trained_names,
)
from pose_train.ranks import Ranks, share_gradients
from pose_train.run import Run, record, say
from pose_train.schedule import learning_rate, scaled_learning_rate
from pose_train.watch import Clock, losses_text

AMP = {"off": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(device: torch.device, amp: str) -> torch.autocast:
    """Return the context in which the network computes as the config's `amp` says."""
    return torch.autocast(device.type, AMP[amp], enabled=amp != "off")


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


def step_learning_rate(config: Config, at: Progress, batches: int, ranks: Ranks) -> float:
    """Return the rate of the next optimizer step; `batches` of them make an epoch."""
    plan = config.train
    seen = plan.batch_size * plan.accumulate * ranks.world_size
    try:
        return learning_rate(
            scaled_learning_rate(plan.lr, seen, plan.base_batch_size),
            epoch=at.epoch,
            step=at.step,
            warmup_steps=plan.warmup_steps,
            lr_steps=plan.lr_steps,
            schedule=plan.schedule,
            total_steps=_last_step(plan, batches),
        )
    except ValueError as error:
        raise ConfigError(f"train: {error}") from error


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
    """Put the network on its device; return what training changes and what makes a batch's maps.

    epoch: the first to be trained; what is frozen depends on it.
    """
    plan = config.train
    try:
        freeze(net, plan.freeze, epoch)
    except ValueError as error:
        raise ConfigError(f"train.freeze: {error}") from error
    try:
        decide(net, plan.lr_mult)
    except ValueError as error:
        raise ConfigError(f"train.lr_mult: {error}") from error
    if ranks.is_first:
        for text in _about_layers(config, net, epoch) + _about_rates(config, ranks):
            print(text)
    if plan.sync_bn and device.type == "cuda":
        net = nn.SyncBatchNorm.convert_sync_batchnorm(net)  # type: ignore[no-untyped-call]
    elif plan.sync_bn:
        raise ConfigError(f"train.sync_bn needs GPUs, and train.device is {device.type}")
    net.to(device)
    if plan.channels_last:
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = _optimizer(config, net)
    forward = _forward(config, net, ranks, device)
    ema = None if plan.ema is None else Ema(net, plan.ema)
    scaler = torch.amp.GradScaler(device.type, enabled=plan.amp == "fp16")
    return Training(net, optimizer, scaler, ema, Progress()), forward


def unfreeze(run: Run, training: Training, forward: nn.Module) -> tuple[Training, nn.Module]:
    """Begin to train what was frozen until the epoch before; return what trains from here on.

    The optimizer starts these parameters afresh and keeps the averages of the others. DDP knows
    from its start which gradients to wait for, and is made anew.
    """
    plan, net, epoch = run.config.train, training.net, training.progress.epoch
    until, parameters = last_epochs(plan.freeze), dict(net.named_parameters())
    due = Counter[str]()
    for name, pattern in decide(net, until).items():
        last = until[pattern]
        if last is not None and last + 1 == epoch and not parameters[name].requires_grad:
            due[pattern] += parameters[name].numel()
    if not due:
        return training, forward
    freeze(net, plan.freeze, epoch)
    for pattern, count in due.items():
        say(run, f"{pattern}: {count:,} parameters train from epoch {epoch} on")
    before = training.optimizer
    optimizer = _optimizer(run.config, net)
    carry_over(optimizer, net, before.state_dict(), trained_names(before, net))
    forward = _forward(run.config, net, run.ranks, run.device)
    return dataclasses.replace(training, optimizer=optimizer), forward


def _optimizer(config: Config, net: nn.Module) -> torch.optim.Optimizer:
    plan = config.train
    try:
        return create_optimizer(
            plan.optimizer,
            net,
            plan.lr,
            weight_decay=plan.weight_decay,
            momentum=plan.momentum,
            lr_mult=plan.lr_mult,
        )
    except ValueError as error:
        raise ConfigError(f"train: {error}") from error


def _forward(config: Config, net: nn.Module, ranks: Ranks, device: torch.device) -> nn.Module:
    """Return what makes a batch's maps, and in backward the gradients of all processes."""
    w, h = config.model.input_size

    def probe() -> None:
        output = net(torch.zeros(1, config.model.channels, h, w, device=device))
        maps = (*output.heatmaps, *output.tags)
        torch.stack([one.sum() for one in maps]).sum().backward()  # type: ignore[no-untyped-call]

    forward = share_gradients(net, ranks, device, probe)
    return torch.compile(forward) if config.train.compile else forward  # type: ignore[return-value]


def _about_layers(config: Config, net: nn.Module, epoch: int) -> list[str]:
    """Say what is frozen and what has a rate of its own, by the patterns of the config."""
    plan, lines = config.train, []
    sizes = {name: parameter.numel() for name, parameter in net.named_parameters()}
    for pattern, last in last_epochs(plan.freeze).items():
        if last is None or epoch <= last:
            end = "" if last is None else f" until epoch {last}"
            count = _count(sizes, decide(net, last_epochs(plan.freeze)), pattern)
            lines.append(f"{pattern}: {count:,} parameters frozen{end}")
    for pattern, factor in plan.lr_mult.items():
        count = _count(sizes, decide(net, plan.lr_mult), pattern)
        lines.append(f"{pattern}: learning rate x {factor:g} for {count:,} parameters")
    if plan.freeze_bn:
        lines.append("batch norms keep their statistics")
    return lines


def _count(sizes: dict[str, int], decided: dict[str, str], pattern: str) -> int:
    return sum(sizes[name] for name, found in decided.items() if found == pattern)


def _about_rates(config: Config, ranks: Ranks) -> list[str]:
    plan, lines = config.train, []
    if plan.base_batch_size is not None:
        seen = plan.batch_size * plan.accumulate * ranks.world_size
        lr = scaled_learning_rate(plan.lr, seen, plan.base_batch_size)
        lines.append(
            f"learning rate {lr:.3g}: train.lr {plan.lr:.3g} is meant for {plan.base_batch_size} "
            f"samples a step, and here are {seen}"
        )
    late = [epoch for epoch in plan.lr_steps if epoch >= plan.epochs]
    if late and plan.schedule == "step":
        lines.append(
            f"note: train.lr_steps {list(plan.lr_steps)}: of {plan.epochs} epochs none comes after "
            f"{', '.join(map(str, late))}, so the rate does not fall there"
        )
    return lines


def no_sync(forward: nn.Module) -> contextlib.AbstractContextManager[None]:
    """Return a context in which processes keep their gradients to themselves."""
    if isinstance(getattr(forward, "_orig_mod", forward), nn.parallel.DistributedDataParallel):
        return forward.no_sync()  # type: ignore[operator]
    return contextlib.nullcontext()


def accumulation(batch: int, total: int, accumulate: int) -> tuple[int, bool]:
    """Return how many batches share the step of this one (from 0), and whether it is their last."""
    first = batch - batch % accumulate
    count = min(accumulate, total - first)
    return count, batch + 1 == first + count


def averaged_weights(training: Training) -> contextlib.AbstractContextManager[None]:
    """Return the context in which the network has the averaged weights, if there are any."""
    return contextlib.nullcontext() if training.ema is None else training.ema.applied()


def is_time_to_look(run: Run, batch: int, total: int) -> bool:
    """Tell whether to look at the losses after so many batches; on a CPU looking costs nothing."""
    every = 1 if run.device.type == "cpu" else run.config.log.every * run.config.train.accumulate
    return batch % every == 0 or batch == total


def show_progress(run: Run, training: Training, clock: Clock, lr: float) -> None:
    """Write the progress line after a look; say once in a run if the loader is the bottleneck."""
    at = training.progress
    left = run.pace.left(at.step, _last_step(run.config.train, clock.total))
    clock.show(at.losses, lr, left)
    if clock.waits_for_data() and not run.said:
        run.said.append("loader")
        workers = run.config.train.num_workers
        more = f"more train.num_workers (now {workers}) or " * (
            allowed_workers(workers + 1) > workers
        )
        with clock.bar.external_write_mode():
            say(
                run,
                f"note: the network waits for data {clock.data_share:.0%} of the time; {more}"
                "data.decode=fast may help, and `pose-train bench` measures both",
            )


def _last_step(plan: Train, batches: int) -> int:
    """Return how many optimizer steps a run has; `batches` of them make an epoch."""
    return plan.epochs * -(-batches // plan.accumulate)


def finish_epoch(run: Run, training: Training, clock: Clock, lr: float) -> None:
    """Close the progress line; write and print what the epoch came to."""
    clock.bar.close()
    at, plan = training.progress, run.config.train
    values = {
        "kind": "train",
        "epoch": at.epoch,
        "step": at.step,
        "lr": lr,
        **at.losses,
        "images_per_s": clock.images_per_s * run.ranks.world_size,
        "data_share": clock.data_share,
    }
    record(run, training, values)
    left = run.pace.left(at.step, _last_step(plan, clock.total))
    say(
        run,
        f"epoch {at.epoch}/{plan.epochs}  {losses_text(at.losses)}  lr {lr:.1e}  "
        f"{values['images_per_s']:.0f} images/s  waited for data {clock.data_share:.0%}"
        + (f"  {left}" if left else ""),
    )
