"""Prints a scalar expression as infix text, terms and factors in the order in which the paper mentions them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache

import sympy as sp

from symrnn.functions.expressions import symbols_in
from symrnn.functions.table import is_constant

_SUM, _PRODUCT, _SIGN, _POWER, _ATOM = range(5)


@dataclass(frozen=True)
class Infix:
    """How a language spells an expression.

    `rank` orders symbols; `name` spells a symbol; `call` spells an applied function, given what prints an argument;
    `number` spells a constant; `power` spells a power, given its printed base. Symbols in `compound` are spelled as
    more than a name, and stand in parentheses beside what binds more tightly than a product.
    """

    rank: dict[str, int]
    name: Callable[[str], str]
    call: Callable[[sp.Function, Callable[[sp.Expr], str]], str]
    number: Callable[[sp.Number], str]
    power: Callable[[sp.Pow, str], str]
    compound: Collection[str] = ()

    def text(self, expr: sp.Expr, level: int = _SUM) -> str:
        """The expression; parenthesised if it binds less tightly than `level`."""
        text, own = self._text(expr)
        return f"({text})" if own < level else text

    def _text(self, expr: sp.Expr) -> tuple[str, int]:
        if isinstance(expr, sp.Symbol):
            return self.name(expr.name), _PRODUCT if expr.name in self.compound else _ATOM
        if expr.is_Number:
            return self.number(expr), _ATOM if expr >= 0 else _SIGN
        if is_constant(expr):
            return self._text(expr.evalf(17))
        if isinstance(expr, sp.Add):
            return self._sum(expr), _SUM
        if isinstance(expr, sp.Mul) or (isinstance(expr, sp.Pow) and expr.exp.is_Number and expr.exp < 0):
            return self._product(expr)
        if isinstance(expr, sp.Pow):
            return self.power(expr, self.text(expr.base, _ATOM)), _POWER
        return self.call(expr, self.text), _ATOM

    def _sum(self, expr: sp.Add) -> str:
        terms = sorted(expr.args, key=self.key)
        numbers = [t for t in terms if t.is_Number]
        others = [t for t in terms if not t.is_Number]
        positive = next((t for t in others if not t.could_extract_minus_sign()), None)
        ordered = [*others, *numbers]
        first = positive if positive is not None else next((n for n in numbers if n > 0), None)
        if first is not None and ordered[0].could_extract_minus_sign():
            ordered.remove(first)
            ordered.insert(0, first)
        text = self.text(ordered[0])
        for term in ordered[1:]:
            minus = term.could_extract_minus_sign()
            text += f" - {self.text(-term, _PRODUCT)}" if minus else f" + {self.text(term, _PRODUCT)}"
        return text

    def _product(self, expr: sp.Expr) -> tuple[str, int]:
        coefficient, factors = expr.as_coeff_mul()
        constants = [f for f in factors if is_constant(f)]
        if constants:
            coefficient = (coefficient * sp.Mul(*constants)).evalf(17)
            factors = [f for f in factors if not is_constant(f)]
        above = [f for f in factors if not _below(f)]
        below = [1 / f for f in factors if _below(f)]
        sign = "-" if coefficient < 0 else ""
        top, bottom = _fraction(abs(coefficient))
        alone = len(above) == 1 and top == 1
        parts = [self.text(f, _PRODUCT if alone else _POWER) for f in sorted(above, key=self.key)]
        under = [self.text(f, _POWER) for f in sorted(below, key=self.key)]
        if top != 1 or not parts:
            parts.insert(0, self.number(top))
        if bottom != 1:
            under.append(self.number(bottom))
        text = sign + " * ".join(parts)
        if under:
            text = f"{text} / {under[0]}" if len(under) == 1 else f"{text} / ({' * '.join(under)})"
        return text, _SIGN if sign else _PRODUCT

    def key(self, expr: sp.Expr) -> tuple[bool, list[int], bool, str]:
        """Numbers first among factors; then by the symbols mentioned, a bare symbol before a compound."""
        ranks = sorted(self.rank[s.name] for s in symbols_in(expr))
        return (not expr.is_Number, ranks, not isinstance(expr, sp.Symbol), _described(expr))


@lru_cache(maxsize=50_000)
def _described(expr: sp.Expr) -> str:
    """What tells expressions of the same symbols apart; deep ones hold the same parts many times over."""
    return f"{type(expr).__name__}({', '.join(map(_described, expr.args))})" if expr.args else sp.srepr(expr)


def _below(factor: sp.Expr) -> bool:
    return bool(isinstance(factor, sp.Pow) and factor.exp.is_Number and factor.exp < 0)


def _fraction(coefficient: sp.Number) -> tuple[sp.Number, sp.Number]:
    """A coefficient above and below the line: 1/6 divides by six, 1/2 multiplies by 0.5."""
    if coefficient.is_Rational and coefficient.q != 1 and len(repr(float(coefficient))) > 8:
        return sp.Integer(coefficient.p), sp.Integer(coefficient.q)
    return coefficient, sp.Integer(1)


def decimal(number: sp.Number) -> str:
    """A number as Python, C and people write it."""
    return str(int(number)) if number.is_Integer else repr(float(number))
