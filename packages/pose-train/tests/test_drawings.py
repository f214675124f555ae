"""What `pose-train predict` draws: colours, boxes, numbers, and the sheet of all drawings."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from pose_data.view.draw import IDENTITIES, bgr
from pose_train.__main__ import main
from pose_train.files.contact_sheet import HEIGHT, MOST, write_contact_sheet
from pose_train.files.inputs import Input


def is_in(image: np.ndarray, colour: str) -> bool:
    """Tell whether some pixels have a colour, as far as JPEG keeps it."""
    return int((np.abs(image.astype(int) - bgr(colour)).max(axis=2) < 40).sum()) > 20


def test_boxes_and_colours_on_request(run_dir: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((120, 160, 3), 60, np.uint8))
    drawn = []
    for number, options in enumerate(
        ([], ["--draw-boxes"], ["--draw-boxes", "--colours", "identity"])
    ):
        out = tmp_path / f"out{number}"
        words = ["predict", str(run_dir), str(tmp_path / "grey.png"), "--out", str(out)]
        assert main([*words, "--min-score", "2", *options]) == 0
        drawn.append(cv2.imread(str(out / "grey.png")))
    assert (drawn[0] == 60).all(), "no keypoint has such a score"
    for image, colour in zip(drawn[1:], ("#ffffff", IDENTITIES[0]), strict=True):
        assert is_in(image, colour)
        assert (image == bgr(colour)).all(axis=2).sum() > 300, "a box and a score"
    assert not is_in(drawn[1], IDENTITIES[0])


def test_the_sheet_has_all_that_was_drawn(
    run_dir: Path, drawn_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = cv2.VideoWriter(
        str(tmp_path / "walk.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 5, (64, 48)
    )
    for _ in range(3):
        video.write(np.full((48, 64, 3), (250, 0, 250), np.uint8))
    video.release()
    (tmp_path / "broken.jpg").write_bytes(b"nothing")
    images, out = sorted((drawn_data / "val2017").iterdir())[:2], tmp_path / "out"
    words = ["predict", str(run_dir), *map(str, images), str(tmp_path / "walk.avi")]
    words += [str(tmp_path / "broken.jpg"), "--out", str(out), "--contact-sheet"]
    assert main(words) == 1, "what cannot be read is left out of the sheet, too"
    sheet = cv2.imread(str(out / "contact-sheet.jpg"))
    assert is_in(sheet, "#fa00fa")
    first = cv2.imread(str(out / images[0].name))
    assert np.abs(sheet[8 : 8 + 96, 8 : 8 + 128].astype(int) - first).mean() < 5
    whole = (out / "contact-sheet.jpg").read_bytes()
    words[words.index("--out") + 1] = str(tmp_path / "parts")
    assert main([*words, "--parts", "2"]) == 1
    assert (tmp_path / "parts" / "contact-sheet.jpg").read_bytes() == whole
    assert main([*words, "--no-draw"]) == 2
    assert "--contact-sheet shows the drawings: leave --no-draw out" in capsys.readouterr().err


def test_a_sheet_of_many_is_a_sample_of_bounded_size(tmp_path: Path) -> None:
    inputs = [Input(Path(f"{i}.png"), f"{i}\udcff.png", str(i)) for i in range(3 * MOST)]
    for i in range(3 * MOST):
        shape = (6, 8, 3) if i else (3000, 1000, 3)
        grey = np.full(shape, 255 if i in (0, 3 * MOST - 1) else 100, np.uint8)
        cv2.imwrite(str(tmp_path / f"{i}.png"), grey)
    write_contact_sheet(inputs, tmp_path)
    sheet = cv2.imread(str(tmp_path / "contact-sheet.jpg"))
    assert sheet.shape[1] <= 1616
    assert sheet.shape[0] < MOST * 60
    top = 8 + 20 + 8  # below the heading
    assert (sheet[top : top + HEIGHT, 8:70] > 240).all(), "the first, shrunk"
    tiny = sheet[-34:-30].min(axis=(0, 2))  # images of the last row, above their names
    assert (tiny > 200).sum() > 4, "the last"


def test_no_drawing_has_the_name_of_the_sheet(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / "Contact-Sheet.png"), np.zeros((48, 64, 3), np.uint8))
    words = ["predict", str(run_dir), str(tmp_path), "--out", str(tmp_path / "out")]
    assert main([*words, "--contact-sheet"]) == 2
    assert "overwrite the drawing of Contact-Sheet.png" in capsys.readouterr().err
