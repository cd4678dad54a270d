"""Two cells side by side: only what differs is shown, and the misprinted LSTM shows its damage."""

from __future__ import annotations

import pytest

import symrnn
from symrnn.diff import compare, markdown, text
from symrnn.errors import UsageError

GREFF = {"nig": "i", "nfg": "f", "nog": "o", "niaf": "z", "noaf": "y", "cifg": "f"}


def test_a_cell_does_not_differ_from_itself() -> None:
    found = compare(symrnn.load("gru"), symrnn.load("gru"))
    assert not found.equations and not found.jacobian and not found.gradients
    assert found.sizes[0] == found.sizes[1] and found.parameters == ((), ())
    assert "no difference" in text(found) and "No difference" in markdown(found)


def test_the_misprint_cuts_the_gates_off_from_the_loss_of_their_step() -> None:
    found = compare(symrnn.load("lstm"), symrnn.load("lstm_misprint"))
    assert [c.left.name for c in found.equations] == ["h"]  # type: ignore[union-attr]
    shown = text(found)
    assert "− oₜ ⊙ tanh(cₜ)" in shown and "+ oₜ ⊙ tanh(cₜ₋₁)" in shown
    assert "− δhₜ ⊙ oₜ ⊙ (1 − tanh(cₜ)²)" in shown and "+ δhₜ₊₁ ⊙ oₜ₊₁ ⊙ (1 − tanh(cₜ)²)" in shown


@pytest.mark.parametrize(("name", "changed"), GREFF.items())
def test_greffs_variants_change_one_equation(name: str, changed: str) -> None:
    found = compare(symrnn.load("lstm_peephole"), symrnn.load(name))
    assert [c.left.name for c in found.equations] == [changed]  # type: ignore[union-attr]
    assert found.sizes[1].forward_flops < found.sizes[0].forward_flops


def test_numbers() -> None:
    found = compare(symrnn.load("elman"), symrnn.load("gru"), size=10)
    assert found.sizes[0].parameters == 10 * 10 * 2 + 10
    assert found.sizes[1].parameters == 3 * found.sizes[0].parameters
    assert found.sizes[0].saved_bytes < found.sizes[1].saved_bytes


def test_markdown_is_a_table() -> None:
    lines = markdown(compare(symrnn.load("lstm"), symrnn.load("gru"))).splitlines()
    assert "| | both | only lstm | only gru |" in lines
    assert all(line.count("|") == 5 for line in lines if line.startswith("| $"))


def test_mistakes_are_told() -> None:
    with pytest.raises(UsageError, match="at least 1"):
        compare(symrnn.load("gru"), symrnn.load("lstm"), size=0)
