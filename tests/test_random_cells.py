"""Cells nobody wrote: drawn from the whole language, each proved by the check.

The slow run has fresh seeds each time; a failure prints its own, and `python tests/random_faults.py --replay SEED`
shows the cell, whole and shrunk.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from itertools import islice
from types import ModuleType

import pytest
import random_faults
from random_faults import Found, find, judge
from random_features import FEATURES, drawn, everything
from random_language import draw

import symrnn
from symrnn.language.cell import Cell
from symrnn.language.parse import _OPERATORS
from symrnn.loading import module_to_check
from symrnn.native import compiler

REFUSED, NOT_JUDGED = 0.2, 0.2


def told(found: list[Found]) -> str:
    return "\n".join(f"seed {f.seed}: {f.fault}\n{f.text}\n{f.said}" for f in found)


# -- what is drawn -----------------------------------------------------------------------------------------------


def test_the_whole_language_is_drawn_and_mostly_understood() -> None:
    held, refused = Counter[str](), Counter[str]()
    count = 500
    for k in range(count):
        try:
            held.update(drawn(symrnn.parse(draw(k).text)))
        except symrnn.CellError as error:
            refused[error.kind] += 1
    assert sum(refused.values()) <= REFUSED * count, refused
    assert everything() - held.keys() == set()


def test_everything_that_the_parser_knows_is_asked_for() -> None:
    assert {*_OPERATORS.values(), "neg", ".T"} <= everything()


def test_features_are_read_off_the_cell() -> None:
    plain = drawn(symrnn.parse("input x[H]\nstate h[H]\nh = tanh(x + h[t-1])\n"))
    assert plain & FEATURES.keys() == {
        "a input of rank 1",
        "a state of rank 1",
        "a state read 1 steps ago",
    }


def test_a_seed_says_everything() -> None:
    assert [draw(f"same {k}").text for k in range(20)] == [draw(f"same {k}").text for k in range(20)]


# -- what becomes of it ------------------------------------------------------------------------------------------


def test_a_fault_is_found_and_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every softmax compiled as a layer_norm, cells that hold one are wrong, and little else is left of them."""

    def mistaken(cell: Cell, backend: str) -> ModuleType:
        return module_to_check(symrnn.parse(cell.source.replace("softmax", "layer_norm"), cell.name), backend)

    monkeypatch.setattr(random_faults, "module_to_check", mistaken)
    seeds = (f"planted {k}" for k in range(60) if "softmax" in draw(f"planted {k}").text)
    wrong = list(islice((f for f in (find(seed, ("numpy",)) for seed in seeds) if f.kind == "wrong"), 2))
    assert len(wrong) == 2
    for found in wrong:
        assert "softmax" in found.text and found.fault.startswith("numpy: "), told([found])
        assert found.text.count(" = ") <= 2 and len(found.text) < len(draw(found.seed).text), told([found])


def test_what_cannot_be_judged_is_told_apart() -> None:
    header = "input x[H]\noutput y\n"
    assert judge(header + "y = x @ x @ x\n").kind == "refused"
    assert judge(header + "y = x / (x - x)\n").kind == "refused"
    assert judge(header + "y = log(-abs(x))\n").kind == "not judged"
    assert judge(header + "y = tanh(x)\n").kind == "right"


def test_some_random_cells_are_derived_right() -> None:
    found = [find(f"quick {k}", ("numpy",)) for k in range(18)]
    assert not (wrong := [f for f in found if f.kind == "wrong"]), told(wrong)
    assert sum(f.kind == "right" for f in found) >= 9


@pytest.mark.slow
@pytest.mark.skipif(compiler.compiler() is None, reason="no C++ compiler: install g++ or clang++")
def test_six_hundred_random_cells_are_derived_right() -> None:
    seed, count = os.environ.get("SYMRNN_RANDOM_SEED") or str(random.randrange(10**6)), 600
    print(f"SYMRNN_RANDOM_SEED={seed}")
    found = [find(f"{seed}.{k}") for k in range(count)]
    kinds = Counter(f.kind for f in found)
    assert not (wrong := [f for f in found if f.kind == "wrong"]), told(wrong)
    assert kinds["refused"] <= REFUSED * count, kinds
    assert kinds["not judged"] <= NOT_JUDGED * count, kinds
    held = set().union(*(f.holds for f in found))
    assert everything() - held == set()


def test_pages_of_some_random_cells_are_true() -> None:
    found = [find(f"page {k}", ("page",)) for k in range(30)]
    assert not (wrong := [f for f in found if f.kind == "wrong"]), told(wrong)
    assert sum(f.kind == "right" for f in found) >= 16
