"""Identities of people over the frames of a video: Tracker compared with plain IoU tracking.

    python track.py [--films 20] [--whole-boxes]

Simulated walkers and dancers with 17 keypoints cross, hide each other, pass behind pillars, leave
and come back. What a pose network would find of them is simulated as well: noise, misses, low
scores and misplaced keypoints where they are hidden, duplicates, false positives. No images are
drawn: the person behind a detection is known, so that identities alone are measured.

- IDF1 (Ristani et al. 2016): 2 IDTP / (detections of people + detections with an id), where IDTP is
  the number of detections that the best one-to-one assignment of ids to people agrees with;
- switches: how often a person's id differs from their previous one;
- ids / people: how many ids were given, and how many people there were;
- covered: the share of the people's detections that have an id.

ByteTrack of Roboflow's `trackers`, which takes boxes, is measured where it is installed.
"""

import argparse
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pose_codecs import assign
from pose_data import COCO
from pose_train.inference.people import People
from pose_train.inference.track import Tracker, TrackOptions, iou_matrix, match

Array = NDArray[Any]
Follow = Callable[[People, float], Array]  # people, time -> ids (P,)

WIDTH, HEIGHT = 1280, 720
# COCO's keypoints: x, y (down) from the hips, in heights of the person
STANDING = np.array(
    [
        *((0, -0.40), (0.015, -0.42), (-0.015, -0.42), (0.035, -0.41), (-0.035, -0.41)),
        *((0.1, -0.29), (-0.1, -0.29), (0.13, -0.14), (-0.13, -0.14), (0.14, 0.0), (-0.14, 0.0)),
        *((0.06, 0.0), (-0.06, 0.0), (0.06, 0.23), (-0.06, 0.23), (0.06, 0.46), (-0.06, 0.46)),
    ]
)
SWING = np.array([0, 0, 0, 0, 0, 0, 0, 0.04, -0.04, 0.08, -0.08, 0, 0, -0.06, 0.06, -0.12, 0.12])


@dataclass(frozen=True)
class Setting:
    """What happens in a film; sizes, speeds and places are random.

    people: how many. dance: share of those who circle around each other in pairs; the others walk.
    pillars: in front of everybody. turn: share of walkers who turn back. pan: how many pixels the
    camera swings to the left and to the right. keep: share of the frames that are not dropped.
    miss, duplicate: chance of either, per person and frame. false: false positives per frame.
    noise: of keypoints, in heights. has_whole_boxes: boxes span hidden keypoints, too.
    """

    people: int = 6
    dance: float = 0.0
    pillars: int = 0
    turn: float = 0.0
    pan: float = 0.0
    seconds: float = 12.0
    fps: float = 25.0
    keep: float = 1.0
    miss: float = 0.02
    duplicate: float = 0.01
    false: float = 0.05
    noise: float = 0.01
    has_whole_boxes: bool = False


SETTINGS = {
    "two cross": Setting(people=2),
    "street": Setting(people=6),
    "crowd": Setting(people=14),
    "pillars": Setting(people=6, pillars=3),
    "turning back": Setting(people=6, turn=0.6),
    "moving camera": Setting(people=6, pan=60.0),
    "dancers": Setting(people=6, dance=1.0),
    "bad detections": Setting(people=6, miss=0.15, duplicate=0.05, false=0.5, noise=0.02),
    "uneven frames": Setting(people=6, keep=0.35),
    "6 frames a second": Setting(people=6, fps=6.0),
}


class Walkers(NamedTuple):
    """How each of N people moves: arrays (N,), in pixels, seconds and radians."""

    heights: Array
    starts: Array  # (N, 2) of the hips
    speeds: Array  # pixels per second, along x
    turns: Array  # when they turn back, inf for never
    phases: Array
    circles: Array  # radius, 0 for walkers


class Found(NamedTuple):
    """A frame: the people found, which person each of them is (P,), -1 for none, and its time."""

    people: People
    persons: Array
    time: float


def simulate(setting: Setting, rng: np.random.Generator) -> Iterator[Found]:
    """Yield what is found in the frames of a film."""
    walkers = sample_walkers(setting, rng)
    left = rng.uniform(0.15, 0.8, setting.pillars) * WIDTH
    pillars = np.stack([left, left + rng.uniform(60, 130, len(left))], axis=1)
    times = np.arange(0, setting.seconds, 1 / setting.fps)
    for time in times[rng.random(len(times)) < setting.keep].tolist():
        poses, depths = poses_of(walkers, time)
        poses[..., 0] += setting.pan * np.sin(3 * time)
        visible, hiders = visible_of(poses, depths, walkers.heights, pillars)
        yield detect(setting, rng, poses, walkers.heights, visible, hiders, time)


def sample_walkers(setting: Setting, rng: np.random.Generator) -> Walkers:
    """Return random people: where they start, how fast they move."""
    count = setting.people
    heights = rng.uniform(170, 330, count)
    x = rng.uniform(-0.15, 1.15, count) * WIDTH
    inwards = np.where(rng.random(count) < x / WIDTH, -1, 1)
    speeds = inwards * rng.uniform(0.3, 0.9, count) * heights
    turns = np.where(rng.random(count) < setting.turn, rng.uniform(2, 9, count), np.inf)
    circles = np.zeros(count)
    phases = rng.uniform(0, 2 * np.pi, count)
    dancers = 2 * round(setting.dance * count / 2)
    for first in range(0, dancers, 2):  # two on opposite sides of a circle
        heights[first + 1] = heights[first] * rng.uniform(0.95, 1.05)
        x[first : first + 2] = rng.uniform(0.15, 0.85) * WIDTH
        phases[first + 1] = phases[first] + np.pi
    circles[:dancers] = 0.3 * heights[:dancers]
    speeds[:dancers] = 0
    # Near people are tall, with their feet low in the image.
    starts = np.stack([x, 0.22 * HEIGHT + 0.75 * heights], axis=1)
    return Walkers(heights, starts, speeds, turns, phases, circles)


def poses_of(walkers: Walkers, time: float) -> tuple[Array, Array]:
    """Return the poses (N, 17, 2) at a time, and depths (N,): the larger, the nearer."""
    heights, starts, speeds, turns, phases, circles = walkers
    walked = speeds * (np.minimum(time, turns) - np.maximum(time - turns, 0))
    x = starts[:, 0] + walked + 0.08 * heights * np.sin(0.9 * time + phases)
    turning = 2.1 * time + phases  # one round in 3 seconds
    x += circles * np.cos(turning)
    hips = np.stack([x, starts[:, 1]], axis=1)  # (N, 2)
    body = np.tile(STANDING, (len(heights), 1, 1))  # (N, 17, 2)
    step = np.sin(6.3 * time + phases)[:, None]  # (N, 1)
    body[..., 0] += SWING * step
    for arm, speed in ((slice(7, 11, 2), 3.1), (slice(8, 12, 2), 4.3)):  # elbow and wrist
        raised = (circles > 0) * (1 + np.sin(speed * time + 2 * phases))  # (N,)
        body[:, arm, 1] -= raised[:, None] * [0.08, 0.22]
    return hips[:, None] + heights[:, None, None] * body, heights + circles * np.sin(turning)


def visible_of(poses: Array, depths: Array, heights: Array, pillars: Array) -> tuple[Array, Array]:
    """Return which keypoints are visible (N, 17), and who hides them (N, 17), -1 for nobody.

    pillars: (N, 2), from which x to which. A body hides what is behind its trunk and legs; a pillar
    hides all that is behind it, and so does the border.
    """
    hips = poses[:, 11:13].mean(axis=1)  # (N, 2)
    hiders = np.full(poses.shape[:2], -1)
    for who in np.argsort(depths):  # the nearest last, who hides all others
        offset = np.abs(poses - hips[who]) / heights[who]
        is_behind = (offset < [0.13, 0.45]).all(axis=-1) & (depths < depths[who])[:, None]
        hiders[is_behind] = who
    visible = (hiders < 0) & (poses >= 0).all(axis=-1) & (poses < [WIDTH, HEIGHT]).all(axis=-1)
    for left, right in pillars:
        visible &= (poses[..., 0] < left) | (poses[..., 0] > right)
    return visible, hiders


def detect(
    setting: Setting,
    rng: np.random.Generator,
    poses: Array,
    heights: Array,
    visible: Array,
    hiders: Array,
    time: float,
) -> Found:
    """Return what a network would find of poses (N, 17, 2), in any order.

    A person of whom less than a fifth is visible is missed. Half of the keypoints that another
    person hides are found on that person.
    """
    share = visible.mean(axis=1)
    seen = np.flatnonzero((share > 0.2) & (rng.random(len(poses)) > setting.miss))
    persons = np.concatenate([seen, seen[rng.random(len(seen)) < setting.duplicate]])
    is_duplicate = np.arange(len(persons)) >= len(seen)
    noise = setting.noise * np.where(is_duplicate, 3, 1)[:, None] * heights[persons, None]  # (P, 1)
    is_hidden, hider = ~visible[persons], hiders[persons]  # (P, 17)
    on_hider = is_hidden & (hider >= 0) & (rng.random(hider.shape) < 0.5)
    keypoints = np.where(
        on_hider[..., None], poses[hider, np.arange(poses.shape[1])], poses[persons]
    )
    spread = noise * np.where(is_hidden & ~on_hider, 5, 1)
    keypoints = keypoints + spread[..., None] * rng.normal(size=keypoints.shape)
    scores = rng.uniform(0.55, 0.95, is_hidden.shape)
    scores[is_hidden] = rng.uniform(0.02, 0.4, np.count_nonzero(is_hidden))
    person_scores = scores.mean(axis=1) * rng.uniform(0.85, 1, len(persons)) / 0.8
    person_scores *= np.where(is_duplicate, 0.8, 1)
    in_box = visible[persons] | setting.has_whole_boxes
    boxes = boxes_of(poses[persons], in_box, heights[persons])
    boxes += 1.5 * noise * rng.normal(size=boxes.shape)
    people = [
        People(keypoints, scores, person_scores, boxes, COCO),
        false_positives(rng, rng.poisson(setting.false)),
    ]
    whose = [np.where(is_duplicate, -1, persons), np.full(len(people[1]), -1)]
    order = rng.permutation(sum(len(each) for each in people))
    return Found(joined(people, order), np.concatenate(whose)[order], time)


def false_positives(rng: np.random.Generator, count: int) -> People:
    """Return detections of nobody."""
    heights = rng.uniform(150, 330, count)
    bodies = STANDING + 0.05 * rng.normal(size=(count, *STANDING.shape))
    places = rng.uniform(0, 1, (count, 1, 2)) * [WIDTH, HEIGHT]
    poses = places + heights[:, None, None] * bodies  # (P, 17, 2)
    boxes = boxes_of(poses, np.ones(poses.shape[:2], bool), heights)
    scores = rng.uniform(0.05, 0.7, poses.shape[:2])
    return People(poses, scores, rng.uniform(0.05, 0.75, count), boxes, COCO)


def boxes_of(poses: Array, in_box: Array, heights: Array) -> Array:
    """Return the boxes (P, 4) xyxy around some keypoints (P, 17) of poses (P, 17, 2)."""
    low = np.where(in_box[..., None], poses, np.inf).min(axis=1)
    high = np.where(in_box[..., None], poses, -np.inf).max(axis=1)
    margin = 0.05 * heights[:, None]
    return np.concatenate([low - margin, high + margin], axis=1)


def joined(parts: list[People], order: Array) -> People:
    """Return the people of all parts in an order, in float32 as networks do."""
    names = ("keypoints", "scores", "person_scores", "bboxes")
    arrays = [np.concatenate([getattr(each, name) for each in parts])[order] for name in names]
    return People(*(array.astype(np.float32) for array in arrays), COCO)


def our_tracker(options: TrackOptions) -> Follow:
    """Return our tracker."""
    return Tracker(COCO, options).update


def plain_iou(least: float = 0.3, min_score: float = 0.5) -> Follow:
    """Return a tracker by the IoU of boxes in consecutive frames, matched optimally."""
    last_boxes, last_ids, count = np.empty((0, 4)), np.empty(0, int), 0

    def follow(people: People, _: float) -> Array:
        nonlocal last_boxes, last_ids, count
        ids = np.full(len(people), -1)
        good = np.flatnonzero(people.person_scores >= min_score)
        rows, columns = match(iou_matrix(last_boxes, people.bboxes[good]), least)
        ids[good[columns]] = last_ids[rows]
        new = good[ids[good] < 0]
        ids[new] = count + np.arange(len(new))
        count += len(new)
        last_boxes, last_ids = people.bboxes[good], ids[good]
        return ids

    return follow


def roboflow(fps: float) -> Follow:
    """Return ByteTrack as in Roboflow's `trackers`, with the thresholds of scores that we have."""
    import supervision as sv
    from trackers import ByteTrackTracker

    ours = TrackOptions()
    tracker = ByteTrackTracker(
        frame_rate=fps,
        high_conf_det_threshold=ours.high_score,
        track_activation_threshold=ours.new_score,
    )

    def follow(people: People, time: float) -> Array:
        found = sv.Detections(
            people.bboxes, confidence=people.person_scores, class_id=np.arange(len(people))
        )
        ids, found = np.full(len(people), -1), tracker.update(found, timestamp=time)
        if len(found):
            ids[found.class_id] = found.tracker_id
        return ids

    return follow


class Counts(NamedTuple):
    """The figures of a film, as the top of this file explains them."""

    agreeing: int
    detections: int
    with_id: int
    covered: int
    switches: int
    ids: int
    persons: int


def count(persons: list[Array], ids: list[Array]) -> Counts:
    """Compare the persons (P,) of each frame with their track ids (P,)."""
    person, given = np.concatenate(persons), np.concatenate(ids)
    is_person, has_id = person >= 0, given >= 0
    both = is_person & has_id
    people, row = np.unique(person[both], return_inverse=True)
    numbers, column = np.unique(given[both], return_inverse=True)
    table = np.zeros((len(people), max(len(people), len(numbers))))
    np.add.at(table, (row, column), 1)
    agreeing = table[np.arange(len(people)), assign(-table, "optimal")].sum()
    switches = sum(np.count_nonzero(np.diff(given[both & (person == who)])) for who in people)
    return Counts(
        int(agreeing),
        np.count_nonzero(is_person),
        np.count_nonzero(has_id),
        np.count_nonzero(both),
        switches,
        len(np.unique(given[has_id])),
        len(np.unique(person[is_person])),
    )


def all_trackers(fps: float) -> dict[str, Follow]:
    """Return new trackers of all kinds, by name."""
    ours = TrackOptions()
    found = {
        "IoU of consecutive frames": plain_iou(),
        "Tracker": our_tracker(ours),
        "Tracker, boxes alone": our_tracker(replace(ours, oks_weight=0.0)),
        "Tracker, poses alone": our_tracker(replace(ours, oks_weight=1.0)),
        "Tracker, no second round": our_tracker(replace(ours, low_score=ours.high_score)),
    }
    if importlib.util.find_spec("trackers"):
        found["ByteTrack of `trackers`"] = roboflow(fps)
    return found


def main() -> None:
    """Print a table for each setting."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--films", type=int, default=20, help="of each setting")
    parser.add_argument("--whole-boxes", action="store_true", help="boxes span what is hidden, too")
    args = parser.parse_args()
    spent, frames = 0.0, 0
    print("| setting | tracker | IDF1 | switches | ids / people | covered |")
    print("|---|---|---|---|---|---|")
    totals: dict[str, list[Counts]] = {}
    for number, (name, setting) in enumerate(SETTINGS.items()):
        setting = replace(setting, has_whole_boxes=args.whole_boxes)
        results: dict[str, list[Counts]] = {}
        for film in range(args.films):
            found = list(simulate(setting, np.random.default_rng([number, film])))
            for who, follow in all_trackers(setting.fps).items():
                start = perf_counter()
                ids = [follow(each.people, each.time) for each in found]
                if who == "Tracker":
                    spent, frames = spent + perf_counter() - start, frames + len(found)
                results.setdefault(who, []).append(count([each.persons for each in found], ids))
        for who, counts in results.items():
            print(row(name, who, counts))
            totals.setdefault(who, []).extend(counts)
    for who, counts in totals.items():
        print(row("**all**", who, counts))
    print(f"\nTracker: {1000 * spent / frames:.2f} ms per frame")


def row(setting: str, who: str, counts: list[Counts]) -> str:
    """Return a row of the table."""
    sums = Counts(*np.sum(counts, axis=0).tolist())
    idf1 = 2 * sums.agreeing / (sums.detections + sums.with_id)
    covered = sums.covered / sums.detections
    return (
        f"| {setting} | {who} | {100 * idf1:.1f} | {sums.switches} | {sums.ids} / {sums.persons} "
        f"| {100 * covered:.1f} % |"
    )


if __name__ == "__main__":
    main()
