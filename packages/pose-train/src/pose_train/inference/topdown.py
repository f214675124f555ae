"""Top-down: a crop of each box, forward, flip test, decode, back to the image; rescore, NMS.

HRNet's test as in MMPose 1.x's TopdownHeatmap configs and CocoMetric.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pose_codecs import AssociativeEmbedding
from pose_data import Persons, keypoints_to_image, warp_affine
from pose_data.images.channels import in_channels, to_input
from pose_data.samples.crop import box_to_center_scale, crop_matrix, fix_aspect, udp_matrix
from pose_eval import oks_nms, rescore, soft_oks_nms
from pose_eval.nms import first_of_each_id, per_image
from pose_train.files.images import Image, read_pixels
from pose_train.inference.network import Backend, Network, Usage, finite_maps
from pose_train.inference.people import Heatmaps, People, map_matrix, number_in_errors

Floats = NDArray[np.float32]
Decode = Callable[[Floats], tuple[Floats, Floats]]
Detector = Callable[[Image], ArrayLike]
Boxes = ArrayLike | Detector | None

T = TypeVar("T")

NMS = ("oks", "soft", "none")


class Poses(NamedTuple):
    """Poses found in N boxes.

    person (N,) rows of the Persons that hold the boxes, keypoints (N, K, 2) in pixels of the
    image, scores (N, K), area (N,) of the boxes as padded and widened for the network.
    """

    person: NDArray[np.int64]
    keypoints: Floats
    scores: Floats
    area: Floats


class _Crop(NamedTuple):
    """What the network sees of a box: pixels (h, w, 3) RGB or (h, w, 1) of its image."""

    pixels: Image
    center: Floats
    scale: Floats


def predict_heatmaps(
    backend: Backend, images: Any, flip_indices: Sequence[int] | None, *, shift: bool = True
) -> Any:
    """Return the last stage's heatmaps (B, K, h, w) of uint8 images (B, H, W, C), where they lie.

    flip_indices: average with the mirrored images' heatmaps. shift: those by one pixel, because the
    quarter-size grid of a mirrored image does not fall on the original's (HRNet's flip test); not
    for UDP, whose grid does.
    """
    heatmaps, *mirrored = (maps.heatmaps[-1] for maps in backend.run(images, bool(flip_indices)))
    if not flip_indices:
        return heatmaps
    flipped = backend.codecs.flip_heatmaps(mirrored[0], flip_indices, shift=shift)
    return (heatmaps + flipped) * 0.5


def find(
    network: Network,
    images: Sequence[Any],
    boxes: Sequence[Boxes],
    flip_indices: Sequence[int] | None,
    *,
    batch_size: int,
    keep_maps: bool,
) -> list[People]:
    """Return the people in the boxes of each image, of which no more than a batch is held.

    boxes: of each image (P, 4) xyxy, or (P, 5) with scores, a function that returns them for a BGR
    array, or None for the whole image. flip_indices: as in predict_heatmaps. Raises as Predictor.
    """
    boxes_of: list[Floats] = []  # (P, 5) of each image
    crops = _crops(network, images, boxes, boxes_of)
    count, codec = network.usage.skeleton.num_keypoints, network.usage.codec
    assert not isinstance(codec, AssociativeEmbedding)
    # As `_poses` returns them, of no crops.
    poses = np.empty((0, count, 2), np.float32), np.empty((0, count), np.float32)
    maps = np.empty((0, count, *codec.heatmap_size[::-1]), np.float32), np.empty((0, 2, 3))
    parts: list[tuple[NDArray[Any], ...]] = [poses + maps if keep_maps else poses]
    while batch := list(islice(crops, batch_size)):
        parts.append(_poses(network, batch, flip_indices, keep_maps))
    ends = np.cumsum([len(each) for each in boxes_of], dtype=int)
    arrays = [np.split(np.concatenate(each), ends)[:-1] for each in zip(*parts, strict=True)]
    return [
        _people(network.usage, own_boxes, *own)
        for own_boxes, *own in zip(boxes_of, *arrays, strict=True)
    ]


def _crops(
    network: Network, images: Sequence[Any], boxes: Sequence[Boxes], boxes_of: list[Floats]
) -> Iterator[_Crop]:
    """Yield the crops of image after image, and add the boxes of each to `boxes_of`."""
    usage = network.usage
    size, matrix_of = usage.input_size, udp_matrix if usage.udp else crop_matrix
    for number, (image, bboxes) in enumerate(zip(images, boxes, strict=True)):
        with number_in_errors(number, len(images)):
            pixels = read_pixels(image, usage.bits)
            if bboxes is None:
                bboxes = [[0, 0, pixels.shape[1], pixels.shape[0]]]
            boxes_of.append(check_boxes(bboxes(pixels) if callable(bboxes) else bboxes))
        network_pixels = in_channels(pixels, usage.channels)
        for box in boxes_of[-1]:
            center, scale = box_to_center_scale(box[:4], usage.padding)
            scale = fix_aspect(scale, size)
            crop = warp_affine(
                network_pixels, matrix_of(center, scale, 0.0, size), size, usage.warp
            )
            yield _Crop(to_input(crop), center, scale)


def _poses(
    network: Network,
    crops: Sequence[_Crop],
    flip_indices: Sequence[int] | None,
    keep_maps: bool,
) -> tuple[NDArray[Any], ...]:
    """Return keypoints (B, K, 2) and scores (B, K) of a batch of crops.

    keep_maps: also maps (B, K, h, w) and matrix (B, 2, 3), as in Heatmaps.
    """
    usage = network.usage
    codec = usage.codec
    assert not isinstance(codec, AssociativeEmbedding)
    pixels, center, scale = (np.stack(each) for each in zip(*crops, strict=True))
    backend = network.backend
    maps = backend.fetch(predict_heatmaps(backend, pixels, flip_indices, shift=not usage.udp))
    with finite_maps():
        points, scores = codec.decode(maps)  # (B, K, 2), (B, K)
    keypoints = keypoints_to_image(points, center, scale, usage.input_size)
    if not keep_maps:
        return keypoints, scores
    w, h = codec.heatmap_size
    # The ends of a box are the outer pixel centres of a UDP map (see UDPHeatmap.decode).
    size = (w - 1, h - 1) if usage.udp else (w, h)
    matrix = [map_matrix(*each, size) for each in zip(center, scale, strict=True)]
    return keypoints, scores, maps, np.stack(matrix)


def _people(usage: Usage, boxes: Floats, keypoints: Floats, scores: Floats, *maps: Any) -> People:
    """Return the people of an image from the poses in its boxes (P, 5)."""
    person_scores = rescore(boxes[:, 4], scores, "bbox_keypoint").astype(np.float32)
    heatmaps = Heatmaps(*maps) if maps else None
    return People(keypoints, scores, person_scores, boxes[:, :4], usage.skeleton, heatmaps)


def check_boxes(bboxes: ArrayLike) -> Floats:
    """Return boxes as (P, 5): x1, y1, x2, y2, score (1 where not given); raises ValueError."""
    boxes = np.asarray(bboxes, np.float32)
    if boxes.size == 0:
        return np.empty((0, 5), np.float32)
    if boxes.ndim != 2 or boxes.shape[1] not in (4, 5):
        raise ValueError(f"bboxes must be (P, 4) xyxy or (P, 5) with scores, got {boxes.shape}")
    is_bad = ~np.isfinite(boxes).all(axis=1) | (boxes[:, 2:4] <= boxes[:, :2]).any(axis=1)
    if is_bad.any():
        bad = int(is_bad.argmax())
        raise ValueError(
            f"bboxes are x1, y1, x2, y2 with x1 < x2 and y1 < y2, got {boxes[bad, :4].tolist()} in "
            f"row {bad}; is it x, y, width, height?"
        )
    if boxes.shape[1] == 4:
        boxes = np.concatenate([boxes, np.ones((len(boxes), 1), np.float32)], axis=1)
    return boxes


def predict_poses(
    backend: Backend,
    batches: Iterable[dict[str, Any]],
    decode: Decode,
    *,
    input_size: tuple[int, int],
    flip_indices: Sequence[int] | None,
    shift: bool = True,
    keypoints: Sequence[int] | None = None,
) -> Poses:
    """Predict every box of the batches that a TopDown dataset makes for testing.

    flip_indices, shift: of predict_heatmaps, by the network's keypoints. keypoints: which of the
    network's to keep, in the order of the evaluated ones; None for all. Processes that
    share the boxes join what they found with `join_poses`.

    While a GPU works on a batch, the maps of the one before it are fetched and decoded.
    """
    launched = (
        (
            batch,
            predict_heatmaps(backend, batch["image"], flip_indices, shift=shift),
            backend.mark(),
        )
        for batch in batches
    )
    parts = []
    for batch, heatmaps, beside in one_late(launched):
        with beside():
            maps = backend.fetch(heatmaps)
        with finite_maps():
            points, scores = decode(maps)  # (B, K, 2), (B, K)
        if keypoints is not None:
            points, scores = points[:, keypoints], scores[:, keypoints]
        center, scale = batch["center"].numpy(), batch["scale"].numpy()
        points = keypoints_to_image(points, center, scale, input_size)
        parts.append(Poses(batch["index"].numpy(), points, scores, scale.prod(axis=1)))
    if not parts:
        count = 0 if keypoints is None else len(keypoints)
        return Poses(
            np.empty(0, np.int64),
            np.empty((0, count, 2), np.float32),
            np.empty((0, count), np.float32),
            np.empty(0, np.float32),
        )
    return join_poses(parts)


def one_late(items: Iterable[T]) -> Iterator[T]:
    """Yield items, each when the one after it has been made."""
    waiting = deque[T]()
    for item in items:
        waiting.append(item)
        if len(waiting) > 1:
            yield waiting.popleft()
    yield from waiting


def join_poses(parts: Iterable[Poses]) -> Poses:
    """Join the poses of several processes in the order of the persons, each person once."""
    person, keypoints, scores, area = (
        np.concatenate(arrays) for arrays in zip(*parts, strict=True)
    )
    first: NDArray[np.intp] = np.unique(person, return_index=True)[1]
    return Poses(person[first], keypoints[first], scores[first], area[first])


def result_rows(
    poses: Poses,
    persons: Persons,
    *,
    rescoring: str = "bbox_keypoint",
    score_threshold: float = 0.2,
    nms: str = "oks",
    nms_threshold: float = 0.9,
) -> list[dict[str, Any]]:
    """Rescore and suppress poses, and return COCO result rows: what MMPose's CocoMetric writes.

    rescoring: a mode of pose_eval.rescore; in `bbox_keypoint` a row's score is the mean of its
    keypoint scores above `score_threshold`, times the box's score, which is 1 for annotated boxes.
    nms: "oks", "soft" or "none", of each category of an image. Rows come image by image, in the
    order of the images' first boxes; in an image those of NMS "oks" by falling score.
    """
    if nms not in NMS:
        raise ValueError(f"nms must be one of {', '.join(NMS)}, got {nms!r}")
    person, keypoints, keypoint_scores, area = poses
    boxes = persons.bbox_xyxy[person]
    box_scores = np.ones(len(person)) if persons.scores is None else persons.scores[person]
    scores = rescore(box_scores, keypoint_scores, rescoring, score_threshold)
    image = persons.image_ids[persons.image_index[person]]
    category = persons.category_ids[person]
    group = np.unique(np.stack([image, category]), axis=1, return_inverse=True)[1].ravel()
    points = np.concatenate([keypoints, keypoint_scores[..., None]], axis=-1)  # (N, K, 3)
    sigmas = persons.skeleton.sigmas

    def keep(rows: NDArray[np.intp]) -> NDArray[np.intp]:
        if nms == "none":
            return np.arange(len(rows))
        suppress = oks_nms if nms == "oks" else soft_oks_nms
        return suppress(points[rows], scores[rows], area[rows], nms_threshold, sigmas=sigmas)

    order = first_of_each_id(image, persons.ids[person])
    kept = order[per_image(group[order], lambda rows: keep(order[rows]))]
    return [
        {
            "image_id": int(image[i]),
            "category_id": int(category[i]),
            "keypoints": points[i].ravel().tolist(),  # (3 K,)
            "score": float(scores[i]),
            "bbox": _xywh(boxes[i]),
        }
        for i in kept.tolist()
    ]


def _xywh(bbox_xyxy: NDArray[np.float32]) -> list[float]:
    x1, y1, x2, y2 = bbox_xyxy.tolist()
    return [x1, y1, x2 - x1, y2 - y1]
