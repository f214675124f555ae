"""The shipped skeletons, and those that the names of a file tell."""

from typing import Any

import pytest

from pose_data import AIC, COCO, COCO_AIC, CROWDPOSE, MPII, DatasetError, Skeleton, infer_skeleton
from pose_data.infer import DEFAULT_SIGMA, skeleton_of
from pose_data.skeleton import SKELETONS, plain_name, with_flip_pairs, with_sigmas


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
        ("LF_paw", "RF_paw"),
        ("Vorderpfote links", "Vorderpfote rechts"),
        ("左耳", "右耳"),
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
    between, _ = infer_skeleton(category("left_hip_knee", "right_hip_knee"))
    assert between.sigmas == (0.107, 0.107)  # of the first in COCO's order


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        ([], "no category has `keypoints`"),
        ([{"id": 1, "name": "person"}], "no category has `keypoints`"),
        (category("a", "b", "A"), "keypoint 'A' is listed twice"),
        (
            category("ll", "lr", "rl", "rr"),
            r"which of lr, rl mirrors ll\?.*: \[\[ll, lr\], \.\.\.\]",
        ),
        ([{"name": "x", "keypoints": ["a", 3]}], "must be a list of names"),
    ],
)
def test_bad_categories(categories: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        infer_skeleton(categories)


@pytest.mark.parametrize("links", [[[0, 1]], [[1, 2], [1, 3]], [[1, 2, 2]], ["ab"], 3, [[True, 2]]])
def test_wrong_links_are_left_out_and_said(links: Any) -> None:
    skeleton, notices = infer_skeleton([{"keypoints": ["a", "b"], "skeleton": links}])
    assert skeleton.links == ()
    assert "`skeleton` is left out: it must hold pairs of keypoint numbers from 1 to" in notices[-1]


def test_a_mirror_exchanges_all_sides_of_a_name() -> None:
    """As in AFLW; each name once had its first side exchanged, and two became the same."""
    corners = [f"{a}_eye_{b}_corner" for a in ("left", "right") for b in ("left", "right")]
    skeleton, _ = infer_skeleton(category("left_ear", *corners))
    assert skeleton.flip_indices == (0, 4, 3, 2, 1)


def test_sides_without_partners_are_said() -> None:
    names = ("L1", "left_ear", "right_ear", "bright", "left_foot")
    assert infer_skeleton(category(*names))[1][-1].endswith(": left_foot has a side but no partner")
    names += ("hand_r",)
    assert infer_skeleton(category(*names))[1][-1].endswith(
        ": left_foot, hand_r have a side but no partner"
    )


def test_flip_pairs_may_be_given() -> None:
    mouse = category("nose", "port", "lee", "left_ear", "right_ear")[0]
    skeleton, notices = skeleton_of(mouse, [["lee", "port"]])
    assert skeleton.flip_pairs == ((2, 1),)
    assert (
        "by flip_pairs: left-right pairs lee <-> port; not mirrored: nose, left_ear" in notices[0]
    )
    assert skeleton_of(mouse, [])[0].flip_pairs == ()
    unclear = category("ll", "lr", "rl", "rr")[0]
    skeleton, _ = skeleton_of(unclear, [("lr", "rr"), ("ll", "rl")])
    assert skeleton.flip_pairs == ((1, 3), (0, 2))


def test_sigmas_may_be_given_by_name() -> None:
    changed = with_sigmas(COCO, {"Left Eye": 0.5, "nose": 0.25})
    assert changed.sigmas == (0.25, 0.5, *COCO.sigmas[2:])
    assert with_sigmas(COCO, {}) == COCO
    with pytest.raises(DatasetError, match="sigmas: skeleton coco has no keypoint 'tail'"):
        with_sigmas(COCO, {"tail": 0.1})
    with pytest.raises(DatasetError, match=r"sigmas: that of 'nose' must be above 0, got 0\.0"):
        with_sigmas(COCO, {"nose": 0.0})


def test_given_flip_pairs_of_known_names() -> None:
    pairs = [(COCO.keypoints[right], COCO.keypoints[left]) for left, right in COCO.flip_pairs]
    assert with_flip_pairs(COCO, pairs) is COCO, "the same pairs, however they are written"
    assert skeleton_of({"keypoints": COCO.keypoints}, [("Left Eye", "Right Eye")])[0] == (
        with_flip_pairs(COCO, [("left_eye", "right_eye")])
    )


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (
            [("left_eye", "right_leg")],
            "flip_pairs: skeleton coco has no keypoint 'right_leg'; it has nose, left_eye",
        ),
        ([("left_eye",)], r"flip_pairs: \('left_eye',\) is not a pair of names"),
        (["lr"], "'lr' is not a pair"),
        ([("left_eye", "left_eye")], "flip_pairs: skeleton coco: left_eye is in two flip pairs"),
        ([("left_eye", "right_eye"), ("nose", "right_eye")], "right_eye is in two flip pairs"),
    ],
)
def test_wrong_flip_pairs_are_named(pairs: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        with_flip_pairs(COCO, pairs)


def test_names_are_found_however_they_are_written() -> None:
    assert plain_name(" LeftHandIP-2 ") == "left_hand_ip_2"
    assert COCO.indices(["Left Eye", "nose"]) == (1, 0)
    with pytest.raises(DatasetError, match="coco has no keypoint 'tail'; it has nose, left_eye"):
        COCO.indices(["tail"])
