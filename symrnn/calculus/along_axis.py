"""Functions of a whole axis: the statements that the rules of their rows write."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import sympy as sp

from symrnn.calculus.ir import (
    AlongAxis,
    Contraction,
    Peak,
    Pointwise,
    Ref,
    Statement,
    Value,
    numbered,
    pointwise,
    symbol,
)
from symrnn.functions.whole_axis import AxisFunction, Rule
from symrnn.language.cell import axis_parts


class Writer:
    """Applies one rule to one statement: what the rule names becomes `statements`, and `values` gets what they compute.

    New values have the given role. What `seen` knows of other rules is not computed again.
    """

    def __init__(
        self,
        values: dict[str, Value],
        unique: Callable[[str], str],
        role: str,
        of: str = "",
        seen: dict[object, Ref] | None = None,
    ) -> None:
        self.values, self.unique, self.role, self.of = values, unique, role, of
        self.seen = {} if seen is None else seen
        self.statements: list[Statement] = []

    # -- rules ---------------------------------------------------------------------------------------------

    def expansion(self, s: AlongAxis) -> sp.Expr:
        """The value of the statement."""
        self.begin(s, None)
        return self.rule.expansion(self, self.a.symbol)

    def vjp(self, s: AlongAxis, d: Ref) -> sp.Expr:
        """The adjoint of its operand, d that of its value."""
        self.begin(s, d)
        return self.rule.vjp(self, s.out.symbol, self.a.symbol, d.symbol)

    def jvp(self, s: AlongAxis, d: Ref) -> sp.Expr:
        """The tangent of its value, d that of its operand."""
        self.begin(s, d)
        return self.rule.jvp(self, s.out.symbol, self.a.symbol, d.symbol)

    def begin(self, s: AlongAxis, d: Ref | None) -> None:
        assert s.row.rule is not None
        (self.a,) = s.args
        self.rule: Rule = s.row.rule
        self.equation = s.equation
        self.like = self.values[self.a.name]
        assert self.a.labels == self.like.labels, f"{s} has other labels than its operand"
        self.known = {r.symbol: r for r in (s.out, self.a, *([] if d is None else [d]))}
        self.known |= {symbol(n): Ref(n, ()) for n in axis_parts(self.like.axes[-1])}
        self.mentioned: dict[sp.Symbol, None] = {}
        self.names = {"a": shortened(self.a.name), "d": "" if d is None else d.name}

    # -- what rules are written with -----------------------------------------------------------------------

    @property
    def size(self) -> sp.Expr:
        return sp.Add(*(symbol(n) for n in axis_parts(self.like.axes[-1])))

    def named(self, name: str, expr: sp.Expr) -> sp.Symbol:
        args = self.operands(expr)
        keeps = any(self.a.labels[-1] in r.labels for r in args)
        return self.emit(name, keeps, (expr, args), lambda out: Pointwise(out, expr, args, self.equation))

    def sum(self, name: str, *factors: sp.Expr) -> sp.Symbol:
        args = tuple(self.known[self.mention(f)] for f in factors)
        return self.emit(name, False, ("sum", args), lambda out: Contraction(out, args, self.equation))

    def peak(self, name: str, a: sp.Symbol) -> sp.Symbol:
        ref = self.known[self.mention(a)]
        return self.emit(name, False, (Peak, ref), lambda out: Peak(out, (ref,), self.equation))

    def apply(self, name: str, row: AxisFunction, a: sp.Symbol) -> sp.Symbol:
        ref = self.known[self.mention(a)]
        return self.emit(name, row.keeps, (row, ref), lambda out: AlongAxis(out, (ref,), row, self.equation))

    # -- new values ----------------------------------------------------------------------------------------

    def mention(self, s: sp.Symbol) -> sp.Symbol:
        self.mentioned.setdefault(s)
        return s

    def operands(self, expr: sp.Expr) -> tuple[Ref, ...]:
        """What an expression reads: in the order in which the rule mentioned them one by one, then all others."""
        order = dict.fromkeys((*self.mentioned, *self.known))
        return tuple(self.known[s] for s in order if s in expr.free_symbols)

    def emit(self, name: str, keeps: bool, key: object, build: Callable[[Ref], Statement]) -> sp.Symbol:
        """A new value along the axis or without it, unless the same one has been computed before."""
        if key not in self.seen:
            like = self.like
            value = Value(
                self.unique(name.format(**self.names)),
                like.axes if keeps else like.axes[:-1],
                like.batched,
                like.timed,
                self.role,
                self.of,
            )
            self.values[value.name] = value
            self.seen[key] = Ref(value.name, value.labels)
            self.statements.append(build(self.seen[key]))
        ref = self.seen[key]
        self.known[ref.symbol] = ref
        return self.mention(ref.symbol)


def tangent(s: AlongAxis, d: Ref, out: Ref, values: dict[str, Value], unique: Callable[[str], str]) -> list[Statement]:
    """The statements that compute `out`, the tangent of the statement's value, from d, that of its operand."""
    writer = Writer(values, unique, "tangent", s.out.name)
    expr = writer.jvp(s, d)
    return [*writer.statements, pointwise(out, expr, writer.operands(expr), s.equation)]


@cache
def statements_of(row: AxisFunction) -> int:
    """How many statements a function of a whole axis expands to."""
    values = {"a": Value("a", ("N",), False, False), "N": Value("N", (), False, False, "size")}
    writer = Writer(values, lambda name: numbered(name, values.__contains__), "value")
    a = Ref("a", ("N",))
    writer.expansion(AlongAxis(Ref("y", a.labels if row.keeps else ()), (a,), row))
    return 1 + sum(statements_of(s.row) if isinstance(s, AlongAxis) else 1 for s in writer.statements)


def shortened(name: str) -> str:
    """A name without the mark of the previous step, for composing longer names."""
    return name.removesuffix("_prev")
