"""PCK and the other distances on cases worked out by hand."""

import math

import numpy as np
import pytest

from pose_eval.pck import auc, distances, epe, heatmap_pck, nme, pck

GT = np.zeros((3, 2, 2))
PRED = np.array([[[3, 4], [0, 0]], [[6, 8], [0, 10]], [[1, 0], [0, 1]]], float)
MASK = np.array([[True, False], [True, True], [True, False]])


def test_distances_divide_by_the_norm_of_the_person() -> None:
    got = distances(PRED, GT, MASK, [5, 10, 0])
    assert got[:2] == pytest.approx(np.array([[1, math.nan], [1, 1]]), nan_ok=True)
    assert np.isnan(got[2]).all()  # a norm of 0 leaves the person out
    wide = distances(PRED, GT, MASK, [[3, 4], [6, 4], [1, -1]])
    assert wide[:, 0] == pytest.approx([math.sqrt(2), math.sqrt(5), 1])


def test_pck_means_over_joints_that_someone_has() -> None:
    per_joint, mean = pck(PRED, GT, MASK, 0.5, 11)
    assert per_joint == pytest.approx([2 / 3, 0])
    assert mean == pytest.approx(1 / 3)
    per_joint, mean = pck(PRED, GT, MASK & [True, False], 0.5, 11)
    assert per_joint == pytest.approx([2 / 3, math.nan], nan_ok=True)
    assert mean == pytest.approx(2 / 3)
    assert pck(PRED, GT, MASK & False, 0.5, 11)[1] == 0
    assert pck(PRED, GT, MASK, 10, 1)[0][1] == 0  # a distance equal to the threshold is too far


def test_auc_is_the_mean_over_thresholds_below_one() -> None:
    wanted = [pck(PRED, GT, MASK, t, 12)[1] for t in (0, 0.25, 0.5, 0.75)]
    assert auc(PRED, GT, MASK, 12, 4) == pytest.approx(sum(wanted) / 4)


def test_mean_errors() -> None:
    assert epe(PRED, GT, MASK) == pytest.approx((5 + 10 + 10 + 1) / 4)
    assert nme(PRED, GT, MASK, [5, 10, 1]) == pytest.approx((1 + 1 + 1 + 1) / 4)
    assert epe(PRED, GT, MASK & False) == 0


def test_heatmap_pck_swaps_the_norms() -> None:
    target = np.zeros((1, 2, 10, 20))
    target[0, :, 5, 5] = 1
    output = np.zeros_like(target)
    output[0, 0, 5, 7] = 1  # two columns away: 2 / height
    output[0, 1, 7, 5] = 1  # two rows away: 2 / width
    assert heatmap_pck(output, target, np.ones((1, 2)), 0.15)[0].tolist() == [0, 1]


def test_shapes_that_do_not_agree() -> None:
    with pytest.raises(ValueError, match=r"mask \(2, 2\) do not agree"):
        epe(PRED, GT, MASK[:2])
    with pytest.raises(ValueError, match=r"norm has shape \(2,\)"):
        nme(PRED, GT, MASK, [1, 2])
