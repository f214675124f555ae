"""What paths, folders and patterns name."""

from pathlib import Path

import pytest

from pose_train.config.schema import ConfigError
from pose_train.files.inputs import check_targets, find_inputs


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_inputs_keep_apart(tmp_path: Path) -> None:
    touch(tmp_path, "one/x.jpg", "two/x.jpg", "two/x.png", "two/X-2.JPG", "two/deep/y.v1.jpg")
    one, two = str(tmp_path / "one" / "x.jpg"), str(tmp_path / "two")
    found = find_inputs([one, two])
    assert [(entry.name, entry.drawn) for entry in found] == [
        (one, "x"),
        ("X-2.JPG", "X-2"),
        ("deep/y.v1.jpg", "deep/y.v1"),
        (f"{two}/x.jpg", "x-3"),
        ("x.png", "x-4"),
    ]
    again = find_inputs([str(tmp_path / "one"), str(tmp_path / "one/*.jpg"), f"{two}/../one/x.jpg"])
    assert [entry.name for entry in again] == ["x.jpg"]


def test_folders_give_pictures_and_videos(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.txt", "c.MP4", "._a.jpg", ".trash/d.jpg", "e.jpg/f.png", "noext")
    touch(tmp_path, "drawn/a.jpg")
    assert [entry.name for entry in find_inputs([str(tmp_path)], tmp_path / "drawn")] == [
        "a.jpg",
        "c.MP4",
        "e.jpg/f.png",
    ]
    assert len(find_inputs([str(tmp_path)], tmp_path)) == 4, "then it is not an outcome"
    named = find_inputs([str(tmp_path / "noext"), str(tmp_path / "._a.jpg")])
    assert [entry.name for entry in named] == ["noext", "._a.jpg"]


def test_links_under_other_names_are_images_of_their_own(tmp_path: Path) -> None:
    touch(tmp_path, "photos/a.jpg", "set/own.jpg")
    for name in ("1.jpg", "2.jpg"):
        (tmp_path / "set" / name).symlink_to(tmp_path / "photos/a.jpg")
    (tmp_path / "again").symlink_to(tmp_path / "set")
    found = find_inputs([str(tmp_path / "set"), str(tmp_path / "again")])
    assert [entry.name for entry in found] == ["1.jpg", "2.jpg", "own.jpg"]


def test_links_to_nothing_are_not_passed_over(tmp_path: Path) -> None:
    """They are inputs, which cannot be read."""
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "b.jpg").unlink()
    (tmp_path / "b.jpg").symlink_to("gone.jpg")
    (tmp_path / "c.jpg").symlink_to("c.jpg")
    (tmp_path / "d.jpg").mkdir()
    inputs = find_inputs([str(tmp_path)])
    assert [entry.name for entry in inputs] == ["a.jpg", "b.jpg", "c.jpg"]
    check_targets(inputs, tmp_path / "out")


def test_a_name_may_look_like_a_pattern(tmp_path: Path) -> None:
    touch(tmp_path, "[a]*.jpg", "a1.jpg")
    assert [entry.name for entry in find_inputs([str(tmp_path / "[a]*.jpg")])] == ["[a]*.jpg"]


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="/dev/null is no file, folder or address of a camera"):
        find_inputs(["/dev/null"])
    with pytest.raises(ConfigError, match="gone does not exist"):
        find_inputs([str(tmp_path / "gone")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="empty holds no images or videos"):
        find_inputs([str(tmp_path / "empty")])


def test_a_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "film.mpg")
    monkeypatch.setenv("HOME", str(tmp_path))
    for given in ("~", "~/film.mpg", "~/*.mpg"):
        (entry,) = find_inputs([given])
        assert entry.path == tmp_path / "film.mpg"
        assert entry.is_video
