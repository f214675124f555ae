"""One plain function for clusters that are not torchrun's: paths in, rows out."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pose_train.files.images import read_pixels
from pose_train.inference.predictor import Predictor
from pose_train.inference.rows import coco_rows
from pose_train.inference.stream import Loaded, predict_stream


def predict_batch(
    paths: Sequence[str | Path],
    source: str,
    *,
    device: str = "auto",
    flip_test: bool | None = None,
    batch_size: int = 32,
    amp: str = "off",
    detector: str | None = None,
) -> list[dict[str, Any]]:
    """Return COCO result rows of image files, as `pose-train predict` writes them.

    Its arguments are plain values, so that it can be sent to other processes and machines: to a
    process pool, Ray's `map_batches` or Spark's `mapPartitions`. A process loads the network at its
    first call and keeps the last one. source, device, flip_test, batch_size, amp, detector: as of
    Predictor, but that whole images are taken by default, so that all machines do the same.
    `image_id` and `file_name` of a row are the path as it was given. Raises what Predictor does,
    and DatasetError for an image that cannot be read.
    """
    predictor = _predictor(source, device, flip_test, batch_size, amp, detector)
    bits = predictor.network.usage.bits
    rows = []
    for path, _, people, error in predict_stream(
        predictor, map(str, paths), lambda path: Loaded(read_pixels(path, bits))
    ):
        if people is None:
            assert error is not None
            raise error
        rows += coco_rows(people, path, {"file_name": path}, [1] * len(people))
    return rows


@lru_cache(maxsize=1)
def _predictor(
    source: str,
    device: str,
    flip_test: bool | None,
    batch_size: int,
    amp: str,
    detector: str | None,
) -> Predictor:
    return Predictor(source, flip_test, batch_size, device=device, amp=amp, detector=detector)
