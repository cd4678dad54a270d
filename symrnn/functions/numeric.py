"""What a scalar expression is worth on arrays, complex ones too: the numbers behind the primitives."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import sympy as sp

from symrnn.functions.table import Function

Array = np.ndarray[Any, np.dtype[Any]]


def _erf(a: Array, function: Callable[[float], float] = math.erf, sign: int = 1) -> Array:
    """erf; on complex numbers its first-order expansion around the real axis, which complex steps never leave."""
    real = np.vectorize(function, otypes=[float])(np.real(a))
    if not np.iscomplexobj(a):
        return np.asarray(real)
    slope = sign * 2 / math.sqrt(math.pi) * np.exp(-(np.real(a) ** 2))
    return np.asarray(real + 1j * np.imag(a) * slope)


def _erfc(a: Array) -> Array:
    """1 − erf, with all its digits where erf is nearly one."""
    return _erf(a, math.erfc, -1)


def _log1p(a: Array) -> Array:
    """log1p; on complex numbers its first-order expansion, for NumPy's own has no digits left near zero."""
    if not np.iscomplexobj(a):
        return np.asarray(np.log1p(a))
    return np.asarray(np.log1p(np.real(a)) + 1j * (np.imag(a) / (1 + np.real(a))))


def _sigmoid(a: Array) -> Array:
    """Through exp of nothing positive, because a complex overflow is not a number."""
    falling = np.real(a) < 0
    e = np.exp(np.where(falling, a, -a))
    return np.asarray(np.where(falling, e, 1) / (1 + e))


PRIMITIVES: dict[str, Any] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": _log1p,
    "sqrt": np.sqrt,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "erf": _erf,
    "erfc": _erfc,
    "pow": np.power,
    "abs": lambda a: np.where(np.real(a) < 0, -a, a),
    "max": lambda a, b: np.where((np.real(a) >= np.real(b)) | np.isnan(a), a, b),
    "min": lambda a, b: np.where((np.real(a) <= np.real(b)) | np.isnan(a), a, b),
    "gt": lambda a, b: (np.real(a) > np.real(b)).astype(float),
    "ge": lambda a, b: (np.real(a) >= np.real(b)).astype(float),
    "where": np.where,
}


def value(expr: sp.Expr, env: Mapping[sp.Symbol, Array]) -> Array:
    """The value of `expr` where every symbol has the array that `env` gives it."""
    if isinstance(expr, sp.Symbol):
        return env[expr]
    if expr.is_Number or expr.is_NumberSymbol:
        return np.asarray(float(expr))
    args = [value(a, env) for a in expr.args]
    if isinstance(expr, sp.Add):
        return sum(args[1:], start=args[0])
    if isinstance(expr, sp.Mul):
        return np.asarray(math.prod(args[1:], start=args[0]))
    if isinstance(expr, sp.Pow):
        return power(args[0], expr.exp)
    return apply(type(expr).row, args)


def power(base: Array, exponent: sp.Number) -> Array:
    """base ** exponent; whole powers by multiplication, so that a negative base may have them."""
    if not exponent.is_Integer:
        return np.asarray(base ** float(exponent))
    return np.asarray(base ** int(exponent) if exponent >= 0 else 1 / base ** -int(exponent))


def apply(row: Function, args: list[Array]) -> Array:
    """A function of the table on arrays: a primitive directly, an activation through its definition."""
    if row.definition is None:
        return np.asarray(PRIMITIVES[row.name](*args))
    dummies = [sp.Dummy() for _ in args]
    return value(row.definition(*dummies), dict(zip(dummies, args, strict=True)))


def kinks(row: Function, args: list[Array]) -> list[float]:
    """How near the arguments come to each kink of a function."""
    if row.kinks is None:
        return []
    dummies = [sp.Dummy() for _ in args]
    env = dict(zip(dummies, (np.real(a) for a in args), strict=True))
    return [float(np.min(np.abs(value(sp.sympify(k), env)))) for k in row.kinks(*dummies)]
