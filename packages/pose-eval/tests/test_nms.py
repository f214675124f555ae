"""NMS and rescoring against plain loops."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from pose_eval import nms
from pose_eval.nms import (
    first_of_each_id,
    mutual_oks,
    nearby_nms,
    oks,
    oks_nms,
    per_image,
    rescore,
    soft_oks_nms,
)

SIGMAS = [0.05, 0.08, 0.1, 0.07]
RNG = np.random.default_rng(3)
BASE = RNG.uniform(0, 60, (3, 1, 4, 3))
POSES = (BASE + RNG.normal(0, 4, (3, 5, 4, 3))).reshape(15, 4, 3)  # three persons, five poses each
POSES[..., 2] = RNG.uniform(0, 1, (15, 4))
SCORES = RNG.uniform(0, 1, 15)
AREA = RNG.uniform(1500, 2500, 15)


def plain_oks(
    a: NDArray[np.float64], b: NDArray[np.float64], area: float, used: list[int]
) -> float:
    values = []
    for k in used:
        d2 = (a[k, 0] - b[k, 0]) ** 2 + (a[k, 1] - b[k, 1]) ** 2
        values.append(math.exp(-d2 / (2 * (2 * SIGMAS[k]) ** 2 * area)))
    return sum(values) / len(values) if values else 0.0


def test_oks_of_labelled_persons() -> None:
    gt = POSES[:3].copy()
    gt[..., 2] = [[2, 2, 0, 1], [2, 0, 0, 0], [1, 1, 1, 1]]
    got = oks(POSES, gt, AREA[:3], SIGMAS)
    assert got.shape == (15, 3)
    for m in range(15):
        for n in range(3):
            used = [k for k in range(4) if gt[n, k, 2] > 0]
            assert got[m, n] == pytest.approx(plain_oks(POSES[m], gt[n], AREA[n], used), rel=1e-12)


def test_oks_of_a_person_without_labels_uses_its_box() -> None:
    gt = np.zeros((1, 4, 3))
    keypoints = np.array([[[5, 5], [20, 5], [-10, 5], [5, 23]]], float)
    got = oks(keypoints, gt, [100.0], SIGMAS, bbox=[[0, 0, 10, 10]])
    # The box grows to [-10, 20]: only the last joint is outside, by 3.
    last = math.exp(-9 / (2 * (2 * SIGMAS[3]) ** 2 * 100))
    assert got[0, 0] == pytest.approx((3 + last) / 4, rel=1e-12)
    with pytest.raises(ValueError, match="person 0 has no labelled joints: give its bbox"):
        oks(keypoints, gt, [100.0], SIGMAS)


def test_oks_names_shapes_that_do_not_agree() -> None:
    with pytest.raises(ValueError, match=r"\(15, 4, 3\), gt \(1, 5, 3\) and 4 sigmas"):
        oks(POSES, np.ones((1, 5, 3)), [1.0], SIGMAS)
    with pytest.raises(ValueError, match="15 areas and 3 sigmas"):
        oks_nms(POSES, SCORES, AREA, sigmas=SIGMAS[:3])


@pytest.mark.parametrize("vis_thr", [None, 0.4, 2.0])
def test_mutual_oks(vis_thr: float | None) -> None:
    got = mutual_oks(POSES, AREA, SIGMAS, vis_thr=vis_thr)
    assert got.dtype == np.float32
    for i in range(15):
        for j in range(15):
            seen = np.minimum(POSES[i, :, 2], POSES[j, :, 2])
            used = [k for k in range(4) if vis_thr is None or seen[k] > vis_thr]
            want = plain_oks(POSES[i], POSES[j], (AREA[i] + AREA[j]) / 2, used)
            assert got[i, j] == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize("thr", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("vis_thr", [None, 0.4])
def test_oks_nms(thr: float, vis_thr: float | None) -> None:
    similar = mutual_oks(POSES, AREA, SIGMAS, vis_thr=vis_thr)
    want: list[int] = []
    for i in np.argsort(-SCORES):
        if all(similar[i, j] <= thr for j in want):
            want.append(int(i))
    got = oks_nms(POSES, SCORES, AREA, thr, sigmas=SIGMAS, vis_thr=vis_thr)
    assert got.tolist() == want
    assert thr > 0.4 or len(want) < 15


def test_soft_oks_nms_orders_by_decayed_scores_and_cuts() -> None:
    similar = mutual_oks(POSES, AREA, SIGMAS).astype(float)
    scores = SCORES.copy()
    want: list[int] = []
    while len(want) < 6:
        best = max(set(range(15)) - set(want), key=lambda i: scores[i])
        want.append(best)
        scores *= np.exp(-(similar[best] ** 2) / 0.5)
    assert soft_oks_nms(POSES, SCORES, AREA, 0.5, sigmas=SIGMAS, max_dets=6).tolist() == want
    assert want != np.argsort(-SCORES)[:6].tolist()  # decay moved something


def test_one_of_equal_poses_is_kept() -> None:
    poses = np.random.default_rng(0).uniform(0, 90, (6, 3, 3))
    poses[3] = poses[1]
    given = poses, np.arange(6.0) + 5, np.full(6, 900.0)
    assert oks_nms(*given, sigmas=[0.1] * 3).tolist() == [5, 4, 3, 2, 0]
    assert soft_oks_nms(*given, sigmas=[0.1] * 3).tolist() == [5, 4, 3, 2, 0, 1]


def test_many_poses_are_compared_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    given = POSES, AREA, SIGMAS
    whole = mutual_oks(*given), oks_nms(POSES, SCORES, AREA, 0.3, sigmas=SIGMAS)
    monkeypatch.setattr(nms, "BUFFER", 130)  # two rows of 15 poses with 4 joints
    np.testing.assert_array_equal(mutual_oks(*given), whole[0])
    assert oks_nms(POSES, SCORES, AREA, 0.3, sigmas=SIGMAS).tolist() == whole[1].tolist()


def test_nearby_nms_keeps_the_best_of_poses_on_each_other() -> None:
    poses = np.array([[[0, 0], [0, 100], [50, 50]]] * 4, float)
    poses[1] += 2  # near the first
    poses[2] += 500
    poses[3] = 7  # all joints in one point: its diagonal is 0
    scores = np.array([0.5, 0.9, 0.4, 0.3])
    assert nearby_nms(poses, scores, 0.05).tolist() == [1, 2, 3]
    assert nearby_nms(poses, scores, 0.01).tolist() == [1, 0, 2, 3]
    assert nearby_nms(poses, scores, 0.01, max_dets=2).tolist() == [1, 0]
    assert nearby_nms(poses[:0], scores[:0]).tolist() == []


def test_no_poses() -> None:
    none = np.empty(0)
    assert oks_nms(POSES[:0], none, none, sigmas=SIGMAS).tolist() == []
    assert soft_oks_nms(POSES[:0], none, none, sigmas=SIGMAS).tolist() == []
    assert per_image(none, lambda rows: rows).tolist() == []
    assert first_of_each_id(none, none).tolist() == []


def test_rescore() -> None:
    box = np.array([0.5, 0.8])
    joints = np.array([[0.1, 0.9, 0.2, 0.5], [0.1, 0.0, 0.2, 0.05]])
    assert rescore(box, joints, "bbox").tolist() == box.tolist()
    assert rescore(box, joints, "keypoint") == pytest.approx([0.425, 0.0875])
    assert rescore(box, joints, "bbox_keypoint") == pytest.approx(
        [0.5 * 0.7, 0]
    )  # 0.2 is not above
    assert rescore(box, joints, "bbox_keypoint", 0.6) == pytest.approx([0.5 * 0.9, 0])
    assert rescore(box, joints, "bbox_rle") == pytest.approx(
        [0.5 + 0.425 + 0.9, 0.8 + 0.0875 + 0.2]
    )
    with pytest.raises(ValueError, match="unknown score mode 'box'; there are bbox, keypoint"):
        rescore(box, joints, "box")


def test_rows_by_image() -> None:
    image = np.array(["b", "a", "b", "a", "c"])
    assert per_image(image, lambda rows: np.arange(len(rows))).tolist() == [0, 2, 1, 3, 4]
    assert per_image(image, lambda rows: np.array([len(rows) - 1])).tolist() == [2, 3, 4]
    ids = np.array([7, 1, 3, 1, 7])  # rows 1 and 3 have the same id in the same image
    assert first_of_each_id(image, ids).tolist() == [2, 0, 1, 4]
