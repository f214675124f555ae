"""PCK, AUC, EPE and NME against the stored numbers of MMPose."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference import read

from pose_eval.pck import auc, epe, heatmap_pck, nme, pck


def test_measures(parity_dir: Path, subtests: pytest.Subtests) -> None:
    files = sorted((parity_dir / "eval").glob("*pck*/expected.json"))
    if not files:
        pytest.skip("no eval/pck among these reference numbers")
    for file in files:
        stored = read(file.with_name("input.npz"))
        for name, want in read(file).items():
            with subtests.test(name):
                got = measure(name, stored)
                if isinstance(want, dict):
                    per_joint, mean = got
                    counted = ~np.isnan(per_joint)
                    assert counted.sum() == want["joints_counted"], name
                    assert np.where(counted, per_joint, -1).tolist() == pytest.approx(
                        want["per_joint"], abs=1e-12
                    ), name
                    got, want = mean, want["mean"]
                assert got == pytest.approx(want, rel=1e-6), name


def measure(name: str, stored: Any) -> Any:
    """Call the function that a name such as `pck_head_0.2` stands for."""
    numbers = re.findall(r"\d+(?:\.\d+)?", name)
    if name.startswith("pose_pck"):
        maps = [stored[key] for key in ("heatmap", "target", "heatmap_mask")]
        return heatmap_pck(*maps, float(numbers[0]))
    poses = [stored[key] for key in ("pred", "gt", "mask")]
    if name.startswith("pck"):
        norm = stored["head" if "head" in name else "box_wh"]
        return pck(*poses, float(numbers[0]), norm)
    if name.startswith("auc"):
        return auc(*poses, float(numbers[0]), int(numbers[1]))
    if name.startswith("nme"):
        box = stored["box_wh"]
        return nme(*poses, box.max(axis=1) if "max" in name else box)
    assert name.startswith("epe"), f"the reference numbers have {name}, which nothing here computes"
    return epe(*poses)
