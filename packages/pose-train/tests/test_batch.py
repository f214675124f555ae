"""predict_batch, as the workers of a cluster call it."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from pose_data import DatasetError
from pose_train import Predictor, predict_batch


def test_processes_of_a_pool_give_the_rows_of_one(
    run_dir: Path, drawn_data: Path, tmp_path: Path
) -> None:
    images = sorted((drawn_data / "val2017").iterdir())
    paths = [tmp_path / f"{i:04}.jpg" for i in range(60)]
    for i, path in enumerate(paths):
        os.symlink(images[i % len(images)], path)
    predict = partial(predict_batch, source=str(run_dir), device="cpu", batch_size=4)
    batches = [paths[start : start + 20] for start in range(0, 60, 20)]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawn) as pool:
        shared = [row for rows in pool.map(predict, batches) for row in rows]
    alone = [row for batch in batches for row in predict(batch)]
    assert shared == alone
    assert [row["file_name"] for row in alone] == list(map(str, paths))
    assert alone[0]["image_id"] == str(paths[0])
    people = Predictor(run_dir, device="cpu")(images[0])
    assert alone[0]["score"] == pytest.approx(people[0].score, rel=1e-4)


def test_an_image_that_cannot_be_read_is_an_error(run_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"gone\.jpg does not exist"):
        predict_batch([tmp_path / "gone.jpg"], str(run_dir), device="cpu")
