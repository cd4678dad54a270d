"""What a paper says: a cell as immutable data. Every shape, role and meaning lives here once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from symrnn.errors import Place

Axes = tuple[str, ...]


@dataclass(frozen=True)
class Number:
    """A literal, kept as it was written."""

    text: str
    place: Place
    axes: Axes = ()


@dataclass(frozen=True)
class Name:
    """A value read now (``delay`` 0) or ``delay`` steps ago."""

    name: str
    delay: int
    place: Place
    axes: Axes = ()


@dataclass(frozen=True)
class Apply:
    """An operator (``+ - * / ** @ neg .T > >=`` …) or a function applied to its arguments."""

    op: str
    args: tuple[Expr, ...]
    place: Place
    axes: Axes = ()


Expr = Number | Name | Apply


def walk(expr: Expr) -> Iterator[Expr]:
    """The expression and everything in it, arguments first, left to right."""
    if isinstance(expr, Apply):
        for arg in expr.args:
            yield from walk(arg)
    yield expr


def factors(expr: Expr) -> tuple[list[Expr], list[Expr]]:
    """What multiplies and what divides in a product, its own products taken apart."""
    if not isinstance(expr, Apply) or expr.op not in ("*", "/", "neg"):
        return [expr], []
    above, below = factors(expr.args[0])
    if expr.op == "neg":
        return above, below
    more, less = factors(expr.args[1])
    return (above + more, below + less) if expr.op == "*" else (above + less, below + more)


@dataclass(frozen=True)
class Variable:
    """A named quantity of the cell: role is input, state, param, const, value or size.

    `start` is the value of a const, or how a parameter begins; `place` is where it was declared, if it was.
    """

    name: str
    role: str
    axes: Axes
    meaning: str = ""
    start: str = ""
    place: Place | None = None

    @property
    def shape(self) -> str:
        """The axes as a file has them, ``[H, I]``; nothing for a const."""
        return "" if self.role == "const" else f"[{', '.join(self.axes)}]"


@dataclass(frozen=True)
class Equation:
    """``name = expr``, as written in ``text``."""

    name: str
    expr: Expr
    text: str
    meaning: str
    place: Place


@dataclass(frozen=True)
class Carry:
    """A value carried to the next step: ``name`` is its key in ``state``, ``of`` the value it holds.

    ``of[t - lag]`` is what step t stores, so a read of ``h[t-3]`` is the previous value of ``h_lag2``.
    """

    name: str
    of: str
    lag: int
    axes: Axes


@dataclass(frozen=True, repr=False)
class Cell:
    """A recurrent (or, without states, feed-forward) cell, checked and with every shape known."""

    name: str
    title: str
    source: str
    extends: str
    axes: Axes
    inputs: tuple[Variable, ...]
    states: tuple[Variable, ...]
    params: tuple[Variable, ...]
    consts: tuple[Variable, ...]
    values: tuple[Variable, ...]
    equations: tuple[Equation, ...]
    outputs: tuple[Variable, ...]
    carries: tuple[Carry, ...]

    def variable(self, name: str) -> Variable:
        """The variable of that name, whatever its role."""
        return next(v for v in self.variables if v.name == name)

    @property
    def variables(self) -> tuple[Variable, ...]:
        """Inputs, states, parameters, constants and values, each in declaration order."""
        return (*self.inputs, *self.states, *self.params, *self.consts, *self.values)

    def given(self) -> list[tuple[str, Axes]]:
        """Names and axes of the arrays that a run is given: inputs, parameters, states."""
        return [(v.name, v.axes) for v in (*self.inputs, *self.params)] + [(c.name, c.axes) for c in self.carries]

    @property
    def inferred(self) -> tuple[Variable, ...]:
        """The parameters that no line declares: they are parameters because no equation defines them."""
        return tuple(v for v in self.params if v.place is None)

    @property
    def headline(self) -> str:
        """The first sentence of the docstring, or the name."""
        return first_sentence(self.title) or self.name

    def __repr__(self) -> str:
        told = [f"{what} {', '.join(v.name for v in group)}" for group, what in self._groups[1::-1] if group]
        count = len(self.params)
        return f"<Cell {self.name}: {'; '.join([*told, f'{count} parameter' + 's' * (count != 1)])}>"

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.headline}"]
        lines += [f"  {what} {', '.join(v.name + v.shape for v in group)}" for group, what in self._groups if group]
        return "\n".join(lines)

    @property
    def _groups(self) -> list[tuple[tuple[Variable, ...], str]]:
        named = (self.inputs, self.states, self.params, self.consts, self.outputs)
        return list(zip(named, ("input", "state", "param", "const", "output"), strict=True))

    def _repr_html_(self) -> str | None:
        """The derivation, for notebooks."""
        return in_notebooks["html"](self) if "html" in in_notebooks else None

    def _repr_markdown_(self) -> str | None:
        """The name and the equations, for notebooks."""
        return in_notebooks["markdown"](self) if "markdown" in in_notebooks else None

    def _repr_latex_(self) -> str | None:
        """The equations, for notebooks."""
        return in_notebooks["latex"](self) if "latex" in in_notebooks else None


#: How a notebook shows a cell, by format: filled in by `symrnn.public`, for pages stand above cells.
in_notebooks: dict[str, Callable[[Cell], str]] = {}


def declaration(v: Variable) -> str:
    """How a cell file would declare a variable: ``param W[H, I] = uniform``."""
    return f"{v.role} {v.name}{v.shape}{f' = {v.start}' if v.start else ''}"


def written(expr: Expr) -> str:
    text = expr.place.text[expr.place.column - 1 : expr.place.column - 1 + expr.place.width]
    return text if len(text) <= 40 else text[:37] + "…"


def with_axes(expr: Expr, axes: Axes) -> Expr:
    return replace(expr, axes=axes)


def axis_parts(axis: str) -> list[str]:
    """The summands of a composite axis: ``H+I`` has H and I."""
    return axis.split("+")


def axis_size(axis: str, sizes: dict[str, int]) -> int:
    """The length of an axis, composite or not, given the sizes of the plain ones."""
    return sum(sizes[part] for part in axis_parts(axis))


def lengths(known: Iterable[tuple[str, int]]) -> dict[str, int]:
    """The length of every plain axis, from those of axes composite or not; none for what stands in sums alone.

    A sum settles the one part of it that nothing else does.
    """
    known = list(known)
    sizes = {axis: n for axis, n in known if "+" not in axis}
    sums = [(axis, n) for axis, n in known if "+" in axis]
    for axis, n in sums * len(sums):
        rest, new = n - sum(sizes.get(p, 0) for p in axis_parts(axis)), [p for p in axis_parts(axis) if p not in sizes]
        if len(set(new)) == 1:
            sizes[new[0]] = rest // len(new)
    return sizes


def first_sentence(docstring: str) -> str:
    """What stands before the first full stop or line end."""
    return docstring.strip().split("\n", 1)[0].split(". ", 1)[0].rstrip(".")
