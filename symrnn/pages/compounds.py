"""Functions of a whole axis that lowering takes apart, found again: a page derives softmax as one step, not as four."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sympy as sp

from symrnn.functions import FUNCTIONS, SHORTEST, Function, root
from symrnn.ir import Contraction, Peak, Pointwise, Statement, Step
from symrnn.pages.formula import (
    Add,
    Call,
    Div,
    Ein,
    Fn,
    Formula,
    Mul,
    Neg,
    Num,
    Pow,
    add,
    div,
    mul,
    neg,
    rebuilt,
    relabel,
)


@dataclass(frozen=True)
class Compound:
    """`result` is op(`source`) along the last axis; `statements` compute it, `inner` are the values on the way."""

    op: str
    source: str
    result: str
    statements: tuple[Statement, ...]

    @property
    def inner(self) -> frozenset[str]:
        return frozenset(s.out.name for s in self.statements) - {self.result}


def compounds(step: Step) -> dict[str, Compound]:
    """Every compound of a step, by the name of its result."""
    found = (f(step.statements, s) for s in step.statements for f in (_softmax_at, _norm_at))
    return {c.result: c for c in found if c is not None}


def _softmax_at(statements: tuple[Statement, ...], s: Statement) -> Compound | None:
    """exp(a - max a) over its own sum."""
    by_name = {x.out.name: x for x in statements}
    top, bottom = _quotient(s)
    found = _powers_at(by_name, top)
    total = by_name.get(bottom)
    if found is None or not isinstance(total, Contraction) or [a.name for a in total.args] != [top]:
        return None
    peak, shift, powers = found
    return Compound("softmax", peak.args[0].name, s.out.name, (peak, shift, powers, total, s))


def _powers_at(by_name: Mapping[str, Statement], name: str) -> tuple[Statement, Statement, Statement] | None:
    """The maximum, the shift and the power, if a value is exp(a - max a)."""
    powers = by_name.get(name)
    if _row(powers) is not FUNCTIONS["exp"]:
        return None
    shift = by_name.get(powers.args[0].name)  # type: ignore[union-attr]
    if not isinstance(shift, Pointwise) or len(shift.args) != 2 or shift.expr != _difference(shift):
        return None
    peak = by_name.get(shift.args[1].name)
    if not isinstance(peak, Peak) or peak.args[0].name != shift.args[0].name:
        return None
    return peak, shift, powers  # type: ignore[return-value]


def sums_of_powers(step: Step) -> set[str]:
    """Every Σ exp(a - max a): a step inside softmax or logsumexp."""
    by_name = {x.out.name: x for x in step.statements}
    sums = (s for s in step.statements if isinstance(s, Contraction) and len(s.args) == 1)
    return {s.out.name for s in sums if _powers_at(by_name, s.args[0].name) is not None}


def _norm_at(statements: tuple[Statement, ...], s: Statement) -> Compound | None:
    """√(aᵀ a)."""
    squares = next((x for x in statements if s.args and x.out.name == s.args[0].name), None)
    if _row(s) not in (FUNCTIONS["sqrt"], root) or not isinstance(squares, Contraction) or len(squares.args) != 2:
        return None
    a, b = squares.args
    if a != b or squares.out.labels != a.labels[:-1]:
        return None
    return Compound("norm", a.name, s.out.name, (squares, s))


def _quotient(s: Statement) -> tuple[str, str]:
    """The names p and q of s = p/q."""
    if isinstance(s, Pointwise) and len(s.args) == 2:
        p, q = s.args
        if s.expr == p.symbol / q.symbol:
            return p.name, q.name
    return "", ""


def _row(s: Statement | None) -> Function | None:
    """The function of the table that a statement applies to a value."""
    plain = isinstance(s, Pointwise) and all(isinstance(a, sp.Symbol) for a in s.expr.args)
    return getattr(type(s.expr), "row", None) if plain else None  # type: ignore[union-attr]


def _difference(s: Pointwise) -> sp.Expr:
    return s.args[0].symbol - s.args[1].symbol


# -- their rules -------------------------------------------------------------------------------------------


def jacobian(op: str, y: Formula, a: Formula) -> Formula:
    """∂op(a)/∂a for a vector a, where y is op(a): a matrix for softmax, a row for norm."""
    if op == "norm":
        return div(a, y)
    inner = (f"{y.labels[0]}'",)
    square = (*y.labels, *inner)
    return add(Call("diag", (y,), square), neg(Ein((y, relabel(y, {y.labels[0]: inner[0]})), square)))


def differential(op: str, y: Formula, a: Formula, moved: Formula) -> Formula:
    """How op(a) moves when a moves by `moved`; arrays of vectors too."""
    if op == "norm":
        return Ein((div(a, y), moved), y.labels)
    return mul(y, add(moved, neg(Ein((y, moved), y.labels[:-1]))))


# -- formulas in which they stand --------------------------------------------------------------------------


def tidy(node: Formula) -> Formula:
    """exp(a - max a) / Σ exp(a - max a) is softmax(a) again, log Σ exp(a - max a) + max a logsumexp(a), √(aᵀ a) ‖a‖."""
    node = norms(rebuilt(node, tidy))
    if isinstance(node, Div):
        top, source = node.top, _total(node.bottom)
        return _softmax(top) if source is not None and _powers(top) == source else node
    if isinstance(node, Mul):
        return _product(node)
    if isinstance(node, Add):
        for a in node.args:
            inner = a.args[0] if isinstance(a, Fn) and a.row.name == "log" else None
            source = _total(inner) if inner is not None else None
            peak = next((b for b in node.args if isinstance(b, Call) and b.op == "peak" and b.args[0] == source), None)
            if peak is not None and source is not None:
                rest = [x for x in node.args if x not in (a, peak)]
                return add(Call("logsumexp", (source,), peak.labels, peak.over), *rest)
    return node


def _product(node: Mul) -> Formula:
    """exp(a - max a) times something over its sum; or times what softmax sends back, y ⊙ (d - dᵀ y)."""
    for power in node.args:
        source = _powers(power)
        if source is None:
            continue
        back = next((x for x in node.args if isinstance(x, Add) and _is_back(x, power)), None)
        if back is not None:
            y = _softmax(power)
            direct = next(a for a in back.args if isinstance(a, Div)).top
            rest = [x for x in node.args if x not in (power, back)]
            return mul(*rest, y, add(direct, neg(Ein((direct, y), tuple(x for x in y.labels if x != y.labels[-1])))))
        for ratio in node.args:
            if source is not None and isinstance(ratio, Div) and _total(ratio.bottom) == source:
                rest = [x for x in node.args if x not in (power, ratio)]
                return mul(*rest, ratio.top, _softmax(power))
    return node


def _is_back(node: Add, power: Formula) -> bool:
    """u / Σ - (uᵀ exp) / Σ², the same u in both."""
    if len(node.args) != 2 or not isinstance(node.args[0], Div) or not isinstance(node.args[1], Neg):
        return False
    first, second = node.args[0], node.args[1].arg
    if _total(first.bottom) != _powers(power) or not isinstance(second, Div) or not isinstance(second.top, Ein):
        return False
    return second.bottom == Pow(first.bottom, sp.Integer(2)) and set(second.top.args) == {first.top, power}


def _powers(node: Formula) -> Formula | None:
    """The a of exp(a - max a)."""
    if (
        isinstance(node, Fn)
        and node.row.name == "exp"
        and isinstance(node.args[0], Add)
        and len(node.args[0].args) == 2
    ):
        a, shift = node.args[0].args
        if isinstance(shift, Neg) and isinstance(shift.arg, Call) and shift.arg.op == "peak":
            return a
    return None


def _total(node: Formula) -> Formula | None:
    """The a of Σ exp(a - max a)."""
    return _powers(node.args[0]) if isinstance(node, Ein) and len(node.args) == 1 else None


def _softmax(power: Formula) -> Formula:
    assert isinstance(power, Fn) and isinstance(power.args[0], Add)
    a = power.args[0].args[0]
    return Call("softmax", (a,), a.labels, a.labels[-1])


def norms(node: Formula) -> Formula:
    """√(aᵀ a) as ‖a‖, and without the guard that keeps it from dividing by zero."""
    if not isinstance(node, Fn):
        return node
    if node.row.name == "max" and node.args[1] == Num(SHORTEST):
        return node.args[0]
    inner = node.args[0]
    if node.row.name == "sqrt" and isinstance(inner, Ein) and len(inner.args) == 2 and inner.args[0] == inner.args[1]:
        (a, _) = inner.args
        if inner.labels == a.labels[:-1]:
            return Call("norm", (a,), inner.labels, a.labels[-1])
    return node
