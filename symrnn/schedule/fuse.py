"""A pointwise value read once, by a pointwise statement of the same block, moves into its reader."""

from __future__ import annotations

from itertools import islice

import sympy as sp

from symrnn.calculus.ir import Pointwise, Ref, Statement, compatible, pointwise, times_read
from symrnn.functions.expressions import spellable
from symrnn.schedule.program import Program, Sweep

#: Symbols, numbers and operations of one statement; beyond it, a chain of many equations stays one statement each.
MAX_SIZE = 100


def fuse(program: Program) -> Program:
    """Fewer names and, in the loop, fewer passes over memory."""
    for sweep in program.sweeps:
        wanted = kept(program, sweep)
        for name, block in sweep.blocks():
            sweep = sweep.with_block(name, _fused(block, wanted, sweep))
        program = program.with_sweep(sweep)
    return program


def kept(program: Program, sweep: Sweep) -> set[str]:
    """Values that must keep their name: read by another sweep, carried, an output or a gradient."""
    return {*program.results, *program.read_by_others(sweep), *(c.source for c in sweep.carried)}


def _fused(block: tuple[Statement, ...], wanted: set[str], sweep: Sweep) -> tuple[Statement, ...]:
    uses = times_read(sweep.statements())
    done: dict[str, Statement] = {}
    for s in block:
        if isinstance(s, Pointwise):
            for ref in s.args:
                inner = done.get(ref.name)
                if (
                    isinstance(inner, Pointwise)
                    and ref.name not in wanted
                    and uses[ref.name] == 1
                    and _fits(s, ref, inner)
                    and _bounded(whole := _absorb(s, inner))
                ):
                    s = whole
                    del done[ref.name]
        done[s.out.name] = s
    return tuple(done.values())


def _fits(s: Pointwise, ref: Ref, inner: Pointwise) -> bool:
    """Is the value read with just the labels it was computed with, and can one expression hold both statements?"""
    return ref.labels == inner.out.labels and compatible(_operands(s, inner))


def _bounded(s: Pointwise) -> bool:
    """Is the expression one that people and compilers can read?"""
    return sum(1 for _ in islice(sp.preorder_traversal(s.expr), MAX_SIZE + 1)) <= MAX_SIZE and spellable(s.expr)


def _absorb(s: Pointwise, inner: Pointwise) -> Pointwise:
    return pointwise(s.out, s.expr.xreplace({inner.out.symbol: inner.expr}), _operands(s, inner), s.equation)


def _operands(s: Pointwise, inner: Pointwise) -> list[Ref]:
    """What the statement reads once the other stands in it."""
    return [r for ref in s.args for r in (inner.args if ref.name == inner.out.name else (ref,))]
