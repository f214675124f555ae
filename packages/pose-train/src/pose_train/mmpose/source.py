"""The values of an MMPose config by their paths, and notes of those that nothing has read.

Values that change nothing, or that are what pose-train does anyway, are not noted.
"""

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from pose_backbones import GREY_MEAN, GREY_STD, MEAN, STD
from pose_train.config.schema import ConfigError

# What has an effect; other names at the top are parts of these, or about logs and devices.
SECTIONS = (
    "custom_hooks", "custom_imports", "data", "evaluation", "lr_config", "model", "optim_wrapper",
    "optimizer", "optimizer_config", "param_scheduler", "test_dataloader", "test_evaluator",
    "train_cfg", "train_dataloader",
)  # fmt: skip
# What changes neither weights nor results, or repeats what is defined elsewhere.
IGNORED = (
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
# What pose-train always does and never does, whatever a config says.
ALWAYS = (
    "*.bgr_to_rgb", "*.project2image", "*.requires_grad", "*.use_detection_val", "*.use_nms",
    "*.use_target_weight", "*.with_heatmaps*",
)  # fmt: skip
NEVER = (
    "*.align_corners", "*.ignore_too_much", "*.norm_eval", "*.scale_aware_sigma",
    "*.use_dataset_keypoint_weights", "*.use_udp",
)  # fmt: skip
# Values that are the same in pose-train whatever a config says; several accepted ones as a tuple.
FIXED: dict[str, Any] = dict.fromkeys(ALWAYS, True) | dict.fromkeys(NEVER, False)
FIXED |= {
    "*.ae_loss_type": "exp",
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
    "*.in_channels": 3,
    "*.keypoint_score_thr": 0.2,
    "*.loss*.loss_weight": 1.0,
    "*.loss*.type": ("KeypointMSELoss", "JointsMSELoss", "MultiLossFactory"),
    "*.mean": (list(MEAN), [0.485, 0.456, 0.406]),
    "*.nms_padding": 2,
    "*.norm_type": 2,
    "*.padding": (1.25, 1.5),
    "*.score_mode": "bbox_keypoint",
    "*.start_factor": 0.001,
    "*.std": (list(STD), [0.229, 0.224, 0.225]),
    "*.vis_thr": 0.2,
    "*.warmup_ratio": 0.001,
    "model.data_preprocessor.type": "PoseDataPreprocessor",
    "test_evaluator.type": "CocoMetric",
}
# What is different for networks with one input channel.
GREY: dict[str, Any] = {
    "*.bgr_to_rgb": (True, False),
    "*.channel_order": ("rgb", "bgr"),
    "*.color_type": "grayscale",
    "*.in_channels": 1,
    "*.mean": list(GREY_MEAN),
    "*.std": list(GREY_STD),
}
# What changes the results of a trained network.
CHANGES_RESULTS = (
    "align_corners", "bgr_to_rgb", "channel_order", "flip_mode", "mean", "padding", "project2image",
    "score_mode", "std", "use_udp",
)  # fmt: skip


@dataclass
class MMPoseConfig:
    """A config of MMPose, read by paths such as `model.head.type` and `param_scheduler.0.end`."""

    content: dict[str, Any]
    notes: list[str]
    used: set[str] = field(default_factory=set)
    is_grey: bool = False

    @property
    def is_bottomup(self) -> bool:
        return self.type_name("model").lower().startswith(("bottom", "assoc"))

    @property
    def head(self) -> str:
        """The path of the head, which differs between 1.x and 0.x; raises ConfigError for none."""
        for path in ("model.head", "model.keypoint_head"):
            if isinstance(self.peek(path), dict) and isinstance(self.peek("model.backbone"), dict):
                return path
        raise ConfigError("it has no model.backbone with a model.head (1.x) or keypoint_head (0.x)")

    @property
    def is_1x(self) -> bool:
        return self.head == "model.head"

    def peek(self, path: str) -> Any:
        """Return the value of a path, None for none, without marking it as used."""
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
        """Return the value of the first path that has one other than None, else the default."""
        for path in paths:
            value = self.peek(path)
            if value is not None:
                self.used.add(path)
                if not isinstance(value, kind):
                    raise ConfigError(f"{path} is {short(value)}, which MMPose does not take")
                return value
        return default

    def scalar(self, *paths: str, default: Any = None) -> Any:
        """Return a number, string or bool; of a list its first item."""
        value = self.get(*paths, default=default)
        value = value[0] if isinstance(value, list) and value else value
        if isinstance(value, dict | list):
            path = next(path for path in paths if self.peek(path) is not None)
            raise ConfigError(f"{path} is {short(value)}, where MMPose takes a single value")
        return value

    def type_name(self, path: str) -> str:
        """Return the class that a dict has as its type, without its module; "" for none."""
        return self.get(f"{path}.type", kind=str, default="").rpartition(".")[2]

    def items(self, path: str) -> list[str]:
        """Return the paths of the items of a list; a dict is a list of one."""
        value = self.peek(path)
        if isinstance(value, list):
            return [f"{path}.{i}" for i in range(len(value))]
        return [path] if isinstance(value, dict) else []

    def expect(self, path: str, ours: Any, *, default: Any = None) -> None:
        """Note a value other than ours."""
        value = self.get(path, default=default)
        if value is not None and value != ours:
            self.notes.append(f"{path} = {short(value)}; here {short(ours)}{_warning(path)}")

    def unused_notes(self) -> list[str]:
        """Return a note for each value that nothing has read; equal ones share a note."""
        paths_of: dict[tuple[str, str], list[str]] = {}
        for section in SECTIONS:
            for path in self._unused(self.content.get(section), section)[0]:
                key, value = path.rpartition(".")[2].strip("0123456789"), short(self.peek(path))
                if fixed := self._fixed(path):
                    value += f"; here always {short(fixed[0])}{_warning(path)}"
                paths_of.setdefault((key, value), []).append(path)
        return [
            f"{paths[0]}{f' (and {len(paths) - 1} more)' if paths[1:] else ''} = {value}"
            for (_, value), paths in paths_of.items()
        ]

    def _unused(self, value: Any, path: str) -> tuple[list[str], bool]:
        """Return the paths that nothing has read, and whether nothing of the value was read."""
        if path in self.used:
            return [], False
        if value in (None, [], {}) or any(fnmatchcase(path, pattern) for pattern in IGNORED):
            return [], True
        if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
            value = dict(enumerate(value))
        if not isinstance(value, dict):
            several, fixed = value if isinstance(value, list) else [value], self._fixed(path)
            is_ours = value in fixed or all(each in fixed for each in several)
            return [] if is_ours else [path], not is_ours
        below = [self._unused(item, f"{path}.{key}") for key, item in value.items()]
        unused = [each for paths, _ in below for each in paths]
        is_new = all(is_new for _, is_new in below)
        return [path] if unused and is_new else unused, is_new

    def _fixed(self, path: str) -> tuple[Any, ...]:
        """Return the values that pose-train accepts for a path, none where it reads any."""
        known = {**FIXED, **GREY} if self.is_grey else FIXED
        found = next((known[pattern] for pattern in known if fnmatchcase(path, pattern)), ())
        return found if isinstance(found, tuple) else (found,)


def short(value: Any) -> str:
    """Return a value as a note shows it."""
    if isinstance(value, dict) and "type" in value:
        return f"{value['type']}({'...' if len(value) > 1 else ''})"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _warning(path: str) -> str:
    return ": RESULTS WILL DIFFER" if path.rpartition(".")[2] in CHANGES_RESULTS else ""
