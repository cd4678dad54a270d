"""Small cells of kinds that once gave a wrong or broken module, proved on every backend."""

from __future__ import annotations

from textwrap import dedent

import pytest

import symrnn
from symrnn.loading import module_to_check
from symrnn.proof.check import SHAPES, check

BACKENDS = ("numpy", "cpp", "cuda")
CELLS = {
    "a state read only in the past": """
        input x[H]
        state m[H]
        output y
        y = x - m[t-1]
        m = 0.9 * m[t-1] + 0.1 * x
    """,
    "a state read only in the past, in a product": """
        input y[H]
        state p[H]
        output s
        s = p[t-1] * y
        p = y * s
    """,
    "an input read only in the past": """
        input x[H], u[H]
        output y
        y = x * u[t-2] + tanh(x[t-1])
    """,
    "a vector as long as two axes": """
        input x[I]
        state h[H]
        h = tanh(dot(w, concat(x, h[t-1])) + x_w * h[t-1])
    """,
    "a matrix declared as long as two axes": """
        input x[I]
        state h[H]
        param W[H, I+H]
        h = tanh(W @ concat(x, h[t-1]))
    """,
    "twice the same axis in one": """
        input x[H]
        state h[H]
        h = tanh(dot(w, concat(x, h[t-1], x)) + V @ concat(h[t-1], x))
    """,
    "sums of axes alone tell a length": """
        input x[I]
        state h[H]
        output y
        param V[K, H]
        k = V @ h[t-1]
        h = tanh(W @ concat(x, k, x))
        y = concat(k, h)
    """,
    "a parameter called d": """
        input x[I]
        state h[H]
        output y
        param d[H]
        h = tanh(W @ x + U @ h[t-1])
        y = 2 * dot(d, h)
    """,
    "a value called d": """
        input x[I]
        state h[H]
        d = tanh(W @ x)
        h = tanh(U @ (d * h[t-1])) + d * dot(d, h[t-1])
    """,
    "a length in the backward pass alone": """
        input x[I]
        state h[H]
        h = tanh((W / I) @ x + h[t-1])
    """,
    "functions of numbers": """
        input x[I]
        state h[H]
        const eps = 0.3
        g = where(eps > 0.2, gelu(eps), softplus(eps)) * tanh(eps) ** I * min(eps, H) * exp(-eps) * hard_sigmoid(eps)
        h = tanh(W @ x * sqrt(H) / sigmoid(eps) + max(H, eps) * h[t-1] * abs(-eps) * H**0.5 + g * relu(x_0))
    """,
    "the step after the loop alone": """
        input x[H]
        output y
        y = t * x
    """,
    "an identity beside a third axis": """
        input x[H]
        output h
        param Q[H, H, K], c[]
        h = max(identity(H), mean(Q)) @ x * c
    """,
    "outputs and states of numbers alone": """
        input x[I]
        state h[]
        output y, z, s
        r = 2
        q = exp(r)
        y = r
        z = q * x / sqrt(I)
        s = q
        h = q * h[t-1] + r * mean(x)
    """,
    "a choice between a number and a length": """
        input s[]
        state h[K]
        output r, h
        param a[]
        r = where(a <= s, 3, K) + where(a > s, K, -K)
        h = 0.5 * h[t-1] + s
    """,
    "a gradient before the last part of its row": """
        input x[I]
        state h[H]
        output y
        u = W_u @ x
        r = sigmoid(W_a @ u + b_a)
        i = sigmoid(W_i @ u + b_i)
        a = exp(-r)
        h = a * h[t-1] + sqrt(1 - a ** 2) * (i[t-1] * u)
        y = h * tanh(W_y @ x)
    """,
    "a state that is a parameter": """
        input u[I]
        state h[I, K]
        output c
        param W0[I, K]
        h = W0
        c = erf((u @ h))
    """,
    "a state that is a parameter and grows": """
        input m[I]
        output g
        param gamma[N, I, N]
        param a1[]
        r = gamma
        g = tanh(where(r[t-1] < m[t-2], r, m[t-2]) * max(a1, r))
    """,
    "a value twice in a row of values, once in its place": """
        input x_K[K]
        output y
        param Q[K, I, K]
        param W[H, K+N+K]
        param b[N]
        r = x_K
        y = Q * sum(W @ concat(r, concat(b, r)))
    """,
    "an identity transposed": """
        input x[I]
        state h[I]
        state S[I, I]
        h = tanh(x) * norm(identity(I).T) + h[t-1]
        S = S[t-1] @ identity(I).T + outer(softmax(identity(I).T) @ x, h)
    """,
    "functions of the step": """
        input x[I]
        state h[H]
        h = tanh(W @ x * sin(t) + h[t-1] * cos(h[t-1] * sqrt(t + 1)))
    """,
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("what", CELLS)
def test_the_module_is_right(what: str, backend: str, dtype: str) -> None:
    cell = symrnn.parse(dedent(CELLS[what]), "own")
    module = module_to_check(cell, backend)
    report = check(cell, module, backend, dtype, shapes=SHAPES[:2])
    assert report.ok, str(report)
