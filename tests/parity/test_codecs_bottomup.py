"""pose-codecs against the numbers of MMPose 0.29: assignment, grouping step by step, targets."""

import functools
import hashlib

import numpy as np
import pytest
from reference import Numbers, read

from pose_codecs import (
    AssociativeEmbedding,
    Candidates,
    adjust,
    assign,
    encode_people,
    find_candidates,
    group,
    keypoint_indices,
    refine,
)


def test_assignment():
    arrays = read("bottomup/assignment.npz")
    for key, costs in arrays.items():
        name, _, kind = key.rpartition("/")
        if kind != "cost" or f"{name}/pairs" not in arrays:
            continue
        rows, columns = arrays[f"{name}/pairs"].T
        np.testing.assert_array_equal(assign(costs)[rows], columns, err_msg=name)
        best = assign(costs, "optimal")
        assert len(set(best)) == len(best) == len(costs)
        totals = [costs[np.arange(len(costs)), chosen].sum() for chosen in (best, columns)]
        assert totals[0] == pytest.approx(totals[1], rel=1e-9, abs=1e-6), name


def rebuild_maps(arrays, name, case):
    """Rebuild heatmaps (K, H, W) and tags (K, H, W, L) of a case, bit for bit."""
    p, f32 = case["input_params"], np.float32
    parts = {key: arrays[f"{name}/in/{key}"] for key in ("template", "peak_amp", "peak_tag")}
    keypoints, height, width, length = case["heatmaps_stats"]["shape"][0], p["H"], p["W"], p["L"]
    rng = np.random.RandomState(p["noise_seed"])
    noise = rng.random_sample((keypoints, height, width)).astype(f32)
    jitter = rng.random_sample((keypoints, height, width, length)).astype(f32) - f32(0.5)
    heatmaps, tags = np.zeros_like(noise), jitter * f32(p["bg_tag"])
    peaks = zip(
        arrays[f"{name}/in/peak_kxy"].tolist(), parts["peak_amp"], parts["peak_tag"], strict=True
    )
    for (k, x, y), amplitude, tag in peaks:
        window, inside = clip_window(x, y, p["radius"], width, height)
        patch = parts["template"][inside] * amplitude
        heatmaps[k][window] = np.maximum(heatmaps[k][window], patch)
        window, _ = clip_window(x, y, p["tag_radius"], width, height)
        tags[k][window] = jitter[k][window] * f32(p["tag_jitter"]) + tag
    heatmaps += noise * f32(p["noise_amp"]) + f32(p["noise_shift"])
    for key, maps in (("heatmaps", heatmaps), ("tags", tags)):
        assert hashlib.sha256(maps.tobytes()).hexdigest() == case[f"{key}_sha256"], name
    return heatmaps, tags


def clip_window(x, y, radius, width, height):
    """Return the slices of a window clipped to the map, and those of it in its template."""
    left, right = max(0, x - radius), min(width, x + radius + 1)
    top, bottom = max(0, y - radius), min(height, y + radius + 1)
    inside = (slice(top - y + radius, bottom - y + radius),)
    inside += (slice(left - x + radius, right - x + radius),)
    return (slice(top, bottom), slice(left, right)), inside


def test_decode(subtests):
    """Each step with the stored result of the step before, then all of them."""
    stored = read("bottomup/decode.json")
    arrays = read("bottomup/decode.npz")

    @functools.lru_cache(maxsize=1)
    def maps_of(source):
        return rebuild_maps(arrays, source, stored["cases"][source])

    for name, case in sorted(stored["cases"].items(), key=lambda item: item[1].get("input", "")):
        if f"{case.get('input')}/in/peak_kxy" not in arrays:
            continue
        with subtests.test(name):
            options = {**stored["base_config"], **case["config"]}
            options = Numbers(options | {"keypoint_order": stored["joint_order"]}, name)
            expected = arrays.below(f"{name}/")
            heatmaps, tags = maps_of(case["input"])
            tags = tags if options["tag_per_joint"] else tags[:1]
            check_candidates(options, expected, heatmaps, tags)
            check_grouping(options, expected)
            check_adjust(options, expected, heatmaps)
            check_refine(options, expected, heatmaps, tags)
            check_decode(options, expected, heatmaps, tags)


def check_candidates(options, expected, heatmaps, tags):
    if not {"val_k", "loc_k", "tag_k"} <= expected.keys():
        return
    limits = options["max_num_people"], options["nms_kernel"]
    above = expected["val_k"] > options["detection_threshold"]
    for floor in (None, options["detection_threshold"]):
        found = find_candidates(heatmaps, tags, *limits, floor)
        np.testing.assert_array_equal(found.scores[above], expected["val_k"][above])
        assert not (found.scores[~above] > options["detection_threshold"]).any()
        np.testing.assert_array_equal(found.locations[above], expected["loc_k"][above])
        np.testing.assert_array_equal(found.tags[above], expected["tag_k"][above])


def check_grouping(options, expected):
    if not {"val_k", "loc_k", "tag_k", "grouped"} <= expected.keys():
        return
    people = group(
        Candidates(expected["loc_k"], expected["val_k"], expected["tag_k"]),
        max_instances=options["max_num_people"],
        detection_threshold=options["detection_threshold"],
        tag_threshold=options["tag_threshold"],
        use_detection_val=options["use_detection_val"],
        ignore_too_much=options["ignore_too_much"],
        keypoint_order=options["keypoint_order"],
    )
    compare(people.keypoints, people.scores, people.tags, expected["grouped"])
    if "scores" in expected:
        np.testing.assert_allclose(people.person_scores, expected["scores"], rtol=0, atol=1e-6)


def check_adjust(options, expected, heatmaps):
    if (
        options["adjust"]
        and {"grouped", "adjusted"} <= expected.keys()
        and len(expected["grouped"])
    ):
        keypoints, scores, tags = split(expected["grouped"])
        compare(adjust(keypoints, scores, heatmaps), scores, tags, expected["adjusted"])


def check_refine(options, expected, heatmaps, tags):
    before = "adjusted" if options["adjust"] else "grouped"
    if options["refine"] and {before, "final"} <= expected.keys() and len(expected[before]):
        keypoints, scores, person_tags = split(expected[before])
        compare(*refine(keypoints, scores, heatmaps, tags), person_tags, expected["final"])


def split(people):
    """Return keypoints, scores and tags of people (P, K, 3 + L)."""
    return people[..., :2], people[..., 2], people[..., 3:]


def compare(keypoints, scores, tags, expected):
    if len(expected) == 0:
        assert len(keypoints) == 0
        return
    people = np.concatenate([keypoints, scores[..., None], tags], axis=2)
    assert people.shape == expected.shape
    np.testing.assert_allclose(people, expected, rtol=0, atol=1e-6)


def codec_of(options):
    return AssociativeEmbedding(
        input_size=(512, 512),
        heatmap_sizes=[(128, 128)],
        max_instances=options["max_num_people"],
        detection_threshold=options["detection_threshold"],
        tag_threshold=options["tag_threshold"],
        use_detection_val=options["use_detection_val"],
        ignore_too_much=options["ignore_too_much"],
        nms_kernel=options["nms_kernel"],
        adjust=options["adjust"],
        refine=options["refine"],
        tag_per_keypoint=options["tag_per_joint"],
        keypoint_order=options["keypoint_order"],
    )


def check_decode(options, expected, heatmaps, tags):
    if {"final", "scores"} <= expected.keys():
        people = codec_of(options).decode(heatmaps, tags)
        compare(people.keypoints, people.scores, people.tags, expected["final"])
        np.testing.assert_allclose(people.person_scores, expected["scores"], rtol=0, atol=1e-6)


def test_targets_of_images(subtests):
    stored = read("bottomup/targets.json")
    arrays = read("bottomup/targets.npz")
    for image in stored["images"]:
        for q, size in enumerate(image.get("heatmap_size", [])):
            prefix = f"{image.get('index')}/"
            if f"{prefix}flip_joints{q}" not in arrays:
                continue
            joints = arrays[f"{prefix}flip_joints{q}"]
            with subtests.test(f"{prefix}{q}"):
                heatmaps = encode_people(joints[..., :2], joints[..., 2], (size, size))
                check_heatmaps(heatmaps, arrays, prefix, q)
                if f"{prefix}joints_index{q}" in arrays:
                    expected = arrays[f"{prefix}joints_index{q}"]
                    found = keypoint_indices(
                        joints[..., :2], joints[..., 2], (size, size), len(expected)
                    )
                    np.testing.assert_array_equal(found, expected)


def check_heatmaps(heatmaps, arrays, prefix, q):
    if f"{prefix}target{q}" in arrays:
        expected = arrays[f"{prefix}target{q}"]
        stride = -(-heatmaps.shape[1] // expected.shape[1])  # larger scales are stored with gaps
        strided = heatmaps[:, ::stride, ::stride]
        np.testing.assert_allclose(strided, expected, rtol=0, atol=1e-6)
    if f"{prefix}target{q}_chan_sum" in arrays:
        sums = heatmaps.sum(axis=(1, 2), dtype=np.float64)
        np.testing.assert_allclose(sums, arrays[f"{prefix}target{q}_chan_sum"], atol=1e-3)


def test_targets_of_edge_cases(subtests):
    stored = read("bottomup/targets.json")
    arrays = read("bottomup/targets.npz")
    if "edge/joints" not in arrays:
        pytest.skip("no edge cases among these reference numbers")
    joints, visible = arrays["edge/joints"][..., :2], arrays["edge/joints"][..., 2]
    for name, case in stored.get("edge", {}).items():
        with subtests.test(name):
            size = tuple((case["output_size"] * 2)[:2])  # one number stands for a square
            if f"edge/{name}/heatmaps" in arrays:
                heatmaps = encode_people(joints, visible, size, case["sigma"])
                expected = arrays[f"edge/{name}/heatmaps"]
                np.testing.assert_allclose(heatmaps, expected, rtol=0, atol=1e-6)
            for suffix, per_keypoint in (("", True), ("_shared_tag", False)):
                expected = arrays.get(f"edge/{name}/joints_index{suffix}")
                if expected is not None:
                    found = keypoint_indices(joints, visible, size, len(expected), per_keypoint)
                    np.testing.assert_array_equal(found, expected)
