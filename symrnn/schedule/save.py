"""What crosses from the forward to the backward pass, what the loops keep for every step, and what nobody needs."""

from __future__ import annotations

from dataclasses import replace

from symrnn.calculus.ir import Statement, reads
from symrnn.schedule.program import BLOCKS, Program, Sweep, read_in


def save(program: Program) -> Program:
    """Drop dead statements, then list what is saved and stored, in the order in which it is computed."""
    wanted, read = set(program.results), set[str]()
    for sweep in reversed(program.sweeps):
        alive = _alive(sweep, wanted | read | {c.source for c in sweep.carried})
        program, read = program.with_sweep(alive), read | _wanted(alive)
    *first, last = program.sweeps
    wanted_last = _wanted(last)
    saved = tuple(n for sweep in first for n in _names(program, sweep) if n in wanted_last)
    for sweep in first:
        program = program.with_sweep(_storing(sweep, {*saved, *wanted, *(c.source for c in sweep.carried)}))
    return replace(program.with_sweep(_storing(last, wanted)), saved=saved)


def _wanted(sweep: Sweep) -> set[str]:
    """What a sweep reads and does not compute itself."""
    return read_in(tuple(sweep.statements())) - {s.out.name for s in sweep.statements()}


def _names(program: Program, sweep: Sweep) -> list[str]:
    """Inputs, previous states and computed values a later sweep may want; parameters are handed to it anyway."""
    inputs = [n for n, v in program.values.items() if v.role == "input"]
    arriving = [c.arrives for c in sweep.carried]
    return [*inputs, *arriving, *(s.out.name for s in sweep.statements())]


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


def _storing(sweep: Sweep, wanted: set[str]) -> Sweep:
    """Loop values read outside the loop are kept for every step."""
    wanted = wanted | read_in((*sweep.before, *sweep.after))
    carried = tuple(replace(c, stored=c.where != "loop" or bool({c.arrives, c.source} & wanted)) for c in sweep.carried)
    stored = tuple(s.out.name for s in sweep.loop if s.out.name in wanted)
    return replace(sweep, stored=stored, carried=carried)
