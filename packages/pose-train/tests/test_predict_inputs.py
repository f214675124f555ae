"""`pose-train predict`: pictures, folders, videos and boxes in; drawings and JSON out."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from pose_data import DatasetError, load_coco
from pose_eval import evaluate
from pose_train.config import ConfigError
from pose_train.drawing import RowWriter, predict_inputs, read_frames
from pose_train.inputs import find_inputs, key_of, read_boxes
from pose_train.predictor import Predictor
from pose_train.rundir import RunDirError


@pytest.fixture(scope="module")
def predictor(run_dir: Path) -> Predictor:
    return Predictor.from_checkpoint(run_dir)


def rows_of(out: Path) -> list[dict[str, object]]:
    assert not list(out.rglob(".*")), "nothing temporary is left"
    rows: list[dict[str, object]] = json.loads((out / "predictions.json").read_text())
    return rows


def test_a_folder_of_pictures(predictor: Predictor, drawn_data: Path, tmp_path: Path) -> None:
    inputs = find_inputs([str(drawn_data / "val2017")])
    summary = predict_inputs(predictor, inputs, tmp_path / "out")
    assert (summary.pictures, summary.people, summary.skipped) == (4, 4, [])
    rows = rows_of(tmp_path / "out")
    assert [row["file_name"] for row in rows] == [entry.name for entry in inputs]
    assert [row["image_id"] for row in rows] == [1, 2, 3, 4]
    for entry, row in zip(inputs, rows, strict=True):
        people = predictor(entry.path)
        np.testing.assert_allclose(
            np.array(row["keypoints"]).reshape(17, 3)[:, :2], people.keypoints[0], rtol=1e-5
        )
        drawn = cv2.imread(str(tmp_path / "out" / entry.name))
        assert drawn.shape == (96, 128, 3)


def test_boxes_of_an_annotation_file(
    predictor: Predictor, drawn_data: Path, tmp_path: Path
) -> None:
    """With the annotated boxes, what comes out is what the evaluation reads."""
    annotations = drawn_data / "annotations/person_keypoints_val2017.json"
    boxes = read_boxes(annotations)
    inputs = find_inputs([str(drawn_data / "val2017" / "*.jpg")])
    summary = predict_inputs(predictor, inputs, tmp_path, boxes, draw=False)
    assert summary.people == len(json.loads(annotations.read_text())["annotations"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["predictions.json"]
    persons = load_coco(annotations, drawn_data / "val2017")
    id_of = {str(n): int(i) for n, i in zip(persons.file_names, persons.image_ids, strict=True)}
    rows = [row | {"image_id": id_of[str(row["file_name"])]} for row in rows_of(tmp_path)]
    assert evaluate(rows, annotations).counts["detections"] == len(rows)


def test_a_video_is_drawn_frame_by_frame(predictor: Predictor, tmp_path: Path) -> None:
    path = tmp_path / "walk.avi"
    film = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 12.0, (64, 48))
    for shade in range(0, 250, 50):
        film.write(np.full((48, 64, 3), shade, np.uint8))
    film.release()
    boxes = {"walk/1": np.array([[5, 5, 40, 45, 0.9]], np.float32)}
    summary = predict_inputs(predictor, find_inputs([str(path)]), tmp_path / "all")
    assert (summary.frames, summary.people) == (5, 5)
    assert [row["frame"] for row in rows_of(tmp_path / "all")] == [0, 1, 2, 3, 4]
    frames = list(read_frames(tmp_path / "all" / "walk.mp4"))
    assert len(frames) == 5
    assert frames[0][0].shape == (48, 64, 3)
    assert frames[0][1] == pytest.approx(12.0)
    summary = predict_inputs(predictor, find_inputs([str(path)]), tmp_path / "one", boxes)
    assert [row["frame"] for row in rows_of(tmp_path / "one")] == [1]


def test_what_cannot_be_read_is_skipped_and_listed(
    predictor: Predictor, drawn_data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    good = next((drawn_data / "val2017").iterdir())
    (folder / "a.jpg").write_bytes(good.read_bytes())
    (folder / "b.jpg").write_bytes(good.read_bytes()[:500])
    (folder / "c.mp4").write_bytes(b"no film")
    (folder / "notes.txt").write_text("not an input")
    summary = predict_inputs(predictor, find_inputs([str(folder)]), tmp_path / "out")
    assert summary.pictures == 1
    assert len(summary.skipped) == 2
    assert "b.jpg is cut short" in summary.skipped[0]
    assert "c.mp4 cannot be read" in summary.skipped[1]
    assert "2 inputs were skipped:" in str(summary)
    assert len(rows_of(tmp_path / "out")) == 1


def test_inputs_keep_apart(tmp_path: Path) -> None:
    for name in ("one/x.jpg", "two/x.jpg", "two/x.png", "two/deep/y.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = find_inputs([str(tmp_path / "one" / "x.jpg"), str(tmp_path / "two")])
    assert [entry.name for entry in found] == ["x.jpg", "deep/y.jpg", "x-2.jpg", "x-3.png"]
    again = find_inputs([str(tmp_path / "one"), str(tmp_path / "one" / "*.jpg")])
    assert len(again) == 1
    with pytest.raises(ConfigError, match="gone does not exist"):
        find_inputs([str(tmp_path / "gone")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="empty holds no pictures or videos"):
        find_inputs([str(tmp_path / "empty")])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("nonsense", "is not JSON"),
        ('{"images": []}', "must be a list of boxes"),
        ("[7]", "row 0 must be an object"),
        ('[{"bbox": [1, 2, 3, 4]}]', "row 0 has neither file_name nor image_id"),
        ('[{"image_id": 1, "bbox": [1, 2, 3]}]', "row 0: bbox must be x, y, width, height"),
        ('[{"image_id": 1, "bbox": [1, 2, 0, 4]}]', "row 0: the box .* is empty"),
    ],
)
def test_bad_boxes_are_named(tmp_path: Path, rows: str, message: str) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(rows)
    with pytest.raises(DatasetError, match=message):
        read_boxes(path)


def test_boxes_belong_to_pictures_by_name(tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    rows = [
        {"image_id": 785, "bbox": [1, 2, 3, 4], "score": 0.9},
        {"file_name": "walk/seven.jpg", "bbox": [1, 2, 3, 4], "score": 0.4},
        {"image_id": 785, "bbox": [5, 5, 5, 5], "score": 0.1},
    ]
    path.write_text(json.dumps(rows))
    boxes = read_boxes(path, min_score=0.3)
    assert key_of("000000000785.jpg") == "785"
    np.testing.assert_allclose(boxes["785"], [[1, 2, 4, 6, 0.9]])
    np.testing.assert_allclose(boxes[key_of("other/seven.png")], [[1, 2, 4, 6, 0.4]])


def test_a_folder_that_cannot_be_made(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(ConfigError, match="cannot make the folder"):
        predict_inputs(predictor, [], tmp_path / "out")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_one_error(predictor: Predictor, tmp_path: Path) -> None:
    people = predictor(np.zeros((40, 30, 3), np.uint8))
    path = tmp_path / "predictions.json"
    path.write_text("[]")

    def write() -> None:
        with RowWriter(path) as writer:
            writer.file.close()
            writer.file = Path("/dev/full").open("w")  # noqa: SIM115  # the writer closes it
            for _ in range(100):
                writer.add(people, 1, {})

    with pytest.raises(RunDirError, match=r"cannot write .*predictions\.json: No space left"):
        write()
    assert path.read_text() == "[]"
    assert [file.name for file in tmp_path.iterdir()] == ["predictions.json"]
