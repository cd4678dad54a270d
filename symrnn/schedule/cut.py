"""What is saved as a part of something else that is saved is cut out of it again by who reads it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from symrnn.calculus.ir import COMPUTED, TIME, Concat, Ref, Slice, Statement, axis_of, over_time
from symrnn.schedule.program import Program, Sweep, read_from_others


def cut(program: Program) -> Program:
    """Save nothing twice; and save the whole where every part of it is wanted."""
    for sweep in program.sweeps[1:]:
        program = program.with_sweep(_cutting(program, sweep))
    return program


def _cutting(program: Program, sweep: Sweep) -> Sweep:
    """The sweep with its own parts of wholes that are saved."""
    wanted, cuts = read_from_others(sweep), dict[str, Slice]()
    for whole, (parts, members) in _parts(program, sweep).items():
        mine = {p.out.name: p for p in parts if p.out.name in wanted}
        if whole in wanted or _cover(mine.values(), program.values[whole].axes[-1]):
            cuts |= mine
        if whole in wanted:
            cuts |= {p.out.name: p for p in members if p.out.name in wanted}
    timed = {n for n, v in program.values.items() if v.timed}
    now = tuple(c for n, c in cuts.items() if n not in timed)
    before = tuple(over_time(c, timed) for n, c in cuts.items() if n in timed)
    return replace(sweep, once=(*now, *sweep.once), before=(*before, *sweep.before))


def _parts(program: Program, sweep: Sweep) -> dict[str, tuple[list[Slice], list[Slice]]]:
    """By whole: what sweeps before this one cut out of it, and what they compute and put into it, all as slices."""
    found: dict[str, tuple[list[Slice], list[Slice]]] = {}
    earlier = program.sweeps[: program.sweeps.index(sweep)]
    own = {s.out.name for s in sweep.statements()}
    for s in (_of_one_step(s) for e in earlier for s in e.statements()):
        if isinstance(s, Slice) and s.args[0].name not in own:
            found.setdefault(s.args[0].name, ([], []))[0].append(s)
        if isinstance(s, Concat) and s.out.name not in own:
            for k, a in enumerate(s.args):
                out = Ref(a.name, (*s.out.labels[:-1], a.labels[-1]))
                before = tuple(axis_of(b.labels[-1]) for b in s.args[:k])
                if a.labels == out.labels and program.values[a.name].role in COMPUTED:
                    found.setdefault(s.out.name, ([], []))[1].append(Slice(out, (s.out,), before))
    return found


def _of_one_step(s: Statement) -> Statement:
    def now(r: Ref) -> Ref:
        return Ref(r.name, tuple(x for x in r.labels if x != TIME))

    return replace(s, out=now(s.out), args=tuple(map(now, s.args)))


def _cover(parts: Iterable[Slice], axis: str) -> bool:
    """Are these slices, one beside the other, all of the axis?"""
    starts = {"+".join(p.before): axis_of(p.out.labels[-1]) for p in parts}
    at = ""
    while at in starts and at != axis:
        at = f"{at}+{starts[at]}" if at else starts[at]
    return at == axis
