"""Which values are computed where a concatenation wants them, so that nothing is copied."""

from __future__ import annotations

from symrnn.calculus.ir import Concat, Slice, Statement, axis_of, reads
from symrnn.language.cell import Axes
from symrnn.schedule.program import Program, Sweep

#: member → the whole, and the axes that come before the member in it.
Members = dict[str, tuple[str, Axes]]


def members(program: Program, sweep: Sweep) -> Members:
    """Operands of concatenations that have their place in it and no other."""
    found: Members = {}
    for _, block in sweep.blocks():
        made = {s.out.name: s for s in block}
        for s in (s for s in block if isinstance(s, Concat)):
            for k, a in enumerate(s.args):
                computed = a.name in made and not isinstance(made[a.name], Slice)
                once = reads(s).count(a.name) == 1 and a.name not in found
                if computed and once and _fits(s, k) and _stays(program, sweep, a.name, s.out.name):
                    found[a.name] = s.out.name, tuple(axis_of(b.labels[-1]) for b in s.args[:k])
    return found


def _fits(s: Statement, k: int) -> bool:
    """Has the operand all axes of the result, which need not repeat it?"""
    return s.args[k].labels[:-1] == s.out.labels[:-1]


def _stays(program: Program, sweep: Sweep, member: str, whole: str) -> bool:
    """Is the whole kept wherever the member is? Carried values are kept apart."""
    kept = [{*program.saved}, {*sweep.stored}]
    return all(whole in names or member not in names for names in kept) and member not in {
        c.source for c in sweep.carried
    }
