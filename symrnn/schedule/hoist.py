"""What a step of the loop computes without needing the recurrence is computed before it, for all steps at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import sympy as sp

from symrnn.calculus.ir import (
    Pointwise,
    Ref,
    Statement,
    Value,
    axis_of,
    expands,
    numbered,
    over_time,
    pointwise,
    symbol,
)
from symrnn.functions.expressions import symbols_in
from symrnn.schedule.program import Program, Sweep
from symrnn.schedule.together import MAX_NAME


def hoist(program: Program) -> Program:
    """Biases join the input product; products of local derivatives are ready before the reverse loop starts."""
    for sweep in program.sweeps:
        program = _Hoist(program, sweep).program()
    return program


class _Hoist:
    def __init__(self, program: Program, sweep: Sweep) -> None:
        self.before, self.part = program, sweep
        self.values = dict(program.values)
        loop = {s.out.name for s in self.part.loop}
        self.variant = {symbol(n) for n in loop | {c.arrives for c in self.part.carried if c.where == "loop"}}
        self.seen: dict[tuple[sp.Expr, tuple[Ref, ...]], Ref] = {}
        self.once: list[Statement] = []
        self.batched: list[Statement] = []
        self.statement: Pointwise

    def program(self) -> Program:
        loop = tuple(self.lighten(s) if isinstance(s, Pointwise) else s for s in self.part.loop)
        part = replace(
            self.part,
            once=(*self.part.once, *self.once),
            before=(*self.part.before, *self.batched),
            loop=loop,
        )
        return replace(self.before.with_sweep(part), values=self.values)

    def lighten(self, s: Pointwise) -> Pointwise:
        self.statement, self.extra = s, list[Ref]()
        expr = self.visit(s.expr)
        if expr == s.expr:
            return s
        return pointwise(s.out, expr, [*s.args, *self.extra], s.equation)

    def visit(self, node: sp.Expr) -> sp.Expr:
        if not symbols_in(node) & self.variant:
            return self.named(node, node)
        if isinstance(node, sp.Add | sp.Mul):
            fixed, rest = node.as_independent(*self.variant, as_Add=isinstance(node, sp.Add))
            whole = node.func(*(self.visit(a) for a in (rest.args if isinstance(rest, node.func) else (rest,))))
            return node.func(self.named(fixed, rest), whole)
        return node.func(*(self.visit(a) for a in node.args)) if node.args else node

    def named(self, fixed: sp.Expr, rest: sp.Expr) -> sp.Expr:
        """A value for the invariant part, unless it is a number or a single value with a sign."""
        if not symbols_in(fixed) or isinstance(fixed, sp.Symbol) or isinstance(-fixed, sp.Symbol):
            return fixed
        if all(self.values[x.name].role in ("const", "size") for x in symbols_in(fixed)):
            return fixed
        refs = tuple(r for r in self.statement.args if r.symbol in symbols_in(fixed))
        if any(self.values[r.name].timed for r in refs) and expands(Pointwise(self.result(refs), fixed, refs)):
            return fixed  # one step of it is soon computed, all steps are large
        key = (fixed, refs)  # the same expression of other components is another value
        if key not in self.seen:
            self.seen[key] = self.create(fixed, refs, rest)
        self.extra.append(self.seen[key])
        return self.seen[key].symbol

    def result(self, refs: tuple[Ref, ...], name: str = "") -> Ref:
        """A value with all the labels of these."""
        used = {x for r in refs for x in r.labels}
        return Ref(name, tuple(x for x in self.statement.out.labels if x in used))

    def create(self, fixed: sp.Expr, refs: tuple[Ref, ...], rest: sp.Expr) -> Ref:
        s = self.statement
        inputs = [self.values[r.name] for r in refs]
        batched, timed = any(v.batched for v in inputs), any(v.timed for v in inputs)
        out = self.result(refs, name := self.name(refs, rest))
        axes = tuple(axis_of(x) for x in out.labels[batched:])
        self.values[name] = Value(name, axes, batched, timed, "local", s.out.name)
        made = Pointwise(out, fixed, refs, s.equation)
        if timed:
            self.batched.append(over_time(made, {v.name for v in inputs if v.timed} | {name}))
        else:
            self.once.append(made)
        return out

    def name(self, refs: Sequence[Ref], rest: sp.Expr) -> str:
        """``dh_do`` for a factor between d_h and d_o, ``i_in`` for what enters i from outside the recurrence.

        A second one of that name, or one too long to read, is called after the last that enters, or after d_o alone.
        """
        target = self.statement.out.name
        sources = sorted(x.name for x in symbols_in(rest) & self.variant)
        if not self.part.reverse:
            names = [f"{_shared([r.name for r in refs]) or target}_in", f"{refs[-1].name}_in"]
        else:
            names = [f"local_{_bare(target)}"]
            if len(sources) == 1 and self.values[sources[0]].role in ("adjoint", "next"):
                names.insert(0, f"d{_bare(sources[0])}_d{_bare(target)}")
        free = [n for n in names if n not in self.values and len(n) <= MAX_NAME]
        return free[0] if free else numbered(names[-1], self.values.__contains__)


def _shared(names: Sequence[str]) -> str:
    """What several names have in common, word by word: i of W_i_x and b_i; "" if that is not a name."""
    first, *others = (name.split("_") for name in names)
    same = "_".join(word for word in first if others and all(word in other for other in others))
    return same if same.isidentifier() else ""


def _bare(adjoint: str) -> str:
    return adjoint.removeprefix("d_").removesuffix("_next")
