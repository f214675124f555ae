"""`pose-train predict`: pictures, folders, videos and boxes in; drawings and JSON out."""

import json
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pose_eval import evaluate
from pose_eval.__main__ import main as pose_eval
from pose_train.__main__ import main as pose_train
from pose_train.config.schema import ConfigError
from pose_train.files.boxes import read_boxes, read_ids
from pose_train.files.inputs import find_inputs
from pose_train.files.video import read_frames
from pose_train.files.write import RunDirError
from pose_train.inference.people import People
from pose_train.inference.predict import predict_inputs
from pose_train.inference.predictor import Predictor
from pose_train.inference.rows import add_people, row_writer


@pytest.fixture(scope="module")
def predictor(run_dir: Path) -> Predictor:
    return Predictor.from_checkpoint(run_dir)


def rows_of(out: Path) -> list[dict[str, Any]]:
    temporary = [*out.rglob(".*"), *out.rglob("*.partial.json")]
    assert not temporary, "nothing temporary is left"
    rows: list[dict[str, Any]] = json.loads((out / "predictions.json").read_text())
    return rows


def test_a_folder_of_pictures(predictor: Predictor, drawn_data: Path, tmp_path: Path) -> None:
    inputs = find_inputs([str(drawn_data / "val2017")])
    summary = predict_inputs(predictor, inputs, tmp_path / "out")
    assert (summary.images, summary.people, summary.problems) == (4, 4, [])
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
    assert evaluate(rows_of(tmp_path), annotations).counts["detections"] == summary.people


def test_ids_of_an_annotation_file(predictor: Predictor, drawn_data: Path, tmp_path: Path) -> None:
    """Those of --gt, whatever they are, and only of its pictures."""
    gt = json.loads((drawn_data / "annotations/person_keypoints_val2017.json").read_text())
    names = [image["file_name"] for image in gt["images"]]
    new_id = {image["id"]: 70 - i for i, image in enumerate(gt["images"][1:])}
    gt["images"] = [image | {"id": new_id[image["id"]]} for image in gt["images"][1:]]
    gt["annotations"] = [
        row | {"image_id": new_id[row["image_id"]], "category_id": 4}
        for row in gt["annotations"]
        if row["image_id"] in new_id
    ]
    gt["categories"] = [{"id": 3, "name": "dog"}, gt["categories"][0] | {"id": 4}]
    (tmp_path / "gt.json").write_text(json.dumps(gt))
    inputs = find_inputs([str(drawn_data / "val2017")])
    out = tmp_path / "out"
    summary = predict_inputs(predictor, inputs, out, gt=read_ids(tmp_path / "gt.json"), draw=False)
    assert (summary.images, summary.not_in_gt) == (3, 1)
    assert "left out 1 input that --gt does not name" in str(summary)
    rows = rows_of(out)
    assert [(row["file_name"], row["image_id"]) for row in rows] == list(
        zip(names[1:], (70, 69, 68), strict=True)
    )
    assert {row["category_id"] for row in rows} == {4}
    assert evaluate(rows, tmp_path / "gt.json").counts["detections"] == 3
    with pytest.raises(ConfigError, match=rf"gt\.json names none of the inputs: it has {names[1]}"):
        predict_inputs(predictor, inputs[:1], out, gt=read_ids(tmp_path / "gt.json"))


def test_the_command_for_pose_eval(
    run_dir: Path, drawn_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The README's two lines; boxes that are left out are told."""
    gt = drawn_data / "annotations/person_keypoints_val2017.json"
    content = json.loads(gt.read_text())
    content["annotations"].append(content["annotations"][0] | {"bbox": [5, 5, 0, 9]})
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    words = ["predict", str(run_dir), str(drawn_data / "val2017"), "--out", str(tmp_path / "out")]
    words += ["--gt", str(gt), "--boxes", str(tmp_path / "boxes.json"), "--no-draw", "--no-flip"]
    assert pose_train(words) == 0
    said = capsys.readouterr()
    people = len(content["annotations"]) - 1
    assert said.out == f"{people} people in 4 images: {tmp_path / 'out'}\n"
    assert "left out 1 box without an area" in said.err
    assert pose_eval([str(tmp_path / "out/predictions.json"), "--gt", str(gt)]) == 0
    assert "Average Precision" in capsys.readouterr().out


def write_video(path: Path, count: int = 5) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 12.0, (64, 48))
    rng = np.random.default_rng(0)
    for _ in range(count):
        writer.write(rng.integers(0, 256, (48, 64, 3), np.uint8))
    writer.release()


def test_a_video_is_drawn_frame_by_frame(predictor: Predictor, tmp_path: Path) -> None:
    path = tmp_path / "walk.avi"
    write_video(path)
    summary = predict_inputs(predictor, find_inputs([str(path)]), tmp_path / "all")
    assert (summary.frames, summary.people, summary.problems) == (5, 5, [])
    assert str(summary).startswith("5 people in 5 video frames: ")
    rows = rows_of(tmp_path / "all")
    assert [row["frame"] for row in rows] == [0, 1, 2, 3, 4]
    assert [row["image_id"] for row in rows] == [1, 2, 3, 4, 5], "a frame is a picture of its own"
    frames = list(read_frames(tmp_path / "all" / "walk.mp4"))
    assert len(frames) == 5
    assert frames[0].image.shape == (48, 64, 3)
    times = [i / 12 for i in range(5)]
    assert [frame.time for frame in frames] == pytest.approx(times, abs=1e-3)
    assert [row["time"] for row in rows] == pytest.approx(times, abs=1e-3)


def test_every_other_frame(predictor: Predictor, tmp_path: Path) -> None:
    path = tmp_path / "walk.avi"
    write_video(path)
    out = tmp_path / "out"
    summary = predict_inputs(predictor, find_inputs([str(path)]), out, every=2)
    assert (summary.frames, summary.problems) == (3, [])
    rows = rows_of(out)
    assert [row["frame"] for row in rows] == [0, 2, 4]
    assert [row["time"] for row in rows] == pytest.approx([0, 2 / 12, 4 / 12], abs=1e-3)
    assert len(list(read_frames(out / "walk.mp4"))) == 5, "the drawing keeps the time"


def test_people_of_a_video_are_told_apart_and_smoothed(run_dir: Path, tmp_path: Path) -> None:
    """Rows carry a number for each of two people, and keypoints move less where smoothed."""
    path, counts = tmp_path / "walk.avi", count(0)
    write_video(path, 6)

    def detector(image: np.ndarray) -> list[list[float]]:
        step = next(counts)
        return [[2 + step, 4, 20 + step, 40, 0.9], [36, 6, 60, 44, 0.8]]

    found = {}
    for smooth in (False, True):
        predictor = sure(Predictor(run_dir, detector=detector, batch_size=4))
        counts, out = count(0), tmp_path / str(smooth)
        inputs = find_inputs([str(path)])
        summary = predict_inputs(predictor, inputs, out, track=True, smooth=smooth)
        assert (summary.frames, summary.people) == (6, 12)
        found[smooth] = rows_of(out)
        assert [row["track_id"] for row in found[smooth]] == [1, 2] * 6
    before, after = (
        np.array([row["keypoints"] for row in found[smooth]]).reshape(6, 2, 17, 3)
        for smooth in (False, True)
    )
    np.testing.assert_allclose(before[0], after[0])
    jumps = [np.abs(np.diff(each[:, 1, :, :2], axis=0)).mean() for each in (before, after)]
    assert jumps[1] < 0.7 * jumps[0], "of the person who stands still"
    np.testing.assert_array_equal(before[..., 2], after[..., 2])
    plain = predict_inputs(Predictor(run_dir), inputs, tmp_path / "plain")
    assert plain.people == 6
    assert "track_id" not in rows_of(tmp_path / "plain")[0]


def sure(predictor: Predictor) -> Predictor:
    """Return it with people who stand in their boxes, within a pixel, and have high scores."""
    find, rng = predictor.network.find, np.random.default_rng(0)
    places = rng.uniform(0, 1, (17, 2))

    def standing(people: People) -> People:
        corners, sides = people.bboxes[:, None, :2], people.bboxes[:, None, 2:]
        keypoints = corners + places * (sides - corners) + rng.normal(0, 0.5, (17, 2))
        return replace(
            people,
            keypoints=keypoints.astype(np.float32),
            scores=np.full_like(people.scores, 0.9),
            person_scores=np.full_like(people.person_scores, 0.9),
        )

    predictor.network = replace(
        predictor.network, find=lambda *a, **k: [standing(each) for each in find(*a, **k)]
    )
    return predictor


def test_boxes_in_frames_of_a_video(predictor: Predictor, tmp_path: Path) -> None:
    write_video(tmp_path / "walk.avi")
    row = {"file_name": "walk.avi", "frame": 1, "bbox": [5, 5, 35, 40], "score": 0.9}
    (tmp_path / "boxes.json").write_text(json.dumps([row, row | {"frame": 3}]))
    boxes = read_boxes(tmp_path / "boxes.json")
    inputs = find_inputs([str(tmp_path / "walk.avi")])
    summary = predict_inputs(predictor, inputs, tmp_path / "out", boxes)
    assert (summary.frames, summary.people) == (5, 2)
    assert [row["frame"] for row in rows_of(tmp_path / "out")] == [1, 3]
    assert rows_of(tmp_path / "out")[0]["bbox"] == [5, 5, 35, 40]


def test_boxes_of_a_video_need_frames(predictor: Predictor, tmp_path: Path) -> None:
    write_video(tmp_path / "walk.avi")
    row = {"file_name": "walk.avi", "bbox": [5, 5, 35, 40]}
    (tmp_path / "boxes.json").write_text(json.dumps([row]))
    inputs = find_inputs([str(tmp_path / "walk.avi")])
    summary = predict_inputs(predictor, inputs, tmp_path, read_boxes(tmp_path / "boxes.json"))
    (problem,) = summary.problems
    assert problem.endswith("walk.avi have no `frame` (from 0)")
    (tmp_path / "boxes.json").write_text(json.dumps([row | {"frame": i} for i in (0, 5, 6)]))
    summary = predict_inputs(predictor, inputs, tmp_path, read_boxes(tmp_path / "boxes.json"))
    assert summary.notes == ["walk.avi ends with frame 4: --boxes has 2 frames more"]
    (tmp_path / "boxes.json").write_text(json.dumps([row | {"file_name": "x.png", "frame": 0}]))
    cv2.imwrite(str(tmp_path / "x.png"), np.zeros((20, 20, 3), np.uint8))
    inputs = find_inputs([str(tmp_path / "x.png")])
    boxes = read_boxes(tmp_path / "boxes.json")
    (problem,) = predict_inputs(predictor, inputs, tmp_path, boxes, draw=False).problems
    assert problem.endswith("x.png have a `frame`, as those of videos")


def test_rows_of_a_results_file_keep_ids_and_categories(
    predictor: Predictor, drawn_data: Path, tmp_path: Path
) -> None:
    """And boxes outside of their image are left out; the picture without boxes gets a new id."""
    inputs = find_inputs([str(drawn_data / "val2017")])
    names = [entry.name for entry in inputs]
    box = {"bbox": [20, 10, 60, 70], "score": 0.9}
    rows = [box | {"image_id": 40 - i, "file_name": name} for i, name in enumerate(names[:2])]
    rows = [row | {"category_id": i} for row in rows for i in (3, 4)]
    rows += [rows[0] | {"bbox": bbox} for bbox in ([128, 5, 9, 9], [-9, 5, 9, 9])]
    rows.append(box | {"image_id": "a name", "file_name": names[2], "category_id": 3})
    (tmp_path / "boxes.json").write_text(json.dumps(rows))
    gt = json.loads((drawn_data / "annotations/person_keypoints_val2017.json").read_text())
    gt["categories"] = [gt["categories"][0] | {"id": i} for i in (3, 4)]
    gt["annotations"] = []
    (tmp_path / "gt.json").write_text(json.dumps(gt))
    boxes = read_boxes(tmp_path / "boxes.json", gt=read_ids(tmp_path / "gt.json"))
    summary = predict_inputs(predictor, inputs, tmp_path, boxes, draw=False)
    assert "left out 2 of --boxes that lie outside of their image" in str(summary)
    assert [row["image_id"] for row in rows_of(tmp_path)] == [40, 40, 39, 39, "a name"]
    boxes = read_boxes(tmp_path / "boxes.json", gt=read_ids(tmp_path / "gt.json"))
    own = read_ids(tmp_path / "gt.json")
    predict_inputs(predictor, inputs, tmp_path, boxes, own, draw=False)
    assert [row["category_id"] for row in rows_of(tmp_path)] == [3, 4, 3, 4, 3]
    ids = {image["file_name"]: image["id"] for image in gt["images"]}
    assert [row["image_id"] for row in rows_of(tmp_path)] == [
        ids[names[i]] for i in (0, 0, 1, 1, 2)
    ]


def test_what_is_taken_for_a_person_is_said_once(
    run_dir: Path, drawn_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", str(run_dir), str(drawn_data / "val2017"), "--out", str(tmp_path / "out")]
    words += ["--no-draw", "--no-flip"]
    assert pose_train(words) == 0
    assert capsys.readouterr().err.count("whole image is taken for one person") == 1
    gt = json.loads((drawn_data / "annotations/person_keypoints_val2017.json").read_text())
    rows = [row | {"score": i / 10} for i, row in enumerate(gt["annotations"])]
    (tmp_path / "boxes.json").write_text(json.dumps({"images": gt["images"], "annotations": rows}))
    assert pose_train([*words, "--boxes", str(tmp_path / "boxes.json"), "--box-score", "0.15"]) == 0
    said = capsys.readouterr()
    assert "left out 2 boxes with a score below 0.15 (--box-score)" in said.err
    assert "whole image" not in said.err
    assert said.out.startswith(f"{len(rows) - 2} people in 4 images")
    assert pose_train([*words, "--boxes", str(tmp_path / "boxes.json"), "--box-score", "9"]) == 0
    assert capsys.readouterr().out.startswith("0 people in 4 images")
    assert pose_train([*words, "--boxes", str(tmp_path / "boxes.json"), "--box-score", "nan"]) == 2


def test_a_video_that_is_cut_short_keeps_what_is_there(
    predictor: Predictor, tmp_path: Path
) -> None:
    path = tmp_path / "cut.avi"
    write_video(path, 30)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    summary = predict_inputs(predictor, find_inputs([str(path)]), tmp_path / "out")
    last = summary.frames - 1
    assert 5 < last < 25
    assert summary.problems == [
        f"video {path} is cut short or damaged: frame {last} at {last / 12:.2f} s is the last that "
        "can be read, of 2.50 s"
    ]
    assert len(rows_of(tmp_path / "out")) == summary.frames
    assert len(list(read_frames(tmp_path / "out/cut.mp4"))) == summary.frames


def test_what_cannot_be_read_is_skipped_and_listed(
    predictor: Predictor, drawn_data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    good = next((drawn_data / "val2017").iterdir())
    (folder / "a.jpg").write_bytes(good.read_bytes())
    (folder / "b.jpg").write_bytes(good.read_bytes()[:500])
    (folder / "c.mp4").write_bytes(b"no video")
    (folder / "notes.txt").write_text("not an input")
    summary = predict_inputs(predictor, find_inputs([str(folder)]), tmp_path / "out")
    assert summary.images == 1
    assert len(summary.problems) == 2
    assert "b.jpg is cut short" in summary.problems[0]
    assert "c.mp4 cannot be read" in summary.problems[1]
    assert str(summary).startswith("1 person in 1 image: ")
    assert "2 inputs not read, or not to the end:" in str(summary)
    assert len(rows_of(tmp_path / "out")) == 1


@pytest.mark.parametrize("folder", ["one", "one/."])
def test_inputs_are_not_overwritten(predictor: Predictor, tmp_path: Path, folder: str) -> None:
    (tmp_path / "one").mkdir()
    path = tmp_path / "one/x.jpg"
    cv2.imwrite(str(path), np.zeros((20, 20, 3), np.uint8))
    before = path.read_bytes()
    inputs = find_inputs([str(path)])
    with pytest.raises(ConfigError, match=r"would overwrite .*x\.jpg: choose another folder"):
        predict_inputs(predictor, inputs, tmp_path / folder)
    assert path.read_bytes() == before
    assert [file.name for file in (tmp_path / "one").iterdir()] == ["x.jpg"]
    predict_inputs(predictor, inputs, tmp_path / folder, draw=False)
    assert path.read_bytes() == before


def test_ctrl_c_keeps_what_is_there(
    predictor: Predictor, drawn_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "predictions.json").write_text("earlier")

    class Stopping:
        network, skeleton, batch_size = predictor.network, predictor.skeleton, 2
        left = 1

        def __call__(self, images: Any, boxes: Any) -> list[People]:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return predictor(images, boxes)

    stopping: Any = Stopping()
    with pytest.raises(KeyboardInterrupt):
        predict_inputs(stopping, find_inputs([str(drawn_data / "val2017")]), tmp_path)
    assert (tmp_path / "predictions.json").read_text() == "earlier"
    assert len(json.loads((tmp_path / "predictions.partial.json").read_text())) == 2
    assert "2 rows so far: " in capsys.readouterr().err
    predict_inputs(predictor, find_inputs([str(drawn_data / "val2017")]), tmp_path)
    assert len(rows_of(tmp_path)) == 4


def test_a_folder_that_cannot_be_made(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(ConfigError, match="cannot make the folder"):
        predict_inputs(predictor, [], tmp_path / "out")
    (tmp_path / "busy").mkdir()
    (tmp_path / "busy/sub").write_text("in the way")
    (tmp_path / "in/sub").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "in/sub/x.png"), np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(RunDirError, match=r"cannot write .*busy/sub/x\.png"):
        predict_inputs(predictor, find_inputs([str(tmp_path / "in")]), tmp_path / "busy")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_one_error(predictor: Predictor, tmp_path: Path) -> None:
    people = predictor(np.zeros((40, 30, 3), np.uint8))
    path = tmp_path / "predictions.json"
    path.write_text("[]")

    def write() -> None:
        with row_writer(path) as writer:
            writer.json.file.close()
            writer.json.file = Path("/dev/full").open("w")  # noqa: SIM115  # the writer closes it
            for _ in range(100):
                add_people(writer, people, 1, {})

    with pytest.raises(RunDirError, match=r"cannot write .*predictions\.json: No space left"):
        write()
    assert path.read_text() == "[]"
    assert [file.name for file in tmp_path.iterdir()] == ["predictions.json"]


def test_a_detector_finds_the_people(
    run_dir: Path, drawn_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = str(drawn_data / "val2017")
    predictor = Predictor(run_dir, detector=lambda _: [[5, 5, 60, 80, 1], [30, 10, 110, 90, 0.5]])
    summary = predict_inputs(predictor, find_inputs([images]), tmp_path, draw=False)
    assert (summary.images, summary.people) == (4, 8)
    assert rows_of(tmp_path)[1]["bbox"] == [30, 10, 80, 80]
    command = ["predict", str(run_dir), images, "--out", str(tmp_path / "x")]
    boxes = str(drawn_data / "annotations/person_keypoints_val2017.json")
    assert pose_train([*command, "--boxes", boxes, "--detector", "net.onnx"]) == 2
    assert "--boxes and --detector both say where people are" in capsys.readouterr().err
    assert pose_train([*command, "--detector", str(tmp_path / "net.onnx")]) in (1, 2)
    assert "net.onnx" in capsys.readouterr().err


def test_people_with_a_low_score_are_not_drawn(
    run_dir: Path, drawn_data: Path, tmp_path: Path
) -> None:
    image = sorted((drawn_data / "val2017").iterdir())[0]
    drawn = []
    for score in (None, 0.0, 1.0):
        out = tmp_path / str(score)
        inputs = find_inputs([str(image)])
        predict_inputs(sure(Predictor(run_dir)), inputs, out, person_score=score)
        assert len(rows_of(out)) == 1
        drawn.append(cv2.imread(str(out / image.name)))
    assert (drawn[0] == drawn[1]).all()
    assert (drawn[0] != drawn[2]).any()
