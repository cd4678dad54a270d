"""The derivation against SymPy's own component-wise Jacobian, and its shape and cost."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sympy as sp

import symrnn
from symrnn.calculus import derive, partials
from symrnn.calculus.ir import Contraction, Pointwise
from symrnn.language.cell import Apply, Cell, Expr, Name, Number, axis_size
from symrnn.meaning.interpret import execute
from symrnn.proof.check import SHAPES, check

SIZES = {"I": 2, "H": 3, "T": 1, "B": 1}


def sigmoid(a: Any) -> Any:
    return 1 / (1 + sp.exp(-a))


COMPONENTWISE: dict[str, Any] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "neg": lambda a: -a,
    "sigmoid": np.vectorize(sigmoid, otypes=[object]),
    "tanh": np.vectorize(sp.tanh, otypes=[object]),
    "@": lambda a, b: a.dot(b),
}


def explicit(expr: Expr, env: dict[str, Any]) -> Any:
    """A right-hand side, component by component, straight from what was written."""
    if isinstance(expr, Number):
        return sp.Rational(expr.text)
    if isinstance(expr, Name):
        return env[f"{expr.name}_prev" if expr.delay else expr.name]
    assert isinstance(expr, Apply)
    return COMPONENTWISE[expr.op](*(explicit(a, env) for a in expr.args))


def components(name: str, axes: tuple[str, ...]) -> Any:
    shape = tuple(axis_size(a, SIZES) for a in axes)
    array = np.empty(shape, dtype=object)
    for index in np.ndindex(*shape):
        array[index] = sp.Symbol(f"{name}_{'_'.join(map(str, index))}", real=True)
    return array


def symbols_of(cell: Cell) -> dict[str, Any]:
    env = {v.name: components(v.name, v.axes) for v in (*cell.params, *cell.inputs)}
    return env | {f"{c.name}_prev": components(f"{c.name}_prev", c.axes) for c in cell.carries}


def in_textbook_functions(expr: sp.Expr) -> sp.Expr:
    known = {"sigmoid": sigmoid, "tanh": sp.tanh}
    return expr.replace(lambda e: hasattr(type(e), "row"), lambda e: known[type(e).row.name](*e.args))


def step_values(d: derive.Derivation, env: dict[str, Any]) -> dict[str, Any]:
    """Every value of the derived step in components (a batch of one)."""
    batched = {v.name for v in d.cell.inputs} | {f"{c.name}_prev" for c in d.cell.carries}
    values = {k: a[None] if k in batched else a for k, a in env.items()}
    for s in d.step.statements:
        if isinstance(s, Pointwise):
            shape = tuple({"@B": 1}.get(x) or SIZES[x.rstrip("'")] for x in s.out.labels)
            out = np.empty(shape, dtype=object)
            for index in np.ndindex(*shape):
                place = dict(zip(s.out.labels, index, strict=True))
                at = {a.symbol: values[a.name][tuple(place[x] for x in a.labels)] for a in s.args}
                out[index] = in_textbook_functions(s.expr).subs(at, simultaneous=True)
            values[s.out.name] = out
        else:
            values[s.out.name] = execute(s, values, SIZES)
    return values


def along(path: tuple[partials.Edge, ...], start: Any, values: dict[str, Any]) -> Any:
    """One path of the Jacobian applied to a direction."""
    moved = start
    for edge in path:
        s, arg = edge.statement, edge.statement.args[edge.position]
        if edge.partial is not None:
            out = np.empty(values[edge.of].shape, dtype=object)
            for index in np.ndindex(*out.shape):
                place = dict(zip(s.out.labels, index, strict=True))
                at = {
                    r.symbol: values[r.name][tuple(place[x] for x in r.labels)]
                    for r in (*s.args, s.out)
                    if r.symbol in edge.partial.free_symbols
                }
                slope = sp.sympify(edge.partial).subs(at, simultaneous=True)
                out[index] = slope * moved[tuple(place[x] for x in arg.labels)]
            moved = out
        else:
            assert isinstance(s, Contraction)
            env = dict(values) | {arg.name: moved}
            moved = execute(s, env, SIZES)
    return moved


@pytest.mark.parametrize("name", ["elman", "gru", "gru_reset_after", "lstm", "lstm_peephole", "mgu", "ran", "cifg"])
def test_the_jacobian_is_sympys_own(name: str) -> None:
    cell = symrnn.load(name)
    d = derive.derive(cell)
    env = symbols_of(cell)
    written = dict(env)
    for equation in cell.equations:
        written[equation.name] = explicit(equation.expr, written)
    values = step_values(d, env)
    point = {s: sp.Rational(k * 7919 % 37 - 18, 23) for k, s in enumerate(_leaves(env))}
    for (new, old), paths in d.jacobian.items():
        source = env[f"{old}_prev"]
        truth = sp.Matrix(written[new]).jacobian(sp.Matrix(source))
        for j in range(len(source)):
            unit = np.array([[sp.Integer(int(i == j)) for i in range(len(source))]], dtype=object)
            total = sum((along(p, unit, values) for p in paths), start=np.full((1, 3), sp.Integer(0), dtype=object))
            for i in range(3):
                assert _same(total[0, i], truth[i, j], point), (new, old, i, j)


def _leaves(env: dict[str, Any]) -> list[sp.Symbol]:
    return [s for array in env.values() for s in array.ravel()]


def _same(a: sp.Expr, b: sp.Expr, point: dict[sp.Symbol, sp.Rational]) -> bool:
    """Equal as rational functions of every component, its exponential and its hyperbolic tangent."""
    difference = sp.sympify(a) - b
    if difference == 0:
        return True
    atoms = {
        f: sp.Symbol(f"f{k}") for k, f in enumerate(sorted(difference.atoms(sp.exp, sp.tanh), key=sp.default_sort_key))
    }
    # Schwartz-Zippel: a rational function that vanishes at random rational points of huge height is zero
    opaque = difference.xreplace(atoms)
    rng = np.random.default_rng(0)
    exact = all(
        opaque.subs({s: sp.Rational(int(rng.integers(1, 10**9)), 10**9 + 7) for s in opaque.free_symbols}) == 0
        for _ in range(2)
    )
    return exact or abs(difference.subs(point).evalf(40)) < sp.Float("1e-35")


def test_a_wrong_partial_is_not_the_same() -> None:
    a = sp.Symbol("a", real=True)
    assert not _same(sigmoid(a) * (1 - sigmoid(a)), sigmoid(a) * (1 + sigmoid(a)), {a: sp.Rational(1, 3)})


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("lstm", {("h", "h"): 4, ("h", "c"): 1, ("c", "h"): 3, ("c", "c"): 1}),
        ("lstm_peephole", {("y", "y"): 7, ("y", "c"): 6, ("c", "y"): 3, ("c", "c"): 3}),
    ],
)
def test_the_jacobian_has_every_path(name: str, count: dict[tuple[str, str], int]) -> None:
    """Of the LSTM with peepholes: from c to c beside the gates, through i and through f; from c to y through o too."""
    assert {key: len(paths) for key, paths in derive.derive(symrnn.load(name)).jacobian.items()} == count


#: Where an adjoint has fewer labels than its value, sums over the steps, or nearly takes the name of another; and
#: values that no input reaches, and that every step and every member of the batch has all the same.
RULES = {
    "a matrix times a function of the step": "input x[H]\noutput y\nparam M[H, K], w[K]\ny = M @ (w * t) + x",
    "a matrix summed along an axis that only it has": "input x[H]\noutput y\nparam W[H, K]\ny = sum(W * x)",
    "a value named like a summand of an adjoint": (
        "input x[I]\nstate h[H]\na_b = U @ x\na = tanh(W @ x + a_b)\nb = V @ a\nh = tanh(b + a * h[t-1])"
    ),
    "an output of parameters alone": (
        "input x[H]\nstate h[H]\noutput h, y\nparam a[H], b[H]\ny = a * b\nh = tanh(x + y * h[t-1])"
    ),
    "a state of parameters alone": (
        "input x[H]\nstate h[H], c[H]\noutput h\nparam a[H], b[H]\nc = a * b\nh = tanh(x + c[t-1] * h[t-1])"
    ),
}


@pytest.mark.parametrize("what", RULES)
def test_every_case_of_a_rule_is_right(what: str) -> None:
    report = check(symrnn.parse(RULES[what], "rule"), shapes=SHAPES[:2])
    assert report.ok, str(report)


def test_a_condition_passes_no_derivative() -> None:
    d = derive.derive(symrnn.parse("input x[I]\nstate h[H]\nh = where(V @ x > 0, W @ x, h[t-1])"))
    assert [e.wrt for e in d.edges if e.of == "h"] == ["W_x", "h_prev"]


def test_a_derivation_whose_statements_are_out_of_order_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault itself: a contribution that forgets the statements that prepare it."""
    honest = derive._Derivation.through_contraction
    monkeypatch.setattr(
        derive._Derivation, "through_contraction", lambda self, edge: replace(honest(self, edge), steps=())
    )
    with pytest.raises(AssertionError, match="before it is defined"):
        derive.derive(symrnn.parse("input x[I]\nstate h[H]\nh = tanh(W @ x + U @ h[t-1] + V @ h[t-1])", "planted"))


def test_every_leaf_gets_a_gradient() -> None:
    for name in symrnn.gallery():
        cell = symrnn.load(name)
        d = derive.derive(cell)
        assert [*d.gradients] == [v.name for v in (*cell.inputs, *cell.params)]
        assert [*d.handed_back] == [c.name for c in cell.carries]


def test_derivatives_are_written_in_values_already_computed() -> None:
    """No partial derivative of the LSTM calls a function: σ′ = s(1 − s), tanh′ = 1 − t²."""
    for edge in derive.derive(symrnn.load("lstm")).edges:
        assert edge.partial is None or not edge.partial.atoms(sp.Function)


def test_a_derivation_does_not_grow_with_a_chain_of_gates() -> None:
    lines = ["input x[H]", "state h[H]", "a0 = W @ x + h[t-1]"]
    lines += [f"a{k + 1} = tanh(a{k}) + sigmoid(a{k})" for k in range(40)]
    started = time.perf_counter()
    d = derive.derive(symrnn.parse("\n".join([*lines, "h = a40"])))
    assert time.perf_counter() - started < 10 and len(d.adjoints) < 200
    with pytest.raises(ValueError, match="paths"):
        _ = d.jacobian
