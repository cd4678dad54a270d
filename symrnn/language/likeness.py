"""Which names are probably slips of others: a letter away, unless papers count with just those letters."""

from __future__ import annotations

import re
from collections.abc import Iterable

from symrnn.language.notation import GREEK

#: Characters that are read as one another.
LOOK_ALIKES = str.maketrans("lIO", "110")

#: A weight whose index is written without an underscore, ``Wxi`` or ``bhi``; longer ones are words.
_GLUED = re.compile(r"([WUVR])([a-z0-9]{1,3})|([bwuv])([a-z0-9]{2})")


def nearest(word: str, known: Iterable[str]) -> str:
    """The known name this one is probably a slip of, or nothing."""
    return next((k for k in known if k != word and _is_slip(word, k)), "")


def look_alike(a: str, b: str) -> bool:
    """Do two names differ in characters alone that are read as one another? Whole indices of one character may."""
    if len(a) < 3 or a == b or a.translate(LOOK_ALIKES) != b.translate(LOOK_ALIKES):
        return False
    return all(p == q or len(p) > 1 for p, q in zip(a.split("_"), b.split("_"), strict=True))


def _is_slip(a: str, b: str) -> bool:
    """One or two slips apart, in names long enough."""
    if min(len(a), len(b)) < 3 or abs(len(a) - len(b)) > 2:
        return False
    if look_alike(a, b):
        return True
    if _differ_by_index(_parts(a), _parts(b)) or a.rstrip("0123456789") == b.rstrip("0123456789"):
        return False
    if all(set(name.lower().split("_")) & set(GREEK) for name in (a, b)):
        return False  # beta and eta are two letters
    return _edits(a, b) <= (1 if min(len(a), len(b)) < 6 else 2)


def _differ_by_index(a: list[str], b: list[str]) -> bool:
    """Are these parts of two names that papers tell apart by an index: W_f and W_i, W_xhi and W_hhi, W_x_i and W_h_i?

    An index has one or two characters; that of a weight may have three, if only one of them differs.
    """
    if len(a) != len(b) or len(a) < 2:
        return False
    weights = all(head.isupper() or head in ("b", "w", "u", "v", "weight", "bias") for head in (a[0], b[0]))
    return a != b and all(
        p == q or min(len(p), len(q)) < 3 or (weights and _replaced(p, q)) for p, q in zip(a, b, strict=True)
    )


def _replaced(p: str, q: str) -> bool:
    """Do two indices of three characters differ in one?"""
    return len(p) == len(q) == 3 and sum(x != y for x, y in zip(p, q, strict=True)) == 1


def _parts(name: str) -> list[str]:
    """A name and its indices: ``W_xh_i`` and ``Wxh_i`` are W, xh, i."""
    first, *indices = name.split("_")
    glued = _GLUED.fullmatch(first)
    return [*([part for part in glued.groups() if part] if glued else [first]), *indices]


def _edits(a: str, b: str) -> int:
    """Damerau–Levenshtein distance (insert, delete, replace, swap neighbours)."""
    rows = [list(range(len(b) + 1))]
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            best = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                best = min(best, rows[-2][j - 2] + 1)
            row.append(best)
        rows.append(row)
    return rows[-1][-1]
