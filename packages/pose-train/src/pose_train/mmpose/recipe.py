"""What an MMPose config says of a recipe - codec, augmentation, test - in our words.

Tables hold the paths of 1.x and of 0.x side by side: a config has one of them.
"""

from collections.abc import Iterator
from typing import Any

from pose_train.config.schema import ConfigError
from pose_train.mmpose.network import head_of, is_bottomup
from pose_train.mmpose.values import Theirs

Ours = dict[str, Any]
DECODER, TEST, DATA = "model.head.decoder", "model.test_cfg", "data.test.data_cfg"

# Ours -> theirs, of which the first that is given counts.
SAME = {
    "train.epochs": "train_cfg.max_epochs total_epochs runner.max_epochs",
    "train.batch_size": "train_dataloader.batch_size data.train_dataloader.samples_per_gpu "
    "data.samples_per_gpu",
    "train.num_workers": "train_dataloader.num_workers data.train_dataloader.workers_per_gpu "
    "data.workers_per_gpu",
    "train.lr": "optim_wrapper.optimizer.lr optimizer.lr",
    "train.weight_decay": "optim_wrapper.optimizer.weight_decay optimizer.weight_decay",
    "train.momentum": "optim_wrapper.optimizer.momentum optimizer.momentum",
    "train.clip_grad": "optim_wrapper.clip_grad.max_norm optimizer_config.grad_clip.max_norm",
    "train.accumulate": "optim_wrapper.accumulative_counts",
    "eval.flip_test": "model.test_cfg.flip_test",
    "eval.every": "train_cfg.val_interval evaluation.interval",
    "eval.batch_size": "test_dataloader.batch_size data.test_dataloader.samples_per_gpu "
    "data.samples_per_gpu",
    "seed": "randomness.seed seed",
}
TOPDOWN = {
    "eval.nms": "test_evaluator.nms_mode data.test.data_cfg.soft_nms",
    "eval.nms_threshold": "test_evaluator.nms_thr data.test.data_cfg.oks_thr",
}
LOSSES = "model.keypoint_head.loss_keypoint.{0} model.loss_keypoint.{0} model.head.tag_loss.{1}"
BOTTOMUP = {
    "grouping.max_instances": "model.test_cfg.max_num_people model.head.decoder.decode_topk",
    "grouping.detection_threshold": "model.test_cfg.detection_threshold "
    "model.head.decoder.decode_keypoint_thr",
    "grouping.tag_threshold": "model.test_cfg.tag_threshold model.head.decoder.decode_tag_thr",
    "grouping.nms_kernel": "model.test_cfg.nms_kernel model.head.decoder.decode_nms_kernel",
    "grouping.adjust": "model.test_cfg.adjust",
    "grouping.refine": "model.test_cfg.refine",
    "loss.push": LOSSES.format("push_loss_factor", "loss_weight"),
    "loss.pull": LOSSES.format("pull_loss_factor", "loss_weight"),
    "loss.supervise_empty": "model.keypoint_head.loss_keypoint.supervise_empty",
}
NMS = {"oks_nms": "oks", "soft_oks_nms": "soft", False: "oks", True: "soft"}
NEEDED = {"train.epochs": 210, "train.batch_size": 64, "train.lr": 5e-4}  # COCO's, top-down

# Transform, its argument, our key, and the value where nothing is said.
DRAWN: tuple[tuple[str, str, str, Any], ...] = (
    ("RandomFlip", "prob", "flip_prob", 0.5),
    ("RandomHalfBody", "prob", "half_body_prob", 0.3),
    ("RandomHalfBody", "min_total_keypoints", "half_body_min_keypoints", 9),
    ("RandomHalfBody", "upper_prioritized_prob", "upper_body_prob", 0.7),
    ("RandomBBoxTransform", "shift_prob", "shift_prob", 0.3),
    ("RandomBBoxTransform", "shift_factor", "shift", 0.16),
    ("RandomBBoxTransform", "scale_prob", "scale_prob", 1.0),
    ("RandomBBoxTransform", "scale_factor", "scale", [0.5, 1.5]),
    ("RandomBBoxTransform", "rotate_prob", "rotate_prob", 0.6),
    ("RandomBBoxTransform", "rotate_factor", "rotate", 80.0),
    ("TopDownRandomFlip", "flip_prob", "flip_prob", 0.5),
    ("TopDownHalfBodyTransform", "prob_half_body", "half_body_prob", 0.3),
    ("TopDownHalfBodyTransform", "num_joints_half_body", "half_body_min_keypoints", 8),
    ("TopDownRandomShiftBboxCenter", "prob", "shift_prob", 0.3),
    ("TopDownRandomShiftBboxCenter", "shift_factor", "shift", 0.16),
    ("TopDownRandomTranslation", "trans_prob", "shift_prob", 1.0),
    ("TopDownRandomTranslation", "trans_factor", "shift", 0.15),
    ("TopDownGetRandomScaleRotation", "scale_prob", "scale_prob", 1.0),
    ("TopDownGetRandomScaleRotation", "scale_factor", "scale", 0.5),
    ("TopDownGetRandomScaleRotation", "rot_prob", "rotate_prob", 0.6),
    ("TopDownGetRandomScaleRotation", "rot_factor", "rotate", 40),
    ("BottomUpRandomFlip", "flip_prob", "flip_prob", 0.5),
    ("BottomUpRandomAffine", "rot_factor", "rotate", 30),
    ("BottomUpRandomAffine", "scale_factor", "scale", [0.75, 1.5]),
    ("BottomUpRandomAffine", "trans_factor", "translate", 40),
    ("BottomUpRandomAffine", "scale_type", "side", "short"),
)
# What is not drawn.
STILL: Ours = {"flip_prob": 0.0, "half_body_prob": 0.0, "shift_prob": 0.0}
STILL |= {"scale_prob": 0.0, "rotate_prob": 0.0}
STILL_SCENE: Ours = {"flip_prob": 0.0, "rotate": 0.0, "scale": [1.0, 1.0], "translate": 0.0}
# Transforms that ours do without being told; those that hold others, and where.
PLAIN = (
    "BottomUpGenerateTarget", "BottomUpGetImgSize", "BottomUpResizeAlign", "BottomupResize",
    "Collect", "GenerateTarget", "GetBBoxCenterScale", "KeypointConverter", "LoadImage",
    "LoadImageFromFile", "MultitaskGatherTarget", "NormalizeTensor", "PackPoseInputs", "ToTensor",
    "TopDownAffine", "TopDownGenerateTarget", "TopDownGetBboxCenterScale", "TopdownAffine",
)  # fmt: skip
NESTED = {"MultitaskGatherTarget": "pipeline_list.0", "BottomUpResizeAlign": "transforms"}


def convert_recipe(theirs: Theirs) -> Ours:
    """Return all but data, network and schedule; what has no counterpart stays unasked for."""
    bottomup, is_1x = is_bottomup(theirs), head_of(theirs) == "model.head"
    ours: Ours = {"recipe": "bottomup" if bottomup else "topdown", "train": {}, "eval": {}}
    for key, paths in {**SAME, **(BOTTOMUP if bottomup else TOPDOWN)}.items():
        value = theirs.scalar(*paths.split())
        if value is None and key in NEEDED:
            value = NEEDED[key]
            theirs.notes.append(f"nothing says {key}: here {value}")
        if value is not None:
            section, _, name = key.rpartition(".")
            (ours.setdefault(section, {}) if section else ours)[name] = value
    ours["eval"].setdefault("flip_test", not is_1x)  # 0.x flips where nothing is said
    if "nms" in ours["eval"]:
        ours["eval"]["nms"] = NMS.get(ours["eval"]["nms"], ours["eval"]["nms"])
    if bottomup:
        (_bottomup_1x if is_1x else _bottomup_0x)(theirs, ours)
        still = STILL_SCENE
    else:
        (_topdown_1x if is_1x else _topdown_0x)(theirs, ours)
        _check_crops(theirs, ours)
        still = STILL
    pipeline = dict(transforms(theirs, "train"))
    if not pipeline:
        theirs.notes.append("nothing says how training images are drawn: here as published")
    else:
        # Without this transform it was the data set that moved boxes.
        old = not (is_1x or bottomup or "TopDownGetBboxCenterScale" in pipeline)
        drawn = _drawn(theirs, {**still, "shift_prob": 0.3} if old else still)
        ours["train"]["scene" if bottomup else "augment"] = drawn
    return ours


def transforms(theirs: Theirs, part: str) -> Iterator[tuple[str, str]]:
    """Yield class and path of each transform of a pipeline, "train" or "test"."""
    lists = [f"{part}_dataloader.dataset.pipeline", f"data.{part}.pipeline"]
    while lists:
        for path in theirs.each(lists.pop(0)):
            name = theirs.kind(path)
            if name not in PLAIN and all(name != row[0] for row in DRAWN):
                theirs.seen.discard(f"{path}.type")
            if name in NESTED:
                lists.append(f"{path}.{NESTED[name]}")
            yield name, path


def _target(theirs: Theirs) -> str:
    """Return the path of the transform that makes heatmaps to train on."""
    names = [(path, name) for name, path in transforms(theirs, "train")]
    return next((path for path, name in names if "GenerateTarget" in name), "none")


def _topdown_1x(theirs: Theirs, ours: Ours) -> None:
    kind, encoder = theirs.kind(DECODER), f"{_target(theirs)}.encoder"
    encoder = encoder if isinstance(theirs.at(encoder), dict) else DECODER
    maps = theirs.get(f"{DECODER}.heatmap_type", default="gaussian")
    if kind not in ("MSRAHeatmap", "UDPHeatmap") or maps != "gaussian":
        raise ConfigError(
            f"the codec is {kind} with {maps} maps; here are MSRAHeatmap and UDPHeatmap, Gaussian"
        )
    ours["codec"] = _codec(
        sigma=theirs.scalar(f"{encoder}.sigma", default=2.0),
        refine="dark" if theirs.get(f"{DECODER}.unbiased") else "quarter",
        unbiased=theirs.get(f"{encoder}.unbiased", default=False),
        udp=kind == "UDPHeatmap",
        blur_size=theirs.get(f"{DECODER}.blur_kernel_size", default=11),
    )
    theirs.seen.add(f"{DECODER}.sigma")  # targets have one, decoding none
    for key in ("type", "input_size", "heatmap_size", "blur_kernel_size", "heatmap_type"):
        theirs.expect(f"{encoder}.{key}", theirs.at(f"{DECODER}.{key}"))
    is_grey = theirs.fixed["*.in_channels"] == 1
    for key, default in (("mean", "none"), ("std", "none"), ("bgr_to_rgb", False)):
        path = f"model.data_preprocessor.{key}"
        if theirs.at(path) is None and not (is_grey and key == "bgr_to_rgb"):
            ours_is = "ImageNet's, of grey" if is_grey else "ImageNet's, of RGB"
            theirs.expect(path, ours_is, default=default)
    sizes = ("input_size", "heatmap_size")
    ours["model"] = {key: _size(theirs, f"{DECODER}.{key}") for key in sizes}


def _topdown_0x(theirs: Theirs, ours: Ours) -> None:
    target, cfg = _target(theirs), _data_cfg(theirs)
    udp = theirs.get(f"{TEST}.use_udp", default=False)
    encoding = theirs.get(f"{target}.encoding", default="MSRA")
    process = theirs.get(f"{TEST}.post_process", default="default")
    maps = theirs.get(f"{TEST}.target_type", f"{target}.target_type", default="GaussianHeatmap")
    theirs.expect(f"{target}.target_type", maps)
    if encoding not in ("MSRA", "UDP") or process == "megvii" or maps != "GaussianHeatmap":
        raise ConfigError(
            f"heatmaps are {encoding} {maps}, decoded by post_process {process}; here are MSRA and "
            "UDP, GaussianHeatmap, and default and unbiased"
        )
    if target != "none" and udp != (encoding == "UDP"):
        theirs.notes.append(f"{target}.encoding = {encoding}; here as {TEST}.use_udp = {udp}")
    is_dark = process == "unbiased" or theirs.get(f"{TEST}.unbiased_decoding")
    ours["codec"] = _codec(
        sigma=theirs.scalar(f"{target}.sigma", default=2.0),
        refine="dark" if is_dark else "quarter" if process else "none",
        unbiased=theirs.get(f"{target}.unbiased_encoding", default=False),
        udp=udp,
        blur_size=theirs.scalar(f"{TEST}.modulate_kernel", default=11),
    )
    sizes = {"input_size": "image_size", "heatmap_size": "heatmap_size"}
    ours["model"] = {key: _size(theirs, f"{cfg}.{name}") for key, name in sizes.items()}


def _codec(*, blur_size: Any, **codec: Any) -> Ours:
    if codec["udp"] or codec["refine"] == "dark":
        codec["blur_size"] = blur_size
    return {key: value for key, value in codec.items() if value is not False}


def _check_crops(theirs: Theirs, ours: Ours) -> None:
    """Note crops and flips that do not go with the codec, as here they do."""
    udp = bool(ours["codec"].get("udp"))
    if ours["eval"]["flip_test"]:
        theirs.expect(f"{TEST}.shift_heatmap", not udp, default=False)
    for part in ("train", "test"):
        for name, path in transforms(theirs, part):
            if name.lower() == "topdownaffine":
                theirs.expect(f"{path}.use_udp", udp, default=False)
                theirs.expect(f"{path}.input_size", ours["model"]["input_size"])


def _bottomup_1x(theirs: Theirs, ours: Ours) -> None:
    theirs.notes.append(
        "associative embedding is trained and tested as in 0.29: 1.x has no training of it, and "
        "its test enlarges maps to the size of the input and groups in another way"
    )
    theirs.seen |= {DECODER, TEST, "test_dataloader.dataset.pipeline", "test_evaluator"}
    theirs.seen |= {"model.head.keypoint_loss", "model.head.tag_loss"}
    ours["codec"] = {"sigma": theirs.scalar(f"{DECODER}.sigma", default=-1)}
    ours["model"] = {"input_size": _size(theirs, f"{DECODER}.input_size")}


def _bottomup_0x(theirs: Theirs, ours: Ours) -> None:
    target, cfg = _target(theirs), _data_cfg(theirs)
    theirs.expect(f"{target}.max_num_people", theirs.at(f"{TEST}.max_num_people"))
    # The pipeline's factors are those that count.
    scales = dict(transforms(theirs, "test")).get("BottomUpGetImgSize", "none")
    factors = theirs.get(f"{scales}.test_scale_factor", f"{TEST}.scale_factor", default=[1])
    theirs.seen.add(f"{TEST}.scale_factor")
    ours["eval"]["multi_scale"] = factors
    ours["codec"] = {"sigma": theirs.scalar(f"{target}.sigma", default=2.0)}
    sizes = [_size(theirs, path) for path in theirs.each(f"{cfg}.heatmap_size")]
    ours["model"] = {"input_size": _size(theirs, f"{cfg}.image_size"), "heatmap_sizes": sizes}


def _data_cfg(theirs: Theirs) -> str:
    paths = ("data.train.data_cfg", DATA, "data_cfg")
    return next((path for path in paths if isinstance(theirs.at(path), dict)), paths[0])


def _drawn(theirs: Theirs, still: Ours) -> Ours:
    """Return what the training pipeline draws; what it does not draw stays still."""
    drawn = dict(still)
    for name, path in transforms(theirs, "train"):
        for argument, key, default in (row[1:] for row in DRAWN if row[0] == name):
            drawn[key] = theirs.get(f"{path}.{argument}", default=default)
            match name, argument, drawn[key]:
                # A normal of so many degrees, cut at twice as many; more than so many joints.
                case "TopDownGetRandomScaleRotation", "rot_factor", int() | float() as degrees:
                    drawn[key] = 2 * degrees
                case "TopDownHalfBodyTransform", "num_joints_half_body", int() as fewer:
                    drawn[key] = fewer + 1
                case "RandomBBoxTransform", "scale_factor", [int() | float() as a, b]:
                    drawn[key] = round((b - a) / 2, 9)
                    if a + b != 2:
                        theirs.notes.append(f"{path}.scale_factor = {[a, b]}: here it is around 1")
    return drawn


def _size(theirs: Theirs, path: str) -> Any:
    """Return (w, h) from that, or from the side of a square."""
    size = theirs.get(path)
    if size is None:
        raise ConfigError(f"{path} is missing")
    return size if isinstance(size, list) else [size, size]
