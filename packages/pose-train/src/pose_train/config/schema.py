"""The vocabulary of a config file, as frozen, typed objects; `read_config.py` fills them.

A field's name is its key, its comment its meaning, its metadata the range of its values. Sizes are
(width, height). What does not fit together is a ConfigError that names the keys.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from pose_data import Augmentation, Scene, SceneAugmentation
from pose_data.ranges import between, within

RecipeName = Literal["topdown", "bottomup"]


class ConfigError(ValueError):
    """A config that cannot be used; the message names the file, the key and what is allowed."""


class RunError(ValueError):
    """What failed though its config was right: a full disk, a lost process, NaN."""


@dataclass(frozen=True)
class AnnotationSet:
    annotations: str  # keypoint JSON, relative to the root
    images: str  # folder of its pictures, relative to the root


COCO_TRAIN = AnnotationSet("annotations/person_keypoints_train2017.json", "train2017")
COCO_VAL = AnnotationSet("annotations/person_keypoints_val2017.json", "val2017")


@dataclass(frozen=True)
class ExtraSource:
    """A further training set; its keypoints are matched by name."""

    root: str | None = None  # needed to train, not to test
    format: Literal["coco", "aic"] = "coco"
    train: AnnotationSet = COCO_TRAIN
    # how often each person comes in an epoch on average; bottomup: each picture
    ratio: float = field(default=1.0, metadata=within(0))
    balance: str | None = None  # as data.balance and data.weight, among its own
    weight: str | None = None


@dataclass(frozen=True)
class Detections:
    """A detector's boxes for the evaluation set, as a COCO results file."""

    file: str | None = None  # relative to data.root
    score_threshold: float = field(default=0.0, metadata=within(0, 1))
    per_image: int | None = field(default=None, metadata=within(1))  # only the best of each picture


@dataclass(frozen=True)
class Synthetic:
    num_train: int = field(metadata=within(1))  # pictures to make for training
    num_val: int = field(metadata=within(1))  # pictures to make for evaluation
    image_size: tuple[int, int] = field(default=(320, 240), metadata=within(16))
    people: tuple[int, int] | None = None  # fewest and most of a picture; None: one to four


@dataclass(frozen=True)
class Data:
    root: str | None = None  # a folder laid out like COCO
    synthetic: Synthetic | None = None  # or make pictures, into RUN_DIR/data
    format: Literal["coco", "aic"] = "coco"  # of train and val
    train: AnnotationSet = COCO_TRAIN
    val: AnnotationSet = COCO_VAL
    # how often each person of train comes in an epoch; bottomup: each picture
    ratio: float = field(default=1.0, metadata=within(0))
    # a key of images, else of annotations, in the file of train, e.g. video_id or attributes.place:
    # groups of equal value come equally often, in an epoch as long as before
    balance: str | None = None
    # such a key with numbers from 0 on: how often each comes, relative to the others
    weight: str | None = None
    extra: dict[str, ExtraSource] = field(default_factory=dict)  # more to train on, by any name
    mix: Literal["merge", "combine"] = "merge"  # keypoints of the main set, or those of all sets
    same: dict[str, tuple[str, ...]] = field(default_factory=dict)  # name: [its name elsewhere];
    # two names stand for the middle between them
    # names or ids, of train and val; None: all with keypoints, which must then be the same
    categories: tuple[int | str, ...] | None = None
    # [left, right] names that a mirrored image exchanges; None: told from the names, []: none
    flip_pairs: tuple[tuple[str, str], ...] | None = None
    # of OKS, by name, of keypoints whose sigma is not that of COCO's of this name, else 0.067
    sigmas: dict[str, float] = field(default_factory=dict, metadata=between(0))
    detections: Detections = Detections()
    decode: Literal["exact", "fast"] = "exact"  # fast: JPEGs at a half or less where that suffices
    # auto: images upright, unless the file's sizes are those of the stored pixels
    exif: Literal["auto", "apply", "ignore"] = "auto"
    # how many bits of 16-bit images are in use, 12 for values up to 4095; None: all
    bits: int | None = field(default=None, metadata=within(8, 16))
    # opencv4: as published, whatever OpenCV is installed; None: that with weights of MMPose's or
    # the papers' authors', else cv2
    warp: Literal["cv2", "opencv4"] | None = None
    cache_mb: float = field(default=96.0, metadata=within(0))  # decoded pictures a worker keeps
    # pictures that a worker may replace in training because they cannot be read
    max_broken: int = field(default=10, metadata=within(0))

    @property
    def chosen_warp(self) -> Literal["cv2", "opencv4"]:
        """Return the warp; where nothing has settled it, there are no weights of others."""
        return self.warp or "cv2"


@dataclass(frozen=True)
class Model:
    name: str  # a name of pose_backbones.list_models()
    input_size: tuple[int, int] = field(metadata=within(1))
    # topdown; None: what the network makes
    heatmap_size: tuple[int, int] | None = field(default=None, metadata=within(1))
    heatmap_sizes: tuple[tuple[int, int], ...] = ()  # bottomup, coarse first; (): the network's
    # e.g. {width: 16}; {in_channels: 1}: a network of grey images
    options: dict[str, Any] = field(default_factory=dict)
    weights: str | None = None  # to start from: a checkpoint, a run directory, a name of the zoo
    reinit_head: bool = False  # take weights of another number of keypoints or another kind of head

    @property
    def channels(self) -> Literal[1, 3]:
        """Return how many channels of images the network sees: 3 are RGB, 1 is grey."""
        return 1 if self.options.get("in_channels", 3) == 1 else 3


@dataclass(frozen=True)
class Codec:
    sigma: float = 2.0  # of the Gaussians, in heatmap pixels
    refine: Literal["quarter", "dark", "none"] = "quarter"  # topdown
    unbiased: bool = False  # topdown: Gaussians at sub-pixel positions, as DARK trains with
    udp: bool = False  # topdown: unbiased crops and heatmaps; decoded by their own rule
    # of dark and udp, in heatmap pixels; None: from sigma
    blur_size: int | None = field(default=None, metadata=within(1))


@dataclass(frozen=True)
class Grouping:
    """Bottom-up: how heatmaps and tags become people (pose_codecs.AssociativeEmbedding)."""

    # people encoded per picture, candidates decoded per keypoint
    max_instances: int = field(default=30, metadata=within(1))
    detection_threshold: float = field(default=0.1, metadata=within(0, 1))
    tag_threshold: float = field(default=1.0, metadata=between(0))
    nms_kernel: int = field(default=5, metadata=within(1))
    adjust: bool = True
    refine: bool = True


@dataclass(frozen=True)
class Loss:
    """Bottom-up: factors of the associative-embedding losses.

    The defaults are published for inputs of 512 and more. The heatmap loss is a mean over pixels,
    so that on smaller maps people make more of it, and tags are learnt only with larger factors.
    """

    push: float = field(default=1e-3, metadata=within(0))
    pull: float = field(default=1e-3, metadata=within(0))
    supervise_empty: bool = True  # count channels whose target is empty


@dataclass(frozen=True)
class Train:
    epochs: int = field(metadata=within(1))
    batch_size: int = field(metadata=within(1))  # samples per process and step
    lr: float = field(metadata=between(0))
    # that lr is meant for; lr scales with what a step sees
    base_batch_size: int | None = field(default=None, metadata=within(1))
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    weight_decay: float = field(default=0.0, metadata=within(0, 1))  # the published have none
    momentum: float = field(default=0.9, metadata=within(0, 1))  # of sgd
    schedule: Literal["step", "cosine"] = "step"
    # epochs after which the rate falls to a tenth
    lr_steps: tuple[int, ...] = field(default=(), metadata=between(0, ordered=True))
    # optimizer steps of linear warm-up from lr / 1000
    warmup_steps: int = field(default=500, metadata=within(0))
    clip_grad: float | None = field(default=None, metadata=between(0))  # largest norm
    accumulate: int = field(default=1, metadata=within(1))  # batches per optimizer step
    # decay of the averaged weights, which are what is evaluated, such as 0.999
    ema: float | None = field(default=None, metadata=between(0, 1))
    # evaluations without a better AP after which training stops; those before the first AP above
    # 0 do not count
    patience: int | None = field(default=None, metadata=within(1))
    # shell patterns of parameter names, [backbone.stem*]; or with the last epoch of each,
    # {backbone: 10}, null for ever. Of several that match a parameter the longest decides
    freeze: tuple[str, ...] | dict[str, int | None] = field(default=(), metadata=within(1))
    freeze_bn: bool = False  # batch norms keep their statistics; their parameters still train
    # factors on the rate, by patterns as in freeze, e.g. {backbone: 0.1}
    lr_mult: dict[str, float] = field(default_factory=dict, metadata=between(0))
    amp: Literal["off", "bf16", "fp16"] = "off"  # autocast
    compile: bool = False  # torch.compile
    channels_last: bool = True  # faster on CPU and GPU
    sync_bn: bool = False  # batch statistics over all processes
    # processes that make samples, per training process; no more are started than there are cores
    num_workers: int = field(default=2, metadata=within(0))
    # threads of the network on a CPU; None: as many as cores are free
    num_threads: int | None = field(default=None, metadata=within(1))
    augment: Augmentation | None = field(default_factory=Augmentation)  # topdown
    scene: SceneAugmentation = field(default_factory=SceneAugmentation)  # bottomup
    device: str = "auto"  # cuda where there is one, else cpu


@dataclass(frozen=True)
class Eval:
    batch_size: int = field(default=64, metadata=within(1))  # per process
    # epochs; the last epoch is always evaluated
    every: int = field(default=10, metadata=within(1))
    loss: bool = True  # the training loss of the evaluated set, too, without augmentation
    flip_test: bool = True  # average with the mirrored picture's heatmaps
    boxes: Literal["gt", "detections", "image"] = "gt"  # topdown; image: the whole picture
    nms: Literal["oks", "soft", "none"] = "oks"  # topdown with detections
    # OKS above which the lower-scored of two poses goes
    nms_threshold: float = field(default=0.9, metadata=within(0, 1))
    # bottomup, e.g. [2, 1, 0.5]
    multi_scale: tuple[float, ...] = field(default=(1.0,), metadata=between(0))


@dataclass(frozen=True)
class Checkpoints:
    """Besides checkpoint_last.pth (after each epoch) and checkpoint_best.pth (by AP)."""

    # epochs between checkpoints that stay, checkpoint_0010.pth; 0: none
    every: int = field(default=0, metadata=within(0))
    keep: int = field(default=3, metadata=within(1))  # how many of those
    # save checkpoint_last.pth this often within an epoch, too; 0: never
    minutes: float = field(default=10.0, metadata=within(0))


@dataclass(frozen=True)
class Log:
    # steps between looks at the loss; a look waits for the GPU
    every: int = field(default=20, metadata=within(1))
    tensorboard: bool = False  # event files in the run directory; extra: pose-train[tensorboard]
    wandb: str | None = None  # a project of Weights & Biases; extra: pose-train[wandb]


@dataclass(frozen=True)
class Config:
    data: Data
    model: Model
    train: Train
    recipe: RecipeName = "topdown"
    codec: Codec = Codec()
    grouping: Grouping = Grouping()
    loss: Loss = Loss()
    eval: Eval | None = Eval()  # None: train without evaluation, data.val is not needed
    checkpoints: Checkpoints = Checkpoints()
    log: Log = Log()
    seed: int = field(default=0, metadata=within(0, 2**63 - 1))
    out: str = ""  # run directory; by default the next free one of runs/NAME-1, -2, ...
    preset: str | None = None  # the shipped preset that it is or has as its base; need not be given

    def __post_init__(self) -> None:
        _check_data(self.data, self.eval)
        _check_sizes(self.model, self.recipe)
        _check_numbers(self)
        if self.eval is None and self.train.patience is not None:
            raise ConfigError(
                f"train.patience is {self.train.patience}: it counts evaluations, and eval is "
                "null; leave one of them out"
            )

    @property
    def chosen_eval(self) -> Eval:
        """Return how to test and predict; without `eval` as was trained: its batch, its flips."""
        if self.eval is not None:
            return self.eval
        plan = self.train
        augment = plan.augment if self.recipe == "topdown" else plan.scene
        is_flipped = augment is not None and augment.flip_prob > 0
        return Eval(batch_size=plan.batch_size, flip_test=is_flipped)


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
                f"data.same.{name} must hold the one name of this keypoint elsewhere, or two with "
                f"it in their middle, got {list(others)}"
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
        if heatmap < 1 or inputs % heatmap:
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
            "eval.multi_scale must hold 1, the scale at which tags are taken, got "
            f"{list(evaluation.multi_scale)}"
        )
