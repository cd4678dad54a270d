"""Every way to be wrong: where, what was written, what is wrong, what to do."""

from __future__ import annotations

from dataclasses import dataclass

#: Of a long line this many characters are shown, and this many of them before the place.
WIDEST, BEFORE = 110, 50


@dataclass(frozen=True)
class Place:
    """A stretch of one line of a cell file; lines and columns count from 1."""

    source: str
    line: int
    column: int
    width: int
    text: str

    def __str__(self) -> str:
        first = max(0, min(self.column - 1 - BEFORE, len(self.text) - WIDEST)) if len(self.text) > WIDEST else 0
        shown = self.text[first : first + WIDEST]
        at = self.column - 1 - first
        marks = "^" * max(1, min(self.width, len(shown) - at))
        before, after = "…" * (first > 0), "…" * (first + WIDEST < len(self.text))
        pad = " " * len(before) + "".join("\t" if c == "\t" else " " for c in shown[:at])
        return f"{self.source}:{self.line}:{self.column}\n    {before}{shown}{after}\n    {pad}{marks}"


class SymrnnError(Exception):
    """A mistake of the user's, told in the user's terms; the command line prints it and exits with 2."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook prints: the message, without a traceback."""
        return str(self).splitlines()


@dataclass
class CellError(SymrnnError):
    """Something in a cell file is wrong.

    `kind` is a short stable word (``shape``, ``unused``, ``cycle`` …) for programs and tests.
    """

    kind: str
    place: Place | None
    wrong: str
    advice: str = ""

    def __str__(self) -> str:
        where = f"{self.place}\n" if self.place else ""
        return f"{where}{self.wrong}{' ' + self.advice if self.advice else ''}"


@dataclass
class UsageError(SymrnnError):
    """A command or call that cannot be carried out: what is wrong, and what to do."""

    wrong: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.wrong}{' ' + self.advice if self.advice else ''}"


class NothingToCompareError(UsageError):
    """No random point is good for a check: everything is at a kink, not finite, or hidden by rounding."""


@dataclass
class CheckFailed(SymrnnError):
    """Generated code that does not compute what the equations say; the command line prints it and exits with 1."""

    cell: str
    backend: str
    rows: str

    def __str__(self) -> str:
        said = "This is a fault of symrnn, not of the cell: please report it with the cell's text."
        return f"The {self.backend} code of {self.cell} is wrong, so it is not handed out.\n{self.rows}\n{said}"


class SubstituteWarning(UserWarning):
    """The module of another backend takes the place of the one that was asked for."""
