"""The schedule of compiled targets: how many products and kernels a step has, where values lie, and what is copied."""

from __future__ import annotations

import re
from collections.abc import Iterator
from textwrap import dedent

import pytest
from test_concat import MEETINGS, meeting
from test_cpp import loops

import symrnn
from symrnn.calculus.derive import derive
from symrnn.calculus.ir import Concat, Slice, reads
from symrnn.compiled.layout import layout
from symrnn.compiled.ops import Copy
from symrnn.compiled.plan import Plan, plan
from symrnn.emit import emit
from symrnn.language.cell import Cell
from symrnn.schedule import KERNEL_ORDER, ORDER, schedule
from symrnn.schedule.program import Program

CELLS = {name: symrnn.load(name) for name in symrnn.gallery()} | {name: meeting(name) for name in MEETINGS}


def planned(cell: Cell) -> Plan:
    return plan(schedule(derive(cell), KERNEL_ORDER))


@pytest.mark.parametrize("backend", ["cpp", "cuda"])
@pytest.mark.parametrize(
    ("name", "forward", "backward"),
    [
        ("elman", (1, 1), (1, 1)),
        ("lstm", (1, 1), (1, 1)),
        ("lstm_peephole", (1, 1), (1, 1)),
        ("gru", (2, 2), (2, 3)),
        ("gru_reset_after", (1, 1), (1, 2)),
        ("lstm_projection", (2, 1), (2, 2)),
        ("indrnn", (0, 0), (0, 0)),
        ("mingru", (0, 0), (0, 0)),
    ],
)
def test_products_and_kernels_a_step(
    name: str, forward: tuple[int, int], backward: tuple[int, int], backend: str
) -> None:
    text = next(a.text for a in emit(symrnn.load(name), backend) if a.path.endswith(".py"))
    train = text.split("def train_passes(" if backend == "cuda" else "\ndef forward(")[1]
    ahead, back = train.split("yield Pass(" if backend == "cuda" else "\ndef ")[:2]
    for part, expected in ((ahead, forward), (back, backward)):
        inside = loops(part)
        products, kernels = inside.count("product("), len(re.findall(r"\w+_(?:step|sum)\w*\(t\)", inside))
        assert (products, kernels) == expected
        assert "] =" not in inside, "a copy at every step"


def test_names_say_what_lies_side_by_side() -> None:
    for backend in ("cpp", "cuda"):
        text = next(a.text for a in emit(symrnn.load("lstm"), backend) if a.path.endswith(".py"))
        for name in ("W_ifgo", "U_ifgo", "U_ifgo_h", "d_ifgo_pre", "d_U_ifgo", "d_b_ifgo"):
            assert re.search(rf"^ +{name} = ", text, re.MULTILINE), name


def test_gradients_of_matrices_leave_without_a_copy() -> None:
    text = emit(symrnn.load("lstm"), "cpp")[0].text
    assert '"U_f": d_U_ifgo[H:2 * H],' in text and "ascontiguousarray(d_" not in text


@pytest.mark.parametrize("name", CELLS)
def test_every_step_multiplies_with_matrices_as_they_are_stored(name: str) -> None:
    made = planned(CELLS[name])
    for stage in made.stages:
        homes = layout(made).homes[stage.sweep.name]
        for op in stage.ops["loop"]:
            right = getattr(op, "right", None)
            if right is not None and not made.program.values[right.name].timed:
                assert homes[right.name].buffer.turned == op.transposed  # type: ignore[union-attr]


def saved_twice(program: Program) -> Iterator[str]:
    """Saved values that are a part of another one."""
    for s in (s for sweep in program.sweeps[:1] for s in sweep.statements()):
        if isinstance(s, Slice) and {s.out.name, s.args[0].name} <= {*program.saved}:
            yield s.out.name
        if isinstance(s, Concat) and s.out.name in program.saved:
            yield from (n for n in reads(s) if n in program.saved and program.values[n].role == "value")


@pytest.mark.parametrize("order", [ORDER, KERNEL_ORDER], ids=["arrays", "kernels"])
@pytest.mark.parametrize("name", CELLS)
def test_nothing_is_saved_twice(name: str, order: tuple[str, ...]) -> None:
    derivation = derive(CELLS[name])
    assert [*saved_twice(schedule(derivation, order))] == []


def test_without_the_pass_that_cuts_parts_again_something_is_saved_twice() -> None:
    derivation = derive(symrnn.load("lstm_layernorm"))
    for order in (ORDER, KERNEL_ORDER):
        assert [*saved_twice(schedule(derivation, [p for p in order if p != "cut"]))]


@pytest.mark.parametrize("name", CELLS)
def test_no_part_keeps_more_than_itself(name: str) -> None:
    """A part lives in what it is cut from: one that is kept must be all that is kept there, or have been copied."""
    program = schedule(derive(CELLS[name]), KERNEL_ORDER)
    for sweep in program.sweeps:
        for s in sweep.statements():
            if isinstance(s, Slice):
                assert s.out.name not in program.saved or s.args[0].name in program.saved
                assert (
                    s.out.name not in sweep.stored
                    or s.args[0].name not in {x.out.name for x in sweep.loop}
                    or (s.args[0].name in sweep.stored)
                )
                assert s.out.name not in {c.source for c in sweep.carried}


#: Concatenations of values that cannot all be computed in their place, and the copies that are left, by what is copied.
COPIED = {
    "an input": ("h = tanh(W @ concat(h[t-1] * x, x))", {"x"}),
    "a state": ("h = tanh(W @ concat(x, h[t-1]))", {"x", "h_prev"}),
    "a value twice": ("q = h[t-1] * x\nh = tanh(W @ concat(q, q))", {"q"}),
    "a value in two places": (
        "q = h[t-1] * x\np = tanh(h[t-1])\nh = tanh(W @ concat(q, p) + V @ concat(p, q))",
        {"q", "p"},
    ),
    "computed values": ("q = h[t-1] * x\np = tanh(h[t-1])\nh = tanh(W @ concat(q, p))", set()),
}


@pytest.mark.parametrize("what", COPIED)
def test_only_what_has_no_place_in_a_concatenation_is_copied(what: str) -> None:
    equations, expected = COPIED[what]
    cell = symrnn.parse(dedent(f"input x[H]\nstate h[H]\n{equations}\n"), "copied")
    ops = planned(cell).stage("forward").all()
    assert {op.source.name for op in ops if isinstance(op, Copy) and not op.transposed} == expected
