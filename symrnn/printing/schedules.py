"""A schedule as text: sweeps, blocks, and statements in the notation of cell files, each with what it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp

from symrnn.calculus.ir import BATCH, TIME, AlongAxis, Concat, Contraction, OneHot, Pointwise, Ref, Slice, Statement
from symrnn.printing.infix import Infix, decimal
from symrnn.schedule import cost
from symrnn.schedule.cost import Cost, Length
from symrnn.schedule.kinds import kinds
from symrnn.schedule.products import times
from symrnn.schedule.program import Program, Sweep


@dataclass(frozen=True)
class Line:
    """A statement or a sum of several, and what it costs over a whole sequence."""

    text: str
    cost: Cost


def sections(program: Program, length: Length) -> Iterator[tuple[str, list[Line]]]:
    """Every block with its statements and, last, its total."""
    for sweep in program.sweeps:
        for block, statements in sweep.blocks():
            if statements:
                lines = list(_lines(program, sweep, block, statements, length))
                yield f"{sweep.name}, {_when(sweep, block)}", lines


def totals(program: Program, length: Length) -> list[Line]:
    """What each sweep costs."""
    return [Line(sweep.name, cost.of_sweep(sweep, length)) for sweep in program.sweeps]


def counted(count: Any) -> str:
    """A number with commas, or a formula."""
    return str(sp.factor_terms(count)) if isinstance(count, sp.Expr) and not count.is_number else f"{int(count):,}"


def _when(sweep: Sweep, block: str) -> str:
    order = "from the last to the first" if sweep.reverse else "from the first to the last"
    kind = " and ".join(sorted(k.value for k in kinds(sweep)))
    return {
        "once": "once",
        "before": "all steps at once, before the loop",
        "loop": f"step by step, {order} ({kind})",
        "after": "all steps at once, after the loop",
        "finish": "once, at the end",
    }[block]


def _lines(
    program: Program, sweep: Sweep, block: str, statements: Sequence[Statement], length: Length
) -> Iterator[Line]:
    steps = length(TIME) if block == "loop" else 1
    for s in statements:
        yield Line(f"{s.out.name} = {value(s, program)}", cost.of_statement(s, length).times(steps))
    yield Line("total", cost.of_block(sweep, block, length))


def value(s: Statement, program: Program) -> str:
    """The right-hand side of a statement."""
    names = [_name(a, program) for a in s.args]
    match s:
        case Pointwise():
            rank = {a.name: k for k, a in enumerate(s.args)}
            known = dict(zip((a.name for a in s.args), names, strict=True))
            return Infix(rank, known.__getitem__, _call, decimal, _power).text(s.expr)
        case Contraction():
            return _product(s, names, program)
        case Concat():
            return f"concat({', '.join(names)})"
        case Slice():
            return f"{names[0]}, the part {s.out.labels[-1]}{' after ' + ', '.join(s.before) if s.before else ''}"
        case AlongAxis():
            return f"{s.row.name}({names[0]})"
        case OneHot():
            return f"one_hot({names[0]}, {'max' if s.largest else 'min'})"
    return f"max({names[0]})"


def _name(ref: Ref, program: Program) -> str:
    value = program.values[ref.name]
    carry = next((c for c in program.derivation.cell.carries if value.role == "carry" and c.name == value.of), None)
    return ref.name if carry is None else f"{carry.of}[t-{carry.lag + 1}]"


def _call(node: sp.Function, text: Callable[[sp.Expr], str]) -> str:
    return f"{node.func.__name__}({', '.join(map(text, node.args))})"


def _power(node: sp.Pow, base: str) -> str:
    return f"sqrt({base})" if node.exp == sp.Rational(1, 2) else f"{base}**{decimal(node.exp)}"


def _product(s: Contraction, names: list[str], program: Program) -> str:
    if found := times(s, program):
        matrix = names[s.args.index(found.weight)]
        left = found.weight.labels[0] in found.out.labels
        return f"{matrix}{'' if left else '.T'} @ {names[1 - s.args.index(found.weight)]}"
    if not s.summed:
        return f"outer({', '.join(names)})" if len(names) > 1 else f"{names[0]}.T"
    axes = ", ".join({TIME: "T", BATCH: "B"}.get(x, x) for x in s.summed)
    if len(names) == 1:
        return f"sum of {names[0]} over {axes}"
    inside = " * ".join(f"{n}[{', '.join(_axes(a))}]" for n, a in zip(names, s.args, strict=True))
    return f"sum of {inside} over {axes}"


def _axes(ref: Ref) -> list[str]:
    return [{TIME: "T", BATCH: "B"}.get(x, x) for x in ref.labels]
