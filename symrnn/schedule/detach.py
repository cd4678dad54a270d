"""A part that must stay where what it is cut from does not becomes a copy; other parts need no memory of their own."""

from __future__ import annotations

from dataclasses import replace

from symrnn.calculus.ir import Pointwise, Ref, Slice, Statement, numbered
from symrnn.schedule.program import Program, Sweep


def detach(program: Program) -> Program:
    """Parts that are carried, saved or kept for every step are copied, unless all that they are cut from is so too."""
    values = dict(program.values)
    for sweep in program.sweeps:
        outliving = _outliving(sweep, {*program.saved})
        for name, block in sweep.blocks():
            changed: list[Statement] = []
            for s in block:
                if isinstance(s, Slice) and s.out.name in outliving:
                    part = Ref(numbered(f"{s.out.name}_part", values.__contains__), s.out.labels)
                    values[part.name] = replace(values[s.out.name], name=part.name)
                    changed += [replace(s, out=part), Pointwise(s.out, part.symbol, (part,), s.equation)]
                else:
                    changed.append(s)
            sweep = sweep.with_block(name, tuple(changed))
        program = program.with_sweep(sweep)
    return replace(program, values=values)


def _outliving(sweep: Sweep, saved: set[str]) -> set[str]:
    """Names of the parts to be copied."""
    carried = {c.source for c in sweep.carried}
    kept = {*sweep.stored, *(n for c in sweep.carried if c.stored for n in (c.arrives, c.source))}
    passing = {*(s.out.name for s in sweep.loop), *(c.arrives for c in sweep.carried)} - kept
    cut = {s.out.name: s.args[0].name for s in sweep.statements() if isinstance(s, Slice)}
    return {
        n
        for n, whole in cut.items()
        if n in carried or (n in saved and whole not in saved) or (n in kept and whole in passing)
    }
