"""Charts are well-formed SVG that stays inside its frame."""

import xml.etree.ElementTree as ElementTree

import pytest

from pose_train.report.charts import HEIGHT, WIDTH, line_chart, round_ticks

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(
    "points", [[(1, 0.5)], [(1, 3.0), (2, 1.0), (9, 2.0)], [(1, 0.0), (2, 0.0)], [(1, -2), (4, 5)]]
)
def test_points_are_drawn_inside(points: list[tuple[float, float]]) -> None:
    root = ElementTree.fromstring(line_chart("a < b & c", "epoch", {"x": points, "y": points}))
    lines = root.findall(f"{SVG}polyline")
    assert len(lines) == 2
    for line in lines:
        drawn = [tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split()]
        assert len(drawn) == len(points)
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in drawn)
    texts = [text.text for text in root.findall(f"{SVG}text")]
    assert "a < b & c" in texts
    assert {"x", "y"} <= set(texts)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 0.629, [0, 0.2, 0.4, 0.6, 0.8]),
        (0.0, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.0, 0.00834, [0, 0.002, 0.004, 0.006, 0.008, 0.01]),
        (0.0, 0.0, [0, 0.2]),
        (-2.0, 5.0, [-2, 0, 2, 4, 6]),
    ],
)
def test_round_ticks(low: float, high: float, expected: list[float]) -> None:
    assert round_ticks(low, high) == pytest.approx(expected)
