"""What pose-data converts: YOLO, LabelMe, DeepLabCut, CVAT and AIC; what it writes can be read."""

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from harness import fuzzed, pictures, typed
from hypothesis import note
from mutations import dumps, mutated

from pose_data import DatasetError, load_coco
from pose_data.__main__ import main as pose_data


def point(label: str, x: float, y: float, **more: Any) -> dict[str, Any]:
    return {"label": label, "points": [[x, y]], "group_id": 1, "shape_type": "point"} | more


LABELME = {
    "version": "5.0",
    "imagePath": "0.png",
    "imageWidth": 64,
    "imageHeight": 48,
    "shapes": [
        point("nose", 10.5, 11.0, flags={"occluded": True}),
        point("left_ear", 14, 9),
        point("right_ear", 17, 9),
        point("mouse", 5, 5, points=[[5, 5], [30, 30]], shape_type="rectangle"),
        point("thing", 5, 5, points=[[5, 5], [30, 30], [1, 1]], shape_type="polygon"),
    ],
}
YOLO = {
    "kpt_shape": [3, 3],
    "path": ".",
    "train": "images",
    "val": ["images"],
    "flip_idx": [0, 2, 1],
    "names": ["mouse", "rat"],
    "kpt_names": [["nose", "left_ear", "right_ear"]],
}
LINES = [
    ["0", "0.5", "0.5", "0.4", "0.4", "0.5", "0.5", "2", "0.4", "0.4", "1", "0", "0", "0"],
    ["1", "0.5", "0.5", "0.4", "0.4", "0.5", "0.5", "2", "0.4", "0.4", "1", "0.2", "0.3", "2"],
]
DEEPLABCUT = [
    ["scorer", "", "", "me", "me", "me", "me"],
    ["individuals", "", "", "a", "a", "a", "a"],
    ["bodyparts", "", "", "nose", "nose", "tail", "tail"],
    ["coords", "", "", "x", "y", "x", "y"],
    ["labeled-data", "v", "0.png", "10", "11", "20", "21"],
    ["labeled-data", "v", "1.png", "10", "", "20", "21"],
]
AIC = [
    {
        "image_id": "im0",
        "url": "",
        "human_annotations": {"human1": [1, 1, 60, 40]},
        "keypoint_annotations": {"human1": [5, 6, 1, 7, 9, 2, *[0, 0, 3] * 12]},
    }
]


def element(tag: str, text: str = "", *inside: Any, **attributes: str) -> dict[str, Any]:
    return {"tag": tag, "text": text, "attributes": attributes, "inside": list(inside)}


def label(name: str, **texts: str) -> dict[str, Any]:
    return element("label", "", element("name", name), *(element(*each) for each in texts.items()))


SVG = (
    '<line data-type="edge" data-node-from="1" data-node-to="2"></line>'
    '<circle data-node-id="1" data-label-name="nose"></circle>'
    '<circle data-node-id="2" data-label-name="tail"></circle>'
)
BOX = {"xtl": "1", "ytl": "2", "xbr": "20", "ybr": "22"}
CVAT = element(
    "annotations",
    "",
    element(
        "meta",
        "",
        label("mouse", type="skeleton", svg=SVG),
        label("nose", type="points", parent="mouse"),
        label("tail", type="points", parent="mouse"),
        element("original_size", "", element("width", "64"), element("height", "48")),
    ),
    element(
        "image",
        "",
        element(
            "skeleton",
            "",
            element("points", label="nose", points="10.5,11", outside="0", occluded="1"),
            element("points", label="tail", points="20,11", outside="0", occluded="0"),
            label="mouse",
        ),
        element("box", label="mouse", group_id="3", **BOX),
        element("points", label="rat", group_id="3", points="1,2;3,4;5,6"),
        id="0",
        name="0.png",
        width="64",
        height="48",
    ),
    element("track", "", element("box", frame="4", **BOX), id="0", label="mouse"),
)


def flat(value: Any) -> str:
    return ",".join(map(flat, value))[:200] if isinstance(value, list) else str(value)


def table(rows: Any, between: str) -> str:
    rows = rows if isinstance(rows, list) else [rows]
    cells = (row if isinstance(row, list) else [row] for row in rows)
    return "\n".join(between.join(map(flat, row)) for row in cells)


def xml(node: Any) -> str:
    if not isinstance(node, dict):
        return escape(flat(node))
    given = node.get("attributes")
    pairs = given.items() if isinstance(given, dict) else ()
    attributes = "".join(f" {key}={quoteattr(flat(value))}" for key, value in pairs)
    inside = node.get("inside")
    below = "".join(map(xml, inside)) if isinstance(inside, list) else ""
    tag = flat(node.get("tag", "x"))
    return f"<{tag}{attributes}>{escape(flat(node.get('text', '')))}{below}</{tag}>"


def write_yolo(folder: Path, rng: Random) -> str:
    settings, lines = YOLO, LINES
    if rng.randrange(2):
        settings = mutated(YOLO, rng)
    else:
        lines = mutated(LINES, rng)
    put(folder / "labels/0.txt", table(lines, " "))
    return put(folder / "data.yaml", dumps(settings))


FORMATS: dict[str, Callable[[Path, Random], str]] = {
    "labelme": lambda folder, rng: put(folder / "0.json", dumps(mutated(LABELME, rng))),
    "yolo": write_yolo,
    "cvat": lambda folder, rng: put(folder / "annotations.xml", xml(mutated(CVAT, rng))),
    "deeplabcut": lambda folder, rng: put(
        folder / "labeled-data/v/CollectedData_me.csv", table(mutated(DEEPLABCUT, rng), ",")
    ),
    "aic": lambda folder, rng: put(folder / "a.json", dumps(mutated(AIC, rng))),
}


def put(file: Path, text: str) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    return text


@fuzzed(300)
def test_conversion(tmp_path: Path, rng: Random) -> None:
    folder, out = tmp_path / "data/in", tmp_path / "data/out.json"
    shutil.rmtree(tmp_path / "data", ignore_errors=True)  # what the example before has left
    for place, suffix in itertools.product((".", "images", "labeled-data/v"), ("png", "jpg")):
        (folder / place).mkdir(parents=True, exist_ok=True)
        pictures(folder / place, [f"{name}.{suffix}" for name in ("0", "1", "im0")])
    kind = rng.choice(list(FORMATS))
    note(f"{kind}: {FORMATS[kind](folder, rng)}")
    source = folder / "data.yaml" if kind == "yolo" else folder
    code, printed = typed(pose_data, "convert", source, out, "--from", kind)
    assert code in (0, 1), printed
    assert {file.name for file in folder.parent.iterdir()} <= {"in", "out.json"}
    if code == 0:
        problem = ""
        try:
            load_coco(out, cache=False)
        except DatasetError as error:
            problem = str(error)
        # Several skeletons, which is right, and not for one network.
        assert not problem or "data.categories" in problem
