"""The sigmas of OKS: how far annotators disagree about a keypoint, relative to the size."""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose_eval.coco.tables import Category, Floats, Ints, SettingsError, did_you_mean, one_line

COCO_SIGMAS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
    *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
)
# pycocotools and xtcocotools write tenths: 1.07 / 10 differs from 0.107 in the last bit.
_CROWDPOSE = (0.79, 0.79, 0.72, 0.72, 0.62, 0.62, 1.07, 1.07, 0.87, 0.87, 0.89, 0.89, 0.79, 0.79)
SIGMAS = {
    "coco": tuple(round(10 * sigma, 2) / 10 for sigma in COCO_SIGMAS),
    "crowdpose": tuple(sigma / 10 for sigma in _CROWDPOSE),
    "aic": (
        *(0.01388152, 0.01515228, 0.01057665, 0.01417709, 0.01497891, 0.01402144, 0.03909642),
        *(0.03686941, 0.01981803, 0.03843971, 0.03412318, 0.02415081, 0.01291456, 0.01236173),
    ),
    "mpii": (
        *(0.089, 0.083, 0.107, 0.107, 0.083, 0.089, 0.026, 0.026),
        *(0.026, 0.026, 0.062, 0.072, 0.179, 0.179, 0.072, 0.062),
    ),
}

RUN_FILE = "sigmas.json"
# A name of SIGMAS, a file or folder, numbers, numbers by the names of keypoints, or any of these by
# category (its name, or its id as text).
Sigmas = str | Path | Sequence[float] | Mapping[str, Any]


def sigmas_of_categories(
    sigmas: Sigmas | None,
    categories: Sequence[Category],
    joints: Sequence[int] | None = None,
    default: str = "coco",
    used: Collection[int] | None = None,
) -> tuple[tuple[float, ...], ...]:
    """Return the sigmas of each category, of the chosen keypoints alone if `joints` is given.

    None takes those named `default` for a category with as many keypoints. used: indices of those
    that somebody is annotated with; sigmas that do not fit another do not matter. Raises
    SettingsError.
    """
    if isinstance(sigmas, str | Path):
        sigmas = read_sigmas(sigmas)
    found = []
    for index, category in enumerate(categories):
        try:
            values = _of_category(sigmas, category, joints, default)
        except SettingsError:
            if used is None or index in used:
                raise
            values = (0.067,) * len(category.joint_names if joints is None else joints)
        found.append(values)
    return tuple(found)


def _of_category(
    sigmas: Sigmas | None, category: Category, joints: Sequence[int] | None, default: str
) -> tuple[float, ...]:
    names, what = category.joint_names, f"category {category.name!r} of the ground truth"
    given = sigmas
    if isinstance(sigmas, Mapping) and all(isinstance(v, int | float) for v in sigmas.values()):
        lacking = [name for name in names if name not in sigmas]
        if lacking:
            raise SettingsError(
                f"no sigma for keypoint {lacking[0]!r} of category {category.name!r}; there are "
                f"some for {', '.join(sigmas)}"
            )
        given = [sigmas[name] for name in names]
    elif isinstance(sigmas, Mapping):
        given = sigmas.get(category.name, sigmas.get(str(category.id)))
        if given is None:
            raise SettingsError(
                f"no sigmas for category {category.name!r}; there are some for {', '.join(sigmas)}"
            )
        given = read_sigmas(given) if isinstance(given, str | Path) else given
    elif sigmas is None and len(SIGMAS[default]) != len(names):
        known = ", ".join(f"{name} ({len(values)})" for name, values in SIGMAS.items())
        raise SettingsError(
            f"{what} has {len(names)} keypoints, COCO has 17; name the sigmas, one of {known}, or "
            f"give a list or a file of {len(names)} numbers (--sigmas)"
        )
    values = _checked(SIGMAS[default] if given is None else given)
    if joints is not None and len(values) == len(joints) != len(names):
        return values
    if len(values) != len(names):
        raise SettingsError(
            f"{what} has {len(names)} keypoints but there are {len(values)} sigmas; give one sigma "
            "per keypoint"
        )
    return values if joints is None else tuple(values[k] for k in joints)


def read_sigmas(text: str | Path) -> Any:
    """Return the sigmas that a name, a list such as 0.026,0.025, a file or a folder stands for.

    A file holds a JSON list, a JSON object by keypoint or by category, or numbers between spaces,
    commas or line breaks; a folder has a file RUN_FILE, as a run directory of pose-train does.
    Raises SettingsError.
    """
    name, path = str(text), Path(text)
    if name.lower() in SIGMAS:
        return SIGMAS[name.lower()]
    if "," in name and not path.is_file():
        return _parsed(name.split(","), name)
    if not path.exists():
        try:
            return [float(name)]  # of a category with one keypoint
        except ValueError:
            raise SettingsError(
                f"sigmas {name!r} is neither a file nor one of {', '.join(SIGMAS)}"
                + did_you_mean(name, SIGMAS)
            ) from None
    if path.is_dir():
        path = path / RUN_FILE
        if not path.is_file():
            raise SettingsError(
                f"sigmas {name}: the folder has no {RUN_FILE}, which runs of pose-train write"
            )
    try:
        content = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SettingsError(f"cannot read sigmas {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"sigmas {path} is not a text file") from None
    try:
        values = json.loads(content)
    except ValueError:
        return _parsed(content.replace(",", " ").split(), path.name)
    if not isinstance(values, list | dict):
        raise SettingsError(
            f"sigmas {path} must be a list of numbers or an object by keypoint or by category"
        )
    return values


def _parsed(parts: Sequence[str], name: str) -> list[float]:
    try:
        return [float(part) for part in parts]
    except ValueError:
        raise SettingsError(f"sigmas: {name!r} is not a list of numbers") from None


def _checked(values: Any) -> tuple[float, ...]:
    if not hasattr(values, "__len__") or not hasattr(values, "__iter__"):
        raise SettingsError(f"sigmas must be a list of numbers, got {values!r}")
    if not len(values):
        raise SettingsError("sigmas: the list is empty")
    for number, sigma in enumerate(values):
        try:
            good = not isinstance(sigma, str | bool) and 0 < float(sigma) < math.inf
        except (TypeError, ValueError):
            good = False
        if not good:
            raise SettingsError(f"sigma {number} must be a finite number above 0, got {sigma!r}")
    return tuple(float(sigma) for sigma in values)


@dataclass(frozen=True, eq=False)
class Spread:
    """The sigma of K keypoints.

    sigmas (K,): NaN where nobody has the keypoint twice. repeats (K,): annotations beyond the first
    of a person, over all persons. persons: those annotated more than once.
    """

    sigmas: Floats
    repeats: Ints
    persons: int
    __repr__ = one_line


def spread(keypoints: Floats, area: Floats, person: NDArray[Any]) -> Spread:
    """Return COCO's sigma of each keypoint: sigma^2 = E[d^2 / area], d from the true place.

    keypoints: (N, K, 3), x, y, v of N annotations; area: (N,), the mean over a person's annotations
    is used; person: (N,), the same for annotations of the same person. The place of a keypoint is
    the mean of its labelled annotations, hence one degree of freedom less for each person. Source:
    the definition on COCO's page on keypoint evaluation.
    """
    _, who = np.unique(person, return_inverse=True)
    many = int(who.max(initial=-1)) + 1
    labelled = keypoints[..., 2] > 0  # (N, K)
    count = np.zeros((many, keypoints.shape[1]))
    np.add.at(count, who, labelled)
    total = np.zeros((many, keypoints.shape[1], 2))
    np.add.at(total, who, keypoints[..., :2] * labelled[..., None])
    place = total / np.maximum(count, 1)[..., None]  # (persons, K, 2)
    size = np.bincount(who, area, many) / np.maximum(np.bincount(who, minlength=many), 1)
    squared = ((keypoints[..., :2] - place[who]) ** 2).sum(axis=-1) / size[who, None]  # (N, K)
    repeats = np.maximum(count - 1, 0).sum(axis=0)  # (K,)
    sums = np.where(labelled, squared, 0).sum(axis=0)
    variance = np.where(repeats > 0, sums / np.maximum(repeats, 1), np.nan)
    twice = int((np.bincount(who, minlength=many) > 1).sum())
    return Spread(np.sqrt(variance), repeats.astype(np.int64), twice)
