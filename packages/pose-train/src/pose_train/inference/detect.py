"""Detectors: from an image to the boxes of its people, for top-down networks.

A detector is a function from a BGR image (H, W, 3) uint8 to boxes (P, 5): x1, y1, x2, y2 in pixels
of the image, score. `load_detector` makes one of a model of transformers or torchvision, of an ONNX
file or of another function; the last two without torch.
"""

import argparse
import difflib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pose_data.opencv import cv2
from pose_train.config.schema import ConfigError, RunError
from pose_train.files.images import Image
from pose_train.inference.network import Network
from pose_train.inference.onnx import open_on
from pose_train.inference.topdown import Detector, check_boxes
from pose_train.words import note

Floats = NDArray[np.float32]
Classes = Sequence[str | int] | str | int
# An image to boxes (N, 4) x1, y1, x2, y2 in its pixels and their scores (N,), in any order.
Detect = Callable[[Image], tuple[Floats, Floats]]

DEFAULT_DETECTOR = "PekingU/rtdetr_v2_r18vd"  # RT-DETRv2-S: 20 million parameters, Apache-2.0
PERSON = ("person",)
WHOLE = "note: the whole image is taken for one person"

SIZES = "orig_target_sizes"  # an input of RT-DETR's and D-FINE's own exports
FLOATS: dict[str, type[np.generic]] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
NUMBERS = FLOATS | {"tensor(int64)": np.int64, "tensor(int32)": np.int32}


def load_detector(
    source: str | Path | Detector,
    *,
    device: str = "auto",
    score: float = 0.5,
    nms: float = 0.7,
    classes: Classes = PERSON,
    download: bool = False,
    threads: int | None = None,
) -> Detector:
    """Return a function from a BGR image to boxes (P, 5) of its people, by falling score.

    source: one of
    - a folder with a model for `transformers.AutoModelForObjectDetection` (RT-DETR, D-FINE, DETR
      and the like) and its preprocessor_config.json, or its name on the Hugging Face hub,
      USER/NAME, as far as it is in the hub's cache; extra `pose-train[detect]`;
    - an ONNX file, in one of the forms that `_of_onnx` describes; torch is not imported;
    - a detection model of torchvision, or a module with the same interface: a list of RGB tensors
      (3, H, W) in 0..1 -> a list of dicts of `boxes`, `labels` and `scores`. It stays as it is and
      where it is, in evaluation mode;
    - a function from a BGR image to boxes (P, 4), whose scores are 1, or (P, 5), of people alone.

    device: of a folder or name as in `load_trained`, of an ONNX file as in `load_onnx`. score:
    boxes below it are left out. nms: of two boxes with a larger IoU the one with the lower score is
    left out; 1 keeps all. classes: names or numbers of the classes whose boxes are taken; a box has
    the largest score among them. download: fetch what is missing from the hub, unless POSE_OFFLINE
    is 1. threads: to compute with on a CPU; None leaves them as they are.

    Boxes are clipped to the image. Raises ConfigError where an extra, a class or a device is
    missing, RunError for a model that cannot be used; the detector raises RunError for NaN.
    """
    for name, value in {"score": score, "nms": nms}.items():
        if not 0 <= value <= 1:
            raise ConfigError(f"{name} of a detector must be from 0 to 1, got {value}")
    detect = _detect(source, device, classes, download, threads)

    def detector(image: Image) -> Floats:
        boxes, scores = detect(image)
        return choose_boxes(boxes, scores, (image.shape[1], image.shape[0]), score, nms)

    return detector


def find_detector(
    args: argparse.Namespace, network: Network, threads: int
) -> tuple[Detector | None, list[str]]:
    """Return what finds the people of a command, None for whole images, and lines about it.

    Raises ConfigError.
    """
    options = ("--boxes", "--detector", "--whole-image")
    values = (args.boxes, args.detector, args.whole_image or None)
    given = [each for each, value in zip(options, values, strict=True) if value is not None]
    if network.usage.is_bottomup:
        raise ConfigError(f"a bottom-up network finds people by itself: leave {given[-1]} out")
    if len(given) > 1:
        raise ConfigError(f"{given[0]} and {given[1]} both say where people are: leave one out")
    if args.whole_image:
        return None, []
    if args.detector is None and (reason := lacks_default()):
        return None, [f"{WHOLE}: {reason}"]
    lines = [f"people are found by {DEFAULT_DETECTOR}; --whole-image takes each image for a person"]
    detector = load_detector(
        args.detector or DEFAULT_DETECTOR,
        device=args.device,
        score=args.det_score,
        nms=args.det_nms,
        classes=args.classes,
        download=sys.stderr.isatty(),
        threads=threads,
    )
    return detector, lines if args.detector is None else []


def lacks_default() -> str | None:
    """Return why the default detector cannot be used here; None if it can.

    Its files must be in the hub's cache; where weights of the zoo may be fetched, on a terminal,
    they are fetched, too, with a line on stderr.
    """
    if importlib.util.find_spec("transformers") is None:
        return "the detector of people needs transformers: pip install 'pose-train[detect]'"
    from pose_backbones.weights import may_download
    from pose_train.inference.detr import model_folder

    try:
        model_folder(DEFAULT_DETECTOR, download=False)
        return None
    except ConfigError:
        if not may_download():
            return (
                f"the detector {DEFAULT_DETECTOR} is not in the Hugging Face cache; `hf download "
                f"{DEFAULT_DETECTOR}` fetches it"
            )
    note(f"fetching the detector {DEFAULT_DETECTOR} from the Hugging Face hub", to=sys.stderr)
    try:
        model_folder(DEFAULT_DETECTOR, download=True)
        return None
    except ConfigError as error:
        return str(error)


def _detect(
    source: str | Path | Detector,
    device: str,
    classes: Classes,
    download: bool,
    threads: int | None,
) -> Detect:
    """Return a function that finds all boxes of the classes, before any are left out."""
    if not isinstance(source, str | Path):
        if not callable(source):
            raise TypeError(
                "a detector must be a folder, an ONNX file, a model of the Hugging Face hub, a "
                f"module or a function, got {type(source).__name__}"
            )
        of_callable = _of_module if is_module(source) else _of_function
        return of_callable(source, classes)
    path = Path(source).expanduser()
    if path.suffix.lower() == ".onnx":
        return _of_onnx(path, device, classes, threads)
    if path.is_file():
        raise ConfigError(f"detector {source} must be a folder or an ONNX file")
    return _of_transformers(str(source), device, classes, download, threads)


def is_module(source: Any) -> bool:
    """Tell a torch.nn.Module from a function, without torch."""
    return hasattr(source, "state_dict") and hasattr(source, "parameters")


def choose_boxes(
    boxes: Floats, scores: Floats, size: tuple[int, int], min_score: float, max_iou: float
) -> Floats:
    """Return (P, 5) of boxes (N, 4) xyxy and scores (N,), by falling score.

    Boxes are clipped to an image of size (w, h). Left out: scores below min_score, boxes without
    an area, and what `box_nms` leaves out. Raises RunError for NaN and infinite numbers.
    """
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise RunError(
            "the detector returns NaN or infinite numbers: its weights hold some, or 16 bits are "
            "too few for it"
        )
    boxes = boxes.clip(0, size * 2)
    is_kept = (scores >= min_score) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    chosen = np.column_stack([boxes, scores])[is_kept].astype(np.float32)  # (P, 5)
    chosen = chosen[np.argsort(-chosen[:, 4], kind="stable")]
    return chosen[box_nms(chosen[:, :4], max_iou)]


def box_nms(boxes: Floats, max_iou: float) -> list[int]:
    """Return the indices that greedy NMS keeps of boxes (N, 4) xyxy, best first.

    A box is kept if its IoU with every box kept before it is max_iou or less.
    """
    kept, rest = [], np.arange(len(boxes))
    while len(rest):
        best, rest = rest[0], rest[1:]
        kept.append(int(best))
        rest = rest[iou(boxes[best], boxes[rest]) <= max_iou]
    return kept


def iou(box: Floats, boxes: Floats) -> Floats:
    """Return intersection over union (N,) of a box (4,) and boxes (N, 4), xyxy with areas."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])  # (N, 2)
    shared = sides.clip(0).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return shared / ((box[2:] - box[:2]).prod() + areas - shared)


def class_ids(
    classes: Classes, names: Mapping[int, str], source: str, *, is_named: bool = True
) -> list[int]:
    """Return the numbers of classes that are given by name, in any case, or by number.

    names: of the source's classes. is_named: it has no others; without, other numbers are taken as
    they are. Raises ConfigError.
    """
    number_of = {name.casefold(): number for number, name in names.items()}
    chosen = []
    for each in [classes] if isinstance(classes, str | int) else classes:
        text = str(each).casefold()
        number = number_of.get(text, int(text) if text.isdecimal() else -1)
        if number < 0 or (is_named and number not in names):
            close = difflib.get_close_matches(text, number_of, n=3)
            some = [f"{known} {name}" for known, name in list(names.items())[:10]]
            hint = f"it has {', '.join(some)}{', ...' * (len(names) > len(some))}"
            if close:
                hint = f"did you mean {' or '.join(close)}?"
            elif not is_named:
                hint = f"it does not name its classes: give numbers ({', '.join(some)})"
            raise ConfigError(f"detector {source} has no class {each!r}; {hint}")
        chosen.append(number)
    if not chosen:
        raise ConfigError(f"classes of detector {source} must be at least one")
    return chosen


def _of_function(function: Detector, classes: Classes) -> Detect:
    class_ids(classes, {0: "person"}, "given as a function")

    def detect(image: Image) -> tuple[Floats, Floats]:
        boxes = check_boxes(function(image))
        return boxes[:, :4], boxes[:, 4]

    return detect


def _of_module(module: Any, classes: Classes) -> Detect:
    """Return a function that runs a module with the interface of torchvision's detection models."""
    import torch

    name, keys = type(module).__name__, ("boxes", "labels", "scores")
    if module.training:
        raise ConfigError(f"detector {name} is in training mode: call its eval() first")
    chosen = class_ids(classes, {1: "person"}, name, is_named=False)  # 0 is the background
    device = next((each.device for each in module.parameters()), None)

    def detect(image: Image) -> tuple[Floats, Floats]:
        rgb = np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1))  # (3, H, W)
        with torch.inference_mode():
            found = module([torch.from_numpy(rgb).to(device) / 255])
        is_list = isinstance(found, list) and len(found) == 1 and isinstance(found[0], dict)
        if not is_list or not found[0].keys() >= set(keys):
            raise RunError(
                f"detector {name} must return a list with a dict of boxes, labels and scores for "
                f"each image, as torchvision's models do, got {type(found).__name__}"
            )
        boxes, labels, scores = (found[0][key].cpu().numpy() for key in keys)
        is_person = np.isin(labels, chosen)
        return boxes[is_person], scores[is_person]

    return detect


def _of_transformers(
    source: str, device: str, classes: Classes, download: bool, threads: int | None
) -> Detect:
    """Return a function that runs a model of transformers; source: a folder, or USER/NAME."""
    if importlib.util.find_spec("transformers") is None:
        raise ConfigError(
            f"detector {source} needs transformers: pip install 'pose-train[detect]', or give "
            "boxes of people (--boxes FILE)"
        )
    from pose_train.inference.detr import load_detr, model_folder

    run, names = load_detr(model_folder(source, download), device, threads)
    chosen = class_ids(classes, names, source)

    def detect(image: Image) -> tuple[Floats, Floats]:
        boxes, scores = run(image)
        return boxes, scores[:, chosen].max(axis=1)

    return detect


def _of_onnx(path: Path, device: str, classes: Classes, threads: int | None) -> Detect:
    """Return a function that runs an ONNX file with outputs `boxes`, `scores` and perhaps `labels`.

    Of one image: boxes (N, 4) xyxy or (1, N, 4), scores and labels (N,) or (1, N). Its input of
    floats is RGB in 0..1, (3, H, W) or (1, 3, H, W); images are resized to H and W if these are
    fixed. Two forms are told apart:
    - as torchvision's models are exported: boxes are in pixels of the input, class 1 is person;
    - as RT-DETR and D-FINE export theirs: with a second input `orig_target_sizes` (1, 2), which is
      the (w, h) of the image, in whose pixels the boxes are; class 0 is person.
    Without labels all boxes are people's.
    """
    session, _ = open_on(path, device, threads=threads)
    form = _onnx_form(path, session)
    outputs = [each.name for each in session.get_outputs()]
    has_labels, person = "labels" in outputs, 1 if form.sizes_type is None else 0
    chosen = class_ids(classes, {person: "person"}, str(path), is_named=not has_labels)

    def detect(image: Image) -> tuple[Floats, Floats]:
        size = image.shape[1], image.shape[0]
        input_size = form.input_size or size
        rgb = resized(image, input_size)[..., ::-1].transpose(2, 0, 1) / 255  # (3, h, w)
        rgb = rgb.astype(form.image_type)
        feeds = {form.image: rgb[None] if form.is_batch else rgb}
        factor = np.divide(size, input_size, dtype=np.float32)
        if form.sizes_type is not None:
            feeds[SIZES], factor = np.array([size], form.sizes_type), np.ones(2, np.float32)
        found = dict(zip(outputs, session.run(None, feeds), strict=True))
        boxes, scores = found["boxes"].reshape(-1, 4), found["scores"].ravel()
        boxes = boxes * np.tile(factor, 2)
        if not has_labels:
            return boxes, scores
        is_person = np.isin(found["labels"].ravel(), chosen)
        return boxes[is_person], scores[is_person]

    return detect


def resized(image: Image, size: tuple[int, int]) -> Image:
    """Resize an image to (w, h); where both sides become smaller, by averaging its pixels."""
    is_smaller = size[0] <= image.shape[1] and size[1] <= image.shape[0]
    how = cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR
    return cv2.resize(image, size, interpolation=how)  # type: ignore[return-value]


class _OnnxForm(NamedTuple):
    """The inputs of an ONNX detector.

    image: name of the image's, image_type: of its numbers. is_batch: whether it has an axis for
    several images. input_size: (w, h) where it is fixed. sizes_type: of SIZES, None without it.
    """

    image: str
    image_type: type[np.generic]
    is_batch: bool
    input_size: tuple[int, int] | None
    sizes_type: type[np.generic] | None


def _onnx_form(path: Path, session: Any) -> _OnnxForm:
    """Return the form of an ONNX detector; raises RunError for any but the two of `_of_onnx`."""
    inputs = {each.name: each for each in session.get_inputs()}
    sizes = inputs.pop(SIZES, None)
    outputs = [each.name for each in session.get_outputs()]
    shapes = [each.shape for each in inputs.values()]  # a side that is free has a name for a number
    if len(shapes) == 1 and len(shapes[0]) in (3, 4) and {"boxes", "scores"} <= set(outputs):
        (image,) = inputs.values()
        *batch, channels, height, width = image.shape
        fixed = [side for side in (width, height) if isinstance(side, int)]
        is_one = channels == 3 and not (batch and isinstance(batch[0], int) and batch[0] != 1)
        is_sized = len(fixed) == 2 or (not fixed and sizes is None)
        is_typed = image.type in FLOATS and (sizes is None or sizes.type in NUMBERS)
        if is_one and is_sized and is_typed:
            size = (fixed[0], fixed[1]) if fixed else None
            sizes_type = None if sizes is None else NUMBERS[sizes.type]
            return _OnnxForm(image.name, FLOATS[image.type], bool(batch), size, sizes_type)
    described = ", ".join(f"{each.name} {each.type} {each.shape}" for each in session.get_inputs())
    raise RunError(
        f"{path} cannot be used as a detector: its inputs are {described}, its outputs "
        f"{', '.join(outputs)}. Expected are RGB floats (3, H, W) or (1, 3, H, W), perhaps "
        f"{SIZES}, with which H and W must be fixed, and outputs boxes, scores and perhaps labels, "
        "as torchvision, RT-DETR and D-FINE export them"
    )
