"""Products become one where they share an operand or a sum; nothing else changes, and names say what lies together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
from points import Point, alone, point
from test_schedule import gradients

import symrnn
from symrnn.calculus.derive import derive
from symrnn.calculus.ir import Concat, Ref, Slice, Statement
from symrnn.emit import emit
from symrnn.language.cell import Cell
from symrnn.loading import module_to_check
from symrnn.schedule import KERNEL_ORDER, ORDER, Entries, schedule
from symrnn.schedule.concat import _Concat
from symrnn.schedule.products import outer, times
from symrnn.schedule.program import Program
from symrnn.schedule.together import together

WITHOUT = tuple(name for name in ORDER if name != "concat")
KERNELS_WITHOUT = tuple(name for name in KERNEL_ORDER if name != "concat_in_place")
BACKENDS = ("numpy", "cpp", "cuda")
#: Products that meet in ways which no cell of the gallery has.
MEETINGS = {
    "gates of two lengths": """
        input x[I]
        state h[H], s[S]
        a = sigmoid(W_a @ x + U_a @ h[t-1] + b_a)
        e = sigmoid(W_e @ x + U_e @ h[t-1] + b_e)
        s = e * s[t-1] + V @ a
        h = a * tanh(h[t-1]) + P @ s
    """,
    "matrices transposed": """
        input x[I]
        state h[H]
        param U[H, H], V[H, H]
        x_1 = W @ x
        h = tanh(U.T @ h[t-1] + x_1) * sigmoid(V @ h[t-1] + x_1)
    """,
    "names too long for a line": """
        input x[I]
        state h[H]
        first_gate_of_several = sigmoid(U_1 @ h[t-1] + W_1 @ x)
        second_gate_of_several = sigmoid(U_2 @ h[t-1] + W_2 @ x)
        third_gate_of_several = sigmoid(U_3 @ h[t-1] + W_3 @ x)
        fourth_gate_of_several = sigmoid(U_4 @ h[t-1] + W_4 @ x)
        h = first_gate_of_several * second_gate_of_several + third_gate_of_several * fourth_gate_of_several
    """,
    "one matrix twice": """
        input x[H]
        state h[H]
        a = tanh(U @ h[t-1] + W @ x)
        e = sigmoid(U @ h[t-1] + V @ h[t-1] + W @ a)
        h = a * e
    """,
    "matrices computed": """
        input x[I]
        state h[H]
        a = tanh(exp(U_a) @ h[t-1] + W_a @ x)
        e = sigmoid(exp(U_e) @ h[t-1] + W_e @ x)
        h = a * e
    """,
    "sums that overlap": """
        input x[I], u[K]
        state h[H], s[H]
        a = tanh(A_h @ h[t-1] + A_x @ x + A_u @ u)
        e = tanh(E_h @ h[t-1] + E_s @ s[t-1] + E_x @ x + E_u @ u)
        o = tanh(O_s @ s[t-1] + O_x @ x)
        q = tanh(Q_s @ s[t-1] + Q_u @ u)
        h = a * e
        s = o * q
    """,
    "a part is an output": """
        input x[I]
        state h[H]
        output h, p
        p = U_p @ h[t-1]
        a = sigmoid(p + b_a)
        e = sigmoid(U_e @ h[t-1] + b_e)
        h = a * e + W @ x
    """,
    "a part is read twice": """
        input x[I]
        state h[H]
        p = U_p @ h[t-1]
        q = U_q @ h[t-1]
        a = sigmoid(p + b_a)
        e = sigmoid(q + b_e)
        h = a * e * p + W @ x
    """,
    "one bias": """
        input x[I]
        state h[H]
        a = sigmoid(U_a @ h[t-1] + b)
        e = sigmoid(U_e @ h[t-1] + b)
        h = a * e + W @ x
    """,
    "summands in another order": """
        input x[I]
        state h[H]
        a = sigmoid(U_a @ h[t-1] + b_a)
        e = sigmoid(b_e + U_e @ h[t-1])
        h = a * e + W @ x
    """,
    "a bias subtracted": """
        input x[I]
        state h[H]
        a = tanh(U_a @ h[t-1] + W_a @ x - b_a)
        e = tanh(U_e @ h[t-1] + W_e @ x - b_e)
        h = a * e
    """,
    "a sum between the steps of a row": """
        input x[I]
        state h[H]
        param V_r[H, H]
        a = W_a @ x + U_a @ h[t-1]
        q = a * tanh(W_g @ x)
        r = sigmoid(W_r @ x + V_r @ q)
        z = sigmoid(W_z @ x + V_z @ q)
        h = r * h[t-1] + z * q
    """,
    "two rows that a sum wants": """
        input x[I]
        state h[H], s[H]
        a = tanh(A_h @ h[t-1])
        b = tanh(B_h @ h[t-1] + B_x @ x)
        c = tanh(C_s @ s[t-1] + C_x @ x)
        d = tanh(D_s @ s[t-1])
        h = a * b
        s = c * d
    """,
    "the joined names are taken": """
        input x[W_ae]
        state h[U_ae]
        a = tanh(W_a @ x + U_a @ h[t-1] + b_a)
        e = sigmoid(W_e @ x + U_e @ h[t-1] + b_e)
        b_ae = a * e
        h = b_ae * ae_in
    """,
    "joined names that a module has": """
        input x[I]
        state h[H]
        np_x = W @ x
        a = tanh(n @ h[t-1] + np_x)
        e = sigmoid(p @ h[t-1] + np_x)
        h = a * e
    """,
    "concatenated in another order": """
        input x[I]
        state h[H]
        param U_a[H, H], U_e[K, H]
        a = U_a @ h[t-1]
        e = U_e @ h[t-1]
        both = concat(e, a)
        h = tanh(V @ both + W @ x) * a
    """,
    "the same function of every product": """
        input x[H]
        state h[H]
        a = sigmoid(U_a @ h[t-1] + b_a)
        e = sigmoid(U_e @ h[t-1] + b_e)
        h = a * h[t-1] + e * x
    """,
}


def meeting(name: str) -> Cell:
    return symrnn.parse(dedent(MEETINGS[name]), "meeting")


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for quantity, value in expected.items():
        np.testing.assert_allclose(found[quantity], value, rtol=1e-11, atol=1e-12, err_msg=quantity)


@pytest.mark.parametrize(
    ("passes", "without"), [(ORDER, WITHOUT), (KERNEL_ORDER, KERNELS_WITHOUT)], ids=["arrays", "kernels"]
)
@pytest.mark.parametrize("name", MEETINGS)
def test_the_meaning_is_kept(name: str, passes: tuple[str, ...], without: tuple[str, ...]) -> None:
    cell = meeting(name)
    derivation, p = derive(cell), point(cell)
    joined, apart = schedule(derivation, passes), schedule(derivation, without)
    assert made(joined, apart), "the pass did nothing"
    assert_same(gradients(joined, p), gradients(apart, p))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", MEETINGS)
def test_the_module_computes_it(name: str, backend: str) -> None:
    cell = meeting(name)
    module, p = module_to_check(cell, backend), point(cell)
    y, _, tape = module.forward(p.params, p.x, p.state)
    dparams, dx, dstart = module.backward(p.params, tape, alone(p.dy), p.dstate)
    found: dict[str, Any] = y if isinstance(y, dict) else {cell.outputs[0].name: y}
    found = found | {f"d {k}": a for k, a in (dparams | (dx if isinstance(dx, dict) else {"x": dx})).items()}
    assert_same(found | {f"dstate {k}": a for k, a in dstart.items()}, gradients(schedule(derive(cell), WITHOUT), p))


def made(joined: Program, apart: Program) -> set[str]:
    return joined.values.keys() - apart.values.keys()


def count(program: Program, find: Callable[[Statement, Program], object], *blocks: str) -> tuple[int, int]:
    """How many such products the blocks have, forward and backward."""
    parts = program.sweeps
    return tuple(sum(find(s, program) is not None for b in blocks for s in getattr(p, b)) for p in parts)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("name", "apart", "together"),
    [
        ("lstm", (4, 4), (1, 1)),
        ("gru", (3, 3), (2, 2)),
        ("gru_reset_after", (3, 3), (1, 1)),
        ("lstm_layernorm", (4, 4), (1, 1)),
        ("lstm_concat", (4, 4), (1, 1)),
        ("gru_d", (6, 6), (3, 3)),
    ],
)
def test_how_many_products_a_step_has(name: str, apart: tuple[int, int], together: tuple[int, int]) -> None:
    derivation = derive(symrnn.load(name))
    assert count(schedule(derivation, WITHOUT), times, "loop") == apart
    assert count(schedule(derivation), times, "loop") == together


def test_matrices_of_different_lengths_make_one_product() -> None:
    derivation = derive(meeting("gates of two lengths"))
    apart, joined = schedule(derivation, WITHOUT), schedule(derivation)
    assert count(apart, times, "before", "loop") == (6, 4) and count(apart, outer, "after") == (0, 6)
    assert count(joined, times, "before", "loop") == (4, 3) and count(joined, outer, "after") == (0, 4)


def test_an_lstm_has_one_product_of_each_kind_for_all_steps() -> None:
    program = schedule(derive(symrnn.load("lstm")))
    assert count(program, times, "before", "after") == (1, 1), "W x, and the gradient of x"
    assert count(program, outer, "before", "after") == (0, 2), "the gradients of W and U"


def test_names_say_what_lies_side_by_side() -> None:
    derivation = derive(symrnn.load("lstm"))
    names = made(schedule(derivation), schedule(derivation, WITHOUT))
    assert {n for n in names if not n.endswith("_T")} == {
        *("W_ifgo", "U_ifgo", "b_ifgo", "W_ifgo_x", "U_ifgo_h", "ifgo_in"),
        *("d_ifgo_pre", "d_W_ifgo", "d_U_ifgo", "d_b_ifgo", "d_x_W_ifgo_x", "d_h_prev_U_ifgo_h"),
    }


@pytest.mark.parametrize(
    ("names", "name"),
    [
        (["W_i", "W_f", "W_o"], "W_ifo"),
        (["d_z_pre", "d_r_pre"], "d_zr_pre"),
        (["W_qa", "W_qb"], "W_qa_qb"),
        (["A", "B"], "AB"),
        (["W", "W_f"], "W_f"),
        (["d_first_gate_pre", "d_second_gate_pre"], "d_first_second_gate_pre"),
        (["W", "dot_W"], "W_and_dot"),
        (["dot_W", "W"], "dot_and_W"),
        (["W_i", "dot_W_i", "W_f", "dot_W_f"], "W_if_and_dot"),
        (["W_i_x", "dot_W_i_x_W_i", "W_f_x", "dot_W_f_x_W_f"], "W_if_x_and_dot"),
        (["d_i_pre", "d_dot_i_pre", "d_f_pre", "d_dot_f_pre"], "d_if_pre_and_dot"),
        (["W_i", "dot_W_f"], "W_i_dot_W_f"),
        (["s", "s"], "s_twice"),
        (["s", "s", "s"], "s_3_times"),
        (["d_first_of_three_pre", "d_bb_pre", "d_c_pre"], "d_first_of_three_to_c_pre"),
        (["d_first_of_one", "d_second_two"], "d_first_of_one_and_second_two"),
        (["d_first_of_all_pre", "d_second_of_all"], "d_all"),
    ],
)
def test_the_name_of_several(names: list[str], name: str) -> None:
    assert together(names) == name


def test_products_without_a_short_name_are_called_after_their_factors() -> None:
    apart = ["q_a", "q_b", "W_ka_x", "W_kb_x", "v"]
    assert together(apart, "W_qa_qb_ka_kb_v_x") == "W_qa_qb_ka_kb_v_x"
    assert together(apart, f"W_{'qa_qb_' * 5}x") == "q_a_to_v"
    assert together(["W_i_x", "W_f_x"], "W_if_h") == "W_if_x"


@pytest.mark.parametrize("name", ["lstm", "gru", "elman", "fgr", "lem", "retnet", "jordan"])
@pytest.mark.parametrize("order", [ORDER, KERNEL_ORDER], ids=["arrays", "kernels"])
def test_no_joined_name_is_long_or_a_number(name: str, order: tuple[str, ...]) -> None:
    """Names that a pass makes say what they hold; a number says only that another name was taken."""
    entries = Entries(symrnn.load(name), order)
    for program in (entries.train, entries.states, entries.infer, entries.jvp, entries.hvp):
        before = schedule(program.derivation, ("expand", "alias", "prune", "recompute", "alias", "hoist"))
        made = program.values.keys() - before.values.keys()
        assert [n for n in made if len(n.removesuffix("_steps")) > 30] == []
        assert [n for n in made if n[-1].isdigit() and not ends_so(n, before)] == []


def ends_so(name: str, program: Program) -> bool:
    """Does a value that is joined there end in this number itself, as W_2 does?"""
    return any(n.rpartition("_")[2] == name.rpartition("_")[2] for n in program.values)


def test_products_for_all_steps_stay_apart_where_the_loop_does_not_read_their_parts() -> None:
    for name in ("qrnn", "mingru"):
        derivation = derive(symrnn.load(name))
        assert not made(schedule(derivation), schedule(derivation, WITHOUT))


def test_a_row_is_the_concatenation_that_the_cell_asks_for() -> None:
    program = schedule(derive(symrnn.load("lstm_layernorm")))
    assert not any(isinstance(s, Concat) for s in program.sweep("forward").loop)


def test_a_later_sum_joins_a_row_at_either_end() -> None:
    for name in ("gru", "gru_reset_after"):
        assert count(schedule(derive(symrnn.load(name))), times, "after") == (0, 1), "the gradient of x"


def test_a_value_is_written_side_by_side_with_others_once() -> None:
    for name in MEETINGS:
        program = schedule(derive(meeting(name)))
        members = [a.name for s in program.sweep("backward").loop if isinstance(s, Concat) for a in s.args]
        assert len({*members}) == len(members), name


def test_values_that_are_kept_for_the_backward_pass_are_not_copied_together() -> None:
    text = """
        input x[I]
        state h[H]
        param U_p[H, H], U_q[H, H]
        p = tanh(U_p @ h[t-1])
        q = tanh(U_q @ h[t-1])
        h = P @ p + Q @ q + W @ x
    """
    program = schedule(derive(symrnn.parse(dedent(text))))
    assert not any(isinstance(s, Concat) for s in program.sweep("forward").loop)


# -- mutants ---------------------------------------------------------------------------------------------------


def differs(mutant: Program, p: Point, expected: dict[str, np.ndarray]) -> bool:
    found = gradients(mutant.check(), p)
    return any(not np.allclose(found[k], expected[k]) for k in expected)


@pytest.mark.parametrize("name", ["lstm", "gru", "gru_reset_after", "lstm_layernorm"])
def test_a_pass_that_mixes_two_matrices_is_found_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = symrnn.load(name)
    derivation, p = derive(cell), point(cell)
    expected = gradients(schedule(derivation), p)
    honest = _Concat.weights

    def mixed(self: Any, terms: Sequence[tuple[Ref, bool]]) -> str:
        return honest(self, [terms[1], terms[0], *terms[2:]])

    monkeypatch.setattr(_Concat, "weights", mixed)
    assert differs(schedule(derivation), p, expected)


def with_swapped_operands(program: Program) -> Iterator[Program]:
    """The program with the first two operands of one concatenation in each other's place, for every concatenation."""
    for part in program.sweeps:
        for name, block in part.blocks():
            for k, s in enumerate(block):
                if isinstance(s, Concat):
                    swapped = replace(s, args=(s.args[1], s.args[0], *s.args[2:]))
                    changed = part.with_block(name, (*block[:k], swapped, *block[k + 1 :]))
                    yield program.with_sweep(changed)


@pytest.mark.parametrize(("name", "mutants"), [("lstm", 6), ("gru_reset_after", 6), ("fgr", 12)])
def test_operands_in_the_wrong_order_are_found_out(name: str, mutants: int) -> None:
    cell = symrnn.load(name)
    program, p = schedule(derive(cell)), point(cell)
    expected = gradients(program, p)
    found = [differs(mutant, p, expected) for mutant in with_swapped_operands(program)]
    assert len(found) == mutants and all(found)


def test_parts_that_do_not_fit_are_refused() -> None:
    program = schedule(derive(symrnn.load("gru_reset_after")))
    part = next(s for s in program.sweep("forward").loop if isinstance(s, Slice))
    row = next(s for s in program.sweep("backward").loop if isinstance(s, Concat))
    for direction, good, bad, message in (
        ("forward", part, replace(part, before=("H", "H", "H")), "cuts between axes"),
        ("backward", row, replace(row, args=row.args[1:]), "another length"),
    ):
        loop = tuple(bad if s is good else s for s in program.sweep(direction).loop)
        with pytest.raises(AssertionError, match=message):
            program.with_sweep(program.sweep(direction).with_block("loop", loop)).check()


# -- the printed module ----------------------------------------------------------------------------------------


def test_an_lstm_prints_one_product_a_step_and_reads_it_in_views() -> None:
    forward, backward = emit(symrnn.load("lstm"), "numpy")[0].text.split("def infer")[0].split("def backward(")
    backward = backward.split("def forward_states")[0]
    before, loop = forward.split("    for t in range(T):")
    assert sum(" @ " in line for line in loop.splitlines() if "#" not in line) == 1
    assert "h_prev[t] @ U_ifgo\n" in loop and "U_ifgo_h[..., H:2 * H]" in loop
    assert "ifgo_in = times(x, W_ifgo, b_ifgo)" in before
    before, loop = backward.split("    for t in reversed(range(T)):")
    loop, after = loop.split("# all steps at once")
    assert sum(" @ " in line for line in loop.splitlines() if "#" not in line) == 1
    assert "d_ifgo_pre[t] @ U_ifgo.T\n" in loop and "d_x = times(d_ifgo_pre, W_ifgo.T)" in after
    assert "np.concatenate([d_i_pre, d_f_pre, d_g_pre, d_o_pre], axis=-1, out=d_ifgo_pre[t])" in loop
    assert "d_ifgo_pre = np.empty((T, B, 4 * H), dtype)" in before


def test_the_matrix_of_a_loop_is_stored_as_its_product_reads_it() -> None:
    """BLAS takes up to twice as long for a few rows otherwise; NumPy keeps the order of what it concatenates."""
    forward, backward = emit(symrnn.load("lstm"), "numpy")[0].text.split("def forward_states")[0].split("def backward(")
    assert "    U_ifgo = np.ascontiguousarray(np.concatenate([U_i.T, U_f.T, U_g.T, U_o.T], axis=-1))" in forward
    assert "    U_ifgo = np.concatenate([U_i.T, U_f.T, U_g.T, U_o.T], axis=-1)" in backward
