"""Scalar expressions: which of them a target can spell, numbers rounded to what code computes with, derivatives."""

from __future__ import annotations

from functools import lru_cache

import sympy as sp

#: What generated code computes with: constants well inside float64, so that a derivative's constants still fit into it.
SMALLEST, LARGEST = sp.Rational(1, 10**300), sp.Integer(10) ** 300
#: Whole powers up to this one are multiplied out by SymPy's rules; others are calls of pow, which it leaves alone.
MAX_WHOLE_POWER = 100
_EXACT = 2**53


@lru_cache(maxsize=50_000)
def symbols_in(expr: sp.Expr) -> frozenset[sp.Symbol]:
    """Its free symbols, computed once a part: many parts are asked for theirs, and all of their own."""
    if isinstance(expr, sp.Symbol):
        return frozenset([expr])
    return frozenset().union(*(symbols_in(a) for a in expr.args))


def spellable(expr: sp.Expr) -> bool:
    """Is it made of what a target can spell: numbers that fit, functions of the table, bounded powers?"""
    return all(_spellable(node) for node in sp.preorder_traversal(expr))


def _spellable(node: sp.Expr) -> bool:
    if node.is_Number:
        return fits(node)
    if isinstance(node, sp.Pow):
        return bool(node.exp.is_Number and (not node.exp.is_Integer or abs(node.exp) <= MAX_WHOLE_POWER))
    return isinstance(node, sp.Symbol | sp.Add | sp.Mul | sp.NumberSymbol) or hasattr(type(node), "row")


def fits(number: sp.Number) -> bool:
    """Is it zero, or a finite number well inside float64?"""
    if number.is_Rational and max(abs(number.p), number.q) <= _EXACT:
        return True
    return bool(number.is_finite and (number.is_zero or SMALLEST <= abs(number) <= LARGEST))


def rounded(expr: sp.Expr) -> sp.Expr:
    """The expression with numbers that need more digits than float64 has rounded to it."""
    long = [n for n in expr.atoms(sp.Rational) if max(abs(n.p), n.q) > _EXACT]
    return expr.xreplace({n: sp.Float(n, 17) for n in long}) if long else expr


def differentiate(expr: sp.Expr, by: sp.Symbol, value: sp.Symbol | None = None) -> sp.Expr:
    """∂expr/∂by; where expr is one function's value named ``value``, the result is written in it."""
    fixed, moving = expr.as_independent(by) if isinstance(expr, sp.Mul) else (sp.Integer(1), expr)
    # SymPy differentiates by every factor, and would need minutes for a hundred of them
    partial = fixed * sp.diff(moving, by) if not isinstance(moving, sp.Mul) else sp.diff(expr, by)
    return partial.xreplace({expr: value}) if value is not None else partial
