"""pose-codecs against the numbers of MMPose 1.3.2: top-down targets, decoding, flip test."""

import numpy as np
import pytest
from reference import FOLDER, read

from pose_codecs import MSRAHeatmap, UDPHeatmap, flip_heatmaps


def codec_of(config):
    """Build our codec from the reference's config."""
    sizes = tuple(config["input_size"]), tuple(config["heatmap_size"])
    options = {"sigma": config["sigma"], "blur_size": config.get("blur_kernel_size")}
    if config["type"] == "UDPHeatmap":
        return UDPHeatmap(*sizes, **options)
    unbiased = config.get("unbiased", False)
    return MSRAHeatmap(
        *sizes, unbiased=unbiased, refine="dark" if unbiased else "quarter", **options
    )


@pytest.fixture(scope="module")
def configs():
    return read("topdown/codec/codec.json")


def test_encode(configs, subtests):
    arrays = read("topdown/codec/encode.npz")
    for name, case in configs["encode"].items():
        setting = name.rsplit("|", 1)[0]
        if f"{name}|heatmaps" not in arrays:
            continue
        with subtests.test(name):
            heatmaps, weights = codec_of(case["cfg"]).encode(
                arrays[f"{setting}|keypoints"], arrays[f"{setting}|keypoints_visible"]
            )
            np.testing.assert_allclose(heatmaps, arrays[f"{name}|heatmaps"], rtol=0, atol=1e-6)
            np.testing.assert_array_equal(weights, arrays[f"{name}|keypoint_weights"])


def test_encode_of_settings_without_a_codec(configs, subtests):
    """Settings named without a codec are MSRA; their size is that of their heatmaps."""
    arrays = read("topdown/codec/encode.npz")
    codecs = [case.get("cfg", {}) for case in configs["encode"].values()]
    msra = [
        config
        for config in codecs
        if {"type", "heatmap_size", "sigma"} <= config.keys()
        and config["type"] == "MSRAHeatmap"
        and not config.get("unbiased")
    ]
    for key, expected in arrays.items():
        setting, _, kind = key.rpartition("|")
        if kind != "heatmaps" or "|" in setting:
            continue
        size = expected.shape[-1], expected.shape[-2]
        with subtests.test(setting):
            fitting = [
                c for c in msra if tuple(c["heatmap_size"]) == size and not c.get("unbiased")
            ]
            if not fitting:
                pytest.skip(f"no codec of heatmaps of {size} is among these reference numbers")
            config = min(fitting, key=lambda config: config["sigma"])
            heatmaps, weights = codec_of(config).encode(
                arrays[f"{setting}|keypoints"], arrays[f"{setting}|keypoints_visible"]
            )
            expected = expected.reshape(heatmaps.shape)
            np.testing.assert_allclose(heatmaps, expected, rtol=0, atol=1e-6)
            np.testing.assert_array_equal(weights, arrays[f"{setting}|keypoint_weights"])


def test_decode(configs, subtests):
    arrays = read("topdown/codec/decode.npz")
    for name, case in configs["decode"].items():
        setting = name.rsplit("|", 1)[0]
        if f"{setting}|heatmaps" not in arrays or f"{name}|keypoints" not in arrays:
            continue
        with subtests.test(name):
            check_decode(case["cfg"], arrays, setting, name)


def check_decode(config, arrays, setting, name):
    codec = codec_of(config)
    keypoints, scores = codec.decode(arrays[f"{setting}|heatmaps"])
    expected = arrays[f"{name}|keypoints"].reshape(keypoints.shape)
    np.testing.assert_array_equal(scores, arrays[f"{name}|scores"].reshape(scores.shape))
    assert np.isfinite(keypoints).all()
    if isinstance(codec, MSRAHeatmap) and codec.refine == "quarter":
        np.testing.assert_array_equal(keypoints, expected)
    else:
        # The reference's UDP gives NaN for a map of zeros and sometimes for the one after it.
        published = np.isfinite(expected)
        np.testing.assert_allclose(keypoints[published], expected[published], rtol=0, atol=1e-3)


def test_decode_of_a_batch_equals_that_of_its_samples(configs, subtests):
    arrays = read("topdown/codec/decode.npz")
    for name, case in configs["decode"].items():
        heatmaps = arrays.get(f"{name.rsplit('|', 1)[0]}|heatmaps")
        if heatmaps is None:
            continue
        with subtests.test(name):
            batch = np.stack([heatmaps, heatmaps[::-1]])
            codec = codec_of(case["cfg"])
            keypoints, scores = codec.decode(batch)
            for n in range(2):
                single = codec.decode(batch[n])
                np.testing.assert_array_equal(keypoints[n], single[0])
                np.testing.assert_array_equal(scores[n], single[1])


@pytest.mark.parametrize("shift", [True, False])
def test_flip(shift):
    arrays = read("topdown/codec/flip.npz")
    expected = arrays["flipped_back_shift" if shift else "flipped_back_no_shift"]
    heatmaps, indices = arrays["heatmaps_of_flipped_image"], arrays["flip_indices"]
    np.testing.assert_array_equal(flip_heatmaps(heatmaps, indices, shift), expected)
    torch = pytest.importorskip("torch", reason="pose_codecs.torch needs torch")
    import pose_codecs.torch as on_torch

    flipped = on_torch.flip_heatmaps(torch.from_numpy(heatmaps), indices, shift)
    np.testing.assert_array_equal(flipped.numpy(), expected)


def test_decode_of_network_outputs(subtests):
    """The predict path from averaged heatmaps to image coordinates."""
    folder = FOLDER / "topdown"
    for path in sorted((folder / "manifests").glob("*.json")):
        manifest = read(path)
        forward = folder / "forward" / f"{path.stem}.npz"
        if "codec" not in manifest or not forward.is_file():
            continue
        with subtests.test(path.stem):
            arrays = read(forward)
            codec = codec_of(manifest["codec"])
            heatmaps = arrays.get("flip_heatmaps_all19", arrays.get("flip_heatmaps"))
            if heatmaps is None or "flip_keypoints" not in arrays:
                continue
            keypoints, scores = codec.decode(heatmaps)
            center, scale = arrays["flip_input_center"], arrays["flip_input_scale"]
            image = keypoints / np.float32(codec.input_size) * scale + center - 0.5 * scale
            expected = arrays["flip_keypoints"].reshape(-1, 2)
            count = len(expected)
            np.testing.assert_allclose(image[:count], expected, rtol=0, atol=1e-3)
            np.testing.assert_array_equal(scores[:count], arrays["flip_scores"].reshape(-1))
