"""Time the start of a training of HRNet-W32 256x192, beside MMPose's.

    python start.py [--mmpose1 PYTHON] [--rounds 5]

PYTHON: an interpreter with MMPose 1.3.2; without it only ours is timed. Ours is `pose-train run
hrnet_w32_coco_256x192`, theirs `tools/train.py` with their published config of the same network;
both with a set of 8 images in COCO's format, batches of 2, no workers, no evaluation before the
first step. CPU seconds since the start of the process, to the first batch in the network and to the
end of the first step; the median over rounds, in which both alternate after one round to warm
caches. Prints Markdown.
"""

import argparse
import json
import os
import runpy
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

CONFIG = """
_base_ = ["{configs}/td-hm_hrnet-w32_8xb64-210e_coco-256x192.py"]
model = dict(backbone=dict(init_cfg=None))
files = dict(data_root="{root}", ann_file="gt.json", data_prefix=dict(img="images/"))
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False, dataset=files)
val_dataloader = test_dataloader = val_evaluator = test_evaluator = val_cfg = test_cfg = None
train_cfg = dict(val_interval=1000)
default_hooks = dict(checkpoint=dict(save_best=None))
"""


def main() -> None:
    """Make the set, and time both in turns."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mmpose1", default="")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)  # side, folder
    args = parser.parse_args(sys.argv[1:])
    if args.one:
        return start(args.one[0], Path(args.one[1]))
    times: dict[str, list[list[float]]] = {"theirs": [], "ours": []}
    with tempfile.TemporaryDirectory() as folder:
        write_set(Path(folder))
        for side in (["theirs"] * bool(args.mmpose1) + ["ours"]) * (1 + args.rounds):
            python = args.mmpose1 if side == "theirs" else sys.executable
            times[side].append(child(python, side, folder))
    print("| CPU seconds from the start of the process | theirs | ours | theirs / ours |")
    print("|---|---|---|---|")
    for i, moment in enumerate(("to the first batch in the network", "to the end of a step")):
        theirs, ours = (
            median(row[i] for row in rows[1:]) if rows else float("nan") for rows in times.values()
        )
        print(f"| {moment} | {theirs:.2f} | {ours:.2f} | {theirs / ours:.2f} |")
    return None


def write_set(folder: Path) -> None:
    """Write 8 images of noise with two people each, in COCO's format."""
    import cv2
    import numpy as np

    from pose_data import COCO

    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    images, people = [], []
    for i in range(1, 9):
        cv2.imwrite(str(folder / f"images/{i}.jpg"), rng.integers(0, 256, (480, 640, 3), np.uint8))
        images.append({"id": i, "file_name": f"{i}.jpg", "width": 640, "height": 480})
        for left in (50, 350):
            points = rng.uniform((left, 60), (left + 200, 420), (17, 2)).round(1)
            people.append(
                {
                    "id": len(people) + 1,
                    "image_id": i,
                    "category_id": 1,
                    "bbox": [left, 60, 200, 360],
                    "area": 72000,
                    "iscrowd": 0,
                    "num_keypoints": 17,
                    "keypoints": [v for x, y in points.tolist() for v in (x, y, 2)],
                }
            )
    names = list(COCO.keypoints)
    person = {"id": 1, "name": "person", "keypoints": names, "skeleton": []}
    content = {"images": images, "annotations": people, "categories": [person]}
    (folder / "gt.json").write_text(json.dumps(content))


def child(python: str, side: str, folder: str) -> list[float]:
    """Time a start in a process of its own."""
    command = [python, __file__, "--mmpose1", "", "--one", side, folder]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed is compiled
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def start(side: str, folder: Path) -> None:
    """Start a training; print two times when its first step is done, and end the process."""
    import torch
    from torch.optim.optimizer import register_optimizer_step_post_hook

    moments: list[float] = []
    normalize = torch.nn.BatchNorm2d.forward

    def note(self: torch.nn.BatchNorm2d, x: torch.Tensor) -> torch.Tensor:
        if self.training and not moments:
            moments.append(time.process_time())
        return normalize(self, x)

    def end(*_: Any) -> None:
        print("\n" + json.dumps([*moments, time.process_time()]), flush=True)
        os._exit(0)

    torch.nn.BatchNorm2d.forward = note  # type: ignore[method-assign]
    register_optimizer_step_post_hook(end)
    if side == "theirs":
        import mmpose

        shipped = Path(mmpose.__file__).parent / ".mim"
        configs = shipped / "configs/body_2d_keypoint/topdown_heatmap/coco"
        (folder / "config.py").write_text(CONFIG.format(configs=configs, root=folder))
        sys.argv = ["train.py", str(folder / "config.py"), "--work-dir", str(folder / "theirs")]
        runpy.run_path(str(shipped / "tools/train.py"), run_name="__main__")
    else:
        from pose_train.__main__ import main as pose_train

        out = tempfile.mkdtemp(dir=folder)
        files = "{annotations: gt.json, images: images}"
        options = [f"out={out}/run", f"data.root={folder}", f"data.train={files}"]
        options += [f"data.val={files}", "eval.boxes=gt", "data.detections.file=null"]
        options += ["train.batch_size=2", "train.num_workers=0"]
        sys.exit(pose_train(["run", "hrnet_w32_coco_256x192", *options]))
    raise SystemExit("the training ended without a step")


if __name__ == "__main__":
    main()
