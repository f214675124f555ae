"""The published row of a config, and in what a test is not the one that it is from."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pose_backbones import ZOO, local_weights
from pose_backbones.checkpoint_files import sha256
from pose_data import COCO, Skeleton
from pose_train.config.load import load_config
from pose_train.config.schema import Config

MULTI_SCALE = (2, 1, 0.5)  # of the published tests at several sizes


def published_row(config: Config, skeleton: Skeleton) -> Mapping[str, float] | None:
    """Return what was published for a config that is a preset of the zoo or has one as its base.

    skeleton: of the evaluated keypoints; nothing was published for others than COCO's.
    """
    row = ZOO.get(config.preset or "")
    if row is None or skeleton.keypoints != COCO.keypoints:
        return None
    return row.stats_multi_scale if is_multi_scale(config) else row.stats


def departures(config: Config, weights: Path) -> list[str]:
    """Say in what a test is not the one whose row `published_row` returns."""
    preset = str(config.preset)
    published, ours = (_of_the_test(each) for each in (load_config(preset), config))
    if is_multi_scale(config):  # published, too
        published["eval.multi_scale"] = config.chosen_eval.multi_scale
    notes = []
    changed = [f"{key}={ours[key]}" for key in ours if ours[key] != published.get(key)]
    if changed:
        notes.append(f"not the published test: {', '.join(changed)}")
    if weights != local_weights(preset):  # which was verified when it was found
        published_digests, digest = ZOO[preset].digests, sha256(weights)
        if published_digests and not digest.startswith(published_digests):
            notes.append(
                f"not the published file: the SHA-256 of {weights} starts with {digest[:8]}, that "
                f"of the published one with {ZOO[preset].sha256_prefix}"
            )
    return notes


def is_multi_scale(config: Config) -> bool:
    """Return whether a test is at the several sizes of the published ones."""
    return sorted(config.chosen_eval.multi_scale) == sorted(MULTI_SCALE)


def _of_the_test(config: Config) -> dict[str, Any]:
    """Return what decides over the result of a test, by key."""
    data, evaluation, whole = config.data, config.chosen_eval, asdict(config)
    values = {
        f"{section}.{key}": value
        for section in ("model", "codec", "grouping")
        for key, value in whole[section].items()
        if key not in ("weights", "reinit_head")
    }
    for key in ("flip_test", "boxes", "nms", "nms_threshold", "multi_scale"):
        values[f"eval.{key}"] = getattr(evaluation, key)
    for key in ("score_threshold", "per_image"):
        values[f"data.detections.{key}"] = getattr(data.detections, key)
    if data.detections.file is not None:  # wherever it lies
        values["data.detections.file"] = Path(data.detections.file).name
    values |= {"data.warp": data.warp, "data.decode": data.decode, "train.amp": config.train.amp}
    return values
