"""The optimizer of an MMPose config and its learning rate, in our words."""

from typing import Any

from pose_train.mmpose.values import Theirs

OPTIMIZERS = {"Adam": "adam", "AdamW": "adamw", "SGD": "sgd"}


def convert_schedule(theirs: Theirs, train: dict[str, Any]) -> None:
    """Fill in what `train` has of optimizer, rate, precision and averaging."""
    _optimizer(theirs, train)
    train |= {"lr_steps": [], "warmup_steps": 0}
    for path in theirs.each("param_scheduler"):
        _scheduler_1x(theirs, path, train)
    _schedule_0x(theirs, train)
    _extras(theirs, train)


def _optimizer(theirs: Theirs, train: dict[str, Any]) -> None:
    path = "optim_wrapper.optimizer" if theirs.at("optim_wrapper") else "optimizer"
    name = theirs.kind(path)
    train["optimizer"] = OPTIMIZERS.get(name, "adam")
    if name not in OPTIMIZERS:
        theirs.notes.append(f"{path} = {name or 'nothing'}; here {', '.join(OPTIMIZERS)}")
    if name == "AdamW":
        train.setdefault("weight_decay", 0.01)  # PyTorch's, where nothing is said
    if name == "SGD":
        train.setdefault("momentum", 0.0)
    if train.get("weight_decay"):
        theirs.notes.append(f"{path}.weight_decay: here biases and norms never decay")


def _scheduler_1x(theirs: Theirs, path: str, train: dict[str, Any]) -> None:
    name, by_epoch = theirs.kind(path), theirs.get(f"{path}.by_epoch", default=True)
    begin, end = (theirs.get(f"{path}.{key}", kind=int, default=0) for key in ("begin", "end"))
    if name == "LinearLR" and not by_epoch:
        train["warmup_steps"] = end - begin
    elif name == "MultiStepLR" and by_epoch:
        train["lr_steps"] = theirs.get(f"{path}.milestones", kind=list, default=[])
    elif name == "CosineAnnealingLR" and not (begin and by_epoch):
        train["schedule"] = "cosine"
        theirs.get(f"{path}.T_max")
    else:
        theirs.seen -= {f"{path}.{key}" for key in ("type", "by_epoch", "begin", "end")}


def _schedule_0x(theirs: Theirs, train: dict[str, Any]) -> None:
    policy = theirs.get("lr_config.policy", kind=str, default="").lower()
    if theirs.get("lr_config.warmup") == "linear":
        train["warmup_steps"] = theirs.get("lr_config.warmup_iters", default=0)
    if policy == "step" and isinstance(theirs.at("lr_config.step"), list):
        train["lr_steps"] = theirs.get("lr_config.step")
    elif policy == "cosineannealing":
        train["schedule"] = "cosine"
    else:
        theirs.seen -= {"lr_config.policy"}


def _extras(theirs: Theirs, train: dict[str, Any]) -> None:
    if theirs.kind("optim_wrapper").startswith("Amp") or theirs.get("fp16") is not None:
        train["amp"] = "bf16" if theirs.get("optim_wrapper.dtype") == "bfloat16" else "fp16"
    if theirs.kind("model.backbone.norm_cfg").endswith("SyncBN"):
        train["sync_bn"] = True
    for path in theirs.each("custom_hooks"):
        name = theirs.kind(path)
        if name == "EMAHook":
            train["ema"] = 1 - theirs.get(f"{path}.momentum", kind=(int, float), default=0.0002)
        elif name != "SyncBuffersHook":
            theirs.seen -= {f"{path}.type"}
    base = theirs.get("auto_scale_lr.base_batch_size")
    if base is not None:
        theirs.notes.append(
            f"auto_scale_lr.base_batch_size = {base} counts with --auto-scale-lr alone; here, "
            f"train.base_batch_size: {base} scales lr"
        )
    start = theirs.get(
        "load_from",
        "model.pretrained",
        "model.backbone.pretrained",
        "model.backbone.init_cfg.checkpoint",
    )
    theirs.seen.add("model.backbone.init_cfg")
    if isinstance(start, str):
        theirs.notes.append(f"training started from {start}: model.weights=FILE names a copy")
