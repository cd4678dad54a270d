"""Activations become their definitions in primitives, so that a target spells a closed set of functions."""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from symrnn.calculus.ir import Pointwise, Statement
from symrnn.schedule.program import Program


def expand(program: Program) -> Program:
    """Every activation of the table is replaced by its numerically stable definition."""
    for sweep in program.sweeps:
        for name, block in sweep.blocks():
            sweep = sweep.with_block(name, tuple(_expanded(s) for s in block))
        program = program.with_sweep(sweep)
    return program


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
