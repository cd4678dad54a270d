"""Inputs and carried values alone are saved: knowing them, the way back computes all else again, all steps at once."""

from __future__ import annotations

from symrnn.calculus.ir import TIME, Statement, over_time, reads
from symrnn.schedule.program import BLOCKS, Program, Sweep, read_from_others


def states(program: Program) -> Program:
    """The last sweep begins with the statements of the first that it needs; none of them is on a cycle any more."""
    if len(program.sweeps) < 2:
        return program
    first, last = program.sweeps
    again = _needed(first, read_from_others(last), {s.out.name for s in last.statements()})
    names, timed = {s.out.name for s in again}, {n for n, v in program.values.items() if v.timed}
    for block in BLOCKS:
        last = last.with_block(block, tuple(s for s in getattr(last, block) if s.out.name not in names))
    once = tuple(s for s in again if s in first.once)
    whole = tuple(s if TIME in s.out.labels else over_time(s, timed) for s in again if s not in first.once)
    return program.with_sweep(last.with_block("once", (*once, *last.once)).with_block("before", (*whole, *last.before)))


def _needed(first: Sweep, wanted: set[str], own: set[str]) -> list[Statement]:
    """Statements that compute what is wanted from inputs and carried values, in order.

    A carried value is saved, unless the last sweep computes it as its `own`.
    """
    carried, wanted = {c.source for c in first.carried} - own, set(wanted)
    found: list[Statement] = []
    for s in reversed(list(first.statements())):
        if s.out.name in wanted and s.out.name not in carried:
            wanted |= {*reads(s)}
            found.append(s)
    return found[::-1]
