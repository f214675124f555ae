"""Images to people, in three lines of Python."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from numpy.typing import ArrayLike

from pose_data import Skeleton
from pose_train.config.schema import ConfigError
from pose_train.inference.detect import (
    DEFAULT_DETECTOR,
    is_module,
    lacks_default,
    load_detector,
)
from pose_train.inference.network import Network
from pose_train.inference.onnx import load_onnx
from pose_train.inference.people import People
from pose_train.inference.topdown import Boxes, Detector

if TYPE_CHECKING:
    from pose_train.inference.load import Trained


_log = logging.getLogger("pose_train")


class Predictor:
    """Find people with a trained network: `Predictor("runs/mine")("photo.jpg")`."""

    def __init__(
        self,
        source: "str | Path | Trained | Network",
        flip_test: bool | None = None,
        batch_size: int = 32,
        *,
        weights: str | Path | None = None,
        device: str = "auto",
        overrides: Sequence[str] = (),
        amp: str = "off",
        compiled: bool = False,
        detector: str | Path | Detector | None = "auto",
    ) -> None:
        """Load a network: a run directory, a checkpoint of ours, hf://USER/NAME, a preset, or ONNX.

        A name that ends in .onnx is a file of `pose-train export`, run without torch. A network
        that is loaded already is taken as it is. flip_test: average with the mirrored image; None
        is as in the config. batch_size: boxes that go through the network at once. device: as in
        `load_trained`; of an ONNX file as in `load_onnx`. overrides: of the config,
        `key.sub=value`. amp: "bf16" or "fp16" computes with 16 bits, which is faster where the
        hardware has them (there, "auto" is bf16) and moves keypoints by a fraction of a pixel.
        compiled: by torch.compile.

        detector: finds the people for a top-down network where a call gives no boxes: what
        `load_detector` loads by its defaults, or a function, such as one that it has returned,
        which is called as it is. None takes the whole image for one person. "auto" does so, too,
        unless the network is `of_people` and the default detector can be used (`lacks_default`);
        it is loaded when it is first needed, and a line of logging says what was chosen.

        Raises ConfigError, RunError or CheckpointError.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self._given = source, weights, overrides
        self.network = load_network(
            source,
            weights=weights,
            device=device,
            overrides=overrides,
            amp=amp,
            compiled=compiled,
        )
        self.detector: Detector | None = None
        self._is_undecided = detector == "auto" and self.network.of_people
        self._device = device
        if detector is not None and detector != "auto":
            if self.network.usage.is_bottomup:
                raise ConfigError("a bottom-up network finds people by itself: leave detector out")
            if isinstance(detector, str | Path) or is_module(detector):
                detector = load_detector(detector, device=device)
            self.detector = detector
        self.batch_size = batch_size
        self.flip_test = self.network.usage.flip_test if flip_test is None else flip_test

    @classmethod
    def from_checkpoint(
        cls,
        source: str | Path,
        *,
        weights: str | Path | None = None,
        device: str = "auto",
        flip_test: bool | None = None,
        overrides: Sequence[str] = (),
    ) -> "Predictor":
        """Do what Predictor(source, ...) does."""
        return cls(source, flip_test, weights=weights, device=device, overrides=overrides)

    @classmethod
    def from_onnx(
        cls,
        path: str | Path,
        *,
        device: str = "auto",
        providers: Sequence[str | tuple[str, Any]] | None = None,
        flip_test: bool | None = None,
        batch_size: int = 32,
    ) -> "Predictor":
        """Load an ONNX file of `pose-train export` under any name, without torch.

        device, providers: as in `load_onnx`. Raises ConfigError or RunError.
        """
        return cls(load_onnx(Path(path).expanduser(), device, providers), flip_test, batch_size)

    def __repr__(self) -> str:
        flips = "with" if self.flip_test else "without"
        return f"Predictor({self.network!r}, {flips} flip test, batches of {self.batch_size})"

    def push_to_hub(self, repo: str, *, private: bool = False, license: str | None = None) -> str:
        """Publish the network as USER/NAME on the Hugging Face hub and return its URL.

        Weights (safetensors), config, skeleton and a model card, for `Predictor("hf://USER/NAME")`.
        private, license: as in `publish`. Raises ConfigError for an exported network, and what
        `publish` raises.
        """
        from pose_train.inference.load import Trained, load_trained
        from pose_train.inference.publish import publish

        source, weights, overrides = self._given
        if isinstance(source, Network) or Path(str(source)).suffix.lower() == ".onnx":
            raise ConfigError(
                "an exported network cannot be published: publish the run directory or the "
                "checkpoint that it was exported from"
            )
        if not isinstance(source, Trained):  # as it was before its batch norms were folded
            source = load_trained(source, weights=weights, overrides=overrides, device="cpu")
        return publish(source, repo, private=private, license=license)

    @property
    def skeleton(self) -> Skeleton:
        """The names of the K keypoints, what mirrors what, and the links between them."""
        return self.network.usage.skeleton

    @overload
    def __call__(
        self,
        image: list[Any] | tuple[Any, ...],
        bboxes: Sequence[ArrayLike | None] | Detector | None = None,
        *,
        heatmaps: bool = False,
    ) -> list[People]: ...

    @overload
    def __call__(self, image: Any, bboxes: Boxes = None, *, heatmaps: bool = False) -> People: ...

    def __call__(
        self, image: Any, bboxes: Any = None, *, heatmaps: bool = False
    ) -> People | list[People]:
        """Return the people in an image, or of each image in a list or tuple, in its order.

        image: a path, the bytes of a file, an array (H, W, 3) BGR as OpenCV reads or (H, W) grey,
        a PIL image, or a torch tensor uint8 RGB, (3, H, W) or (H, W, 3); see `read_pixels`. A file
        is seen upright, by its EXIF orientation, and so are the results. Of 16-bit images as many
        bits are in use as `data.bits` of the config says.

        bboxes: (P, 4) xyxy of the persons, or (P, 5) with the boxes' scores, or a function that
        returns them for a BGR array; for a list of images a list of these arrays. Where there are
        none (None) a top-down network takes the boxes of the detector, or without one the whole
        image for one person; a bottom-up network needs none, and takes none.

        heatmaps: keep them in `people.heatmaps`. The boxes of all images go through the network
        `batch_size` at once; bottom-up, images of one size that follow each other, as many as
        `eval.batch_size`. In another batch the last bits of a result may be others.

        Raises DatasetError for a file that cannot be read and for a strip that bottom-up would not
        fit into memory, ValueError for wrong shapes, TypeError for what is no image.
        """
        is_list = isinstance(image, list | tuple)
        images = image if is_list else [image]
        is_shared = not is_list or bboxes is None or callable(bboxes)
        boxes = [bboxes] * len(images) if is_shared else list(bboxes)
        if len(boxes) != len(images):
            raise ValueError(f"{len(images)} images need as many bboxes, got {len(boxes)}")
        if self._is_undecided and any(own is None for own in boxes):
            self._choose_detector()
        if self.detector is not None:
            boxes = [self.detector if own is None else own for own in boxes]
        found: list[People] = self.network.find(
            self.network,
            images,
            boxes,
            self.skeleton.flip_indices if self.flip_test else None,
            batch_size=self.batch_size,
            keep_maps=heatmaps,
        )
        return found if is_list else found[0]

    def _choose_detector(self) -> None:
        """Take the default detector if it can be used, and say so."""
        self._is_undecided, reason = False, lacks_default()
        if reason is None:
            self.detector = load_detector(DEFAULT_DETECTOR, device=self._device)
            _log.info("people are found by %s; detector=None: whole images", DEFAULT_DETECTOR)
        else:
            _log.warning("whole images are taken for one person (detector=None): %s", reason)


def load_network(
    source: "str | Path | Trained | Network",
    *,
    weights: str | Path | None = None,
    device: str = "auto",
    overrides: Sequence[str] = (),
    threads: int | None = None,
    amp: str = "off",
    compiled: bool = False,
) -> Network:
    """Load a network to predict with, as Predictor says; torch is imported unless it is ONNX's.

    threads: to compute with on a CPU; None leaves them as they are.
    """
    if isinstance(source, Network):
        return source
    if isinstance(source, str | Path) and Path(source).suffix.lower() == ".onnx":
        if weights is not None or overrides:
            raise ConfigError(
                f"{source} holds its weights and settings: leave other weights and overrides out"
            )
        if amp != "off" or compiled:
            raise ConfigError(
                f"{source} computes as it was exported: leave amp and compile out (export --half)"
            )
        return load_onnx(Path(source).expanduser(), device, threads=threads)
    import torch

    from pose_train.inference.load import Trained, as_network, load_trained

    if not isinstance(source, Trained):
        source = load_trained(source, weights=weights, overrides=overrides, device=device)
    if threads is not None:
        torch.set_num_threads(threads)
    return as_network(source, amp, compiled)
