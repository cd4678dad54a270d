"""What a random cell holds, and what must be drawn: every function and operator, and the features of the language."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from random_language import BINARY, NORMALISATIONS, REDUCTIONS

from symrnn.functions.calls import STRUCTURAL
from symrnn.functions.table import COMPARISONS, ELEMENTWISE
from symrnn.language.cell import Apply, Axes, Cell, Name, walk

OPERATORS = {*BINARY, "@", "neg", ".T", *COMPARISONS}


def operations(cell: Cell) -> Iterator[Apply]:
    """Every operator and function applied in it."""
    return (node for e in cell.equations for node in walk(e.expr) if isinstance(node, Apply))


def names(cell: Cell) -> list[Name]:
    """Every reading of a name."""
    return [node for e in cell.equations for node in walk(e.expr) if isinstance(node, Name)]


def whole_axis(op: Apply) -> bool:
    return op.op in NORMALISATIONS or (op.op in REDUCTIONS and len(op.args) == 1)


def _shapes(cell: Cell) -> list[Axes]:
    return [node.axes for e in cell.equations for node in walk(e.expr)]


def _delayed(cell: Cell, role: str, delay: int) -> bool:
    return any(n.delay == delay and cell.variable(n.name).role == role for n in names(cell) if n.delay)


def _only_past(cell: Cell) -> bool:
    """Some state is read at [t-1] alone and is no output."""
    read = {n.name for n in names(cell) if n.delay == 0} | {v.name for v in cell.outputs}
    return any(v.name not in read and _delays(cell, v.name) == {1} for v in cell.states)


def _delays(cell: Cell, name: str) -> set[int]:
    return {n.delay for n in names(cell) if n.name == name}


def _twice(cell: Cell) -> bool:
    read = [n.name for n in names(cell)]
    return any(read.count(v.name) > 1 for v in cell.params)


def _roles(cell: Cell, role: str, rank: int) -> bool:
    return any(v.role == role and len(v.axes) == rank for v in cell.variables)


def _product(cell: Cell, left: int, right: int) -> bool:
    return any(o.op == "@" and [len(a.axes) for a in o.args] == [left, right] for o in operations(cell))


def _inside(op: Apply) -> bool:
    """Elementwise, with an argument that has the first axis and lacks a later one."""
    shorter = [a.axes for a in op.args if a.axes and len(a.axes) < len(op.axes)]
    return op.op in {*BINARY, *ELEMENTWISE} and any(axes == op.axes[: len(axes)] for axes in shorter)


FEATURES: dict[str, Callable[[Cell], bool]] = {
    "square axes": lambda c: any(len(a) == 2 and a[0] == a[1] for a in _shapes(c)),
    "an axis repeated among three": lambda c: any(len(a) == 3 and len(set(a)) < 3 for a in _shapes(c)),
    "three different axes": lambda c: any(len(set(a)) == 3 for a in _shapes(c)),
    "several inputs": lambda c: len(c.inputs) > 1,
    "several states": lambda c: len(c.states) > 1,
    "no state": lambda c: not c.states,
    "a state read only at [t-1]": _only_past,
    "an output that is no state": lambda c: any(v.role == "value" for v in c.outputs),
    "several outputs": lambda c: len(c.outputs) > 1,
    "a parameter used twice": _twice,
    "an inferred parameter": lambda c: any(v.place is None for v in c.params),
    "a declared parameter": lambda c: any(v.place is not None for v in c.params),
    "a constant": lambda c: bool(c.consts),
    "the step index": lambda c: any(n.name == "t" for n in names(c)),
    "the size of an axis": lambda c: any(n.name in c.axes for n in names(c)),
    "a state given a smaller value": lambda c: any(e.expr.axes != c.variable(e.name).axes for e in c.equations),
    "a value that is a concatenation": lambda c: any("+" in a for v in c.values for a in v.axes),
    "a matrix along a joined axis": lambda c: any(len(a) == 2 and "+" in a[0] + a[1] for a in _shapes(c)),
    "a concatenation of three": lambda c: any(o.op == "concat" and o.axes[0].count("+") > 1 for o in operations(c)),
    "a value repeated along its last axis": lambda c: any(_inside(o) for o in operations(c)),
    **{f"a product of ranks {m} and {n}": lambda c, m=m, n=n: _product(c, m, n) for m in (1, 2) for n in (1, 2)},
    **{
        f"a {role} of rank {rank}": lambda c, role=role, rank=rank: _roles(c, role, rank)
        for role in ("input", "state", "param", "value")
        for rank in range(4)
    },
    **{
        f"a {role} read {delay} steps ago": lambda c, role=role, delay=delay: _delayed(c, role, delay)
        for role in ("input", "state", "value")
        for delay in (1, 2, 3)
    },
    **{
        f"{name} of rank {rank}": lambda c, name=name, rank=rank: any(
            o.op == name and whole_axis(o) and len(o.args[0].axes) == rank for o in operations(c)
        )
        for name in (*REDUCTIONS, *NORMALISATIONS)
        for rank in (1, 2, 3)
    },
    **{
        f"{name} over the first axis": lambda c, name=name: any(
            o.op == name and whole_axis(o) and isinstance(o.args[0], Apply) and o.args[0].op == ".T"
            for o in operations(c)
        )
        for name in (*REDUCTIONS, *NORMALISATIONS)
    },
}


def drawn(cell: Cell) -> set[str]:
    """The functions, operators and features in it."""
    return {o.op for o in operations(cell)} | {name for name, holds in FEATURES.items() if holds(cell)}


def everything() -> set[str]:
    """What must be drawn in many cells."""
    return {*ELEMENTWISE, *STRUCTURAL, *OPERATORS, *FEATURES}
