"""What is drawn: sides in their colours, names, keys, rows of images."""

import cv2
import numpy as np
import pytest

from pose_data import COCO, DatasetError, Skeleton, draw_people
from pose_data.view.draw import SIDES, bgr, legend, sides, write_text
from pose_data.view.gallery import Shown, sheet
from pose_data.view.page import stacked_bars

ODD = Skeleton("odd", ("top", "ear_l", "ear_r"), ((1, 2),), ((0, 1),), (), (), (0.1, 0.1, 0.1))


def test_joints_have_the_colour_of_their_side() -> None:
    assert sides(ODD) == ["middle", "left", "right"]
    points = np.array([[[20, 20], [60, 60], [100, 20]]], np.float32)
    drawn = draw_people(np.zeros((120, 120, 3), np.uint8), points, np.ones((1, 3)), ODD)
    for (x, y), side in zip(points[0].astype(int), sides(ODD), strict=True):
        assert tuple(drawn[y, x].tolist()) == bgr(SIDES[side])
    assert tuple(drawn[40, 40].tolist()) == bgr(SIDES["middle"]), "a link between two sides"


def test_the_legend_says_what_there_is() -> None:
    words = [text for _, text in legend(COCO)]
    assert words == ["the person's left (of one facing you, on your right)", "right", "middle"]
    unnamed = Skeleton("two", ("a", "b"), (), (), (), (), (0.1, 0.1))
    assert "do not say left and right" in legend(unnamed)[0][1]


@pytest.mark.parametrize("ground", [0, 60, 128, 255])
def test_text_is_legible_on_any_ground(ground: int) -> None:
    canvas = np.full((20, 60, 3), ground, np.uint8)
    write_text(canvas, "nose", 4, 14)
    assert canvas.min() < 60
    assert canvas.max() > 200


def test_names_stay_in_the_image_and_apart() -> None:
    """At the same point and at the right border, too; letters that OpenCV lacks become numbers."""
    image = np.full((100, 150, 3), 100, np.uint8)
    skeleton = Skeleton("two", ("nose", "\u9f3b"), (), (), (), (), (0.1, 0.1))
    points = np.full((1, 2, 2), (147, 30), np.float32)
    plain, named = (
        draw_people(image, points, np.ones((1, 2)), skeleton, names=names)
        for names in (False, True)
    )
    y, x = np.nonzero((plain != named).any(axis=2))
    assert x.max() < 149
    assert y.max() - y.min() > 15, "below one another"


def test_a_sheet_has_a_key_headings_and_captions() -> None:
    images = [np.full((30, 500, 3), 200, np.uint8)] * 4
    shown = [Shown(image, f"a/very/long/{'name' * 40}/{i}.jpg") for i, image in enumerate(images)]
    one, two = (sheet([("Group", shown[:n])], legend(COCO)) for n in (3, 4))
    assert one.shape[1] <= 1600
    assert two.shape[0] == one.shape[0] + 30 + 20 + 8, "the fourth begins a row"
    assert (one == bgr(SIDES["left"])).all(axis=2).any()
    cv2.imencode(".png", one)
    with pytest.raises(DatasetError, match="nothing to show"):
        sheet([("Group", [])], legend(COCO))


def test_long_names_fit_into_charts() -> None:
    chart = stacked_bars(["the outer corner of the left eye"], [(3, 1)], ("red", "blue"), ["100%"])
    assert 'x="224.0" y="13.0" text-anchor="end"' in chart
