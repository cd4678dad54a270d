"""What crosses from the forward to the backward pass, and what the loops keep for every step."""

from __future__ import annotations

from dataclasses import replace

from symrnn.schedule.program import Program, Sweep, read_from_others, read_in


def save(program: Program) -> Program:
    """List what is saved and stored, in the order in which it is computed."""
    wanted = set(program.results)
    *first, last = program.sweeps
    wanted_last = read_from_others(last)
    saved = tuple(n for sweep in first for n in _names(program, sweep) if n in wanted_last)
    for sweep in first:
        program = program.with_sweep(_storing(sweep, {*saved, *wanted, *(c.source for c in sweep.carried)}))
    return replace(program.with_sweep(_storing(last, wanted)), saved=saved)


def _names(program: Program, sweep: Sweep) -> list[str]:
    """Inputs, previous states and computed values a later sweep may want; parameters are handed to it anyway."""
    inputs = [n for n, v in program.values.items() if v.role == "input"]
    arriving = [c.arrives for c in sweep.carried]
    return [*inputs, *arriving, *(s.out.name for s in sweep.statements())]


def _storing(sweep: Sweep, wanted: set[str]) -> Sweep:
    """Loop values read outside the loop are kept for every step."""
    wanted = wanted | read_in((*sweep.before, *sweep.after))
    carried = tuple(replace(c, stored=c.where != "loop" or bool({c.arrives, c.source} & wanted)) for c in sweep.carried)
    stored = tuple(s.out.name for s in sweep.loop if s.out.name in wanted)
    return replace(sweep, stored=stored, carried=carried)
