"""While a device works on a batch, the maps of the one before it become people.

The device of these tests is a list of what it was given: it works in that order, beside the host.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import pose_codecs
from pose_codecs import AssociativeEmbedding, People
from pose_train.inference import forward
from pose_train.inference.bottomup import Decoding, find_scenes
from pose_train.inference.network import Backend, Contexts, Maps
from pose_train.inference.topdown import one_late, predict_heatmaps, predict_poses

K, SIZE = 2, (16, 16)


class Device:
    """What was given to the device, and what the host did meanwhile, in order."""

    def __init__(self) -> None:
        self.given = 0
        self.events: list[str] = []
        self.second_given = threading.Event()
        self.own = threading.local()  # up to which batch the work of a thread waits

    def backend(self) -> Backend:
        def run(images: Any, flip_test: bool) -> list[Maps]:
            maps = np.full((len(images), K, *SIZE), self.given, np.float32)
            self.events.append(f"run {self.given}")
            self.given += 1
            if self.given == 2:
                self.second_given.set()
            return [Maps((maps,), (maps,))]

        def fetch(maps: NDArray[np.float32]) -> NDArray[np.float32]:
            # Unmarked work waits for everything.
            self.events.append(f"fetch {maps.max():.0f} after {self.own.until}")
            return maps

        def decode(codec: AssociativeEmbedding, heatmaps: Any, tags: Any) -> People:
            is_beside = self.second_given.wait(20)
            self.events.append(f"decode {heatmaps.max():.0f} after {self.own.until}, {is_beside}")
            return People(np.zeros((1, K, 2)), np.ones((1, K)), np.zeros((1, K, 1)), np.ones(1))

        return Backend(run, pose_codecs, decode, fetch, self.mark)

    def mark(self) -> Contexts:
        until = self.given - 1

        @contextmanager
        def beside() -> Iterator[None]:
            self.own.until = until
            yield
            self.own.until = self.given - 1

        return beside


def test_a_batch_of_crops_is_decoded_once_the_next_is_given() -> None:
    device = Device()

    def batches() -> Iterator[dict[str, Any]]:
        for number in range(3):
            device.events.append(f"read {number}")
            whole = torch.full((2, 2), 64.0)
            index = torch.tensor([2 * number, 2 * number + 1])
            yield {"image": np.zeros((2, 64, 64, 3)), "center": whole, "scale": whole} | {
                "index": index
            }

    def decode(maps: NDArray[np.float32]) -> tuple[Any, Any]:
        device.events.append(f"decode {maps.max():.0f}")
        return np.zeros((2, K, 2), np.float32), maps[..., 0, 0]

    poses = predict_poses(
        device.backend(), batches(), decode, input_size=(64, 64), flip_indices=None
    )
    assert device.events == [
        *("read 0", "run 0"),
        *("read 1", "run 1", "fetch 0 after 0", "decode 0"),
        *("read 2", "run 2", "fetch 1 after 1", "decode 1"),
        *("fetch 2 after 2", "decode 2"),
    ]
    assert poses.person.tolist() == [0, 1, 2, 3, 4, 5]
    assert poses.scores[:, 0].tolist() == [0, 0, 1, 1, 2, 2]


def test_images_are_decoded_while_the_next_are_with_the_device() -> None:
    device, whole = Device(), np.full((2, 2), 64.0)
    batches = [
        {"images": [np.zeros((2, 64, 64, 3))], "base_size": SIZE, "center": whole, "scale": whole}
        | {"index": np.array(index), "image_id": np.array(index)}
        for index in ([0, 1], [2, 3])
    ]
    codec = AssociativeEmbedding((64, 64), [SIZE])
    scenes = find_scenes(device.backend(), batches, Decoding(codec, [1.0]), None, threads=2)
    assert [scene.sample for scene in scenes] == [0, 1, 2, 3]
    expected = [f"decode {number} after {number}, True" for number in (0, 0, 1, 1)]
    assert device.events[:2] == ["run 0", "run 1"]
    assert sorted(device.events[2:]) == expected


def test_one_late_holds_one_back() -> None:
    assert list(one_late(iter(""))) == []
    assert list(one_late("abc")) == ["a", "b", "c"]
    made: list[int] = []
    items = one_late(made.append(n) or n for n in range(3))  # type: ignore[func-returns-value]
    seen = [(item, len(made)) for item in items]
    assert seen == [(0, 2), (1, 3), (2, 3)]


def test_maps_are_read_in_a_stream_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    class Stream:
        count = 0

        def __init__(self, device: torch.device) -> None:
            self.name = f"stream {Stream.count} of {device}"
            Stream.count += 1

        def record_event(self) -> str:
            calls.append(f"{self.name} records")
            return f"event {len(calls)}"

        def wait_event(self, event: str) -> None:
            calls.append(f"{self.name} waits for {event}")

        def synchronize(self) -> None:
            calls.append(f"host waits for {self.name}")

    @contextmanager
    def within(stream: Stream) -> Iterator[None]:
        calls.append(f"into {stream.name}")
        yield
        calls.append(f"out of {stream.name}")

    device = torch.device("cuda", 1)
    main = Stream(device)
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", within)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda on: {device: main}[on])
    backend = forward.torch_backend(nn.Identity(), device)

    def block(number: int, event: int) -> list[str]:
        name = f"stream {number} of cuda:1"
        steps = f"{name} waits for event {event}", f"into {name}", "fetch", f"out of {name}"
        return [*steps, f"host waits for {name}"]

    first = backend.mark()
    calls.append("the next batch")
    for _ in range(2):  # images of a batch: the stream of the first is used again
        with first():
            calls.append("fetch")
    records = "stream 0 of cuda:1 records"
    assert calls == [records, "the next batch", *block(1, 1), *block(1, 1)]
    calls.clear()
    with first(), first():  # two at a time, as of two threads
        pass
    assert {call.split()[1] for call in calls if "waits for event" in call} == {"1", "2"}
    assert Stream.count == 3


class Handed(TorchDispatchMode):
    """Note what is computed with numbers of the host: a GPU stops for them, until it has them."""

    def __init__(self, known: list[torch.Tensor]) -> None:
        super().__init__()
        self.known = known  # they are kept, so that no other gets the place of one
        self.found: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        known = {id(each) for each in self.known}
        given = tree_leaves((args, kwargs))
        if any(isinstance(each, torch.Tensor) and id(each) not in known for each in given):
            self.found.append(str(func))
        out = func(*args, **(kwargs or {}))
        self.known += [each for each in tree_leaves(out) if isinstance(each, torch.Tensor)]
        return out


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, K, 4, 4)

    def forward(self, images: torch.Tensor) -> Maps:
        return Maps((self.head(images),), ())


def test_a_batch_with_flip_test_is_given_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even for a handful of indices: the batch before it would have to be done."""
    device = torch.device("meta")  # has shapes, and no values to wait for
    monkeypatch.setattr(forward, "autocast", lambda *_: torch.no_grad())
    net = Net().to(device)
    backend = forward.torch_backend(net, device)
    images = torch.zeros(2, 64, 64, 3, dtype=torch.uint8)
    predict_heatmaps(backend, images, (1, 0))  # what is kept for later batches is there now
    known = [*net.parameters(), *forward._statistics(device, 3), images]
    with Handed(known) as mode:
        maps = predict_heatmaps(backend, images, (1, 0))
    assert maps.shape == (2, K, 16, 16)
    assert mode.found == []
    with Handed([maps]) as mode:
        maps[:, [1, 0]]
    # Where the indices become a tensor: the first is torch 2.13's, the other 2.15's.
    assert mode.found in (["aten.index.Tensor"], ["aten.lift_fresh.default"])
