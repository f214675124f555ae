import contextlib
import functools
import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as rle
from pycocotools.coco import COCO as CocoFile

from pose_data.errors import DatasetError
from pose_data.skeleton import AIC, COCO, CROWDPOSE, MPII, Skeleton
from pose_data.synthetic.cartoons import HARD, MOST_PEOPLE, Scene, _polygons, synthesize_image
from pose_data.synthetic.figures import sample_figure
from pose_data.synthetic.shapes import JOINTS, body_shapes, cover
from pose_data.synthetic.synthesize import custom_skeleton, synthesize

SIZE = (200, 150)
# pycocotools 2.0.11 under numpy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@functools.cache
def people() -> list[tuple[np.ndarray, dict]]:
    """Draw some pictures and list their people, each with its picture."""
    seeds = np.random.SeedSequence(11).spawn(60)
    pictures = [synthesize_image(np.random.default_rng(seed), SIZE) for seed in seeds]
    return [(image, person) for image, persons in pictures for person in persons]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synthetic") / "data"
    return synthesize(out, num_train=6, num_val=4, image_size=SIZE, seed=3)


def test_layout_is_that_of_coco(dataset: Path) -> None:
    files = contents(dataset)
    names = [f"train2017/{i:012d}.jpg" for i in range(1, 7)]
    names += [f"val2017/{i:012d}.jpg" for i in range(7, 11)]
    names += [f"annotations/person_keypoints_{split}2017.json" for split in ("train", "val")]
    assert set(files) == set(names)
    assert not list(dataset.parent.glob(".*"))  # no scratch left
    for split, count in (("train2017", 6), ("val2017", 4)):
        with contextlib.redirect_stdout(io.StringIO()):
            coco = CocoFile(dataset / "annotations" / f"person_keypoints_{split}.json")
        assert len(coco.getImgIds()) == count
        assert coco.getAnnIds() == [*range(1, len(coco.getAnnIds()) + 1)]
        assert tuple(coco.cats[1]["keypoints"]) == COCO.keypoints
        assert coco.cats[1]["skeleton"][0] == [16, 14]
        for image in coco.loadImgs(coco.getImgIds()):
            picture = cv2.imread(str(dataset / split / image["file_name"]))
            assert picture.shape == (image["height"], image["width"], 3) == (150, 200, 3)


def test_same_seed_same_bytes_other_seed_others(dataset: Path, tmp_path: Path) -> None:
    again = synthesize(tmp_path / "a", num_train=6, num_val=4, image_size=SIZE, seed=3)
    other = synthesize(tmp_path / "b", num_train=6, num_val=4, image_size=SIZE, seed=4)
    first, second = contents(dataset), contents(other)
    assert contents(again) == first
    assert all(first[name] != second[name] for name in first)


def test_splits_share_no_picture_and_no_id(dataset: Path) -> None:
    pictures = [data for name, data in contents(dataset).items() if name.endswith(".jpg")]
    assert len(set(pictures)) == len(pictures)


def test_asking_for_more_keeps_the_pictures(dataset: Path, tmp_path: Path) -> None:
    more = contents(synthesize(tmp_path / "a", num_train=7, num_val=1, image_size=SIZE, seed=3))
    less = contents(dataset)
    for index in range(1, 7):
        name = f"train2017/{index:012d}.jpg"
        assert more[name] == less[name]
    assert more["val2017/000000000008.jpg"] == less["val2017/000000000007.jpg"]


def test_annotations_are_valid() -> None:
    width, height = SIZE
    for _, person in people():
        points = np.array(person["keypoints"]).reshape(17, 3)
        labelled = points[:, 2] > 0
        assert set(points[:, 2]) <= {0, 1, 2}
        assert (points[~labelled] == 0).all()
        assert (points[:, :2] >= 0).all()
        assert (points[:, :2] <= [width - 1, height - 1]).all()
        assert person["num_keypoints"] == labelled.sum() >= 8
        x, y, w, h = person["bbox"]
        assert min(x, y) >= 0
        assert min(w, h) > 0
        assert x + w <= width
        assert y + h <= height
        assert (person["category_id"], person["iscrowd"]) == (1, 0)
        json.dumps(person)


def test_segmentation_and_area_and_box_agree() -> None:
    width, height = SIZE
    errors = []
    for _, person in people():
        polygons = person["segmentation"]
        assert all(len(polygon) >= 6 and len(polygon) % 2 == 0 for polygon in polygons)
        decoded = rle.merge(rle.frPyObjects(polygons, height, width))
        np.testing.assert_allclose(rle.toBbox(decoded), person["bbox"], atol=1.5)
        errors.append(abs(rle.area(decoded) / person["area"] - 1))
    assert max(errors) < 0.06
    assert np.mean(errors) < 0.015


def test_polygons_leave_holes_open() -> None:
    mask = np.zeros((40, 50), bool)
    mask[5:35, 5:45] = True
    mask[10:20, 10:20] = mask[22:30, 25:40] = False
    mask[0:3, 47:50] = True
    decoded = rle.decode(rle.merge(rle.frPyObjects(_polygons(mask, 0, 0), 40, 50)))
    assert (decoded != mask).mean() < 0.01


def test_visible_keypoints_lie_on_the_silhouette() -> None:
    width, height = SIZE
    for _, person in people():
        decoded = rle.decode(rle.merge(rle.frPyObjects(person["segmentation"], height, width)))
        near = cv2.dilate(decoded, np.ones((3, 3), np.uint8))
        for x, y, v in np.array(person["keypoints"]).reshape(17, 3):
            assert v < 2 or near[round(y), round(x)]


def test_every_kind_of_visibility_and_many_scales_occur() -> None:
    found = [person for _, person in people()]
    visibility = np.concatenate([person["keypoints"][2::3] for person in found])
    shares = np.bincount(visibility.astype(int), minlength=3) / len(visibility)
    assert shares[0] > 0.01  # out of the picture
    assert shares[1] > 0.1  # hidden
    assert shares[2] > 0.6
    heights = np.array([person["bbox"][3] for person in found]) / SIZE[1]
    assert heights.min() < 0.3
    assert heights.max() > 0.75


def warmth(image: np.ndarray, person: dict, name: str) -> float | None:
    """Return how much redder than blue the picture is where a keypoint is visible."""
    x, y, v = person["keypoints"][3 * COCO.keypoints.index(name) :][:3]
    blue, _, red = image[round(y), round(x)].astype(float)
    return red - blue if v == 2 else None


@pytest.mark.parametrize("joint", ["elbow", "wrist", "knee", "ankle"])
def test_left_is_warmer_than_right(joint: str) -> None:
    sides = []
    for side in ("left", "right"):
        values = [warmth(image, person, f"{side}_{joint}") for image, person in people()]
        sides.append(np.array([value for value in values if value is not None]))
    left, right = sides
    wins = (left[:, None] > right).mean()  # over all pairs
    assert wins > 0.8


def test_front_and_back_swap_left_and_right() -> None:
    fronts = []
    for seed in range(60):
        figure = sample_figure(np.random.default_rng(seed), 100.0)
        across = figure.joints["left_shoulder"][0] - figure.joints["right_shoulder"][0]
        fronts.append((figure.front, across))
    front, across = np.array(fronts).T
    sure = (abs(front) > 0.6) & (abs(across) > 8)
    assert sure.sum() > 25
    assert (np.sign(front) == np.sign(across))[sure].mean() > 0.9


def test_moving_a_figure_moves_its_shapes() -> None:
    figure = sample_figure(np.random.default_rng(2), 60.0).moved(60, 60)
    owners = []
    for shift in (0, 9):
        owner = np.zeros((130, 130), np.uint8)
        cover(owner, body_shapes(figure.moved(shift, shift)), 1)
        owners.append(owner)
    np.testing.assert_array_equal(owners[0][:-9, :-9], owners[1][9:, 9:])


def test_drawing_does_not_depend_on_what_was_drawn_before() -> None:
    image, persons = synthesize_image(np.random.default_rng(8), SIZE)
    again, same = synthesize_image(np.random.default_rng(8), SIZE)
    np.testing.assert_array_equal(image, again)
    assert persons == same
    assert image.dtype == np.uint8


def test_what_is_there_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DatasetError, match="is not an empty directory") as caught:
        synthesize(tmp_path, num_train=1, num_val=1)
    assert str(tmp_path) in str(caught.value)
    assert contents(tmp_path) == {"notes.txt": b"mine"}
    with pytest.raises(DatasetError, match=r"notes\.txt"):
        synthesize(tmp_path / "notes.txt", num_train=1, num_val=1)


def test_an_empty_directory_is_filled(tmp_path: Path) -> None:
    out = synthesize(str(tmp_path), num_train=0, num_val=1, image_size=SIZE)
    assert out == tmp_path
    assert len(contents(tmp_path)) == 3


@pytest.mark.parametrize(
    "bad", [{"num_train": -1}, {"num_val": -2}, {"image_size": (320, 20)}, {"seed": -1}]
)
def test_impossible_numbers_are_refused(tmp_path: Path, bad: dict) -> None:
    with pytest.raises(DatasetError, match=r"-1|-2|20"):
        synthesize(tmp_path / "new", **bad)
    assert not list(tmp_path.iterdir())


@functools.cache
def hard_people() -> list[tuple[np.ndarray, list[dict]]]:
    seeds = np.random.SeedSequence(5).spawn(40)
    return [
        synthesize_image(np.random.default_rng(seed), SIZE, COCO.keypoints, HARD) for seed in seeds
    ]


def test_hard_pictures_have_crowds_and_people_without_labels() -> None:
    found = [person for _, persons in hard_people() for person in persons]
    crowds = [person for person in found if person["iscrowd"]]
    unlabelled = [p for p in found if not p["iscrowd"] and p["num_keypoints"] == 0]
    assert len(crowds) >= 5
    assert len(unlabelled) >= 5
    assert max(len(persons) for _, persons in hard_people()) >= 6
    assert all(not any(person["keypoints"]) for person in crowds + unlabelled)


def test_the_region_of_a_crowd_is_what_is_seen_of_it() -> None:
    width, height = SIZE
    for _, persons in hard_people():
        masks = []
        for person in persons:
            shape = person["segmentation"]
            packed = rle.frPyObjects(shape, height, width)
            mask = rle.decode(packed if isinstance(shape, dict) else rle.merge(packed))
            masks.append((person["iscrowd"], mask))
            if person["iscrowd"]:
                assert mask.sum() == person["area"] > 0
                assert rle.toBbox(packed).tolist() == person["bbox"]
        crowd = sum(mask.astype(int) for is_crowd, mask in masks if is_crowd)
        others = sum(mask.astype(int) for is_crowd, mask in masks if not is_crowd)
        assert np.mean((crowd * others) > 0) < 0.01  # polygons are half a pixel off


def test_hard_and_easy_come_from_a_seed_each() -> None:
    one, two = (synthesize_image(np.random.default_rng(3), SIZE, scene=HARD) for _ in range(2))
    np.testing.assert_array_equal(one[0], two[0])
    assert one[1] == two[1]


@pytest.mark.parametrize("skeleton", [AIC, CROWDPOSE, MPII, *map(custom_skeleton, (3, 4, 9, 18))])
def test_keypoints_of_any_skeleton_are_on_the_same_pictures(skeleton: Skeleton) -> None:
    image, coco = synthesize_image(np.random.default_rng(8), SIZE)
    same, people = synthesize_image(np.random.default_rng(8), SIZE, skeleton.keypoints)
    np.testing.assert_array_equal(image, same)
    for ours, theirs in zip(people, coco, strict=True):
        points = np.array(ours["keypoints"]).reshape(-1, 3)
        known = np.array(theirs["keypoints"]).reshape(-1, 3)
        assert ours["bbox"] == theirs["bbox"]
        for name, point in zip(skeleton.keypoints, points, strict=True):
            if name in COCO.keypoints:
                np.testing.assert_array_equal(point, known[COCO.keypoints.index(name)])


def test_the_top_of_the_head_is_above_the_eyes() -> None:
    names = ("head_top", "neck", "left_eye", "right_eye")
    gaps = []
    for seed in range(40):
        for person in synthesize_image(np.random.default_rng(seed), SIZE, names)[1]:
            top, neck, left, right = np.array(person["keypoints"]).reshape(4, 3)
            if min(top[2], neck[2], left[2], right[2]) > 0:
                gaps.append((left[1] - top[1], neck[1] - left[1]))
    assert len(gaps) > 15
    assert np.mean(np.array(gaps) > 0) > 0.9


def test_custom_skeletons() -> None:
    nine = custom_skeleton(9)
    assert nine.num_keypoints == 9 == len(nine.sigmas)
    assert len(nine.flip_pairs) == 4
    assert sorted(nine.upper_body + nine.lower_body) == list(range(9))
    for count in (2, 19):
        with pytest.raises(DatasetError, match="keypoints must be 3 to 18"):
            custom_skeleton(count)


def test_aic_layout(tmp_path: Path) -> None:
    options = {"num_train": 3, "num_val": 1, "image_size": SIZE, "layout": "aic", "scene": HARD}
    out = synthesize(tmp_path / "a", **options)
    records = json.loads((out / "keypoint_train_annotations.json").read_text())
    assert len(records) == 3
    for record in records:
        assert (out / "keypoint_train_images" / f"{record['image_id']}.jpg").is_file()
        assert record["human_annotations"].keys() == record["keypoint_annotations"].keys()
        for points in record["keypoint_annotations"].values():
            assert len(points) == 42
            assert set(points[2::3]) <= {1, 2, 3}
            assert all(
                points[3 * k : 3 * k + 2] == [0, 0] for k in range(14) if points[3 * k + 2] == 3
            )
    assert contents(synthesize(tmp_path / "b", **options)) == contents(out)


def test_impossible_scenes_and_joints_are_refused(tmp_path: Path) -> None:
    mouse = Skeleton("mouse", ("nose", "tail"), (), (), (), (), (0.1, 0.1))
    with pytest.raises(DatasetError, match="synthetic people have no tail; they have head_top, "):
        synthesize(tmp_path / "new", skeleton=mouse)
    with pytest.raises(DatasetError, match="layout must be coco or aic, got 'voc'"):
        synthesize(tmp_path / "new", layout="voc")
    with pytest.raises(DatasetError, match=f"people must be in order in 0 to {MOST_PEOPLE}"):
        Scene(people=(3, 2))
    with pytest.raises(DatasetError, match="shares must be 0 to 1"):
        Scene(crowd_share=1.5)
    assert set(COCO.keypoints) <= JOINTS
