"""Equations broken into lines: pieces of the right side, packed up to a width."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping

from symrnn.pages.document import Equation
from symrnn.pages.formulas.names import Letter
from symrnn.pages.notation.plain import Plain
from symrnn.pages.notation.spelling import Notation, Spelling


def columns(text: str) -> int:
    """The number of columns a text takes in a terminal: none for an accent, two for a Chinese sign."""
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def typeset(text: str) -> float:
    """The width of a text in letters when it is typeset: indices are small."""
    small = ("<sub>", "<super>")
    return sum(0.6 if unicodedata.decomposition(c).startswith(small) else not unicodedata.combining(c) for c in text)


def broken(
    equation: Equation,
    notation: Notation,
    letters: Mapping[str, Letter],
    width: int,
    measure: Callable[[str], float] = columns,
) -> tuple[str, list[str]]:
    """The left side, and the right side in lines of about `width`, as `measure` counts its plain text."""
    ruler, pen = Spelling(Plain(), letters), Spelling(notation, letters)
    left = pen.text(equation.left)
    groups, rulers = pen.groups(equation.right), ruler.groups(equation.right)
    room = max(width - measure(ruler.text(equation.left)) - 3, width // 2)
    lines: list[list[str]] = [[]]
    used = 0.0
    for group, rule in zip(groups, rulers, strict=True):
        sizes = [measure(x) for x in rule]
        whole = sum(sizes) <= room
        for piece, size in zip(group, sizes, strict=True):
            wanted = sum(sizes) if whole and piece is group[0] else 0 if whole else size
            if lines[-1] and used + wanted > room:
                lines.append([])
                used = 2
            lines[-1].append(piece)
            used += size
    return left, ["".join(line) for line in lines]
