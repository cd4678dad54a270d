"""Varied cells of the whole language: every page is true and printed in every format, and every other view works."""

from __future__ import annotations

import pytest

import symrnn
from symrnn import diff, pages
from symrnn.flow import measure
from symrnn.flow.runs import SETTINGS
from symrnn.language.load import parse
from symrnn.pages.outline import outline, subject
from symrnn.pages.phrases import languages

CELLS = [
    "input x[I], u[J]\nstate h[H]\nh = tanh(W @ x + V @ u + U @ h[t-1])\nparam U[H, H]",
    "input x[H]\nstate h[H]\nparam U[H, H]\nh = tanh(U @ h[t-1] + U.T @ x)",
    "input x[H]\nstate P[H, H]\nparam A[H, H]\nP = A @ P[t-1] @ A.T + outer(x, x)",
    "input x[H]\nstate P[H, H]\noutput y\nparam A[H, H]\nP = tanh(A @ P[t-1] + outer(x, x))\ny = P @ x",
    "input x[H]\nstate P[H, H]\nparam A[H, H]\nP = P[t-1].T @ A @ P[t-1] + outer(x, x)",
    "input x[H]\nstate P[H, H]\noutput y\nP = softmax(P[t-1] + outer(x, x))\ny = norm(P)",
    "input x[I]\nstate h[H]\nparam W[H, I]\nh = tanh(W @ x + h[t-1] + 0.5 * h[t-3])",
    "input x[I]\nstate h[H]\nparam W[H, I]\nh = tanh(W @ (x + x[t-1] + x[t-2]) + h[t-2])",
    "input x[]\nstate s[]\ns = tanh(a * x + b * s[t-1])",
    (
        "input x[]\nstate s[], r[]\noutput y\ns = sin(a * x + s[t-1] * r[t-1])\n"
        "r = cos(s) + r[t-1] / (1 + s ** 2)\ny = s * r"
    ),
    "input x[I]\noutput y\nparam W[K, I]\ny = softmax(W @ x)",
    "input x[N, S]\nstate h[N]\nparam U[N, N]\nh = tanh(sum(x) + max(x) + U @ h[t-1] + norm(x) + logsumexp(x))",
    "input x[N, S]\nstate c[N, S]\nc = softmax(x + c[t-1]) * layer_norm(x * c[t-1])",
    "input x[H]\nstate h[H]\noutput y\nparam V[H, H]\nh = tanh(V @ (V @ (V @ h[t-1])) + x)\ny = sum(V * outer(h, h))",
    "input x[H]\nstate h[H]\nparam V[H, H]\nh = tanh((V - V.T - 0.1 * identity(H)) @ h[t-1] + x)",
    "input x[H]\nstate h[H]\nh = h[t-1] + dot(x, h[t-1]) * x / (1 + dot(x, x))",
    "input x[H]\nstate h[H]\nparam A[H, H], B[H, H]\nh = tanh((A @ B.T @ A) @ h[t-1] + x)",
    "input x[I], y[I]\nstate m[I]\noutput e\nm = 0.9 * m[t-1] + 0.1 * x\ne = sum((y - m) ** 2) / I",
    "input x[H]\nstate h[H]\nh = tanh(x + U @ a[t-1])\na = tanh(h) * h[t-1]\nparam U[H, H]",
    (
        "input q[D], k[D], v[D]\nstate S[D, D], z[D]\noutput y\nf = exp(k)\nS = S[t-1] + outer(v, f)\n"
        "z = z[t-1] + f\ny = S @ exp(q) / (1 + dot(z, exp(q)))"
    ),
    "input x[H]\nstate h[H]\nh = gelu(x + silu(h[t-1]) * elu(x) - softplus(h[t-1]) + hard_sigmoid(h[t-1]))",
    "input x[H]\nstate h[H]\nh = abs(x - h[t-1]) ** 1.5 + sqrt(1 + x ** 2) + log(2 + h[t-1] ** 2)",
    "input x[H]\nstate h[H]\nh = x ** 2 / (1 + exp(-a * t)) + 0.1 * h[t-1] * sqrt(H)",
    "input x[H, K]\nstate M[H, K]\nparam A[H, H], B[K, K]\nM = tanh(A @ M[t-1] @ B + x)",
    (
        "input x[H]\nstate h[H], c[H]\noutput h, c\nparam U[H, H]\nc = tanh(U @ h[t-1] + x) + c[t-1]\n"
        "h = c * sigmoid(c[t-1])"
    ),
    (
        "input x[H]\nstate M[H, H]\noutput y\nM = 0.9 * M[t-1] + outer(x, x[t-1]) - outer(x[t-1], x)\n"
        "y = M @ x + M.T @ x[t-2]"
    ),
    "input x[H]\nstate h[H]\nparam W[H, K, I], U[H, H]\ninput z[I]\nh = tanh(sum(sum(W * z)) + U @ h[t-1] + x)",
    (
        "input x[H]\nstate P[H, H]\noutput y\nparam A[H, H]\nP = P[t-1] + A * outer(x, x) * P[t-1].T\n"
        "y = sum(P) + sum(P.T)"
    ),
    "input x[H]\nstate h[H]\nh = mean(x) * h[t-1] + max(h[t-1]) * x + min(x) * softmax(h[t-1])",
    "input x[H]\nstate h[H]\nh = tanh(tanh(tanh(tanh(tanh(x + h[t-1]) * x) + h[t-1]) * x) + h[t-1])",
    "input x[H]\nstate h[H]\noutput y\nparam C[H, H]\nh = C @ h[t-1] + x\ny = C.T @ h + max(C) * x",
    "input x[H]\nstate P[H, H]\nparam A[H, H]\nP = max(P[t-1], A) + min(outer(x, x), P[t-1].T)",
    "input e[H]\nstate a[H]\na = tanh(e + max(outer(a[t-1], e)) + mean(outer(e, e)))",
    "input x[H]\nstate h[H]\nparam A[H, H]\nh = x @ A + h[t-1] @ A.T",
    "input x[H]\nstate P[H, H]\noutput y\nparam A[H, H]\nP = tanh(A @ A @ P[t-1])\ny = x @ P @ x",
    (
        "input x[H]\nstate P[H, H]\noutput y\nparam a[H]\nP = layer_norm(P[t-1].T) + outer(x, a)\n"
        "y = logsumexp(P) + max(P) + min(P.T)"
    ),
    "input x[I]\nstate h[H]\nh = tanh(W @ concat(h[t-1], x, h[t-2]))",
    "input x[H]\nstate h[H]\nparam V[H, H]\nh = tanh(V @ h[t-1] / norm(V) + x)",
]  # fmt: skip


@pytest.mark.parametrize("text", CELLS)
def test_every_view_of_a_cell(text: str) -> None:
    cell = parse(text, "own", "own.cell")
    document = outline(subject(cell))
    for name in set(pages.known_formats()) - {"pdf"}:
        for lang in languages():
            assert pages.format_module(name).render(document, lang, False)
    assert "Forward equations" in pages.show(cell)
    found = diff.compare(cell, symrnn.load("gru"))
    assert diff.text(found) and diff.markdown(found)


@pytest.mark.parametrize("text", [t for t in CELLS if "state" in t])
def test_every_flow_is_measured_or_named(text: str) -> None:
    flow = measure(parse(text, "own", "own.cell"), steps=4, seeds=1, size=2)
    told = {what.removesuffix(": not finite") for what in flow.left_out}
    measured = {f"{c.setting}, {c.name}" for c in flow.curves}
    names = {what.split(", ", 1)[1] for what in measured | told}
    assert measured and measured | told == {f"{setting}, {name}" for setting in SETTINGS for name in names}
    assert all(len(c.log_norm) == 5 for c in flow.curves)
