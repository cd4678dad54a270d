"""Functions become their definitions in primitives, so that a target spells a closed set of them."""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from symrnn.calculus.along_axis import Writer
from symrnn.calculus.ir import TIME, AlongAxis, Pointwise, Ref, Statement, numbered, over_time, pointwise
from symrnn.schedule.program import Program


def expand(program: Program) -> Program:
    """Every function of a whole axis and every activation is replaced by its numerically stable definition."""
    program = _Expansion(program).program()
    for sweep in program.sweeps:
        for name, block in sweep.blocks():
            sweep = sweep.with_block(name, tuple(_expanded(s) for s in block))
        program = program.with_sweep(sweep)
    return program


class _Expansion:
    """Writes out functions of a whole axis; what two of them share, in any sweep, is computed once."""

    def __init__(self, program: Program) -> None:
        self.before = program
        self.values = dict(program.values)
        self.seen: dict[object, Ref] = {}

    def program(self) -> Program:
        program = self.before
        for sweep in program.sweeps:
            for name, block in sweep.blocks():
                sweep = sweep.with_block(name, tuple(x for s in block for x in self.statements(s)))
            program = program.with_sweep(sweep)
        return replace(program, values=self.values)

    def statements(self, s: Statement) -> list[Statement]:
        if not isinstance(s, AlongAxis):
            return [s]
        whole = TIME in s.out.labels
        s = replace(s, out=_of_one_step(s.out), args=tuple(_of_one_step(a) for a in s.args))
        known = self.seen.setdefault((s.row, *s.args), s.out)
        copy: list[Statement] = [pointwise(s.out, known.symbol, [known], s.equation)]
        made = self.written(s) if known == s.out else copy
        timed = {x.name for m in made for x in (m.out, *m.args) if self.values[x.name].timed}
        return [over_time(m, timed) for m in made] if whole else made

    def written(self, s: AlongAxis) -> list[Statement]:
        """The statements of one step that compute what s does."""
        value = self.values[s.out.name]
        writer = Writer(self.values, self.unique, value.role, value.of, self.seen)
        expr = writer.expansion(s)
        inner = [x for m in writer.statements for x in (self.written(m) if isinstance(m, AlongAxis) else [m])]
        return [*inner, pointwise(s.out, expr, writer.operands(expr), s.equation)]

    def unique(self, name: str) -> str:
        return numbered(name, self.values.__contains__)


def _of_one_step(ref: Ref) -> Ref:
    return Ref(ref.name, tuple(x for x in ref.labels if x != TIME))


def _expanded(s: Statement) -> Statement:
    """The statement in primitives; operands of what turns out to be zero, as in x * relu(y - y), are no longer read."""
    if not isinstance(s, Pointwise):
        return s
    expr = _definition(s.expr)
    return replace(s, expr=expr, args=tuple(a for a in s.args if a.symbol in expr.free_symbols))


def _definition(expr: sp.Expr) -> sp.Expr:
    if not expr.args:
        return expr
    args = [_definition(a) for a in expr.args]
    row = getattr(type(expr), "row", None)
    if row is not None and row.definition is not None:
        return _definition(row.definition(*args))
    return expr.func(*args)
