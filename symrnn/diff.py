"""Two cells side by side: equations, terms of Jacobian and gradients, parameters, work and memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod

from symrnn.calculus.derive import Derivation
from symrnn.errors import UsageError
from symrnn.language.cell import Cell, axis_size
from symrnn.pages.document import Document
from symrnn.pages.formulas.formula import NOW, Add, Deriv, Formula, Neg, Path, Sym, neg, rebuilt
from symrnn.pages.formulas.names import Letter
from symrnn.pages.notation.latex import Latex
from symrnn.pages.notation.plain import Plain
from symrnn.pages.notation.spelling import Spelling
from symrnn.pages.outline import subject, unchecked
from symrnn.pages.trace import Trace
from symrnn.schedule import schedule
from symrnn.schedule.cost import Length, lengths, of_sweep, tape_bytes
from symrnn.schedule.program import Program


@dataclass(frozen=True)
class Change:
    """What one quantity is in both cells: the terms only a has, those only b has, and those they share."""

    left: Formula
    only_a: tuple[Formula, ...]
    only_b: tuple[Formula, ...]
    same: tuple[Formula, ...] = ()


@dataclass(frozen=True)
class Sizes:
    """Numbers of one cell: parameters, operations of a forward and a backward step, bytes saved a step."""

    parameters: int
    forward_flops: int
    backward_flops: int
    saved_bytes: int


@dataclass(frozen=True)
class Diff:
    """Everything that differs between two cells."""

    a: str
    b: str
    equations: tuple[Change, ...]
    jacobian: tuple[Change, ...]
    gradients: tuple[Change, ...]
    parameters: tuple[tuple[str, ...], tuple[str, ...]]
    sizes: tuple[Sizes, Sizes]
    axes: Mapping[str, int]
    letters: Mapping[str, Letter]


def compare(a: Cell, b: Cell, size: int = 128) -> Diff:
    """The differences between two cells, numbers for axes of length `size` and a batch of one in float32."""
    if size < 1:
        raise UsageError(f"The size must be at least 1, not {size}.")
    first, second = subject(a), subject(b)
    one, two = (dict(_terms(unchecked(s), s.trace)) for s in (first, second))
    axes = dict.fromkeys([*a.axes, *(x for x in b.axes if x not in a.axes)], size)
    names = [v.name for v in a.params], [v.name for v in b.params]
    return Diff(
        a.name, b.name,
        tuple(_rewritten(first.trace, second.trace)),
        tuple(_changes(one["jacobian"], two["jacobian"])),
        tuple(_changes(one["recursion"] | one["gradients"], two["recursion"] | two["gradients"])),
        (tuple(n for n in names[0] if n not in names[1]), tuple(n for n in names[1] if n not in names[0])),
        (_sizes(a, first.trace.d, axes), _sizes(b, second.trace.d, axes)),
        axes,
        dict(first.letters) | dict(second.letters),
    )  # fmt: skip


def _rewritten(a: Trace, b: Trace) -> Iterator[Change]:
    """Equations whose text differs, in the order of the first cell and then the second."""
    one, two = ({e.name: (e.text, t) for e in t.cell.equations} for t in (a, b))
    for name in [*one, *(n for n in two if n not in one)]:
        if one.get(name, ("",))[0] != two.get(name, ("",))[0]:
            sides = [_ticking(t.written(name), t) if name in side else None for t, side in ((a, one), (b, two))]
            owner = a if name in one else b
            yield _change(_ticking(owner.symbol(name), owner), sides[0], sides[1])


def _ticking(node: Formula, trace: Trace) -> Formula:
    """Computed values that happen to be the same at every step, written with their time, as in the other cell."""
    if isinstance(node, Sym):
        still = node.time is None and node.name in trace.definitions
        return replace(node, time=NOW) if still else node
    return rebuilt(node, lambda x: _ticking(x, trace))


def _terms(page: Document, trace: Trace) -> Iterator[tuple[str, dict[Formula, Formula]]]:
    """Sections of a page as left side → right side; numbered paths are left out, their sum says the same."""
    found: dict[str, dict[Formula, Formula]] = {"jacobian": {}, "recursion": {}, "gradients": {}}
    for anchor, e in page.equations():
        general = isinstance(e.left, Deriv) and e.left.at is not None
        if anchor in found and not isinstance(e.left, Path) and not general and "*" not in e.left.labels:
            found[anchor].setdefault(_ticking(e.left, trace), _ticking(e.right, trace))
    return iter(found.items())


def _changes(one: Mapping[Formula, Formula], two: Mapping[Formula, Formula]) -> Iterator[Change]:
    """Quantities that are not the same in both, in the order of the first cell and then the second."""
    for left in [*one, *(x for x in two if x not in one)]:
        mine, yours = one.get(left), two.get(left)
        if mine == yours:
            continue
        yield _change(left, mine, yours)


def _change(left: Formula, mine: Formula | None, yours: Formula | None) -> Change:
    a, b = _summands(mine), _summands(yours)
    only_a, only_b = tuple(x for x in a if x not in b), tuple(x for x in b if x not in a)
    return Change(left, only_a, only_b, tuple(x for x in a if x in b))


def _summands(node: Formula | None) -> tuple[Formula, ...]:
    return () if node is None else node.args if isinstance(node, Add) else (node,)


# -- numbers -----------------------------------------------------------------------------------------------


def _sizes(cell: Cell, d: Derivation, axes: Mapping[str, int]) -> Sizes:
    """As the cost model counts them in the schedule; what is done once a call is not of a step."""
    program = schedule(d)

    one, two = (_whole(program, lengths({**axes, "T": steps, "B": 1})) for steps in (1, 2))
    parameters = sum(prod(axis_size(a, dict(axes)) for a in v.axes) for v in cell.params)
    return Sizes(parameters, *(after - before for before, after in zip(one, two, strict=True)))


def _whole(program: Program, length: Length) -> tuple[int, int, int]:
    """Operations forward and backward, and bytes of the tape, of a sequence."""
    forward, backward = (of_sweep(sweep, length).flops for sweep in program.sweeps)
    return forward, backward, tape_bytes(program, length)


# -- text --------------------------------------------------------------------------------------------------


def text(diff: Diff) -> str:
    """For the terminal: lines marked − belong to the first cell alone, lines marked + to the second."""
    pen = Spelling(Plain(), diff.letters)
    out = [f"− {diff.a}", f"+ {diff.b}"]
    for title, changes in _parts(diff):
        out += ["", title, "─" * len(title)]
        out += [line for c in changes for line in _lines(c, pen)] or ["  no difference"]
    out += ["", "Parameters, work and memory", "───────────────────────────"]
    out += [f"  − {n}" for n in diff.parameters[0]] + [f"  + {n}" for n in diff.parameters[1]]
    rows = [("", diff.a, diff.b), *_numbers(diff)]
    widths = [max(len(r[k]) for r in rows) for k in range(3)]
    out += ["  " + r[0].ljust(widths[0]) + "  " + r[1].rjust(widths[1]) + "  " + r[2].rjust(widths[2]) for r in rows]
    return "\n".join(out) + "\n"


def _parts(diff: Diff) -> tuple[tuple[str, tuple[Change, ...]], ...]:
    return ("Equations", diff.equations), ("State Jacobian", diff.jacobian), ("Adjoints and gradients", diff.gradients)


def _lines(c: Change, pen: Spelling) -> Iterator[str]:
    yield f"  {pen.text(c.left)} ="
    if c.same:
        yield f"      {_sum(c.same, pen)}"
    for mark, terms in (("−", c.only_a), ("+", c.only_b)):
        for t in terms:
            yield f"    {mark} {pen.text(t)}"


def _sum(terms: tuple[Formula, ...], pen: Spelling) -> str:
    return pen.text(Add(terms)) if len(terms) > 1 else pen.text(terms[0])


def _numbers(diff: Diff) -> list[tuple[str, str, str]]:
    a, b = diff.sizes
    size = next(iter(diff.axes.values()), 0)
    return [
        (f"parameters (every axis {size})", f"{a.parameters:,}", f"{b.parameters:,}"),
        ("operations forward, a step", f"{a.forward_flops:,}", f"{b.forward_flops:,}"),
        ("operations backward, a step", f"{a.backward_flops:,}", f"{b.backward_flops:,}"),
        ("bytes saved, a step", f"{a.saved_bytes:,}", f"{b.saved_bytes:,}"),
    ]


def markdown(diff: Diff) -> str:
    """For a page: one table a part, formulas as LaTeX."""
    pen = Spelling(_Cells(), diff.letters)

    def show(terms: tuple[Formula, ...]) -> str:
        return " ".join(f"$`{_signed(t, pen, k)}`$" for k, t in enumerate(terms)) or "–"

    out = [f"# {diff.a} and {diff.b}"]
    for title, changes in _parts(diff):
        out.append(f"## {title}")
        if not changes:
            out.append("No difference.")
            continue
        rows = [f"| $`{pen.text(c.left)}`$ | {show(c.same)} | {show(c.only_a)} | {show(c.only_b)} |" for c in changes]
        out.append("\n".join([f"| | both | only {diff.a} | only {diff.b} |", "|---|---|---|---|", *rows]))
    rows = [f"| {n} | {x} | {y} |" for n, x, y in _numbers(diff)]
    for k, name in enumerate((diff.a, diff.b)):
        if diff.parameters[k]:
            rows.append(f"| parameters of {name} alone | {', '.join(f'`{n}`' for n in diff.parameters[k])} | |")
    out += ["## Parameters, work and memory", "\n".join([f"| | {diff.a} | {diff.b} |", "|---|--:|--:|", *rows])]
    return "\n\n".join(out) + "\n"


def _signed(t: Formula, pen: Spelling, k: int) -> str:
    return f"-{pen.text(neg(t))}" if isinstance(t, Neg) else f"{'+ ' if k else ''}{pen.text(t)}"


class _Cells(Latex):
    """LaTeX for the cells of a Markdown table, where a bar ends the cell."""

    def fence(self, kind: str, inner: str) -> str:
        return rf"\lvert {inner}\rvert " if kind == "|" else super().fence(kind, inner)


__all__ = ["Change", "Diff", "Sizes", "compare", "markdown", "text"]
