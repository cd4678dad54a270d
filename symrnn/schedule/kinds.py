"""What a loop over time asks of whoever runs it: steps one after the other, components apart, or affine maps."""

from __future__ import annotations

from enum import Enum

import sympy as sp

from symrnn.calculus.ir import Concat, Contraction, Labels, Pointwise, Slice, Statement, reads
from symrnn.functions.expressions import differentiate
from symrnn.schedule.program import Sweep


class Kind(Enum):
    """The kind of a loop; each allows what the one before it allows.

    none: nothing is carried. sequential: one step needs all of the step before. elementwise: no component needs another
    one's past, so that each can run through all steps by itself. linear: what arrives enters affinely, so that steps
    can be composed in any grouping.
    """

    NONE = "none"
    SEQUENTIAL = "sequential"
    ELEMENTWISE = "elementwise"
    LINEAR = "linear"


def kinds(sweep: Sweep) -> frozenset[Kind]:
    """Everything that the loop of a sweep is: linear and elementwise loops are both, like a leaky integrator."""
    if not sweep.loop:
        return frozenset({Kind.NONE})
    found = {Kind.ELEMENTWISE} if _is_elementwise(sweep) else set()
    found |= {Kind.LINEAR} if _is_linear(sweep) else set()
    return frozenset(found or {Kind.SEQUENTIAL})


def _is_elementwise(sweep: Sweep) -> bool:
    """Does every carried value depend on the past at its own component alone?"""
    past: dict[str, set[str]] = {}  # which arriving values a value depends on, component by component
    shape: dict[str, Labels] = {}
    carried = {c.arrives: c.source for c in sweep.carried if c.where == "loop"}
    for s in sweep.loop:
        for ref in s.args:
            if ref.name in carried:
                shape.setdefault(ref.name, ref.labels)
        moved = [r for r in s.args if r.name in carried or past.get(r.name)]
        own = isinstance(s, Pointwise) and all(r.labels == s.out.labels == shape.get(r.name) for r in moved)
        if moved and not own:
            return False
        shape[s.out.name] = s.out.labels
        past[s.out.name] = {n for r in moved for n in (past.get(r.name) or {r.name})}
    return True


def _is_linear(sweep: Sweep) -> bool:
    """Is every statement affine in what depends on the past?"""
    variant = {c.arrives for c in sweep.carried if c.where == "loop"}
    for s in sweep.loop:
        moved = [n for n in reads(s) if n in variant]
        if moved and not _affine(s, moved, variant):
            return False
        variant |= {s.out.name} if moved else set()
    return True


def _affine(s: Statement, moved: list[str], variant: set[str]) -> bool:
    match s:
        case Pointwise():
            slopes = [differentiate(s.expr, sp.Symbol(n, real=True)) for n in moved]
            return not any({x.name for x in slope.free_symbols} & variant for slope in slopes)
        case Contraction():
            return len(moved) == 1
        case Concat() | Slice():
            return True
    return False
