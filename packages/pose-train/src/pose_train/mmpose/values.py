"""Values of an MMPose config by their path, and the values that nothing has asked for.

What was not asked for, is not known to change nothing, and is not what is fixed here anyway, has no
counterpart: `left` lists it.
"""

from fnmatch import fnmatchcase
from typing import Any

from pose_backbones.grey import GREY_MEAN, GREY_STD
from pose_train.config.schema import ConfigError

# What does something; other names at the top are pieces of these, or about logs and devices.
PARTS = (
    "custom_hooks", "custom_imports", "data", "evaluation", "lr_config", "model", "optim_wrapper",
    "optimizer", "optimizer_config", "param_scheduler", "test_dataloader", "test_evaluator",
    "train_cfg", "train_dataloader",
)  # fmt: skip
# What changes neither weights nor results, or says again what stands elsewhere.
SILENT = (
    "*._scope_", "*.backend_args*", "*.base_length", "*.base_s*", "*.by_epoch", "*.collate_fn*",
    "*.compute_acc", "*.convert_to_iter_based", "*.crowd_matching", "*.data_mode",
    "*.dataset_channel*", "*.dataset_info*", "*.drop_last", "*.file_client_args*", "*.format_only",
    "*.img_size", "*.inference_channel*", "*.keys*", "*.loss_keypoint.num_stages", "*.loss_scale",
    "*.meta_keys*", "*.metainfo*", "*.num_joints", "*.num_output_channels", "*.num_scales",
    "*.output_heatmaps", "*.output_keypoint_indices*", "*.persistent_workers", "*.pin_memory",
    "*.pipeline_indices*", "*.rule", "*.sampler.*", "*.save_best", "*.test_mode", "*.to_float32",
    "*.with_ae*", "custom_imports.allow_failed_imports", "data.test.data_cfg.heatmap_size*",
    "data.test.data_cfg.image_size*", "data.train.data_cfg.*", "data.val*", "evaluation.metric",
    "model.test_cfg.tag_per_joint", "model.type",
    "optim_wrapper.type", "test_dataloader.num_workers", "test_evaluator.ann_file",
)  # fmt: skip
# What is so here whatever a config says; several allowed values as a tuple.
FIXED: dict[str, Any] = {
    "*.ae_loss_type": "exp",
    "*.align_corners": False,
    "*.bgr_to_rgb": True,
    "*.channel_order": "rgb",
    "*.color_type": "color",
    "*.data_cfg.nms_thr": 1.0,
    "*.direction": "horizontal",
    "*.final_conv_kernel": (1, 0),
    "*.final_layer.kernel_size": 1,
    "*.flip_mode": "heatmap",
    "*.frozen_stages": -1,
    "*.gamma": 0.1,
    "*.heatmaps_loss_factor": 1.0,
    "*.ignore_too_much": False,
    "*.in_channels": 3,
    "*.keypoint_score_thr": 0.2,
    "*.loss*.loss_weight": 1.0,
    "*.loss*.type": ("KeypointMSELoss", "JointsMSELoss", "MultiLossFactory"),
    "*.mean": ([123.675, 116.28, 103.53], [0.485, 0.456, 0.406]),
    "*.nms_padding": 2,
    "*.norm_eval": False,
    "*.norm_type": 2,
    "*.padding": (1.25, 1.5),
    "*.project2image": True,
    "*.requires_grad": True,
    "*.scale_aware_sigma": False,
    "*.score_mode": "bbox_keypoint",
    "*.start_factor": 0.001,
    "*.std": ([58.395, 57.12, 57.375], [0.229, 0.224, 0.225]),
    "*.use_dataset_keypoint_weights": False,
    "*.use_detection_val": True,
    "*.use_nms": True,
    "*.use_target_weight": True,
    "*.use_udp": False,
    "*.vis_thr": 0.2,
    "*.warmup_ratio": 0.001,
    "*.with_heatmaps*": True,
    "model.data_preprocessor.type": "PoseDataPreprocessor",
    "test_evaluator.type": "CocoMetric",
}
# Of these, what is otherwise for networks of one channel.
GREY: dict[str, Any] = {
    "*.bgr_to_rgb": (True, False),
    "*.channel_order": ("rgb", "bgr"),
    "*.color_type": "grayscale",
    "*.in_channels": 1,
    "*.mean": list(GREY_MEAN),
    "*.std": list(GREY_STD),
}
# Of these, what makes a trained network give other results.
AT_TEST = (
    "align_corners", "bgr_to_rgb", "channel_order", "flip_mode", "mean", "padding", "project2image",
    "score_mode", "std", "use_udp",
)  # fmt: skip


class Theirs:
    """A config of MMPose, by paths such as `model.head.type` and `param_scheduler.0.end`."""

    def __init__(self, content: dict[str, Any], notes: list[str]) -> None:
        self.content = content
        self.notes = notes
        self.seen: set[str] = set()
        self.fixed = FIXED

    def at(self, path: str) -> Any:
        """Return what stands at a path, None for nothing; it does not count as asked for."""
        value: Any = self.content
        for key in path.split("."):
            if isinstance(value, dict):
                value = value.get(key)
            elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
                value = value[int(key)]
            else:
                return None
        return value

    def get(self, *paths: str, kind: Any = object, default: Any = None) -> Any:
        """Return the first value that is given, else the default; None counts as not given."""
        for path in paths:
            value = self.at(path)
            if value is not None:
                self.seen.add(path)
                if not isinstance(value, kind):
                    raise ConfigError(f"{path} is {short(value)}, which MMPose does not take")
                return value
        return default

    def scalar(self, *paths: str, default: Any = None) -> Any:
        """Return a number, text or bool; of a list, the first of them."""
        value = self.get(*paths, default=default)
        value = value[0] if isinstance(value, list) and value else value
        if isinstance(value, dict | list):
            raise ConfigError(f"{paths[0]} is {short(value)}, where MMPose takes a single value")
        return value

    def kind(self, path: str) -> str:
        """Return the class that a dict names as its type, without its module; "" for none."""
        return self.get(f"{path}.type", kind=str, default="").rpartition(".")[2]

    def each(self, path: str) -> list[str]:
        """Return the paths of a list's items; of a dict its own, as of a list of one."""
        value = self.at(path)
        if isinstance(value, list):
            return [f"{path}.{i}" for i in range(len(value))]
        return [path] if isinstance(value, dict) else []

    def expect(self, path: str, ours: Any, *, default: Any = None) -> None:
        """Note a value that is another than ours."""
        value = self.get(path, default=default)
        if value is not None and value != ours:
            self.notes.append(f"{path} = {short(value)}; here {short(ours)}{_effect(path)}")

    def left(self) -> list[str]:
        """Say of every value without a counterpart where it stands and what it is."""
        places: dict[tuple[str, str], list[str]] = {}
        for part in PARTS:
            for path in self._left(self.content.get(part), part)[0]:
                value = f"{short(self.at(path))}{_fixed(path, self.fixed)}"
                places.setdefault((path.rpartition(".")[2].strip("0123456789"), value), []).append(
                    path
                )
        return [
            f"{paths[0]}{f' (and {len(paths) - 1} more)' if paths[1:] else ''} = {value}"
            for (_, value), paths in places.items()
        ]

    def _left(self, value: Any, path: str) -> tuple[list[str], bool]:
        """Return the paths that are left, and whether nothing of the value is known."""
        if path in self.seen:
            return [], False
        if value in (None, [], {}) or any(fnmatchcase(path, each) for each in SILENT):
            return [], True
        if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
            value = dict(enumerate(value))
        if not isinstance(value, dict):
            is_left = not _is_fixed(path, value, self.fixed)
            return [path] if is_left else [], is_left
        below = [self._left(item, f"{path}.{key}") for key, item in value.items()]
        left = [each for paths, _ in below for each in paths]
        is_new = all(is_new for _, is_new in below)
        return [path] if left and is_new else left, is_new


def short(value: Any) -> str:
    """Return a value as a note shows it."""
    if isinstance(value, dict) and "type" in value:
        return f"{value['type']}({'...' if len(value) > 1 else ''})"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_fixed(path: str, value: Any, values: dict[str, Any]) -> bool:
    for pattern, fixed in values.items():
        if fnmatchcase(path, pattern):
            allowed = fixed if isinstance(fixed, tuple) else (fixed,)
            several = value if isinstance(value, list) else [value]
            return value in allowed or all(each in allowed for each in several)
    return False


def _fixed(path: str, values: dict[str, Any]) -> str:
    for pattern, fixed in values.items():
        if fnmatchcase(path, pattern):
            value = fixed[0] if isinstance(fixed, tuple) else fixed
            return f"; here always {short(value)}{_effect(path)}"
    return ""


def _effect(path: str) -> str:
    return ": RESULTS WILL DIFFER" if path.rpartition(".")[2] in AT_TEST else ""
