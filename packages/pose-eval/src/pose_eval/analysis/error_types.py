"""What goes wrong, and what it costs: the error types of Ronchi and Perona for any skeleton.

M. R. Ronchi, P. Perona, "Benchmarking and Error Diagnosis in Multi-Instance Pose Estimation",
ICCV 2017. The labels of joints are those of their tool, coco-analyze; its areas start at 32^2.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_eval.analysis.sides import mirror
from pose_eval.coco.categories import category_index
from pose_eval.coco.matching import match_category
from pose_eval.coco.report import Report
from pose_eval.coco.summary import accumulate, coco_stats
from pose_eval.coco.tables import Bools, Floats, GroundTruth, Ints, Matches, Results, take
from pose_eval.settings import Settings

LABELS = ("unlabelled", "good", "jitter", "inversion", "swap", "miss")
UNLABELLED, GOOD, JITTER, INVERSION, SWAP, MISS = range(len(LABELS))
# In the order of the cumulated repairs, that of the paper; duplicates are ours.
REPAIRS = ("miss", "swap", "inversion", "jitter", "score", "duplicate", "background", "missed")
MATCHED = 0.1  # OKS from which a detection is meant for a person
NEAR, FAR = 0.85, 0.5  # similarities of a joint: above, good; from here, jitter
EPS = np.spacing(1.0)
NO_FLIPS = "no joint names differ in left and right, so inversions are not looked for"


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """The errors of one category: D detections matched to a person at OKS 0.1, K joints.

    joint_names (K,). flips: pairs of mirror joints; without any there are no inversions.
    rows (D,): indices into Results. persons (D,): into GroundTruth. oks (D,).
    labels (D, K): indices into LABELS. similarity (D, K): of each joint with its own, 0 where
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

    def counts(self) -> NDArray[np.int64]:
        """Return how often each joint has each label, (LABELS, K)."""
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
    """Label every joint of every matched detection and find what each kind of error costs.

    category: an index, or a name or id as text. flip: pairs of joints that mirror each other; by
    default those whose names differ in left and right. A joint is compared with its own place, that
    of its mirror joint (inversion), and the same two of all other persons of the image (swap); the
    most similar place gives the label, miss if none reaches 0.5. A repaired joint is moved to its
    annotated place; a repaired score is the OKS, below 0 for all but the best detection of a
    person; duplicates and background are removed, missed persons not counted.
    """
    category = category_index(report.gt, category)
    gt, names = report.gt, report.gt.categories[category].joint_names
    num_joints = len(report.settings.sigmas[category])
    flips = mirror(names) if flip is None else flip
    rows = np.sort(report.matches[category].detections)
    results = take(report.results, rows)  # without those beyond max_dets: no repair brings them in
    matches = match_loosely(gt, results, report.settings, category)
    counts_for = _counts_for(matches)
    found = np.flatnonzero((matches.det_match[0, 0] >= 0) & ~matches.det_ignored[0, 0])
    owner = matches.det_match[0, 0, found]  # positions in matches.persons
    label, similarity = _labels(gt, results, matches, found, report.settings, flips)
    surplus = _surplus(gt, results, report.settings, category)
    lost = np.flatnonzero(counts_for & (matches.gt_match[0, 0] < 0))

    repair = _Repairs(
        joints={
            name: (matches.detections[found], matches.persons[owner], label == LABELS.index(name))
            for name in REPAIRS[:4]
        },
        missed=matches.persons[lost],
    )
    alone = {"now": repair.stats(report, results, category, ())}
    alone |= {name: repair.stats(report, results, category, (name,)) for name in REPAIRS}
    upto = {
        name: repair.stats(report, results, category, REPAIRS[: n + 1])
        for n, name in enumerate(REPAIRS)
    }
    return Diagnosis(
        joint_names=names[:num_joints],
        flips=tuple(flips),
        rows=rows[matches.detections[found]],
        persons=matches.persons[owner],
        oks=pair_values(matches, found, owner),
        labels=label,
        similarity=similarity,
        duplicates=rows[surplus["duplicate"]],
        background=rows[surplus["background"]],
        missed=repair.missed,
        counted=int(counts_for.sum()),
        repaired=alone,
        cumulated=upto,
    )


def pair_values(matches: Matches, detections: Ints, persons: Ints) -> Floats:
    """Return the OKS of pairs given as positions in matches.detections and matches.persons."""
    image = np.searchsorted(matches.det_start, detections, side="right") - 1
    row = detections - matches.det_start[image]
    column = persons - matches.gt_start[image]
    width = matches.gt_start[image + 1] - matches.gt_start[image]
    return matches.oks[matches.pair_start[image] + row * width + column]


def _labels(
    gt: GroundTruth,
    results: Results,
    matches: Matches,
    found: Ints,
    settings: Settings,
    flips: Sequence[tuple[int, int]],
) -> tuple[NDArray[np.int8], Floats]:
    """Return label and similarity of every joint of the detections found, (D, K)."""
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
    detection, person = _pairs(matches, found)
    stranger = person != owner[detection]
    detection, person = detection[stranger], person[stranger]
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


def _pairs(matches: Matches, detections: Ints) -> tuple[Ints, Ints]:
    """Pair each of some detections with all persons of its image: (number in the list, person)."""
    image = np.searchsorted(matches.det_start, detections, side="right") - 1
    many = matches.gt_start[image + 1] - matches.gt_start[image]
    number = np.repeat(np.arange(len(detections)), many)
    first = np.repeat(np.cumsum(many) - many, many)
    return number, matches.gt_start[image][number] + np.arange(len(number)) - first


def _best_person(matches: Matches, allowed: Bools) -> tuple[Floats, Ints]:
    """Return the highest OKS of each detection with an allowed person (0: none), and whom."""
    detection, person = _pairs(matches, np.arange(len(matches.detections)))
    value = np.where(allowed[person], matches.oks, 0.0)
    best = np.zeros(len(matches.detections))
    np.maximum.at(best, detection, value)
    whom = np.full(len(best), -1)
    hit = value == best[detection]
    whom[detection[hit]] = person[hit]
    return best, whom


def _surplus(
    gt: GroundTruth, results: Results, settings: Settings, category: int
) -> dict[str, Ints]:
    """Return the detections matched to nobody: near a person who is taken, and near nobody.

    Only those that no threshold of the settings matches: a person who is taken at OKS 0.1 may be
    free at 0.75.
    """
    matches = match_loosely(gt, results, settings, category)
    strict = match_category(gt, results, settings, category)
    free = (matches.det_match[0, 0] < 0) & ~matches.det_ignored[0, 0]
    free &= ~((strict.det_match[0] >= 0) | strict.det_ignored[0]).any(axis=0)
    best, _ = _best_person(matches, np.ones(len(matches.persons), bool))
    return {
        "duplicate": matches.detections[free & (best >= MATCHED)],
        "background": matches.detections[free & (best < MATCHED)],
    }


def _counts_for(matches: Matches) -> Bools:
    return ~matches.gt_ignored[0]


def match_loosely(gt: GroundTruth, results: Results, settings: Settings, category: int) -> Matches:
    """Match at OKS 0.1, from which a detection is meant for a person, whatever its size."""
    loose = dataclasses.replace(settings, thresholds=(MATCHED,), areas=settings.areas[:1])
    return match_category(gt, results, loose, category)


@dataclass(frozen=True, eq=False)
class _Repairs:
    """What has to be changed to repair each kind of error.

    joints: rows, persons and (D, K) which joints. missed: persons that are not to count.
    """

    joints: dict[str, tuple[Ints, Ints, Bools]]
    missed: Ints

    def stats(
        self, report: Report, results: Results, category: int, names: Sequence[str]
    ) -> dict[str, float | None]:
        """Return AP, AP50 and AP75 with these kinds of errors repaired."""
        keypoints = results.keypoints.copy()
        for name in set(names) & set(self.joints):
            rows, persons, wrong = self.joints[name]
            which, joint = np.nonzero(wrong)
            keypoints[rows[which], joint, :2] = report.gt.keypoints[persons[which], joint, :2]
        fixed = dataclasses.replace(results, keypoints=keypoints)
        gt = report.gt
        if "missed" in names:
            ignored = gt.num_keypoints.copy()
            ignored[self.missed] = 0
            gt = dataclasses.replace(gt, num_keypoints=ignored)
        if "score" in names:
            fixed = self._rescored(report, gt, fixed, category)
        if set(names) & {"duplicate", "background"}:
            # Found anew: with other scores, another of two detections is the surplus one.
            surplus = _surplus(gt, fixed, report.settings, category)
            gone = np.concatenate([surplus[name] for name in surplus if name in names])
            fixed = take(fixed, np.delete(np.arange(len(fixed.row)), gone))
        matches = match_category(gt, fixed, report.settings, category)
        stats = coco_stats(accumulate([matches], fixed, report.settings), report.settings)
        return {name: stats[name] for name in ("AP", "AP50", "AP75")}

    def _rescored(self, report: Report, gt: GroundTruth, fixed: Results, category: int) -> Results:
        matches = match_loosely(gt, fixed, report.settings, category)
        best, whom = _best_person(matches, _counts_for(matches))
        # The best of each person first; a person's other detections and the background after all.
        leads = np.zeros(len(best), bool)
        order = np.lexsort((-best, whom))
        leads[order[np.flatnonzero(np.diff(whom[order], prepend=-2))]] = True
        scores = np.empty(len(fixed.scores))
        scores[matches.detections] = np.where(leads & (whom >= 0), best, best - 1)
        return dataclasses.replace(fixed, scores=scores)
