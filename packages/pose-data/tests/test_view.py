"""What is drawn: sides in their colours, names, keys, rows of images."""

from typing import Literal

import cv2
import numpy as np
import pytest

from pose_data import COCO, DatasetError, Skeleton, draw_people
from pose_data.view.draw import IDENTITIES, SIDES, bgr, legend, sides, write_text
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


TALL = np.array([[[60, 20], [30, 40], [90, 40]]], np.float32)


def test_limbs_are_wider_on_larger_people() -> None:
    link, shown = np.array([[[100, 100], [100, 900], [0, 0]]], np.float32), np.array([[1, 1, 0]])
    widths = []
    for side, shrunk in ((1000, 1), (1000, 16), (8000, 16)):
        ground = np.zeros((side, side, 3), np.uint8)
        drawn = draw_people(ground, link / shrunk, shown, ODD)
        widths.append(int(drawn[500 // shrunk].any(axis=1).sum()))
    large, small, small_in_large = widths
    assert large > 2 * small > 0
    assert small_in_large > small, "on a screen as well"


@pytest.mark.parametrize("ground", [0, 110, 255])
@pytest.mark.parametrize("colours", ["side", "identity"])
def test_people_are_legible_on_any_ground(
    ground: int, colours: Literal["side", "identity"]
) -> None:
    """Across a limb there is dark beside bright: one of them differs from what is around."""
    image = np.full((120, 120, 3), ground, np.uint8)
    drawn = draw_people(image, TALL, np.ones((1, 3)), ODD, colours=colours)
    across = drawn[25:40, 45].max(axis=1).astype(int)
    assert across.max() - ground > 60 or ground - across.min() > 60
    assert across.max() - across.min() > 100


def test_people_have_a_colour_each_by_their_number() -> None:
    ground = np.zeros((120, 400, 3), np.uint8)
    points = np.concatenate([TALL + np.array([100 * i, 0]) for i in range(3)]).astype(np.float32)
    scores, count = np.ones((3, 3)), len(IDENTITIES)
    by_place = draw_people(ground, points, scores, ODD, colours="identity")
    by_number = draw_people(ground, points, scores, ODD, colours="identity", ids=[5, 1, count + 5])
    for drawn, expected in ((by_place, [0, 1, 2]), (by_number, [5, 1, 5])):
        for i, place in enumerate(expected):
            x, y = points[i, 0].astype(int).tolist()
            assert tuple(drawn[y, x].tolist()) == bgr(IDENTITIES[place])
    assert len(set(IDENTITIES)) == count


def test_boxes_and_labels_are_drawn_and_stay_in_the_image() -> None:
    ground, scores = np.full((120, 120, 3), 90, np.uint8), np.zeros((1, 3))
    box = np.array([[100, -20, 180, 60]], np.float32)
    boxed = draw_people(ground, TALL, scores, ODD, boxes=box)
    assert tuple(boxed[30, 100].tolist()) == (255, 255, 255), "nobody's keypoints are shown"
    assert boxed[30, 99].max() < 60 < boxed[30, 97].max()
    labelled = draw_people(ground, TALL, scores, ODD, boxes=box, labels=["12  0.87"])
    y, x = np.nonzero((labelled != boxed).any(axis=2))
    assert y.min() == 0
    assert x.min() < 80, "moved to the left, where there is room"
    assert (labelled[:18, 75:] != 90).all(axis=2).mean() > 0.85  # letters differ between versions
    plain = draw_people(ground, TALL, scores, ODD, labels=["12  0.87"])
    np.testing.assert_array_equal(plain, ground)
    beside = draw_people(ground, TALL, np.ones((1, 3)), ODD, labels=["12  0.87"])
    assert (beside[4:19, 31:60] != 90).all(axis=2).mean() > 0.9, "above the keypoints"


def test_keypoints_far_outside_do_no_harm() -> None:
    points = TALL.copy()
    points[0, 1] = -1e30, 1e12
    drawn = draw_people(np.zeros((120, 120, 3), np.uint8), points, np.ones((1, 3)), ODD)
    assert tuple(drawn[20, 60].tolist()) == bgr(SIDES["middle"])


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
