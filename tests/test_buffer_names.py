"""What generated code calls its arrays and indices: after what they hold, and a second one by how it differs."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import symrnn
from symrnn.compiled.c import _indices
from symrnn.compiled.layout import Layout, in_memory, layout
from symrnn.compiled.ops import Buffer
from symrnn.compiled.plan import plan
from symrnn.schedule import KERNEL_ORDER, Entries
from symrnn.schedule.program import Program

GENERATED = Path(symrnn.__file__).parents[1] / "generated"
CELLS = ("lstm", "elman", "gru", "mamba", "retnet", "deltanet")


def filled(program: Program) -> tuple[list[Buffer], list[Buffer]]:
    """The arrays that each of two sweeps fills."""
    made: Layout = layout(plan(program))
    first, last = (
        [b for b in made.filled[s.name] if b in in_memory(made, s.name) or b in made.carries[s.name].values()]
        for s in program.sweeps
    )
    return first, last


def names(buffers: list[Buffer]) -> set[str]:
    return {b.name for b in buffers}


@pytest.mark.parametrize("name", CELLS)
def test_sweeps_that_share_a_function_share_no_name(name: str) -> None:
    entries = Entries(symrnn.load(name), KERNEL_ORDER)
    for program in (entries.train, entries.hvp):
        first, last = filled(program)
        assert not names(first) & names(last)


@pytest.mark.parametrize("name", [n for n in CELLS if n != "elman"])
def test_what_another_function_computes_again_keeps_its_name(name: str) -> None:
    """Arrays of one name have one shape all the same: a thread keeps them for its next call."""
    first, last = filled(Entries(symrnn.load(name), KERNEL_ORDER).states)
    again = names(first) & names(last)
    assert again and {b for b in last if b.name in again} <= {*first}
    assert not [n for n in names(last) if n.endswith("_again")]


def test_a_second_array_says_how_it_differs() -> None:
    first, last = filled(Entries(symrnn.load("lstm"), KERNEL_ORDER).hvp)
    assert {"W_ifgo_and_dot", "U_ifgo_and_dot"} <= names(first)
    assert {b.name for b in last if b.turned} == {"W_ifgo_and_dot_T", "U_ifgo_and_dot_T"}
    assert {"dot_i", "tanh_c"} <= names(last) - names(first), "the first sweep has them in registers alone"
    first, last = filled(Entries(symrnn.load("mamba"), KERNEL_ORDER).hvp)
    assert "Delta_x" in names(first) and "Delta_x_again" in names(last)


def test_each_function_makes_an_array_of_a_name_once() -> None:
    paths = sorted(p for target in ("cpp", "cuda") for p in (GENERATED / target).glob("*.py"))
    assert len(paths) > 100
    for path in paths:
        for function in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(function, ast.FunctionDef):
                assert [n for n, times in Counter(allocated(function)).items() if times > 1] == [], path


def allocated(function: ast.FunctionDef) -> Iterator[str]:
    """The names to which a function assigns a new array."""
    for s in function.body:
        if isinstance(s, ast.Assign) and isinstance(s.value, ast.Call) and isinstance(s.targets[0], ast.Name):
            called = s.value.func
            if (called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")) in (
                "empty",
                "scratch",
            ):
                yield s.targets[0].id


def test_an_index_says_what_it_runs_over() -> None:
    labels = ("@B", "H", "H'", "H''", "H'''", "H+I", "H+I'", "H+H+H+H", "K+K+I")
    expected = ["iB", "iH", "jH", "kH", "kH2", "iH_I", "jH_I", "i4H", "i2K_I"]
    assert [*_indices(labels, set()).values()] == expected


def test_an_index_leaves_the_names_of_lengths_alone() -> None:
    assert [*_indices(("H", "iH", "H'"), {"H", "iH", "jH"}).values()] == ["iH2", "iiH", "jH2"]
