"""predict: images and videos one after the other; memory does not grow with their number."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from tqdm import tqdm

from pose_data import DatasetError, draw_people
from pose_data.images.decode import read_picture
from pose_train.config.schema import ConfigError
from pose_train.cores import choose_threads
from pose_train.files.boxes import (
    PERSON,
    ImageFile,
    ImageId,
    Known,
    check_corners,
    known_of,
    read_boxes,
    read_ids,
)
from pose_train.files.images import write_image
from pose_train.files.inputs import IMAGES, VIDEOS, Input, find_inputs
from pose_train.files.video import Film, Image, film_rate, is_cut_short, read_frames, stated
from pose_train.files.write import RowFile
from pose_train.inference.people import CSV_COLUMNS, People, csv_rows, csv_text
from pose_train.inference.predictor import Predictor, load_network
from pose_train.words import counted


def main(args: argparse.Namespace) -> int:
    """Run the command; 1 where some inputs could not be read, or not to the end."""
    if args.out.suffix.lower() in (*IMAGES, *VIDEOS) and not args.out.is_dir():
        raise ConfigError(f"--out {args.out} must be a folder: drawings and rows go into it")
    if args.threads is not None and args.threads < 1:
        raise ConfigError(f"--threads must be at least 1, got {args.threads}")
    if args.bits is not None and not 8 <= args.bits <= 16:
        raise ConfigError(f"--bits must be from 8 to 16, got {args.bits}")
    inputs = find_inputs(args.inputs, args.out)
    gt = None if args.gt is None else read_ids(args.gt)
    network = load_network(
        args.source,
        weights=args.weights,
        device=args.device,
        threads=choose_threads(args.threads, to=sys.stderr),
    )
    if args.bits is not None:
        network = replace(network, usage=replace(network.usage, bits=args.bits))
    predictor = Predictor(network, flip_test=False if args.no_flip else None)
    print(f"weights: {predictor.network.origin}", file=sys.stderr)
    for note in predictor.network.notes:
        print(f"note: {note}", file=sys.stderr)
    boxes = None
    if args.boxes is not None:
        count = predictor.skeleton.num_keypoints
        boxes = read_boxes(args.boxes, args.box_score, gt, count)
        for notice in boxes.notices:
            print(notice, file=sys.stderr)
    elif not predictor.network.usage.is_bottomup:
        print(
            "note: the whole picture is taken for one person; for several, or small ones, give a "
            "detector's boxes: --boxes FILE",
            file=sys.stderr,
        )
    summary = predict_inputs(
        predictor,
        inputs,
        args.out,
        boxes,
        gt,
        draw=not args.no_draw,
        csv=args.csv,
        min_score=args.min_score,
    )
    # A name may hold bytes that are no text.
    print(str(summary).encode(errors="backslashreplace").decode())
    return 1 if summary.problems else 0


@dataclass
class Summary:
    """What came of the inputs: how many, how many people, and why some were left out."""

    pictures: int = 0
    frames: int = 0
    people: int = 0
    problems: list[str] = field(default_factory=list)
    not_in_gt: int = 0
    outside: int = 0
    notes: list[str] = field(default_factory=list)
    out: Path = Path()

    def __str__(self) -> str:
        seen = [counted(self.pictures, "picture")] if self.pictures or not self.frames else []
        seen += [counted(self.frames, "video frame")] if self.frames else []
        people = "1 person" if self.people == 1 else f"{self.people} people"
        lines = [f"{people} in {', '.join(seen)}: {self.out}"]
        if self.not_in_gt:
            lines.append(f"left out {counted(self.not_in_gt, 'input')} that --gt does not name")
        if self.outside:
            lines.append(f"left out {self.outside} of --boxes that lie outside of their image")
        lines += self.notes
        if self.problems:
            lines.append(f"{counted(len(self.problems), 'input')} not read, or not to the end:")
            lines += [f"  {problem}" for problem in self.problems]
        return "\n".join(lines)


def predict_inputs(
    predictor: Predictor,
    inputs: Sequence[Input],
    out: Path,
    boxes: ImageFile | None = None,
    gt: ImageFile | None = None,
    *,
    draw: bool = True,
    csv: bool = False,
    min_score: float = 0.2,
) -> Summary:
    """Predict every input; write predictions.json and, with `draw`, drawn pictures into `out`.

    csv: write predictions.csv, too. boxes: for top-down; an input that the file does not name has
    nobody. gt: only the inputs that it names are predicted. Rows carry the image ids of gt, or
    boxes, else numbers from 1 (from above the last of those), one for each picture and frame; the
    category of their box, if it is one with keypoints there, else the first of those; and in videos
    `time`, in seconds. Boxes outside of their image are left out. Pictures are turned upright by
    their EXIF orientation, those that an annotation file gives a size for as `data.exif` says of
    the network's training.

    What cannot be read is listed and left out. Each file is written to a temporary name and
    renamed. Raises ConfigError where `out` cannot be written or would overwrite inputs, where names
    do not say whose boxes they are, or where boxes make no sense for the network; DatasetError
    where these are corners.
    """
    if boxes is not None and predictor.network.usage.is_bottomup:
        raise ConfigError("a bottom-up network finds people by itself: leave --boxes out")
    known = _known(inputs, boxes, gt)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the folder {out}: {error.strerror}") from error
    if draw:
        _check_targets(inputs, out)
    taken = [i for each in known if each for i in each.ids.values() if isinstance(i, int)]
    ids = count(1 + max([0, *taken]))
    summary = Summary(out=out)
    if boxes is not None:
        summary.notes += check_corners(boxes, inputs, known)
    fit = [i for f in (gt, boxes) if f for i in f.fitting(predictor.skeleton.num_keypoints)]
    category = fit[0] if fit else PERSON
    with RowWriter(out / "predictions.json", category, csv) as writer:
        work = _Work(predictor, out, writer, summary, ids, boxes is not None, draw, min_score)
        bar = tqdm(inputs, unit="file", leave=False, disable=None)
        for entry, facts in zip(bar, known, strict=True):
            if facts is None:
                summary.not_in_gt += 1
                continue
            try:
                (_video if entry.is_video else _picture)(work, entry, facts)
            except DatasetError as error:
                text = str(error)
                summary.problems.append(
                    text if str(entry.path) in text else f"{entry.path}: {text}"
                )
    return summary


def _known(
    inputs: Sequence[Input], boxes: ImageFile | None, gt: ImageFile | None
) -> list[Known | None]:
    """Return what the files say of each input; None for those that gt does not name."""
    nothing: list[Known | None] = [Known()] * len(inputs)
    of_gt = nothing if gt is None else known_of(gt, inputs)
    of_boxes = nothing if boxes is None else known_of(boxes, inputs)
    known: list[Known | None] = []
    for listed, boxed in zip(of_gt, of_boxes, strict=True):
        boxed = boxed or Known()
        if gt is not None and listed is not None:
            known.append(listed._replace(boxes=boxed.boxes))
        else:
            known.append(None if listed is None else boxed)
    return known


def _check_targets(inputs: Sequence[Input], out: Path) -> None:
    """Raise ConfigError where a drawing would take an input's place."""
    files = {(stat.st_dev, stat.st_ino) for stat in (entry.path.stat() for entry in inputs)}
    for entry in inputs:
        target = _target(entry, out)
        if target.exists() and (target.stat().st_dev, target.stat().st_ino) in files:
            raise ConfigError(f"--out {out} would overwrite {target}: choose another folder")


def _target(entry: Input, out: Path) -> Path:
    is_png = entry.path.suffix.lower() == ".png"
    return out / (entry.drawn + (".mp4" if entry.is_video else ".png" if is_png else ".jpg"))


class RowWriter:
    """Write COCO result rows as they come, and with `csv` a table of keypoints beside them.

    The JSON is a plain list of results, as pose-eval and pycocotools read it; what the keypoints
    are called stands in the table.
    """

    def __init__(self, path: Path, category_id: int = PERSON, csv: bool = False) -> None:
        self.category_id = category_id
        self.json = RowFile(path, "[", "\n]\n")
        self.csv = RowFile(path.with_suffix(".csv"), csv_text([CSV_COLUMNS])) if csv else None

    def __enter__(self) -> "RowWriter":
        with ExitStack() as stack:
            stack.enter_context(self.json)
            if self.csv is not None:
                stack.enter_context(self.csv)
            self._stack = stack.pop_all()
        return self

    def add(
        self,
        people: People,
        image_id: ImageId,
        where: Mapping[str, Any],
        categories: Sequence[int] | None = None,
    ) -> None:
        """Add one row per person; a row is what pose-eval reads, and the names of `where`.

        where: `file_name`, and of videos `frame` and `time`. categories: of each person; None for
        the writer's. Raises RunDirError.
        """
        own = [self.category_id] * len(people) if categories is None else categories
        for row, category_id in zip(people.to_coco(0), own, strict=True):
            row |= {"image_id": image_id, "category_id": category_id, **where}
            comma = "," if self.json.count else ""
            self.json.add(f"{comma}\n{json.dumps(row)}", 1)
        if self.csv is not None:
            rows = csv_rows(
                people, where.get("file_name", ""), where.get("frame"), where.get("time")
            )
            self.csv.add(csv_text(rows), len(rows))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)


@dataclass(frozen=True)
class _Work:
    """What every input needs."""

    predictor: Predictor
    out: Path
    writer: RowWriter
    summary: Summary
    ids: Iterator[int]
    has_boxes: bool
    draw: bool
    min_score: float

    def predict(self, image: Image, known: Known, where: Mapping[str, Any]) -> People:
        """Find the people in a picture or frame, and write their rows; where: as in these."""
        boxes, categories, frame = None, None, where.get("frame")
        if self.has_boxes:
            height, width = image.shape[:2]
            boxes = known.boxes.get(frame, np.empty((0, 6)))
            inside = (boxes[:, :2] < [width, height]) & (boxes[:, 2:4] > 0)
            self.summary.outside += len(boxes) - int(inside.all(axis=1).sum())
            boxes = boxes[inside.all(axis=1)]
            categories = boxes[:, 5].astype(int).tolist()
        people = self.predictor(image, None if boxes is None else boxes[:, :5])
        image_id = known.ids[frame] if frame in known.ids else next(self.ids)
        self.writer.add(people, image_id, where, categories)
        self.summary.people += len(people.keypoints)
        return people

    def drawn(self, image: Image, people: People) -> Image:
        skeleton = self.predictor.skeleton
        return draw_people(
            image, people.keypoints, people.scores, skeleton, min_score=self.min_score
        )


def _picture(work: _Work, entry: Input, known: Known) -> None:
    if known.boxes and None not in known.boxes:
        raise DatasetError(f"boxes of picture {entry.path} have a `frame`, as those of videos")
    usage = work.predictor.network.usage
    exif = "apply" if known.size is None else usage.exif
    image = read_picture(entry.path, known.size, exif=exif, bits=usage.bits).pixels
    people = work.predict(image, known, {"file_name": entry.name})
    work.summary.pictures += 1
    if work.draw:
        write_image(_target(entry, work.out), work.drawn(image, people))


def _video(work: _Work, entry: Input, known: Known) -> None:
    if None in known.boxes:
        raise DatasetError(f"boxes of video {entry.path} have no `frame` (from 0)")
    total = stated(entry.path).frames
    frames = tqdm(
        read_frames(entry.path), entry.name, total or None, unit="frame", leave=False, disable=None
    )
    number, last, longest = -1, 0.0, 0.0
    with Film(_target(entry, work.out), film_rate(entry.path) if work.draw else 0) as film:
        for number, (image, time) in enumerate(frames):
            where = {"file_name": entry.name, "frame": number, "time": round(time, 6)}
            people = work.predict(image, known, where)
            work.summary.frames += 1
            longest, last = max(longest, time - last), time
            if work.draw:
                film.add(work.drawn(image, people), time)
    if film.repeated or film.left_out:
        work.summary.notes.append(
            f"{entry.name}: the times of its frames are uneven; drawn with {film.rate:.4g} frames "
            f"per second: {film.repeated} repeated, {film.left_out} left out"
            + (f", pauses shortened by {film.shortened:.0f} s" if film.shortened else "")
        )
    behind = sum(frame is not None and frame > number for frame in known.boxes)
    if behind:
        work.summary.notes.append(
            f"{entry.name} ends with frame {number}: --boxes has {counted(behind, 'frame')} more"
        )
    if is_cut_short(entry.path, last, longest):
        work.summary.problems.append(
            f"video {entry.path} is cut short or damaged: frame {number} at {last:.2f} s is the "
            f"last that can be read, of {stated(entry.path).seconds:.2f} s"
        )
