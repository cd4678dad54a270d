"""Equations as written, SymPy expressions and statements → formulas."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import sympy as sp

from symrnn.calculus.ir import AlongAxis, Concat, Contraction, OneHot, Peak, Pointwise, Ref, Slice, Statement, natural
from symrnn.functions.table import COMPARISONS, FUNCTIONS
from symrnn.functions.whole_axis import WHOLE_AXIS
from symrnn.language.cell import Apply, Axes, Cell, Expr, Name, Number
from symrnn.pages.formulas.formula import (
    NOW,
    STEP,
    Add,
    Call,
    Ein,
    Fn,
    Formula,
    Mul,
    Neg,
    Num,
    Pow,
    Sym,
    add,
    div,
    ein,
    mul,
    neg,
    power,
    relabel,
    unbatched,
    whole,
)

# -- scalar expressions ------------------------------------------------------------------------------------


def expression(expr: sp.Expr, values: Mapping[str, Formula], rank: Sequence[str]) -> Formula:
    """A SymPy expression; terms and factors in the order in which the paper mentions their symbols."""
    if isinstance(expr, sp.Symbol):
        return values[expr.name]
    if expr.is_NumberSymbol:
        return Num(expr)
    if expr.is_Number:
        shown = sp.Integer(int(expr)) if expr.is_Float and float(expr).is_integer() and abs(expr) < 1e6 else expr
        return neg(Num(-shown)) if expr < 0 else Num(shown)
    if isinstance(expr, sp.Add):
        return add(
            *(expression(a, values, rank) for a in sorted(expr.args, key=lambda a: (a.is_Number, *_key(a, rank))))
        )
    if isinstance(expr, sp.Mul) or (isinstance(expr, sp.Pow) and expr.exp.is_Number and expr.exp < 0):
        return _product(expr, values, rank)
    if isinstance(expr, sp.Pow):
        base = expression(expr.base, values, rank)
        return Fn(FUNCTIONS["sqrt"], (base,)) if expr.exp == sp.Rational(1, 2) else power(base, expr.exp)
    return Fn(type(expr).row, tuple(expression(a, values, rank) for a in expr.args))


def _product(expr: sp.Expr, values: Mapping[str, Formula], rank: Sequence[str]) -> Formula:
    coefficient, factors = expr.as_coeff_mul()
    above = [f for f in factors if not _below(f)]
    below = [1 / f for f in factors if _below(f)]
    size = abs(coefficient)
    plain = size.is_Float or (size.is_Rational and size.q in (1, 10, 100, 1000))
    top = [] if size == 1 else [Num(size if plain else sp.Integer(size.p))]
    bottom: list[Formula] = [] if plain or size.q == 1 else [Num(sp.Integer(size.q))]
    if top and top[0].value == 1:
        top = []
    under = [*bottom, *(expression(f, values, rank) for f in sorted(below, key=lambda a: _key(a, rank)))]
    over = mul(*top, *(expression(f, values, rank) for f in sorted(above, key=lambda a: _key(a, rank))))
    made = div(over, mul(*under)) if under else over
    return neg(made) if coefficient < 0 else made


def _below(factor: sp.Expr) -> bool:
    return bool(isinstance(factor, sp.Pow) and factor.exp.is_Number and factor.exp < 0)


def _key(expr: sp.Expr, rank: Sequence[str]) -> tuple[list[int], bool, str]:
    ranks = sorted(rank.index(s.name) for s in expr.free_symbols)
    return (ranks, not isinstance(expr, sp.Symbol), sp.srepr(expr))


# -- statements --------------------------------------------------------------------------------------------


def statement(s: Statement, operand: Callable[[Ref], Formula]) -> Formula:
    """The right-hand side of a statement, one sample of the batch; `operand` says how to show an argument."""
    out = unbatched(s.out.labels)
    args = [operand(a) for a in s.args]
    match s:
        case Pointwise():
            names = [a.name for a in s.args]
            return settled(expression(s.expr, dict(zip(names, args, strict=True)), names), out)
    args = [whole(a, unbatched(r.labels)) for a, r in zip(args, s.args, strict=True)]
    match s:
        case Contraction():
            return ein(tuple(args), out)
        case Concat():
            return Call("concat", tuple(args), out, out[-1])
        case Slice():
            return Call("slice", tuple(args), out, args[0].labels[-1], s.before)
        case OneHot():
            return Call("argmax" if s.largest else "argmin", tuple(args), out, out[-1])
        case Peak():
            raise AssertionError(f"{s} stands in a schedule, not in a step")
        case AlongAxis():
            return Call(s.row.name, tuple(args), out, s.args[0].labels[-1])


def settled(formula: Formula, out: tuple[str, ...]) -> Formula:
    """A product of two vectors that makes a matrix is an outer product, rows first."""
    if isinstance(formula, Add):
        return add(*(settled(a, out) for a in formula.args))
    sign = isinstance(formula, Neg)
    inner = neg(formula) if sign else formula
    arrays = [a for a in inner.args if a.labels] if isinstance(inner, Mul) else []
    if len(out) == 2 and sorted(a.labels for a in arrays) == sorted((x,) for x in out):
        a, b = arrays
        scalars = [x for x in inner.args if not x.labels]  # type: ignore[union-attr]
        inner = mul(*scalars, Ein((a, b) if a.labels[0] == out[0] else (b, a), out))
    return neg(inner) if sign else inner


# -- equations as written ----------------------------------------------------------------------------------


def written(cell: Cell, expr: Expr, into: Axes | None = None, timeless: Collection[str] = ()) -> Formula:
    """An expression of the cell file, as it stands there; names in `timeless` are the same at every step."""
    return _aligned(_Written(cell, timeless).formula(expr), expr.axes, expr.axes if into is None else into)


def _aligned(formula: Formula, axes: Axes, out: Axes) -> Formula:
    """Natural labels of an operand → those of the result it broadcasts into."""
    labels, position = natural(out), 0
    mapping = {}
    for axis, label in zip(axes, natural(axes), strict=True):
        position = next(k for k in range(position, len(out)) if out[k] == axis)
        mapping[label] = labels[position]
        position += 1
    return formula if all(k == v for k, v in mapping.items()) else relabel(formula, mapping)


class _Written:
    def __init__(self, cell: Cell, timeless: Collection[str]) -> None:
        self.cell = cell
        self.fixed = {v.name for v in (*cell.params, *cell.consts)} | set(cell.axes) | set(timeless)

    def formula(self, e: Expr) -> Formula:
        if isinstance(e, Number):
            return Num(sp.Rational(e.text))
        if isinstance(e, Name) and e.name == "t":
            return STEP
        if isinstance(e, Name):
            time = None if e.name in self.fixed else NOW.shifted(-e.delay)
            return Sym(e.name, natural(e.axes), time)
        if (e.op in WHOLE_AXIS and len(e.args) == 1) or e.op in _AXES:
            return self.structure(e)
        return self.elementwise(e)

    def elementwise(self, e: Apply) -> Formula:
        args = [_aligned(self.formula(a), a.axes, e.axes) for a in e.args]
        match e.op:
            case "+":
                return add(*args)
            case "-":
                return add(args[0], neg(args[1]))
            case "*":
                return mul(*args)
            case "/":
                return div(*args)
            case "neg":
                return neg(args[0])
            case "**" if isinstance(args[1], Num):
                return Pow(args[0], args[1].value)
            case "**":
                return Fn(FUNCTIONS["pow"], tuple(args))
        if e.op in COMPARISONS:
            name, swapped = COMPARISONS[e.op]
            return Fn(FUNCTIONS[name], tuple(reversed(args) if swapped else args))
        return Fn(FUNCTIONS[e.op], tuple(args))

    def structure(self, e: Apply) -> Formula:
        out = natural(e.axes)
        if e.op == "identity":
            return Call("identity", (), out)
        args = [whole(self.formula(a), natural(a.axes)) for a in e.args]
        match e.op:
            case "@":
                return self.product(e, args)
            case ".T":
                return ein((relabel(args[0], dict(zip(natural(e.args[0].axes), (out[1], out[0]), strict=True))),), out)
            case "dot":
                return ein(tuple(args), ())
            case "outer":
                pair = [relabel(a, {a.labels[0]: out[k]}) for k, a in enumerate(args)]
                return Ein(tuple(pair), out)
            case "sum":
                factors = args[0].args if isinstance(args[0], Mul) and len(args[0].args) == 2 else tuple(args)
                return ein(factors, out)
            case "concat":
                return Call("concat", tuple(args), out, out[-1])
        return Call(e.op, tuple(args), out, natural(e.args[0].axes)[-1])

    def product(self, e: Apply, args: list[Formula]) -> Formula:
        la, lb = (a.axes for a in e.args)
        out = natural((*la[:-1], *lb[1:]))
        inner = la[-1]
        while inner in out:
            inner += "'"
        left = relabel(args[0], dict(zip(natural(la), (*out[: len(la) - 1], inner), strict=True)))
        right = relabel(args[1], dict(zip(natural(lb), (inner, *out[len(la) - 1 :]), strict=True)))
        return ein((left, right), out)


_AXES = ("@", ".T", "dot", "outer", "concat", "identity")
