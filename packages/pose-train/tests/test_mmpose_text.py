"""Configs as Python texts are read, and never run."""

import time
from pathlib import Path
from typing import Any

import pytest

from pose_train.config.schema import ConfigError
from pose_train.mmpose.text import read_config_file, read_config_text


def read(text: str) -> dict[str, Any]:
    """Return what a text says, all of which can be read."""
    content, notes = read_config_text(text, "x.py")
    assert notes == []
    return content


def write(folder: Path, **texts: str) -> list[Path]:
    paths = [folder / f"{name}.py" for name in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        path.write_text(text, encoding="utf-8")
    return paths


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("dict(type='A', size=(192, 256), lr=5e-4)", {"type": "A", "size": [192, 256], "lr": 5e-4}),
        ("{'a': -1, 3: None}", {"a": -1, 3: None}),
        ("'configs/' 'coco.py'", "configs/coco.py"),
        ("codec['size']", [192, 256]),
        ("codec['size'][-1]", 256),
        ("codec.size[0] // 4", 48),
        ("3 * 17", 51),
        ("root + 'val.json'", "data/val.json"),
        ("f'{root}val{codec.sigma}.json'", "data/val2.json"),
        ("[0] * 4 + [1]", [0, 0, 0, 0, 1]),
        ("[*codec['size'], 3]", [192, 256, 3]),
        ("dict(codec, sigma=3)", {"size": [192, 256], "sigma": 3}),
        ("dict(sigma=1, **codec)", {"size": [192, 256], "sigma": 2}),
        ("dict({0: dict(link=('a', 'b'))})", {0: {"link": ["a", "b"]}}),
    ],
)  # fmt: skip
def test_values(code: str, value: Any) -> None:
    above = "root = 'data/'\ncodec = dict(size=(192, 256), sigma=2)\n"
    assert read(f"{above}x = {code}")["x"] == value


def test_later_assignments() -> None:
    content = read(
        "codec = dict(sigma=2)\n"
        "pipeline = [dict(type='A'), dict(type='B', codec=codec)]\n"
        "train = dict(pipeline=pipeline)\n"
        "codec['sigma'] = 3\n"
        "pipeline[1]['codec'].sigma = 4\n"
        "pipeline += [dict(type='C')]\n"
        "size = 5\n"
        "a = b = dict(size=size)\n"
        "a['size'] = 6\n"
    )
    assert content["codec"] == {"sigma": 3}
    assert content["pipeline"][1]["codec"] == {"sigma": 4}
    assert [each["type"] for each in content["pipeline"]] == ["A", "B", "C"]
    assert content["train"]["pipeline"][1]["codec"] == {"sigma": 2}
    assert (content["a"], content["b"]) == ({"size": 6}, {"size": 5})


def test_bases(tmp_path: Path) -> None:
    (tmp_path / "bases").mkdir()
    write(
        tmp_path / "bases",
        runtime="load_from = None\ntrain_cfg = dict(by_epoch=True, max_epochs=1)\n",
        data="_base_ = './info.py'\noptimizer = dict(type='SGD', lr=1, momentum=0.9)\nsteps = [1]",
        info="dataset_info = dict(name='coco', keypoints=[1, 2])\n",
    )
    (file,) = write(
        tmp_path,
        mine=(
            "_base_ = ['bases/runtime.py', 'bases/data.py', 'mmpose::_base_/x.py']\n"
            "train_cfg = dict(max_epochs=210)\n"
            "optimizer = dict(_delete_=True, type='Adam', lr=_base_.optimizer.lr)\n"
            "data = dict(info={{_base_.dataset_info}}, deep=dict(_delete_=True))\n"
            "steps = [170, 200]\n"
        ),
    )
    content, notes = read_config_file(file)
    assert content["train_cfg"] == {"by_epoch": True, "max_epochs": 210}
    assert content["optimizer"] == {"type": "Adam", "lr": 1}
    assert content["data"]["info"] == {"name": "coco", "keypoints": [1, 2]}
    assert content["data"]["deep"] == {}
    assert content["steps"] == [170, 200]
    assert notes == ["mine.py: its _base_ mmpose::_base_/x.py is not available"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("lr = float('inf')", "a call other than dict(...)"),
        ("lr = [x for x in (1, 2)]", "neither a literal nor a name from above"),
        ("lr = 1 if True else 2", "neither a literal nor a name from above"),
        ("lr = rate", "rate is not defined above"),
        ("lr = [1][3]", "there is no item '3'"),
        ("lr = f'{1:03d}'", "a formatted f-string"),
        ("lr = 1 / 0", "division by zero"),
        ("lr = 2 ** 9", "not plain arithmetic"),
        ("lr = 10 ** 6 * 'x'", "not plain arithmetic"),
        ("lr = [0] * 10**9", "not plain arithmetic"),
        ("lr = [0] * 1000000000", "a very long list"),
        ("lr = dict(**[1])", "something other than a dict is unpacked"),
        ("lr = b'x'", "neither a literal nor a name from above"),
        ("import os", "imports are not followed"),
        ("for x in y: pass", "only assignments are read"),
        ("class A: pass", "only assignments are read"),
        ("print('x')", "only assignments are read"),
        ("lr, x = 1, 2", "this cannot be assigned to"),
        ("wd.x = 1", "this cannot be assigned to"),
    ],
)
def test_what_is_not_read_is_a_note(code: str, reason: str) -> None:
    content, notes = read_config_text(f"'''Text.'''\nwd = 0\n{code}\nlast = 1", "folder/x.py")
    assert notes == [f"x.py line 3, `{code}`: {reason}"]
    assert content["last"] == 1
    assert content.get("lr") is None


def test_one_item_is_left_out_not_all() -> None:
    content, notes = read_config_text("lr = 1\nopt = dict(type='SGD', lr=f())\nlr = f()", "x.py")
    assert content["opt"] == {"type": "SGD", "lr": None}
    assert content["lr"] is None, "not what it was before"
    assert len(notes) == 2


def test_classes_of_new_configs_go_by_their_name() -> None:
    content, notes = read_config_text("from m.models import HRNet\nx = dict(type=HRNet)", "x.py")
    assert content["x"] == {"type": "HRNet"}
    assert len(notes) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = (1,", r"x\.py is not Python: line 1: '\(' was never closed"),
        ("x = 1\x00", r"x\.py is not Python: source code"),
        ("x = " + "[" * 1000 + "]" * 1000, r"x\.py is not Python: line 1: too many nested"),
        ("x = " + "-" * 100_000 + "1", r"x\.py is nested too deeply"),
        ("x = " + "+".join("1" * 100_000), r"x\.py is nested too deeply"),
        ("x0 = []\n" + "".join(f"x{i + 1} = [x{i}]\n" for i in range(5000)), "too deeply|300000"),
        ("x = [1]\n" + "x = [x, x, x, x]\n" * 99, "more than 300000 values"),
        ("x = '" + "x" * 50_000_000 + "'", r"x\.py has 50 MB"),
    ],
    ids=["syntax", "nul", "brackets", "signs", "sum", "chain", "copies", "large"],
)
def test_hostile_texts(text: str, message: str, tmp_path: Path) -> None:
    (file,) = write(tmp_path, x=text)
    start = time.monotonic()
    with pytest.raises(ConfigError, match=message) as caught:
        read_config_file(file)
    assert len(str(caught.value).splitlines()) == 1
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("step", ["x = x + x", "x = f'{x}{x}'", "n = n * n"])
def test_results_stay_small(step: str) -> None:
    content, notes = read_config_text(f"x = 'x'\nn = 9\n{step}\n" + f"{step}\n" * 99, "x.py")
    assert notes
    assert len(str(content)) < 100_000


def test_a_literal_with_more_digits_than_python_prints() -> None:
    content, notes = read_config_text(f"x = 0x{'f' * 9000}\ny = f'{{x}}'", "x.py")
    assert content == {"x": None, "y": "None"}
    assert [note.rpartition(": ")[2] for note in notes] == ["a very large value"]


def test_mistakes_in_files(tmp_path: Path) -> None:
    file, base, *_ = write(
        tmp_path,
        loop="_base_ = ['other.py']",
        other="_base_ = './loop.py'",
        alone="_base_ = 'nowhere.py'",
        many="_base_ = ['empty.py'] * 60",
        endless="_base_ = '/dev/zero'",
        empty="",
    )
    for name, message in {
        "loop": f"{file}: its _base_ leads back to itself",
        "alone": rf"nowhere\.py, _base_ of {tmp_path}/alone\.py, cannot be read: No such file",
        "many": "more than 50 files",
        "endless": "/dev/zero, _base_ of .* is not a file",
        "none": "none.py cannot be read: No such file",
    }.items():
        with pytest.raises(ConfigError, match=message):
            read_config_file(tmp_path / f"{name}.py")
    base.write_bytes(bytes(range(256)))
    with pytest.raises(ConfigError, match=rf"{base}, _base_ of {file}, is not UTF-8 text"):
        read_config_file(file)


def test_nothing_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    touch = f"__import__('pathlib').Path({str(mark)!r}).touch()"
    blocks = f"class A:\n    {touch}\n@{touch}\ndef f():\n    pass\n"
    _, notes = read_config_text(f"{touch}\nx = {touch}\ny = dict(a=[{touch}])\n{blocks}", "x.py")
    assert len(notes) == 5
    assert not mark.exists()
