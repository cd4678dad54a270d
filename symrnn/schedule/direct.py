"""A product that one statement only gives another name has that name from the beginning."""

from __future__ import annotations

from dataclasses import replace

from symrnn.calculus.ir import Contraction, Pointwise, Statement, times_read
from symrnn.schedule.fuse import kept
from symrnn.schedule.products import times
from symrnn.schedule.program import Program


def direct(program: Program) -> Program:
    """Drop copies of products that nobody else reads."""
    for sweep in program.sweeps:
        wanted, uses = kept(program, sweep), times_read(sweep.statements())
        for name, block in sweep.blocks():
            alone = {s.out.name for s in block if times(s, program) and uses[s.out.name] == 1} - wanted
            sweep = sweep.with_block(name, _renamed(block, alone))
        program = program.with_sweep(sweep)
    return program


def _renamed(block: tuple[Statement, ...], alone: set[str]) -> tuple[Statement, ...]:
    copies = {s.args[0].name: s.out for s in block if _is_copy(s) and s.args[0].name in alone}
    dropped = {out.name for out in copies.values()}
    named = (replace(s, out=copies[s.out.name]) if s.out.name in copies else s for s in block)
    return tuple(s for s in named if isinstance(s, Contraction) or s.out.name not in dropped)


def _is_copy(s: Statement) -> bool:
    return isinstance(s, Pointwise) and [s.expr] == [a.symbol for a in s.args] and s.args[0].labels == s.out.labels
