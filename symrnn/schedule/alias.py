"""A value that is a plain copy of another of the same shape disappears: its readers read the original."""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from symrnn.calculus.ir import Pointwise, Ref, Statement, compatible, pointwise, reads, symbol
from symrnn.schedule.program import Pass, Program


def alias(program: Program) -> Program:
    """Drop copies among the adjoints, where the chain rule makes many (∂(a + b)/∂a = 1)."""
    kept = {*program.derivation.gradients.values()}
    kept |= {name for c in program.backward.carried for name in (c.arrives, c.source)}
    original: dict[str, str] = {}
    backward = program.backward
    readers = _readers(backward)
    for s in backward.statements():
        if _is_copy(s) and s.out.name not in kept:
            source = s.args[0].name
            renamed = original | {s.out.name: original.get(source, source)}
            if all(compatible(_read_as(x, renamed)) for x in readers.get(s.out.name, ())):
                original = renamed
    return program.with_pass("backward", _renamed(backward, original))


def _readers(direction: Pass) -> dict[str, list[Pointwise]]:
    """Which pointwise statements read each value."""
    found: dict[str, list[Pointwise]] = {}
    for s in direction.statements():
        if isinstance(s, Pointwise):
            for name in reads(s):
                found.setdefault(name, []).append(s)
    return found


def _is_copy(s: Statement) -> bool:
    return isinstance(s, Pointwise) and isinstance(s.expr, sp.Symbol) and s.args[0].labels == s.out.labels


def _renamed(direction: Pass, original: dict[str, str]) -> Pass:
    for name, block in direction.blocks():
        fresh = tuple(rename(s, original) for s in block if s.out.name not in original)
        direction = direction.with_block(name, fresh)
    return direction


def rename(s: Statement, names: dict[str, str]) -> Statement:
    """The statement with some operands read under other names."""
    args = _read_as(s, names)
    if isinstance(s, Pointwise):
        expr = s.expr.xreplace({symbol(a): symbol(b) for a, b in names.items()})
        return pointwise(s.out, expr, args, s.equation)
    return replace(s, args=args)


def _read_as(s: Statement, names: dict[str, str]) -> tuple[Ref, ...]:
    return tuple(replace(a, name=names.get(a.name, a.name)) for a in s.args)
