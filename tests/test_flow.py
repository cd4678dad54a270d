"""What the gradient does, measured: known spectra give known slopes, and gates keep what weights lose."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import symrnn
from symrnn.calculus.derive import derive
from symrnn.cli.main import app
from symrnn.errors import UsageError
from symrnn.flow import Progress, measure, plot, runs
from symrnn.flow.measure import STATE, default_size, opening, paths_of, state_size
from symrnn.flow.runs import INITIALISATIONS, SETTINGS, Clock, Draw, Run, TimeUpError, log_norms, lyapunov
from symrnn.pages.evaluate.world import compute

LINEAR = '"""A linear network."""\ninput x[I]\nstate h[H]\nh = U @ x + W @ h[t-1]\n'


@pytest.mark.parametrize(
    ("name", "slope"),
    [
        ("radius 0.5", np.log10(0.5)),
        ("radius 1", 0.0),
        ("radius 1.5", np.log10(1.5)),
        ("identity", 0.0),
        ("orthogonal", 0.0),
    ],
)
def test_a_linear_network_follows_its_spectral_radius(name: str, slope: float) -> None:
    flow = measure(symrnn.parse(LINEAR, "linear"), steps=300, seeds=2, size=6, initialisations=(name,))
    assert [c.setting for c in flow.curves] == list(SETTINGS)
    for curve in flow.curves:
        assert curve.decay == pytest.approx(slope, abs=0.01)
        assert curve.exponents[0] == pytest.approx(slope * np.log(10), abs=0.03)


@pytest.mark.parametrize(("name", "slope"), [("radius 0.5", np.log10(0.5)), ("radius 1.5", np.log10(1.5))])
def test_at_rest_the_elman_network_is_linear_and_noise_saturates_it(name: str, slope: float) -> None:
    rest, fed = measure(symrnn.load("elman"), steps=200, seeds=2, size=8, initialisations=(name,)).curves
    assert rest.decay == pytest.approx(slope, abs=0.02)
    assert fed.decay < rest.decay - 0.02


@pytest.mark.parametrize(
    ("name", "biases"),
    [("lstm", {"b_f": 5}), ("gru", {"b_z": -5}), ("gru_keep", {"b_z": 5}), ("cifg", {"b_i": -5}), ("elman", {})],
)
def test_the_bias_that_holds_a_state_is_found(name: str, biases: dict[str, float]) -> None:
    derivation = derive(symrnn.load(name))
    assert opening(derivation, 4, paths_of(derivation)) == biases


def test_the_lstm_can_keep_what_the_elman_network_loses() -> None:
    elman, lstm = (measure(symrnn.load(n), steps=100, seeds=2, size=8) for n in ("elman", "lstm"))
    fed = [c.decay for c in elman.curves if c.setting == "fed with noise"]
    kept = next(c for c in lstm.curves if c.setting == "fed with noise" and "b_f = 5" in c.name)
    assert max(fed) < -0.02 and kept.decay > -0.01
    assert dict(kept.shares)["c: direct"] == 1


def test_shares_of_a_state_add_up() -> None:
    curve = measure(symrnn.load("gru"), steps=20, seeds=1, size=5, initialisations=("orthogonal",)).curves[-1]
    assert sum(share for _, share in curve.shares) == pytest.approx(1)
    assert {label for label, _ in curve.shares} == {"h: r → n", "h: z", "h: n", "h: direct"}


def test_the_jacobian_is_that_of_differences() -> None:
    rng = np.random.default_rng(0)
    derivation = derive(symrnn.load("lstm"))
    runs = Run(derivation, (Draw("orthogonal", INITIALISATIONS["orthogonal"]),), 1, 3, paths_of(derivation))
    alone = runs.lane(runs.forward(rng, 2, "fed with noise"), 0)
    jacobian = alone.jacobians()[1]
    row, eps = alone.rows[1], 1e-6
    for column, (prev, k) in enumerate([(p, k) for p in alone.order for k in range(3)]):
        ends = []
        for sign in (1, -1):
            moved = dict(row)
            moved[prev] = row[prev] + sign * eps * np.eye(3)[k]
            for s in alone.stage.statements:
                moved[s.out.name] = compute(s, moved, alone.sizes)
            ends.append(np.concatenate([moved[v].ravel() for v in alone.stage.feeds.values()]))
        assert np.allclose(jacobian[:, column], (ends[0] - ends[1]) / (2 * eps), atol=1e-8)


def test_norms_survive_underflow() -> None:
    jacobians = [np.eye(2) * 1e-5] * 100
    assert log_norms(jacobians)[-1] == pytest.approx(-500)
    assert lyapunov(jacobians)[0] == pytest.approx(-5 * np.log(10))


def test_pictures_and_numbers(tmp_path: Path) -> None:
    flow = measure(symrnn.load("gru"), steps=5, seeds=1, size=3)
    paths = plot.write(flow, tmp_path / "flow")
    assert [p.suffix for p in paths] == [".json", ".png", ".svg"] and all(p.stat().st_size > 500 for p in paths)
    assert json.loads(paths[0].read_text())["curves"][0]["name"] == next(iter(INITIALISATIONS))


def test_a_cell_without_recurrent_matrices_is_measured_once_a_setting() -> None:
    text = "input x[H]\nstate h[H]\nh = tanh(u * h[t-1] + x)"
    flow = measure(symrnn.parse(text, "own"), steps=5, seeds=1, size=3)
    assert [(c.setting, c.name) for c in flow.curves] == [(s, "none") for s in SETTINGS]
    opened = measure(symrnn.parse(text.replace("u *", "sigmoid(b_f) *"), "own"), steps=5, seeds=1, size=3)
    assert [c.name for c in opened.curves][:2] == ["none", "none, b_f = 5"]


def test_when_the_time_is_up_the_rest_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    def check(clock: Clock) -> None:
        nonlocal asked
        asked += 1
        if asked > 200:
            raise TimeUpError

    monkeypatch.setattr(Clock, "check", check)
    flow = measure(symrnn.load("elman"), steps=5, seeds=2, size=3)
    missing = len(SETTINGS) * len(INITIALISATIONS) - len(flow.curves)
    (told,) = flow.left_out
    assert flow.curves and told.startswith("time was up: ") and missing > 0
    partly = [c for c in flow.curves if c.seeds < 2]
    assert told.count(";") + 1 == missing + len(partly)


def test_a_bound_on_the_time_holds_within_a_run() -> None:
    start = time.monotonic()
    with pytest.raises(UsageError, match="in time"):
        measure(symrnn.load("mlstm"), steps=500, size=16, seconds=0.5)
    assert time.monotonic() - start < 15


def test_every_curve_is_told_as_soon_as_it_is_measured() -> None:
    seen: list[Progress] = []
    flow = measure(symrnn.load("elman"), steps=5, seeds=2, size=3, watch=seen.append)
    assert [p.curve for p in seen if p.curve is not None] == list(flow.curves)
    assert [p.done for p in seen] == sorted(p.done for p in seen) and seen[-1].done == seen[-1].total


def test_the_usual_size_keeps_the_state_small() -> None:
    for name in ("lstm", "mlstm", "deltanet", "fast_weights"):
        cell = symrnn.load(name)
        assert state_size(cell, default_size(cell)) <= STATE
    with pytest.raises(UsageError, match="smaller size"):
        measure(symrnn.load("mlstm"), size=64)


def test_jacobians_are_the_same_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    derivation = derive(symrnn.load("lstm"))
    run = Run(derivation, (Draw("orthogonal", INITIALISATIONS["orthogonal"]),), 1, 3, paths_of(derivation))
    alone = run.lane(run.forward(np.random.default_rng(0), 7, "fed with noise"), 0)
    whole = alone.jacobians()
    monkeypatch.setattr(runs, "BLOCK", 6 * 3 * 2)
    assert len(whole) == 7 and np.array_equal(whole, alone.jacobians())


def test_parameters_start_as_the_cell_says() -> None:
    text = (
        "input x[H]\nstate h[H]\nparam Q[H, H] = identity\nparam a[H] = 1e-3\nparam b[H] = -2\nparam c[H] = ones\n"
        "h = tanh(Q @ x + a * b * c * h[t-1])"
    )
    derivation = derive(symrnn.parse(text, "own"))
    fixed = Run(derivation, (Draw("none", INITIALISATIONS["orthogonal"]),), 1, 3, paths_of(derivation)).fixed
    assert np.array_equal(fixed["Q"][0], np.eye(3))
    assert [fixed[n][0, 0] for n in "abc"] == [1e-3, -2, 1]


def test_the_command_prints_a_line_a_curve_and_how_it_was_measured(tmp_path: Path) -> None:
    args = ["flow", "elman", "--T", "5", "--seeds", "1", "--size", "3", "-o", str(tmp_path)]
    lines = CliRunner().invoke(app, args).stdout.splitlines()
    assert lines[0].split() == ["setting", "log₁₀", "per", "step", "leading", "exponent", "recurrent", "matrices"]
    assert [line.split("  ")[0] for line in lines[1:11]] == ["at rest"] * 5 + ["fed with noise"] * 5
    assert lines[11] == "size 3, steps 5, seeds 1" and all(line.startswith("wrote ") for line in lines[12:])


def test_mistakes_are_told() -> None:
    with pytest.raises(UsageError, match="no state"):
        measure(symrnn.load("dense"))
    with pytest.raises(UsageError, match="at least 1"):
        measure(symrnn.load("gru"), steps=0)
    with pytest.raises(UsageError, match="above 0"):
        measure(symrnn.load("gru"), seconds=float("nan"))
    with pytest.raises(UsageError, match="no initialisation"):
        measure(symrnn.load("gru"), initialisations=("magic",))


def test_without_matplotlib_the_numbers_are_written_and_a_note_says_what_pictures_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plot, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = CliRunner().invoke(app, ["flow", "elman", "--T", "5", "--seeds", "1", "--size", "3", "-o", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert [p.name for p in tmp_path.iterdir()] == ["flow_elman.json"]
    assert result.stderr == "note: pictures need matplotlib: pip install 'symrnn[demo]'\n"
    assert "flow_elman.json" in result.stdout and "png" not in result.stdout
