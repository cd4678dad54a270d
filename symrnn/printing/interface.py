"""What every generated module shows, whatever its target: the cell's names and shapes, and what is returned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from symrnn.emit import Header
from symrnn.language.cell import Axes, Carry, Cell, Variable, axis_parts
from symrnn.printing.spelling import in_python

Pairs = list[tuple[str, str]]


@dataclass(frozen=True)
class Row:
    """A table row of the docstrings: a name, its axes and what it means."""

    name: str
    axes: Axes
    meaning: str

    @property
    def local(self) -> str:
        return in_python(self.name)

    def shape(self, *lead: str) -> str:
        axes = (*lead, *self.axes)
        return f"({', '.join(axes)}{',' if len(axes) == 1 else ''})"


@dataclass(frozen=True)
class Frame:
    """What follows from the cell alone. `starts` says how parameters begin.

    `init_sizes` are the axes that parameters have, with the argument of init, `init_arguments` all that init takes.
    """

    cell: Cell
    header: Header
    title: str
    inputs: list[Row]
    params: list[Row]
    states: list[Row]
    outputs: list[Row]
    starts: Pairs
    init_sizes: Pairs
    init_arguments: list[str]


def frame(cell: Cell, header: Header) -> Frame:
    """The frame of a cell's module."""
    needed = {part for v in cell.params for axis in v.axes for part in axis_parts(axis)}
    return Frame(
        cell=cell,
        header=header,
        title=cell.title or cell.name,
        inputs=_rows(cell.inputs),
        params=_rows(cell.params),
        states=[Row(c.name, c.axes, _meaning(cell, c)) for c in cell.carries],
        outputs=_rows(cell.outputs),
        starts=[(v.name, v.start) for v in cell.params],
        init_sizes=[(a, in_python(a)) for a in cell.axes if a in needed],
        init_arguments=_init_arguments(cell.axes, needed),
    )


def _init_arguments(axes: Axes, needed: set[str]) -> list[str]:
    """Sizes that no parameter needs may be given, so that init(**sizes) works for every cell."""
    spare = [f"{in_python(a)}=None" for a in axes if a not in needed]
    sizes = [in_python(a) for a in axes if a in needed]
    return [*sizes, "seed=0", "dtype=np.float32", *(["*", *spare] if spare else [])]


def has_sums(cell: Cell) -> bool:
    """Is something as long as several axes together, as W[H, H+I] is?"""
    return any(len(axis_parts(axis)) > 1 for v in cell.variables for axis in v.axes)


def _rows(variables: Sequence[Variable]) -> list[Row]:
    return [Row(v.name, v.axes, v.meaning) for v in variables]


def _meaning(cell: Cell, carry: Carry) -> str:
    meaning = cell.variable(carry.of).meaning or carry.of
    return f"{meaning}, {carry.lag} step{'s' if carry.lag > 1 else ''} earlier" if carry.lag else meaning
