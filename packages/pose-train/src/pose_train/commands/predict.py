"""predict: images and videos one after the other; memory does not grow with their number."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
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
from pose_train.files.images import Image, write_image
from pose_train.files.inputs import IMAGES, VIDEOS, Input, find_inputs
from pose_train.files.video import (
    constant_rate,
    is_cut_short,
    read_frames,
    video_facts,
    video_writer,
)
from pose_train.files.write import RowFile, row_file
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
    threads = choose_threads(args.threads, to=sys.stderr)
    network = load_network(args.source, weights=args.weights, device=args.device, threads=threads)
    if args.bits is not None:
        network = replace(network, usage=replace(network.usage, bits=args.bits))
    predictor = Predictor(network, flip_test=False if args.no_flip else None)
    messages = [f"weights: {network.origin}", *(f"note: {note}" for note in network.notes)]
    boxes = None
    if args.boxes is not None:
        boxes = read_boxes(args.boxes, args.box_score, gt, predictor.skeleton.num_keypoints)
        messages += boxes.notices
    elif not network.usage.is_bottomup:
        messages.append(
            "note: the whole image is taken for one person; for several, or small ones, give a "
            "detector's boxes: --boxes FILE"
        )
    print("\n".join(messages), file=sys.stderr)
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

    out: Path
    images: int = 0
    frames: int = 0
    people: int = 0
    not_in_gt: int = 0
    outside: int = 0
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        inputs = [counted(self.images, "image")] if self.images or not self.frames else []
        inputs += [counted(self.frames, "video frame")] if self.frames else []
        people = "1 person" if self.people == 1 else f"{self.people} people"
        lines = [f"{people} in {', '.join(inputs)}: {self.out}"]
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
    """Predict every input; write predictions.json and, with `draw`, the drawings into `out`.

    csv: write predictions.csv, too. boxes: for top-down; an input that the file does not name has
    nobody. gt: only the inputs that it names are predicted. Rows carry the image ids of gt, or
    boxes, else numbers from 1 (from above the last of those), one for each image and frame; the
    category of their box, if it is one with keypoints there, else the first of those; and in videos
    `time`, in seconds. Boxes outside of their image are left out. Images are turned upright by
    their EXIF orientation, those that an annotation file gives a size for as `data.exif` says of
    the network's training.

    What cannot be read is listed and left out. Each file is written to a temporary name and
    renamed. Raises ConfigError where `out` cannot be written or would overwrite inputs, where names
    do not tell whose boxes they are, or where boxes make no sense for the network; DatasetError
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
    summary = Summary(out)
    if boxes is not None:
        summary.notes += check_corners(boxes, inputs, known)
    taken = [i for each in known if each for i in each.ids.values() if isinstance(i, int)]
    new_ids = count(1 + max([0, *taken]))
    fit = [i for f in (gt, boxes) if f for i in f.fitting(predictor.skeleton.num_keypoints)]
    category = fit[0] if fit else PERSON
    with row_writer(out / "predictions.json", category, csv) as writer:
        job = _Job(predictor, writer, summary, new_ids, boxes is not None, draw, min_score)
        bar = tqdm(inputs, unit="file", leave=False, disable=None)
        for entry, facts in zip(bar, known, strict=True):
            if facts is None:
                summary.not_in_gt += 1
                continue
            try:
                (_predict_video if entry.is_video else _predict_image)(job, entry, facts)
            except DatasetError as error:
                is_named = str(entry.path) in str(error)
                summary.problems.append(str(error) if is_named else f"{entry.path}: {error}")
    return summary


def _known(
    inputs: Sequence[Input], boxes: ImageFile | None, gt: ImageFile | None
) -> list[Known | None]:
    """Return what the files hold about each input; None for those that gt does not name."""
    nothing: list[Known | None] = [None] * len(inputs)
    own = [each or Known() for each in (known_of(boxes, inputs) if boxes else nothing)]
    if gt is None:
        return [*own]
    return [
        None if listed is None else listed._replace(boxes=boxed.boxes)
        for listed, boxed in zip(known_of(gt, inputs), own, strict=True)
    ]


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


@dataclass(frozen=True)
class RowWriter:
    """COCO result rows in JSON, as pose-eval and pycocotools read them, and keypoints in CSV.

    The JSON is a plain list of results; the names of the keypoints are in the table alone.
    """

    json: RowFile
    csv: RowFile | None
    category_id: int

    def add(
        self,
        people: People,
        image_id: ImageId,
        where: Mapping[str, Any],
        categories: Sequence[int] | None = None,
    ) -> None:
        """Add a row for each person; raises RunDirError.

        where: `file_name`, and of videos `frame` and `time`, which the rows carry besides.
        categories: of each person; None for the writer's.
        """
        own = [self.category_id] * len(people) if categories is None else categories
        for row, category_id in zip(people.to_coco(0), own, strict=True):
            row |= {"image_id": image_id, "category_id": category_id, **where}
            comma = "," if self.json.count else ""
            self.json.add(f"{comma}\n{json.dumps(row)}", 1)
        if self.csv is not None:
            rows = csv_rows(people, where["file_name"], where.get("frame"), where.get("time"))
            self.csv.add(csv_text(rows), len(rows))


@contextmanager
def row_writer(path: Path, category_id: int = PERSON, csv: bool = False) -> Iterator[RowWriter]:
    """Yield a writer of the JSON file `path` and, with `csv`, of a table beside it."""
    with ExitStack() as stack:
        rows, table = stack.enter_context(row_file(path, "[", "\n]\n")), None
        if csv:
            head = csv_text([CSV_COLUMNS])
            table = stack.enter_context(row_file(path.with_suffix(".csv"), head))
        yield RowWriter(rows, table, category_id)


@dataclass(frozen=True)
class _Job:
    """What every input needs."""

    predictor: Predictor
    writer: RowWriter
    summary: Summary
    new_ids: Iterator[int]
    has_boxes: bool
    draw: bool
    min_score: float

    def predict(self, image: Image, known: Known, where: Mapping[str, Any]) -> Image:
        """Find the people in an image or frame, write their rows, and draw them if wanted."""
        boxes, categories, frame = None, None, where.get("frame")
        if self.has_boxes:
            height, width = image.shape[:2]
            given = known.boxes.get(frame, np.empty((0, 6)))
            inside = ((given[:, :2] < [width, height]) & (given[:, 2:4] > 0)).all(axis=1)
            self.summary.outside += len(given) - int(inside.sum())
            boxes, categories = given[inside, :5], given[inside, 5].astype(int).tolist()
        people = self.predictor(image, boxes)
        image_id = known.ids[frame] if frame in known.ids else next(self.new_ids)
        self.writer.add(people, image_id, where, categories)
        self.summary.people += len(people.keypoints)
        if not self.draw:
            return image
        points, scores = people.keypoints, people.scores
        return draw_people(image, points, scores, self.predictor.skeleton, min_score=self.min_score)


def _predict_image(job: _Job, entry: Input, known: Known) -> None:
    if known.boxes and None not in known.boxes:
        raise DatasetError(f"boxes of image {entry.path} have a `frame`, as those of videos")
    usage = job.predictor.network.usage
    exif = "apply" if known.size is None else usage.exif
    image = read_picture(entry.path, known.size, exif=exif, bits=usage.bits).pixels
    drawing = job.predict(image, known, {"file_name": entry.name})
    job.summary.images += 1
    if job.draw:
        write_image(_target(entry, job.summary.out), drawing)


def _predict_video(job: _Job, entry: Input, known: Known) -> None:
    if None in known.boxes:
        raise DatasetError(f"boxes of video {entry.path} have no `frame` (from 0)")
    facts, summary, drawn = video_facts(entry.path), job.summary, None
    frames = read_frames(entry.path)
    number, last, longest = -1, 0.0, 0.0
    with ExitStack() as stack:
        if job.draw:
            file = video_writer(_target(entry, summary.out), constant_rate(entry.path))
            drawn = stack.enter_context(file)
        total = facts.frames or None
        bar = tqdm(frames, entry.name, total, leave=False, unit="frame", disable=None)
        for number, (image, time) in enumerate(bar):
            where = {"file_name": entry.name, "frame": number, "time": round(time, 6)}
            drawing = job.predict(image, known, where)
            summary.frames += 1
            longest, last = max(longest, time - last), time
            if drawn is not None:
                drawn.add(drawing, time)
    if drawn is not None and (drawn.repeated or drawn.left_out):
        summary.notes.append(
            f"{entry.name}: the times of its frames are uneven; drawn with {drawn.rate:.4g} frames "
            f"per second: {drawn.repeated} repeated, {drawn.left_out} left out"
            + (f", pauses shortened by {drawn.shortened:.0f} s" if drawn.shortened else "")
        )
    behind = sum(frame is not None and frame > number for frame in known.boxes)
    if behind:
        summary.notes.append(
            f"{entry.name} ends with frame {number}: --boxes has {counted(behind, 'frame')} more"
        )
    if is_cut_short(facts, last, longest):
        summary.problems.append(
            f"video {entry.path} is cut short or damaged: frame {number} at {last:.2f} s is the "
            f"last that can be read, of {facts.seconds:.2f} s"
        )
