"""A trial: its point is away from kinks, a later one is another, and what it knows is what the equations say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import symrnn
from symrnn.proof.comparison import UNCLEAR
from symrnn.proof.trial import Arrays, Trial

RELU = symrnn.parse("input x[N]\nstate h[N]\nh = relu(x + h[t-1])", "relu")


def nearest_kink(trial: Trial) -> float:
    kinks: list[float] = []
    trial.evaluated(trial.point, kinks)
    return min(kinks)


def test_a_large_cell_has_a_point_nearer_to_its_kinks() -> None:
    """Of 18,000 sines a few are nearer to zero than a thousandth at every point."""
    cell = symrnn.parse("input x[N]\noutput y\ny = relu(sin(20 * x))", "large")
    assert 1e-5 < nearest_kink(Trial(cell, {"T": 3, "B": 3, "N": 2000})) < 1e-3


def test_a_small_cell_is_far_from_every_kink() -> None:
    assert all(nearest_kink(Trial(RELU, {"T": 3, "B": 2, "N": 20}, seed)) > 5e-4 for seed in range(10))


def test_values_of_one_sign_are_found_for_roots_and_logarithms() -> None:
    cell = symrnn.parse("input x[N]\noutput y\ny = log(x) + sqrt(x)", "positive")
    assert (Trial(cell, {"T": 2, "B": 2, "N": 30}).point["inputs"]["x"] > 0).all()


def test_a_later_point_is_another_and_smaller() -> None:
    first, third = (Trial(RELU, {"T": 4, "B": 5, "N": 100}, again=k).point["inputs"]["x"] for k in (0, 2))
    assert third.std() / first.std() == pytest.approx(0.5, rel=0.1)
    assert abs(np.corrcoef(first.ravel(), third.ravel())[0, 1]) < 0.1


def test_a_point_for_float32_has_numbers_of_float32() -> None:
    trial = Trial(RELU, {"T": 2, "B": 2, "N": 3}, dtype="float32")
    numbers = [a for group in trial.point.values() for a in group.values()] + [*trial.weights.values()]
    assert all((a == a.astype(np.float32)).all() and a.dtype == np.float64 for a in numbers)


LSTM = symrnn.load("lstm")
SIZES = {"T": 3, "B": 2, "I": 2, "H": 3}


def test_forward_mode_complex_steps_and_differences_agree() -> None:
    trial = Trial(LSTM, SIZES)
    assert trial.pushed == pytest.approx(trial.joint, rel=1e-12)
    assert sum(trial.single.values()) == pytest.approx(trial.joint, rel=1e-12)
    for at, slope in trial.single.items():
        assert next(trial.differences(at, [1e-5])) == pytest.approx(slope, rel=1e-6)


def test_forward_mode_and_complex_steps_are_two_witnesses(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Trial(LSTM, SIZES)
    expected = honest.joint
    monkeypatch.setattr("symrnn.meaning.interpret.tangent", lambda *args: ({"h": np.zeros((3, 2, 3))}, {}))
    assert Trial(LSTM, SIZES).pushed == 0 and Trial(LSTM, SIZES).joint == expected
    monkeypatch.undo()
    monkeypatch.setattr(Trial, "slopes", lambda self, moves, noise=None: [0.0] * len(moves))
    assert Trial(LSTM, SIZES).joint == 0 and Trial(LSTM, SIZES).pushed == honest.pushed


def test_outputs_and_last_states_weigh_in_the_loss() -> None:
    trial = Trial(LSTM, SIZES)
    assert all((w != 0).all() for w in (*trial.weights.values(), *trial.state_weights.values()))
    outputs, last = trial.evaluated(trial.point)
    loss = sum((outputs[n] * w).sum() for n, w in trial.weights.items())
    loss += sum((last[n] * w).sum() for n, w in trial.state_weights.items())
    assert trial.losses([[]]).real == pytest.approx(loss)


@pytest.mark.parametrize("size", [1e3, 1e6])
def test_what_noise_changes_is_measured(size: float) -> None:
    """Two numbers of that size cancel: one relative change of each changes the difference by about as much."""
    trial = Trial(
        symrnn.parse(f"input x[N]\noutput y\nq = {size} * tanh(x)\ny = q - {size} * x", "cancels"), SIZES | {"N": 3}
    )
    sensitivity = trial.sensitivities[0]["y"]
    assert size / 30 < sensitivity < 10 * size
    assert size / 30 < trial.loss_sensitivity < 100 * size
    assert size / 30 < trial.slope_sensitivity(trial.all_at_once) < 100 * size


@pytest.mark.parametrize("second", [Trial.bent, Trial.curved])
def test_noise_in_second_derivatives_goes_on_through_what_reads_it(second: Callable[..., dict[str, Arrays]]) -> None:
    """The sum of layer_norm is zero but for rounding: noise in its summands makes it a larger number."""
    trial = Trial(symrnn.parse("input x[N]\nstate h[N]\nh = sum(layer_norm(x)) * h[t-1]", "nothing"), SIZES | {"N": 3})
    plain, noisy = (np.abs(second(trial, seed)["state"]["h"]).max() for seed in (None, 1))
    assert noisy > 1e3 * plain


def test_noise_in_the_equations_and_in_the_derivation_count_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = Trial(LSTM, SIZES)
    move = trial.all_at_once
    both = trial.slope_sensitivity(move)
    plain, noisy = trial.joint, trial.slopes
    monkeypatch.setattr(Trial, "slopes", lambda self, moves, noise=None: [plain] * len(moves))
    derived = trial.measured(move)
    monkeypatch.setattr(Trial, "slopes", lambda self, moves, noise=None: noisy(moves, noise))
    monkeypatch.setattr(Trial, "pushed_along", lambda self, move, noise=None: plain)
    written = trial.measured(move)
    assert derived > 0 and written > 0 and both == max(derived, written)
    assert both * 2.0**-53 < UNCLEAR["float64"]
