"""Steps with tangents: forward mode against complex steps, and what is derived of them again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

import symrnn
from symrnn.calculus import jvp as forward_mode
from symrnn.calculus.derive import backward_step, derive, derive_tangent, vjp
from symrnn.calculus.ir import Contraction, Pointwise, Step, Value
from symrnn.calculus.jvp import jvp
from symrnn.calculus.lower import lower
from symrnn.language.cell import Cell
from symrnn.meaning import interpret
from symrnn.meaning.interpret import length
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


# -- steps that were derived -----------------------------------------------------------------------------------


def run_backward(step: Step, given: dict[str, np.ndarray], last: dict[str, np.ndarray], sizes: dict[str, int]) -> Any:
    """A backward step over all steps from the last to the first: what it carries to the front, by key."""
    carried, arrives = dict(last), {v.of: n for n, v in step.values.items() if v.role == "carry"}
    for t in reversed(range(sizes["T"])):
        env = {n: given[n][t] if v.timed else given[n] for n, v in step.values.items() if n in given}
        env |= {arrives[key]: a for key, a in carried.items() if key in arrives}
        for s in step.statements:
            env[s.out.name] = interpret.execute(s, env, sizes)
        carried = {key: env[source] for key, source in step.carried.items()}
    return carried


@pytest.mark.parametrize("name", ["lstm", "gru_concat", "lru", "mlstm", "gru_d", *ODD])
def test_the_tangent_of_a_derived_step_is_the_hessian_times_the_direction(name: str) -> None:
    """Forward mode over the backward step gives what the backward step of the tangents gives."""
    second = Second(cell_of(name))
    trial, forward = second.trial, second.derivation.step
    known, _ = interpret.run(schedule(second.derivation, (), JVP), second.given, {"jvp": second.state}, trial.sizes)
    plain = derive(trial.cell)
    step = jvp(backward_step(plain))
    tangents = {of: tangent for tangent, of in forward.tangent_of.items()}
    given = {n: known[n] for n in step.values if n in known}
    given |= {seed: trial.weights[n] for n, seed in plain.seeds.items()}
    for new, of in step.tangent_of.items():  # cotangents do not move
        if step.values[new].role in ("input", "param"):
            given[new] = known[tangents[of]] if of in tangents and tangents[of] in known else np.zeros_like(given[of])
    labels = {key: step.values[source].labels for key, source in step.carried.items()}
    last = {key: np.zeros([length(x, trial.sizes) for x in labels[key]]) for key in step.carried}
    ends = run_backward(step, given, last | trial.state_weights, trial.sizes)
    truth = second.gradients()
    found = {n: ends[key] for n, g in plain.gradients.items() for key, of in step.tangent_keys.items() if of == g}
    found |= {f"state {key}": ends[moved] for moved, key in step.tangent_keys.items() if key in plain.handed_back}
    assert found
    for quantity, a in found.items():
        np.testing.assert_allclose(a, truth[quantity], rtol=1e-10, atol=1e-12, err_msg=quantity)


@pytest.mark.parametrize("name", ["lstm", "gru_concat", "deltanet", *ODD])
def test_a_derived_step_can_be_derived(name: str) -> None:
    """⟨J v, w⟩ by forward mode over a backward step is ⟨v, Jᵀ w⟩ by reverse mode over it; slices have their rule."""
    cell = cell_of(name)
    step = backward_step(derive(cell))
    moving, derived = jvp(step), vjp(step, cell)
    sizes = sizes_at(cell, SMALL)
    rng = np.random.default_rng(1)

    def drawn(names: Iterable[str], values: dict[str, Value]) -> dict[str, np.ndarray]:
        return {n: rng.normal(size=[length(x, sizes) for x in values[n].labels]) for n in sorted(names)}

    leaves = {n for n, v in step.values.items() if v.role in ("input", "param", "carry")}
    env = {n: np.abs(a) for n, a in drawn(leaves, step.values).items()}  # there are roots
    env |= {n: np.array(float(sizes[n])) for n, v in step.values.items() if v.role == "size"}
    env |= {v.name: np.array(float(v.start)) for v in cell.consts if v.name in step.values}
    env |= {n: np.eye(length(v.axes[0], sizes)) for n, v in step.values.items() if v.role == "identity"}
    env |= {n: np.array(1.0) for n, v in step.values.items() if v.role == "time"}
    tangent_of = {of: new for new, of in moving.tangent_of.items()}
    along = drawn(leaves, step.values)
    pushed = env | {tangent_of[n]: a for n, a in along.items()}
    for s in moving.statements:
        pushed[s.out.name] = interpret.execute(s, pushed, sizes)
    cotangents = [*derived.seeds.values(), *(arrives for arrives, _ in derived.handed_back.values())]
    weights = drawn(cotangents, derived.values)
    pulled = env | weights
    for s in (*step.statements, *derived.statements):
        pulled[s.out.name] = interpret.execute(s, pulled, sizes)
    left = sum((pushed[tangent_of[n]] * weights[seed]).sum() for n, seed in derived.seeds.items())
    left += sum((pushed[tangent_of[step.carried[k]]] * weights[a]).sum() for k, (a, _) in derived.handed_back.items())
    source = {v.of: n for n, v in step.values.items() if v.role == "carry"}
    right = sum((pulled[g] * along[n]).sum() for n, g in derived.gradients.items())
    right += sum((pulled[d] * along[source[k]]).sum() for k, (_, d) in derived.handed_back.items())
    assert left == pytest.approx(right, rel=1e-11)
