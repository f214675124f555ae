"""Time a training step and a batch of `test`, of small networks and HRNet-W32, beside MMPose's.

    python step.py [--mmpose1 PYTHON] [--mmpose0 PYTHON] [--rounds 3] [NETWORK ...]

PYTHON: an interpreter with MMPose 1.3.2 (top-down) and with 0.29.0 (bottom-up), in which
pose_train is importable, too; without them only ours are timed. Every figure is from a process of
its own with one thread, and processes of ours and theirs alternate. Images and targets are random,
the networks the same on both sides, so the small ones have MMPose's fixed stems. A step is all from
images in memory to changed weights; a test is the network on images and their mirror images, and
decoding, bottom-up also at three scales. Prints Markdown: CPU milliseconds, the median over rounds
of the least of each, because other programs on the machine only ever add to them.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import numpy as np

K = 17


class Case(NamedTuple):
    """A network of both: our options, MMPose's backbone and its channels, input (w, h), batch."""

    model: str
    options: dict[str, Any]
    backbone: dict[str, Any]
    channels: int
    size: tuple[int, int]
    batch: int
    steps: int = 8


def hrnet(width: int, modules: tuple[int, int, int], blocks: int) -> dict[str, Any]:
    """Return MMPose's HRNet of a width."""
    stages = {"stage1": {"num_modules": 1, "num_branches": 1, "block": "BOTTLENECK"}}
    stages["stage1"] |= {"num_blocks": (4,), "num_channels": (64,)}
    for i, number in enumerate(modules):
        stages[f"stage{i + 2}"] = {
            "num_modules": number,
            "num_branches": i + 2,
            "block": "BASIC",
            "num_blocks": (blocks,) * (i + 2),
            "num_channels": tuple(width * 2**n for n in range(i + 2)),
        }
    return {"type": "HRNet", "in_channels": 3, "extra": stages}


NARROW = {"width": 16, "num_modules": [1, 1, 1], "num_blocks": 1}
STACKED = {"num_stacks": 2, "stage_channels": (256, 48, 64, 96), "stage_blocks": (1, 1, 1, 1)}
CASES = {
    "small HRNet": Case("hrnet", NARROW, hrnet(16, (1, 1, 1), 1), 16, (96, 128), 16),
    "small Hourglass": Case(
        "hourglass",
        STACKED,
        {"type": "HourglassNet", "downsample_times": 3, "feat_channel": 256, **STACKED},
        256,
        (96, 128),
        4,
    ),
    "small CPM": Case(
        "cpm",
        {"num_stages": 3, "feat_channels": 32, "stem_channels": 128},
        {"type": "CPM", "in_channels": 3, "out_channels": K, "feat_channels": 32, "num_stages": 3},
        K,
        (64, 96),
        2,
    ),
    "small HigherHRNet": Case("higherhrnet", NARROW, hrnet(16, (1, 1, 1), 1), 16, (128, 128), 8),
    "HRNet-W32": Case("hrnet", {}, hrnet(32, (1, 4, 3), 4), 32, (192, 256), 4, 4),
    "HigherHRNet-W32": Case("higherhrnet", {}, hrnet(32, (1, 4, 3), 4), 32, (256, 256), 1, 4),
}
SCALES = {"test": (1.0,), "test, 3 scales,": (2.0, 1.0, 0.5)}  # largest first
Work = Callable[[], Any]


def main() -> None:
    """Time what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=list(CASES))
    parser.add_argument("--mmpose1", default="")
    parser.add_argument("--mmpose0", default="")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)  # case, side, work
    args = parser.parse_args()
    if args.one:
        return print(measure(*args.one))
    sides = ("theirs", "ours", "ours, bf16")
    print(f"| work | {', ms | '.join(sides)}, ms | theirs / ours | theirs / bf16 |")
    print("|" + "---|" * (len(sides) + 3))
    for name in args.networks:
        is_bottomup = "Higher" in name
        theirs = args.mmpose0 if is_bottomup else args.mmpose1
        for work in ("step", *SCALES) if is_bottomup else ("step", "test"):
            times: dict[str, list[float]] = {side: [] for side in sides}
            for _ in range(args.rounds):
                for side in sides if theirs else sides[1:]:
                    python = theirs if side == "theirs" else sys.executable
                    times[side].append(child(python, name, side, work))
            middle = {side: median(each) if each else float("nan") for side, each in times.items()}
            print(
                f"| {work} of {name}, {CASES[name].batch} images | "
                + " | ".join(f"{middle[side]:.1f}" for side in sides)
                + f" | {middle['theirs'] / middle['ours']:.2f} | "
                f"{middle['theirs'] / middle['ours, bf16']:.2f} |",
                flush=True,
            )
    return None


def child(python: str, *what: str) -> float:
    """Measure in a process of its own."""
    command = [python, __file__, "--one", *what]
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr[-3000:]}")
    return float(done.stdout.split()[-1])


def measure(name: str, side: str, work: str) -> float:
    """Return CPU milliseconds, the least of a case's steps."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    case = CASES[name]
    if side != "theirs":
        do = ours(case, work, "bf16" if "bf16" in side else "off")
    else:
        do = bottomup0(case, work) if "higher" in case.model else topdown1(case, work)
    times = []
    for _ in range(3 + case.steps):
        started = time.process_time()
        do()
        times.append(time.process_time() - started)
    return 1000 * min(times[3:])


def pixels(case: Case, scale: float = 1.0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return random images (B, h, w, 3)."""
    w, h = (int(scale * side) for side in case.size)
    return np.random.default_rng(0).integers(0, 256, (case.batch, h, w, 3), np.uint8)


def indices(shape: tuple[int, ...]) -> Any:
    """Return positions of two people's tags (B, P, K, 2): in the flattened tags, and 1."""
    import torch

    b, _, h, w = shape
    where = torch.randint(0, h * w, (b, 2, K)) + torch.arange(K) * h * w
    return torch.stack([where, torch.ones_like(where)], dim=-1)


def ours(case: Case, work: str, amp: str) -> Work:
    """Return our step, or our test of a batch."""
    import torch

    from pose_backbones import fuse
    from pose_data import COCO
    from pose_train.config.schema import Config, Data, Model, Synthetic, Train
    from pose_train.cores import settle_threads
    from pose_train.distributed import Ranks
    from pose_train.inference.bottomup import Decoding, find_scenes
    from pose_train.inference.forward import torch_backend
    from pose_train.inference.topdown import predict_heatmaps
    from pose_train.recipes import RECIPES
    from pose_train.training.loop import batch_losses, optimizer_step
    from pose_train.training.optim import set_training
    from pose_train.training.prepare import prepare_training

    settle_threads(1)
    is_bottomup, device = case.model == "higherhrnet", torch.device("cpu")
    config = Config(
        Data(synthetic=Synthetic(1, 1)),
        Model(case.model, case.size, options=case.options),
        Train(1, case.batch, 1e-3, amp=amp),  # type: ignore[arg-type]
        recipe="bottomup" if is_bottomup else "topdown",
    )
    net, codec = RECIPES[config.recipe].build(config, K)
    images = pixels(case)
    if work != "step":
        net = fuse(net.to(memory_format=torch.channels_last), onednn=amp == "off")
        backend = torch_backend(net, device, amp)
        if not is_bottomup:
            return lambda: codec.decode(
                backend.fetch(predict_heatmaps(backend, images, COCO.flip_indices))
            )
        number = np.arange(case.batch)
        whole = np.tile(np.float32(case.size), (case.batch, 1))
        scales = SCALES[work]
        batch = {"images": [pixels(case, scale) for scale in scales]}
        batch |= {"base_size": case.size, "center": whole / 2}
        batch |= {"scale": whole, "image_id": number, "index": number}
        decoding = Decoding(codec, scales)
        return lambda: find_scenes(backend, [batch], decoding, COCO.flip_indices, 1)
    training, forward = prepare_training(config, net, Ranks(), device)
    set_training(net)
    shapes = [
        tuple(maps.shape) for maps in net(torch.zeros(case.batch, 3, *case.size[::-1])).heatmaps
    ]
    content: dict[str, Any] = {"image": torch.from_numpy(images)}
    if is_bottomup:
        content["heatmaps"] = [torch.rand(shape) for shape in shapes]
        content["masks"] = [torch.ones(s[0], *s[2:]) for s in shapes]
        content["indices"] = [indices(shape) for shape in shapes]
    else:
        content |= {"heatmaps": torch.rand(shapes[-1]), "weights": torch.ones(case.batch, K)}

    def step() -> None:
        losses = batch_losses(config, forward, codec, content, device)
        training.scaler.scale(losses["loss"]).backward()  # type: ignore[no-untyped-call]
        optimizer_step(training, 1e-3, None)
        losses["loss"].item()

    return step


def topdown1(case: Case, work: str) -> Work:
    """Return MMPose 1.3.2's step, or its test of a batch."""
    import torch
    from mmengine.optim import OptimWrapper
    from mmengine.structures import InstanceData, PixelData
    from mmpose.models import build_pose_estimator
    from mmpose.structures import PoseDataSample
    from mmpose.utils import register_all_modules

    from pose_data import COCO

    register_all_modules()
    kind, (w, h) = case.backbone["type"], case.size
    stride = 8 if kind == "CPM" else 4
    maps = w // stride, h // stride
    codec = {"type": "MSRAHeatmap", "input_size": case.size, "heatmap_size": maps, "sigma": 2}
    head = {"type": "HeatmapHead", "in_channels": case.channels, "deconv_out_channels": None}
    if kind != "HRNet":
        number = case.backbone["num_stages" if kind == "CPM" else "num_stacks"]
        head = {"type": "CPMHead", "in_channels": case.channels, "num_stages": number}
        if kind == "CPM":
            head |= {"deconv_out_channels": None, "final_layer": None}
    head |= {"out_channels": K, "decoder": codec}
    head["loss"] = {"type": "KeypointMSELoss", "use_target_weight": True}
    mean, std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    pre = {"type": "PoseDataPreprocessor", "mean": mean, "std": std, "bgr_to_rgb": True}
    test = {"flip_test": True, "flip_mode": "heatmap", "shift_heatmap": True}
    net = build_pose_estimator(
        {
            "type": "TopdownPoseEstimator",
            "data_preprocessor": pre,
            "backbone": case.backbone,
            "head": head,
            "test_cfg": test,
        }
    )
    samples = []
    for _ in range(case.batch):
        sample = PoseDataSample()
        sample.set_metainfo(
            {
                "flip_indices": list(COCO.flip_indices),
                "input_size": case.size,
                "input_center": np.float32(case.size) / 2,
                "input_scale": np.float32(case.size),
            }
        )
        sample.gt_instances = InstanceData(bboxes=np.float32([[0, 0, w, h]]), bbox_scores=[1.0])
        sample.gt_fields = PixelData(heatmaps=torch.rand(K, *maps[::-1]))
        sample.gt_instance_labels = InstanceData(keypoint_weights=torch.ones(1, K))
        samples.append(sample)
    inputs = list(torch.from_numpy(pixels(case)).permute(0, 3, 1, 2).contiguous())
    data = {"inputs": inputs, "data_samples": samples}
    if work == "test":
        net.eval()
        return torch.no_grad()(lambda: net.test_step(data))
    net.train()
    optimizer = OptimWrapper(torch.optim.Adam(net.parameters(), 1e-3))
    return lambda: net.train_step(data, optimizer)


def bottomup0(case: Case, work: str) -> Work:
    """Return MMPose 0.29's step, or its test of a batch, image by image as it is able to."""
    import torch
    from mmpose.models import build_posenet

    from pose_data import COCO

    losses = {
        "type": "MultiLossFactory",
        "num_joints": K,
        "num_stages": 2,
        "ae_loss_type": "exp",
        "with_ae_loss": [True, False],
        "push_loss_factor": [0.001, 0.001],
        "pull_loss_factor": [0.001, 0.001],
        "with_heatmaps_loss": [True, True],
        "heatmaps_loss_factor": [1.0, 1.0],
    }
    head = {
        "type": "AEHigherResolutionHead",
        "in_channels": case.channels,
        "num_joints": K,
        "tag_per_joint": True,
        "extra": {"final_conv_kernel": 1},
        "num_deconv_layers": 1,
        "num_deconv_filters": [case.channels],
        "num_deconv_kernels": [4],
        "num_basic_blocks": 4,
        "cat_output": [True],
        "with_ae_loss": [True, False],
        "loss_keypoint": losses,
    }
    test = {
        "num_joints": K,
        "max_num_people": 30,
        "scale_factor": [*SCALES.get(work, (1.0,))][::-1],
        "with_heatmaps": [True, True],
        "with_ae": [True, False],
        "project2image": True,
        "nms_kernel": 5,
        "nms_padding": 2,
        "tag_per_joint": True,
        "detection_threshold": 0.1,
        "tag_threshold": 1,
        "use_detection_val": True,
        "ignore_too_much": False,
        "adjust": True,
        "refine": True,
        "flip_test": True,
    }
    net = build_posenet(
        {
            "type": "AssociativeEmbedding",
            "backbone": case.backbone,
            "keypoint_head": head,
            "train_cfg": {},
            "test_cfg": test,
        }
    )
    (w, h), b = case.size, case.batch
    scales = SCALES.get(work, (1.0,))
    pixels_of = {scale: pixels(case, scale) for scale in scales}
    mean = torch.tensor([123.675, 116.28, 103.53])[:, None, None]
    std = torch.tensor([58.395, 57.12, 57.375])[:, None, None]

    # As its pipeline's ToTensor and NormalizeTensor make it.
    def image(i: int, scale: float = 1.0) -> torch.Tensor:
        array = torch.from_numpy(pixels_of[scale][i]).permute(2, 0, 1).float()
        return (array - mean) / std

    if work != "step":
        net.eval()
        about = {"image_file": "", "test_scale_factor": [*scales], "base_size": (w, h)}
        about |= {"center": np.float32([w, h]) / 2, "scale": np.float32([w, h]) / 200}
        about["flip_index"] = list(COCO.flip_indices)

        def run() -> None:
            for i in range(b):
                views = [image(i, scale)[None] for scale in scales]
                net(img=views[0], img_metas=[about | {"aug_data": views}], return_loss=False)

        return torch.no_grad()(run)
    net.train()
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    shapes = [(b, K, h // 4, w // 4), (b, K, h // 2, w // 2)]
    data = {
        "targets": [torch.rand(shape) for shape in shapes],
        "masks": [torch.ones(b, *shape[2:]) for shape in shapes],
        "joints": [indices(shape).int() for shape in shapes],
        "img_metas": None,
    }

    def step() -> None:
        images = torch.stack([image(i) for i in range(b)])
        loss = net.train_step({"img": images, **data}, optimizer)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
