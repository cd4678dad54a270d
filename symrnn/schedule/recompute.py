"""What is cheaply computed from other saved values is computed again on the way back, not saved."""

from __future__ import annotations

from dataclasses import dataclass

from symrnn.calculus.ir import TIME, Pointwise, Statement, over_time, reads
from symrnn.schedule import cost
from symrnn.schedule.program import Program
from symrnn.schedule.save import save

#: How much of the time of the way back may be spent on it, by the cost model at usual lengths.
SHARE = 0.03


@dataclass(frozen=True)
class _Choice:
    """A saved value that the statement computes from other saved ones; what is saved by it, and its cost."""

    statement: Statement
    bytes: int
    seconds: float


def recompute(program: Program) -> Program:
    """The cheapest of what could be computed again, a byte, until the way back would take too long."""
    if len(program.sweeps) < 2:
        return program
    known = save(program)
    choices = _choices(known)
    left = SHARE * cost.of_sweep(known.sweeps[-1], cost.usual).seconds
    again = set[str]()
    for choice in sorted(choices, key=lambda c: c.seconds / c.bytes):
        if choice.seconds <= left:
            left -= choice.seconds
            again.add(choice.statement.out.name)
    last = program.sweeps[-1]
    statements = [c.statement for c in choices if c.statement.out.name in again]
    return program.with_sweep(last.with_block("before", (*statements, *last.before)))


def _choices(program: Program) -> list[_Choice]:
    """Saved values, as large as what they are computed from, that need nothing else to be saved."""
    (first, last), values = program.sweeps, program.values
    timed = {n for n, v in values.items() if v.timed}
    carried = {c.source: c.arrives for c in first.carried}
    known = {*program.saved} | {source for source, arrives in carried.items() if arrives in program.saved}
    known |= {n for n, v in values.items() if v.role in ("param", "const", "size")}
    known -= {s.out.name for s in last.statements()}  # known there, but not yet at its beginning
    found = list[_Choice]()
    for s in first.statements():
        name, large = s.out.name, all(len(a.labels) <= len(s.out.labels) for a in s.args)
        saved = name in program.saved and name in timed and name not in carried
        if isinstance(s, Pointwise) and saved and large and {*reads(s)} <= known:
            whole = s if TIME in s.out.labels else over_time(s, timed)
            size, seconds = cost.array_bytes(whole.out.labels, cost.usual), cost.of_statement(whole, cost.usual).seconds
            found.append(_Choice(whole, size, seconds))
    return found
