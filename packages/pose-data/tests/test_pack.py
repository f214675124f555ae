"""Packs: what is stored, that samples are the same, and what is refused."""

import hashlib
import http.server
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pose_data import (
    Augmentation,
    BottomUp,
    DatasetError,
    Pack,
    Persons,
    SceneAugmentation,
    TopDown,
    inverse,
    load_coco,
    merge,
    open_pack,
    pack,
    synthesize,
)
from pose_data.__main__ import main
from pose_data.commands.pack import describe
from pose_data.packing.reach import reach_of_persons
from pose_data.samples.crop import NO_AUGMENTATION, sample_augmentation

INPUT = (48, 64)
FULL = Augmentation(rotate=30)
KEYS = [(epoch, index) for epoch in range(6) for index in range(8)]


def copied(made: Pack, to: Path) -> Path:
    shutil.copytree(made.folder, to)
    return to


def contents(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def differences(a: TopDown | BottomUp, b: TopDown | BottomUp) -> Any:
    """Compare all of the samples but the pixels, and return those's differences (N, ...)."""
    found = []
    for key in [key for key in KEYS if key[1] < len(a)]:
        one, other = a[key], b[key]
        image, packed_image = one.pop("image").astype(int), other.pop("image")
        assert pickle.dumps(one) == pickle.dumps(other)
        found.append(np.abs(image - packed_image))
    return np.stack(found)


# Samples


@pytest.mark.parametrize("warp", ["cv2", "opencv4"])
@pytest.mark.parametrize(
    ("encoding", "input_size", "mean", "most"),
    [
        ("raw", (192, 256), 1e-3, 8),  # full size: a step of 1/32 pixel, where rounding differs
        ("jpeg", (192, 256), 1.5, 40),
        ("raw", INPUT, 8, 255),  # stored smaller: averaged, where the others leave pixels out
    ],
)
def test_crops_are_those_of_the_image(
    people: Persons,
    tmp_path: Path,
    encoding: Any,
    input_size: Any,
    mean: float,
    most: int,
    warp: Any,
) -> None:
    made = pack(people, tmp_path / "out", input_size, FULL, encoding=encoding)
    is_smaller = made.columns["size"] < made.columns["box"][:, 2:] - made.columns["box"][:, :2]
    assert is_smaller.any() == (input_size == INPUT)
    exact = TopDown(people, input_size, augment=FULL, warp=warp)
    found = differences(exact, replace(exact, pack=made))
    assert found.mean() < mean
    assert found.max() <= most


def test_smaller_crops_are_at_the_same_place(people: Persons, tmp_path: Path) -> None:
    """Of smooth images, stored pixels by area are what the image has there."""
    x, y = np.meshgrid(np.arange(320.0), np.arange(240.0))
    smooth = np.stack([x * 0.7, y * 0.9, 100 + 60 * np.sin(x / 40) * np.cos(y / 30)], axis=-1)
    for name in people.file_names:
        cv2.imwrite(str(tmp_path / Path(str(name)).with_suffix(".png")), smooth.astype(np.uint8))
    names = tuple(Path(str(name)).with_suffix(".png").name for name in people.file_names)
    persons = replace(people, image_folder=tmp_path, file_names=names)
    made = pack(persons, tmp_path / "out", INPUT, FULL, encoding="raw")
    exact = TopDown(persons, INPUT, augment=FULL)
    found = differences(exact, replace(exact, pack=made))
    assert found.mean() < 0.6
    assert np.quantile(found, 0.995) <= 3  # but for the edge of the image, which is averaged in


def test_what_is_left_out_is_never_seen(people: Persons, tmp_path: Path) -> None:
    """Of white images, crops within the image are white: no edge of what is stored is in them."""
    white = np.full((240, 320, 3), 255, np.uint8)
    for name in people.file_names:
        cv2.imwrite(str(tmp_path / str(name)), white)
    persons = replace(people, image_folder=tmp_path)
    # Not at all as large as the image, so that boxes end within it.
    small = replace(persons, bbox_xyxy=persons.bbox_xyxy * np.float32(0.5) + np.float32(40))
    size, augment = (12, 16), Augmentation(half_body_prob=0, scale=0.2, shift=0.1, rotate=0)
    made = pack(small, tmp_path / "out", size, augment, encoding="raw")
    packed = TopDown(small, size, augment=augment, pack=made)
    boxes, sizes = made.columns["box"], made.columns["size"]
    steps = (boxes[:, 2] - boxes[:, 0]) / sizes[:, 0]
    assert steps.max() > 3
    corners, count = np.array([(0, 0), (11, 0), (0, 15), (11, 15)], np.float32), 0
    shifts = [(x, y) for x in (-0.1, 0.1) for y in (-0.1, 0.1)]
    for index, shift in ((index, shift) for index in range(len(small)) for shift in shifts):
        farthest = NO_AUGMENTATION._replace(shift=shift, scale=1.2, flip=index % 2 == 0)
        sample = packed.sample(index, farthest)
        seen = inverse(corners, sample["matrix"])
        if (seen > steps[index]).all() and (seen < np.array([319, 239]) - steps[index]).all():
            assert sample["image"].min() == 255
            count += 1
    assert count > 30


@pytest.mark.parametrize("augment", [FULL, Augmentation(rotate=180, scale=0.9, shift=1), None])
def test_nothing_that_can_be_seen_is_left_out(
    people: Persons, augment: Augmentation | None
) -> None:
    """The corners of many samples, within the image, are within what is kept."""
    reach = reach_of_persons(people, INPUT, augment)
    dataset = TopDown(people, INPUT, augment=augment)
    rng, most = np.random.default_rng(0), np.full((len(people), 4), -np.inf)
    for index in range(len(people)):
        size = people.image_sizes[people.image_index[index]]
        for _ in range(60 if augment else 1):
            params: Any = () if augment is None else (sample_augmentation(rng, augment),)
            sample = dataset.sample(index, *params) if params else dataset[index]
            corners = np.array([(0, 0), (47, 0), (0, 63), (47, 63)])
            back = cv2.invertAffineTransform(sample["matrix"])
            seen = (corners @ back[:, :2].T + back[:, 2]).clip(0, size - 1)
            assert (seen >= reach.boxes[index, :2]).all()
            assert (seen <= reach.boxes[index, 2:] - 1).all()
            most[index] = np.maximum(most[index], [*-seen.min(axis=0), *seen.max(axis=0)])
    if augment is None:  # and little more: the seam, and the last pixel of the input
        assert np.abs(most * (-1, -1, 1, 1) - reach.boxes + (0, 0, 1, 1)).max() <= 8


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_whole_images(people: Persons, tmp_path: Path, encoding: Any) -> None:
    """Small enough for the input they stay as they are; masks and targets are the same."""
    scene = SceneAugmentation()
    made = pack(people, tmp_path / "full", (256, 256), scene, encoding=encoding)
    exact = BottomUp(people, (256, 256), [(64, 64)], augment=scene)
    assert differences(exact, replace(exact, pack=made)).max() == 0
    small = pack(people, tmp_path / "small", (96, 96), scene, encoding=encoding)
    assert small.columns["bytes"].sum() < 0.7 * made.columns["bytes"].sum()
    exact = replace(exact, input_size=(96, 96))
    assert differences(exact, replace(exact, pack=small)).mean() < 8


def test_grey_samples_and_copies_for_workers(people: Persons, packed: Pack) -> None:
    dataset = TopDown(people, INPUT, augment=FULL, channels=1, pack=packed)
    sample = dataset[(0, 3)]["image"]
    assert sample.shape == (64, 48, 1)
    assert (pickle.loads(pickle.dumps(dataset))[(0, 3)]["image"] == sample).all()


def test_images_turned_by_exif(tmp_path: Path) -> None:
    """They are stored upright; whole ones, which stay as they are, are turned when read."""
    image = np.zeros((60, 80, 3), np.uint8)
    image[:, :20] = 255
    data = cv2.imencode(".jpg", image)[1].tobytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    turned = data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]
    (tmp_path / "a.jpg").write_bytes(turned)
    row = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 50, 70], "iscrowd": 0}
    row |= {"keypoints": [20, 30, 2] * 17, "num_keypoints": 17, "area": 900}
    images = [{"id": 1, "file_name": "a.jpg", "width": 60, "height": 80}]
    names = [f"k{i}" for i in range(17)]
    category = {"id": 1, "name": "person", "keypoints": names, "skeleton": []}
    content = {"images": images, "annotations": [row], "categories": [category]}
    (tmp_path / "gt.json").write_text(json.dumps(content))
    persons = load_coco(tmp_path / "gt.json", tmp_path)
    crops = TopDown(persons, INPUT, augment=FULL)
    made = pack(persons, tmp_path / "crops", INPUT, FULL)
    assert differences(crops, replace(crops, pack=made)).mean() < 2
    scenes = BottomUp(persons, (64, 64), [(16, 16)], augment=SceneAugmentation())
    whole = pack(persons, tmp_path / "whole", (64, 64), SceneAugmentation())
    assert differences(scenes, replace(scenes, pack=whole)).max() == 0
    with pytest.raises(DatasetError, match="packed with exif auto, not ignore: pack again, or tr"):
        replace(crops, pack=made, exif="ignore")


def test_several_sources_of_one_name(people: Persons, tmp_path: Path) -> None:
    other = synthesize(tmp_path / "more", num_train=3, num_val=1, seed=7)
    more = load_coco(other / "annotations/person_keypoints_train2017.json", other / "train2017")
    both = merge(people, more)
    made = pack(both, tmp_path / "out", INPUT, FULL)
    assert made.about["sources"][1] == "person_keypoints_train2017.json (2)"
    last = len(both) - 1
    crop = TopDown(both, INPUT, pack=made)[last]["image"].astype(int)
    assert np.abs(crop - TopDown(more, INPUT)[len(more) - 1]["image"]).mean() < 8
    assert len(TopDown(people, INPUT, augment=FULL, pack=made)) == len(people)  # a part of it
    with pytest.raises(DatasetError, match=r"persons are not in .*, such as person_keypoints"):
        TopDown(more, INPUT, augment=FULL, pack=made)  # it counts as the first of that name


# Files


def test_shards_are_tar_files_for_any_reader(packed: Pack, people: Persons) -> None:
    row = 7
    with tarfile.open(packed.folder / "pack-00001.tar") as tar:
        assert tar.getnames()[:4] == [
            *("00000006.jpg", "00000006.json", "00000007.jpg", "00000007.json")
        ]
        data: Any = tar.extractfile("00000007.jpg")
        labels: Any = tar.extractfile("00000007.json")
        image = cv2.imdecode(np.frombuffer(data.read(), np.uint8), cv2.IMREAD_COLOR)
        known = json.loads(labels.read())
    width, height = packed.columns["size"][row]
    assert image is not None
    assert image.shape[0] == height  # the width may be filled up to whole tiles
    assert width <= image.shape[1] < width + 64
    assert (packed.read(row).pixels[..., :3] == image[:, :width, ::-1]).all()
    assert known["id"] == people.ids[row]
    assert np.allclose(known["bbox_xyxy"], people.bbox_xyxy[row])
    assert np.array(known["keypoints"]).shape == (17, 3)


def test_a_sample_by_http_range(packed: Pack) -> None:
    """The index of a shard says which bytes are one sample: object storage gives these."""

    class Ranges(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
            content = (packed.folder / self.path.lstrip("/")).read_bytes()[first : last + 1]
            self.send_response(206)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    index = json.loads((packed.folder / "pack-00001.json").read_text())
    first, length = index["offset"][2], index["bytes"][2]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ranges) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/pack-00001.tar"
        wanted = urllib.request.Request(
            url, headers={"Range": f"bytes={first}-{first + length - 1}"}
        )
        with urllib.request.urlopen(wanted) as answer:
            data = np.frombuffer(answer.read(), np.uint8)
        server.shutdown()
    image: Any = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert (image[:, : index["size"][2][0], ::-1] == packed.read(8).pixels[..., :3]).all()


def test_it_goes_on_where_it_was_stopped(
    people: Persons, packed: Pack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is missing is made again, in any number of threads, with the same bytes."""
    out = copied(packed, tmp_path / "out")
    (out / "pack-00000.json").unlink()  # killed between the shard and its index
    (out / "pack-00001.tar").unlink()
    (out / "pack-00001.json").unlink()
    (out / ".pack-00001.tar.x1y2").write_bytes(b"half")
    os.truncate(out / "pack-00002.tar", 100)
    kept = (out / "pack-00003.tar").stat().st_mtime_ns
    with pytest.raises(DatasetError, match=r"2 of \d+ shards are missing, such as pack-00000"):
        open_pack(out)
    options: Any = {"per_shard": 6, "command": "pose-data pack this"}
    pack(people, out, INPUT, FULL, workers=3, progress=True, **options)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(",")[0] for line in lines] == [f"{n} of 5 shards" for n in (3, 4, 5)]
    assert contents(out) == contents(packed.folder)
    assert (out / "pack-00003.tar").stat().st_mtime_ns == kept
    pack(people, out, INPUT, FULL, progress=True, **options)  # nothing is left to do
    assert capsys.readouterr().out == ""


def test_killed_and_gone_on(people: Persons, packed: Pack, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = (
        "import sys; from pathlib import Path; from pose_data import *\n"
        "persons = load_coco(sys.argv[1], sys.argv[2])\n"
        "pack(persons, sys.argv[3], (48, 64), Augmentation(rotate=30), per_shard=6, "
        "command='pose-data pack this')"
    )
    files = str(people.annotation_file), str(people.image_folder), str(out)
    process = subprocess.Popen([sys.executable, "-c", code, *files])
    while process.poll() is None and not (out / "pack-00000.json").exists():
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    pack(people, out, INPUT, FULL, per_shard=6, command="pose-data pack this")
    assert contents(out) == contents(packed.folder)


def test_an_image_that_cannot_be_read(people: Persons, tmp_path: Path) -> None:
    """It is left out and reported; training replaces it, as it does without a pack."""
    images = tmp_path / "images"
    shutil.copytree(people.image_dir, images)
    (images / str(people.file_names[0])).write_bytes(b"no image")
    persons = replace(people, image_folder=images)
    made = pack(persons, tmp_path / "out", INPUT, FULL)
    assert "without pixels: their images could not be read" in describe(made)
    crops = TopDown(persons, INPUT, pack=made, augment=FULL)
    assert crops[(0, 0)]["index"] != 0
    (reason,) = crops.broken.reasons.values()
    assert "sample 00000000 (person_keypoints_train2017.json annotation id" in reason
    assert "its image could not be read when it was packed" in reason
    with pytest.raises(DatasetError, match="cannot be decoded: not an image"):
        pack(persons, tmp_path / "strict", INPUT, FULL, max_broken=0)


def test_the_command(
    people: Persons, packed: Pack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["pack", str(people.annotation_file), str(people.image_folder)]
    size = "--input-size", "48x64", "--rotate", "30"
    assert main([*words, str(tmp_path / "crops"), *size, "--workers", "2"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("1 of 1 shards, ")
    assert printed[-1].startswith(f"{tmp_path / 'crops'}: {len(people)} persons, ")
    made = open_pack(tmp_path / "crops")
    assert (made.columns["crc32"] == packed.columns["crc32"]).all()
    whole = [str(tmp_path / "whole"), "--input-size", "96x96", "--bottom-up", "--raw"]
    assert main([*words, *whole]) == 0
    assert open_pack(tmp_path / "whole").about["samples"] == "images"
    assert main([*words, str(tmp_path / "crops"), "--input-size", "96x128"]) == 1
    assert (
        "holds another pack (input_size [48, 64] there, [96, 128] now)" in capsys.readouterr().err
    )
