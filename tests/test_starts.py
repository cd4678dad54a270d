"""How a parameter starts is decided once, when the cell is read: code, pages and the command line read it there."""

from __future__ import annotations

import numpy as np
import pytest

import symrnn
from symrnn.emit import emit

HEAD = "input x[I]\nstate h[H]\n"


def starts(body: str) -> dict[str, str]:
    return {v.name: v.start for v in symrnn.parse(HEAD + body).params}


def test_undeclared_matrices_start_uniformly_and_everything_else_at_zero() -> None:
    assert starts("h = tanh(W @ x + U @ h[t-1] + b)") == {"W": "uniform", "U": "uniform", "b": "zeros"}


def test_a_declared_start_is_kept() -> None:
    body = "param W[H, I] = glorot, g[H] = 0.5, b[H]\nh = g * layer_norm(W @ x + b)"
    assert starts(body) == {"g": "0.5", "W": "glorot", "b": "zeros"}


GAINS = {
    "behind": "h = tanh(layer_norm(W @ x) * g)",
    "in front": "h = tanh(g * layer_norm(W @ x))",
    "of an rms_norm": "h = tanh(g * rms_norm(W @ x))",
    "declared without a start": "param g[H]\nh = tanh(g * layer_norm(W @ x))",
    "by name": "n = layer_norm(W @ x)\nh = tanh(n * g)",
    "by two names": "n = layer_norm(W @ x)\nm = n\nh = tanh(g * m + b)",
    "of an older value": "n = layer_norm(W @ x)\nh = tanh(n + g * n[t-1])",
    "among other factors": "i = sigmoid(W_i @ x)\nh = tanh(i * g * layer_norm(W @ x))",
    "negative": "h = tanh(-g * layer_norm(W @ x))",
    "divided by a norm": "a = W @ x\nh = tanh(g * a / norm(a))",
    "divided by a norm, in brackets": "a = W @ x\nh = tanh(g * (a / norm(a)))",
    "root of a mean of squares": "a = W @ x\nh = tanh(g * a / sqrt(mean(a * a) + 1e-5))",
    "layer norm written out": "a = W @ x\nc = a - mean(a)\ns = sqrt(mean(c ** 2) + 1e-5)\nh = tanh(g * c / s + b)",
    "a scalar gain": "param g[]\na = W @ x\nh = tanh(g * a / norm(a))",
}


@pytest.mark.parametrize("name", GAINS)
def test_a_gain_of_a_normalised_value_starts_at_one(name: str) -> None:
    found = starts(GAINS[name])
    assert found["g"] == "ones"
    assert found["W"] == "uniform" and found.get("b", "zeros") == "zeros"


NOT_GAINS = {
    "of a value as it is": "h = tanh(g * (W @ x))",
    "added": "h = tanh(layer_norm(W @ x) + g)",
    "beside one": "h = tanh((1 + g) * layer_norm(W @ x))",
    "divided by the root of a size": "h = tanh(g * (W @ x) / sqrt(H))",
    "below": "h = layer_norm(W @ x) / (1 + exp(g))",
    "what is normalised itself": "param W[H, I]\nh = g / norm(g) + W @ x",
}


@pytest.mark.parametrize("name", NOT_GAINS)
def test_other_vectors_start_at_zero(name: str) -> None:
    assert starts(NOT_GAINS[name])["g"] == "zeros"


def test_weights_of_a_normalised_input_are_weights() -> None:
    assert starts("param w[H, I]\nh = sum(w * layer_norm(x))")["w"] == "uniform"


@pytest.mark.parametrize("backend", ["numpy", "cpp", "cuda"])
def test_the_generated_init_starts_as_the_cell_says(backend: str) -> None:
    cell = symrnn.parse(HEAD + GAINS["by name"])
    (text,) = (a.text for a in emit(cell, backend) if a.path.endswith(".py"))
    assert all(f'"{v.name}": start("{v.start}", PARAMS["{v.name}"]' in text for v in cell.params)


def test_no_gradient_is_stopped_by_a_gain() -> None:
    module = symrnn.compile(symrnn.parse(HEAD + "n = layer_norm(W @ x + U @ h[t-1])\nh = tanh(g * n + b)"))
    params = module.init(I=3, H=4, dtype=np.float64)
    y, _, tape = module.forward(params, np.random.default_rng(0).standard_normal((3, 2, 3)))
    gradients, _, _ = module.backward(params, tape, np.ones_like(y))
    assert all(np.abs(a).max() > 0 for a in gradients.values())
