"""The codecs on batches of torch tensors, on any device (extra: pose-codecs[torch]).

Parameters come as the codec objects of pose_codecs; results equal theirs within the tolerances of
floating point. What is equal in two pixels may be resolved differently on a GPU. Maps may be
float16 or bfloat16: they are computed with as float32.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

try:
    import torch
    from torch import Tensor
    from torch.nn import functional
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "pose_codecs.torch needs torch: pip install pose-codecs[torch]"
    ) from error

from pose_codecs.associative import AssociativeEmbedding
from pose_codecs.candidates import Candidates
from pose_codecs.dark import LOWEST, blur_weights
from pose_codecs.flip import check_flip_indices
from pose_codecs.grouping import People
from pose_codecs.msra import MSRAHeatmap
from pose_codecs.targets import gaussian_patch

REFINE_VALUES = 2**24  # pixels computed at a time by refine: bounds its memory


def flip_heatmaps(heatmaps: Tensor, flip_indices: Sequence[int], shift: bool = True) -> Tensor:
    """Turn the heatmaps (..., K, H, W) of a mirrored image into those of the image.

    The same as pose_codecs.flip_heatmaps.
    """
    order = check_flip_indices(flip_indices, heatmaps.shape[-3])
    # Not by a tensor of indices: copying it to a GPU would wait for what the GPU has to do.
    ordered = torch.stack([heatmaps.select(-3, k) for k in order], dim=-3)  # (..., K, H, W)
    flipped = ordered.flip(-1)
    if shift:
        flipped[..., 1:] = flipped[..., :-1].clone()
    return flipped


def flip_tags(tags: Tensor, flip_indices: Sequence[int], shift: bool = False) -> Tensor:
    """Turn the tags (..., K, H, W) of a mirrored image into those of the image."""
    return flip_heatmaps(tags, flip_indices, shift)


def resize(maps: Tensor, size: tuple[int, int], align_corners: bool = False) -> Tensor:
    """Resize maps (..., H, W) to size (w, h) bilinearly; return float32 (..., h, w)."""
    flat = maps.float().reshape(1, -1, *maps.shape[-2:])  # (1, M, H, W)
    resized = functional.interpolate(
        flat, size=(size[1], size[0]), mode="bilinear", align_corners=align_corners
    )
    return resized.reshape(*maps.shape[:-2], size[1], size[0])


def aggregate(maps: Sequence[Tensor], size: tuple[int, int], align_corners: bool = False) -> Tensor:
    """Average maps (..., H_i, W_i) of stages, views or scales resized to size (w, h)."""
    if not maps:
        raise ValueError("maps must hold at least one map")
    return torch.stack([resize(m, size, align_corners) for m in maps]).mean(dim=0)


def aggregate_tags(
    tags: Sequence[Tensor], size: tuple[int, int], align_corners: bool = False
) -> Tensor:
    """Stack tags (..., H_i, W_i) of L views after resizing to size (w, h): (..., h, w, L)."""
    if not tags:
        raise ValueError("tags must hold at least one map")
    return torch.stack([resize(t, size, align_corners) for t in tags], dim=-1)


def encode_msra(codec: MSRAHeatmap, keypoints: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
    """Turn keypoints (..., K, 2) and visible (..., K) into heatmaps and weights.

    The same as MSRAHeatmap.encode, on the device of the keypoints, but a NaN is an outsider.
    """
    width, height = codec.heatmap_size
    points = keypoints.float() / _pair(codec.stride.tolist(), keypoints.device)
    weights = visible.float().clamp(max=1)
    radius = 3 * codec.sigma
    if not codec.unbiased:
        points, radius = (points + 0.5).trunc(), int(radius)
    size = _pair((width, height), points.device)
    inside = ((points - radius < size) & (points + radius + 1 >= 0)).all(dim=-1)  # (..., K)
    shown = weights >= 0.5
    x = torch.arange(width, device=points.device) - points[..., :1]  # (..., K, W)
    y = torch.arange(height, device=points.device) - points[..., 1:]  # (..., K, H)
    squared = x[..., None, :] ** 2 + y[..., :, None] ** 2  # (..., K, H, W)
    heatmaps = torch.exp(-squared / (2 * codec.sigma**2))
    drawn = (shown & inside)[..., None, None].expand_as(heatmaps)
    if not codec.unbiased:
        drawn = drawn & (x.abs() <= radius)[..., None, :] & (y.abs() <= radius)[..., :, None]
    return heatmaps.where(drawn, 0.0), weights.where(inside | ~shown, 0.0)


def encode_people(
    keypoints: Tensor, visible: Tensor, heatmap_size: tuple[int, int], sigma: float = 2.0
) -> Tensor:
    """Draw the visible keypoints (N, P, K, 2) of the people of N images: heatmaps (N, K, H, W).

    The same as pose_codecs.encode_people, on the device of the keypoints and without waiting for
    it, but a NaN is an outsider. People are padded to equal numbers by visible (N, P, K) 0.
    """
    pixels, inside = _visible_pixels(keypoints, visible, heatmap_size)  # (N, P, K, 2), (N, P, K)
    (images, _, channels), (width, height) = inside.shape, heatmap_size
    reach, patch = gaussian_patch(heatmap_size, sigma)
    start = (pixels.double() - reach).round().long()  # half to even, as published
    stop = (pixels.double() + reach + 1).round().long()
    offsets = torch.arange(len(patch), device=keypoints.device)
    columns, rows = (start[..., None] + offsets).unbind(dim=-2)  # (N, P, K, S)
    limit = stop.minimum(_pair((width, height), keypoints.device).long())  # (N, P, K, 2)
    in_x = (columns >= 0) & (columns < limit[..., :1])
    in_y = (rows >= 0) & (rows < limit[..., 1:])
    drawn = in_y[..., :, None] & in_x[..., None, :] & inside[..., None, None]  # (N, P, K, S, S)
    n = torch.arange(images, device=keypoints.device)[:, None, None]
    channel = n * channels + torch.arange(channels, device=keypoints.device)  # (N, 1, K)
    first = (channel[..., None, None] * height + rows[..., :, None]) * width  # (N, P, K, S, 1)
    places = (first + columns[..., None, :]).where(drawn, 0)  # (N, P, K, S, S)
    values = _patch(heatmap_size, sigma, keypoints.device).where(drawn, 0.0)
    heatmaps = torch.zeros(images * channels * height * width, device=keypoints.device)
    heatmaps.scatter_reduce_(0, places.flatten(), values.flatten(), "amax")
    return heatmaps.view(images, channels, height, width)


def keypoint_indices(
    keypoints: Tensor,
    visible: Tensor,
    heatmap_size: tuple[int, int],
    tag_per_keypoint: bool = True,
) -> Tensor:
    """Tell where the tags of people (N, P, K, 2) are in flattened tag maps: (N, P, K, 2), int64.

    The same as pose_codecs.keypoint_indices for P = max_instances, but a NaN is an outsider.
    """
    pixels, inside = _visible_pixels(keypoints, visible, heatmap_size)
    width, height = heatmap_size
    x, y = pixels.long().unbind(dim=-1)  # (N, P, K)
    k = torch.arange(inside.shape[2], device=keypoints.device)
    places = (k * height * width if tag_per_keypoint else 0) + y * width + x
    # Those inside come first, in the order of the keypoints.
    order = (~inside).to(torch.uint8).argsort(dim=2, stable=True)
    indices = torch.stack([places.where(inside, 0), inside.long()], dim=3)  # (N, P, K, 2)
    return indices.gather(2, order[..., None].expand_as(indices))


def _visible_pixels(
    keypoints: Tensor, visible: Tensor, heatmap_size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Return the pixels (N, P, K, 2), truncated, and whether they are visible and inside."""
    size = _pair(heatmap_size, keypoints.device)
    inside = (visible > 0) & ((keypoints > -1) & (keypoints < size)).all(dim=-1)  # (N, P, K)
    return keypoints.float().where(inside[..., None], 0.0).trunc(), inside


def _pair(values: Sequence[float], device: torch.device) -> Tensor:
    """Return two numbers as float32 (2,), written on the device: a copy to a GPU waits for it."""
    return torch.stack([torch.full((), float(value), device=device) for value in values])


@lru_cache(maxsize=32)
@torch.inference_mode(False)
def _patch(size: tuple[int, int], sigma: float, device: torch.device) -> Tensor:
    """Return the window of gaussian_patch on a device; kept, for the same reason."""
    return torch.from_numpy(gaussian_patch(size, sigma)[1].copy()).to(device)


def decode_msra(codec: MSRAHeatmap, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
    """Find the maximum of each heatmap (..., H, W): keypoints (..., 2) and scores (...).

    The same as MSRAHeatmap.decode, on the device of the heatmaps.
    """
    width, height = codec.heatmap_size
    if heatmaps.shape[-2:] != (height, width):
        raise ValueError(f"heatmaps must be (..., {height}, {width}), got {heatmaps.shape}")
    maps = heatmaps.float().reshape(-1, height, width)  # (M, H, W)
    scores, best = maps.flatten(1).max(dim=1)  # (M,)
    if not scores.isfinite().all():
        raise ValueError("heatmaps must be finite, got NaN or inf")
    x, y = (best % width).where(scores > 0, -1), (best // width).where(scores > 0, -1)
    points = torch.stack([x, y], dim=1).float()  # (M, 2)
    if codec.refine == "quarter":
        points += _quarter(maps, x, y)
    elif codec.refine == "dark":
        points -= _dark(maps, x, y, torch.tensor(blur_weights(codec.blur_size, codec.sigma)))
    points *= torch.from_numpy(codec.stride).to(points.device)
    return points.reshape(*heatmaps.shape[:-2], 2), scores.reshape(heatmaps.shape[:-2])


def _quarter(maps: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return the quarter-pixel shifts (M, 2) of MSRAHeatmap, under its published condition."""
    count, height, width = maps.shape
    m = torch.arange(count, device=maps.device)
    differences = _differences(maps, m, x.clamp(min=0), y.clamp(min=0))  # (M, 2)
    x_moves = (x > 1) & (x < width - 1) & (y > 0)
    y_moves = (y > 1) & (y < height - 1) & (x > 0)
    return 0.25 * differences.sign().where(torch.stack([x_moves, y_moves], dim=1), 0.0)


def _differences(maps: Tensor, k: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return right less left and lower less upper neighbour of pixels (...): (..., 2)."""
    _, height, width = maps.shape
    right, below = (x + 1).clamp(max=width - 1), (y + 1).clamp(max=height - 1)
    left, above = (x - 1).clamp(min=0), (y - 1).clamp(min=0)
    horizontal = maps[k, y, right] - maps[k, y, left]
    return torch.stack([horizontal, maps[k, below, x] - maps[k, above, x]], dim=-1)


def _dark(maps: Tensor, x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """Return DARK's Newton steps (M, 2), 0 near the border, with the weights (B,) of the blur."""
    count, height, width = maps.shape
    weights, blur_size = weights.to(maps.device), len(weights)
    half = blur_size // 2
    padded = functional.pad(maps, (half + 2, half + 2, half + 2, half + 2))
    window = torch.arange(blur_size + 4, device=maps.device)  # 5 blurred pixels
    rows, columns = y.clamp(min=0)[:, None] + window, x.clamp(min=0)[:, None] + window
    m = torch.arange(count, device=maps.device)
    patch = padded[m[:, None, None], rows[:, :, None], columns[:, None, :]]  # (M, B + 4, B + 4)
    # Sums, not convolutions: those of a GPU may use TF32.
    patch = (patch.unfold(1, blur_size, 1) * weights).sum(dim=-1)  # (M, 5, B + 4)
    patch = (patch.unfold(2, blur_size, 1) * weights).sum(dim=-1)  # (M, 5, 5)
    inside = (x > 1) & (x < width - 2) & (y > 1) & (y < height - 2)
    low = (inside & (patch.amin(dim=(1, 2)) < float(LOWEST))).nonzero()[:, 0]
    if len(low):  # else the rescaling to the old maximum cancels
        scale = maps[low].amax(dim=(1, 2)) / _blurred(maps[low], weights).amax(dim=(1, 2))
        patch[low] *= scale[:, None, None]
    f = patch.clamp(min=float(LOWEST)).log()
    dx, dy = (f[:, 2, 3] - f[:, 2, 1]) / 2, (f[:, 3, 2] - f[:, 1, 2]) / 2
    dxx = (f[:, 2, 4] - 2 * f[:, 2, 2] + f[:, 2, 0]) / 4
    dyy = (f[:, 4, 2] - 2 * f[:, 2, 2] + f[:, 0, 2]) / 4
    dxy = (f[:, 3, 3] - f[:, 1, 3] - f[:, 3, 1] + f[:, 1, 1]) / 4
    determinant = dxx * dyy - dxy * dxy
    moves = inside & (determinant != 0)
    steps = torch.stack([dyy * dx - dxy * dy, dxx * dy - dxy * dx], dim=1)  # (M, 2)
    return (steps / determinant[:, None]).where(moves[:, None], 0.0)


def _blurred(maps: Tensor, weights: Tensor) -> Tensor:
    """Blur maps (M, H, W), zero outside."""
    half, (_, height, width) = len(weights) // 2, maps.shape
    padded = functional.pad(maps, (half, half, half, half))
    rows = torch.stack([padded[:, t : t + height] for t in range(len(weights))])  # (T, M, H, W + T)
    rows = (weights[:, None, None, None] * rows).sum(dim=0)
    columns = torch.stack([rows[:, :, t : t + width] for t in range(len(weights))])
    return (weights[:, None, None, None] * columns).sum(dim=0)


def find_candidates(
    heatmaps: Tensor, tags: Tensor, max_instances: int = 30, nms_kernel: int = 5
) -> tuple[Tensor, Tensor, Tensor]:
    """Find the highest local maxima of heatmaps (N, K, H, W), as pose_codecs.find_candidates.

    `tags` is (N, K or 1, H, W, L). Returns locations (N, K, M, 2), scores (N, K, M) and tags
    (N, K, M, L).
    """
    maps = heatmaps.float()
    images, keypoints, height, width = maps.shape
    pooled = functional.max_pool2d(maps, nms_kernel, stride=1, padding=nms_kernel // 2)
    suppressed = maps.where(maps == pooled, 0.0).flatten(2)  # (N, K, H * W)
    scores, pixels = suppressed.topk(min(max_instances, height * width), dim=2)  # (N, K, M)
    x, y = pixels % width, pixels // width
    n = torch.arange(images, device=maps.device)[:, None, None]
    k = torch.arange(keypoints, device=maps.device)[:, None] if tags.shape[1] > 1 else 0
    return torch.stack([x, y], dim=3), scores, tags[n, k, y, x].float()


def decode_people(codec: AssociativeEmbedding, heatmaps: Tensor, tags: Tensor) -> list[People]:
    """Find the people of heatmaps (N, K, H, W) and tags (N, K or 1, H, W[, L]), as codec.decode.

    Candidates, adjust and refine are computed on the device of the maps; only candidates and people
    cross to the host, which groups them. Raises ValueError for wrong shapes, NaN and inf.
    """
    if tags.ndim == 4:
        tags = tags[..., None]  # (N, K, H, W, 1)
    if heatmaps.ndim != 4 or tags.ndim != 5 or tags.shape[2:4] != heatmaps.shape[2:]:
        raise ValueError(
            "heatmaps and tags must be (N, K, H, W) and (N, K, H, W[, L]), "
            f"got {tuple(heatmaps.shape)} and {tuple(tags.shape)}"
        )
    if not (heatmaps.isfinite().all() and tags.isfinite().all()):
        raise ValueError("heatmaps and tags must be finite, got NaN or inf")
    found = find_candidates(heatmaps, tags, codec.max_instances, codec.nms_kernel)
    locations, scores, found_tags = (part.cpu().numpy() for part in found)
    everyone = []
    for n in range(len(heatmaps)):
        people = codec.group(Candidates(locations[n].astype(np.int32), scores[n], found_tags[n]))
        keypoints, keypoint_scores = (
            torch.from_numpy(part).to(heatmaps.device) for part in (people.keypoints, people.scores)
        )
        if codec.adjust:
            keypoints = adjust(keypoints, keypoint_scores, heatmaps[n])
        if codec.refine:
            keypoints, keypoint_scores = refine(keypoints, keypoint_scores, heatmaps[n], tags[n])
        everyone.append(
            people._replace(keypoints=keypoints.cpu().numpy(), scores=keypoint_scores.cpu().numpy())
        )
    return everyone


def adjust(keypoints: Tensor, scores: Tensor, heatmaps: Tensor) -> Tensor:
    """Move the keypoints (P, K, 2) found within their pixels, as pose_codecs.adjust."""
    found = (scores > 0)[..., None]
    pixels = keypoints.where(found, 0.0).long()  # (P, K, 2)
    k = torch.arange(len(heatmaps), device=heatmaps.device)
    moved = keypoints + _quarter_shifts(heatmaps, k, pixels[..., 0], pixels[..., 1])
    return moved.where(found, keypoints)


def _quarter_shifts(heatmaps: Tensor, k: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return 0.75 towards a higher right or lower neighbour, else 0.25: (..., 2)."""
    return 0.25 + 0.5 * (_differences(heatmaps, k, x, y) > 0).float()


def refine(
    keypoints: Tensor, scores: Tensor, heatmaps: Tensor, tags: Tensor
) -> tuple[Tensor, Tensor]:
    """Fill in the keypoints (P, K, 2) whose scores (P, K) are 0, as pose_codecs.refine.

    `heatmaps` is (K, H, W), `tags` (K or 1, H, W, L). Every pixel is computed.
    """
    maps, tag_maps = heatmaps.float(), tags.float()
    _, height, width = maps.shape
    found = scores > 0
    pixels = keypoints.where(found[..., None], 0.0).long()
    channels = torch.arange(len(maps), device=maps.device) if len(tag_maps) > 1 else 0
    at_keypoints = tag_maps[channels, pixels[..., 1], pixels[..., 0]]  # (P, K, L)
    means = at_keypoints.where(found[..., None], 0.0).sum(dim=1) / found.sum(dim=1)[:, None]
    people, k = (scores == 0).nonzero(as_tuple=True)  # (M,) each
    pixel = torch.zeros_like(k)
    step = max(1, REFINE_VALUES // (height * width))
    for i in range(0, len(k), step):
        part = slice(i, i + step)
        of_keypoint = tag_maps[k[part]] if len(tag_maps) > 1 else tag_maps
        differences = of_keypoint - means[people[part], None, None]  # (m, H, W, L)
        distances = differences.square().sum(dim=-1).sqrt()
        pixel[part] = (maps[k[part]] - distances.round()).flatten(1).argmax(dim=1)
    x, y = pixel % width, pixel // width
    values = maps[k, y, x]
    points = torch.stack([x, y], dim=1) + _quarter_shifts(maps, k, x, y)  # (M, 2)
    keypoints, scores = keypoints.clone(), scores.clone()
    keypoints[people, k] = points.where((values > 0)[:, None], keypoints[people, k])
    scores[people, k] = values.where(values > 0, 0.0)
    return keypoints, scores
