"""Associative embedding from targets back to people."""

import numpy as np
import pytest

from pose_codecs import AssociativeEmbedding, encode_people, keypoint_indices

CODEC = AssociativeEmbedding(input_size=(128, 96), heatmap_sizes=[(32, 24), (64, 48)])


def test_encode_people_matches_the_reference():
    points = np.float32([[[5.9, 3.2], [-0.5, 7]], [[8, 3.9], [31.5, 24]]])
    heatmaps = encode_people(points, [[2, 1], [1, 2]], (32, 24), sigma=2)
    x, y = np.meshgrid(np.arange(32), np.arange(24))
    near, far, edge = [
        np.exp(-((x - u) ** 2 + (y - v) ** 2) / 8) * (abs(x - u) <= 7) * (abs(y - v) <= 7)
        for u, v in [(5, 3), (8, 3), (0, 7)]
    ]
    np.testing.assert_allclose(heatmaps[0], np.maximum(near, far), atol=1e-6)
    np.testing.assert_allclose(heatmaps[1], edge, atol=1e-6)  # the other is below the last row


def test_keypoint_indices_pack_what_is_visible_and_inside():
    points = [[[5, 3], [40, 2], [1.5, 2.5]], [[0, 0], [0, 0], [9, 9]]]
    indices = keypoint_indices(points, [[1, 1, 2], [0, 0, 1]], (32, 24), max_instances=3)
    assert indices.shape == (3, 3, 2)
    assert indices[0].tolist() == [[3 * 32 + 5, 1], [2 * 768 + 2 * 32 + 1, 1], [0, 0]]
    assert indices[1, 0].tolist() == [2 * 768 + 9 * 32 + 9, 1]
    assert not indices[2].any()
    shared = keypoint_indices(points, [[1, 1, 2], [0, 0, 1]], (32, 24), 3, tag_per_keypoint=False)
    assert shared[1, 0].tolist() == [9 * 32 + 9, 1]
    with pytest.raises(ValueError, match="more than max_instances=1"):
        keypoint_indices(points, [[1, 1, 2], [0, 0, 1]], (32, 24), max_instances=1)


def test_round_trip():
    rng = np.random.default_rng(0)
    points = np.stack([rng.permutation(24) * 4 for _ in range(17 * 2)]).reshape(17, 2, 24)
    points = points.transpose(2, 0, 1)[:3].astype(np.float32)  # 3 people, 17 keypoints apart
    heatmaps, indices = CODEC.encode(points, np.ones((3, 17)))
    assert [h.shape for h in heatmaps] == [(17, 24, 32), (17, 48, 64)]
    tags = np.zeros((17, 48, 64), np.float32)
    for person in range(3):
        tags.ravel()[indices[1][person, :, 0]] = 10.0 * (person + 1)
    people = CODEC.decode(heatmaps[1], tags)
    assert len(people.keypoints) == 3
    found = people.keypoints[np.argsort(people.tags[:, 0, 0])] * 2
    both = people.scores[np.argsort(people.tags[:, 0, 0])] > 0.99
    assert both.mean() > 0.8  # people closer than the window of the suppression hide each other
    assert abs(found - points)[both].max() <= 2


def test_batch_and_threads_give_what_single_images_give(draw_people):
    maps = [draw_people(seed, people=3, size=(64, 48), length=2) for seed in range(4)]
    heatmaps, tags = (np.stack(part) for part in zip(*maps, strict=True))
    for threads in (1, 3):
        batch = CODEC.decode_batch(heatmaps, tags, threads=threads)
        for single, people in zip([CODEC.decode(*m) for m in maps], batch, strict=True):
            for part, expected in zip(people, single, strict=True):
                np.testing.assert_array_equal(part, expected)


@pytest.mark.parametrize("keypoints", [1, 9, 133])
def test_any_number_of_keypoints(draw_people, keypoints):
    heatmaps, tags = draw_people(5, 2, (32, 24), length=1, keypoints=keypoints)
    people = CODEC.decode(heatmaps, tags)
    assert people.keypoints.shape[1:] == (keypoints, 2)
    assert repr(people) == f"People({len(people.scores)} with {keypoints} keypoints each)"


def test_other_layouts_and_types(draw_people):
    heatmaps, tags = draw_people(6, people=3, size=(40, 24), length=1)
    heatmaps, tags = heatmaps.astype(np.float16), tags.astype(np.float16)
    expected = CODEC.decode(heatmaps.astype(np.float32), tags.astype(np.float32))
    before = heatmaps.copy(), tags.copy()
    for h, t in [(heatmaps, tags[..., 0]), (np.asfortranarray(heatmaps), np.asfortranarray(tags))]:
        for part, reference in zip(CODEC.decode(h, t), expected, strict=True):
            np.testing.assert_array_equal(part, reference)
    np.testing.assert_array_equal(heatmaps, before[0])
    np.testing.assert_array_equal(tags, before[1])


def test_no_people():
    people = CODEC.decode(np.zeros((17, 24, 32)), np.zeros((17, 24, 32)))
    assert [part.shape for part in people] == [(0, 17, 2), (0, 17), (0, 17, 1), (0,)]


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="detection_threshold must be >= 0"):
        AssociativeEmbedding((64, 64), [(16, 16)], detection_threshold=-1)
    with pytest.raises(ValueError, match="sigma must be"):
        AssociativeEmbedding((64, 64), [(16, 16)], sigma=0)
    with pytest.raises(ValueError, match=r"keypoints and visible must be \(P, K, 2\)"):
        CODEC.encode(np.zeros((17, 2)), np.zeros(17))
    with pytest.raises(ValueError, match="heatmaps must be finite"):
        CODEC.decode(np.full((17, 24, 32), np.nan), np.zeros((17, 24, 32)))
    with pytest.raises(ValueError, match="tags must be of 2 images"):
        CODEC.decode_batch(np.zeros((2, 17, 24, 32)), np.zeros((1, 17, 24, 32)))
