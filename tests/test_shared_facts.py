"""Facts that stand in more than one leaf, because leaves do not import each other, must agree."""

import pose_data
import pose_eval


def test_coco_sigmas_agree() -> None:
    assert pose_data.COCO.sigmas == pose_eval.COCO_SIGMAS
