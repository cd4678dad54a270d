"""A matrix that every step multiplies with transposed is transposed once before: a BLAS reads rows in order faster."""

from __future__ import annotations

from dataclasses import replace

from symrnn.calculus.ir import Concat, Contraction, Ref, Statement, numbered
from symrnn.schedule.products import times
from symrnn.schedule.program import Program, Sweep


def turn(program: Program) -> Program:
    """Products of the loop read matrices as they are stored; a concatenation can be stored either way."""
    for sweep in program.sweeps:
        program = _turned(program, sweep)
    return program


def _turned(program: Program, sweep: Sweep) -> Program:
    values = dict(program.values)
    made: dict[str, Contraction] = {}
    free = {s.out.name for s in sweep.once if isinstance(s, Concat)}

    def read_in_order(s: Statement) -> Statement:
        t = times(s, program)
        if t is None or not t.transposed or t.weight.name in free or values[t.weight.name].timed:
            return s
        matrix = t.weight
        if matrix.name not in made:
            usual = f"{matrix.name}_T"  # which may be a part of matrices side by side
            name = numbered(f"{matrix.name}_turned" if usual in values else usual, values.__contains__)
            value = values[matrix.name]
            values[name] = replace(value, name=name, axes=value.axes[::-1], role="local", of="")
            made[matrix.name] = Contraction(Ref(name, value.labels[::-1]), (Ref(matrix.name, value.labels),))
        turned = Ref(made[matrix.name].out.name, matrix.labels[::-1])
        return replace(s, args=tuple(turned if a == matrix else a for a in s.args))

    loop = tuple(read_in_order(s) for s in sweep.loop)
    return replace(program.with_sweep(replace(sweep, once=(*sweep.once, *made.values()), loop=loop)), values=values)
