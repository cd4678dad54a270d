"""What crosses from the forward to the backward pass, what the loops keep for every step, and what nobody needs."""

from __future__ import annotations

from dataclasses import replace

from symrnn.calculus.ir import Statement, reads
from symrnn.schedule.program import BLOCKS, Pass, Program, read_in


def save(program: Program) -> Program:
    """Drop dead statements, then list what is saved and stored, in the order in which it is computed."""
    d = program.derivation
    backward = _alive(program.backward, set(d.gradients.values()) | {c.source for c in program.backward.carried})
    read = read_in(tuple(backward.statements())) - {s.out.name for s in backward.statements()}
    outputs = {v.name for v in d.cell.outputs}
    forward = _alive(program.forward, read | outputs | {c.source for c in program.forward.carried})
    saved = tuple(n for n in _names(program, forward) if n in read)
    forward = _storing(forward, set(saved) | outputs | {c.source for c in forward.carried})
    backward = _storing(backward, set(d.gradients.values()))
    return replace(program, forward=forward, backward=backward, saved=saved)


def _names(program: Program, forward: Pass) -> list[str]:
    """Inputs, previous states and computed values the backward pass may want; parameters are handed to it anyway."""
    inputs = [n for n, v in program.values.items() if v.role == "input"]
    arriving = [c.arrives for c in forward.carried]
    return [*inputs, *arriving, *(s.out.name for s in forward.statements())]


def _alive(direction: Pass, wanted: set[str]) -> Pass:
    source = {c.arrives: c.source for c in direction.carried}
    needed = set(wanted)
    for name in reversed(BLOCKS):
        kept: list[Statement] = []
        for s in reversed(getattr(direction, name)):
            if s.out.name in needed:
                kept.append(s)
                needed |= {*reads(s), *(source[n] for n in reads(s) if n in source)}
        direction = direction.with_block(name, tuple(reversed(kept)))
    return direction


def _storing(direction: Pass, wanted: set[str]) -> Pass:
    """Loop values read outside the loop are kept for every step."""
    wanted = wanted | read_in((*direction.before, *direction.after))
    carried = tuple(
        replace(c, stored=c.where != "loop" or bool({c.arrives, c.source} & wanted)) for c in direction.carried
    )
    stored = tuple(s.out.name for s in direction.loop if s.out.name in wanted)
    return replace(direction, stored=stored, carried=carried)
