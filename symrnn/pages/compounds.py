"""Functions of a whole axis that lowering takes apart, found again: a page derives softmax as one step, not as four."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import sympy as sp

from symrnn.calculus.ir import Contraction, Peak, Pointwise, Ref, Statement, Step, axis_of, symbol
from symrnn.calculus.lower import LAYER_NORM_EPS
from symrnn.functions.table import FUNCTIONS, SHORTEST, Function, root, sqrt_
from symrnn.language.cell import axis_parts
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
    """Every compound of a step whose inner values nothing else reads, by the name of its result."""
    by_name = {s.out.name: s for s in step.statements}
    found = (f(by_name, s) for s in step.statements for f in FINDERS)
    return {c.result: c for c in found if c is not None and _is_closed(c, step) and _is_whole(c, step)}


def _is_closed(c: Compound, step: Step) -> bool:
    return all(s in c.statements for s in step.statements if any(a.name in c.inner for a in s.args))


def _is_whole(c: Compound, step: Step) -> bool:
    """Has the result the axes of the function, or is it repeated along others?"""
    source, result = step.values[c.source].axes, step.values[c.result].axes
    return result == (source if c.op in ("softmax", "layer_norm") else source[:-1])


def _softmax_at(by_name: Mapping[str, Statement], s: Statement) -> Compound | None:
    """exp(a - max a) over its own sum."""
    top, bottom = _quotient(s)
    found = _powers_at(by_name, top)
    total = by_name.get(bottom)
    if found is None or not isinstance(total, Contraction) or [a.name for a in total.args] != [top]:
        return None
    peak, shift, powers = found
    return Compound("softmax", peak.args[0].name, s.out.name, (peak, shift, powers, total, s))


def _logsumexp_at(by_name: Mapping[str, Statement], s: Statement) -> Compound | None:
    """log Σ exp(a - max a) + max a."""
    made = [by_name.get(a.name) for a in s.args]
    log = next((x for x in made if x is not None and _row(x) is FUNCTIONS["log"]), None)
    total = by_name.get(log.args[0].name) if log else None
    found = _powers_at(by_name, total.args[0].name) if isinstance(total, Contraction) else None
    if found is None or log is None or total is None or len(total.args) != 1 or not isinstance(s, Pointwise):
        return None
    peak, shift, powers = found
    if s.expr != log.out.symbol + peak.out.symbol:
        return None
    return Compound("logsumexp", peak.args[0].name, s.out.name, (peak, shift, powers, total, log, s))


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


def _norm_at(by_name: Mapping[str, Statement], s: Statement) -> Compound | None:
    """√(aᵀ a)."""
    squares = by_name.get(s.args[0].name) if s.args else None
    if _row(s) not in (FUNCTIONS["sqrt"], root) or not isinstance(squares, Contraction) or len(squares.args) != 2:
        return None
    a, b = squares.args
    if a != b or squares.out.labels != a.labels[:-1]:
        return None
    return Compound("norm", a.name, s.out.name, (squares, s))


def _layer_norm_at(by_name: Mapping[str, Statement], s: Statement) -> Compound | None:
    """a less its mean, over the root of the mean of its squares plus a little."""
    centred, spread = (by_name.get(n) for n in _quotient(s))
    if not isinstance(centred, Pointwise) or not isinstance(spread, Pointwise):
        return None
    squares = next((by_name[a.name] for a in spread.args if a.name in by_name), None)
    total = next((by_name[a.name] for a in centred.args if _sums(by_name.get(a.name), centred.args[0])), None)
    if not isinstance(squares, Contraction) or total is None:
        return None
    if [a.name for a in squares.args] != [centred.out.name] * 2:
        return None
    a, size = centred.args[0], sp.Add(*(symbol(x) for x in axis_parts(axis_of(centred.args[0].labels[-1]))))
    mean, variance = total.out.symbol / size, squares.out.symbol / size
    if centred.expr != a.symbol - mean or spread.expr != sqrt_(variance + LAYER_NORM_EPS):
        return None
    return Compound("layer_norm", a.name, s.out.name, (total, centred, squares, spread, s))


def _sums(s: Statement | None, a: Ref) -> bool:
    """Is this the sum of a over its last axis?"""
    return isinstance(s, Contraction) and s.args == (a,) and s.out.labels == a.labels[:-1]


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


FINDERS = (_softmax_at, _logsumexp_at, _norm_at, _layer_norm_at)


# -- their rules -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """For y = op(a) along an axis of length n: ∂y/∂a of a vector, how y moves with a, and what a gets back from δy."""

    jacobian: Callable[[Formula, Formula, Formula], Formula]
    moved: Callable[[Formula, Formula, Formula, Formula], Formula]
    back: Callable[[Formula, Formula, Formula, Formula], Formula]


def _square(y: Formula) -> tuple[str, str]:
    return y.labels[0], f"{y.labels[0]}'"


def _outer(y: Formula) -> Formula:
    row, column = _square(y)
    return Ein((y, relabel(y, {row: column})), (row, column))


def _softmax_moved(y: Formula, a: Formula, n: Formula, x: Formula) -> Formula:
    return mul(y, add(x, neg(Ein((y, x), y.labels[:-1]))))


def _layer_norm_moved(y: Formula, a: Formula, n: Formula, x: Formula) -> Formula:
    mean, share = div(Ein((x,), y.labels[:-1]), n), div(Ein((y, x), y.labels[:-1]), n)
    return div(add(x, neg(mean), neg(mul(share, y))), spread(a))


def spread(a: Formula) -> Formula:
    """The standard deviation that layer_norm divides by."""
    return Call("std", (a,), a.labels[:-1], a.labels[-1])


def _soft(a: Formula) -> Formula:
    return Call("softmax", (a,), a.labels, a.labels[-1])


RULES = {
    "softmax": Rule(
        lambda y, a, n: add(Call("diag", (y,), _square(y)), neg(_outer(y))),
        _softmax_moved,
        _softmax_moved,
    ),
    "logsumexp": Rule(
        lambda y, a, n: _soft(a),
        lambda y, a, n, x: Ein((_soft(a), x), y.labels),
        lambda y, a, n, x: mul(x, _soft(a)),
    ),
    "norm": Rule(
        lambda y, a, n: div(a, y),
        lambda y, a, n, x: Ein((div(a, y), x), y.labels),
        lambda y, a, n, x: mul(div(x, y), a),
    ),
    "layer_norm": Rule(
        lambda y, a, n: div(
            add(Call("identity", (), _square(y)), neg(div(Call("ones", (), _square(y)), n)), neg(div(_outer(y), n))),
            spread(a),
        ),
        _layer_norm_moved,
        _layer_norm_moved,
    ),
}


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
    """exp(a - max a) times something over its sum."""
    for power in node.args:
        source = _powers(power)
        for ratio in node.args:
            if source is not None and isinstance(ratio, Div) and _total(ratio.bottom) == source:
                rest = [x for x in node.args if x not in (power, ratio)]
                return mul(*rest, ratio.top, _softmax(power))
    return node


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
    return _soft(power.args[0].args[0])


def norms(node: Formula) -> Formula:
    """√(aᵀ a) as ‖a‖, and without the guard that keeps it from dividing by zero."""
    if not isinstance(node, Fn):
        return node
    if node.row.name == "max" and node.args[1] == Num(sp.Float(SHORTEST)):
        return node.args[0]
    inner = node.args[0]
    if node.row.name == "sqrt" and isinstance(inner, Ein) and len(inner.args) == 2 and inner.args[0] == inner.args[1]:
        (a, _) = inner.args
        if inner.labels == a.labels[:-1]:
            return Call("norm", (a,), inner.labels, a.labels[-1])
    return node
