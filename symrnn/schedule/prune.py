"""Statements that nobody reads disappear, and with them what only they read."""

from __future__ import annotations

from symrnn.calculus.ir import Statement, reads
from symrnn.schedule.program import BLOCKS, Program, Sweep, read_from_others


def prune(program: Program) -> Program:
    """Keep what leads to a result, to a carried value, or to what a later sweep reads."""
    wanted, read = set(program.results), set[str]()
    for sweep in reversed(program.sweeps):
        alive = _alive(sweep, wanted | read | {c.source for c in sweep.carried})
        program, read = program.with_sweep(alive), read | read_from_others(alive)
    return program


def _alive(sweep: Sweep, wanted: set[str]) -> Sweep:
    source = {c.arrives: c.source for c in sweep.carried}
    needed = set(wanted)
    for name in reversed(BLOCKS):
        kept: list[Statement] = []
        for s in reversed(getattr(sweep, name)):
            if s.out.name in needed:
                kept.append(s)
                needed |= {*reads(s), *(source[n] for n in reads(s) if n in source)}
        sweep = sweep.with_block(name, tuple(reversed(kept)))
    return sweep
