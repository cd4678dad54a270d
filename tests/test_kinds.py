"""Loops are told apart: those whose components run by themselves, those whose steps are affine, and the rest."""

from __future__ import annotations

import pytest

import symrnn
from symrnn.calculus.derive import derive
from symrnn.schedule import schedule
from symrnn.schedule.kinds import Kind, kinds

E, L, S, N = Kind.ELEMENTWISE, Kind.LINEAR, Kind.SEQUENTIAL, Kind.NONE


def of(text: str) -> tuple[frozenset[Kind], frozenset[Kind]]:
    """The kinds of the loops forward and backward."""
    program = schedule(derive(symrnn.parse(text, "own")))
    forward, backward = program.sweeps
    return kinds(forward), kinds(backward)


@pytest.mark.parametrize(
    ("text", "forward", "backward"),
    [
        ("input x[H]\nstate h[H]\nh = a * h[t-1] + x", {E, L}, {E, L}),
        ("input x[H]\nstate h[H]\nh = sigmoid(x) * h[t-1] + x", {E, L}, {E, L}),
        ("input x[H]\nstate h[H]\nh = tanh(u * h[t-1] + x)", {E}, {E, L}),
        ("input x[H]\nstate h[H]\nh = U @ h[t-1] + x", {L}, {L}),
        ("input x[H]\nstate h[H]\nh = tanh(U @ h[t-1] + x)", {S}, {L}),
        ("input x[H]\nstate h[H], c[H]\nh = a * h[t-1] + c[t-1]\nc = a * c[t-1] - h[t-1] + x", {E, L}, {E, L}),
        ("input x[H]\nstate h[H], c[H]\nh = 0.5 * h[t-1] + x\nc = c[t-1] * h", {E}, {E, L}),
        ("input x[H]\nstate h[H]\nh = h[t-1] * mean(h[t-1]) + x", {S}, {L}),
        ("input x[H]\nstate S[H, H]\nS = 0.9 * S[t-1].T + outer(x, x)", {L}, {L}),
        ("input x[H]\nstate S[H, H]\nS = 0.9 * S[t-1] + outer(x, x)", {E, L}, {E, L}),
        ("input x[H]\nstate h[H]\nh = where(h[t-1] > 0, h[t-1], 0) + x", {E}, {E, L}),
        ("input x[H]\noutput y\nparam W[H, H]\ny = tanh(W @ x)", {N}, {N}),
        ("input x[H]\nstate h[H], s[]\nh = 0.5 * h[t-1] + x\ns = 0.5 * s[t-1] + mean(h)", {L}, {L}),
    ],
)
def test_the_kinds_of_loops(text: str, forward: set[Kind], backward: set[Kind]) -> None:
    assert of(text) == (forward, backward)


def test_backward_is_always_linear() -> None:
    """The adjoints of a step are linear in what step t+1 hands back, whatever the cell."""
    for name in symrnn.gallery():
        backward = kinds(schedule(derive(symrnn.load(name))).sweep("backward"))
        assert backward & {Kind.LINEAR, Kind.NONE}, name
