"""Many images in a row give what each alone gives, in their order, with full batches."""

import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from pose_data import COCO, DatasetError
from pose_train import RECIPES, Predictor, load_config
from pose_train.inference import stream
from pose_train.inference.load import Trained
from pose_train.inference.network import Maps
from pose_train.inference.stream import Loaded, predict_stream

BOXES = [[2, 3, 60, 80], [20, 5, 100, 90], [30, 10, 90, 95]]


@pytest.fixture
def images(drawn_data: Path) -> list[np.ndarray]:
    return [cv2.imread(str(path)) for path in sorted((drawn_data / "val2017").iterdir())]


def test_batches_are_filled_and_results_are_those_of_each(
    run_dir: Path, images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor(run_dir, batch_size=5)
    counts = [2, 0, 3, 1, 1, 2, 3, 3]
    boxes = [np.array(BOXES[:count], np.float32).reshape(-1, 4) for count in counts]
    alone = [predictor(images[i % 4], own) for i, own in enumerate(boxes)]
    sizes: list[int] = []
    run = predictor.network.backend.run

    def counting(batch: np.ndarray, flip_test: bool) -> list[Maps]:
        sizes.append(len(batch))
        return run(batch, flip_test)

    backend = predictor.network.backend._replace(run=counting)
    object.__setattr__(predictor.network, "backend", backend)
    found = list(
        predict_stream(predictor, range(8), lambda i: Loaded(images[i % 4], boxes[i]), threads=2)
    )
    assert [each.item for each in found] == list(range(8))
    # 2 + 1 (an image without anybody counts) + 3; 1 + 1 + 2 + 3; 3
    assert sizes == [5, 5, 2, 3]
    for each, expected, count in zip(found, alone, counts, strict=True):
        assert each.people is not None
        assert len(each.people) == count
        np.testing.assert_allclose(each.people.keypoints, expected.keypoints, atol=1e-3)
        np.testing.assert_allclose(each.people.scores, expected.scores, rtol=1e-4, atol=1e-7)
    assert found[5].image is images[1]


def test_an_error_stands_in_its_place(run_dir: Path, images: list[np.ndarray]) -> None:
    def read(i: int) -> Loaded:
        if i == 1:
            raise DatasetError("image 1 cannot be read")
        return Loaded(images[0])

    found = list(predict_stream(Predictor(run_dir), range(3), read))
    assert [each.people is None for each in found] == [False, True, False]
    assert str(found[1].error) == "image 1 cannot be read"
    assert found[1].image is None


def test_a_strip_among_images_of_a_bottom_up_network() -> None:
    options = ["model.name=higherhrnet", "model.input_size=[64, 64]", "model.heatmap_sizes=[]"]
    options += ["model.options={width: 4, stem_channels: 8, num_modules: [1, 1, 1], num_blocks: 1}"]
    config = load_config("higherhrnet_w32_coco_512x512", options)
    net, codec = RECIPES["bottomup"].build(config, 17)
    predictor = Predictor(Trained(net, config, codec, COCO, torch.device("cpu"), Path("net.pth")))
    strip, image = np.zeros((2, 90, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)
    given = [image, strip, image]
    found = list(predict_stream(predictor, range(3), lambda i: Loaded(given[i])))
    assert [each.error is None for each in found] == [True, False, True]
    assert "too narrow" in str(found[1].error)
    assert found[1].image is strip


def test_the_next_images_are_read_meanwhile_and_only_so_many(
    run_dir: Path, images: list[np.ndarray]
) -> None:
    begun: list[int] = []
    lock = threading.Lock()

    def read(i: int) -> Loaded:
        with lock:
            begun.append(i)
        return Loaded(images[0])

    predictor = Predictor(run_dir, batch_size=2)
    found = predict_stream(predictor, range(100), read, threads=3)
    next(found)
    deadline = time.monotonic() + 10
    while len(begun) < 8 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert sorted(begun) == list(range(8)), "the batch, and twice as many as there are threads"
    found.close()


def test_large_images_make_small_batches(
    run_dir: Path, images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "MOST_BYTES", images[0].nbytes + 1)
    groups: list[int] = []
    original = stream._people
    monkeypatch.setattr(
        stream, "_people", lambda p, given: groups.append(len(given)) or original(p, given)
    )
    assert len(list(predict_stream(Predictor(run_dir), range(5), lambda _: Loaded(images[0])))) == 5
    assert groups == [2, 2, 1]
