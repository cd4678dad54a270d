"""Every row of the function table: its derivative against its definition, its value against the textbook formula."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import sympy as sp

from symrnn.functions import numeric
from symrnn.functions.expressions import differentiate
from symrnn.functions.table import ACTIVATIONS, ELEMENTWISE, FUNCTIONS, Function

POINTS = [-7.3, -2.6, -0.9, -0.31, 0.17, 0.83, 1.9, 4.4, 8.1]
SMOOTH_ON_POSITIVE = {"log", "sqrt", "pow", "log1p"}

TEXTBOOK: dict[str, Callable[..., float]] = {
    "relu": lambda a: a if a > 0 else 0.0,
    "leaky_relu": lambda a: a if a > 0 else 0.01 * a,
    "elu": lambda a: a if a > 0 else math.exp(a) - 1,
    "gelu": lambda a: a * 0.5 * math.erfc(-a / math.sqrt(2)),
    "silu": lambda a: a / (1 + math.exp(-a)),
    "softplus": lambda a: math.log(1 + math.exp(a)),
    "hard_sigmoid": lambda a: min(max(a + 3, 0), 6) / 6,
    "clip": lambda a, lo, hi: max(min(a, hi), lo),
    "sigmoid": lambda a: 1 / (1 + math.exp(-a)),
    "where": lambda c, a, b: a if c else b,
}


def arguments(row: Function) -> list[tuple[float, ...]]:
    points = [abs(p) for p in POINTS] if row.name in SMOOTH_ON_POSITIVE else POINTS
    if row.name == "where":
        return [(float(k % 2), p, -2 * p) for k, p in enumerate(points)]
    if row.name == "clip":
        return [(p, -1.0, 2.0) for p in points] + [(0.5, 0.6, 2.0), (0.5, -1.0, 0.4)]
    return [tuple(p * (1 - 0.37 * k) + 0.05 * k for k in range(row.arity)) for p in points]


@pytest.mark.parametrize("row", FUNCTIONS.values(), ids=lambda r: r.name)
def test_the_derivative_is_that_of_the_definition(row: Function) -> None:
    symbols = sp.symbols(f"a:{row.arity}", real=True)
    y = sp.Symbol("y", real=True)
    for point in arguments(row):
        value = float(numeric.apply(row, [np.array(p) for p in point]))
        for k, a in enumerate(symbols):
            if row.name == "where" and k == 0:
                continue
            partial = differentiate(row.head(*symbols), a, y)
            env = {s: np.array(p) for s, p in zip(symbols, point, strict=True)} | {y: np.array(value)}
            derived = float(numeric.value(sp.sympify(partial), env))
            moved = [np.array(p + (1e-30j if k == j else 0)) for j, p in enumerate(point)]
            truth = float(numeric.apply(row, moved).imag) / 1e-30
            assert derived == pytest.approx(truth, rel=1e-13, abs=1e-13), (row.name, k, point)


@pytest.mark.parametrize("name", TEXTBOOK)
def test_the_definition_is_the_textbooks(name: str) -> None:
    for point in arguments(FUNCTIONS[name]):
        value = float(numeric.apply(FUNCTIONS[name], [np.array(p) for p in point]))
        assert value == pytest.approx(TEXTBOOK[name](*point), rel=1e-12, abs=1e-15)


def test_every_activation_has_a_textbook_formula_here() -> None:
    assert {row.name for row in ACTIVATIONS} <= TEXTBOOK.keys()


def test_extreme_arguments_give_finite_derivatives_in_float32() -> None:
    for row in FUNCTIONS.values():
        if row.arity != 1 or row.name in SMOOTH_ON_POSITIVE | {"exp", "expm1"}:
            continue
        a, y = sp.symbols("a y", real=True)
        partial = sp.sympify(differentiate(row.head(a), a, y))
        for point in (-100.0, -50.0, 50.0, 100.0):
            argument = np.array(point, np.float32)
            with np.errstate(under="ignore"):
                value = numeric.apply(row, [argument])
                slope = numeric.value(partial, {a: argument, y: value})
            assert np.isfinite(value).all() and np.isfinite(slope).all(), (row.name, point)


def test_the_sigmoids_slope_survives_where_the_naive_formula_does_not() -> None:
    a, y = sp.symbols("a y", real=True)
    slope = differentiate(FUNCTIONS["sigmoid"].head(a), a, y)
    at = np.array(-50, np.float32)
    found = float(numeric.value(slope, {a: at, y: numeric.apply(FUNCTIONS["sigmoid"], [at])}))
    assert found == pytest.approx(1.9287498e-22, rel=1e-5)


@pytest.mark.parametrize("base", [0.0, 1.7])
def test_a_power_of_zero_does_not_move_with_its_exponent(base: float) -> None:
    a, b, y = sp.symbols("a b y", real=True)
    env = {a: np.array(base), b: np.array(0.6), y: np.array(base**0.6)}
    found = float(numeric.value(sp.sympify(differentiate(FUNCTIONS["pow"].head(a, b), b, y)), env))
    assert found == pytest.approx(base**0.6 * math.log(base) if base else 0.0, rel=1e-14)


@pytest.mark.parametrize("name", sorted(set(ELEMENTWISE) & {n for n, f in FUNCTIONS.items() if f.arity == 1}))
def test_a_value_is_the_same_on_complex_numbers(name: str) -> None:
    """Complex steps move along the real axis, where even what is tiny must keep its digits."""
    defined = {"log": 0.0, "sqrt": 0.0, "log1p": -1.0}.get(name, -np.inf)
    for point in (s * d * 10.0**k for k in range(-30, 3) for s in (1, -1) for d in (1, 2.2)):
        if point > defined:
            real, moved = (numeric.apply(FUNCTIONS[name], [np.array(p)]) for p in (point, point + 1e-40j))
            assert float(moved.real) == pytest.approx(float(real), rel=1e-14, abs=1e-70), point


def test_kinks_lie_where_left_and_right_slopes_differ() -> None:
    for row in FUNCTIONS.values():
        if row.kinks is None or row.arity != 1:
            continue
        a = sp.Symbol("a", real=True)
        for kink in row.kinks(a):
            at = float(sp.solve(kink, a)[0])
            left, right = (float(numeric.apply(row, [np.array(at + s * 1e-3 + 1e-30j)]).imag) / 1e-30 for s in (-1, 1))
            assert abs(left - right) > 0.1, row.name


@pytest.mark.parametrize("row", [f for f in FUNCTIONS.values() if f.fold is not None], ids=lambda f: f.name)
def test_constants_are_folded_to_what_arrays_would_hold(row: Function) -> None:
    for args in [*arguments(row), (0.5,) * row.arity, (1.0,) * row.arity]:  # all alike: the two sides of a tie
        expected = float(numeric.apply(row, [np.array(a) for a in args]))
        assert float(row(*args)) == pytest.approx(expected, rel=1e-15), args


@pytest.mark.parametrize("row", [f for f in FUNCTIONS.values() if f.said is not None], ids=lambda f: f.name)
def test_what_is_said_of_a_primitive_is_true(row: Function) -> None:
    a, at = sp.Symbol("a", real=True), np.linspace(-0.9, 3.0, 14)
    assert row.said is not None and row.definition is None
    assert np.allclose(numeric.apply(row, [at]), numeric.value(row.said(a), {a: at}), rtol=1e-12, atol=1e-15)
