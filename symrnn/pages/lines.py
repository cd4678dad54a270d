"""Equations broken into lines: pieces of the right side, packed up to a width."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

from symrnn.pages.document import Equation
from symrnn.pages.names import Letter
from symrnn.pages.notation.plain import Plain
from symrnn.pages.spell import Notation, Spelling


def broken(equation: Equation, notation: Notation, letters: Mapping[str, Letter], width: int) -> tuple[str, list[str]]:
    """The left side, and the right side in lines of about `width` characters of plain text."""
    ruler, pen = Spelling(Plain(), letters), Spelling(notation, letters)
    left = pen.text(equation.left)
    pieces, sizes = pen.segments(equation.right), [measured(x) for x in ruler.segments(equation.right)]
    assert len(pieces) == len(sizes)
    room = width - measured(ruler.text(equation.left)) - 3
    lines: list[list[str]] = [[]]
    used = 0
    for piece, size in zip(pieces, sizes, strict=True):
        if lines[-1] and used + size > room:
            lines.append([])
            used = 2
        lines[-1].append(piece)
        used += size
    return left, ["".join(line) for line in lines]


def measured(text: str) -> int:
    """The number of columns a text takes."""
    return sum(0 if unicodedata.combining(c) else 1 for c in text)
