"""Predict many images in a row: the next are read while the network works, batches are full."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from numpy.typing import NDArray

from pose_data import DatasetError
from pose_train.files.images import Image, read_pixels
from pose_train.inference.people import People
from pose_train.inference.predictor import Predictor
from pose_train.inference.rows import coco_rows

T = TypeVar("T")

THREADS = 4  # that read; decoding a JPEG takes a tenth of a small network's time, or less
AHEAD = 8  # calls that may wait for the one in the background
MOST_BYTES = 256 * 2**20  # of the images that go through the network together


Submit = Callable[[Callable[[], None]], None]


class Loaded(NamedTuple):
    """An image, and its boxes (P, 4 or 5) as Predictor takes them; None: it has none given."""

    image: Image
    boxes: NDArray[Any] | None = None


class Predicted(NamedTuple, Generic[T]):
    """What came of an item: image and people, or the error that kept it from being predicted."""

    item: T
    image: Image | None
    people: People | None
    error: DatasetError | None = None


def predict_stream(
    predictor: Predictor, items: Iterable[T], read: Callable[[T], Loaded], threads: int = THREADS
) -> Iterator[Predicted[T]]:
    """Yield what is found in each item, in their order; memory does not grow with their number.

    read: loads an item, in one of `threads` threads; a DatasetError of it, or of the prediction, is
    yielded in the item's place. As many images as fill a batch of the predictor with their boxes go
    through the network together, unless they are too large. That changes the last bits of results,
    as batches do.
    """
    source, pending = iter(items), deque[tuple[T, Future[Loaded]]]()
    is_bottomup = predictor.network.usage.is_bottomup
    wanted = predictor.network.usage.batch_size if is_bottomup else predictor.batch_size
    pool = ThreadPoolExecutor(threads)

    def read_ahead() -> None:
        for item in islice(source, max(0, 2 * threads - len(pending))):
            pending.append((item, pool.submit(read, item)))

    try:
        read_ahead()
        while pending:
            group, boxes, size = list[tuple[T, Loaded | DatasetError]](), 0, 0
            while pending and boxes < wanted and size < MOST_BYTES:
                item, future = pending.popleft()
                read_ahead()
                try:
                    loaded = future.result()
                except DatasetError as error:
                    group.append((item, error))
                    continue
                group.append((item, loaded))
                # An image without boxes counts as one: it takes memory, too.
                boxes += 1 if loaded.boxes is None else max(1, len(loaded.boxes))
                size += loaded.image.nbytes
            yield from _predict(predictor, group)
    finally:
        pool.shutdown(cancel_futures=True)


def predict_each(
    predictor: Predictor, items: Iterable[T], read: Callable[[T], Loaded]
) -> Iterator[Predicted[T]]:
    """Yield what is found in each item, each by itself: none is asked for before its turn."""
    for item in items:
        yield from _predict(predictor, [(item, read(item))])


def _predict(
    predictor: Predictor, group: Sequence[tuple[T, Loaded | DatasetError]]
) -> Iterator[Predicted[T]]:
    good = [loaded for _, loaded in group if isinstance(loaded, Loaded)]
    try:
        found: deque[People | DatasetError] = deque(_people(predictor, good))
    except DatasetError:  # of one of them: which is told by each alone
        found = deque(_one_by_one(predictor, good))
    for item, loaded in group:
        if isinstance(loaded, DatasetError):
            yield Predicted(item, None, None, loaded)
            continue
        people = found.popleft()
        if isinstance(people, DatasetError):
            yield Predicted(item, loaded.image, None, people)
        else:
            yield Predicted(item, loaded.image, people)


def _people(predictor: Predictor, loaded: Sequence[Loaded]) -> list[People]:
    boxes = [each.boxes for each in loaded]
    has_boxes = any(each is not None for each in boxes)
    return predictor([each.image for each in loaded], boxes if has_boxes else None)


def _one_by_one(predictor: Predictor, loaded: Sequence[Loaded]) -> Iterator[People | DatasetError]:
    for each in loaded:
        try:
            yield _people(predictor, [each])[0]
        except DatasetError as error:
            yield error


@contextmanager
def background() -> Iterator[Submit]:
    """Yield what hands calls to one other thread, in order; at the end all are done.

    An error of theirs is raised at a later call, or at the end.
    """
    pending = deque[Future[None]]()

    def submit(call: Callable[[], None]) -> None:
        pending.append(pool.submit(call))
        while len(pending) > AHEAD:
            pending.popleft().result()

    pool = ThreadPoolExecutor(1)
    try:
        yield submit
        while pending:
            pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def predict_batch(
    paths: Sequence[str | Path],
    source: str,
    *,
    device: str = "auto",
    flip_test: bool | None = None,
    batch_size: int = 32,
    amp: str = "off",
    detector: str | None = None,
) -> list[dict[str, Any]]:
    """Return COCO result rows of image files, as `pose-train predict` writes them.

    Its arguments are plain values, so that it can be sent to other processes and machines: to a
    process pool, Ray's `map_batches` or Spark's `mapPartitions`. A process loads the network at its
    first call and keeps the last one. source, device, flip_test, batch_size, amp, detector: as of
    Predictor, but that whole images are taken by default, so that all machines do the same.
    `image_id` and `file_name` of a row are the path as it was given. Raises what Predictor does,
    and DatasetError for an image that cannot be read.
    """
    predictor = _predictor(source, device, flip_test, batch_size, amp, detector)
    bits = predictor.network.usage.bits
    rows = []
    for path, _, people, error in predict_stream(
        predictor, map(str, paths), lambda path: Loaded(read_pixels(path, bits))
    ):
        if people is None:
            assert error is not None
            raise error
        rows += coco_rows(people, path, {"file_name": path}, [1] * len(people))
    return rows


@lru_cache(maxsize=1)
def _predictor(
    source: str,
    device: str,
    flip_test: bool | None,
    batch_size: int,
    amp: str,
    detector: str | None,
) -> Predictor:
    return Predictor(source, flip_test, batch_size, device=device, amp=amp, detector=detector)
