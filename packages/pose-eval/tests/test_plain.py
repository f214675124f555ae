"""The fast way reads what json reads, to the last bit, or leaves it to json."""

import gzip
import json
import math
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose_eval import ResultsError, evaluate
from pose_eval.io import ground_truth, plain, results, rows
from pose_eval.io.plain import plain_file

KEYS = ("image_id", "category_id", "keypoints", "score")


def scanned(text: str, num_joints: int = 1) -> Any:
    return plain_file(text.encode(), {1: num_joints}, None, KEYS)


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Return a function that says whether everything is to be read by json."""
    fast = {
        (m, n): getattr(m, n)
        for m in (ground_truth, results, rows)
        for n in dir(plain)
        if n in vars(m)
    }
    ways = {key: way for key, way in fast.items() if key[1].startswith("plain_")}
    assert len(ways) == 4

    def choose(slow: bool) -> None:
        for (module, name), way in ways.items():
            monkeypatch.setattr(module, name, (lambda *_, **__: None) if slow else way)

    return choose


def row(numbers: str, more: str = "") -> str:
    return f'[{{"image_id": 7, "category_id": 1, "score": 0.5, "keypoints": [{numbers}]{more}}}]'


def spellings() -> list[str]:
    """Return numbers as programs write them, and worse."""
    random.seed(0)
    texts = ["0", "-0", "-0.0", "0.1", "1e22", "1e23", "9007199254740993", "1E-5", "1.5e+3", "0e9"]
    texts += ["2.2250738585072014e-308", "1.7976931348623157e308", "9" * 19, "123456789012345678"]
    texts += ["8.5", "0.000123456789012345678", "0.30000000000000004", "5e-324", "1" + "0" * 25]
    for _ in range(3000):
        value = struct.unpack("d", struct.pack("Q", random.getrandbits(64)))[0]
        texts += [repr(value)] if math.isfinite(value) else []
        texts.append(repr(float(np.float32(random.uniform(-2000, 2000)))))
        texts.append(repr(random.uniform(0, 1) * 10 ** random.randint(-8, 8)))
        texts.append(str(random.randint(-(10**18), 10**18)))
        texts.append(f"{random.uniform(-999, 999):.{random.randint(0, 20)}f}")
    return texts


def test_numbers_are_equal_to_the_last_bit() -> None:
    refused = 0
    texts = spellings()
    for text in texts:
        found = scanned(row(f"{text}, 1, 2"))
        if found is None:
            refused += 1
            continue
        wanted = float(json.loads(text))
        assert struct.pack("d", found["keypoints"][0, 0]) == struct.pack("d", wanted), text
    assert refused == 0


@pytest.mark.parametrize(
    "text",
    [
        *(
            row(f"{number}, 1, 2")
            for number in ("01", "1.", ".5", "+1", "1e", "0x1", "NaN", "1e999")
        ),
        *(row(f"{number}, 1, 2") for number in ("-", "null", "tru", '"1"', "[1]", "1 2", "--1")),
        row("1, 2"),
        row("1, 2, 3, 4"),
        row("1, 2, 3,"),
        row(""),
        row("1, 2, 3", ', "score": 0.5'),
        row("1, 2, 3", ', "x": [1,]'),
        row("1, 2, 3", ', "x": {"a" 1}'),
        row("1, 2, 3", ', "x": tru'),
        row("1, 2, 3", ', "x": {"a": 1, "a": 2}'),
        row("1, 2, 3", ', "x": "\\ud800"'),
        row("1, 2, 3", ', "x": "\n"'),
        row("1, 2, 3", ", "),
        row("1, 2, 3")[:-1],
        row("1, 2, 3")[:-2] + "]",
        row("1, 2, 3").replace("7", "7.0"),
        row("1, 2, 3").replace('_id": 1', '_id": "1"'),
        row("1, 2, 3").replace('"image_id": 7, ', ""),
        "[1]",
        "[{}]",
        "[",
        "{",
        '[{"image_id": 99999999999999999999, "category_id": 1}]',
    ],
)
def test_what_is_unusual_is_left_to_json(text: str) -> None:
    assert scanned(text) is None


def test_other_keys_are_passed_over_and_layout_does_not_matter() -> None:
    more = ', "center": [1.5, -2e3], "x": {"y": [[], {}, [true, null, "a\\"b"]]}, "id": 3'
    found = scanned(row("1, 2.5, 3", more))
    assert found["keypoints"].tolist() == [[1, 2.5, 3]]
    spaced = json.dumps(json.loads(row("1, 2.5, 3", more)), indent=3)
    assert scanned(spaced)["keypoints"].tolist() == [[1, 2.5, 3]]
    dense = json.dumps(json.loads(row("1, 2.5, 3", more)), separators=(",", ":"))
    assert scanned(dense)["keypoints"].tolist() == [[1, 2.5, 3]]
    lines = "\n".join(row(f"{n}, 2, 3")[1:-1] for n in range(5)) + "\n"
    assert scanned(lines)["keypoints"][:, 0].tolist() == [0, 1, 2, 3, 4]
    assert len(scanned("[]")) == 0


@pytest.mark.parametrize("boxes", [False, True])
def test_both_ways_of_reading_give_the_same(
    random_set: Callable[..., Any], boxes: bool, tmp_path: Path, slowly: Callable[[bool], None]
) -> None:
    gt, rows = random_set(11, boxes)
    gt["annotations"][0]["segmentation"] = {"counts": "a\\b", "size": [1, 2]}
    files = tmp_path / "results.json", tmp_path / "gt.json"
    files[0].write_text(json.dumps(rows))
    files[1].write_text(json.dumps(gt))
    slowly(True)
    slow = evaluate(*files)
    slowly(False)
    fast = evaluate(*files)
    assert fast.to_json() == slow.to_json()
    for table in ("gt", "results"):
        for name, value in vars(getattr(slow, table)).items():
            if isinstance(value, np.ndarray):
                np.testing.assert_array_equal(value, getattr(getattr(fast, table), name))
    gt["annotations"][0]["area"] = -5
    files[1].write_text(json.dumps(gt))
    assert evaluate(*files, area="bbox").stats
    with pytest.raises(ResultsError, match=r"annotation 0 .*area must not be negative, got -5"):
        evaluate(*files)
    gt["annotations"][0]["area"] = 500
    files[1].write_text(json.dumps(gt))
    rows[4]["score"] = None
    files[0].write_text(json.dumps(rows))
    with pytest.raises(ResultsError, match=r"results\.json row 4 .*score must be a finite number"):
        evaluate(*files)
    rows[4]["score"] = 0.5
    del gt["annotations"][2]["area"]
    files[0].write_text(json.dumps(rows))
    files[1].write_text(json.dumps(gt))
    assert "1 annotations have no area (first: annotation 2)" in evaluate(*files).warnings[0]


def test_files_with_more_joints_are_scanned(
    random_set: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    gt, rows = random_set(5)
    wanted = evaluate(rows, gt, joints="0-11")
    monkeypatch.setattr(results, "parse_rows", None)
    monkeypatch.setattr(results, "rows_to_columns", None)
    for change in (lambda k: [*k, 1, 2, 3], lambda k: k[:-3]):
        other = [{**row, "keypoints": change(row["keypoints"])} for row in rows]
        assert evaluate(json.dumps(other).encode(), gt, joints="0-11").stats == wanted.stats


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("inner", ["a", "image_id"])  # json must read what begins like a row
def test_files_are_read_in_pieces(
    random_set: Callable[..., Any],
    lines: bool,
    inner: str,
    tmp_path: Path,
    slowly: Callable[[bool], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gt, rows = random_set(12)
    for row in rows[::5]:  # what looks like the end of a row, within one
        row |= {"parts": [{"a": [1]}, {"b": "}, {"}, {inner: 1}], "note": "}, {"}
    texts = [json.dumps(rows), json.dumps(rows, indent=1), json.dumps(rows, separators=(",", ":"))]
    if lines:
        texts = ["\n".join(map(json.dumps, rows)), "\n\n".join(map(json.dumps, rows)) + "\r\n"]
    packed = tmp_path / "results.json.gz"
    packed.write_bytes(gzip.compress(texts[0].encode()))
    slowly(True)
    wanted = evaluate(rows, gt).to_json()
    slowly(False)
    for size in (100, 997, 5000):
        monkeypatch.setattr(plain, "PIECE", size)
        for text in texts:
            assert scanned(text, 17) is not None or inner == "image_id"
            assert evaluate(text.encode(), gt).to_json() == wanted
        assert evaluate(packed, gt).stats == evaluate(rows, gt).stats


def test_damaged_files_are_read_alike(
    random_set: Callable[..., Any],
    slowly: Callable[[bool], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever byte is changed: the fast way gives the numbers or the error that json gives."""
    gt, rows = random_set(4)
    gt["images"] = gt["images"][:4]
    ids = {image["id"] for image in gt["images"]}
    gt["annotations"] = [a for a in gt["annotations"] if a["image_id"] in ids][:5]
    rows = [r for r in rows if r["image_id"] in ids][:4]
    files = {"rows": json.dumps(rows).encode(), "gt": json.dumps(gt).encode()}
    files["lines"] = b"\n".join(json.dumps(row).encode() for row in rows)

    def outcome(fast: bool, results_file: bytes, gt_file: bytes) -> str:
        slowly(not fast)
        try:
            return evaluate(results_file, gt_file).to_json()
        except ResultsError as error:
            return str(error)

    monkeypatch.setattr(plain, "PIECE", 900)
    generator = random.Random(0)
    for _ in range(400):
        which = generator.choice(list(files))
        data = bytearray(files[which])
        at = generator.randrange(len(data))
        byte = generator.choice(b'[]{}":,.-+eE0123456789 \n\t\\ntfu\x00\x80')
        length = generator.choice([0, 1, 1])
        data[at : at + length] = generator.choice([bytes([byte]), bytes([byte]), b""])
        given = (files["rows"], bytes(data)) if which == "gt" else (bytes(data), files["gt"])
        assert outcome(True, *given) == outcome(False, *given), bytes(data)
