"""Values that meet themselves along another axis: adding, fusing, renaming and hoisting keep their labels apart."""

from __future__ import annotations

from dataclasses import replace

import pytest

import symrnn
from symrnn.calculus import derive as derivation
from symrnn.calculus.ir import Pointwise, Ref, Value, symbol, verify
from symrnn.loading import module_to_check
from symrnn.proof.check import check
from symrnn.schedule import schedule
from symrnn.schedule.fuse import _fits
from symrnn.schedule.hoist import hoist

SQUARE = {
    "two rank-one contributions to an input": "input y[N], P[N, N]\noutput s\ns = P @ y + y @ P",
    "to a parameter": "input y[N]\noutput s\nparam P[N, N]\ns = P @ y + y @ P",
    "to a state": "input y[N]\nstate P[N, N]\noutput s\ns = P[t-1] @ y + y @ P[t-1]\nP = 0.5 * P[t-1] + outer(s, y)",
    "to a value": "input y[N]\noutput s\nparam W[N, N]\nP = tanh(W * 0.5)\ns = P @ y + y @ P",
    "a matrix and its transpose": "input y[N], P[N, N]\noutput s\ns = P @ (P.T @ y) + P.T @ (P @ y)",
    "a Kalman filter's covariance": (
        "input y[N]\nstate m[N], P[N, N]\nparam A[N, N], Q[N, N], K[N, N]\n"
        "m = A @ m[t-1] + K @ (y - A @ m[t-1])\nP = 0.3 * (A @ P[t-1] @ A.T + Q) + 0.1 * outer(m, y)"
    ),
    "sums and outer products fused": (
        "input x[N], Q[N, N]\nstate h[N], S[N, N]\noutput y\nparam b[N], W[N, N], U[N, N]\n"
        "a = sum((tanh(S[t-1]) - (W @ Q)))\nA = (Q * Q).T\n"
        "h = tanh(softmax((softmax(W).T @ tanh(x))) + a)\n"
        "S = tanh((outer((A @ b), sum(A)) + outer(sum(A), sum(Q))) + A)\ny = sum((W.T @ tanh(U))) + h + sum(S)"
    ),
    "one factor along both axes, hoisted": (
        "input x[N]\nstate h[N], S[N, N]\noutput h\nr = sigmoid(x)\n"
        "S = outer(r * 2 + 1, h[t-1]) + outer(h[t-1], r * 2 + 1) + 0.5 * S[t-1]\nh = tanh(S @ x)"
    ),
    "along the columns once": "input x[N]\nstate h[N]\noutput y\nS = outer(h[t-1], x * 2 + 1)\nh = tanh(x)\ny = S @ x",
    "adjoints that are copies of one": "input y[N], z[N], P[N, N]\noutput s\na = P @ y\ns = a + z @ P",
    "two matrix factors": "input P[N, N], x[N]\noutput y\ny = (P @ P) @ x + (P.T @ P) @ x + sum(P * P.T)",
    "along both axes of a cube": (
        "input x[N]\noutput y\nparam W[N, M, K]\nA = sum(W)\nB = A @ A.T\ny = B @ x + x @ B + (B * B.T) @ x"
    ),
}
BACKENDS = ("numpy", "cpp", "cuda")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("what", SQUARE)
def test_square_values_are_added_by_their_labels(what: str, backend: str) -> None:
    cell = symrnn.parse(SQUARE[what], "square")
    module = module_to_check(cell, backend)
    report = check(cell, module, backend, shapes=[(3, 2, (3, 2, 4))])
    assert report.ok, str(report)


def test_verify_refuses_a_value_under_two_labellings() -> None:
    values = {n: Value(n, ("N",) * k, True, True, "input") for n, k in (("a", 1), ("P", 2))}
    values["out"] = Value("out", ("N", "N"), True, True)
    rows, columns = Ref("a", ("@B", "N")), Ref("a", ("@B", "N'"))
    out = values["out"].labels
    verify([Pointwise(Ref("out", out), symbol("a"), (columns,))], values)
    with pytest.raises(AssertionError, match="two labellings"):
        verify([Pointwise(Ref("out", out), symbol("a") ** 2, (rows, columns))], values)


def test_the_derivation_refuses_a_sum_that_moves_an_operand(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault itself: contributions added by the names of their operands, whatever their labels."""
    by_name = lambda out, expr, refs, equation="": Pointwise(  # noqa: E731
        out, expr, tuple({r.name: r for r in refs if r.symbol in expr.free_symbols}.values()), equation
    )
    monkeypatch.setattr(derivation, "compatible", lambda refs: True)
    cell = symrnn.parse(SQUARE["two rank-one contributions to an input"], "planted")
    with pytest.raises(AssertionError, match="two labellings"):
        derivation.derive(cell)
    monkeypatch.setattr(derivation, "pointwise", by_name)
    with pytest.raises(AssertionError, match="reads"):
        derivation.derive(cell)


def test_fusing_leaves_alone_what_would_meet_itself() -> None:
    a, b = Ref("a", ("@B", "N")), Ref("a", ("@B", "N'"))
    inner = Pointwise(Ref("c", ("@B", "N", "N'")), symbol("a") * 2, (a,))
    reader = Pointwise(Ref("d", ("@B", "N", "N'")), symbol("a") * symbol("c"), (b, inner.out))
    assert not _fits(reader, inner.out, inner)
    assert _fits(replace(reader, args=(a, inner.out)), inner.out, inner)
    turned = Ref("c", ("@B", "N'", "N"))
    assert not _fits(replace(reader, args=(a, turned)), turned, inner)


def test_hoisting_tells_the_same_expression_along_two_axes_apart() -> None:
    cell = symrnn.parse("input a[N], b[N]\nstate h[N], S[N, N]\nh = a * b * h[t-1]\nS = S[t-1]**2", "hoisted")
    program = schedule(derivation.derive(cell), ())
    first, second = program.sweep("forward").loop
    columns = tuple(Ref(n, ("@B", "N'")) for n in ("a", "b"))
    assert isinstance(first, Pointwise) and isinstance(second, Pointwise)
    crossed = replace(second, expr=second.expr * symbol("a") * symbol("b"), args=(*second.args, *columns))
    program = program.with_sweep(replace(program.sweep("forward"), loop=(first, crossed))).check()
    hoisted = hoist(program).check().sweep("forward")
    assert [s.out.labels for s in hoisted.before] == [("@T", "@B", "N"), ("@T", "@B", "N'")]
