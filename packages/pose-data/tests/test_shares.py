"""How often samples come: groups and weights, read from a file and drawn."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose_data import DatasetError, Persons, epoch_rows, load_coco, merge, with_shares
from pose_data.formats import cache as cache_module
from pose_data.shares import Shares, describe_shares, draw_shares, expected_counts

SIZES = {"night": 2, "day": 7, "dusk": 3}  # images of each place, with two persons each


def content() -> dict[str, Any]:
    """Return a file of 12 images in three groups, 2 persons in each, and one without any."""
    places = [name for name, count in SIZES.items() for _ in range(count)]
    images = [
        {
            "id": 10 + i,
            "file_name": f"{i}.jpg",
            "width": 100,
            "height": 60,
            "attributes": {"place": place, "size": {"mm": i}},
            "quality": i / 2,
        }
        for i, place in enumerate(places)
    ]
    rows = [
        {
            "id": 100 + i,
            "image_id": 10 + i // 2,
            "category_id": 1,
            "bbox": [1.0, 2, 30, 40],
            "keypoints": [5, 6, 2, 7, 8, 1],
            "track": float(i % 2),
            "scene": f"s{i // 4}",
        }
        for i in range(24)
    ]
    empty = images[-1] | {"id": 99, "attributes": {"place": "empty"}}
    category = {"id": 1, "name": "thing", "keypoints": ["nose", "tail"]}
    return {"images": [*images, empty], "annotations": rows, "categories": [category]}


def load(folder: Path, value: dict[str, Any] | None = None) -> Persons:
    file = folder / "gt.json"
    file.write_text(json.dumps(value or content()), encoding="utf-8")
    return load_coco(file, folder)


def shares_of(persons: Persons, **keys: Any) -> Shares:
    shares = with_shares(persons, **keys).shares
    assert shares is not None
    return shares


def by_hand(groups: list[int], weights: list[float]) -> list[float]:
    """Return how often each sample comes: the plain reading of what Shares promises."""
    known = [i for i, group in enumerate(groups) if group >= 0]
    drawn = {groups[i] for i in known if weights[i] > 0}
    found = [1.0] * len(groups)
    for i in known:
        total = sum(weights[j] for j in known if groups[j] == groups[i])
        found[i] = len(known) / len(drawn) * weights[i] / total if total else 0.0
    return found


@pytest.mark.parametrize("seed", range(5))
def test_expected_counts_and_draws_of_any_shares(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = rng.integers(-1, 4, 60)
    weights = np.round(rng.exponential(size=60), 1) * (groups != 2)  # all of one group are 0
    shares = Shares("persons", groups, weights, ("a", "b", "c", "d"))
    expected = expected_counts(shares)
    np.testing.assert_allclose(expected, by_hand(groups.tolist(), weights.tolist()))
    assert expected.mean() == pytest.approx(1)
    total = np.zeros(60)
    for count in (60, 30, 150):
        for _ in range(400):
            rows = draw_shares(shares, count, rng)
            assert len(rows) == count
            assert (np.diff(rows) >= 0).all()
            times = np.bincount(rows, minlength=60)
            assert (np.abs(times - expected * count / 60) < 1).all(), "rounded up or down"
            for group in range(-1, 4):
                own = groups == group
                assert abs(times[own].sum() - expected[own].sum() * count / 60) < 1
            total += times
    np.testing.assert_allclose(total / 400, expected * 240 / 60, atol=0.2)


def test_groups_of_images_come_equally_often(tmp_path: Path) -> None:
    persons = with_shares(load(tmp_path), balance="attributes.place")
    places = np.repeat(list(SIZES), [2 * count for count in SIZES.values()])
    seen = Counter()  # type: ignore[var-annotated]
    for epoch in range(20):
        rows = epoch_rows(persons, np.random.default_rng(epoch))
        assert Counter(places[rows].tolist()) == {"night": 8, "day": 8, "dusk": 8}
        seen.update(rows.tolist())
    assert len(seen) == 24
    assert persons.describe().splitlines() == [
        "gt.json: 24 instances of thing in 13 images",
        "  balanced by attributes.place of images: 3 groups of persons",
        "    smallest, night: 4 -> 8 samples an epoch",
        "    largest, day: 14 -> 8 samples an epoch",
    ]
    assert (
        epoch_rows(persons, np.random.default_rng(1))
        == epoch_rows(persons, np.random.default_rng(1))
    ).all()


def test_keys_of_annotations_and_whole_images(tmp_path: Path) -> None:
    persons = load(tmp_path)
    tracks = shares_of(persons, balance="track")
    assert (tracks.names, tracks.groups.tolist()) == (("0", "1"), [0, 1] * 12)
    scenes = shares_of(persons, balance="scene", unit="images")
    assert scenes.groups.tolist() == [i // 2 for i in range(12)], "none for the empty image"
    places = shares_of(persons, balance="attributes.place", unit="images")
    assert places.names == ("day", "dusk", "empty", "night")
    assert np.bincount(places.groups).tolist() == [7, 3, 0, 2]
    assert describe_shares(places)[0].endswith("3 groups of images"), "none is of the empty image"
    with pytest.raises(DatasetError, match=r"gt\.json: 12 images .* different track, image id 10"):
        with_shares(persons, balance="track", unit="images")


def test_weights_relative_to_the_others_and_within_groups(tmp_path: Path) -> None:
    persons = load(tmp_path)
    weighted = shares_of(persons, weight="quality")
    quality = np.repeat(np.arange(12) / 2, 2)
    np.testing.assert_allclose(expected_counts(weighted), quality / quality.mean())
    both = shares_of(persons, balance="attributes.place", weight="quality", unit="images")
    np.testing.assert_allclose(expected_counts(both)[:2], [0, 4])
    np.testing.assert_allclose(expected_counts(both)[9:], 4 * np.array([9, 10, 11]) / 30)
    assert describe_shares(weighted, 2.0) == [
        "weighted by quality of images: each of the persons comes 0 to 4 times an epoch"
    ]


def test_records_without_the_key_come_as_often_as_before(tmp_path: Path) -> None:
    value = content()
    del value["images"][3]["attributes"]["place"]  # of day
    value["images"][4]["attributes"] = None
    persons = load(tmp_path, value)
    shares = shares_of(persons, balance="attributes.place")
    assert shares.groups[6:10].tolist() == [-1] * 4
    counts = expected_counts(shares)
    assert (counts[6:10] == 1).all()
    assert counts[:4].tolist() == pytest.approx([20 / 3 / 4] * 4)
    text = "4 of 24 persons have no such key and come as often as without it"
    assert describe_shares(shares)[-1] == text
    quality = [image.pop("quality") for image in value["images"][:6]]
    assert len(quality) == 6
    counts = expected_counts(shares_of(load(tmp_path, value), weight="quality"))
    assert (counts[:12] == 1).all()
    assert counts.mean() == pytest.approx(1)


def test_ratios_hold_within_each_source(tmp_path: Path) -> None:
    first = with_shares(load(tmp_path), balance="attributes.place")
    (tmp_path / "other").mkdir()
    other = load(tmp_path / "other")
    both = merge(other, first, ratios=[0.5, 1.5])
    assert (both.shares, both.sources[0].shares, both.sources[1].shares) == (
        None,
        None,
        first.shares,
    )
    for epoch in range(5):
        rows = epoch_rows(both, np.random.default_rng(epoch))
        assert (rows < 24).sum() == 12
        times = np.bincount(rows[rows >= 24] - 24, minlength=24)
        assert [times[:4].sum(), times[4:18].sum(), times[18:].sum()] == [12, 12, 12]
    plain = merge(other, with_shares(first), ratios=[0.5, 1])
    alone = merge(other, load(tmp_path), ratios=[0.5, 1])
    same = [epoch_rows(each, np.random.default_rng(3))[:12].tolist() for each in (plain, alone)]
    assert same[0] == same[1]
    lines = both.describe().splitlines()
    assert lines[1] == "gt.json: 24 instances in 13 images, 1.5 x per epoch"
    assert lines[3] == "    smallest, night: 6 -> 12 samples an epoch"


def test_a_cached_file_and_annotations_without_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "SMALLEST", 0)
    value = content()
    for row in value["annotations"][3:9]:
        del row["id"]
    for _ in range(2):  # parsed, then from the cache
        shares = shares_of(load(tmp_path, value), balance="scene")
        loaded = load_coco(tmp_path / "gt.json", tmp_path)
        assert [shares.names[i] for i in shares.groups] == [f"s{i // 4}" for i in range(24)]
        assert loaded.shares is None
    changed = content()
    changed["annotations"][0]["scene"] = "s9"
    assert shares_of(load(tmp_path, changed), balance="scene").names[-1] == "s9"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"balance": "atributes.place"},
            r"gt\.json: no image and no annotation has the key 'atributes\.place'; did you mean "
            r"attributes\.place\? images have id, .*, attributes\.size\.mm, quality, .*; "
            r"annotations have id, image_id, category_id, track, scene$",
        ),
        ({"balance": "place"}, r"has the key 'place'; did you mean attributes\.place\?"),
        (
            {"balance": "attributes"},
            r"image 0 \(id 10\): attributes must be text or a number",
        ),
        ({"balance": "attributes.size"}, r"did you mean attributes\.size\.mm\?"),
        ({"balance": "bbox"}, r"annotation 0 \(id 100\): bbox must be text or a number, got \[1"),
        ({"weight": "scene"}, r"annotation id 100: scene must be a number from 0 on, got 's0'"),
        ({"weight": "minus"}, r"image id 12: minus must be a number from 0 on, got -1"),
        ({"weight": "flag"}, r"image id 10: flag must be a number from 0 on, got True"),
        ({"weight": "zero"}, r"none of the persons to train on has zero above 0"),
        ({"balance": "rare"}, r"none of the persons to train on has rare$"),
    ],
)
def test_mistakes(keys: dict[str, str], message: str, tmp_path: Path) -> None:
    value = content()
    value["images"][2]["minus"] = -1
    value["images"][-1]["rare"] = "of the image without persons"
    for image in value["images"]:
        image |= {"zero": 0, "flag": True}
    with pytest.raises(DatasetError, match=message):
        with_shares(load(tmp_path, value), **keys)  # type: ignore[arg-type]


def test_the_original_form_of_aic_has_no_keys(tmp_path: Path) -> None:
    persons = load(tmp_path)
    (tmp_path / "gt.json").write_text("[]")
    with pytest.raises(DatasetError, match="pose-data convert --from aic"):
        with_shares(persons, balance="place")
