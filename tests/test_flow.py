"""What the gradient does, measured: known spectra give known slopes, and gates keep what weights lose."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import symrnn
from symrnn.cli import app
from symrnn.derive import derive
from symrnn.errors import UsageError
from symrnn.flow import measure, plot
from symrnn.flow.measure import INITIALISATIONS, SETTINGS, Draw, _Run, log_norms, lyapunov, opening
from symrnn.pages.world import compute

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
    assert opening(derive(symrnn.load(name)), 4) == biases


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
    runs = _Run(derive(symrnn.load("lstm")), (Draw("orthogonal", INITIALISATIONS["orthogonal"]),), 1, 3)
    alone = runs.lane(runs.forward(rng, 2, "fed with noise"), 0)
    jacobian = alone.jacobians()[1]
    row, eps = alone.rows[1], 1e-6
    for column, (prev, k) in enumerate([(p, k) for p in alone.order for k in range(3)]):
        ends = []
        for sign in (1, -1):
            moved = dict(row)
            moved[prev] = row[prev] + sign * eps * np.eye(3)[k]
            for s in alone.step.statements:
                moved[s.out.name] = compute(s, moved.__getitem__, alone.step.values, alone.sizes)
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


def test_mistakes_are_told() -> None:
    with pytest.raises(UsageError, match="no state"):
        measure(symrnn.load("dense"))
    with pytest.raises(UsageError, match="at least 1"):
        measure(symrnn.load("gru"), steps=0)
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
