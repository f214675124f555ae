"""What help shows around the options: groups of them, and examples."""

import argparse
from typing import Any

# Of commands with many options: the groups in which help shows them. What is not named here comes
# under "options".
GROUPS = {
    "predict": {
        "whose keypoints": (
            *("--boxes", "--gt", "--box-score", "--detector", "--whole-image", "--det-score"),
            *("--det-nms", "--classes"),
        ),
        "videos and cameras": ("--every", "--track", "--smooth", "--live", "--allow-download"),
        "what is written and shown": ("--out", "--csv", "--no-draw", "--show", "--contact-sheet"),
        "drawings": ("--min-score", "--person-score", "--colours", "--draw-boxes"),
        "the network, and what it runs on": (
            *("--weights", "--bits", "--no-flip", "--batch-size", "--parts", "--amp", "--compile"),
            *("--device", "--threads", "--offline"),
        ),
    },
}
# Below the help of each command.
EXAMPLES = {
    "": """pose-train run demo out=runs/first
pose-train init people.json --images pictures > people.yaml
pose-train run people.yaml out=runs/people
pose-train predict runs/people photos/ --out drawn/
pose-train COMMAND --help""",
    "run": """pose-train run demo
pose-train run my.yaml train.lr=1e-3 out=runs/mine
torchrun --nproc-per-node 8 -m pose_train run my.yaml""",
    "resume": "pose-train resume runs/mine\npose-train resume runs/mine train.epochs=300",
    "test": """pose-train test runs/mine --out results.json
pose-train test hrnet_w32_coco_256x192 --data-root COCO""",
    "predict": """pose-train predict runs/mine photos/ film.mp4 --out drawn/
pose-train predict hrnet_w32 film.mp4 --track --csv --out drawn/
pose-train predict hrnet_w32 0 --show --out drawn/
pose-train predict net.onnx 'a/**/*.jpg' --boxes boxes.json --no-draw --out found/""",
    "export": "pose-train export runs/mine --format onnx --out net.onnx",
    "publish": "pose-train publish runs/mine --repo USER/NAME --license apache-2.0",
    "init": """pose-train init people.json --images pictures > people.yaml
pose-train init --from-mmpose epoch_210.pth > my.yaml""",
    "check": "pose-train check my.yaml --out batch.png",
    "pack": "pose-train pack my.yaml packed\npose-train pack my.yaml packed --raw",
    "bench": "pose-train bench my.yaml train.amp=bf16\npose-train bench --suite gpu --out suite/",
    "doctor": "pose-train doctor\npose-train doctor --json",
    "zoo": "pose-train zoo\npose-train zoo fetch hrnet_w32_coco_256x192",
}

# What the parsers of those commands are given, so that lines stay lines.
SETTINGS: dict[str, dict[str, Any]] = {
    name: {
        "epilog": "examples:\n  " + lines.replace("\n", "\n  "),
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }
    for name, lines in EXAMPLES.items()
}
