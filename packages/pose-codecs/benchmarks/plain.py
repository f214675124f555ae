"""The published algorithms written plainly in numpy: one keypoint, one person at a time."""

import numpy as np

from pose_codecs import assign


def encode_msra(points, visible, stride, size, sigma):
    """Draw one rounded Gaussian per keypoint (K, 2)."""
    width, height = size
    heatmaps, weights = np.zeros((len(points), height, width), np.float32), visible.copy()
    radius = int(3 * sigma)
    for k, point in enumerate(points):
        x, y = (point / stride + 0.5).astype(int)
        if x - radius >= width or y - radius >= height or min(x, y) + radius + 1 < 0:
            weights[k] = 0
            continue
        axis = np.arange(2 * radius + 1, dtype=np.float32) - radius
        patch = np.exp(-(axis[None] ** 2 + axis[:, None] ** 2) / (2 * sigma**2))
        left, right = max(0, x - radius), min(width, x + radius + 1)
        top, bottom = max(0, y - radius), min(height, y + radius + 1)
        part = patch[top - y + radius : bottom - y + radius, left - x + radius : right - x + radius]
        window = heatmaps[k, top:bottom, left:right]
        np.maximum(window, part, out=window)
    return heatmaps, weights


def decode_msra(heatmaps, stride):
    """Find maxima and shift them a quarter pixel."""
    points = np.zeros((len(heatmaps), 2), np.float32)
    scores = np.zeros(len(heatmaps), np.float32)
    for k, heatmap in enumerate(heatmaps):
        height, width = heatmap.shape
        y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
        points[k], scores[k] = (x, y), heatmap[y, x]
        if 1 < x < width - 1 and y > 0:
            points[k, 0] += 0.25 * np.sign(heatmap[y, x + 1] - heatmap[y, x - 1])
        if 1 < y < height - 1 and x > 0:
            points[k, 1] += 0.25 * np.sign(heatmap[y + 1, x] - heatmap[y - 1, x])
    return points * stride, scores


def decode_dark(heatmaps, stride, size=11):
    """Blur whole maps and take one Newton step."""
    weights = np.exp(-((np.arange(size) - size // 2) ** 2) / 8)
    weights = (weights / weights.sum()).astype(np.float32)
    points = np.zeros((len(heatmaps), 2), np.float32)
    for k, heatmap in enumerate(heatmaps):
        height, width = heatmap.shape
        y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
        points[k] = x, y
        padded = np.pad(heatmap, size // 2)
        rows = sum(w * padded[i : i + height] for i, w in enumerate(weights))
        blurred = sum(w * rows[:, i : i + width] for i, w in enumerate(weights))
        f = np.log(np.maximum(blurred * heatmap.max() / blurred.max(), 1e-10))
        if 1 < x < width - 2 and 1 < y < height - 2:
            gradient = np.array([f[y, x + 1] - f[y, x - 1], f[y + 1, x] - f[y - 1, x]]) / 2
            dxx = (f[y, x + 2] - 2 * f[y, x] + f[y, x - 2]) / 4
            dyy = (f[y + 2, x] - 2 * f[y, x] + f[y - 2, x]) / 4
            dxy = f[y + 1, x + 1] - f[y - 1, x + 1] - f[y + 1, x - 1] + f[y - 1, x - 1]
            hessian = np.array([[dxx, dxy / 4], [dxy / 4, dyy]])
            points[k] -= np.linalg.solve(hessian, gradient)
    return points * stride


def decode_people(heatmaps, tags, order, max_instances=30, threshold=0.1):
    """Pool, take the best, group them, adjust them, fill in the rest over whole maps."""
    keypoints, height, width = heatmaps.shape
    padded = np.pad(heatmaps, ((0, 0), (2, 2), (2, 2)), constant_values=-np.inf)
    rows = np.max([padded[:, i : i + height] for i in range(5)], axis=0)
    pooled = np.max([rows[:, :, i : i + width] for i in range(5)], axis=0)
    kept = np.where(heatmaps == pooled, heatmaps, 0).reshape(keypoints, -1)
    best = np.argpartition(-kept, max_instances, axis=1)[:, :max_instances]
    groups = []
    for k in order:
        pixels = [i for i in best[k][np.argsort(-kept[k][best[k]])] if kept[k, i] > threshold]
        match_keypoint(groups, k, pixels, kept, tags, width)
    people = np.zeros((len(groups), keypoints, 3), np.float32)
    for p, (members, _) in enumerate(groups):
        for k, pixel in members.items():
            people[p, k] = (*shifted(heatmaps[k], *divmod(pixel, width)), kept[k, pixel])
        mean = np.mean([tags[k][divmod(pixel, width)] for k, pixel in members.items()], axis=0)
        for k in set(range(keypoints)) - members.keys():
            distance = ((tags[k] - mean[None, None]) ** 2).sum(axis=2) ** 0.5
            y, x = divmod(int((heatmaps[k] - np.round(distance)).argmax()), width)
            if heatmaps[k, y, x] > 0:
                people[p, k] = (*shifted(heatmaps[k], y, x), heatmaps[k, y, x])
    return people


def match_keypoint(groups, k, pixels, kept, tags, width):
    """Assign the candidates of one keypoint to the groups, or open new ones."""
    found = [tags[k][divmod(pixel, width)] for pixel in pixels]
    columns, distances = np.arange(len(pixels)), None
    if groups and pixels:
        means = np.array([np.mean(group_tags, axis=0) for _, group_tags in groups])
        distances = np.linalg.norm(np.float64(found)[:, None] - means[None], axis=2)
        costs = np.full((len(pixels), max(len(pixels), len(groups))), 1e10)
        costs[:, : len(groups)] = np.round(distances) * 100 - kept[k][pixels][:, None]
        columns = assign(costs)  # not plain: the people found depend on its ties
    count = len(groups)
    for i, (pixel, tag) in enumerate(zip(pixels, found, strict=True)):
        g = columns[i]
        if g < count and distances[i, g] < 1:
            groups[g][0][k] = pixel
            groups[g][1].append(tag)
        else:
            groups.append(({k: pixel}, [tag]))


def shifted(heatmap, y, x):
    """Move a pixel a quarter to its higher neighbours, then half a pixel."""
    height, width = heatmap.shape
    right = heatmap[y, min(width - 1, x + 1)] > heatmap[y, max(0, x - 1)]
    below = heatmap[min(height - 1, y + 1), x] > heatmap[max(0, y - 1), x]
    return x + 0.5 + (0.25 if right else -0.25), y + 0.5 + (0.25 if below else -0.25)
