"""The people of an image, and their forms for other programs."""

import csv
import dataclasses
import io
from pathlib import Path

import cv2
import numpy as np
import pytest

from pose_data import COCO, draw_people
from pose_data.samples.crop import keypoints_to_image
from pose_train.inference.people import CSV_COLUMNS, People, map_matrix

RNG = np.random.default_rng(4)
PEOPLE = People(
    RNG.uniform(0, 90, (2, 17, 2)).astype(np.float32),
    RNG.uniform(0, 1, (2, 17)).astype(np.float32),
    np.array([0.75, 0.5], np.float32),
    np.array([[10, 20, 40, 80], [0, 0, 90, 90.5]], np.float32),
    COCO,
)
NOBODY = People(*(a[:0] for a in dataclasses.astuple(PEOPLE)[:4]), COCO)  # type: ignore[arg-type]


def test_people_are_counted_and_come_one_by_one() -> None:
    assert len(PEOPLE) == len(list(PEOPLE)) == 2
    assert len(NOBODY) == len(list(NOBODY)) == 0
    for number, person in enumerate(PEOPLE):
        np.testing.assert_array_equal(person.keypoints, PEOPLE.keypoints[number])
        np.testing.assert_array_equal(person.scores, PEOPLE.scores[number])
        np.testing.assert_array_equal(person.bbox, PEOPLE.bboxes[number])
        assert person.score == PEOPLE.person_scores[number]
    assert PEOPLE[-1].score == 0.5
    with pytest.raises(IndexError):
        PEOPLE[2]


def test_the_plot_is_what_predict_draws(tmp_path: Path) -> None:
    image = RNG.integers(0, 255, (100, 100, 3), np.uint8)
    before = image.copy()
    expected = draw_people(image, PEOPLE.keypoints, PEOPLE.scores, COCO, min_score=0.5)
    np.testing.assert_array_equal(PEOPLE.plot(image, 0.5), expected)
    np.testing.assert_array_equal(image, before)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    np.testing.assert_array_equal(PEOPLE.plot(tmp_path / "a.png", min_score=0.5), expected)
    np.testing.assert_array_equal(NOBODY.plot(image), image)


def test_the_plot_has_colours_boxes_scores_and_numbers_on_request() -> None:
    image = np.full((100, 100, 3), 90, np.uint8)
    with_ids = draw_people(
        image,
        PEOPLE.keypoints,
        PEOPLE.scores,
        COCO,
        colours="identity",
        ids=[7, -1],
        labels=["7", ""],
    )
    np.testing.assert_array_equal(PEOPLE.plot(image, ids=[7, -1]), with_ids)
    by_side = PEOPLE.plot(image, colours="side", ids=[7, -1])
    assert (by_side != with_ids).any()
    first = draw_people(
        image,
        PEOPLE.keypoints[:1],
        PEOPLE.scores[:1],
        COCO,
        colours="identity",
        ids=[5],
        boxes=PEOPLE.bboxes[:1],
        labels=["5  0.75"],
    )
    plot = PEOPLE.plot(image, person_score=0.6, ids=[5, 8], boxes=True, scores=True)
    np.testing.assert_array_equal(plot, first)


def test_rows_of_coco() -> None:
    rows = PEOPLE.to_coco(139, 7)
    assert [row["bbox"] for row in rows] == [[10, 20, 30, 60], [0, 0, 90, 90.5]]
    assert rows[0]["image_id"] == 139
    assert rows[0]["category_id"] == 7
    np.testing.assert_array_equal(
        np.reshape(rows[1]["keypoints"], (17, 3)).astype(np.float32),
        np.column_stack([PEOPLE.keypoints[1], PEOPLE.scores[1]]),
    )
    assert NOBODY.to_coco(1) == []


def test_the_table_has_every_keypoint_by_name() -> None:
    text = PEOPLE.to_csv('a "fine", day.jpg', 3, 0.12)
    assert "\r" not in text
    lines = list(csv.DictReader(io.StringIO(text)))
    assert tuple(lines[0]) == CSV_COLUMNS
    assert len(lines) == 2 * 17
    assert {line["image"] for line in lines} == {'a "fine", day.jpg'}
    assert {(line["frame"], line["time"]) for line in lines} == {("3", "0.12")}
    for number in range(2):
        own = [line for line in lines if line["person"] == str(number)]
        assert tuple(line["keypoint"] for line in own) == COCO.keypoints
        # Bit by bit, and yet not with the 17 digits of a float64.
        found = [[np.float32(line[key]) for key in ("x", "y", "score")] for line in own]
        expected = np.column_stack([PEOPLE.keypoints[number], PEOPLE.scores[number]])
        np.testing.assert_array_equal(found, expected)
        assert max(len(line["x"]) for line in own) < 13
    names = [line.split(",")[0] for line in PEOPLE.to_csv("=cmd()|a").splitlines()[1:]]
    assert set(names) == {"'=cmd()|a"}, "a spreadsheet would run it"
    assert PEOPLE.to_csv().splitlines()[1].startswith(",,,0,nose,")
    assert NOBODY.to_csv() == "image,frame,time,person,keypoint,x,y,score\n"


def test_the_matrix_of_maps_is_the_way_of_keypoints() -> None:
    center, scale = np.array([30.5, 50], np.float32), np.array([90, 120], np.float32)
    matrix = map_matrix(center, scale, (48, 64))
    points = RNG.uniform(0, 48, (5, 2)).astype(np.float32)
    np.testing.assert_allclose(
        points @ matrix[:, :2].T + matrix[:, 2],
        keypoints_to_image(points, center, scale, (48, 64)),
        atol=1e-4,
    )
