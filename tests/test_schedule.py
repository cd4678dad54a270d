"""Every pass leaves the meaning of every program alone; a pass that does not is refused or found out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
from points import Point, point

import symrnn
import symrnn.schedule
from symrnn.calculus.derive import derive, derive_tangent
from symrnn.calculus.ir import AlongAxis, Contraction, Peak, Pointwise, Statement
from symrnn.meaning import interpret
from symrnn.schedule import HVP, INFER, KERNEL_ORDER, ORDER, PASSES, schedule
from symrnn.schedule.program import Program

CELLS = symrnn.gallery()


def gradients(program: Program, p: Point) -> dict[str, np.ndarray]:
    known = interpret.forward(program, p.params | p.inputs, p.state, p.sizes)
    leaves, start = interpret.backward(program, known, p.dy, p.dstate, p.sizes)
    outputs = {v.name: known[v.name] for v in program.derivation.cell.outputs}
    return outputs | {f"d {k}": v for k, v in leaves.items()} | {f"dstate {k}": v for k, v in start.items()}


@pytest.mark.parametrize("names", [ORDER, KERNEL_ORDER], ids=["arrays", "kernels"])
@pytest.mark.parametrize("name", CELLS)
def test_passes_keep_the_meaning(name: str, names: tuple[str, ...]) -> None:
    cell = symrnn.load(name)
    derivation, p = derive(cell), point(cell)
    reference = gradients(schedule(derivation, ()), p)
    for k in range(1, len(names) + 1):
        found = gradients(schedule(derivation, names[:k]), p)
        assert found.keys() == reference.keys()
        for quantity, expected in reference.items():
            np.testing.assert_allclose(
                found[quantity], expected, rtol=1e-11, atol=1e-12, err_msg=f"{names[k - 1]}: {quantity}"
            )


@pytest.mark.parametrize("equation", ["h = erf(b) * elu(x - x) + h[t-1]", "h = gelu(x - x) * h[t-1] + b"])
def test_operands_that_cancel_out_are_not_read(equation: str) -> None:
    cell = symrnn.parse(f"input x[H]\nstate h[H]\n{equation}\n")
    derivation, p = derive(cell), point(cell)
    reference, found = gradients(schedule(derivation, ()), p), gradients(schedule(derivation), p)
    for quantity, expected in reference.items():
        np.testing.assert_allclose(found[quantity], expected, rtol=1e-12, atol=1e-13, err_msg=quantity)


def test_passes_are_listed() -> None:
    folder = Path(symrnn.__file__).parent / "schedule"
    others = {"__init__", "program", "products", "place", "kinds", "cost", "together"}
    assert {f.stem for f in folder.glob("*.py")} - others == set(PASSES)
    assert set(PASSES) == {*ORDER, *KERNEL_ORDER, "states"}


def lstm() -> Program:
    return schedule(derive(symrnn.load("lstm")))


def with_loop(program: Program, name: str, loop: tuple[Statement, ...]) -> Program:
    return program.with_sweep(replace(program.sweep(name), loop=loop))


def test_a_pass_that_drops_a_statement_is_refused() -> None:
    program = lstm()
    with pytest.raises(AssertionError, match="before it is defined"):
        with_loop(program, "forward", program.sweep("forward").loop[1:]).check()


def test_a_pass_that_reorders_is_refused() -> None:
    program = lstm()
    with pytest.raises(AssertionError, match="before it is defined"):
        with_loop(program, "backward", program.sweep("backward").loop[::-1]).check()


def test_a_pass_that_assigns_twice_is_refused() -> None:
    program = lstm()
    with pytest.raises(AssertionError, match="assigned twice"):
        with_loop(program, "forward", (*program.sweep("forward").loop, program.sweep("forward").loop[0])).check()


def test_a_pass_that_forgets_the_time_label_is_refused() -> None:
    program = lstm()
    part = replace(
        program.sweep("backward"), before=(), loop=(*program.sweep("backward").before, *program.sweep("backward").loop)
    )
    with pytest.raises(AssertionError):
        program.with_sweep(part).check()


def test_a_pass_that_changes_a_sign_is_found_out() -> None:
    program, p = lstm(), point(symrnn.load("lstm"))
    last = program.sweep("backward").loop[-1]
    assert isinstance(last, Pointwise)
    mutant = with_loop(program, "backward", (*program.sweep("backward").loop[:-1], replace(last, expr=-last.expr)))
    good, bad = gradients(program, p), gradients(mutant.check(), p)
    assert any(not np.allclose(good[k], bad[k]) for k in good)


def dropping(program: Program) -> Program:
    return with_loop(program, "forward", program.sweep("forward").loop[1:])


@pytest.mark.parametrize("name", PASSES)
def test_every_pass_is_verified_when_it_has_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PASSES, name, dropping)
    with pytest.raises(AssertionError, match="before it is defined"):
        schedule(derive(symrnn.load("lstm")), [name])


def test_the_first_blocks_are_verified_before_any_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = symrnn.schedule.place
    monkeypatch.setattr(symrnn.schedule, "place", lambda derivation, entry: dropping(honest(derivation, entry)))
    with pytest.raises(AssertionError, match="before it is defined"):
        schedule(derive(symrnn.load("lstm")), ())


def test_what_would_be_too_long_or_too_large_stays_apart() -> None:
    """A chain of equations, each read once by the next; and constants whose product no float64 can hold."""
    chain = "\n".join(f"a{k + 1} = a{k} + b{k}" for k in range(200))
    params = ", ".join(f"b{k}[N]" for k in range(200))
    long = schedule(derive(symrnn.parse(f"input x[N]\noutput a200\nparam {params}\na0 = sin(x)\n{chain}")))
    lengths = [
        len(list(sp.preorder_traversal(s.expr))) for s in long.sweep("forward").statements() if isinstance(s, Pointwise)
    ]
    assert 50 < max(lengths) <= 100
    large = schedule(derive(symrnn.parse("input x[N]\noutput y\na = 1e200 * x\ny = 1e200 * a")))
    assert [s.out.name for s in large.sweep("forward").statements()] == ["a", "y"]


def test_products_and_weight_gradients_leave_the_loop() -> None:
    program = schedule(derive(symrnn.load("lstm")), [name for name in ORDER if name != "concat"])
    in_loop = [s for sweep in program.sweeps for s in sweep.loop if isinstance(s, Contraction)]
    assert len(in_loop) == 8, "only the recurrent products, four forward and four backward, stay inside"
    assert all(any(a.name.startswith("U_") for a in s.args) for s in in_loop)


def test_what_leaves_the_loop_is_called_after_what_it_is() -> None:
    """A second value of one name after the last that enters it, and one too long to read after the adjoint alone."""
    program = schedule(derive(symrnn.load("lstm_layernorm")), entry=INFER)
    made = {s.out.name for s in program.sweep("infer").before}
    assert {"b_i_in", "b_g_in"} <= made and not {n for n in made if n.startswith("c_in")} - {"c_in"}
    back = {s.out.name for s in schedule(derive_tangent(symrnn.load("lem")), entry=HVP).sweep("hvp_backward").before}
    assert {"local_dot_dt_1_pre", "local_dot_dt_2_pre"} <= back
    assert max(map(len, back)) <= 30


def test_the_reverse_loop_calls_no_function_and_multiplies_ready_local_derivatives() -> None:
    for s in lstm().sweep("backward").loop:
        if isinstance(s, Pointwise):
            assert not s.expr.atoms(sp.Function) and not s.expr.atoms(sp.Pow)


def test_what_follows_the_recurrence_is_batched() -> None:
    lru = schedule(derive(symrnn.load("lru")))
    assert [s.out.name for s in lru.sweep("forward").loop] == ["h_re", "h_im"]
    assert [s.out.name for s in lru.sweep("forward").after] == ["C_re_h_re", "C_im_h_im", "y"]
    mingru = schedule(derive(symrnn.load("mingru")))
    assert not any(isinstance(s, Contraction) for s in (x for sweep in mingru.sweeps for x in sweep.loop))


def test_a_cell_without_state_has_no_loop() -> None:
    program = schedule(derive(symrnn.load("dense")))
    assert program.sweep("forward").loop == () and program.sweep("backward").loop == ()


def test_what_functions_of_an_axis_share_is_computed_once() -> None:
    """Forward and backward: logsumexp and softmax of one value have one maximum, and its powers are not taken again."""
    cell = symrnn.parse("input x[N]\nstate h[N]\noutput h, y\ny = logsumexp(x)\nh = x * softmax(x) + h[t-1] * y", "two")
    program = schedule(derive(cell), ["expand"])
    statements = list(program.statements())
    powers = [s.out.symbol for s in statements if isinstance(s, Pointwise) and s.expr.func.__name__ == "exp"]
    assert len(powers) == sum(isinstance(s, Peak) for s in statements) == 1
    assert sum(isinstance(s, Pointwise) and powers[0] in s.expr.free_symbols for s in statements) == 1, "the softmax"
    assert not any(isinstance(s, AlongAxis) for s in statements)
