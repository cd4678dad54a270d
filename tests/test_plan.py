"""What compiled kernels share, and in which order they run: small cells where a wrong choice gives a wrong module."""

from __future__ import annotations

from textwrap import dedent

import pytest

import symrnn
from symrnn.loading import module_to_check
from symrnn.proof.check import check

BACKENDS = ("cpp", "cuda")
CELLS = {
    "a state turned over at every step": """
        input x[N]
        state S[N, N]
        output y
        S = tanh(S[t-1].T + outer(x, x * x))
        y = S @ x
    """,
    "a state that reads the past of one computed later": """
        input x[H], s[]
        state h[H], c[]
        output h
        h = 0.5 * h[t-1] + c[t-1] * x
        c = 0.9 * c[t-1] + s
    """,
    "a carried value that another kernel reads at the step at which it is computed": """
        input x[H]
        state c[H], m[H, H]
        output m
        c = x * c[t-1]
        m = outer(x, c) + m[t-1]
    """,
    "an adjoint that one kernel hands to another at every step": """
        input x[H]
        state h[H], c[]
        output c
        h = 0.5 * h[t-1] + x
        c = 0.9 * c[t-1] + sum(h[t-1])
    """,
    "a state that repeats a sum of products": """
        input x[I], z[J]
        state S[H, K]
        output y
        param W[H, I], V[H, J]
        u = tanh(x)
        v = sin(z)
        S = W @ u + V @ v
        y = sum(S * S[t-1])
    """,
    "a product of a sum that is read once more": """
        input x[I], z[J]
        output y, a
        param W[H, I], V[H, J]
        u = tanh(x)
        v = sin(z)
        q = W @ u
        y = q + V @ v
        a = 2 * q
    """,
    "two products of one operand in a sum": """
        input x[I]
        output y
        param W[H, I], V[H, I]
        u = tanh(x)
        y = W @ u + V @ u
    """,
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("what", CELLS)
def test_the_module_is_right(what: str, backend: str) -> None:
    cell = symrnn.parse(dedent(CELLS[what]), "planned")
    module = module_to_check(cell, backend)
    report = check(cell, module, backend, shapes=[(3, 2, (3, 5, 4, 2))])
    assert report.ok, str(report)
