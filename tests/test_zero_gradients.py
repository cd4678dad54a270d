"""`check` tells of parameters that would never be trained: from where init starts them, or from anywhere."""

from __future__ import annotations

import pytest

import symrnn
from symrnn.language import load as cells
from symrnn.proof.check import SHAPES, check

HEAD = "input x[I]\nstate h[H]\n"


def warned(text: str) -> list[str]:
    return check(symrnn.parse(text), shapes=SHAPES[:1]).warnings


WARNED = {
    "a factor of the output": (
        "h = k * tanh(W @ x + U @ h[t-1] + b)",
        "at init the gradient of W, U and b is zero as long as k is zero: "
        "declare another start, like param k[H] = uniform",
    ),
    "declared as a number": (
        "param k[H] = 0.0\nh = k * tanh(W @ x)",
        "at init the gradient of W is zero as long as k is zero: declare another start, like param k[H] = uniform",
    ),
    "either of two": (
        "g = relu(a * sum(x) + b)\nh = tanh(W @ x) + g * h[t-1]",
        "at init the gradient of a and b is zero as long as a and b are zero: "
        "declare another start, like param a[H] = uniform",
    ),
    "only both together": (
        "h = a * b * tanh(W @ x)",
        "at init the gradient of a, b and W is zero as long as a and b are zero: "
        "declare another start, like param a[H] = uniform",
    ),
    "many": (
        "param k[]\nh = k * tanh(W_1 @ x + W_2 @ (x * x) + b_1 + (b_2 - b_3) * sum(x) + b_4 * mean(x) + b_5 * t + b_6)",
        "at init the gradient of W_1, W_2, b_1, b_2, b_3, b_4 and 2 more is zero as long as k is zero: "
        "declare another start, like param k[] = uniform",
    ),
    "divided by zero": (
        "h = W @ x / tau",
        "at init h is not finite as long as tau is zero: declare another start, like param tau[H] = 1",
    ),
    "not finite from anywhere": ("param b[H] = -1\nh = log(b) * (W @ x)", "at init h is not finite"),
    "not by a start at zero": (
        "param k[H] = -9\nh = relu(k + tanh(W @ x))",
        "at init the gradient of k and W is zero",
    ),
    "from anywhere": (
        "h = where(tanh(V @ x) > U @ h[t-1], W @ x, 1)",
        "no gradient of an output reaches V and U",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WARNED)
def test_a_parameter_without_a_gradient_is_warned_of(name: str) -> None:
    body, warning = WARNED[name]
    assert warned(HEAD + body) == [warning]


NOT_WARNED = {
    "a length that only a state has": "state M[N, I]\na = softmax(M[t-1] @ x)\nM = outer(a, x)\nh = W @ (a @ M[t-1])",
    "gains start at one": "h = tanh(g * layer_norm(W @ x + U @ h[t-1]) + b)",
    "biases at zero": "h = tanh(W @ x + U @ h[t-1] + b)",
    "a recurrent vector at zero": "h = tanh(W @ x + u * h[t-1])",
    "a delay longer than the sequence": "h = tanh(W @ x + V @ x[t-9] + U @ h[t-12])",
}


@pytest.mark.parametrize("name", NOT_WARNED)
def test_other_parameters_are_not(name: str) -> None:
    assert warned(HEAD + NOT_WARNED[name]) == []


def test_the_gallery_is_trained_from_its_starts() -> None:
    found = {n: check(cells.load(n), shapes=SHAPES[:1]).warnings for n in cells.gallery()}
    assert {n: w for n, w in found.items() if w} == {"skip_rnn": ["no gradient of an output reaches w_p and b_p"]}


def test_gradients_that_are_not_finite_at_init_are_warned_of() -> None:
    cell = symrnn.parse("input x[I]\nstate h[H]\nh = (W @ x + 0.1 * h[t-1]) / (1 + 1 / tau)")
    (warning,) = check(cell).warnings
    assert warning == (
        "at init the gradient of tau is not finite as long as tau is zero: declare another start, like param tau[H] = 1"
    )
