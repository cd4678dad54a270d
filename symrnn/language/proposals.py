"""What errors propose to write: names that are free, and lines that fit the cell at hand."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import chain, count

from symrnn.functions.table import ELEMENTWISE
from symrnn.language.cell import Apply, Axes, Equation, axis_parts
from symrnn.language.draft import Declaration

#: Letters that papers use for the lengths of axes, those of states and inputs first.
AXES, BEYOND = "HIKMNPQJ", "KMNPQJ"

#: A longer equation is not shown whole.
LONGEST = 80


def likely_axis(declarations: Sequence[Declaration]) -> str:
    """The axis most likely meant where one is missing: H, the first of a state, or the first of all; or nothing."""
    states_first = sorted(declarations, key=lambda d: d.kind != "state")
    axes = [part for d in states_first for axis in d.axes for part in axis_parts(axis)]
    return "H" if "H" in axes else next(iter(axes), "")


def free_axes(taken: Collection[str], letters: str = AXES) -> Iterator[str]:
    """Names for axes, none of those taken, without end."""
    return (name for name in chain(letters, (f"{letters[0]}{k}" for k in count(2))) if name not in taken)


def free_name(wanted: str, taken: Collection[str]) -> str:
    """The name, or the name with the first number that makes it none of those taken."""
    return next(n for n in chain([wanted], (f"{wanted}{k}" for k in count(2))) if n not in taken)


def with_axes(kind: str, name: str, names: Sequence[str] | None, likely: str, taken: Collection[str]) -> str:
    """How a param or a state is declared of whose axes only these are known, "" for one that is not, None for none."""
    free = free_axes(taken, BEYOND)
    axes = ", ".join([likely or next(free_axes(taken))] if names is None else [n or next(free) for n in names])
    if kind == "state":
        return f"Declare it: state {name}[{axes}] (with the axes you mean)."
    scalar = f"; param {name}[] is a scalar" if names is None else ""
    return f"Pin it: param {name}[{axes}] (with the axes you mean{scalar})."


def with_input(equation: Equation, axes: Axes, x: str, x_axes: Axes, taken: Collection[str]) -> str:
    """The equation of a value along `axes` with an input x along `x_axes` added; nothing where none can be."""
    if axes == x_axes:
        added = x
    elif len(axes) == len(x_axes) == 1:
        added = f"{free_name('W_x', taken)} @ {x}"
    else:
        return ""
    if len(equation.text) > LONGEST:
        return f"{equation.name} = … + {added}"
    match equation.expr:
        case Apply(op=op, args=(_,)) if ELEMENTWISE.get(op) == 1 and equation.text.endswith(")"):
            return f"{equation.text[:-1]} + {added})"
    return f"{equation.text} + {added}"
