"""The cost model counts what programs do; the pass that uses it saves less and takes hardly more time."""

from __future__ import annotations

import sys
from dataclasses import astuple

import numpy as np
import pytest
from points import point

import symrnn
from symrnn.calculus.derive import derive
from symrnn.calculus.ir import Contraction, Pointwise, Ref
from symrnn.emit import emit
from symrnn.loading import module_of
from symrnn.schedule import ORDER, cost, schedule
from symrnn.schedule.cost import Cost, lengths, symbolic, usual
from symrnn.schedule.program import Program
from symrnn.targets import numpy

CELLS = symrnn.gallery()
RECOMPUTE = sys.modules["symrnn.schedule.recompute"]  # a function of that name hides the module


def program(name: str, without: str = "") -> Program:
    return schedule(derive(symrnn.load(name)), [p for p in numpy.PASSES if p != without])


def test_the_formula_of_a_product_and_of_a_map() -> None:
    """A GEMM of B×H by H×K reads both, writes B×K, and multiplies and adds; a map moves what its calls hand on."""
    T, B, H, K = (symbolic(x) for x in ("@T", "@B", "H", "K"))
    product = Contraction(Ref("y", ("@B", "K")), (Ref("x", ("@B", "H")), Ref("W", ("H", "K"))))
    assert cost.of_statement(product, symbolic) == Cost(4 * (B * H + H * K + B * K), 2 * B * H * K, 1)
    total = Contraction(Ref("s", ("H",)), (Ref("d", ("@T", "@B", "H")),))
    assert cost.of_statement(total, symbolic) == Cost(4 * (T * B * H + H), T * B * H, 1)
    a, b = Ref("a", ("@B", "H")), Ref("b", ("H",))
    one = Pointwise(Ref("c", ("@B", "H")), a.symbol * b.symbol + 1, (a, b))
    assert cost.of_statement(one, symbolic) == Cost(4 * (4 * B * H + H), 2 * B * H, 2)


@pytest.mark.parametrize("name", CELLS)
def test_formulas_and_numbers_agree(name: str) -> None:
    """Also that a block is the sum of its statements, those of the loop T times."""
    sizes = {"T": 7, "B": 3, **dict(zip(symrnn.load(name).axes, (2, 5, 11, 13), strict=False))}
    values = {symbolic({"T": "@T", "B": "@B"}.get(a, a)): n for a, n in sizes.items()}
    for sweep in (found := program(name)).sweeps:
        for block, statements in sweep.blocks():
            formula = cost.of_block(sweep, block, symbolic)
            number = cost.of_block(sweep, block, lengths(sizes))
            assert [getattr(x, "subs", lambda _, x=x: x)(values) for x in astuple(formula)] == list(astuple(number))
            alone = cost.total(cost.of_statement(s, lengths(sizes)) for s in statements)
            assert number == alone.times(7 if block == "loop" else 1)
    assert cost.tape_bytes(found, symbolic).subs(values) == cost.tape_bytes(found, lengths(sizes))


@pytest.mark.parametrize("name", CELLS)
def test_tape_bytes_are_those_of_the_module(name: str) -> None:
    cell = symrnn.load(name)
    p = point(cell).of("float32")
    _, _, tape = module_of(cell, "numpy", emit(cell)).forward(p.params, p.x, p.state)
    arrays = [a for a in tape if isinstance(a, np.ndarray | np.generic)]
    assert cost.tape_bytes(program(name), lengths(p.sizes)) == sum(a.nbytes for a in arrays)


@pytest.mark.parametrize("name", CELLS)
def test_computing_again_saves_bytes_and_takes_hardly_more_time(name: str) -> None:
    there, gone = program(name), program(name, "recompute")
    assert cost.tape_bytes(there, usual) <= cost.tape_bytes(gone, usual)
    seconds = [cost.of_sweep(p.sweeps[-1], usual).seconds for p in (there, gone)]
    assert seconds[0] <= 1.05 * seconds[1]


def test_what_is_cheap_is_not_saved_and_what_is_dear_is() -> None:
    assert "r_h" in program("gru", "recompute").saved
    assert "r_h" not in program("gru").saved
    cell = symrnn.parse("input x[H]\nstate h[H]\na = sigmoid(x)\nb = sigmoid(a)\nh = a * b + h[t-1] * a")
    found = schedule(derive(cell), ORDER)
    assert "b" in found.saved


def test_without_a_share_of_the_time_all_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RECOMPUTE, "SHARE", 0.0)
    assert program("gru").saved == program("gru", "recompute").saved
