"""Left and right by name. pose-eval has the same rule, since neither imports the other."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import product

from pose_data.skeleton import plain_name

# What says left and, in the same form, right: anywhere in a name, or only as a word by itself.
_ANYWHERE = (
    "left/right links/rechts linke[mnrs]?/rechte[mnrs]? gauche/droite? izquierd[ao]/derech[ao] "
    "esquerd[ao]/direit[ao] sinistr[ao]/destr[ao] лев(?:ый|ая|ое)/прав(?:ый|ая|ое) 左/右"  # noqa: RUF001
)
_ALONE = "l/r lt/rt lft/rgt izq/der esq/dir port/starboard"
_SIDE = re.compile(
    "|".join(
        [f"({word})" for word in re.split("[ /]", _ANYWHERE)]
        + [f"(?<![a-zà-ÿ])({word})(?![a-zà-ÿ])" for word in re.split("[ /]", _ALONE)]
    )
)
# Each group of _SIDE is marked by a letter of Unicode's private area; left is even, its right odd.
_FIRST = 0xE000
_OTHER = {_FIRST + i: _FIRST + (i ^ 1) for i in range(_SIDE.groups)}
# What a letter may be glued to (lpaw, elbowr, LF) even once in a set: front, back, hind, middle,
# top, and the beginnings of parts of bodies.
_PART = (
    "ank|ant|arm|bro|che|ear|elb|eye|fee|fin|fli|foo|for|fro|han|hee|hin|hip|hoo|hor|kne|leg|mou|"
    "paw|shi|sho|thi|thu|tib|toe|whi|win|wri"
)
_KNOWN = re.compile(
    rf"\*(?:[bfhmt](?![a-z])|{_PART})|(?<![a-z])(?:[bfhmt]|(?:{_PART})[a-z]*)\*(?![a-z])"
)


def side_pairs(names: Sequence[str]) -> tuple[list[tuple[int, int]], dict[int, list[int]]]:
    """Return which names mirror each other, (left, right), and which could mirror several.

    A mirror exchanges every side in a name: left_eye_right_corner becomes right_eye_left_corner.
    A name without such a partner may have one that differs in one side, and else one that differs
    in an l or r glued to a word. All are indices; no name is in two pairs.
    """
    # The plain names, with one letter for each side in them.
    marked = [
        _SIDE.sub(lambda side: chr(_FIRST - 1 + (side.lastindex or 0)), plain_name(name))
        for name in names
    ]
    partners: list[set[int]] = [set() for _ in names]
    for exchanges_all in (True, False):
        alone = [i for i, found in enumerate(partners) if not found]
        for i in alone:
            text, wanted = marked[i], {marked[i].translate(_OTHER)}
            if not exchanges_all:
                parts = enumerate(text)
                wanted = {text[:k] + side.translate(_OTHER) + text[k + 1 :] for k, side in parts}
            partners[i] = {j for j in alone if marked[j] in wanted - {text}}
    for i, j in _glued({i: text for i, text in enumerate(marked) if not partners[i]}):
        partners[i].add(j)
        partners[j].add(i)
    pairs = [
        (i, j)
        for i, found in enumerate(partners)
        for j in found
        if marked[i] < marked[j] and len(found) == len(partners[j]) == 1
    ]
    return pairs, {i: sorted(found) for i, found in enumerate(partners) if len(found) > 1}


def _glued(texts: dict[int, str]) -> list[tuple[int, int]]:
    """Pair names that differ in an l or r at the same end of the same word.

    Twice in a set is a habit (lfpaw, rfpaw, lhpaw, rhpaw); once may be chance (lip and rip), unless
    the rest is part of a body (lear and rear).
    """
    found: dict[str, dict[str, list[int]]] = defaultdict(lambda: {"l": [], "r": []})
    for i, text in texts.items():
        for end in re.finditer(r"(?<![a-z])[lr](?=[a-z])|(?<=[a-z])[lr](?![a-z])", text):
            found[f"{text[: end.start()]}*{text[end.end() :]}"][end[0]].append(i)
    both = [rest for rest, sides in found.items() if sides["l"] and sides["r"]]
    begins = {rest: re.search(r"\*[a-z]", rest) is not None for rest in both}
    habit = Counter(begins.values())
    accepted = [rest for rest in both if habit[begins[rest]] > 1 or _KNOWN.search(rest)]
    return [pair for rest in accepted for pair in product(found[rest]["l"], found[rest]["r"])]


def names_a_side(name: str) -> bool:
    """Say whether a name speaks of a side: left_foot and l_foot do, L1 and bright do not."""
    sides = _ANYWHERE.replace(" ", "|").replace("/", "|")
    return re.search(rf"(?:^|_)(?:{sides}|[lr](?:_|$))", plain_name(name)) is not None
