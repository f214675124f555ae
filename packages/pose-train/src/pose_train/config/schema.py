"""The keys of a config file, as frozen, typed dataclasses; `load.py` fills them.

A field's name is its key, its comment its meaning, its metadata the range of its values. Sizes are
(width, height). Values that do not fit together are a ConfigError that names their keys.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from pose_data import Augmentation, Scene, SceneAugmentation
from pose_data.ranges import between, within

RecipeName = Literal["topdown", "bottomup"]


class ConfigError(ValueError):
    """A config that cannot be used; the message names the file, the key and what is allowed."""


class RunError(ValueError):
    """A failure that is not the config's fault: a full disk, a lost process, NaN."""


@dataclass(frozen=True)
class AnnotationSet:
    annotations: str  # keypoint JSON, relative to the root
    images: str  # folder of its images, relative to the root


COCO_TRAIN = AnnotationSet("annotations/person_keypoints_train2017.json", "train2017")
COCO_VAL = AnnotationSet("annotations/person_keypoints_val2017.json", "val2017")


@dataclass(frozen=True)
class ExtraSource:
    """A further training set; keypoints are matched by name."""

    root: str | None = None  # needed to train, not to test
    format: Literal["coco", "aic"] = "coco"
    train: AnnotationSet = COCO_TRAIN
    # how often each person is sampled per epoch, on average; bottomup: each image
    ratio: float = field(default=1.0, metadata=within(0))
    balance: str | None = None  # as data.balance and data.weight, within this set
    weight: str | None = None


@dataclass(frozen=True)
class Detections:
    """A detector's boxes for the evaluation set, as a COCO results file."""

    file: str | None = None  # relative to data.root
    score_threshold: float = field(default=0.0, metadata=within(0, 1))
    per_image: int | None = field(default=None, metadata=within(1))  # keep the best of each image


@dataclass(frozen=True)
class Synthetic:
    num_train: int = field(metadata=within(1))  # images to draw for training
    num_val: int = field(metadata=within(1))  # images to draw for evaluation
    image_size: tuple[int, int] = field(default=(320, 240), metadata=within(16))
    people: tuple[int, int] | None = None  # fewest and most per image; None: one to four


@dataclass(frozen=True)
class Data:
    root: str | None = None  # a folder laid out like COCO
    synthetic: Synthetic | None = None  # or draw images, into RUN_DIR/data
    format: Literal["coco", "aic"] = "coco"  # of train and val
    train: AnnotationSet = COCO_TRAIN
    val: AnnotationSet = COCO_VAL
    # how often each person of train is sampled per epoch, on average; bottomup: each image
    ratio: float = field(default=1.0, metadata=within(0))
    # a key of train's images, else of its annotations, e.g. video_id or attributes.place: groups of
    # equal value are sampled equally often; an epoch stays as long as it was
    balance: str | None = None
    # such a key with numbers from 0 on: how often each is sampled, relative to the others
    weight: str | None = None
    extra: dict[str, ExtraSource] = field(default_factory=dict)  # further training sets, by name
    mix: Literal["merge", "combine"] = "merge"  # keypoints of the main set, or of all sets
    # keypoint: [its name in the other sets], or two names for the midpoint between them
    same: dict[str, tuple[str, ...]] = field(default_factory=dict)
    # names or ids, in train and val; None: all that have keypoints, which must be the same
    categories: tuple[int | str, ...] | None = None
    # [left, right] names that a mirrored image swaps; None: inferred from the names, []: none
    flip_pairs: tuple[tuple[str, str], ...] | None = None
    # OKS sigmas by keypoint name; others are COCO's of the same name, else 0.067
    sigmas: dict[str, float] = field(default_factory=dict, metadata=between(0))
    detections: Detections = Detections()
    # fast: decode JPEGs at half size or less where that is enough
    decode: Literal["exact", "fast"] = "exact"
    # auto: turn images upright, unless the annotation file's sizes are those of the stored pixels
    exif: Literal["auto", "apply", "ignore"] = "auto"
    # how many bits 16-bit images use, e.g. 12 for values up to 4095; None: all
    bits: int | None = field(default=None, metadata=within(8, 16))
    # opencv4: as published, whatever OpenCV is installed; None: opencv4 with weights by MMPose or
    # the papers' authors, else cv2
    warp: Literal["cv2", "opencv4"] | None = None
    cache_mb: float = field(default=96.0, metadata=within(0))  # decoded images, per worker
    # a folder that `pose-train pack` wrote: training takes its pixels from there, and needs no
    # images of train and extra; decode and cache_mb do not matter then
    packed: str | None = None
    # unreadable images that a worker may replace in training
    max_broken: int = field(default=10, metadata=within(0))

    @property
    def chosen_warp(self) -> Literal["cv2", "opencv4"]:
        """Return the warp; still None means that there are no weights by others."""
        return self.warp or "cv2"


@dataclass(frozen=True)
class Model:
    name: str  # a name of pose_backbones.list_models()
    input_size: tuple[int, int] = field(metadata=within(1))
    # topdown; None: that of the network's output
    heatmap_size: tuple[int, int] | None = field(default=None, metadata=within(1))
    heatmap_sizes: tuple[tuple[int, int], ...] = ()  # bottomup, coarse first; []: the network's
    # of pose_backbones' model, e.g. {width: 16}, or {in_channels: 1} for grey images
    options: dict[str, Any] = field(default_factory=dict)
    # to start from: a checkpoint, a run directory, a name in the zoo, or hf://USER/NAME
    weights: str | None = None
    reinit_head: bool = False  # load weights with other keypoints or another head, all but the head

    @property
    def channels(self) -> Literal[1, 3]:
        """Return the number of channels that the network takes: 3 for RGB, 1 for grey."""
        return 1 if self.options.get("in_channels", 3) == 1 else 3


@dataclass(frozen=True)
class Codec:
    sigma: float = 2.0  # of the Gaussians, in heatmap pixels
    refine: Literal["quarter", "dark", "none"] = "quarter"  # topdown
    unbiased: bool = False  # topdown: Gaussians centred at sub-pixel positions, as for DARK
    udp: bool = False  # topdown: unbiased crops and heatmaps, with their own decoding
    # kernel of dark and udp, in heatmap pixels; None: from sigma
    blur_size: int | None = field(default=None, metadata=within(1))


@dataclass(frozen=True)
class Grouping:
    """Bottom-up: how heatmaps and tags are grouped into people (AssociativeEmbedding)."""

    # people encoded per image, candidates decoded per keypoint
    max_instances: int = field(default=30, metadata=within(1))
    detection_threshold: float = field(default=0.1, metadata=within(0, 1))
    tag_threshold: float = field(default=1.0, metadata=between(0))
    nms_kernel: int = field(default=5, metadata=within(1))
    adjust: bool = True
    refine: bool = True


@dataclass(frozen=True)
class Loss:
    """What is trained. Bottom-up: the factors of the associative-embedding losses.

    The defaults are the published ones, for inputs of 512 and more. The heatmap loss is a mean over
    pixels: on smaller maps people are a larger part of it, and tags need larger factors to learn.
    """

    push: float = field(default=1e-3, metadata=within(0))
    pull: float = field(default=1e-3, metadata=within(0))
    supervise_empty: bool = True  # also train channels whose target is empty


@dataclass(frozen=True)
class Train:
    epochs: int = field(metadata=within(1))
    batch_size: int = field(metadata=within(1))  # samples per process and step
    lr: float = field(metadata=between(0))
    # the total batch size that lr is meant for; lr scales with the actual one
    base_batch_size: int | None = field(default=None, metadata=within(1))
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    weight_decay: float = field(default=0.0, metadata=within(0, 1))  # published recipes use none
    momentum: float = field(default=0.9, metadata=within(0, 1))  # of sgd
    schedule: Literal["step", "cosine"] = "step"
    # epochs after which the rate drops to a tenth
    lr_steps: tuple[int, ...] = field(default=(), metadata=between(0, ordered=True))
    # optimizer steps of linear warm-up from lr / 1000
    warmup_steps: int = field(default=500, metadata=within(0))
    clip_grad: float | None = field(default=None, metadata=between(0))  # maximum gradient norm
    accumulate: int = field(default=1, metadata=within(1))  # batches per optimizer step
    # decay of averaged weights, e.g. 0.999; these are then evaluated
    ema: float | None = field(default=None, metadata=between(0, 1))
    # evaluations without a better AP after which training stops, counted from the first AP above 0
    patience: int | None = field(default=None, metadata=within(1))
    # shell patterns of parameter names, [backbone.stem*], or with the last frozen epoch of each,
    # {backbone: 10}, null for ever; where several match, the longest counts
    freeze: tuple[str, ...] | dict[str, int | None] = field(default=(), metadata=within(1))
    freeze_bn: bool = False  # batch norms keep their statistics, their parameters still train
    # factors of the learning rate, by patterns as in freeze, e.g. {backbone: 0.1}
    lr_mult: dict[str, float] = field(default_factory=dict, metadata=between(0))
    # mixed precision; auto: bf16 where the device computes with it, else off
    amp: Literal["off", "bf16", "fp16", "auto"] = "off"
    compile: bool = False  # torch.compile
    channels_last: bool = True  # faster on CPU and GPU
    sync_bn: bool = False  # batch norm statistics over all processes
    # data loading processes per training process; at most as many as there are cores
    num_workers: int = field(default=2, metadata=within(0))
    # threads of the network on a CPU; None: as many as there are free cores
    num_threads: int | None = field(default=None, metadata=within(1))
    augment: Augmentation | None = field(default_factory=Augmentation)  # topdown
    scene: SceneAugmentation = field(default_factory=SceneAugmentation)  # bottomup
    device: str = "auto"  # cuda if available, else mps, else cpu


@dataclass(frozen=True)
class Eval:
    batch_size: int = field(default=64, metadata=within(1))  # per process
    # epochs; the last epoch is always evaluated
    every: int = field(default=10, metadata=within(1))
    loss: bool = True  # also the training loss on data.val, without augmentation
    flip_test: bool = True  # average with the heatmaps of the mirrored image
    boxes: Literal["gt", "detections", "image"] = "gt"  # topdown; image: the whole image
    nms: Literal["oks", "soft", "none"] = "oks"  # topdown with detections
    # OKS above which the lower-scored of two poses is removed
    nms_threshold: float = field(default=0.9, metadata=within(0, 1))
    # bottomup, e.g. [2, 1, 0.5]
    multi_scale: tuple[float, ...] = field(default=(1.0,), metadata=between(0))


@dataclass(frozen=True)
class Checkpoints:
    """Beyond checkpoint_last.pth (after each epoch) and checkpoint_best.pth (by AP)."""

    # epochs between numbered checkpoints, e.g. checkpoint_0010.pth; 0: none
    every: int = field(default=0, metadata=within(0))
    keep: int = field(default=3, metadata=within(1))  # how many numbered ones, the latest
    # also save checkpoint_last.pth this often within an epoch; 0: never
    minutes: float = field(default=10.0, metadata=within(0))


@dataclass(frozen=True)
class Log:
    # steps between readings of the loss, each of which waits for the GPU
    every: int = field(default=20, metadata=within(1))
    tensorboard: bool = False  # event files in the run directory; extra: pose-train[tensorboard]
    wandb: str | None = None  # a Weights & Biases project; extra: pose-train[wandb]


@dataclass(frozen=True)
class Config:
    data: Data
    model: Model
    train: Train
    recipe: RecipeName = "topdown"
    codec: Codec = Codec()
    grouping: Grouping = Grouping()
    loss: Loss = Loss()
    eval: Eval | None = Eval()  # None: train without evaluation and data.val
    checkpoints: Checkpoints = Checkpoints()
    log: Log = Log()
    seed: int = field(default=0, metadata=within(0, 2**63 - 1))
    out: str = ""  # run directory; by default the next free of runs/NAME-1, -2, ...
    preset: str | None = None  # set by load_config: the shipped preset that this is or builds on

    def __post_init__(self) -> None:
        _check_data(self.data, self.eval)
        _check_sizes(self.model, self.recipe)
        _check_numbers(self)
        if self.eval is None and self.train.patience is not None:
            raise ConfigError(
                f"train.patience is {self.train.patience}: it counts evaluations, and eval is "
                "null; remove one of them"
            )

    @property
    def chosen_eval(self) -> Eval:
        """Return how to test and predict; without `eval`, with the batch and flips of training."""
        if self.eval is not None:
            return self.eval
        augment = self.train.augment if self.recipe == "topdown" else self.train.scene
        is_flipped = augment is not None and augment.flip_prob > 0
        return Eval(batch_size=self.train.batch_size, flip_test=is_flipped)


def _check_data(data: Data, evaluation: Eval | None) -> None:
    if (data.root is None) == (data.synthetic is None):
        raise ConfigError("give either data.root (a folder laid out like COCO) or data.synthetic")
    if data.synthetic is not None:
        try:
            Scene(data.synthetic.people)
        except ValueError as error:
            raise ConfigError(f"data.synthetic.people: {error}") from error
    boxes = None if evaluation is None else evaluation.boxes
    if boxes == "detections" and data.detections.file is None:
        raise ConfigError(
            "eval.boxes is detections: give data.detections.file, a COCO results file of boxes, "
            "or take the annotated boxes with eval.boxes=gt"
        )
    for name, others in data.same.items():
        if not 1 <= len(others) <= 2:
            raise ConfigError(
                f"data.same.{name} must hold the one name of this keypoint in the other sets, or "
                f"the two that it is midway between, got {list(others)}"
            )


def _check_sizes(model: Model, recipe: str) -> None:
    channels = model.options.get("in_channels", 3)
    if channels not in (1, 3):
        raise ConfigError(f"model.options.in_channels must be 3 (RGB) or 1 (grey), got {channels}")
    wrong = model.heatmap_sizes if recipe == "topdown" else model.heatmap_size
    if wrong:
        right = "model.heatmap_size" if recipe == "topdown" else "model.heatmap_sizes"
        raise ConfigError(f"recipe {recipe} knows {right}, got {wrong} under the other name")
    size = model.heatmap_size or model.input_size
    for i, (inputs, heatmap) in enumerate(zip(model.input_size, size, strict=True)):
        if inputs % heatmap:
            raise ConfigError(
                f"model.heatmap_size[{i}] is {heatmap}: it must divide "
                f"model.input_size[{i}], which is {inputs}"
            )


def _check_numbers(config: Config) -> None:
    evaluation, sigma = config.chosen_eval, config.codec.sigma
    # The bottom-up codec takes -1 for a sigma that follows the size of the heatmap.
    if sigma <= 0 and not (config.recipe == "bottomup" and sigma == -1):
        raise ConfigError(f"codec.sigma must be above 0, got {sigma}")
    if not evaluation.multi_scale:
        raise ConfigError("eval.multi_scale must hold at least one factor, such as 1.0")
    if len(evaluation.multi_scale) > 1 and 1 not in evaluation.multi_scale:
        raise ConfigError(
            "eval.multi_scale must hold 1, the scale that tags are taken from, got "
            f"{list(evaluation.multi_scale)}"
        )
