"""From pictures to people, with a network that draws its maps from the colours of the picture."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import pose_codecs.torch
from pose_backbones import PoseOutput
from pose_codecs import AssociativeEmbedding
from pose_data import BottomUp, load_coco, synthesize
from pose_train.inference.bottomup import (
    Decoding,
    Scene,
    find_scenes,
    merge_maps,
    predict_maps,
    scene_rows,
)
from pose_train.inference.forward import torch_backend
from pose_train.inference.network import Backend
from pose_train.recipes.bottomup import stack_tensors
from pose_train.recipes.loaders import same_size_batches, scene_loader

CPU = torch.device("cpu")


class Painted(nn.Module):
    """Find 2 keypoints at red and green spots, with the blue of the picture as their tag.

    Heatmaps at 1/4 and 1/2, tags at 1/4, as HigherHRNet's.
    """

    def forward(self, images: Tensor) -> PoseOutput:
        red, green, blue = ((images + 2.2) / 5).clamp(0, 1).unbind(dim=1)  # (B, H, W) each
        maps = torch.stack([red, green], dim=1) - 0.5  # (B, 2, H, W)
        pooled = [nn.functional.avg_pool2d(maps, stride) for stride in (4, 2)]
        tags = nn.functional.avg_pool2d(10 * blue[:, None], 4).expand(-1, 2, -1, -1)
        return PoseOutput(tuple(pooled), (tags,))


PAINTED = torch_backend(Painted(), CPU)


def merged(
    backend: Backend,
    images: list[Tensor],
    flip_indices: tuple[int, int] | None,
    factors: list[float],
    size: tuple[int, int] | None = None,
) -> tuple[Tensor, Tensor]:
    maps = [predict_maps(backend, each, flip_indices) for each in images]
    return merge_maps(pose_codecs.torch, maps, factors, size)


def draw_people(picture: np.ndarray, people: list[tuple[int, int, int]]) -> None:
    """Draw people (x, y, blue): a red spot at (x, y), a green one 40 pixels to the right."""
    for x, y, blue in people:
        cv2.circle(picture, (x, y), 7, (255, 0, blue), -1)
        cv2.circle(picture, (x + 40, y), 7, (0, 255, blue), -1)
    picture[..., :2] = cv2.GaussianBlur(picture[..., :2], (9, 9), 3)  # one maximum per spot


def test_people_are_found_where_they_are() -> None:
    picture = np.zeros((128, 192, 3), np.uint8)
    draw_people(picture, [(30, 40, 40), (120, 90, 220)])
    codec = AssociativeEmbedding((128, 128), [])
    batch = {
        "images": [torch.from_numpy(picture[None])],
        "base_size": (192, 128),
        "center": torch.tensor([[96.0, 64.0]]),
        "scale": torch.tensor([[192.0, 128.0]]),
        "image_id": torch.tensor([7]),
        "index": torch.tensor([0]),
    }
    for flip_indices in (None, (0, 1)):  # red stays red in a mirror
        (scene,) = find_scenes(PAINTED, [batch], Decoding(codec, [1.0]), flip_indices)
        assert scene.image_id == 7
        found = scene.keypoints[np.argsort(scene.keypoints[:, 0, 0])]
        expected = [[[30, 40], [70, 40]], [[120, 90], [160, 90]]]
        np.testing.assert_allclose(found, expected, atol=2.5)


def test_factors_average_heatmaps_and_tags_are_those_of_factor_1() -> None:
    images = [torch.randint(0, 256, (2, 64 * s, 128 * s, 3), dtype=torch.uint8) for s in (2, 1)]
    both, tags = merged(PAINTED, images, (1, 0), [2.0, 1.0], (128, 64))
    alone = [
        merged(PAINTED, [batch], (1, 0), [f], (128, 64))
        for batch, f in zip(images, (2.0, 1.0), strict=True)
    ]
    torch.testing.assert_close(both, (alone[0][0] + alone[1][0]) / 2)
    assert tags.shape == (2, 2, 64, 128, 2)
    torch.testing.assert_close(tags, alone[1][1])
    finest, _ = merged(PAINTED, images, None, [2.0, 1.0])
    assert finest.shape == (2, 2, 64, 128)
    with pytest.raises(ValueError, match=r"must include 1, got \[2.0, 0.5\]"):
        merged(PAINTED, images, None, [2.0, 0.5])


class Stacked(nn.Module):
    """Return two stages of one size, one shared tag map each."""

    def forward(self, images: Tensor) -> PoseOutput:
        maps = nn.functional.avg_pool2d(images[:, :2], 4)
        return PoseOutput((maps, 3 * maps), (maps[:, :1], 5 * maps[:, :1]))


def test_of_stages_of_one_size_the_last_counts() -> None:
    images = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    stacked = torch_backend(Stacked(), CPU)
    heatmaps, tags = merged(stacked, [images], None, [1.0])
    torch.testing.assert_close(tags[..., 0] / 5, heatmaps[:, :1] / 3)
    _, tags = merged(stacked, [images], (1, 0), [1.0])
    torch.testing.assert_close(tags[..., 0], tags[..., 1])  # a plain average is its own mirror


def test_batches_hold_pictures_of_one_size_and_order_does_not_matter(tmp_path: Path) -> None:
    synthesize(tmp_path, num_train=1, num_val=5, image_size=(96, 64), seed=0)
    folder = tmp_path / "val2017"
    for path in sorted(folder.iterdir())[1:3]:  # two of them upright
        turned = cv2.rotate(cv2.imread(str(path)), cv2.ROTATE_90_CLOCKWISE)
        cv2.imwrite(str(path), turned)
    annotations = tmp_path / "annotations" / "person_keypoints_val2017.json"
    swap_sizes(annotations, {path.name for path in sorted(folder.iterdir())[1:3]})
    dataset = BottomUp(load_coco(annotations, folder), (64, 64))
    assert same_size_batches(dataset, range(5), 2) == [[0, 3], [4], [1, 2]]
    codec = AssociativeEmbedding((64, 64), [])
    several, single = (
        find_scenes(
            PAINTED,
            scene_loader(dataset, range(5), batch_size, 0, CPU, stack_tensors),
            Decoding(codec, [1.0]),
            None,
            threads,
        )
        for batch_size, threads in ((2, 3), (1, 1))
    )
    assert [scene.sample for scene in several] == [0, 1, 2, 3, 4]
    for ours, theirs in zip(several, single, strict=True):
        assert ours.image_id == theirs.image_id
        np.testing.assert_allclose(ours.keypoints, theirs.keypoints, atol=1e-4)


def swap_sizes(annotations: Path, names: set[str]) -> None:
    content = json.loads(annotations.read_text())
    for image in content["images"]:
        if image["file_name"] in names:
            image["width"], image["height"] = image["height"], image["width"]
    annotations.write_text(json.dumps(content))


def test_rows_have_boxes_of_all_keypoints() -> None:
    keypoints = np.array([[[10, 20], [30, 25]], [[1, 2], [3, 5]]], np.float32)
    scores = np.array([[0.5, 0.25], [1, 0]], np.float32)
    scene = Scene(0, 42, keypoints, scores, np.array([0.375, 0.5], np.float32))
    first, second = scene_rows([scene])
    assert first == {
        "image_id": 42,
        "category_id": 1,
        "keypoints": [10, 20, 0.5, 30, 25, 0.25],
        "score": 0.375,
        "bbox": [10, 20, 20, 5],
    }
    assert (second["score"], second["bbox"]) == (0.5, [1, 2, 2, 3])
