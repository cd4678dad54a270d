"""How large a cell may be, and which characters its text may have."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from symrnn.errors import CellError, Place
from symrnn.language.cell import Name, walk
from symrnn.language.draft import Draft

#: Far above what papers write, and low enough that every command answers within seconds.
MAX_TEXT, MAX_LINE, MAX_DEPTH, MAX_DELAY = 200_000, 2_000, 24, 32
MAX_TOKENS, MAX_AXES, MAX_JOINED = 200, 6, 64  # of an equation, of a value, of a concatenation
MAX_EQUATIONS, MAX_DECLARED, MAX_CARRIED, MAX_OPERATIONS, MAX_STATEMENTS = 300, 300, 64, 2_000, 800  # of a cell


def refuse_unreadable(lines: Sequence[str], source: str) -> None:
    """Raise CellError for a text that is too long, or that does not read as it looks."""
    if sum(map(len, lines)) > MAX_TEXT:
        raise CellError("size", Place(source, 1, 1, 1, ""), f"The file is longer than {MAX_TEXT:,} characters.")
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_LINE:
            place = Place(source, number, 1, 1, line[:MAX_LINE])
            raise CellError("size", place, f"This line is longer than {MAX_LINE:,} characters.")
        for column, char in enumerate(line, 1):
            if not _printable(char):
                place = Place(source, number, column, 1, "".join(c if _printable(c) else "\ufffd" for c in line))
                wrong = f"There is an unprintable character (U+{ord(char):04X})."
                raise CellError("syntax", place, wrong, "Delete it; a line ends in a line feed.")


def _printable(char: str) -> bool:
    """No control character, and no separator of lines: a line must be one for every tool and language."""
    return char == "\t" or char.isprintable() or unicodedata.category(char) == "Zs"


def refuse_too_much(draft: Draft) -> None:
    """Raise CellError for a cell, with all that it extends, that is too large to be derived within seconds."""
    delays: dict[str, int] = {}
    operations = 0
    for equation in draft.equations:
        for node in walk(equation.expr):
            operations += 1
            if isinstance(node, Name) and node.delay:
                delays[node.name] = max(node.delay, delays.get(node.name, 0))
        if operations > MAX_OPERATIONS:
            raise _too_much(equation.place, "all equations together", MAX_OPERATIONS, "names, numbers and operations")
    if len(draft.equations) > MAX_EQUATIONS:
        raise _too_much(draft.equations[MAX_EQUATIONS].place, "the cell", MAX_EQUATIONS, "equations")
    if len(draft.declarations) > MAX_DECLARED:
        raise _too_much(draft.declarations[MAX_DECLARED].place, "the cell", MAX_DECLARED, "declarations")
    states = [d for d in draft.declarations if d.kind == "state"]
    if len({d.name for d in states} - delays.keys()) + sum(delays.values()) > MAX_CARRIED:
        place = (states or draft.declarations)[-1].place
        raise _too_much(place, "the cell", MAX_CARRIED, "values from earlier steps")


def refuse_long(statements: int, place: Place) -> None:
    """Raise CellError where the functions of a cell expand to more than can be derived within seconds."""
    if statements > MAX_STATEMENTS:
        raise _too_much(place, "the cell up to here", MAX_STATEMENTS, "statements after functions are written out")


def out_of_range(place: Place) -> CellError:
    """What is wrong with a constant expression that is not a number generated code can compute with."""
    wrong = "A constant in this expression has no value, or none between 1e-300 and 1e300."
    return CellError("number", place, wrong, "Change or scale the numbers it is made of.")


def _too_much(place: Place, what: str, most: int, of: str) -> CellError:
    return CellError("size", place, f"This is too large: {what} may have at most {most:,} {of}.")
