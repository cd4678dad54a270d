"""Every gallery cell against a forward step written by hand from the paper."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import symrnn
from symrnn.language.cell import Cell, Variable
from symrnn.meaning import evaluate

HERE = Path(__file__).parent
PACKAGE = Path(symrnn.__file__).parent
CELLS = sorted(path.stem for path in (PACKAGE / "cells").glob("*.cell"))
HEADS = sorted(path.stem for path in (PACKAGE / "heads").glob("*.cell"))
ORACLES = sorted(path.stem for path in (HERE / "oracles").glob("[!_]*.py"))
SIZES = (5, 3, 7, 2)
BATCH, STEPS, SEEDS = 3, 4, 3

Arrays = dict[str, np.ndarray]

#: Values that the papers keep in a range: sums of weights and mixing scales are positive, times too.
POSITIVE = {
    ("linear_attention", "z"),
    ("lstm_gaussian", "sigma"),
    ("lstm_time_aware", "delta"),
    ("performer", "z"),
    ("rwkv", "b"),
    ("slstm", "n"),
    ("gru_d", "delta"),
}
#: Values that are zero or one.
BINARY = {("gru_d", "m")}
#: Values between zero and one.
FRACTIONS = {("skip_rnn", "p")}


def subject(name: str) -> Cell:
    """The cell or head that an oracle is about."""
    return symrnn.load(f"heads/{name.removeprefix('head_')}" if name.startswith("head_") else name)


def oracle(name: str) -> Callable[..., tuple[Arrays, Arrays]]:
    """The hand-written step of that name."""
    step: Callable[..., tuple[Arrays, Arrays]] = importlib.import_module(f"oracles.{name}").step
    return step


def length(axis: str, sizes: dict[str, int]) -> int:
    """The length of an axis; H+I is as long as H and I."""
    return sum(sizes[part] for part in axis.split("+"))


class Draw:
    """Random values for one cell, in float64, the same for the same seed."""

    def __init__(self, name: str, seed: int) -> None:
        """Load the cell and give each of its axes a different prime length."""
        self.name, self.rng = name, np.random.default_rng(seed)
        self.cell = subject(name)
        used = dict.fromkeys(p for v in self.cell.variables for a in v.axes for p in a.split("+"))
        self.sizes = dict(zip(used, np.roll(SIZES, seed), strict=False))
        assert set(self.sizes) == set(used), f"{name} has more axes than there are sizes"

    def values(self, variable: Variable, *lead: int) -> np.ndarray:
        """An array for this variable with `lead` axes before its own."""
        key = (self.name, variable.name)
        drawn = self.rng.standard_normal((*lead, *(length(a, self.sizes) for a in variable.axes)))
        if key in POSITIVE:
            return np.abs(drawn) + 0.1
        if key in BINARY:
            return (drawn > 0).astype(float)
        return 1 / (1 + np.exp(-drawn)) if key in FRACTIONS else drawn

    def state(self, start: str) -> Arrays:
        """Previous values of everything carried: zeros, or random and large enough to reach clips and kinks."""
        key = {c.name: Variable(c.of, "state", c.axes) for c in self.cell.carries}
        scale = {"zeros": 0.0, "random": 1.0, "large": 4.0}[start]
        return {k: scale * self.values(v, BATCH) for k, v in key.items()}


def unroll(name: str, params: Arrays, inputs: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    """Run the oracle over all steps; outputs are stacked over time."""
    step, rows = oracle(name), []
    for t in range(STEPS):
        out, state = step(params, {k: v[t] for k, v in inputs.items()}, state, t)
        rows.append(out)
    return {k: np.stack([row[k] for row in rows]) for k in rows[0]}, state


def test_every_cell_has_an_oracle_and_every_oracle_a_cell() -> None:
    assert sorted([*CELLS, *(f"head_{h}" for h in HEADS)]) == ORACLES
    assert len(CELLS) >= 45
    assert len(HEADS) >= 4


def test_oracles_import_nothing_of_symrnn() -> None:
    for path in (HERE / "oracles").glob("*.py"):
        assert "import symrnn" not in path.read_text(), path
        assert "from symrnn" not in path.read_text(), path


@pytest.mark.parametrize("start", ["zeros", "random", "large"])
@pytest.mark.parametrize("name", ORACLES)
def test_a_cell_agrees_with_its_oracle(name: str, start: str) -> None:
    for seed in range(SEEDS):
        draw = Draw(name, seed)
        cell = draw.cell
        params = {v.name: draw.values(v) for v in cell.params}
        inputs = {v.name: draw.values(v, STEPS, BATCH) for v in cell.inputs}
        if "target" in inputs and name == "head_softmax_cross_entropy":
            inputs["target"] = np.eye(inputs["target"].shape[-1])[inputs["target"].argmax(axis=-1)]
        state = draw.state(start)
        outputs, final = evaluate.run(cell, params, inputs, state)
        expected, expected_final = unroll(name, params, inputs, state)
        _same(expected, outputs)
        _same(expected_final, final)


def _same(expected: Arrays, found: Arrays) -> None:
    assert set(expected) == set(found)
    for key, value in expected.items():
        assert np.isfinite(value).all(), key
        np.testing.assert_allclose(found[key], value, rtol=1e-12, atol=1e-13, err_msg=key)
