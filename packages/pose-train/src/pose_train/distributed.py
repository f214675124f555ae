"""Several processes that train together: torchrun starts them, these functions join them."""

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from pose_train.config.schema import RunError
from pose_train.cores import find_device

PATIENCE = timedelta(hours=2)  # others wait while the first one draws data or evaluates


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this is; `local` counts on this machine."""

    rank: int = 0
    world_size: int = 1
    local: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes and prints."""
        return self.rank == 0


class LostProcessError(RunError):
    """Another process of this run, or one that makes its samples, is gone."""


# DDP refers to the group too. Were its reference the last one, it would wait for gloo's threads
# while it holds the GIL, which one of them may want: a deadlock at one of ten ends (torch 2.13).
_groups: list[dist.ProcessGroup | None] = []


@contextmanager
def joined(device_name: str) -> Iterator[tuple[Ranks, torch.device]]:
    """Join the processes that torchrun started, if it did, and yield who and where this one is.

    Raises ConfigError for a device that cannot be used, LostProcessError where the code within
    fails because another process was lost.
    """
    ranks = Ranks()
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        ranks = Ranks(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))
    device = find_device(device_name, ranks.local)
    if ranks.world_size > 1:
        if device.type == "cuda":
            torch.cuda.set_device(device)
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield ranks, device
    except (RuntimeError, ConnectionError, EOFError) as error:
        if reason := _lost_process(error):
            raise LostProcessError(reason) from error
        raise
    if ranks.world_size > 1:
        # Not after an error: the others would be waited for; torchrun ends them with this one.
        _groups.append(dist.group.WORLD)
        dist.destroy_process_group()


def _lost_process(error: Exception) -> str:
    """Say which process an error is about; nothing for other errors."""
    if isinstance(error, ConnectionError | EOFError):  # of the pipe to a worker, or of stdout
        try:
            time.sleep(1.0)  # torch raises here what it hears of a worker's end
        except RuntimeError as heard:
            error = heard
    text = str(error)
    if "gloo" in text or isinstance(error, dist.DistError):
        return "another process has ended; its message says why"
    if "DataLoader worker" in text and ("killed by" in text or "exited unexpectedly" in text):
        return (
            "a data loader worker was killed, most likely out of memory: try a smaller "
            "train.num_workers or data.cache_mb"
        )
    return ""


@torch.inference_mode(False)  # torch 2.4 receives in another thread, which cannot write there
def gather(value: Any, ranks: Ranks) -> list[Any]:
    """Return the values of all processes, in their order, to every one of them."""
    if ranks.world_size == 1:
        return [value]
    values: list[Any] = [None] * ranks.world_size
    dist.all_gather_object(values, value)
    return values


def any_of(flag: bool, ranks: Ranks) -> bool:
    """Tell whether `flag` is set in any process; never touches a GPU."""
    if ranks.world_size == 1:
        return flag
    tensor = torch.tensor([int(flag)])
    dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
    return bool(tensor.item())


def share_buffers(net: nn.Module, ranks: Ranks) -> None:
    """Give all processes the first one's running statistics, so that they evaluate one network."""
    if ranks.world_size > 1:
        for buffer in net.buffers():
            dist.broadcast(buffer, src=0)


def share_gradients(net: nn.Module, ranks: Ranks, device: torch.device, probe: Any) -> nn.Module:
    """Wrap a network so that gradients are averaged over the processes (DDP).

    `probe()` runs the network forward and backward once: parameters that get no gradient from it,
    as those of Hourglass's last, unused merging block, are frozen, for DDP would wait for them.
    """
    if ranks.world_size == 1:
        return net
    net.eval()  # the probe must leave the running statistics alone
    probe()
    for parameter in net.parameters():
        parameter.requires_grad_(parameter.requires_grad and parameter.grad is not None)
        parameter.grad = None
    return nn.parallel.DistributedDataParallel(
        net,
        device_ids=[device] if device.type == "cuda" else None,
        gradient_as_bucket_view=True,
    )


def no_sync(forward: nn.Module) -> AbstractContextManager[None]:
    """Return a context in which processes keep their gradients to themselves."""
    if isinstance(getattr(forward, "_orig_mod", forward), nn.parallel.DistributedDataParallel):
        return forward.no_sync()  # type: ignore[operator]
    return nullcontext()
