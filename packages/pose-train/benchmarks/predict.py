"""How close `pose-train predict` comes to the network's own time.

    python predict.py IMAGES ANNOTATIONS.json [--model PRESET] [--count 100]

A network with drawn weights predicts the annotated boxes of real images, as the command does it:
reading, cropping, network without flip test, decoding, rows; no drawing. Beside it, in the same
run and with as many boxes, the network alone on batches that are in memory, and float32 beside
bfloat16. CPU, wall-clock seconds; set OMP_NUM_THREADS.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from pose_data import COCO
from pose_train import load_config
from pose_train.files.boxes import read_boxes
from pose_train.files.inputs import find_inputs
from pose_train.inference.load import Trained, as_network
from pose_train.inference.predict import predict_inputs
from pose_train.inference.predictor import Predictor
from pose_train.recipes import RECIPES


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("--model", default="hrnet_w32_coco_256x192")
    parser.add_argument("--count", type=int, default=100, help="images")
    args = parser.parse_args()
    torch.manual_seed(0)
    config = load_config(args.model, ["data.root=x", "eval.flip_test=false"])
    recipe = RECIPES[config.recipe]
    net, codec = recipe.build(config, 17)
    trained = Trained(net, config, codec, COCO, torch.device("cpu"), Path("drawn"))
    boxes = read_boxes(args.annotations)
    inputs = find_inputs([str(args.images)])[: args.count]
    print(f"{len(inputs)} images, torch {torch.__version__}, {torch.get_num_threads()} threads")
    for amp in ("off", "bf16"):
        predictor = Predictor(as_network(trained, amp), flip_test=False, detector=None)
        with tempfile.TemporaryDirectory() as folder:
            predict_inputs(predictor, inputs[:4], Path(folder) / "warm", boxes, draw=False)
            started = time.perf_counter()
            summary = predict_inputs(predictor, inputs, Path(folder) / "out", boxes, draw=False)
            whole = time.perf_counter() - started
        w, h = config.model.input_size
        batch = np.random.default_rng(0).integers(0, 256, (32, h, w, 3), np.uint8)
        run = predictor.network.backend.run
        run(batch, False)
        started, left = time.perf_counter(), summary.people
        while left > 0:
            run(batch[: min(32, left)], False)
            left -= 32
        alone = time.perf_counter() - started
        print(
            f"amp {amp:4}  {summary.people} boxes  predict {whole:6.1f} s  "
            f"network alone {alone:6.1f} s  ratio {whole / alone:.2f}"
        )


if __name__ == "__main__":
    main()
