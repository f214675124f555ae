"""The shipped skeletons, and those that the names of a file tell."""

from typing import Any

import pytest

from pose_data import AIC, COCO, COCO_AIC, CROWDPOSE, MPII, DatasetError, Skeleton, infer_skeleton
from pose_data.infer import DEFAULT_SIGMA
from pose_data.skeleton import SKELETONS, plain_name


def category(*names: str, links: Any = (), **more: Any) -> list[dict[str, Any]]:
    return [{"id": 1, "name": "mouse", "keypoints": list(names), "skeleton": list(links), **more}]


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda skeleton: skeleton.name)
def test_shipped_skeletons_are_consistent(skeleton: Skeleton) -> None:
    count = skeleton.num_keypoints
    assert len(set(skeleton.keypoints)) == count == len(skeleton.sigmas)
    assert sorted(skeleton.upper_body + skeleton.lower_body) == list(range(count))
    for left, right in skeleton.flip_pairs:
        assert skeleton.keypoints[left].replace("left", "right") == skeleton.keypoints[right]
    alone = {name for i, name in enumerate(skeleton.keypoints) if skeleton.flip_indices[i] == i}
    assert not any(name.startswith(("left", "right")) for name in alone)
    mirrored = [tuple(sorted(skeleton.flip_indices[i] for i in link)) for link in skeleton.links]
    assert set(mirrored) == {tuple(sorted(link)) for link in skeleton.links}
    assert all(0.005 < sigma < 0.2 for sigma in skeleton.sigmas)


def test_counts() -> None:
    counts = [s.num_keypoints for s in (COCO, AIC, COCO_AIC, CROWDPOSE, MPII)]
    assert counts == [17, 14, 19, 14, 16]


def test_known_names_give_the_known_skeleton() -> None:
    spoken = [name.replace("_", " ").title() for name in AIC.keypoints]
    assert infer_skeleton(category(*spoken)) == (AIC, ())
    own = [name.replace("top_head", "head") for name in CROWDPOSE.keypoints]
    assert infer_skeleton(category(*own)) == (CROWDPOSE, ())
    assert infer_skeleton([{"name": "chair"}, *category(*COCO.keypoints)]) == (COCO, ())


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("left_paw", "right_paw"),
        ("Left Paw", "Right Paw"),
        ("leftPaw", "rightPaw"),
        ("paw_left", "paw_right"),
        ("L_paw", "R_paw"),
        ("paw.L", "paw.R"),
        ("LPaw", "RPaw"),
        ("lpaw", "rpaw"),
        ("leftpaw", "rightpaw"),
        ("hind-left-paw", "hind-right-paw"),
    ],
)
def test_left_and_right_by_name(left: str, right: str) -> None:
    skeleton, notices = infer_skeleton(category("tail", right, "lip", left))
    assert skeleton.flip_pairs == ((3, 1),)
    assert skeleton.flip_indices == (0, 3, 2, 1)
    assert f"{left} <-> {right}" in notices[0]
    assert "not mirrored: tail, lip" in notices[0]


def test_what_else_the_names_tell() -> None:
    names = ("nose", "left_shoulder", "right_shoulder", "left_knee", "right_knee", "tail_base")
    skeleton, notices = infer_skeleton(category(*names, links=[[2, 3], [4, 2]]))
    assert skeleton.name == "mouse"
    assert skeleton.links == ((1, 2), (3, 1))
    assert skeleton.upper_body == (0, 1, 2)
    assert skeleton.lower_body == (3, 4)
    assert skeleton.sigmas == (0.026, 0.079, 0.079, 0.087, 0.087, DEFAULT_SIGMA)
    assert "in neither half tail_base" in notices[1]
    assert "sigma 0.067" in notices[2]
    assert "tail_base" in notices[2]


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        ([], "no category has `keypoints`"),
        ([{"id": 1, "name": "person"}], "no category has `keypoints`"),
        (category("a", "b", "A"), "keypoint 'A' stands there twice"),
        (category("a", "b", links=[[0, 1]]), r"numbers from 1 to 2, got \[0, 1\]"),
        (category("a", "b", links=[[1, 3]]), "numbers from 1 to 2"),
        (category("a", "b", links=[[1, 2, 2]]), "pairs of keypoint numbers"),
        (category("a", "b", links=["ab"]), "pairs of keypoint numbers"),
        ([{"name": "x", "keypoints": ["a", 3]}], "must be a list of names"),
    ],
)
def test_bad_categories(categories: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        infer_skeleton(categories)


def test_names_are_found_however_they_are_written() -> None:
    assert plain_name(" LeftHandIP-2 ") == "left_hand_ip_2"
    assert COCO.indices(["Left Eye", "nose"]) == (1, 0)
    with pytest.raises(DatasetError, match="coco has no keypoint 'tail'; it has nose, left_eye"):
        COCO.indices(["tail"])
