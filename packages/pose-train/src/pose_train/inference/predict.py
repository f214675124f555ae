"""People of images, videos, a camera or a stream; memory does not grow with their number."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import count, groupby, repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose_data.view.draw import Colours
from pose_train.config.schema import ConfigError
from pose_train.files.boxes import PERSON, ImageFile, Known, check_corners
from pose_train.files.images import Image, write_image
from pose_train.files.inputs import Input, check_targets, target_of
from pose_train.files.items import Item, boxes_inside, find_known, live_items, read_items
from pose_train.files.live import LiveSource, Window
from pose_train.files.video import (
    VideoFacts,
    VideoWriter,
    constant_rate,
    is_cut_short,
    video_facts,
    video_writer,
)
from pose_train.files.write import BusyError
from pose_train.inference.people import People
from pose_train.inference.predictor import Predictor
from pose_train.inference.rows import Parts, Summary, Writer, add_people, row_writer
from pose_train.inference.smooth import OneEuro
from pose_train.inference.stream import (
    Loaded,
    Predicted,
    Submit,
    background,
    predict_each,
    predict_stream,
)
from pose_train.inference.track import Tracker, TrackOptions
from pose_train.progress import stop_requests
from pose_train.words import counted, note

TrackIds = NDArray[np.int64]


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
    person_score: float | None = None,
    colours: Colours | None = None,
    draw_boxes: bool = False,
    track: bool = False,
    smooth: bool = False,
    every: int = 1,
    parts: Parts | None = None,
    live: bool = False,
    window: Window | None = None,
) -> Summary:
    """Predict every input; write predictions.json and, with `draw`, the drawings into `out`.

    csv: write predictions.csv, too. boxes: for top-down; an input that the file does not name has
    nobody. gt: only the inputs that it names are predicted. Rows carry the image ids of gt, or
    boxes, else numbers from 1 (from above the last of those), one for each image and frame; the
    category of their box, if it is one with keypoints there, else the first of those; and in videos
    `time`, in seconds. Boxes outside of their image are left out. Images are turned upright by
    their EXIF orientation, those that an annotation file gives a size for as `data.exif` says of
    the network's training. min_score, person_score: keypoints and people below it are not drawn;
    None is 0, bottom-up 0.2, where a network finds many people that are none. colours: as of
    `People.plot`, with track ids. draw_boxes: with scores. track: rows of videos carry `track_id`.
    smooth: with it, keypoints of videos are smoothed along the tracks.
    every: of videos, every so many-th frame.
    parts: this process does those of its own that are missing, and whoever finds all there merges
    them. live: write predictions.jsonl, too, as rows come. window: shows what is drawn. A camera or
    a stream goes on until Ctrl-C, which ends it well, and frames that come too fast are left out.

    What cannot be read is listed and left out. Each file is written to a temporary name and
    renamed. Raises ConfigError where `out` cannot be written or would overwrite inputs, where names
    do not tell whose boxes they are, or where boxes make no sense for the network; DatasetError
    where these are corners.
    """
    usage = predictor.network.usage
    if boxes is not None and usage.is_bottomup:
        raise ConfigError("a bottom-up network finds people by itself: leave --boxes out")
    known = find_known(inputs, boxes, gt)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the folder {out}: {error.strerror}") from error
    if draw:
        check_targets(inputs, out)
    summary = Summary(out, not_in_gt=known.count(None))
    if boxes is not None:
        summary.notes += check_corners(boxes, inputs, known)
    taken = [i for each in known if each for i in each.ids.values() if isinstance(i, int)]
    new_ids = count(1 + max([0, *taken]))
    fit = [i for f in (gt, boxes) if f for i in f.fitting(predictor.skeleton.num_keypoints)]
    category = fit[0] if fit else PERSON
    if person_score is None:
        person_score = 0.2 if usage.is_bottomup else 0.0
    # The scores of poses are lower than those of a detector, which the tracker expects.
    tracked = TrackOptions(high_score=0.3, new_score=0.3) if track else None
    options = (
        boxes is not None,
        draw,
        partial(
            People.plot,
            min_score=min_score,
            person_score=person_score,
            colours=colours,
            boxes=draw_boxes,
            scores=draw_boxes,
        ),
        Tracker(usage.skeleton, tracked) if tracked else None,
        OneEuro() if smooth else None,
        every,
        window,
    )
    target = out / "predictions.json"
    if parts is not None:
        for part in parts.missing():
            own = parts.own(part, len(inputs))
            try:
                with parts.writer(part, category, Summary(out)) as writer:
                    job = _Job(predictor, writer, writer.summary, repeat(None), *options)
                    _predict_all(job, inputs[own], known[own])
            except BusyError:
                continue  # the same command, started beside this one
        return parts.merge(target, csv, predictor.skeleton, new_ids, summary)
    with row_writer(target, category, csv, live) as writer:
        job = _Job(predictor, writer, summary, new_ids, *options)
        _predict_all(job, inputs, known)
    return summary


def _predict_all(job: "_Job", inputs: Sequence[Input], known: Sequence[Known | None]) -> None:
    usage = job.predictor.network.usage
    load = partial(_load, has_boxes=job.has_boxes)
    if inputs and inputs[0].is_live:
        return _predict_live(job, inputs[0], load)
    items = read_items(inputs, known, usage.exif, usage.bits, job.every)
    with background() as submit:
        results = predict_stream(job.predictor, items, load)
        for entry, group in groupby(results, lambda result: result.item.entry):
            if entry.is_video:
                _take_video(job, entry, group)
            else:
                _take_image(job, next(group), submit)


def _predict_live(job: "_Job", entry: Input, load: Callable[[Item], Loaded]) -> None:
    """Predict the newest frame again and again, until a camera or stream ends, or Ctrl-C."""
    with stop_requests(tell=False) as stop:
        source = LiveSource(entry.address or "", entry.name, job.every)
        note(f"{entry.name} is open; Ctrl-C ends", to=sys.stderr)
        items = live_items(entry, source, lambda: stop.asked)
        _take_video(job, entry, predict_each(job.predictor, items, load), source.rate)
    job.summary.notes.append(str(source))
    job.summary.problems += [source.problem] if source.problem else []


def _load(item: Item, *, has_boxes: bool) -> Loaded:
    image = item.read()
    return Loaded(image, boxes_inside(item, image)[:, :5] if has_boxes else None)


@dataclass(frozen=True)
class _Job:
    """What becomes of every image and frame."""

    predictor: Predictor
    writer: Writer
    summary: Summary
    new_ids: Iterator[int | None]
    has_boxes: bool
    draw: bool
    plot: Callable[..., Image]
    tracker: Tracker | None
    smooth: OneEuro | None
    every: int
    window: Window | None

    def write(
        self, item: Item, image: Image, people: People, track_ids: TrackIds | None = None
    ) -> None:
        """Write the rows of an image's people."""
        categories, frame = None, item.where.get("frame")
        if self.has_boxes:
            inside = boxes_inside(item, image)
            self.summary.outside += len(item.known.boxes.get(frame, ())) - len(inside)
            categories = inside[:, 5].astype(int).tolist()
        ids = item.known.ids
        image_id = ids[frame] if frame in ids else next(self.new_ids)
        ids_of_tracks = None if track_ids is None else track_ids.tolist()
        add_people(self.writer, people, image_id, item.where, categories, ids_of_tracks)
        self.summary.people += len(people)

    def drawing(self, image: Image, people: People, track_ids: TrackIds | None = None) -> Image:
        """Return the image with its people drawn over it, and their numbers in a tracked video."""
        return self.plot(people, image, ids=None if track_ids is None else track_ids.tolist())


def _take_image(job: _Job, result: Predicted[Item], submit: Submit) -> None:
    """Write the rows of an image, and its drawing."""
    item, image, people, error = result
    if error is not None:
        job.summary.add_problem(item.entry, error)
    if image is None or people is None:
        return
    job.write(item, image, people)
    job.summary.images += 1
    if job.window is not None:
        job.window.show(job.drawing(image, people))
    if job.draw:
        target = target_of(item.entry, job.summary.out)
        submit(lambda: write_image(target, job.drawing(image, people)))


def _take_video(
    job: _Job, entry: Input, group: Iterable[Predicted[Item]], live_rate: float | None = None
) -> None:
    """Write the rows of a video's frames, and the drawn video.

    live_rate: frames per second of a camera or stream; None for a recorded video.
    """
    source, summary, drawn = entry.address or entry.path, job.summary, None
    facts = VideoFacts(0, 0.0, live_rate) if live_rate else video_facts(source)
    number, last, longest, track_ids = -1, 0.0, 0.0, None
    for each in (job.tracker, job.smooth):
        if each is not None:
            each.reset()
    with ExitStack() as stack:
        for item, image, people, error in group:
            known = item.known
            if error is not None:
                summary.add_problem(entry, error)
            if image is None or people is None:
                continue
            number, time = item.where["frame"], item.where["time"]
            if job.tracker is not None:
                track_ids = job.tracker.update(people, time)
                people = people if job.smooth is None else job.smooth(people, track_ids, time)
            job.write(item, image, people, track_ids)
            summary.frames += 1
            if job.window is not None:
                job.window.show(job.drawing(image, people, track_ids))
            longest, last = max(longest, time - last), time
            if job.draw and drawn is None:
                rate = live_rate or constant_rate(source)
                drawn = stack.enter_context(video_writer(target_of(entry, summary.out), rate))
                submit = stack.enter_context(background())  # which ends before the file
            if drawn is not None:
                submit(partial(_draw_frame, job, drawn, image, people, track_ids, time))
    if number < 0:
        return
    if drawn is not None and not live_rate and (drawn.repeated or drawn.left_out):
        summary.notes.append(
            f"{entry.name}: the times of its frames are uneven; drawn with {drawn.rate:.4g} frames "
            f"per second: {drawn.repeated} repeated, {drawn.left_out} left out"
            + (f", pauses shortened by {drawn.shortened:.0f} s" if drawn.shortened else "")
        )
    if behind := sum(frame is not None and frame > number for frame in known.boxes):
        summary.notes.append(
            f"{entry.name} ends with frame {number}: --boxes has {counted(behind, 'frame')} more"
        )
    if is_cut_short(facts, last, longest):
        summary.problems.append(
            f"video {source} is cut short or damaged: frame {number} at {last:.2f} s is the "
            f"last that can be read, of {facts.seconds:.2f} s"
        )


def _draw_frame(
    job: _Job,
    drawn: VideoWriter,
    image: Image,
    people: People,
    track_ids: TrackIds | None,
    time: float,
) -> None:
    drawn.add(job.drawing(image, people, track_ids), time)
