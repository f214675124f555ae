"""Load the sets that a config names: what is trained on, and what is evaluated."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pose_data import (
    BottomUp,
    Pack,
    Persons,
    Scene,
    TopDown,
    combine,
    load_aic,
    load_coco,
    load_detections,
    merge,
    synthesize,
    whole_image_boxes,
    with_flip_pairs,
    with_shares,
    with_sigmas,
)
from pose_data.images.missing import why_missing
from pose_data.shares import Unit
from pose_train.config.schema import (
    AnnotationSet,
    Config,
    ConfigError,
    Data,
    Eval,
    ExtraSource,
    Synthetic,
)
from pose_train.words import note

# The boxes of the published tables, from a detector with an AP of 56.4 for persons.
PUBLISHED_DETECTIONS = "COCO_val2017_detections_AP_H_56_person.json"


class Sets(NamedTuple):
    """train and val: annotated persons; boxes: those to evaluate, in val's images.

    val and boxes are None without evaluation.
    """

    train: Persons
    val: Persons | None
    boxes: Persons | None

    @property
    def evaluated(self) -> tuple[Persons, Persons]:
        """Return val and boxes; only with evaluation."""
        assert self.val is not None
        assert self.boxes is not None
        return self.val, self.boxes


def load_sets(data: Data, evaluation: Eval | None, root: Path, unit: Unit) -> Sets:
    """Load the sets below `root`; raises ConfigError, DatasetError."""
    if evaluation is None:
        return Sets(load_train(data, root, unit), None, None)
    val = load_main(root, data, data.val)
    return Sets(load_train(data, root, unit), val, load_boxes(data, evaluation, root, val))


def load_train(data: Data, root: Path, unit: Unit) -> Persons:
    """Load the training set: one source, or several joined."""
    is_packed = data.packed is not None
    loaded: list[tuple[Persons, Data | ExtraSource]]
    loaded = [(load_main(root, data, data.train, is_packed), data)]
    for name, extra in data.extra.items():
        key = f"data.extra.{name}.root"
        if extra.root is None:
            raise ConfigError(f"{key} is missing: give its folder, or remove it: data.extra={{}}")
        persons = load_annotated(
            Path(extra.root), extra.train, extra.format, key, is_packed=is_packed
        )
        loaded.append((persons, extra))
    sources = [
        with_shares(persons, balance=source.balance, weight=source.weight, unit=unit)
        for persons, source in loaded
    ]
    if not data.extra and data.ratio == 1:
        return sources[0]
    ratios = [data.ratio, *(extra.ratio for extra in data.extra.values())]
    same = {
        name: others[0] if len(others) == 1 else (others[0], others[1])
        for name, others in data.same.items()
    }
    join = merge if data.mix == "merge" else combine
    return join(*sources, ratios=ratios, same=same)


def load_boxes(data: Data, evaluation: Eval, root: Path, val: Persons) -> Persons:
    """Return the boxes to evaluate: annotated, detected, or whole images."""
    if evaluation.boxes == "gt":
        return val
    if evaluation.boxes == "image":
        return whole_image_boxes(val)
    settings = data.detections
    assert settings.file is not None  # the config was checked
    file = root / settings.file
    if not file.is_file():
        origin = ""
        if file.name == PUBLISHED_DETECTIONS:
            origin = (
                " (shared by the authors of HRNet; `pose-train zoo fetch detections` downloads it)"
            )
        raise ConfigError(
            f"{file} does not exist: put the detector's boxes there{origin}, name another COCO "
            "results file with data.detections.file=FILE, or take the annotated boxes with "
            "eval.boxes=gt, which gives a higher AP"
        )
    threshold, per_image = settings.score_threshold, settings.per_image
    with quiet_loaders():
        return load_detections(file, val, score_threshold=threshold, per_image=per_image)


def check_pack(config: Config, pack: Pack, persons: Persons, unit: Unit) -> None:
    """Raise DatasetError where a pack lacks what the training samples of a config show."""
    size, train = config.model.input_size, config.train
    exif, bits = config.data.exif, config.data.bits
    if unit == "persons":
        TopDown(persons, size, augment=train.augment, exif=exif, bits=bits, pack=pack)
    else:
        BottomUp(persons, size, augment=train.scene, exif=exif, bits=bits, pack=pack)


def load_main(root: Path, data: Data, files: AnnotationSet, is_packed: bool = False) -> Persons:
    """Load data.train or data.val, with the categories, flip pairs and sigmas of the config."""
    persons = load_annotated(
        root, files, data.format, "data.root", data.categories, data.flip_pairs, is_packed
    )
    return replace(persons, skeleton=with_sigmas(persons.skeleton, data.sigmas))


def load_annotated(
    root: Path,
    files: AnnotationSet,
    format_: str,
    key: str,
    categories: Sequence[int | str] | None = None,
    flip_pairs: Sequence[Sequence[str]] | None = None,
    is_packed: bool = False,
) -> Persons:
    """Load one annotated set below a root; `key` is the root's in the config, for messages.

    is_packed: its images need not be there. Raises DatasetError, and ConfigError, also where
    nothing is annotated.
    """
    if not root.is_dir():
        raise ConfigError(f"{key} {root} does not exist or is not a folder")
    images = root / files.images
    paths = root / files.annotations, None if is_packed and not images.is_dir() else images
    with quiet_loaders():
        if format_ == "aic":
            persons = load_aic(*paths)
            if flip_pairs is not None:
                persons = replace(persons, skeleton=with_flip_pairs(persons.skeleton, flip_pairs))
        else:
            persons = load_coco(*paths, categories=categories, flip_pairs=flip_pairs)
    if not len(persons):
        raise ConfigError(f"{persons.annotation_file} holds no person with labelled keypoints")
    return replace(persons, image_folder=images)  # whose files messages name


@contextmanager
def quiet_loaders() -> Iterator[None]:
    """Keep loaders from logging their notices, which `notes` returns to be shown later."""
    log = logging.getLogger("pose_data.notices")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


def notes(*sets: Persons) -> list[str]:
    """Return what loading derived or left out, a line each.

    What holds for several files is one line, without their names.
    """
    files_of: dict[str, dict[str, None]] = {}
    for persons in sets:
        files = [persons.annotation_file, *(source.annotation_file for source in persons.sources)]
        for notice in persons.notices:
            file = next((file for file in files if notice.startswith(f"{file}: ")), None)
            text = notice if file is None else notice.removeprefix(f"{file}: ")
            files_of.setdefault(text, {})["" if file is None else f"{file.name}: "] = None
    return [
        f"note: {next(iter(files)) if len(files) == 1 else ''}{text}"
        for text, files in files_of.items()
    ]


def check_images(persons: Persons) -> None:
    """Raise ConfigError if images of persons do not exist; it names the first."""
    used = np.unique(persons.image_index)
    first = np.searchsorted(persons.image_index, used)  # one person of each
    missing = [i for i in first.tolist() if not os.path.exists(persons.image_path(i))]
    if missing:
        path = persons.image_path(missing[0])
        name = str(persons.file_names[persons.image_index[missing[0]]])
        raise ConfigError(
            f"{len(missing)} of {len(used)} images of {persons.annotation_file} do not exist, "
            f"such as {path}: {why_missing(persons.image_dir, name)}"
        )


def draw_images(made: Synthetic, root: Path, seed: int) -> None:
    """Draw the images and annotations of a synthetic set; raises DatasetError."""
    note(f"drawing {made.num_train} + {made.num_val} images into {root}")
    synthesize(
        root,
        num_train=made.num_train,
        num_val=made.num_val,
        image_size=made.image_size,
        seed=seed,
        scene=Scene(made.people),
    )


def describe(sets: Sets) -> str:
    """Return how much there is to train on and to evaluate, and all notes, as text."""
    count = "none" if sets.boxes is None else len(sets.boxes)
    lines = [f"{len(sets.train)} {sets.train.noun} to train on, {count} to evaluate"]
    if sets.train.sources or sets.train.shares is not None:
        lines.insert(0, sets.train.describe())
    shared = 0 if sets.val is None else len(_image_paths(sets.train) & _image_paths(sets.val))
    if shared:
        lines.append(
            f"note: {shared} images are in both sets; the AP shows how well they are fitted"
        )
    return "\n".join([*lines, *notes(*(each for each in sets if each is not None))])


def _image_paths(persons: Persons) -> set[Path]:
    return {persons.image_path(i).resolve() for i in range(len(persons))}
