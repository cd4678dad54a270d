"""Gates, found by what they are: values that a squashing function keeps between zero and one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import sympy as sp

from symrnn.calculus.ir import Pointwise, symbol
from symrnn.functions import numeric
from symrnn.functions.table import Function
from symrnn.pages.document import Block, Prose, Table, say
from symrnn.pages.formulas.formula import Num
from symrnn.pages.formulas.read import expression, settled
from symrnn.pages.formulas.rewrite import tidy
from symrnn.pages.trace import Trace


@cache
def squashes(row: Function) -> bool:
    """Does a function of one argument map everything into [0, 1], and not all to one value?"""
    if row.arity != 1:
        return False
    with np.errstate(all="ignore"):
        y = numeric.apply(row, [np.linspace(-30, 30, 601)])
    return bool(np.all(np.isfinite(y)) and y.min() >= 0 and y.max() <= 1 and y.max() - y.min() > 0.5)


def is_gate(trace: Trace, expr: sp.Expr) -> bool:
    """Is this a gate g, or 1 - g of one?"""
    if isinstance(expr, sp.Symbol):
        s = trace.definitions.get(expr.name)
        row = getattr(type(getattr(s, "expr", None)), "row", None)
        if row is not None:
            return squashes(row)
        return isinstance(s, Pointwise) and not isinstance(s.expr, sp.Symbol) and is_gate(trace, s.expr)
    rest = sp.Integer(1) - expr
    return isinstance(rest, sp.Symbol) and is_gate(trace, rest)


def table(trace: Trace, key: str) -> Iterator[Block]:
    """What the state becomes when its two gates stand at 0 and 1, for c = f ⊙ c[t-1] + i ⊙ g."""
    found = _form(trace, key)
    if found is None:
        return
    s, forget, write = found
    yield Prose(
        (say("gates.intro", write=trace.value(write), forget=trace.value(forget), state=trace.symbol(s.out.name)),)
    )
    rows = []
    for i in (0, 1):
        for f in (0, 1):
            expr = s.expr.subs({symbol(write): i, symbol(forget): f})
            names = [a.name for a in s.args]
            values = {a.name: trace.operand(a) for a in s.args}
            made = tidy(settled(expression(expr, values, names), s.out.labels))
            rows.append((Num(sp.Integer(i)), Num(sp.Integer(f)), made, say(f"gates.{i}{f}")))
    head = (
        say("gates.value", gate=trace.value(write)),
        say("gates.value", gate=trace.value(forget)),
        say("gates.value", gate=trace.symbol(s.out.name)),
        say("gates.effect"),
    )
    yield Table(head, tuple(rows))


def _form(trace: Trace, key: str) -> tuple[Pointwise, str, str] | None:
    """The statement of the state, the gate on its old value and the gate on what is new; two different gates."""
    s = trace.definitions.get(trace.step.carried[key])
    previous = next(n for n, v in trace.step.values.items() if v.role == "carry" and v.of == key)
    if not isinstance(s, Pointwise) or not isinstance(s.expr, sp.Add) or len(s.expr.args) != 2:
        return None
    old = [t for t in s.expr.args if symbol(previous) in t.free_symbols]
    new = [t for t in s.expr.args if symbol(previous) not in t.free_symbols]
    if len(old) != 1 or len(new) != 1 or not isinstance(old[0], sp.Mul) or not isinstance(new[0], sp.Mul):
        return None
    if not all(isinstance(x, sp.Symbol) for t in (old[0], new[0]) for x in t.args) or len(old[0].args) != 2:
        return None
    forget = next(x.name for x in old[0].args if x.name != previous)
    ranked = [a.name for a in s.args if symbol(a.name) in new[0].args]
    write = next((n for n in ranked if is_gate(trace, symbol(n))), None)
    if write is None or write == forget or not is_gate(trace, symbol(forget)) or _tied(trace, write, forget):
        return None
    return s, forget, write


def _tied(trace: Trace, a: str, b: str) -> bool:
    """Is one gate computed from the other?"""
    for one, other in ((a, b), (b, a)):
        s = trace.definitions.get(one)
        if isinstance(s, Pointwise) and symbol(other) in s.expr.free_symbols:
            return True
    return False
