"""The Markdown and HTML of an analysis: what is on them, escaping, same bytes, a browser."""

import base64
import html.parser
import itertools
import json
import math
import os
import re
import shutil
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose_eval import analyse, evaluate, figures, line_chart
from pose_eval.__main__ import main
from pose_eval.render import overlay
from pose_eval.render.html import page
from pose_eval.render.overlay import read_image
from pose_eval.render.parts import markdown

EVIL = '<script>alert("x")</script>&'
PLACES = np.array([[50, 20], [20, 60], [80, 60], [35, 110], [65, 110]], float)


def png(width: int, height: int) -> bytes:
    """Return a grey picture."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    rows = zlib.compress((b"\0" + b"\x80" * width) * height)
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def problem(name: str = "person") -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return six images of one or two persons, one of them missed, with errors of all kinds."""
    rng = np.random.default_rng(2)
    rows, annotations = [], []
    for image in range(6):
        for x in (0, 150)[: 1 + image % 2]:
            places = PLACES + np.array([x, 0])
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": 1,
                    "area": 9000.0,
                    "bbox": [x, 0, 100, 130],
                    "keypoints": np.column_stack([places, [2, 2, 1, 2, 2]]).ravel().tolist(),
                }
            )
            if len(annotations) == 3:
                continue
            found = (places + rng.normal(0, 3, (5, 2)))[[0, 2, 1, 3, 4] if image == 4 else range(5)]
            keypoints = np.column_stack([found, np.full(5, 0.9)]).ravel().tolist()
            score = float(rng.uniform(0.3, 1))
            rows.append(
                {"image_id": image, "category_id": 1, "keypoints": keypoints, "score": score}
            )
    joints = ["nose", "left_hand", "right_hand", "left_foot", "right_foot"]
    skeleton = [[1, 2], [1, 3], [2, 4], [3, 5]]
    category = {"id": 1, "name": name, "keypoints": joints, "skeleton": skeleton}
    images = [{"id": i, "file_name": f"{i}.png", "width": 300, "height": 150} for i in range(6)]
    return rows, {"images": images, "categories": [category], "annotations": annotations}


def analysed(rows: Any, gt: Any) -> Any:
    return analyse(evaluate(rows, gt, sigmas=[0.05] * 5), replicates=30)


class Tags(html.parser.HTMLParser):
    """Check that tags are closed in order; remember text, tags and attributes."""

    EMPTY = frozenset({"meta", "img", "br", "line", "rect", "circle", "path", "polyline"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_holds_everything_and_asks_for_nothing(tmp_path: Path) -> None:
    rows, gt = problem()
    for image in gt["images"]:
        (tmp_path / image["file_name"]).write_bytes(png(300, 150))
    analysis = analysed(rows, gt)
    text = page(analysis, images_dir=tmp_path)
    assert text == page(analysed(*problem()), images_dir=tmp_path)
    tags = Tags(text)
    for number in analysis.report.stats:
        assert number in tags.text
    for words in ("left_hand", "jitter", "1 of 9 persons are missed", "95 % interval", "v=1"):
        assert words in tags.text
    links = [v for _, a in tags.seen for k, v in a.items() if k in ("src", "href")]
    pictures = [v for v in links if v is not None]
    assert pictures
    for picture in pictures:
        kind, _, encoded = picture.partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(encoded) == png(300, 150)
    assert any(tag == "circle" for tag, _ in tags.seen)  # the joints
    assert any("stroke-dasharray" in a for tag, a in tags.seen if tag == "rect")  # who is missed


def test_a_page_with_facts_published_numbers_and_sections(tmp_path: Path) -> None:
    rows, gt = problem()
    for image in gt["images"]:
        (tmp_path / image["file_name"]).write_bytes(png(300, 150))
    report = evaluate(rows, gt, sigmas=[0.05] * 5)
    chart = line_chart("loss", "epoch", {"training": [(1, 0.5), (2, 0.25)]})
    shown = figures(analyse(report, replicates=0), [(3, "took <3 s>"), (5, "")], tmp_path)
    text = page(
        report,
        title="run <1>",
        facts=[("best epoch", "7"), ("data", "a & b")],
        published={"AP": 0.5},
        above=[("Learning curves", chart)],
        below=[("Slowest images", shown), ("Config", "<pre>a: 1</pre>")],
    )
    tags = Tags(text)
    assert tags.text.count("run <1>") == 2  # the title and the heading
    for words in ("best epoch 7", "data a & b", "3.png", "took <3 s>", "a: 1"):
        assert words in tags.text
    difference = f"{report.stats['AP'] - 0.5:+.3f}"
    assert "<td>published</td><td>0.500</td><td>-</td>" in text
    assert f"<td>difference</td><td>{difference}</td><td>-</td>" in text
    headings = re.findall("<h2>(.*?)</h2>", text)
    assert headings[0] == "Learning curves"
    assert headings[-2:] == ["Slowest images", "Config"]
    assert sum(tag == "img" for tag, _ in tags.seen) == 2
    assert "95 % interval" not in tags.text


def test_a_page_of_what_was_not_evaluated() -> None:
    tags = Tags(page(None, title="run", facts=[("epochs", "3")], above=[("Curves", "<p>x</p>")]))
    assert "epochs 3" in tags.text
    assert "AP" not in tags.text


def test_a_line_chart(tmp_path: Path) -> None:
    series = {"training": [(1, 0.5), (2, 0.25)], "validation": [(1, 0.75), (2, 0.5)]}
    inside = line_chart("loss", "epoch", series, "loss <nats>")
    tags = Tags(inside)
    lines = [a["points"] for tag, a in tags.seen if tag == "polyline"]
    (start, end), other = ([tuple(map(float, p.split(","))) for p in n.split()] for n in lines)
    assert start[0] == other[0][0] < end[0]
    assert start[1] == other[1][1] < end[1]  # both are 0.5; lower values are further down
    for words in ("training", "validation", "epoch", "loss <nats>"):
        assert words in tags.text
    alone = line_chart("loss", "epoch", series, standalone=True)
    used = set(re.findall(r"var\(--([a-z]+)\)", alone))
    assert used <= set(re.findall(r"--([a-z]+):", alone)), "a file has its own colours"
    one = line_chart("AP", "epoch", {"": [(3, 0.0)]})  # a single point, without a name
    assert "nan" not in one


def test_names_are_text_not_markup(tmp_path: Path) -> None:
    rows, gt = problem(EVIL)
    gt["categories"][0]["keypoints"] = [f"{name}{EVIL}" for name in "abcde"]
    for image in gt["images"]:
        image["file_name"] = f'{EVIL}"><img src=x onerror=alert(1)>.png'
    for folder in (None, tmp_path):
        tags = Tags(page(analysed(rows, gt), images_dir=folder))
        assert not any(tag in ("script", "img") for tag, _ in tags.seen)
        assert EVIL in tags.text
    assert "<script" not in markdown(analysed(rows, gt)).replace("\\<script", "")


def test_markdown() -> None:
    text = markdown(analysed(*problem()))
    assert text == markdown(analysed(*problem()))
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert tables[0] == "| number | value | 95 % interval |"
    assert any(line.startswith("| left\\_hand | 9 |") for line in tables)
    assert "6 images, 9 persons, 8 detections; protocol coco." in text


def test_nothing_found_and_nobody_there() -> None:
    rows, gt = problem()
    for results, annotations in (([], gt["annotations"]), (rows, [])):
        analysis = analysed(results, gt | {"annotations": annotations})
        Tags(page(analysis))
        markdown(analysis)


def test_pictures_outside_the_folder_are_not_read(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret.png").write_bytes(png(4, 3))
    (inside / "a.png").write_bytes(png(4, 3))
    (inside / "text.png").write_text("no picture")
    assert read_image(inside, "a.png") == ("png", 4, 3, png(4, 3))
    assert read_image(inside, "train2017/a.png") is not None
    names = ("../secret.png", str(tmp_path / "secret.png"), "text.png", "absent.png", "", "a\0.png")
    for name in names:
        assert read_image(inside, name) is None


def test_size_of_a_jpeg(tmp_path: Path) -> None:
    # APP0, then a progressive frame header of 7 x 5.
    start = b"\xff\xd8\xff\xe0\x00\x10" + b"JFIF" + b"\0" * 10
    frame = b"\xff\xc2\x00\x11\x08\x00\x05\x00\x07" + b"\0" * 10
    (tmp_path / "a.jpg").write_bytes(start + frame)
    (tmp_path / "cut.jpg").write_bytes(start)
    assert read_image(tmp_path, "a.jpg") == ("jpeg", 7, 5, start + frame)
    assert read_image(tmp_path, "cut.jpg") is None


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    rows, gt = problem()
    (tmp_path / "r.json").write_text(json.dumps(rows))
    (tmp_path / "gt.json").write_text(json.dumps(gt))
    return [
        str(tmp_path / "r.json"),
        "--gt",
        str(tmp_path / "gt.json"),
        "--sigmas",
        "0.05," * 4 + "0.05",
    ]


def test_the_command(files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "page.html"
    html_options = ["--format", "html", "--images-dir", str(tmp_path), "--bootstrap", "10"]
    assert main([*files, *html_options, "-o", str(out)]) == 0
    assert "no image 1.png in the folder" in out.read_text(encoding="utf-8")
    assert main([*files, "--format", "md", "--bootstrap", "0"]) == 0
    assert "95 % interval" not in capsys.readouterr().out
    assert main([*files, "--format", "json", "--bootstrap", "10", "--breakdown"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["bootstrap"]["numbers"]["AP"]["low"] <= content["stats"]["AP"]
    assert content["per_joint"][0]["name"] == "nose"
    assert content["errors"]["missed_persons"] == 1
    assert set(content["groups"]) >= {"labelled keypoints"}
    assert main([*files, "--breakdown"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(" Average Precision")
    assert "| left\\_hand | 9 |" in printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--images-dir", "."], "--images-dir needs --format html"),
        (["--images-dir", "nowhere", "--format", "html"], "there is no such folder"),
        (["--format", "csv", "--breakdown"], "need text, json, md or html"),
    ],
)
def test_bad_arguments(
    files: list[str], options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*files, *options]) == 2
    assert message in capsys.readouterr().err


def test_colours_are_told_apart_and_follow_the_page() -> None:
    rows, gt = problem()
    text = page(analysed(rows, gt))
    assert "prefers-color-scheme: dark" in text
    used = set(re.findall(r"var\(--([a-z]+)\)", text))
    assert used == set(re.findall(r"--([a-z]+):", text))
    assert 'style="fill:var(--ink)"' in text
    drawn = {*overlay.COLOURS, overlay.MISSED, overlay.WRONG, overlay.TRUTH, overlay.DETECTED}
    channels = [[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in sorted(drawn)]
    assert min(math.dist(a, b) for a, b in itertools.combinations(channels, 2)) > 40


def test_a_browser_shows_the_page(tmp_path: Path) -> None:
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    browser = next((found for name in names if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"none of {', '.join(names)} is installed")
    rows, gt = problem()
    for image in gt["images"]:
        (tmp_path / image["file_name"]).write_bytes(png(300, 150))
    # The script writes down what a reader would stumble over.
    probe = (
        "<script>addEventListener('load',()=>{const w=document.documentElement;"
        "const broken=[...document.images].filter(i=>!i.naturalWidth).length;"
        "document.title=JSON.stringify([w.scrollWidth-w.clientWidth,broken,"
        "document.images.length,document.querySelectorAll('svg').length])})</script></body>"
    )
    text = page(analysed(rows, gt), images_dir=tmp_path).replace("</body>", probe)
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    for width in (1240, 500):
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
        command += [f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900"]
        done = subprocess.run(
            [*command, (tmp_path / "page.html").as_uri()],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
            env={**os.environ, "HOME": str(tmp_path)},
        )
        title = done.stdout.partition("<title>")[2].partition("</title>")[0]
        beyond, broken, pictures, drawings = json.loads(title)
        assert beyond <= 0, f"at {width} pixels the page is {beyond} too wide"
        assert broken == 0
        assert pictures > 0
        assert drawings > pictures
