"""The recipe of an MMPose config - codec, augmentation, optimizer, test - in our keys.

Tables hold the paths of 1.x and of 0.x side by side: a config has one of them.
"""

from collections.abc import Iterator
from typing import Any

from pose_train.config.schema import ConfigError
from pose_train.mmpose.source import MMPoseConfig

Section = dict[str, Any]
DECODER, TEST = "model.head.decoder", "model.test_cfg"

# Our key: paths in 1.x and 0.x, of which the first that is given counts.
KEYS = {
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
TOPDOWN_KEYS = {
    "eval.nms": "test_evaluator.nms_mode data.test.data_cfg.soft_nms",
    "eval.nms_threshold": "test_evaluator.nms_thr data.test.data_cfg.oks_thr",
}
LOSSES = "model.keypoint_head.loss_keypoint.{0} model.loss_keypoint.{0} model.head.tag_loss.{1}"
BOTTOMUP_KEYS = {
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
OPTIMIZERS = {"Adam": "adam", "AdamW": "adamw", "SGD": "sgd"}
REQUIRED = {"train.epochs": 210, "train.batch_size": 64, "train.lr": 5e-4}  # COCO's, top-down

# Transform, its argument, our key, and MMPose's default.
RANDOM: tuple[tuple[str, str, str, Any], ...] = (
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
# The augmentation of a pipeline with none of these transforms.
OFF: Section = dict.fromkeys(
    ("flip_prob", "half_body_prob", "shift_prob", "scale_prob", "rotate_prob"), 0.0
)
OFF_BOTTOMUP: Section = {"flip_prob": 0.0, "rotate": 0.0, "scale": [1.0, 1.0], "translate": 0.0}
# Transforms whose work is always done here; those that hold others, and where.
BUILT_IN = (
    "BottomUpGenerateTarget", "BottomUpGetImgSize", "BottomUpResizeAlign", "BottomupResize",
    "Collect", "GenerateTarget", "GetBBoxCenterScale", "KeypointConverter", "LoadImage",
    "LoadImageFromFile", "MultitaskGatherTarget", "NormalizeTensor", "PackPoseInputs", "ToTensor",
    "TopDownAffine", "TopDownGenerateTarget", "TopDownGetBboxCenterScale", "TopdownAffine",
)  # fmt: skip
NESTED = {"MultitaskGatherTarget": "pipeline_list.0", "BottomUpResizeAlign": "transforms"}


def convert_recipe(source: MMPoseConfig) -> Section:
    """Return all sections but data, with a model that lacks its name; raises ConfigError."""
    bottomup, is_1x = source.is_bottomup, source.is_1x
    config: Section = {"recipe": "bottomup" if bottomup else "topdown", "train": {}, "eval": {}}
    for key, paths in (KEYS | (BOTTOMUP_KEYS if bottomup else TOPDOWN_KEYS)).items():
        value = source.scalar(*paths.split())
        if value is None and key in REQUIRED:
            value = REQUIRED[key]
            source.notes.append(f"{key} is not given; here {value}")
        if value is not None:
            section, _, name = key.rpartition(".")
            (config.setdefault(section, {}) if section else config)[name] = value
    train, evaluation = config["train"], config["eval"]
    evaluation.setdefault("flip_test", not is_1x)  # 0.x flips unless told otherwise
    if "nms" in evaluation:
        evaluation["nms"] = NMS.get(evaluation["nms"], evaluation["nms"])
    if bottomup:
        (_bottomup_1x if is_1x else _bottomup_0x)(source, config)
    else:
        (_topdown_1x if is_1x else _topdown_0x)(source, config)
        _check_crops(source, config)
    _optimizer(source, train)
    _schedule(source, train)
    _precision(source, train)
    _note_start(source)
    if any(transforms(source, "train")):
        train["scene" if bottomup else "augment"] = _augmentation(source)
    else:
        source.notes.append("no training pipeline is given; here the published augmentation")
    return config


def transforms(source: MMPoseConfig, part: str) -> Iterator[tuple[str, str]]:
    """Yield class and path of each transform of a pipeline, "train" or "test"."""
    lists = [f"{part}_dataloader.dataset.pipeline", f"data.{part}.pipeline"]
    while lists:
        for path in source.items(lists.pop(0)):
            name = source.type_name(path)
            if name not in BUILT_IN + tuple(row[0] for row in RANDOM):
                source.used.discard(f"{path}.type")
            if name in NESTED:
                lists.append(f"{path}.{NESTED[name]}")
            yield name, path


def _target(source: MMPoseConfig) -> str:
    """Return the path of the transform that makes the target heatmaps."""
    targets = (path for name, path in transforms(source, "train") if "GenerateTarget" in name)
    return next(targets, "none")


def _topdown_1x(source: MMPoseConfig, config: Section) -> None:
    kind, encoder = source.type_name(DECODER), f"{_target(source)}.encoder"
    encoder = encoder if isinstance(source.peek(encoder), dict) else DECODER
    maps = source.get(f"{DECODER}.heatmap_type", default="gaussian")
    if kind not in ("MSRAHeatmap", "UDPHeatmap") or maps != "gaussian":
        raise ConfigError(
            f"the codec is {kind} with {maps} maps; here are MSRAHeatmap and UDPHeatmap, Gaussian"
        )
    codec = {
        "sigma": source.scalar(f"{encoder}.sigma", default=2.0),
        "refine": "dark" if source.get(f"{DECODER}.unbiased") else "quarter",
        "unbiased": source.get(f"{encoder}.unbiased", default=False),
        "udp": kind == "UDPHeatmap",
        "blur_size": source.get(f"{DECODER}.blur_kernel_size", default=11),
    }
    config["codec"] = _shortened(codec)
    source.used.add(f"{DECODER}.sigma")  # only targets have one
    for key in ("type", "input_size", "heatmap_size", "blur_kernel_size", "heatmap_type"):
        source.expect(f"{encoder}.{key}", source.peek(f"{DECODER}.{key}"))
    ours = {"mean": "ImageNet's", "std": "ImageNet's", "bgr_to_rgb": "True"}
    for key in ("mean", "std") if source.is_grey else ours:
        path = f"model.data_preprocessor.{key}"
        if source.peek(path) is None:
            source.notes.append(f"{path} is not given; here {ours[key]}: RESULTS WILL DIFFER")
    sizes = ("input_size", "heatmap_size")
    config["model"] = {key: _size(source, f"{DECODER}.{key}") for key in sizes}


def _topdown_0x(source: MMPoseConfig, config: Section) -> None:
    target, data = _target(source), _data_cfg(source)
    udp = source.get(f"{TEST}.use_udp", default=False)
    encoding = source.get(f"{target}.encoding", default="MSRA")
    process = source.get(f"{TEST}.post_process", default="default")
    maps = source.get(f"{TEST}.target_type", f"{target}.target_type", default="GaussianHeatmap")
    source.expect(f"{target}.target_type", maps)
    if encoding not in ("MSRA", "UDP") or process == "megvii" or maps != "GaussianHeatmap":
        raise ConfigError(
            f"heatmaps are {encoding} {maps}, decoded by post_process {process}; here are MSRA and "
            "UDP, GaussianHeatmap, and default and unbiased"
        )
    if target != "none" and udp != (encoding == "UDP"):
        source.notes.append(f"{target}.encoding = {encoding}; here as {TEST}.use_udp = {udp}")
    is_dark = process == "unbiased" or source.get(f"{TEST}.unbiased_decoding")
    codec = {
        "sigma": source.scalar(f"{target}.sigma", default=2.0),
        "refine": "dark" if is_dark else "quarter" if process else "none",
        "unbiased": source.get(f"{target}.unbiased_encoding", default=False),
        "udp": udp,
        "blur_size": source.scalar(f"{TEST}.modulate_kernel", default=11),
    }
    config["codec"] = _shortened(codec)
    sizes = {"input_size": "image_size", "heatmap_size": "heatmap_size"}
    config["model"] = {key: _size(source, f"{data}.{name}") for key, name in sizes.items()}


def _shortened(codec: Section) -> Section:
    """Drop what is off, and the kernel size of a decoding without kernel."""
    off = set() if codec["udp"] or codec["refine"] == "dark" else {"blur_size"}
    return {key: value for key, value in codec.items() if value is not False and key not in off}


def _check_crops(source: MMPoseConfig, config: Section) -> None:
    """Note crops and flips that do not follow the codec, as they do here."""
    udp = bool(config["codec"].get("udp"))
    if config["eval"]["flip_test"]:
        source.expect(f"{TEST}.shift_heatmap", not udp, default=False)
    for part in ("train", "test"):
        for name, path in transforms(source, part):
            if name.lower() == "topdownaffine":
                source.expect(f"{path}.use_udp", udp, default=False)
                source.expect(f"{path}.input_size", config["model"]["input_size"])


def _bottomup_1x(source: MMPoseConfig, config: Section) -> None:
    source.notes.append(
        "associative embedding is trained and tested as in 0.29: 1.x cannot train it, and its test "
        "resizes maps to the size of the input and groups differently"
    )
    source.used |= {DECODER, TEST, "test_dataloader.dataset.pipeline", "test_evaluator"}
    source.used |= {"model.head.keypoint_loss", "model.head.tag_loss"}
    config["codec"] = {"sigma": source.scalar(f"{DECODER}.sigma", default=-1)}
    config["model"] = {"input_size": _size(source, f"{DECODER}.input_size")}


def _bottomup_0x(source: MMPoseConfig, config: Section) -> None:
    target, data = _target(source), _data_cfg(source)
    source.expect(f"{target}.max_num_people", source.peek(f"{TEST}.max_num_people"))
    # The factors of the pipeline take precedence.
    scales = dict(transforms(source, "test")).get("BottomUpGetImgSize", "none")
    factors = source.get(f"{scales}.test_scale_factor", f"{TEST}.scale_factor", default=[1])
    source.used.add(f"{TEST}.scale_factor")
    config["eval"]["multi_scale"] = factors
    config["codec"] = {"sigma": source.scalar(f"{target}.sigma", default=2.0)}
    sizes = [_size(source, path) for path in source.items(f"{data}.heatmap_size")]
    config["model"] = {"input_size": _size(source, f"{data}.image_size"), "heatmap_sizes": sizes}


def _data_cfg(source: MMPoseConfig) -> str:
    paths = ("data.train.data_cfg", "data.test.data_cfg", "data_cfg")
    return next((path for path in paths if isinstance(source.peek(path), dict)), paths[0])


def _size(source: MMPoseConfig, path: str) -> Any:
    """Return (w, h), given as such or as the side of a square."""
    size = source.get(path)
    if size is None:
        raise ConfigError(f"{path} is missing")
    return size if isinstance(size, list) else [size, size]


def _optimizer(source: MMPoseConfig, train: Section) -> None:
    path = "optim_wrapper.optimizer" if source.peek("optim_wrapper") else "optimizer"
    name = source.type_name(path)
    train["optimizer"] = OPTIMIZERS.get(name, "adam")
    if name not in OPTIMIZERS:
        source.notes.append(f"{path} = {name or 'nothing'}; here {', '.join(OPTIMIZERS)}")
    if name == "AdamW":
        train.setdefault("weight_decay", 0.01)  # PyTorch's default
    if name == "SGD":
        train.setdefault("momentum", 0.0)
    if train.get("weight_decay"):
        source.notes.append(f"{path}.weight_decay: here biases and norms are never decayed")


def _schedule(source: MMPoseConfig, train: Section) -> None:
    train |= {"lr_steps": [], "warmup_steps": 0}
    for path in source.items("param_scheduler"):
        name, by_epoch = source.type_name(path), source.get(f"{path}.by_epoch", default=True)
        begin, end = (source.get(f"{path}.{key}", kind=int, default=0) for key in ("begin", "end"))
        if name == "LinearLR" and not by_epoch:
            train["warmup_steps"] = end - begin
        elif name == "MultiStepLR" and by_epoch:
            train["lr_steps"] = source.get(f"{path}.milestones", kind=list, default=[])
        elif name == "CosineAnnealingLR" and not (begin and by_epoch):
            train["schedule"] = "cosine"
            source.used.add(f"{path}.T_max")
        else:
            source.used -= {f"{path}.{key}" for key in ("type", "by_epoch", "begin", "end")}
    policy = source.get("lr_config.policy", kind=str, default="").lower()
    if source.get("lr_config.warmup") == "linear":
        train["warmup_steps"] = source.get("lr_config.warmup_iters", default=0)
    if policy == "step" and isinstance(source.peek("lr_config.step"), list):
        train["lr_steps"] = source.get("lr_config.step")
    elif policy == "cosineannealing":
        train["schedule"] = "cosine"
    else:
        source.used.discard("lr_config.policy")


def _precision(source: MMPoseConfig, train: Section) -> None:
    """Fill in mixed precision, synchronized batch norm and averaged weights."""
    if source.type_name("optim_wrapper").startswith("Amp") or source.get("fp16") is not None:
        train["amp"] = "bf16" if source.get("optim_wrapper.dtype") == "bfloat16" else "fp16"
    if source.type_name("model.backbone.norm_cfg").endswith("SyncBN"):
        train["sync_bn"] = True
    for path in source.items("custom_hooks"):
        name = source.type_name(path)
        if name == "EMAHook":
            train["ema"] = 1 - source.get(f"{path}.momentum", kind=(int, float), default=0.0002)
        elif name != "SyncBuffersHook":
            source.used.discard(f"{path}.type")


def _note_start(source: MMPoseConfig) -> None:
    base = source.get("auto_scale_lr.base_batch_size")
    if base is not None:
        source.notes.append(
            f"auto_scale_lr.base_batch_size = {base} has an effect only with --auto-scale-lr; "
            f"here, train.base_batch_size: {base} scales lr"
        )
    init = "model.backbone.init_cfg"
    paths = ("load_from", "model.pretrained", "model.backbone.pretrained", f"{init}.checkpoint")
    start = source.get(*paths)
    source.used.add(init)
    if isinstance(start, str):
        source.notes.append(f"training started from {start}: give a copy as model.weights=FILE")


def _augmentation(source: MMPoseConfig) -> Section:
    """Return the augmentation of the training pipeline; what is not in it is off."""
    pipeline = dict(transforms(source, "train"))
    augment = dict(OFF_BOTTOMUP if source.is_bottomup else OFF)
    if not (source.is_bottomup or source.is_1x or "TopDownGetBboxCenterScale" in pipeline):
        augment["shift_prob"] = 0.3  # without this transform the data set shifted boxes
    for name, path in transforms(source, "train"):
        for argument, key, default in (row[1:] for row in RANDOM if row[0] == name):
            augment[key] = source.get(f"{path}.{argument}", default=default)
            match name, argument, augment[key]:
                # The standard deviation of a normal distribution that is cut off at twice that.
                case "TopDownGetRandomScaleRotation", "rot_factor", int() | float() as degrees:
                    augment[key] = 2 * degrees
                case "TopDownHalfBodyTransform", "num_joints_half_body", int() as count:
                    augment[key] = count + 1  # MMPose asks for more than that
                case "RandomBBoxTransform", "scale_factor", [
                    int() | float() as a,
                    int() | float() as b,
                ]:
                    augment[key] = round((b - a) / 2, 9)
                    if a + b != 2:
                        source.notes.append(f"{path}.scale_factor = {[a, b]}: here it is around 1")
    return augment
