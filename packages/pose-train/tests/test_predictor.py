"""Predictor: what it takes, what it gives, and that it is the test path of training."""

import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from pose_backbones import CheckpointError, create_model, fuse
from pose_data import COCO, DatasetError, load_coco
from pose_train import ConfigError, Predictor
from pose_train.config.load import load_config, to_yaml
from pose_train.config.schema import Config
from pose_train.distributed import Ranks
from pose_train.files.boxes import ImageFile
from pose_train.files.images import Image
from pose_train.files.inputs import find_inputs
from pose_train.inference import forward, load
from pose_train.inference.bottomup import extent
from pose_train.inference.evaluate import evaluate_rows
from pose_train.inference.forward import autocast, torch_backend
from pose_train.inference.load import Trained, load_tested, load_trained, predict_rows
from pose_train.inference.network import Backend
from pose_train.inference.people import People
from pose_train.inference.predict import predict_inputs
from pose_train.inference.predictor import load_network
from pose_train.inference.topdown import predict_heatmaps


def heatmaps_of(backend: Backend, images: np.ndarray) -> np.ndarray:
    return backend.fetch(predict_heatmaps(backend, images, None))


def test_the_same_numbers_as_the_evaluation(run_dir: Path, drawn_data: Path) -> None:
    trained = load_trained(run_dir, overrides=["eval.nms=none"])
    val, boxes = load_tested(trained.config)
    rows = predict_rows(trained, val, boxes, Ranks(), trained.device)
    assert evaluate_rows(rows, val).stats["AP"] is not None
    predictor = Predictor.from_checkpoint(run_dir)
    annotated = load_coco(
        drawn_data / "annotations/person_keypoints_val2017.json", drawn_data / "val2017"
    )
    assert len(rows) == len(annotated)
    for row in rows:
        of_picture = np.flatnonzero(
            annotated.image_ids[annotated.image_index] == row["image_id"]
        ).tolist()
        people = predictor(annotated.image_path(of_picture[0]), annotated.bbox_xyxy[of_picture])
        found = np.concatenate([people.keypoints, people.scores[..., None]], axis=-1)
        distance = np.abs(found - np.array(row["keypoints"]).reshape(-1, 3)).max(axis=(1, 2))
        assert distance.min() < 1e-3
        nearest = int(distance.argmin())
        assert people.person_scores[nearest] == pytest.approx(row["score"], rel=1e-5)


@pytest.mark.parametrize("flip_test", [False, True])
def test_threads_give_the_bits_of_one(run_dir: Path, drawn_data: Path, flip_test: bool) -> None:
    """One predictor for all of them, as in a server."""
    predictor = Predictor.from_checkpoint(run_dir, flip_test=flip_test)
    images = sorted((drawn_data / "val2017").iterdir()) * 6
    boxes = [np.array([[i, 2.0, 60.0 + i, 90.0], [0, 0, 128, 96]]) for i in range(len(images))]
    alone = [predictor(*each) for each in zip(images, boxes, strict=True)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(predictor, images, boxes))
    for one, other in zip(alone, together, strict=True):
        for name in ("keypoints", "scores", "person_scores"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("source", ["run", "checkpoint", "config and weights", "short"])
def test_sources_are_the_same_network(run_dir: Path, source: str) -> None:
    checkpoint = run_dir / "checkpoint_best.pth"
    predictor = {
        "run": lambda: Predictor.from_checkpoint(run_dir),
        "checkpoint": lambda: Predictor.from_checkpoint(checkpoint),
        "config and weights": lambda: Predictor.from_checkpoint(
            run_dir / "config.yaml", weights=checkpoint
        ),
        "short": lambda: Predictor(str(run_dir)),
    }[source]()
    trained = load_trained(checkpoint)
    key = "head.final_layer.weight"
    stored = torch.load(checkpoint, weights_only=True)["state_dict"]
    torch.testing.assert_close(trained.net.state_dict()[key], stored[key])
    images = np.random.default_rng(0).integers(0, 255, (1, 64, 64, 3), np.uint8)
    found = heatmaps_of(predictor.network.backend, images)
    fused = torch_backend(fuse(trained.net, onednn=True), trained.device)
    np.testing.assert_array_equal(found, heatmaps_of(fused, images))
    maps = heatmaps_of(torch_backend(trained.net, trained.device), images)
    np.testing.assert_allclose(found, maps, rtol=0, atol=1e-6 * np.abs(maps).max())
    assert predictor.skeleton == COCO
    assert predictor.flip_test  # as in the config


def test_a_run_directory_may_be_moved(run_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(run_dir, tmp_path / "moved")
    trained = load_trained(tmp_path / "moved")
    assert trained.config.out == str(tmp_path / "moved")
    assert trained.weights == tmp_path / "moved" / "checkpoint_best.pth"


def test_boxes_may_be_none_arrays_with_scores_or_a_detector(run_dir: Path) -> None:
    predictor = Predictor.from_checkpoint(run_dir)
    image = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    whole = predictor(image)
    assert whole.keypoints.shape == (1, 17, 2)
    np.testing.assert_array_equal(whole.bboxes, [[0, 0, 120, 90]])
    boxes = [[10, 10, 60, 80], [0, 0, 120, 90]]
    given = predictor(image, boxes)
    np.testing.assert_allclose(given.keypoints[1], whole.keypoints[0], atol=1e-4)
    detected = predictor(image, lambda pixels: [[*box, 0.5] for box in boxes])
    np.testing.assert_allclose(detected.person_scores, given.person_scores / 2, rtol=1e-6)
    assert len(predictor(image, []).keypoints) == 0


def test_batches_do_not_matter(run_dir: Path) -> None:
    trained = load_trained(run_dir)
    image = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    boxes = np.random.default_rng(1).uniform(0, 50, (5, 4))
    boxes[:, 2:] += 60
    one, many = (Predictor(trained, batch_size=size)(image, boxes) for size in (2, 32))
    np.testing.assert_allclose(one.keypoints, many.keypoints, atol=1e-3)


def same(people: People, others: People) -> None:
    """Assert that two are equal bit by bit."""
    for name in ("keypoints", "scores", "person_scores", "bboxes"):
        np.testing.assert_array_equal(getattr(people, name), getattr(others, name), name)


def smooth_images(*sizes: tuple[int, int]) -> list[Image]:
    """Return noise without steps from pixel to pixel, (w, h)."""
    rng = np.random.default_rng(2)
    return [
        cv2.GaussianBlur(rng.integers(0, 255, (h, w, 3), np.uint8), (9, 9), 3) for w, h in sizes
    ]


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_list_is_its_images_one_by_one(run_dir: Path, tmp_path: Path, batch_size: int) -> None:
    """In order, in every form, with boxes that do not end where the batches do."""
    predictor = Predictor(run_dir, batch_size=batch_size)
    arrays = smooth_images((120, 90), (64, 80), (100, 100), (70, 60))
    for number, array in enumerate(arrays):
        cv2.imwrite(str(tmp_path / f"{number}.png"), array)
    images = [
        arrays[0],
        tmp_path / "1.png",
        (tmp_path / "2.png").read_bytes(),
        torch.from_numpy(arrays[3][..., ::-1].copy()),
    ]
    boxes: list[Any] = [[[5, 5, 60, 70], [20, 0, 119, 89]], [], None, [[0, 9, 50, 60, 0.5]] * 5]
    one_by_one = [predictor(image, own) for image, own in zip(images, boxes, strict=True)]
    assert [len(people) for people in one_by_one] == [2, 0, 1, 5]
    together = predictor(images, boxes)
    assert isinstance(together, list)
    if batch_size == 1:  # else the last bit of a convolution may depend on its batch
        for people, others in zip(together, one_by_one, strict=True):
            same(people, others)
    for people, others in zip(together, one_by_one, strict=True):
        np.testing.assert_allclose(people.keypoints, others.keypoints, atol=1e-3)
        np.testing.assert_allclose(people.scores, others.scores, atol=1e-5)
    for whole, array in zip(predictor(tuple(arrays)), arrays, strict=True):
        np.testing.assert_allclose(whole.keypoints, predictor(array).keypoints, atol=1e-3)
    detected = predictor(arrays, lambda pixels: [[0, 0, pixels.shape[1] / 2, 50]])
    assert [people.bboxes[0, 2] for people in detected] == [60, 32, 50, 35]
    assert predictor([]) == []


def test_lists_that_do_not_fit_are_named(run_dir: Path) -> None:
    predictor = Predictor(run_dir)
    image = np.zeros((40, 30, 3), np.uint8)
    with pytest.raises(ValueError, match="2 images need as many bboxes, got 1"):
        predictor([image, image], [[[0, 0, 9, 9]]])
    with pytest.raises(ValueError, match=r"bboxes must be \(P, 4\)") as caught:
        predictor([image, image], [None, [0, 0, 9, 9]])
    assert caught.value.__notes__ == ["image 1 of the list, from 0"]
    with pytest.raises(TypeError, match=r"got builtins\.int") as typed:
        predictor([image, image, 7])
    assert typed.value.__notes__ == ["image 2 of the list, from 0"]
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        Predictor(run_dir, batch_size=0)


@pytest.mark.parametrize("udp", [False, True])
def test_heatmaps_lie_under_the_keypoints(run_dir: Path, udp: bool) -> None:
    settings = [f"codec.udp={str(udp).lower()}", "codec.sigma=2.0"]
    predictor = Predictor(run_dir, overrides=settings)
    arrays = smooth_images((120, 90), (64, 80))
    boxes = [[[5, 5, 60, 70], [20, 0, 119, 89]], []]
    plain, (people, nobody) = predictor(arrays, boxes), predictor(arrays, boxes, heatmaps=True)
    same(plain[0], people)
    assert plain[0].heatmaps is None
    assert nobody.heatmaps is not None
    assert nobody.heatmaps.maps.shape == (0, 17, 16, 16)
    assert nobody.heatmaps.matrix.shape == (0, 2, 3)
    assert people.heatmaps is not None
    check_heatmaps(people, people.heatmaps.maps, people.heatmaps.matrix)


def check_heatmaps(people: People, maps: Any, matrix: Any) -> None:
    """Assert that the maxima (P, K) are the scores, and lie at the keypoints by the matrix.

    A decoder moves a keypoint from there by a fraction of a pixel of the map; one without a
    positive value has no maximum.
    """
    tops = maps.reshape(*maps.shape[:2], -1)
    np.testing.assert_array_equal(tops.max(axis=-1), people.scores)
    y, x = np.divmod(tops.argmax(axis=-1), maps.shape[-1])
    peaks = np.stack([x, y, np.ones_like(x)], axis=-1)  # (P, K, 3)
    step = matrix[:, [0, 1], [0, 1]]  # pixels of the image for one of the map
    moved = np.abs(peaks @ matrix.swapaxes(1, 2) - people.keypoints) / step[:, None]
    found = people.scores > 0
    assert found.sum() > 10
    assert moved[found].max() < 0.51


def bottomup_network(data: Path, path: Path, *settings: str) -> Trained:
    """Load a tiny HigherHRNet as it was drawn, from a checkpoint."""
    options = "{width: 4, stem_channels: 8, num_modules: [1, 1, 1], num_blocks: 1}"
    config = load_config(
        "higherhrnet_w32_coco_512x512",
        [
            *(f"model.options={options}", "model.name=higherhrnet", "model.input_size=[64, 64]"),
            *("model.heatmap_sizes=[]", f"data.root={data}", "train.num_workers=0", *settings),
        ],
    )
    torch.manual_seed(5)
    net = create_model("higherhrnet", **config.model.options)
    torch.save({"state_dict": net.state_dict(), "config": to_yaml(config)}, path)
    return load_trained(path)


@pytest.mark.parametrize("factors", ["[1.0]", "[1.5, 1.0]"])
def test_whole_pictures_give_the_people_of_the_evaluation(
    drawn_data: Path, tmp_path: Path, factors: str
) -> None:
    # A network as it was drawn finds nobody unless everything counts.
    settings = ["grouping.detection_threshold=0.0", "grouping.max_instances=2"]
    trained = bottomup_network(
        drawn_data, tmp_path / "net.pth", f"eval.multi_scale={factors}", *settings
    )
    val, boxes = load_tested(trained.config)
    rows = predict_rows(trained, val, boxes, Ranks(), trained.device)
    assert rows
    predictor = Predictor(trained)
    for image_id, name in zip(val.image_ids.tolist(), val.file_names, strict=True):
        people = predictor(val.image_dir / name)
        expected = [row for row in rows if row["image_id"] == image_id]
        assert len(people.keypoints) == len(expected)
        for person, row in zip(people, expected, strict=True):
            found = np.column_stack([person.keypoints, person.scores])
            np.testing.assert_allclose(found, np.reshape(row["keypoints"], (17, 3)), atol=1e-3)
            assert person.score == pytest.approx(row["score"], rel=1e-4)
    with pytest.raises(ValueError, match="leave bboxes out"):
        predictor(np.zeros((8, 8, 3), np.uint8), [[0, 0, 5, 5]])
    with pytest.raises(DatasetError, match=r"3000x3 is too narrow .* short side with 64 pixels"):
        predictor(np.zeros((3, 3000, 3), np.uint8))


@pytest.mark.parametrize("factors", ["[1.0]", "[1.5, 1.0]"])
def test_whole_images_in_a_list(drawn_data: Path, tmp_path: Path, factors: str) -> None:
    settings = ["grouping.detection_threshold=0.0", "grouping.max_instances=3"]
    settings += ["eval.batch_size=1", f"eval.multi_scale={factors}"]
    trained = bottomup_network(drawn_data, tmp_path / "net.pth", *settings)
    predictor = Predictor(trained)
    images = smooth_images((128, 96), (128, 96), (80, 120), (128, 96))
    one_by_one = [predictor(image) for image in images]
    assert all(len(people) == 3 for people in one_by_one)
    for people, others in zip(predictor(images, heatmaps=True), one_by_one, strict=True):
        same(people, others)
        assert others.heatmaps is None
        assert people.heatmaps is not None
        maps, matrix = people.heatmaps
        assert maps.shape[:2] == (1, 17)
        assert matrix.shape == (1, 2, 3)
        # Where somebody has the highest score of a map, that is where its maximum lies.
        tops = maps.reshape(17, -1)
        y, x = np.divmod(tops.argmax(axis=1), maps.shape[-1])
        places = np.stack([x, y, np.ones_like(x)], axis=-1) @ matrix[0].T  # (K, 2)
        distance = np.abs(people.keypoints - places).max(axis=-1).min(axis=0)
        assert (distance <= matrix[0, 0, 0]).mean() > 0.5
    batched = Predictor(replace(trained, config=with_batches_of(trained.config, 2)))
    kept = [predictor(image, heatmaps=True).heatmaps for image in images]
    for people, others, own in zip(batched(images, heatmaps=True), one_by_one, kept, strict=True):
        assert people.heatmaps is not None
        assert own is not None
        np.testing.assert_allclose(people.heatmaps.maps, own.maps, rtol=0, atol=1e-5)
        # In another batch last bits differ, and which of near equals is the maximum.
        is_same = np.abs(people.keypoints - others.keypoints).max(axis=-1) < 1e-3  # (P, K)
        assert is_same.mean() > 0.9
    with pytest.raises(ValueError, match="leave bboxes out"):
        predictor(images, [None, None, None, [[0, 0, 9, 9]]])
    with pytest.raises(DatasetError, match="too narrow") as caught:
        predictor([images[0], np.zeros((3, 300, 3), np.uint8)])
    assert caught.value.__notes__ == ["image 1 of the list, from 0"]


def with_batches_of(config: Config, size: int) -> Config:
    return replace(config, eval=replace(config.eval, batch_size=size))


def test_a_picture_without_people(drawn_data: Path, tmp_path: Path) -> None:
    trained = bottomup_network(drawn_data, tmp_path / "net.pth", "grouping.detection_threshold=1")
    predictor = Predictor(trained)
    image = np.zeros((50, 70, 3), np.uint8)
    people = predictor(image)
    assert len(people) == 0
    arrays = people.keypoints, people.scores, people.person_scores, people.bboxes
    assert [array.shape for array in arrays] == [(0, 17, 2), (0, 17), (0,), (0, 4)]
    cv2.imwrite(str(tmp_path / "empty.png"), image)
    inputs = find_inputs([str(tmp_path / "empty.png")])
    summary = predict_inputs(predictor, inputs, tmp_path / "out")
    assert str(summary) == f"0 people in 1 image: {tmp_path / 'out'}"
    assert json.loads((tmp_path / "out/predictions.json").read_text()) == []
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "out/empty.png")), image)
    with pytest.raises(ConfigError, match="leave --boxes out"):
        predict_inputs(predictor, inputs, tmp_path / "out", ImageFile(Path("boxes.json")))


def test_mistakes_are_named(run_dir: Path, tmp_path: Path) -> None:
    predictor = Predictor.from_checkpoint(run_dir)
    with pytest.raises(ValueError, match=r"uint8 or uint16, got \(8, 8\) float64"):
        predictor(np.zeros((8, 8)))
    with pytest.raises(
        ValueError, match=r"x1 < x2 .* got \[5.0, 5.0, 2.0, 8.0\] in row 0; is it x"
    ):
        predictor(np.zeros((8, 8, 3), np.uint8), [[5, 5, 2, 8]])
    with pytest.raises(DatasetError, match=r"gone\.jpg does not exist"):
        predictor(tmp_path / "gone.jpg")
    with pytest.raises(ConfigError, match="no run directory"):
        Predictor.from_checkpoint(tmp_path)
    with pytest.raises(ConfigError, match="config without weights"):
        Predictor.from_checkpoint(run_dir / "config.yaml")
    with pytest.raises(CheckpointError, match="there is no such file"):
        Predictor.from_checkpoint(run_dir, weights=tmp_path / "gone.pth")
    bare = tmp_path / "bare.pth"
    torch.save(load_trained(run_dir).net.state_dict(), bare)
    with pytest.raises(ConfigError, match="carries no config"):
        Predictor.from_checkpoint(bare)


def test_extent_leaves_out_joints_that_were_not_found() -> None:
    keypoints = np.array([[[5, 6], [9, 2], [-99, -99]]], np.float32)
    np.testing.assert_array_equal(extent(keypoints, np.array([[0.5, 0.1, 0.0]])), [[5, 2, 9, 6]])
    np.testing.assert_array_equal(extent(keypoints, np.zeros((1, 3))), [[0, 0, 0, 0]])


def test_the_example_of_the_readme(
    run_dir: Path, drawn_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = Path(__file__).resolve().parents[1] / "README.md"
    blocks = re.findall(r"^```py\n(.*?)^```$", readme.read_text(), re.MULTILINE | re.DOTALL)
    (code,) = (block for block in blocks if "Predictor" in block)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/mine").symlink_to(run_dir)
    (tmp_path / "photo.jpg").symlink_to(next((drawn_data / "val2017").iterdir()))
    found: dict[str, Any] = {}
    exec(code, found)
    assert found["people"].keypoints.shape == (1, 17, 2)


def test_reprs_are_one_line(run_dir: Path) -> None:
    trained = load_trained(run_dir, device="cpu")
    weights = run_dir / "checkpoint_best.pth"
    assert repr(trained) == f"Trained(hrnet, 17 keypoints, cpu, {weights})"
    assert repr(Predictor(trained)) == (
        f"Predictor(Network(17 keypoints, {weights}), with flip test, batches of 32)"
    )


def test_16_bits_and_compiling_where_asked(
    run_dir: Path, lively: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 16 bits the maps are those of 32 to 8 bits' precision; the network itself stays."""
    trained = load_trained(run_dir, device="cpu")
    lively(trained.net)
    images = np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3), np.uint8)
    asked: list[Any] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda net, *_: asked.append(net))
    exact, half, compiled = (
        Predictor(load_network(trained, amp=amp, compiled=compiled)).network.backend
        for amp, compiled in (("off", False), ("bf16", False), ("off", True))
    )
    assert len(asked) == 1
    assert asked[0] is not trained.net
    maps, coarse = (heatmaps_of(each, images) for each in (exact, half))
    assert coarse.dtype == np.float32
    assert 1e-4 < np.abs(coarse - maps).max() / np.abs(maps).max() < 0.1  # over 60 layers
    found = heatmaps_of(compiled, images)  # without oneDNN's operators
    fused = torch_backend(fuse(trained.net), trained.device)
    np.testing.assert_array_equal(found, heatmaps_of(fused, images))
    np.testing.assert_allclose(found, maps, rtol=0, atol=1e-5 * np.abs(maps).max())
    with pytest.raises(ConfigError, match="amp must be one of off, bf16, fp16 or auto, got 'half'"):
        Predictor(run_dir, amp="half")
    with pytest.raises(ConfigError, match="computes as it was exported: leave amp and compile out"):
        Predictor(tmp_path / "net.onnx", amp="bf16")


@pytest.mark.parametrize("has_it", [False, True])
@pytest.mark.parametrize("fast", [False, True])
def test_auto_is_bf16_where_the_cpu_is_faster_with_it(
    run_dir: Path, has_it: bool, fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: has_it, raising=False)
    clock = iter(range(10**6))  # a call takes a second, with the wrong type two
    convolve = torch.conv2d

    def timed(images: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        if (images.dtype == torch.bfloat16) != fast:
            next(clock)
        return convolve(images, *args, **options)

    monkeypatch.setattr(torch, "conv2d", timed)
    monkeypatch.setattr(forward.time, "perf_counter", lambda: next(clock))
    forward._cpu_is_faster_with_bf16.cache_clear()
    cpu = torch.device("cpu")
    chosen = forward.fastest_amp(cpu)
    monkeypatch.undo()
    forward._cpu_is_faster_with_bf16.cache_clear()
    assert chosen == ("bf16" if has_it and fast else "off")
    monkeypatch.setattr(forward, "fastest_amp", lambda device: chosen)
    monkeypatch.setattr(load, "fastest_amp", lambda device: chosen)
    cpu = torch.device("cpu")
    with autocast(cpu, "auto"):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if has_it and fast else torch.float32)
    notes = load_network(str(run_dir), device="cpu", amp="auto").notes
    assert f"amp auto is {chosen} on cpu" in notes


@pytest.mark.parametrize("name", ["demo", "./demo"])
def test_a_run_directory_comes_before_a_preset_of_its_name(
    name: str, run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(run_dir, tmp_path / "demo")
    monkeypatch.chdir(tmp_path)
    assert load_trained(name, device="cpu").weights == Path("demo/checkpoint_best.pth")
