"""What goes wrong, and what it costs: the error types of Ronchi and Perona for any skeleton.

M. R. Ronchi, P. Perona, "Benchmarking and Error Diagnosis in Multi-Instance Pose Estimation",
ICCV 2017. The labels of keypoints are those of their tool, coco-analyze; its areas start at 32^2.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_eval.analysis.sides import mirror
from pose_eval.coco.matching import image_pairs, match_category
from pose_eval.coco.report import Report
from pose_eval.coco.summary import accumulate, coco_stats
from pose_eval.coco.tables import Bools, Floats, GroundTruth, Ints, Matches, Results, one_line, take
from pose_eval.settings import Settings, category_index

LABELS = ("unlabelled", "good", "jitter", "inversion", "swap", "miss")
UNLABELLED, GOOD, JITTER, INVERSION, SWAP, MISS = range(len(LABELS))
# What each kind of error is, in the order of the cumulated repairs, that of the paper; duplicates
# are ours.
REPAIRS = {
    "miss": "keypoint far from all of these",
    "swap": "keypoint on somebody else's",
    "inversion": "keypoint on its mirror keypoint",
    "jitter": "keypoint near its place",
    "score": "order of the detections",
    "duplicate": "second detection of a person",
    "background": "detection of nobody",
    "missed": "person without a detection",
}
MATCHED = 0.1  # OKS from which a detection is meant for a person
NEAR, FAR = 0.85, 0.5  # similarities of a keypoint: above, good; from here, jitter
EPS = np.spacing(1.0)


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """The errors of one category: D detections matched to a person at OKS 0.1, K keypoints.

    joint_names (K,). flips: pairs of mirrored keypoints; without any there are no inversions.
    rows (D,): indices into Results. persons (D,): into GroundTruth. oks (D,).
    labels (D, K): indices into LABELS. similarity (D, K): of each with its own, 0 where
    unlabelled. duplicates, background (indices into Results): detections matched to nobody, near
    somebody or not. missed: indices into GroundTruth. counted: persons that count. repaired: AP,
    AP50, AP75 as they are ("now") and with one error repaired alone; cumulated: with this and all
    before it repaired.
    """

    joint_names: tuple[str, ...]
    flips: tuple[tuple[int, int], ...]
    rows: Ints
    persons: Ints
    oks: Floats
    labels: NDArray[np.int8]
    similarity: Floats
    duplicates: Ints
    background: Ints
    missed: Ints
    counted: int
    repaired: dict[str, dict[str, float | None]]
    cumulated: dict[str, dict[str, float | None]]
    __repr__ = one_line

    def counts(self) -> NDArray[np.int64]:
        """Return how often each keypoint has each label, (LABELS, K)."""
        return np.stack([(self.labels == label).sum(axis=0) for label in range(len(LABELS))])

    def section(self) -> dict[str, Any]:
        """Return everything but the single labels as values that JSON can hold."""
        counts = self.counts()
        return {
            "joints": {
                name: {LABELS[i]: int(counts[i, k]) for i in range(1, len(LABELS))}
                for k, name in enumerate(self.joint_names)
            },
            "all_joints": {LABELS[i]: int(counts[i].sum()) for i in range(1, len(LABELS))},
            "mirror_joints": [[self.joint_names[k] for k in pair] for pair in self.flips],
            "matched_detections": len(self.rows),
            "duplicate_detections": len(self.duplicates),
            "background_detections": len(self.background),
            "missed_persons": len(self.missed),
            "persons": self.counted,
            "repaired_alone": self.repaired,
            "repaired_up_to": self.cumulated,
        }


def diagnose(
    report: Report, *, category: int | str = 0, flip: Sequence[tuple[int, int]] | None = None
) -> Diagnosis:
    """Label every keypoint of every matched detection and find what each kind of error costs.

    category: an index, or a name or id as text. flip: pairs of mirrored keypoints; by default those
    whose names differ in left and right. A keypoint is compared with its own place, that of its
    mirror image (inversion), and the same two of all other persons of the image (swap); the most
    similar place gives the label, miss if none reaches 0.5. A repaired keypoint is moved to its
    annotated place; a repaired score is the OKS, below 0 for all but the best detection of a
    person; duplicates and background are removed, missed persons not counted.
    """
    category = category_index(report.gt, category)
    gt, names = report.gt, report.gt.categories[category].joint_names
    flips = mirror(names) if flip is None else flip
    rows = np.sort(report.matches[category].detections)
    results = take(report.results, rows)  # without those beyond max_dets: no repair brings them in
    matches = _match_loosely(results, gt, report.settings, category)
    found = np.flatnonzero((matches.det_match[0, 0] >= 0) & ~matches.det_ignored[0, 0])
    owner = matches.det_match[0, 0, found]  # positions in matches.persons
    label, similarity = _labels(results, gt, matches, found, report.settings, flips)
    surplus = _surplus(matches)
    lost = np.flatnonzero(matches.counts() & (matches.gt_match[0, 0] < 0))
    diagnosis = Diagnosis(
        joint_names=names[: label.shape[1]],
        flips=tuple(flips),
        rows=rows[matches.detections[found]],
        persons=matches.persons[owner],
        oks=pair_values(matches, found, owner),
        labels=label,
        similarity=similarity,
        duplicates=rows[surplus["duplicate"]],
        background=rows[surplus["background"]],
        missed=matches.persons[lost],
        counted=int(matches.counts().sum()),
        repaired={},
        cumulated={},
    )

    def stats(*errors: str) -> dict[str, float | None]:
        wrong = np.isin(label, [LABELS.index(name) for name in errors if name in LABELS])
        which, joint = np.nonzero(wrong)
        keypoints, placed = results.keypoints.copy(), gt.keypoints[diagnosis.persons[which]]
        moved = matches.detections[found[which]]
        keypoints[moved, joint, :2] = placed[np.arange(len(which)), joint, :2]
        repaired = replace(results, keypoints=keypoints)
        return _repaired_stats(repaired, report, diagnosis.missed, category, errors)

    order = list(REPAIRS)
    return replace(
        diagnosis,
        repaired={"now": stats()} | {name: stats(name) for name in order},
        cumulated={name: stats(*order[: n + 1]) for n, name in enumerate(order)},
    )


def pair_values(matches: Matches, detections: Ints, persons: Ints) -> Floats:
    """Return the OKS of pairs given as positions in matches.detections and matches.persons."""
    image = np.searchsorted(matches.det_start, detections, side="right") - 1
    row = detections - matches.det_start[image]
    column = persons - matches.gt_start[image]
    width = matches.gt_start[image + 1] - matches.gt_start[image]
    return matches.oks[matches.pair_start[image] + row * width + column]


def person_oks(report: Report, category: int = 0) -> Floats:
    """Return the OKS of the detection matched to each person, (G,).

    That of the highest threshold at which anything is matched; 0 for a missed person, NaN for one
    that does not count. The order is that of matches.persons.
    """
    matches = report.matches[category]
    out = np.zeros(len(matches.persons))
    for t in np.argsort(report.settings.thresholds):
        found = np.flatnonzero(matches.gt_match[0, t] >= 0)
        out[found] = pair_values(matches, matches.gt_match[0, t, found].astype(np.int64), found)
    out[~matches.counts()] = np.nan
    return out


def _labels(
    results: Results,
    gt: GroundTruth,
    matches: Matches,
    found: Ints,
    settings: Settings,
    flips: Sequence[tuple[int, int]],
) -> tuple[NDArray[np.int8], Floats]:
    """Return label and similarity of every keypoint of the detections found, (D, K)."""
    variances = settings.variances(matches.category)
    num_joints = len(variances)
    turn = np.arange(num_joints)
    for a, b in flips:
        turn[a], turn[b] = b, a
    placed = gt.keypoints[matches.persons, :num_joints]  # (G, K, 3)
    area = gt.area[matches.persons]
    xy = results.keypoints[matches.detections[found], :num_joints, :2]  # (D, K, 2)

    def similar(detection: Ints, person: Ints, joint: NDArray[np.intp]) -> Floats:
        target = placed[person][:, joint]  # (P, K, 3)
        squared = ((xy[detection] - target[..., :2]) ** 2).sum(axis=-1)
        value = np.exp(-squared / variances / (area[person, None] + EPS) / 2)
        return np.where(target[..., 2] > 0, value, 0.0)

    everyone = np.arange(len(found))
    owner = matches.det_match[0, 0, found]
    same = np.arange(num_joints)
    own = similar(everyone, owner, same)
    inverted = np.where(turn == same, 0.0, similar(everyone, owner, turn))
    detection, person = image_pairs(matches.det_start, matches.gt_start, matches.pair_start)
    stranger = matches.det_match[0, 0, detection] != person
    stranger &= np.isin(detection, found)
    detection, person = np.searchsorted(found, detection[stranger]), person[stranger]
    swapped = np.zeros_like(own)
    np.maximum.at(swapped, detection, similar(detection, person, same))
    np.maximum.at(swapped, detection, similar(detection, person, turn))

    best = np.maximum(np.maximum(own, inverted), swapped)
    label = np.full(own.shape, SWAP, np.int8)
    label[inverted == best] = INVERSION
    mine = own == best
    label[mine] = np.where(own[mine] > NEAR, GOOD, JITTER)
    label[best < FAR] = MISS
    label[placed[owner][..., 2] == 0] = UNLABELLED
    return label, np.where(label == UNLABELLED, 0.0, own)


def _best_person(matches: Matches, allowed: Bools) -> tuple[Floats, Ints]:
    """Return the highest OKS of each detection with an allowed person (0: none), and whom."""
    detection, person = image_pairs(matches.det_start, matches.gt_start, matches.pair_start)
    value = np.where(allowed[person], matches.oks, 0.0)
    best = np.zeros(len(matches.detections))
    np.maximum.at(best, detection, value)
    whom = np.full(len(best), -1)
    hit = value == best[detection]
    whom[detection[hit]] = person[hit]
    return best, whom


def _surplus(matches: Matches) -> dict[str, Ints]:
    """Return the detections matched to nobody: near a person who is taken, and near nobody.

    Only those that no threshold of the settings matches: a person who is taken at OKS 0.1 may be
    free at 0.75.
    """
    free = ~((matches.det_match[0] >= 0) | matches.det_ignored[0]).any(axis=0)
    best, _ = _best_person(matches, np.ones(len(matches.persons), bool))
    return {
        "duplicate": matches.detections[free & (best >= MATCHED)],
        "background": matches.detections[free & (best < MATCHED)],
    }


def _match_loosely(results: Results, gt: GroundTruth, settings: Settings, category: int) -> Matches:
    """Match persons of any size, first at OKS 0.1, from which a detection is meant for a person."""
    thresholds = (MATCHED, *settings.thresholds)
    loose = replace(settings, thresholds=thresholds, areas=settings.areas[:1])
    return match_category(results, gt, loose, category)


def _repaired_stats(
    results: Results, report: Report, missed: Ints, category: int, errors: Sequence[str]
) -> dict[str, float | None]:
    """Return AP, AP50 and AP75 with errors repaired that are no keypoint's: the last of REPAIRS."""
    gt, settings = report.gt, report.settings
    if "missed" in errors:
        num_keypoints = gt.num_keypoints.copy()
        num_keypoints[missed] = 0
        gt = replace(gt, num_keypoints=num_keypoints)
    if "score" in errors:
        results = _rescored(results, gt, settings, category)
    if {"duplicate", "background"} & set(errors):
        # Found anew: with other scores, another of two detections is the surplus one.
        surplus = _surplus(_match_loosely(results, gt, settings, category))
        gone = np.concatenate([found for name, found in surplus.items() if name in errors])
        results = take(results, np.delete(np.arange(len(results.row)), gone))
    matches = match_category(results, gt, settings, category)
    stats = coco_stats(accumulate([matches], results, settings), settings)
    return {name: stats[name] for name in ("AP", "AP50", "AP75")}


def _rescored(results: Results, gt: GroundTruth, settings: Settings, category: int) -> Results:
    """Return results whose scores are their OKS: the best of each person before all others."""
    matches = _match_loosely(results, gt, settings, category)
    best, whom = _best_person(matches, matches.counts())
    leads = np.zeros(len(best), bool)
    order = np.lexsort((-best, whom))
    leads[order[np.flatnonzero(np.diff(whom[order], prepend=-2))]] = True
    scores = np.empty(len(results.scores))
    scores[matches.detections] = np.where(leads & (whom >= 0), best, best - 1)
    return replace(results, scores=scores)
