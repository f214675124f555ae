"""What faults.py tries: files of every kind, once, and commands with what they read and write.

A new command that reads or writes files is one more entry of `COMMANDS`, and its files one more
part of `make_kit`. All paths are relative: a case runs in a folder of its own, with copies of what
the command `reads`, and everything is written into `out/`.
"""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

import pose_backbones.__main__
import pose_data.__main__
import pose_eval.__main__
import pose_train.__main__

Main = Callable[[list[str]], int]
MAINS: dict[str, Main] = {
    "pose-backbones": pose_backbones.__main__.main,
    "pose-data": pose_data.__main__.main,
    "pose-eval": pose_eval.__main__.main,
    "pose-train": pose_train.__main__.main,
}
OPTIONS = "{width: 4, stem_channels: 8, num_modules: [1, 1, 1], num_blocks: 1}"
TRAIN = (
    *(f"model.options={OPTIONS}", "data.root=data", "data.synthetic=null", "train.batch_size=4"),
    *(
        "train.epochs=2",
        "train.lr_steps=[]",
        "train.warmup_steps=1",
        "train.device=cpu",
        "train.num_threads=1",
    ),
    *("eval.every=1", "train.num_workers=0", "checkpoints.minutes=0.0001"),
)
TOPDOWN = (*TRAIN, "model.input_size=[32, 64]", "model.heatmap_size=null")
BOTTOMUP = (*TRAIN, "model.input_size=[64, 64]", "model.heatmap_sizes=[[16, 16], [32, 32]]")
ANN = "data/annotations/person_keypoints_train2017.json"
VAL = "data/annotations/person_keypoints_val2017.json"
IMAGES = "data/train2017"
PREDICT = ("--out", "out", "--device", "cpu", "--threads", "1", "--whole-image")


@dataclass(frozen=True)
class Command:
    """A command line, the files that it reads, below folders of the kit, and how they are judged.

    reads: files that a fault may hit. beside: folders of the kit that it needs, besides `data`.
    sealed: those of `reads` with checksums over every byte that counts: damage is noticed, or
    changes nothing. varies: it never writes the same bytes twice. slow: of which there are fewer
    cases.
    """

    words: tuple[str, ...]
    reads: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    sealed: tuple[str, ...] = ()
    varies: bool = False
    slow: bool = False

    @property
    def program(self) -> str:
        return self.words[0]

    @property
    def is_long(self) -> bool:
        """Whether it takes seconds, or a part of the kit that does."""
        return self.slow or self.reads[:1] in (("bottom/checkpoint_best.pth",), ("net.onnx",))

    @property
    def is_run(self) -> bool:
        return self.words[1] in ("run", "resume")

    @property
    def target(self) -> str:
        """The folder that it writes into."""
        return {"run": "out/run", "resume": "run"}.get(self.words[1], "out")

    @property
    def writes(self) -> bool:
        return self.is_run or any(word.startswith("out") for word in self.words)

    @property
    def prints(self) -> bool:
        """Whether what it prints is its outcome, the same each time; pack says what is left."""
        return not self.is_run and self.program != "pose-train" and self.words[1] != "pack"

    @property
    def may_be_partial(self) -> bool:
        """Whether an exit code of 1 may mean that it did all but what could not be read."""
        return self.is_run or self.words[1] == "predict"

    def __str__(self) -> str:
        return " ".join(self.words)


def _command(text: str, *reads: str, **more: Any) -> Command:
    return Command(tuple(text.split()), reads, **more)


COMMANDS: Sequence[Command] = (
    _command("pose-backbones info net.pth", "net.pth", sealed=("net.pth",)),
    _command("pose-backbones info legacy.pth", "legacy.pth"),
    _command("pose-backbones info net.safetensors", "net.safetensors"),
    _command("pose-backbones convert net.pth out/a.safetensors", "net.pth", sealed=("net.pth",)),
    _command("pose-backbones convert net.safetensors out/a.pth --to mmpose-1.x", "net.safetensors"),
    _command(f"pose-data check {ANN} --images {IMAGES}", ANN),
    _command(f"pose-data check {VAL} --results results.json", "results.json"),
    _command(f"pose-data stats {ANN} {IMAGES} -o out/a.html", ANN),
    _command(
        f"pose-data stats cached/annotations.json {IMAGES}",
        "cached/annotations.json.cache.npz",
        beside=("cached",),
        sealed=("cached/annotations.json.cache.npz",),
    ),
    _command(
        f"pose-data show {ANN} {IMAGES} -o out/a.html --num-images 2 --samples 1",
        *(ANN, f"{IMAGES}/000000000001.jpg"),

    ),
    _command(f"pose-data fix {ANN} out/a.json", ANN),
    _command(f"pose-data merge {ANN} {VAL} -o out/a.json", ANN, VAL),
    _command(f"pose-data filter {ANN} out/a.json --min-keypoints 2", ANN),
    _command(f"pose-data split {ANN} out/parts --val 0.5", ANN),
    _command(f"pose-data pack {ANN} {IMAGES} out/pack --input-size 32x64 --workers 1", ANN),
    _command("pose-data synth out/drawn --train 2 --val 1 --size 64x48"),
    _command("pose-data convert yolo/data.yaml out/a.json", "yolo/data.yaml", beside=("yolo",)),
    _command(
        "pose-data convert yolo/data.yaml out/a.json",
        *("yolo/labels/train/a.txt", "yolo/images/train/a.jpg"),
        beside=("yolo",),
    ),
    _command("pose-data convert labelme out/a.json", "labelme/a.json", beside=("labelme",)),
    _command("pose-data convert cvat/a.xml out/a.json", "cvat/a.xml", beside=("cvat",)),
    _command("pose-data convert dlc out/a.json", "dlc/labeled-data/m/CollectedData_J.csv",
             beside=("dlc",)),
    _command(f"pose-data convert {ANN} out/yolo --to yolo", ANN),
    _command(f"pose-eval results.json --gt {VAL}", "results.json", VAL),
    _command(f"pose-eval results.json --gt {VAL} --format json --out out/a.json", "results.json"),
    _command(f"pose-eval results.json --gt {VAL} --bootstrap 20 --format html --out out/a.html",
             "results.json", VAL),
    _command(f"pose-eval errors results.json --gt {VAL}", "results.json", VAL),
    _command(f"pose-eval compare results.json results.json --gt {VAL}", "results.json", VAL),
    _command(f"pose-eval pck results.json --gt {VAL}", "results.json", VAL),
    _command("pose-eval check results.json", "results.json"),
    _command("pose-eval nms results.json --out out/a.json", "results.json"),
    _command(f"pose-train init {ANN} --images {IMAGES}", ANN),
    _command("pose-train check run/config.yaml data.root=data --out out/batch.png",
             *("run/config.yaml", ANN), slow=True),
    _command("pose-train run run/config.yaml data.root=data out=out/run train.epochs=1",
             *("run/config.yaml", ANN, VAL, f"{IMAGES}/000000000001.jpg"),
             slow=True),
    _command("pose-train resume run data.root=data train.epochs=3",
             *("run/config.yaml", "run/checkpoint_last.pth", "run/metrics.jsonl",
               "run/results.json"),
             beside=("run",), sealed=("run/checkpoint_last.pth",), slow=True),
    _command("pose-train resume run data.root=data",
             *("run/checkpoint_last.pth", "run/metrics.jsonl", "run/results.json"),
             beside=("run",), sealed=("run/checkpoint_last.pth",)),
    _command("pose-train test run data.root=data --out out/rows.json --workers 0",
             *("run/config.yaml", "run/checkpoint_best.pth", VAL),
             beside=("run",), sealed=("run/checkpoint_best.pth",)),
    _command("pose-train test run data.root=data eval.boxes=detections data.detections.file=b.json "
             "--out out/rows.csv --workers 0", "data/b.json", beside=("run",)),
    _command(" ".join(("pose-train predict run", f"{IMAGES} clip.mkv", *PREDICT, "--csv")),
             *("run/checkpoint_best.pth", f"{IMAGES}/000000000001.jpg", "clip.mkv"),
             beside=("run",), sealed=("run/checkpoint_best.pth",)),
    _command(" ".join(("pose-train predict run deep.png", *PREDICT[:-1], "--boxes deep.json")),
             *("deep.png", "deep.json"), beside=("run",)),
    _command(" ".join(("pose-train predict bottom/checkpoint_best.pth", IMAGES, *PREDICT[:-1],
                       "--no-draw", "--gt", ANN)),
             *("bottom/checkpoint_best.pth", ANN),
             sealed=("bottom/checkpoint_best.pth",)),
    _command(" ".join(("pose-train predict net.onnx", IMAGES, *PREDICT, "--no-draw")),
             "net.onnx"),
    _command("pose-train export run --format torchscript --out out/net.pt",
             "run/checkpoint_best.pth", beside=("run",), sealed=("run/checkpoint_best.pth",),
             varies=True, slow=True),
)  # fmt: skip


def make_kit(kit: Path, is_short: bool) -> None:
    """Write files of every kind into a folder, in a process of its own; is_short: fewer."""
    kit.mkdir()
    os.chdir(kit)
    torch.manual_seed(0)
    run("pose-data synth data --train 4 --val 2 --size 96x64 --seed 3")
    run("pose-train", "run", "demo", *TOPDOWN, "out=run")
    shutil.copy("run/results.json", "results.json")
    state = torch.load("run/checkpoint_best.pth", weights_only=True)["state_dict"]
    torch.save(state, "net.pth")
    torch.save(state, "legacy.pth", _use_new_zipfile_serialization=False)
    run("pose-backbones convert net.pth net.safetensors")
    annotations = json.loads(Path(VAL).read_text())["annotations"]
    boxes = [{**{k: row[k] for k in ("image_id", "category_id", "bbox")}, "score": 0.9}
             for row in annotations]  # fmt: skip
    Path("data/b.json").write_text(json.dumps(boxes))
    _write_images()
    _write_foreign()
    Path("cached").mkdir()
    shutil.copy(ANN, "cached/annotations.json")
    run("pose-data", "stats", "cached/annotations.json", IMAGES)
    if not is_short:
        run("pose-train", "run", "demo_higherhrnet", *BOTTOMUP, "out=bottom")
        run("pose-train export run --out net.onnx")


def run(text: str, *words: str) -> None:
    """Run a command that must end well."""
    program, *arguments = (text, *words) if words else text.split()
    code = MAINS[program](arguments)
    if code:
        raise RuntimeError(f"{program} {' '.join(arguments)} ended with {code}")


def _write_images() -> None:
    rng = np.random.default_rng(0)
    deep = rng.integers(0, 65536, (48, 64), np.uint16)
    cv2.imwrite("deep.png", deep)
    box = {"image_id": 1, "file_name": "deep.png", "category_id": 1, "bbox": [5, 5, 40, 30]}
    Path("deep.json").write_text(json.dumps([box | {"score": 0.9}]))
    import av

    with av.open("clip.mkv", "w") as container:
        stream = container.add_stream("mjpeg", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for _ in range(4):
            pixels = rng.integers(0, 255, (48, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        container.mux(stream.encode())


def _write_foreign() -> None:
    """Write a picture each with the annotations of other tools."""
    grey = np.full((100, 200, 3), 90, np.uint8)
    for name in ("yolo/images/train/a.jpg", "labelme/a.jpg", "cvat/a.jpg"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(name, grey)
    _write("yolo/labels/train/a.txt", "0 0.5 0.5 0.4 0.6 0.4 0.3 2 0.5 0.4 1 0 0 0\n")
    _write(
        "yolo/data.yaml",
        "path: .\ntrain: images/train\nkpt_shape: [3, 3]\nflip_idx: [0, 2, 1]\n"
        "names:\n  0: tiger\n",
    )
    shapes = [
        {"label": label, "points": [[x, 40]], "shape_type": "point", "flags": {}, "group_id": 1}
        for label, x in (("nose", 50), ("tail", 90))
    ]
    size = {"imagePath": "a.jpg", "imageHeight": 100, "imageWidth": 200, "imageData": None}
    _write("labelme/a.json", json.dumps({"version": "5.4.1", "shapes": shapes, "flags": {}} | size))
    points = "".join(
        f'<points label="{label}" outside="0" occluded="0" points="{x},20"></points>'
        for label, x in (("nose", 10), ("tail", 90))
    )
    _write(
        "cvat/a.xml",
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>\n'
        '<image id="0" name="a.jpg" width="200" height="100">'
        f'<skeleton label="fox">{points}</skeleton></image></annotations>\n',
    )
    folder = "dlc/labeled-data/m"
    _write(
        f"{folder}/CollectedData_J.csv",
        "scorer,J,J,J,J\nbodyparts,nose,nose,tail,tail\ncoords,x,y,x,y\n"
        "labeled-data/m/a.png,50.5,40.25,60,30\n",
    )
    cv2.imwrite(f"{folder}/a.png", grey)


def _write(name: str, text: str) -> None:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
