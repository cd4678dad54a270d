"""Every row of the table of functions over a whole axis: its value against the textbook, its rules by themselves."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from symrnn.calculus.along_axis import Writer, statements_of, tangent
from symrnn.calculus.ir import AlongAxis, Contraction, Pointwise, Ref, Statement, Value, numbered, pointwise
from symrnn.functions.expressions import differentiate
from symrnn.functions.whole_axis import STD, WHOLE_AXIS, AxisFunction
from symrnn.meaning.interpret import execute, length

ROWS = (*WHOLE_AXIS.values(), STD)
A = np.random.default_rng(3).normal(size=(4, 5))


def _normed(a: list[float]) -> list[float]:
    mean = sum(a) / len(a)
    return [(x - mean) / _spread(a) for x in a]


def _spread(a: list[float]) -> float:
    mean = sum(a) / len(a)
    return math.sqrt(sum((x - mean) ** 2 for x in a) / len(a) + 0.00001)


#: On a list of numbers.
TEXTBOOK: dict[str, Callable[[list[float]], float | list[float]]] = {
    "sum": sum,
    "mean": lambda a: sum(a) / len(a),
    "max": max,
    "min": min,
    "norm": lambda a: math.sqrt(sum(x * x for x in a)),
    "softmax": lambda a: [math.exp(x) / sum(map(math.exp, a)) for x in a],
    "logsumexp": lambda a: math.log(sum(map(math.exp, a))),
    "layer_norm": _normed,
    "std": _spread,
    "rms_norm": lambda a: [x / math.sqrt(sum(y * y for y in a) / len(a) + 0.00001) for x in a],
}


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_the_value_is_the_textbooks(row: AxisFunction) -> None:
    expected = [TEXTBOOK[row.name](list(a)) for a in A]
    np.testing.assert_allclose(row.value(A), expected, rtol=1e-13, atol=1e-15)
    assert np.ndim(expected) == (2 if row.keeps else 1)


# -- rules: every row as a step of its own, written out and run ------------------------------------------------------

RULED = [row for row in ROWS if row.rule is not None]
SIZES = {"B": 4, "N": 5, "K": 3}
#: A vector, and a matrix whose rows the function runs over.
AXES: dict[str, tuple[str, ...]] = {"vector": ("N",), "matrix": ("K", "N")}


@dataclass
class Bench:
    """One statement y = row(a), and what rules write about it."""

    row: AxisFunction
    axes: tuple[str, ...]

    def __post_init__(self) -> None:
        kept = self.axes if self.row.keeps else self.axes[:-1]
        self.values = {"N": Value("N", (), False, False, "size")}
        self.a, self.da = self.value("a", self.axes), self.value("da", self.axes)
        self.y, self.dy = self.value("y", kept), self.value("dy", kept)
        self.statement = AlongAxis(self.y, (self.a,), self.row)

    def value(self, name: str, axes: tuple[str, ...]) -> Ref:
        self.values[name] = Value(name, axes, True, False)
        return Ref(name, self.values[name].labels)

    def unique(self, name: str) -> str:
        return numbered(name, self.values.__contains__)

    def written(self, rule: str) -> list[Statement]:
        """The statements of the rule, what it results in last: dy of da (jvp), da of dy (vjp), y of a (expansion)."""
        writer = Writer(self.values, self.unique, "value")
        if rule == "expansion":
            expr, out = writer.expansion(self.statement), self.y
        elif rule == "jvp":
            expr, out = writer.jvp(self.statement, self.da), self.dy
        else:
            expr, out = writer.vjp(self.statement, self.dy), self.da
        return [*writer.statements, pointwise(out, expr, writer.operands(expr))]

    def shape(self, ref: Ref) -> tuple[int, ...]:
        return tuple(length(x, SIZES) for x in ref.labels)

    def run(self, statements: list[Statement], **known: np.ndarray) -> np.ndarray:
        env = dict(known) | {"N": np.array(float(SIZES["N"]))}
        for s in statements:
            env[s.out.name] = execute(s, env, SIZES)
        return env[statements[-1].out.name]


@pytest.fixture(params=[(row, axes) for row in RULED for axes in AXES], ids=lambda p: f"{p[0].name} of a {p[1]}")
def bench(request: pytest.FixtureRequest) -> Bench:
    row, axes = request.param
    return Bench(row, AXES[axes])


def drawn(bench: Bench, ref: Ref, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=bench.shape(ref))


def test_the_expansion_is_the_value(bench: Bench) -> None:
    a = drawn(bench, bench.a, 0)
    statements = bench.written("expansion")
    for x in (a, a + 300, a * 100, a * 1e-100):
        np.testing.assert_allclose(bench.run(statements, a=x), bench.row.value(x), rtol=1e-11)
    assert statements_of(bench.row) == len(written_out(bench, statements))


def written_out(bench: Bench, statements: list[Statement]) -> list[Statement]:
    """The statements without any function of a whole axis."""
    found: list[Statement] = []
    for s in statements:
        if isinstance(s, AlongAxis):
            writer = Writer(bench.values, bench.unique, "value")
            expr = writer.expansion(s)
            found += [*written_out(bench, writer.statements), pointwise(s.out, expr, writer.operands(expr))]
        else:
            found.append(s)
    return found


@pytest.mark.parametrize("size", [1, 1e-40])
def test_the_tangent_is_that_of_a_complex_step(bench: Bench, size: float) -> None:
    a, da = size * drawn(bench, bench.a, 0), size * drawn(bench, bench.a, 1)
    truth = np.imag(bench.row.value(a + 1e-30j * da)) / 1e-30
    found = bench.run(bench.written("jvp"), a=a, y=bench.row.value(a), da=da)
    np.testing.assert_allclose(found, truth, rtol=1e-12, atol=1e-14 * size)


@pytest.mark.parametrize("size", [1, 1e-40])
def test_the_adjoint_is_the_transpose_of_the_tangent(bench: Bench, size: float) -> None:
    a, v, w = size * drawn(bench, bench.a, 0), drawn(bench, bench.a, 1), drawn(bench, bench.y, 2)
    known = {"a": a, "y": bench.row.value(a)}
    tangent, adjoint = bench.run(bench.written("jvp"), da=v, **known), bench.run(bench.written("vjp"), dy=w, **known)
    np.testing.assert_allclose(np.sum(w * tangent), np.sum(adjoint * v), rtol=1e-12)


def test_the_adjoint_at_zero_is_a_number_and_that_of_a_length_is_zero(bench: Bench) -> None:
    zero, w = np.zeros(bench.shape(bench.a)), drawn(bench, bench.y, 2)
    adjoint = bench.run(bench.written("vjp"), a=zero, y=bench.row.value(zero), dy=w)
    assert np.isfinite(adjoint).all()
    assert bench.row.kind != "length" or not adjoint.any()


@pytest.mark.parametrize("rule", ["jvp", "vjp"])
def test_what_a_rule_writes_has_derivatives(bench: Bench, rule: str) -> None:
    """Pushed through once more, statement by statement: the second derivative, and that of the first is its truth."""
    a, direction, seed = drawn(bench, bench.a, 0), drawn(bench, bench.a, 1), drawn(bench, bench.y, 2)
    given = {"da": direction} if rule == "jvp" else {"dy": seed}
    statements = [bench.statement, *bench.written(rule)]
    truth = np.imag(bench.run(statements, a=a + 1e-30j * drawn(bench, bench.a, 3), **given)) / 1e-30
    known = {"a": a, "N": np.array(float(SIZES["N"]))} | given
    dots = {n: np.zeros_like(x) for n, x in known.items()} | {"a": drawn(bench, bench.a, 3)}
    for s in statements:
        known[s.out.name] = execute(s, known, SIZES)
        dots[s.out.name] = pushed(bench, s, known, dots)
    np.testing.assert_allclose(dots[statements[-1].out.name], truth, rtol=1e-10, atol=1e-12)


def pushed(bench: Bench, s: Statement, known: dict[str, np.ndarray], dots: dict[str, np.ndarray]) -> np.ndarray:
    """How the value of a statement moves when its operands do."""
    if isinstance(s, AlongAxis):
        moved, out = Ref("moved", s.args[0].labels), Ref("out", s.out.labels)
        values = dict(bench.values)
        env = known | {"moved": dots[s.args[0].name]}
        for x in tangent(s, moved, out, values, lambda n: numbered(n, values.__contains__)):
            env[x.out.name] = execute(x, env, SIZES)
        return env["out"]
    assert isinstance(s, Pointwise | Contraction), "a rule of a rule is made of what derive differentiates"
    total = np.zeros_like(known[s.out.name])
    for k, arg in enumerate(s.args):
        if isinstance(s, Pointwise):
            partial = differentiate(s.expr, arg.symbol)
            moved = Ref("moved", arg.labels)
            refs = [*(r for r in s.args if r.symbol in partial.free_symbols), moved]
            term: Statement = Pointwise(s.out, partial * moved.symbol, tuple(refs))
        else:
            term = replace(s, args=tuple(Ref("moved", r.labels) if j == k else r for j, r in enumerate(s.args)))
        total += execute(term, known | {"moved": dots[arg.name]}, SIZES)
    return total
