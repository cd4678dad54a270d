"""What statements and programs cost: bytes moved, operations and calls, in closed form in T, B and the axes.

Every count is made of lengths: `symbolic` ones give a formula, `usual` ones a number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import sympy as sp

from symrnn.calculus.ir import BATCH, TIME, Concat, Contraction, Labels, Pointwise, Slice, Statement, axis_of
from symrnn.language.cell import axis_parts
from symrnn.schedule.program import Program, Sweep

#: Bytes of a float32, in which costs are counted.
WORD = 4
#: Operations of a function of the table; those that choose or compare take one.
FUNCTION = 20
CHOICES = ("abs", "max", "min", "gt", "ge", "where")
#: What passes reckon with where they must choose: bytes and operations a second, seconds a call, and usual lengths.
BANDWIDTH, SPEED, CALL = 1e10, 4e10, 1e-6
USUAL = {"T": 100, "B": 16}
USUAL_AXIS = 64

#: How long a label is, as a number or a symbol.
Length = Callable[[str], Any]


@dataclass(frozen=True)
class Cost:
    """Bytes read and written, operations, and calls of array code; numbers or formulas."""

    bytes: Any = 0
    flops: Any = 0
    calls: Any = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.bytes + other.bytes, self.flops + other.flops, self.calls + other.calls)

    def times(self, n: Any) -> Cost:
        return Cost(n * self.bytes, n * self.flops, n * self.calls)

    @property
    def seconds(self) -> float:
        """About how long it takes, if the counts are numbers."""
        return float(self.bytes / BANDWIDTH + self.flops / SPEED + self.calls * CALL)


def lengths(sizes: Mapping[str, int]) -> Length:
    """Lengths as numbers where sizes of T, B and the axes are given, as symbols for the rest."""

    def length(label: str) -> Any:
        parts = [sizes.get(part, sp.Symbol(part, positive=True)) for part in _parts(label)]
        return sp.Add(*parts) if any(isinstance(n, sp.Expr) for n in parts) else sum(parts)

    return length


symbolic = lengths({})


def usual(label: str) -> int:
    """Lengths as passes reckon with them."""
    return sum(USUAL.get(part, USUAL_AXIS) for part in _parts(label))


def _parts(label: str) -> tuple[str, ...]:
    return tuple(axis_parts({TIME: "T", BATCH: "B"}.get(label) or axis_of(label)))


def of_statement(s: Statement, length: Length) -> Cost:
    """One execution of a statement: a step of the loop, or all steps at once."""
    out, read = _count(s.out.labels, length), sum(_count(a.labels, length) for a in s.args)
    match s:
        case Slice():
            return Cost(calls=1)  # a view
        case Contraction() if len(s.args) == 1 and not s.summed:
            return Cost(calls=1)  # likewise
        case Concat():
            return Cost(WORD * (read + out), 0, 1)
        case Pointwise():
            calls = max(1, _operations(s.expr, 1))
            between = 2 * (calls - 1) * out  # what one call writes and the next reads
            return Cost(WORD * (read + between + out), _operations(s.expr, FUNCTION) * out, calls)
        case Contraction():
            terms = _count(tuple(dict.fromkeys(x for a in s.args for x in a.labels)), length)
            return Cost(WORD * (read + out), (len(s.args) - 1 + bool(s.summed)) * terms, 1)
    return Cost(WORD * (read + out), read, 1)


def of_block(sweep: Sweep, block: str, length: Length) -> Cost:
    """All executions of a block over a sequence."""
    once = total(of_statement(s, length) for s in getattr(sweep, block))
    return once.times(length(TIME)) if block == "loop" else once


def of_sweep(sweep: Sweep, length: Length) -> Cost:
    return total(of_block(sweep, name, length) for name, _ in sweep.blocks())


def total(costs: Iterable[Cost]) -> Cost:
    return sum(costs, Cost())


def tape_bytes(program: Program, length: Length) -> Any:
    """Bytes of what is saved; what is carried, read before and after a step, is kept once, at T+1 steps."""
    found: dict[str, Any] = {}
    twice = program.saved_twice()
    for name in program.saved:
        value = program.values[name]
        steps = (length(TIME) + int(name in twice),) if value.timed else ()
        key = twice[name].source if name in twice else name
        found[key] = WORD * _product([*steps, *(length(x) for x in value.labels)])
    return sum(found.values())


def array_bytes(labels: Labels, length: Length) -> Any:
    return WORD * _count(labels, length)


def _count(labels: Labels, length: Length) -> Any:
    return _product([length(x) for x in labels])


def _product(lengths: list[Any]) -> Any:
    return sp.Mul(*lengths) if any(isinstance(n, sp.Expr) for n in lengths) else prod(lengths)


@cache
def _operations(expr: sp.Expr, function: int) -> int:
    """Additions, multiplications, divisions and roots count as one, most functions as `function`."""
    inner = sum(_operations(a, function) for a in expr.args)
    if isinstance(expr, sp.Function):
        return inner + (1 if expr.func.__name__ in CHOICES else function)
    return inner + (max(1, len(expr.args) - 1) if expr.args and not expr.is_number else 0)
