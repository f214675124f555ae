"""RT-DETR, D-FINE, DETR and similar models of transformers: image -> boxes and their scores.

Images are prepared and outputs decoded here: transformers' own image processors need torchvision
or PIL.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pose_backbones.hub import hub_error
from pose_backbones.weights import is_offline
from pose_train.config.schema import ConfigError, RunError
from pose_train.cores import find_device
from pose_train.files.images import Image

Floats = NDArray[np.float32]
# An image to boxes (Q, 4) x1, y1, x2, y2 in its pixels and their scores (Q, C) of C classes.
Detr = Callable[[Image], tuple[Floats, Floats]]

PREPROCESSING = "preprocessor_config.json"
FILES = ("config.json", PREPROCESSING, "*.safetensors")
MODES = {2: "bilinear", 3: "bicubic"}  # by the numbers that PIL has for them


def load_detr(
    folder: Path, device: str = "auto", threads: int | None = None
) -> tuple[Detr, dict[int, str]]:
    """Load a model of `AutoModelForObjectDetection`; return a function that runs it.

    Returns also the names of its classes. device: as in `load_trained`. threads: of torch on a CPU;
    None leaves them as they are. Raises ConfigError for a device that is missing, RunError for a
    folder that cannot be used.
    """
    preparation = read_preparation(folder / PREPROCESSING)
    model = _load_model(folder).to(find_device(device, 0))
    num_classes = model.config.num_labels
    if threads is not None:
        torch.set_num_threads(threads)

    def run(image: Image) -> tuple[Floats, Floats]:
        with torch.inference_mode():
            output = model(pixel_values=prepare(image, preparation).to(model.device))
            logits, boxes = output.logits[0].float(), output.pred_boxes[0].float()  # (Q, C), (Q, 4)
            # DETR itself has one class more, for no object; its successors' focal loss has none.
            has_none = logits.shape[1] == num_classes + 1
            scores = logits.softmax(1)[:, :-1] if has_none else logits.sigmoid()
            center, size = boxes.split(2, dim=1)  # in 0..1
            corners = torch.cat([center - size / 2, center + size / 2], dim=1)  # (Q, 4)
        height, width = image.shape[:2]
        scale = np.array([width, height, width, height], np.float32)
        return corners.cpu().numpy() * scale, scores.cpu().numpy()

    return run, dict(model.config.id2label)


def _load_model(folder: Path) -> Any:
    """Return the model in a folder in evaluation mode; raises RunError."""
    import transformers

    try:
        model, info = transformers.AutoModelForObjectDetection.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,  # data alone, where pickles run code
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        version = transformers.__version__
        raise RunError(
            f"{folder}: transformers {version} cannot load it as a detector: {reason}"
        ) from error
    if missing := sorted(info["missing_keys"]):
        raise RunError(
            f"{folder} holds no trained detector: {missing[0]} and {len(missing) - 1} other "
            "weights are missing"
        )
    return model.float().eval()


class Preparation(NamedTuple):
    """What a model wants done to an image.

    sides: its height and width, or with keeps_ratio those of the shorter side and the most for the
    longer one. mode: of torch's interpolation. Pixels in RGB order are multiplied by factor, then
    normalised by mean and std (3,).
    """

    sides: tuple[int, int]
    keeps_ratio: bool
    mode: str
    factor: float
    mean: Tensor
    std: Tensor


def read_preparation(path: Path) -> Preparation:
    """Read preprocessor_config.json; raises RunError for what is missing or not supported."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        size = content["size"]
        if isinstance(size, int):  # as older files have it
            size = {"shortest_edge": size, "longest_edge": content["max_size"]}
        keeps_ratio = "shortest_edge" in size
        sides = ("shortest_edge", "longest_edge") if keeps_ratio else ("height", "width")
        is_normalised = content["do_normalize"]
        unsupported = [key for key in ("pad_size", "do_center_crop") if content.get(key)]
        unsupported += ["do_resize false"] * (not content.get("do_resize", True))
        if unsupported:
            raise ValueError(f"{unsupported[0]} is not supported")
        return Preparation(
            sides=(int(size[sides[0]]), int(size[sides[1]])),
            keeps_ratio=keeps_ratio,
            mode=MODES[content.get("resample", 2)],
            factor=content.get("rescale_factor", 1 / 255) if content.get("do_rescale", True) else 1,
            mean=torch.tensor(content["image_mean"] if is_normalised else [0.0] * 3),
            std=torch.tensor(content["image_std"] if is_normalised else [1.0] * 3),
        )
    except FileNotFoundError:
        raise RunError(
            f"{path} is missing: it says how images are prepared for the model"
        ) from None
    except KeyError as error:
        raise RunError(f"{path}: {error} is missing, or not supported") from error
    except (OSError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        # RuntimeError: what no tensor can be made of, and RecursionError is one.
        raise RunError(f"{path} cannot be used: {error}") from error


def prepare(image: Image, preparation: Preparation) -> Tensor:
    """Return a BGR image (H, W, 3) as the model's input (1, 3, h, w), float32 RGB.

    It is resized as PIL and torchvision do it, with the filter widened where it becomes smaller,
    to a difference of 1 in 255.
    """
    rgb = np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1))[None]  # (1, 3, H, W)
    sides = preparation.sides
    if preparation.keeps_ratio:
        sides = fitted(rgb.shape[2:], *sides)
    pixels = torch.nn.functional.interpolate(
        torch.from_numpy(rgb), sides, mode=preparation.mode, antialias=True
    )  # (1, 3, h, w)
    mean, std = preparation.mean[:, None, None], preparation.std[:, None, None]
    return (pixels * preparation.factor - mean) / std


def fitted(sides: tuple[int, ...], shorter: int, longest: int) -> tuple[int, int]:
    """Return the (height, width) to resize to: the shorter side as given, the longer one bounded.

    Rounded as DETR does: the shorter side to the nearest, the longer one down.
    """
    low, high = min(sides), max(sides)
    exact: float = shorter
    if high / low * shorter > longest:
        exact = longest * low / high
    if round(exact) == low:
        return sides[0], sides[1]
    long_side = int(exact * high / low)
    return (round(exact), long_side) if sides[0] == low else (long_side, round(exact))


def model_folder(source: str, download: bool) -> Path:
    """Return a folder, or that of USER/NAME or USER/NAME@REVISION in the Hugging Face cache.

    download: fetch what is missing there. Raises ConfigError where the model is not there and may
    not be, or cannot be, downloaded.
    """
    if (folder := Path(source).expanduser()).is_dir():
        return folder
    from huggingface_hub import constants, snapshot_download

    named = re.fullmatch(r"(?:hf://)?([\w.-]+/[\w.-]+)(?:@(.+))?", source)
    if named is None:
        raise ConfigError(
            f"detector {source} is neither a folder nor an ONNX file, nor a model of the Hugging "
            "Face hub (USER/NAME)"
        )
    reason = ""
    # The cache first: the hub is not asked for what is there.
    for only_local in (True, False) if download and not is_offline() else (True,):
        try:
            found = snapshot_download(
                named[1],
                revision=named[2],
                allow_patterns=list(FILES),
                local_files_only=only_local,
            )
        except (OSError, ValueError) as error:  # not found, no network, no access, no valid name
            reason = hub_error(error)
            continue
        if all(any(Path(found).glob(each)) for each in FILES):
            return Path(found)
        reason = "the hub does not have all of them"
    missing = (
        f"detector {source} is no folder, and the Hugging Face cache {constants.HF_HUB_CACHE} does "
        f"not hold its {', '.join(FILES)}"
    )
    if not download:
        raise ConfigError(
            f"{missing}: `hf download {named[1]}` fetches them (in Python, download=True); or "
            "give boxes of people (--boxes FILE)"
        )
    if is_offline():
        raise ConfigError(f"{missing}, and POSE_OFFLINE=1 forbids to download them")
    raise ConfigError(f"{missing}, and they cannot be downloaded: {reason}")
