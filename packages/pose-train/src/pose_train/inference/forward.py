"""Run a network of torch's: pixels in, maps out."""

import math
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import pose_codecs.torch
from pose_backbones import GREY_MEAN, GREY_STD, MEAN, STD, PoseOutput
from pose_codecs import AssociativeEmbedding, People
from pose_codecs.torch import decode_people
from pose_train.inference.network import Backend, Contexts, Maps

# Mean and standard deviation of values in 0..255, by the channels of images: as in every published
# recipe those of ImageNet in RGB; their luma.
STATISTICS = {3: (MEAN, STD), 1: (GREY_MEAN, GREY_STD)}

AMP = {"off": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(device: torch.device, amp: str) -> torch.autocast:
    """Return the context in which the network computes as the config's `amp` says."""
    if amp == "auto":
        amp = fastest_amp(device)
    return torch.autocast(device.type, AMP[amp], enabled=amp != "off")


def fastest_amp(device: torch.device) -> str:
    """Return bf16 for a device that is faster with it, else off.

    A CPU without such instructions emulates them, at a tenth of float32's speed and less, and some
    that have them are slower with them: there a convolution is timed, once in a process.
    """
    if device.type == "cuda":
        is_faster = torch.cuda.get_device_capability(device) >= (8, 0)
    elif device.type != "cpu":
        is_faster = False  # Apple's mps: not measured
    else:
        names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # not in every torch
        has_bf16 = any(getattr(torch.cpu, name, bool)() for name in names)
        is_faster = has_bf16 and _cpu_is_faster_with_bf16()
    return "bf16" if is_faster else "off"


@lru_cache(maxsize=1)
@torch.inference_mode()
def _cpu_is_faster_with_bf16() -> bool:
    """Time a convolution of HRNet-W32's first branch in both types, in turns; 0.1 s."""
    seconds = {torch.float32: math.inf, torch.bfloat16: math.inf}
    images, weight = torch.ones(4, 32, 64, 48), torch.ones(32, 32, 3, 3)
    inputs = {
        dtype: [each.to(dtype, memory_format=torch.channels_last) for each in (images, weight)]
        for dtype in seconds
    }
    for _ in range(10):
        for dtype, (images, weight) in inputs.items():
            started = time.perf_counter()
            torch.conv2d(images, weight, padding=1)
            seconds[dtype] = min(seconds[dtype], time.perf_counter() - started)
    return seconds[torch.bfloat16] < seconds[torch.float32]


def normalize(images: Tensor) -> Tensor:
    """Turn uint8 images (B, H, W, C), RGB or grey, into network input (B, C, H, W), float32."""
    width, channels = images.shape[2:]
    # Of whole rows: a CPU computes with many numbers at once, and the channels are but three.
    mean, std = (each.repeat(width) for each in _statistics(images.device, channels))  # (W C,)
    rows = images.flatten(2).to(torch.float32, copy=True).sub_(mean).div_(std)  # (B, H, W C)
    return rows.view(images.shape).permute(0, 3, 1, 2)  # (B, C, H, W), channels last


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _statistics(device: torch.device, channels: int) -> tuple[Tensor, Tensor]:
    """Return mean and std (C,); kept, because copying them to a GPU would wait for it."""
    mean, std = STATISTICS[channels]
    return torch.tensor(mean, device=device), torch.tensor(std, device=device)


def torch_backend(net: nn.Module, device: torch.device, amp: str = "off") -> Backend:
    """Return what runs a network on its device, as autocast says; sets it to evaluation."""
    net.eval()
    idle = deque[torch.cuda.Stream]()

    @torch.inference_mode()
    def run(images: Any, flip_test: bool) -> list[Maps]:
        inputs = normalize(torch.as_tensor(images).to(device, non_blocking=True))  # (B, C, h, w)
        if flip_test:  # one pass of twice the images is faster than two
            inputs = torch.cat([inputs, inputs.flip(-1)])  # (2B, C, h, w)
        with autocast(device, amp):
            output: PoseOutput = net(inputs)
        parts = [[torch.split(m.float(), len(images)) for m in maps] for maps in output]
        return [
            Maps(*(tuple(part[side] for part in maps) for maps in parts))
            for side in range(1 + flip_test)
        ]

    return Backend(run, pose_codecs.torch, _decode, _fetch, partial(_mark, device, idle))


@torch.inference_mode()
def _decode(codec: AssociativeEmbedding, heatmaps: Tensor, tags: Tensor) -> People:
    """Find the people of an image's maps (K, h, w) and (T, h, w, L), on their device."""
    if heatmaps.device.type == "cpu":
        return codec.decode(heatmaps.numpy(), tags.numpy())
    (people,) = decode_people(codec, heatmaps[None], tags[None])
    return people


def _fetch(maps: Tensor) -> NDArray[np.float32]:
    return maps.cpu().numpy()


def _mark(device: torch.device, idle: deque[torch.cuda.Stream]) -> Contexts:
    """Return what Backend's mark does; idle: streams to use again, each of which keeps memory."""
    if device.type != "cuda":
        return nullcontext
    made = torch.cuda.current_stream(device).record_event()

    @contextmanager
    def beside() -> Iterator[None]:
        try:
            stream = idle.pop()
        except IndexError:  # as many threads are at work at a time as never before
            stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        stream.wait_event(made)
        try:
            with torch.cuda.stream(stream):
                yield
        finally:
            # Else the memory of maps that are let go of could be given away before they are read.
            stream.synchronize()
            idle.append(stream)

    return beside
