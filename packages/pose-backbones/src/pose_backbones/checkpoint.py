"""Load checkpoints into the models, whatever their key names.

Our names are MMPose 1.x's: `backbone.*` and `head.*`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from pose_backbones.checkpoint_files import Checkpoint, read_checkpoint
from pose_backbones.grey import sum_channels
from pose_backbones.names import CheckpointError

# Prefixes that wrappers put before every name: DDP, torch.compile, Lightning, the official FP16
# training, FSDP, DeepSpeed.
WRAPPERS = (
    *("module.", "_orig_mod.", "model.", "net.", "network.", "1."),
    *("_fsdp_wrapped_module.", "_forward_module."),
)
# Counters beside the weights: those of profilers and of averaged weights.
COUNTERS = re.compile(r"(.*\.)?total_(ops|params)$|(module\.)*(steps|n_averaged)$")
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
# Layers of heads for keypoints; a file with other ones is of another task.
POSE_HEAD = re.compile(r"head\.(final_layers?|multi_final_layers|deconv_layers|conv_layers)\.")
# A classifier's last module has four outputs; a pose model keeps the first.
CLASSIFIER_ONLY = re.compile(r"(backbone\.)?stage4\.\d+\.fuse_layers\.[123]\.")
REINIT = "reinit_head=True (in a config of pose-train: model.reinit_head=true)"


@dataclass(frozen=True)
class LoadReport:
    """List what became of every weight, by our names, and the format of the file.

    matched were loaded. metadata: the strings in the file. notes: which weights were taken where a
    file has several, and what was left out.
    """

    format: str
    matched: list[str]
    missing: list[str]
    unexpected: list[str]
    misshaped: list[str]
    metadata: dict[str, str]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        lists = ("matched", "missing", "unexpected", "misshaped")
        counts = ", ".join(f"{len(getattr(self, name))} {name}" for name in lists)
        return "; ".join([f"{self.format}: {counts}", *self.notes])

    def __repr__(self) -> str:
        return f"LoadReport({self})"

    @property
    def is_foreign(self) -> bool:
        """Tell whether the weights come from MMPose or a paper's authors, also after `convert`."""
        return self.metadata.get("source_format", self.format) != "pose-backbones"


class OurNames(NamedTuple):
    """Hold the format of a file, its names by ours, and notes on what was left out."""

    format: str
    theirs: dict[str, str]
    notes: tuple[str, ...]

    def state(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors of the file that are weights, under our names."""
        return {ours: tensors[theirs] for ours, theirs in self.theirs.items()}


def load_checkpoint(
    model: nn.Module, source: str | Path | Checkpoint, *, reinit_head: bool = False
) -> LoadReport:
    """Copy the weights in a file into a model, or into a bare backbone, and report.

    Reads MMPose 0.x and 1.x, official HRNet and HigherHRNet, ImageNet-pretrained HRNet (official
    and timm), and our own files, in any form that `read_checkpoint` knows. All of it must fit, else
    CheckpointError is raised and the model is left as it was, with two exceptions: a file of a
    backbone, or of a network for another task, leaves the head as it is; `reinit_head=True` leaves
    the layers that depend on the number of keypoints as they are where that number differs, and
    the whole head where the file has another kind of it.

    A model of one channel (in_channels=1) takes weights of three, for grey images normalised by
    GREY_MEAN and GREY_STD; the report has a note of it.
    """
    file = source if isinstance(source, Checkpoint) else read_checkpoint(source)
    names = our_names(file.tensors, file.metadata)
    state = names.state(file.tensors)
    own = model.state_dict()
    notes = [*file.notes, *names.notes]
    is_bare = not any(name.startswith("backbone.") for name in own)  # a backbone, not a network
    if is_bare:
        inside = [name for name in state if name.startswith("backbone.")]
        state = {name.removeprefix("backbone."): state[name] for name in inside}
    elif other := _other_head(state, own, reinit_head):
        notes.append(f"left out another head: {_some([names.theirs[n] for n in other])}")
        state = {name: state[name] for name in state if name.startswith("backbone.")}
    # Without a head of ours in it, the file is of a backbone.
    is_backbone = is_bare or not any(name in own for name in _outside_backbone(state))
    if is_backbone:
        state = {n: t for n, t in state.items() if n in own or not CLASSIFIER_ONLY.match(n)}
    if summed := sum_channels(state, own):
        notes.append(f"of 3 channels, for grey images summed into 1: {_some(summed)}")
    report = LoadReport(
        format=names.format,
        matched=[n for n in own if n in state and own[n].shape == state[n].shape],
        missing=[n for n in own if n not in state],
        unexpected=[n for n in state if n not in own],
        misshaped=[n for n in own if n in state and own[n].shape != state[n].shape],
        metadata=file.metadata,
        notes=tuple(notes),
    )
    shapes = {n: f"{list(state[n].shape)}, model {list(own[n].shape)}" for n in report.misshaped}
    try:
        _check_fit(report, names.theirs, shapes, keypoint_layers(model), is_backbone, reinit_head)
        _check_finite({names.theirs.get(n, n): state[n] for n in report.matched})
    except CheckpointError as error:
        raise CheckpointError(f"{file.path}: {error}") from None
    model.load_state_dict({name: state[name] for name in report.matched}, strict=False)
    return report


def to_our_names(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> tuple[str, dict[str, Tensor]]:
    """Return the format of a state dict and its tensors under our names."""
    names = our_names(tensors, metadata)
    return names.format, names.state(tensors)


def our_names(names: Iterable[str], metadata: Mapping[str, str]) -> OurNames:
    """Find the format of a file by its names, and our name for each of its weights."""
    counters = [name for name in names if COUNTERS.match(name)]
    inside = {name: name for name in names if not COUNTERS.match(name)}  # unwrapped -> in the file
    notes = [f"left out counters: {_some(counters)}"] if counters else []
    while wrapped := _unwrap(inside):
        kept = set(wrapped.values())
        outside = [theirs for theirs in inside.values() if theirs not in kept]
        notes += [f"left out what is beside the network: {_some(outside)}"] if outside else []
        inside = wrapped
    kind = _detect(inside, metadata)
    ours = {}
    for name, theirs in inside.items():
        start, replacement = next(rule for rule in RULES[kind].items() if name.startswith(rule[0]))
        if replacement is not None:
            ours[replacement + name.removeprefix(start)] = theirs
    return OurNames(kind, ours, tuple(notes))


def their_name(kind: str, name: str) -> str:
    """Return the name that one of ours has in files of a format."""
    rules = [(ours, theirs) for theirs, ours in RULES[kind].items() if ours is not None]
    fitting = [rule for rule in rules if name.startswith(rule[0])]
    ours, theirs = max(fitting, key=lambda rule: len(rule[0]), default=("", ""))
    return theirs + name.removeprefix(ours)


def _unwrap(names: Mapping[str, str]) -> dict[str, str] | None:
    """Return the names below a wrapper's prefix without it, if they are most of all; else None."""
    for wrapper in WRAPPERS:
        below = {n.removeprefix(wrapper): t for n, t in names.items() if n.startswith(wrapper)}
        # Beside a network that is part of a larger module may stand a loss or a metric.
        if below and len(below) >= len(names) / 2:
            return below
    return None


def _detect(names: Iterable[str], metadata: Mapping[str, str]) -> str:
    starts = {name.partition(".")[0] for name in names}
    if "keypoint_head" in starts:
        return "mmpose-0.x"
    if "backbone" in starts:
        # CPM has no head, so its names are the same in 0.x and 1.x; only the file's own word tells.
        version = metadata.get("mmpose_version")
        if version is None:
            return "mmpose-1.x" if "data_preprocessor" in starts else "pose-backbones"
        return "mmpose-0.x" if version.startswith("0.") else "mmpose-1.x"
    if starts & {"final_layers", "deconv_layers"}:
        return "official-higherhrnet"
    if starts & {"incre_modules", "downsamp_modules", "classifier"}:
        return "imagenet-hrnet"
    return "official-hrnet" if "final_layer" in starts else "backbone"


def _other_head(
    state: Mapping[str, Tensor], own: Mapping[str, Tensor], reinit_head: bool
) -> list[str]:
    """Return the names of a head in the file that is not of the model's kind and can be left out.

    A head for another task can always be; another head for keypoints only where that is asked for.
    """
    rest = _outside_backbone(state)
    if any(name in own for name in rest):
        return []
    return rest if reinit_head or not any(map(POSE_HEAD.match, rest)) else []


def keypoint_layers(model: nn.Module) -> re.Pattern[str]:
    """Return the pattern of the names whose shapes depend on the number of keypoints.

    Those of the head, and those that a backbone with maps inside lists as `keypoint_layers`.
    """
    inside = getattr(getattr(model, "backbone", model), "keypoint_layers", ())
    return re.compile("|".join([r"head\.", *(rf"(backbone\.)?{layer}\." for layer in inside)]))


def _outside_backbone(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.startswith("backbone.")]


def _check_fit(
    report: LoadReport,
    theirs: Mapping[str, str],
    shapes: Mapping[str, str],
    layers: re.Pattern[str],
    is_backbone: bool,
    reinit_head: bool,
) -> None:
    """Raise CheckpointError, with the names as they are in the file, for what does not fit."""
    # PyTorch < 0.4.1 did not write the counters of batch norms.
    needed = [n for n in report.missing if not n.endswith(".num_batches_tracked")]
    if is_backbone:
        needed = [n for n in needed if not n.startswith("head.")]
    missing = [their_name(report.format, name) for name in needed]
    unexpected = [theirs.get(name, name) for name in report.unexpected]
    if unexpected and is_backbone and not needed and all(map(POSE_HEAD.match, report.unexpected)):
        raise CheckpointError(
            f"has another kind of head: {_some(unexpected)} are not of this model; {REINIT} takes "
            "the backbone and leaves the head as it is"
        )
    if unexpected or not report.matched:
        raise CheckpointError(
            f"is a {report.format} file for another model: {len(report.matched)} names fit, "
            f"{_some(unexpected)} are unknown, {_some(missing)} are missing"
        )
    if missing:
        raise CheckpointError(f"lacks {_some(missing)}")
    shown = {n: f"{theirs.get(n, n)} {shapes[n]}" for n in report.misshaped}
    other = [text for n, text in shown.items() if not layers.match(n)]
    if other:
        raise CheckpointError(f"is for another model; shapes: file {_some(other)}")
    if shown and not reinit_head:
        raise CheckpointError(
            f"has another number of keypoints; shapes: file {_some(list(shown.values()))}; "
            f"{REINIT} loads the rest and leaves these layers as they are"
        )


def _check_finite(tensors: Mapping[str, Tensor]) -> None:
    broken = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if broken:
        raise CheckpointError(
            f"has NaN or infinite values in {_some(broken)}: the training that saved it had "
            "failed; take a checkpoint from before"
        )


def _some(names: list[str]) -> str:
    """Word a list by its length and first entries."""
    more = ", ..." if len(names) > 3 else ""
    return f"{len(names)} ({', '.join(names[:3])}{more})" if names else "0"
