"""Load published checkpoints into the models, whatever their key names.

Our names are MMPose 1.x's: `backbone.*` and `head.*`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from pose_backbones.reading import CheckpointError, read_checkpoint

# Prefixes that wrappers put before every name: DDP, torch.compile, the official FP16 training.
WRAPPERS = ("module.", "_orig_mod.", "1.")
# Per format, what names start with -> what ours start with (None: not loaded); the first that fits.
RULES: dict[str, dict[str, str | None]] = {
    "pose-backbones": {"": ""},
    "mmpose-1.x": {"data_preprocessor.": None, "": ""},
    "mmpose-0.x": {"keypoint_head.": "head.", "": ""},
    "official-higherhrnet": {
        "final_layers.": "head.final_layers.",
        "deconv_layers.": "head.deconv_layers.",
        "": "backbone.",
    },
    "official-hrnet": {"final_layer.": "head.final_layer.", "": "backbone."},
    "imagenet-hrnet": {
        "incre_modules.": None,
        "downsamp_modules.": None,
        "final_layer.": None,
        "classifier.": None,
        "": "backbone.",
    },
    "backbone": {"": "backbone."},
}
# A classifier's last module has four outputs; a pose model keeps the first.
CLASSIFIER_ONLY = re.compile(r"(backbone\.)?stage4\.\d+\.fuse_layers\.[123]\.")


@dataclass(frozen=True)
class LoadReport:
    """List what became of every name, in our names, and which format the file has."""

    format: str
    matched: list[str]
    missing: list[str]
    unexpected: list[str]
    misshaped: list[str]
    metadata: dict[str, str]

    def __str__(self) -> str:
        lists = ("matched", "missing", "unexpected", "misshaped")
        counts = ", ".join(f"{len(getattr(self, name))} {name}" for name in lists)
        return f"{self.format}: {counts}"


def load_checkpoint(model: nn.Module, path: str | Path, *, reinit_head: bool = False) -> LoadReport:
    """Copy the weights in the file into a model, or into a bare backbone, and report.

    Reads MMPose 0.x and 1.x, official HRNet and HigherHRNet, ImageNet-pretrained HRNet (official
    and timm), and our own files, `.pth` or `.safetensors`. All of it must fit, else CheckpointError
    is raised and the model is left as it was, with two exceptions: a file of a backbone leaves the
    head as it is, and `reinit_head=True` leaves the layers that depend on the number of keypoints
    as they are where that number differs.
    """
    file = read_checkpoint(path)
    kind, state = to_our_names(file.tensors, file.metadata)
    own = model.state_dict()
    if not any(name.startswith("backbone.") for name in own):  # a bare backbone
        inside = [name for name in state if name.startswith("backbone.")]
        state = {name.removeprefix("backbone."): state[name] for name in inside}
    if kind in ("imagenet-hrnet", "backbone"):
        state = {n: t for n, t in state.items() if n in own or not CLASSIFIER_ONLY.match(n)}
    report = LoadReport(
        format=kind,
        matched=[n for n in own if n in state and own[n].shape == state[n].shape],
        missing=[n for n in own if n not in state],
        unexpected=[n for n in state if n not in own],
        misshaped=[n for n in own if n in state and own[n].shape != state[n].shape],
        metadata=file.metadata,
    )
    shapes = {n: f"{list(state[n].shape)}, model {list(own[n].shape)}" for n in report.misshaped}
    try:
        _check_fit(report, shapes, keypoint_layers(model), reinit_head)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    model.load_state_dict({name: state[name] for name in report.matched}, strict=False)
    return report


def to_our_names(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> tuple[str, dict[str, Tensor]]:
    """Return the format of a state dict and its tensors under our names."""
    state = dict(tensors)
    while wrapper := next((w for w in WRAPPERS if all(n.startswith(w) for n in state)), None):
        state = {name.removeprefix(wrapper): tensor for name, tensor in state.items()}
    kind = _detect(state, metadata)
    renamed = {}
    for name, tensor in state.items():
        start, ours = next(rule for rule in RULES[kind].items() if name.startswith(rule[0]))
        if ours is not None:
            renamed[ours + name.removeprefix(start)] = tensor
    return kind, renamed


def _detect(names: Iterable[str], metadata: Mapping[str, str]) -> str:
    starts = {name.partition(".")[0] for name in names}
    if "keypoint_head" in starts:
        return "mmpose-0.x"
    if "backbone" in starts:
        # CPM has no head, so its names are the same in 0.x and 1.x; only the file's own word tells.
        version = metadata.get("mmpose_version")
        if version is None:
            return "pose-backbones"
        return "mmpose-0.x" if version.startswith("0.") else "mmpose-1.x"
    if starts & {"final_layers", "deconv_layers"}:
        return "official-higherhrnet"
    if starts & {"incre_modules", "downsamp_modules", "classifier"}:
        return "imagenet-hrnet"
    return "official-hrnet" if "final_layer" in starts else "backbone"


def keypoint_layers(model: nn.Module) -> re.Pattern[str]:
    """Return the pattern of the names whose shapes depend on the number of keypoints.

    Those of the head, and those that a backbone with maps inside lists as `keypoint_layers`.
    """
    inside = getattr(getattr(model, "backbone", model), "keypoint_layers", ())
    return re.compile("|".join([r"head\.", *(rf"(backbone\.)?{layer}\." for layer in inside)]))


def _check_fit(
    report: LoadReport, shapes: Mapping[str, str], layers: re.Pattern[str], reinit_head: bool
) -> None:
    if report.unexpected or not report.matched:
        raise CheckpointError(
            f"is a {report.format} file for another model: {len(report.matched)} names fit, "
            f"{_some(report.unexpected)} are unknown, {_some(report.missing)} are missing"
        )
    # PyTorch < 0.4.1 did not write the counters of batch norms.
    needed = [n for n in report.missing if not n.endswith(".num_batches_tracked")]
    if report.format in ("imagenet-hrnet", "backbone"):
        needed = [n for n in needed if not n.startswith("head.")]
    if needed:
        raise CheckpointError(f"lacks {_some(needed)}")
    other = [n for n in report.misshaped if not layers.match(n)]
    if other:
        raise CheckpointError(f"is for another model; shapes: file {_some(other, shapes)}")
    if report.misshaped and not reinit_head:
        raise CheckpointError(
            f"has another number of keypoints; shapes: file {_some(report.misshaped, shapes)}; "
            "reinit_head=True loads the rest and leaves these layers as they are"
        )


def _some(names: list[str], shapes: Mapping[str, str] | None = None) -> str:
    """Word a list by its length and first entries."""
    shown = ", ".join(f"{n} {shapes[n]}" if shapes else n for n in names[:3])
    return f"{len(names)} ({shown}{', ...' if len(names) > 3 else ''})" if names else "0"
