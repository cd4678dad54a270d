"""NaN, infinities and zeros mean on every backend what they mean in NumPy: every function, forward and backward."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache
from types import ModuleType

import numpy as np
import pytest

import symrnn
from symrnn.functions import numeric
from symrnn.functions.calls import STRUCTURAL
from symrnn.functions.table import COMPARISONS, ELEMENTWISE, FUNCTIONS
from symrnn.language.cell import Cell
from symrnn.language.load import parse
from symrnn.native import compiler

COMPILER = pytest.mark.skipif(compiler.compiler() is None, reason="no C++ compiler: install g++ or clang++")
NAN, INF = np.nan, np.inf
SPECIAL = (NAN, INF, -INF, 0.0, 0.5, -0.5, 3.0, -7.25, 95.0, -120.0, 1e18, -1e18)
COTANGENTS = (1.0, -2.0, 0.0, NAN, INF)
PLACES = {1: ("{a}",), 2: ("{a}", "{b}"), 3: ("{a}", "{b}", "{c}")}

#: One call for every function that works component by component.
CALLS = {name: f"{name}({', '.join(PLACES[arity])})" for name, arity in ELEMENTWISE.items() if name != "where"}
CALLS |= {
    f"where_{row}_{swapped:d}": f"where({{a}} {s} {{b}}, {{a}}, {{c}})" for s, (row, swapped) in COMPARISONS.items()
}
CALLS |= {"power": "{a} ** {b}", "square": "{a} ** 2", "cube": "{a} ** 3", "inverse": "1 / {a}", "root": "{a} ** 0.5"}

#: One call for every function of a whole axis.
WHOLE = {name: f"{name}({{a}})" for name, (fewest, _) in STRUCTURAL.items() if fewest == 1}
WHOLE |= {"identity": "identity(K) @ {a}", "outer": "sum(sum(outer({a}, {b})))", "dot": "dot({a}, {b})"}
WHOLE |= {"concat": "sum(concat({a}, {b}))"}


def cell(calls: dict[str, str]) -> Cell:
    """A cell with one output for every call, each with inputs of its own, so that none spoils another's gradient."""
    declared, outputs, equations = [], [], []
    for name, call in calls.items():
        names = {x: f"{x}_in_{name}" for x in "abc" if f"{{{x}}}" in call}
        declared += [f"input {x}[K]" for x in names.values()]
        outputs.append(f"y_{name}")
        equations.append(f"y_{name} = {call.format(**names)}")
    return parse("\n".join([*declared, f"output {', '.join(outputs)}", *equations, ""]), "special")


def combinations() -> np.ndarray:
    """Every three special values, once for each cotangent: (3, cotangents, combinations)."""
    values = np.array(list(itertools.product(SPECIAL, repeat=3))).T
    return np.repeat(values[:, None], len(COTANGENTS), axis=1)


def rows() -> np.ndarray:
    """Rows of five numbers with special values at two places, and rows of one value."""
    found = []
    for places in ((0, 3), (2, 4)):
        for pair in itertools.product(SPECIAL[:8], repeat=2):
            found.append(np.array([0.3, -1.2, 2.0, 0.7, -0.4]))
            found[-1][list(places)] = pair
    found += [np.full(5, value) for value in SPECIAL]
    return np.array([found, found[::-1], found])


@dataclass(frozen=True)
class Case:
    """A cell, what its arguments a, b and c are, and the cotangents of its outputs."""

    cell: Cell
    values: np.ndarray
    seeds: tuple[float, ...]

    def inputs(self, dtype: str) -> dict[str, np.ndarray]:
        return {v.name: self.values["abc".index(v.name[0]), None].astype(dtype) for v in self.cell.inputs}

    def cotangents(self, dtype: str) -> dict[str, np.ndarray]:
        """Each batch entry has one of the cotangents."""
        batch, width = self.values.shape[1:]
        each = np.resize(np.array(self.seeds), (batch, 1)).astype(dtype)
        return {v.name: np.repeat(each, width, axis=1)[None] if v.axes else each[None, :, 0] for v in self.cell.outputs}


@cache
def case(kind: str) -> Case:
    if kind == "each component":
        return Case(cell(CALLS), combinations(), COTANGENTS)
    # an infinite cotangent shows only in which order sums and products are computed
    return Case(cell(WHOLE), rows(), tuple(c for c in COTANGENTS if not np.isinf(c)))


@cache
def module(kind: str, backend: str) -> ModuleType:
    return symrnn.compile(case(kind).cell, backend, **({"host": True} if backend == "cuda" else {}))


def results(kind: str, backend: str, dtype: str) -> dict[str, np.ndarray]:
    """Outputs and input gradients of the generated module by name."""
    given, made = case(kind), module(kind, backend)
    with np.errstate(all="ignore"):
        y, _, tape = made.forward({}, given.inputs(dtype))
        _, dx, _ = made.backward({}, tape, given.cotangents(dtype))
    return y | {f"d_{name}": gradient for name, gradient in dx.items()}


@COMPILER
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("backend", ["cpp", "cuda"])
@pytest.mark.parametrize("kind", ["each component", "a whole axis"])
def test_special_values_are_those_of_numpy(kind: str, backend: str, dtype: str) -> None:
    expected, found = results(kind, "numpy", dtype), results(kind, backend, dtype)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        tolerance = 64 * np.finfo(dtype).eps
        np.testing.assert_allclose(found[name], value, rtol=tolerance, atol=tolerance, err_msg=name)


@COMPILER
@pytest.mark.parametrize("backend", ["cpp", "cuda"])
def test_the_first_nan_is_the_best_of_a_long_row(backend: str) -> None:
    """… where a thread of CUDA searches several numbers, and where two threads have found one."""
    wide = parse("input x[K]\noutput y, z\ny = max(x)\nz = min(x)\n", "wide")
    x = np.random.default_rng(0).standard_normal((1, 4, 600))
    x[0, 0, [10, 266]] = x[0, 1, [300, 41]] = x[0, 2, 599] = NAN
    found = []
    for made in (symrnn.compile(wide), symrnn.compile(wide, backend, **({"host": True} if backend == "cuda" else {}))):
        y, _, tape = made.forward({}, x)
        found.append([*y.values(), made.backward({}, tape, {name: np.ones_like(a) for name, a in y.items()})[1]])
    for expected, value in zip(*found, strict=True):
        np.testing.assert_array_equal(value, expected)


@COMPILER
@pytest.mark.parametrize("backend", ["cpp", "cuda"])
def test_equal_numbers_have_no_variance(backend: str) -> None:
    """… in a kernel that divides by the same length twice: x (1/n) is not the mean of equal numbers."""
    twice = parse("input x[K], u[K]\noutput y, z\ny = layer_norm(x)\nz = layer_norm(u)\n", "twice")
    made = symrnn.compile(twice, backend, **({"host": True} if backend == "cuda" else {}))
    rows = np.array([[np.full(5, value) for value in SPECIAL[3:]]])
    y, _, _ = made.forward({}, {"x": rows, "u": rows})
    assert not any(a.any() for a in y.values())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_numpy_computes_what_the_tables_say(dtype: str) -> None:
    """… of every function, at special values too: the reference of the other backends has a reference itself."""
    given, found = case("each component").inputs(dtype), results("each component", "numpy", dtype)
    for name in ELEMENTWISE.keys() - {"where"}:
        arguments = [given[f"{x}_in_{name}"] for x in "abc"[: ELEMENTWISE[name]]]
        with np.errstate(all="ignore"):
            value = numeric.apply(FUNCTIONS[name], arguments)
        tolerance = 64 * np.finfo(dtype).eps
        np.testing.assert_allclose(found[f"y_{name}"], value, rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("kind", ["each component", "a whole axis"])
def test_no_function_loses_a_nan(kind: str) -> None:
    """A NaN among the arguments is a NaN in the result, but for x ** 0, which is 1, and for what where leaves aside."""
    given, found = case(kind).inputs("float64"), results(kind, "numpy", "float64")
    for name in CALLS if kind == "each component" else WHOLE:
        if name.startswith("where") or name == "power":
            continue
        told = np.isnan([a for n, a in given.items() if n.endswith(f"_in_{name}")]).any(axis=0)
        assert (
            told.any() and np.isnan(found[f"y_{name}"][told if kind == "each component" else told.any(axis=-1)]).all()
        ), name


def test_every_function_is_called() -> None:
    assert ELEMENTWISE.keys() - {"where"} <= CALLS.keys()
    assert STRUCTURAL.keys() <= WHOLE.keys()
