"""The points at which pages are checked: drawn again where something is not finite or has no derivative."""

from __future__ import annotations

import numpy as np
import pytest

import symrnn
from symrnn import diff, pages
from symrnn.language.load import parse
from symrnn.pages.evaluate.world import World, longest_delay
from symrnn.pages.outline import check, outline, subject, unchecked

TRUE = [
    "input u[I]\noutput r, g\nparam W[K, I]\nparam a[]\nr = W @ u[t-2]\ng = sqrt(a)",  # a must be positive
    "input x[]\noutput q\nparam b[N]\nq = x + t ** b",  # 0 ** b at the first step
    "input x[N]\noutput y\ny = log(x - 0.05) + sqrt(1 - x)",
    "input x[N], z[N, I]\noutput q\nq = min(x, z)",  # arguments with different axes
    "input x[N]\noutput q\nq = x * where(1 + t > 2, 1, 2)",  # a kink by which nothing has a derivative
    "input x[N], u[I]\noutput r\nr = outer(u, x[t-1])",  # no state
    "input x[I, I]\noutput r\nparam W[I, I]\nr = min(W.T) @ x",
    "input x[]\nstate c[K]\noutput g\nc = logsumexp(c[t-2])\ng = x",  # a state given less than its shape
    "input x[K]\nstate c[N, K]\nc = softmax(x + mean(c[t-1].T))",
    "input x[I]\nstate n[I], l[N, I]\nn = norm(x + n[t-1])\nl = layer_norm(x + mean(l[t-1].T))",
    "input x[N]\noutput c, g\nparam W[K, N], b[N]\nc = 2 * x\ng = logsumexp(W @ b)",  # of parameters alone
    "input x[N]\noutput c, g\nparam W[K, N], b[N]\nc = x\ng = norm(W @ b) + 0 * sum(x)",
    "input x[N]\noutput c, g\nparam W[N, N]\nc = x\ng = softmax(W) @ x + sum(layer_norm(W))",
]


@pytest.mark.parametrize("text", TRUE)
def test_a_page_is_true(text: str) -> None:
    about = subject(parse(text, "own", "own.cell"))
    assert check(about, unchecked(about)).count > 0


@pytest.mark.parametrize(
    ("equation", "reason"),
    [
        ("y = log(-abs(x))", "not finite"),
        ("y = sin(x / t)", "not finite"),  # the first step divides by zero
        ("y = (-abs(x)) ** relu(-abs(x))", "not finite"),  # (−a)⁰ is 1, and nothing beside it is a number
        ("y = norm(x - x) * x", "kink"),
        ("y = max(x - x) * x", "kink"),
        ("y = min(x, x)", "kink"),
        ("y = x * where(x > x[t-1] / 2 + x[t-1] / 2 + x - x[t-1], 1, 2)", "kink"),
    ],
)
def test_what_has_no_derivative_anywhere_is_one_clear_error(equation: str, reason: str) -> None:
    about = subject(parse(f"input x[H]\noutput y\n{equation}", "own", "own.cell"))
    with pytest.raises(symrnn.UsageError, match=f"page of own is not printed: .*{reason}"):
        about.world()


def test_later_points_are_other_ones() -> None:
    """Parameters are all positive in some, inputs of both signs in some, and all of them grow smaller."""
    stage = subject(parse("input x[N]\nstate h[N]\nparam W[N, N]\nh = tanh(W @ h[t-1] + x)", "own", "own.cell")).stage
    worlds = [World([stage], 0, 3 + longest_delay([stage]), k) for k in range(40)]
    assert all((w.fixed["W"] > 0).all() for w in worlds[3::4])
    assert any((w.fixed["W"] < 0).any() for w in worlds)
    assert any((np.array(w.inputs["x"]) < 0).any() for w in worlds[2::4])
    assert max(abs(w.fixed["W"]).max() for w in worlds[36:]) < max(abs(w.fixed["W"]).max() for w in worlds[:4]) / 2


@pytest.mark.parametrize(
    "equation",
    [
        "y = logsumexp(x - x)",
        "y = (W - W) @ x",
        "y = (W * 0) @ x",
        "y = (identity(H) * 0) @ x",
        "y = outer(x - x, x) @ x",
    ],
)
def test_what_is_zero_has_every_view(equation: str) -> None:
    cell = parse(f"input x[H]\noutput y\nparam W[H, H]\n{equation} + 0.5 * sum(W @ x)", "own", "own.cell")
    assert outline(subject(cell)).sections
    assert "Forward equations" in pages.show(cell)
    assert diff.text(diff.compare(cell, symrnn.load("gru")))
