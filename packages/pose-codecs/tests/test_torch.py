"""The torch versions against the numpy ones, on CPU tensors and on a GPU where there is one."""

import numpy as np
import pytest

from pose_codecs import (
    AssociativeEmbedding,
    MSRAHeatmap,
    encode_people,
    find_candidates,
    keypoint_indices,
)

torch = pytest.importorskip("torch", reason="pose_codecs.torch needs torch")

import pose_codecs.torch as on_torch  # noqa: E402

no_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU at hand")
DEVICES = ["cpu", pytest.param("cuda", marks=no_gpu)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("unbiased", [False, True])
def test_encode_msra(device, unbiased):
    codec = MSRAHeatmap((96, 128), (24, 32), unbiased=unbiased)
    rng = np.random.default_rng(0)
    points = rng.uniform(-45, 140, (4, 17, 2)).astype(np.float32)
    visible = rng.choice(np.float32([0, 0.3, 0.7, 1, 2]), (4, 17))
    expected = codec.encode(points, visible)
    tensors = torch.from_numpy(points).to(device), torch.from_numpy(visible).to(device)
    heatmaps, weights = on_torch.encode_msra(codec, *tensors)
    np.testing.assert_allclose(heatmaps.cpu().numpy(), expected[0], atol=1e-6)
    np.testing.assert_array_equal(weights.cpu().numpy(), expected[1])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("refine", ["quarter", "dark", "none"])
def test_decode_msra(device, refine):
    codec = MSRAHeatmap((96, 128), (24, 32), refine=refine)
    rng = np.random.default_rng(1)
    points = rng.uniform(-5, 130, (3, 17, 2)).astype(np.float32)
    heatmaps = MSRAHeatmap((96, 128), (24, 32)).encode(points, np.ones((3, 17)))[0]
    heatmaps[1:] += rng.normal(0, 0.02, heatmaps[1:].shape)  # the blur has negative values
    heatmaps[2, :4] *= -1
    keypoints, scores = on_torch.decode_msra(codec, torch.from_numpy(heatmaps).to(device))
    expected = codec.decode(heatmaps)
    np.testing.assert_allclose(keypoints.cpu().numpy(), expected[0], atol=1e-3)
    np.testing.assert_array_equal(scores.cpu().numpy(), expected[1])


def test_decode_msra_of_half_precision():
    codec = MSRAHeatmap((96, 128), (24, 32))
    heatmaps = torch.from_numpy(
        np.random.default_rng(2).random((17, 32, 24), np.float32)
    ).bfloat16()
    keypoints, _ = on_torch.decode_msra(codec, heatmaps)
    np.testing.assert_array_equal(keypoints.numpy(), codec.decode(heatmaps.float().numpy())[0])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("length", [1, 2])
def test_decode_people(draw_people, device, length):
    codec = AssociativeEmbedding((256, 256), [(64, 64)])
    maps = [draw_people(seed, people=4, size=(64, 48), length=length) for seed in (0, 1)]
    heatmaps, tags = (
        torch.from_numpy(np.stack(part)).to(device) for part in zip(*maps, strict=True)
    )
    for expected, people in zip(
        [codec.decode(*m) for m in maps], on_torch.decode_people(codec, heatmaps, tags), strict=True
    ):
        for name, part in people._asdict().items():
            np.testing.assert_allclose(part, getattr(expected, name), atol=1e-6, err_msg=name)


def test_candidates_and_shared_tags(draw_people):
    heatmaps, tags = draw_people(2, people=3, size=(40, 32), length=2)
    found = on_torch.find_candidates(
        torch.from_numpy(heatmaps)[None], torch.from_numpy(tags)[None, :1], max_instances=7
    )
    expected = find_candidates(heatmaps, tags[:1], max_instances=7)
    for part, reference in zip(found, expected, strict=True):
        np.testing.assert_array_equal(part[0].numpy(), reference)


def test_mistakes_are_named():
    codec = AssociativeEmbedding((256, 256), [(64, 64)])
    with pytest.raises(ValueError, match=r"must be \(N, K, H, W\)"):
        on_torch.decode_people(codec, torch.zeros(17, 64, 64), torch.zeros(17, 64, 64))
    with pytest.raises(ValueError, match="must be finite"):
        on_torch.decode_people(
            codec, torch.full((1, 17, 8, 8), torch.nan), torch.zeros(1, 17, 8, 8, 1)
        )
    with pytest.raises(ValueError, match=r"heatmaps must be \(\.\.\., 32, 24\)"):
        on_torch.decode_msra(MSRAHeatmap((96, 128), (24, 32)), torch.zeros(17, 24, 32))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("sigma", [2.0, 1.5, -1.0])
def test_targets_of_people(device, sigma):
    rng = np.random.default_rng(5)
    size, most = (40, 24), 6
    points = rng.uniform(-3, 43, (3, most, 17, 2)).astype(np.float32)
    points[0, 0, 0] = (-0.5, 23.9)  # less than a pixel outside counts as inside
    visible = rng.choice(np.float32([0, 1, 2]), (3, most, 17))
    visible[1, 2:] = 0  # padding
    tensors = torch.from_numpy(points).to(device), torch.from_numpy(visible).to(device)
    heatmaps = on_torch.encode_people(*tensors, size, sigma).cpu().numpy()
    for n in range(3):
        expected = encode_people(points[n], visible[n], size, sigma)
        np.testing.assert_array_equal(heatmaps[n], expected)
    for per_keypoint in (True, False):
        indices = on_torch.keypoint_indices(*tensors, size, per_keypoint).cpu().numpy()
        for n in range(3):
            expected = keypoint_indices(points[n], visible[n], size, most, per_keypoint)
            np.testing.assert_array_equal(indices[n], expected)
