"""A value that is a plain copy of another of the same shape disappears: its readers read the original."""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from symrnn.calculus.ir import Pointwise, Ref, Statement, compatible, pointwise, reads, symbol
from symrnn.schedule.program import Program, Sweep


def alias(program: Program) -> Program:
    """Drop copies among adjoints and tangents, where the chain rule makes many (∂(a + b)/∂a = 1)."""
    for sweep in program.sweeps:
        kept = {*program.results, *program.read_by_others(sweep)}
        kept |= {name for c in sweep.carried for name in (c.arrives, c.source)}
        original: dict[str, str] = {}
        readers = _readers(sweep)
        for s in sweep.statements():
            if _is_copy(s) and s.out.name not in kept and program.values[s.out.name].role != "value":
                source = s.args[0].name
                renamed = original | {s.out.name: original.get(source, source)}
                if all(compatible(_read_as(x, renamed)) for x in readers.get(s.out.name, ())):
                    original = renamed
        program = program.with_sweep(_renamed(sweep, original))
    return program


def _readers(sweep: Sweep) -> dict[str, list[Pointwise]]:
    """Which pointwise statements read each value."""
    found: dict[str, list[Pointwise]] = {}
    for s in sweep.statements():
        if isinstance(s, Pointwise):
            for name in reads(s):
                found.setdefault(name, []).append(s)
    return found


def _is_copy(s: Statement) -> bool:
    return isinstance(s, Pointwise) and isinstance(s.expr, sp.Symbol) and s.args[0].labels == s.out.labels


def _renamed(sweep: Sweep, original: dict[str, str]) -> Sweep:
    for name, block in sweep.blocks() if original else ():
        fresh = tuple(rename(s, original) for s in block if s.out.name not in original)
        sweep = sweep.with_block(name, fresh)
    return sweep


def rename(s: Statement, names: dict[str, str]) -> Statement:
    """The statement with some operands read under other names."""
    if not any(a.name in names for a in s.args):
        return s
    args = _read_as(s, names)
    if isinstance(s, Pointwise):
        expr = s.expr.xreplace({symbol(a): symbol(b) for a, b in names.items()})
        return pointwise(s.out, expr, args, s.equation)
    return replace(s, args=args)


def _read_as(s: Statement, names: dict[str, str]) -> tuple[Ref, ...]:
    return tuple(replace(a, name=names.get(a.name, a.name)) for a in s.args)
