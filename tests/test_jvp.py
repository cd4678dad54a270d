"""Steps with tangents: forward mode against complex steps, and what is derived of them again."""

from __future__ import annotations

from dataclasses import replace
from textwrap import dedent

import numpy as np
import pytest

import symrnn
from symrnn.calculus import jvp as forward_mode
from symrnn.calculus.derive import derive, derive_tangent
from symrnn.calculus.ir import Contraction, Pointwise
from symrnn.calculus.jvp import jvp
from symrnn.calculus.lower import lower
from symrnn.language.cell import Cell
from symrnn.meaning import interpret
from symrnn.proof.check import SMALL, sizes_at
from symrnn.proof.trial import Trial
from symrnn.schedule import HVP, JVP, schedule

ODD = {
    "a concatenation of what moves and what does not": """
        input x[I]
        state h[H]
        param W[H, I+H+K], v[K]
        const one = 1
        h = tanh(W @ concat(x, h[t-1], v * one))
    """,
    "an output nothing moves": "input x[I]\nstate h[I]\noutput y, h\ny = t / 3\nh = tanh(x + h[t-1])",
    "powers and products of one value with itself": """
        input x[I]
        state S[I, I], h[I]
        param W[I, I]
        S = 0.5 * S[t-1] + outer(x, x) + W @ W.T
        h = (S @ h[t-1]) ** 3 * dot(x, x) + exp(-abs(x) ** 1.5)
    """,
    "comparisons, maxima and older states": """
        input x[I]
        state h[I]
        param w[I]
        h = where(x > w, max(h[t-1], h[t-2]), min(x, w)) * max(softmax(x * w)) + norm(h[t-1]) * x[t-1]
    """,
}


def cell_of(name: str) -> Cell:
    return symrnn.parse(dedent(ODD[name]), "odd") if name in ODD else symrnn.load(name)


class Second:
    """A cell at a point and along a direction, moved by the scheduled step with tangents."""

    def __init__(self, cell: Cell) -> None:
        self.trial = Trial(cell, sizes_at(cell, SMALL))
        self.derivation = derive_tangent(cell)
        step, point, along = self.derivation.step, self.trial.point, self.trial.directions
        self.of, self.keys = step.tangent_of, step.tangent_keys
        moved = along["params"] | along["inputs"]
        given = {n: moved[self.of[n]] for n, v in step.values.items() if n in self.of and v.role in ("input", "param")}
        self.given = point["params"] | point["inputs"] | given
        self.state = {k: along["state"][self.keys[k]] if k in self.keys else point["state"][k] for k in step.carried}

    def pushed(self) -> float:
        """⟨J v, w⟩."""
        trial, program = self.trial, schedule(self.derivation, entry=JVP)
        known, ends = interpret.run(program, self.given, {"jvp": self.state}, trial.sizes)
        outputs = sum((known[n] * trial.weights[self.of[n]]).sum() for n in self.derivation.seeds)
        last = sum((a * trial.state_weights[self.keys[k]]).sum() for k, a in ends["jvp"].items() if k in self.keys)
        return float(outputs + last)

    def gradients(self) -> dict[str, np.ndarray]:
        """H v, by what it is the gradient of."""
        trial, program = self.trial, schedule(self.derivation, entry=HVP)
        seeds = {seed: trial.weights[self.of[n]] for n, seed in self.derivation.seeds.items()}
        back = {
            k: trial.state_weights[self.keys[k]] if k in self.keys else np.zeros_like(a) for k, a in self.state.items()
        }
        starts = {"hvp_forward": self.state, "hvp_backward": back}
        known, ends = interpret.run(program, self.given | seeds, starts, trial.sizes)
        leaves = {n: known[g] for n, g in self.derivation.gradients.items()}
        return leaves | {f"state {k}": a for k, a in ends["hvp_backward"].items() if k not in self.keys}


def complex_step(trial: Trial) -> dict[str, np.ndarray]:
    """How all gradients change along the direction, by a complex step through both passes as they were derived."""
    program = schedule(derive(trial.cell), ())
    moved = {
        group: {n: a + 1e-40j * trial.directions[group][n] for n, a in arrays.items()}
        for group, arrays in trial.point.items()
    }
    given, state = moved["params"] | moved["inputs"], moved["state"]
    with np.errstate(all="ignore"):
        known = interpret.forward(program, given, state, trial.sizes)
        leaves, start = interpret.backward(program, known, trial.weights, trial.state_weights, trial.sizes)
    return {n: np.imag(a) / 1e-40 for n, a in (leaves | {f"state {k}": a for k, a in start.items()}).items()}


@pytest.mark.parametrize("name", [*symrnn.gallery(), *ODD])
def test_forward_mode_and_what_is_derived_of_it(name: str) -> None:
    second = Second(cell_of(name))
    trial = second.trial
    expected = trial.slopes([trial.all_at_once])[0]
    assert second.pushed() == pytest.approx(expected, rel=1e-11, abs=1e-13)
    found, truth = second.gradients(), complex_step(trial)
    assert found.keys() == truth.keys()
    largest = max(np.abs(a).max(initial=0) for a in truth.values())
    for quantity, a in truth.items():
        scale = max(np.abs(a).max(initial=0), 1e-3 * largest)
        assert np.abs(found[quantity] - a).max(initial=0) <= 1e-11 * scale, quantity


def test_a_step_with_tangents_is_a_step_and_has_tangents_again() -> None:
    step = jvp(lower(symrnn.load("gru")))
    assert step.carried.keys() == {"h", "dot_h"} and step.outputs == ("h", "dot_h")
    twice = jvp(step)
    assert len(twice.carried) == 4 and len(twice.outputs) == 4


@pytest.mark.parametrize("kind", [Pointwise, Contraction])
def test_a_wrong_rule_is_found_out(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the terms of a tangent is left out."""
    honest = forward_mode._Tangents.moved

    def lazy(self: forward_mode._Tangents, s: object) -> object:
        made = list(honest(self, s))  # type: ignore[arg-type]
        if isinstance(s, kind) and isinstance(made[-1], Pointwise) and len(made[-1].expr.args) > 1:
            expr = made[-1].expr.func(*made[-1].expr.args[1:])
            args = tuple(a for a in made[-1].args if a.symbol in expr.free_symbols)
            made[-1] = replace(made[-1], expr=expr, args=args)
        return iter(made)

    monkeypatch.setattr(forward_mode._Tangents, "moved", lazy)
    derive_tangent.cache_clear()
    try:
        second = Second(symrnn.load("gru"))
        assert second.pushed() != pytest.approx(second.trial.pushed, rel=1e-6)
    finally:
        derive_tangent.cache_clear()
