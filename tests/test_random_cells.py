"""Cells nobody wrote: random equations in the language, each proved by the check."""

from __future__ import annotations

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import symrnn
from symrnn.check import check
from symrnn.pages.outline import check as check_page
from symrnn.pages.outline import subject, unchecked

UNARY = ["sigmoid", "tanh", "silu", "softplus", "gelu", "elu", "sin", "hard_sigmoid", "relu", "abs", "leaky_relu"]
ALONG = ["softmax", "layer_norm"]
REDUCED = ["sum", "mean", "max", "norm", "logsumexp", "min"]


@st.composite
def vectors(draw: st.DrawFn, known: list[str], depth: int = 3) -> str:
    """An expression of axes [H] over known values, the state, the input and fresh parameters."""
    kind = draw(st.integers(0, 11)) if depth else draw(st.integers(0, 2))
    inner = vectors(known, depth - 1) if depth else st.just("x")
    fresh = draw(st.integers(0, 3))
    if kind == 0:
        return draw(st.sampled_from([*known, "h[t-1]", "c[t-1]", "h[t-2]"]))
    if kind == 1:
        return f"(W{fresh} @ x)"
    if kind == 2:
        return f"(b{fresh} + U{fresh} @ {draw(st.sampled_from([*known, 'h[t-1]', 'c[t-1]']))})"
    if kind in (3, 4):
        return f"{draw(st.sampled_from(UNARY))}({draw(inner)})"
    if kind in (5, 6):
        return f"({draw(inner)} {draw(st.sampled_from(['+', '-', '*']))} {draw(inner)})"
    if kind == 7:
        return f"{draw(st.sampled_from(ALONG))}({draw(inner)})"
    if kind == 8:
        return f"({draw(st.sampled_from(REDUCED))}({draw(inner)}) * {draw(inner)})"
    if kind == 9:
        return f"(V{fresh} @ concat(x, {draw(inner)}))"
    if kind == 10:
        return f"where({draw(inner)} > 0.1, {draw(inner)}, 0.5)"
    return f"(U{fresh}.T @ {draw(inner)} / (1 + exp({draw(inner)})))"


@st.composite
def cell_texts(draw: st.DrawFn) -> str:
    lines = ["input x[I]", "state h[H], c[H]", *(f"param b{k}[H], W{k}[H, I], U{k}[H, H], V{k}[H, I]" for k in ())]
    g = draw(vectors([]))
    c = draw(vectors(["g"]))
    h = draw(vectors(["g", "c"]))
    return "\n".join([*lines, f"g = {g}", f"c = tanh(g * {c})", f"h = tanh({h} + c)"])


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(cell_texts())
def test_random_cells_are_derived_right(text: str) -> None:
    try:
        cell = symrnn.parse(text, "random_cell")
    except symrnn.CellError as error:
        assert error.kind in ("ambiguous", "unused")
        assume(False)
        raise
    try:
        report = check(cell, shapes=[(3, 2, (2, 3))])
    except symrnn.UsageError:
        assume(False)
        raise
    assert report.ok, f"{text}\n{report}"


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(cell_texts())
def test_pages_of_random_cells_are_true(text: str) -> None:
    try:
        about = subject(symrnn.parse(text, "random_cell"))
        world = about.world()
    except (symrnn.CellError, symrnn.UsageError):  # a shape that is not clear, or no point away from kinks
        assume(False)
        raise
    assert check_page(about, unchecked(about)).count > 5, world.sizes
