"""What goes through rows together: how few kernels a step has, and cells where a wrong choice gives a wrong module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from textwrap import dedent
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from points import Point, alone, leaves, point

import symrnn
from symrnn.compiled import row_kernels, rows
from symrnn.compiled.layout import layout
from symrnn.compiled.ops import Op, Reduce, Rows
from symrnn.compiled.plan import Plan, plan
from symrnn.emit import Artifact, emit, programs_for, target
from symrnn.errors import UsageError
from symrnn.language.cell import Cell
from symrnn.language.load import parse
from symrnn.native import compiler
from symrnn.proof.check import Shape, check

COMPILER = pytest.mark.skipif(compiler.compiler() is None, reason="no C++ compiler: install g++ or clang++")
BACKENDS: dict[str, dict[str, Any]] = {"cpp": {}, "cuda": {"host": True}}

#: Kernels and products of a step, forward and backward, of every cell that has a reduction in its loop.
BUDGET = {
    "deltanet": 2,
    "entnet": 6,
    "fast_weights": 12,
    "lstm_blocks": 14,
    "lstm_layernorm": 7,
    "mlstm": 4,
    "ntm_content": 23,
    "skip_rnn": 11,
}


def planned(cell: Cell) -> Plan:
    return plan(programs_for(cell, "cuda").train)


def of_a_step(made: Plan) -> list[Op]:
    """What is launched at every step."""
    return [op for stage in made.stages if not stage.sequence for op in stage.ops["loop"]]


def test_a_step_has_few_kernels() -> None:
    counted = {}
    for name in symrnn.gallery():
        ops = of_a_step(planned(symrnn.load(name)))
        if any(isinstance(op, Reduce | Rows) for op in ops):
            counted[name] = len(ops)
    assert counted == BUDGET


#: Rows of more than one warp of threads, and rows of one component; with few elements to a batch.
SHAPES: list[Shape] = [(3, 2, (40, 67, 35)), (1, 1, (1, 1, 1))]
CELLS = {
    "a norm of each gate": """
        input x[I]
        state h[H], c[H]
        output h
        a = W_i @ x + U_i @ h[t-1]
        a_mean = mean(a)
        e = W_g @ x + U_g @ h[t-1]
        e_mean = mean(e)
        i = sigmoid(gamma_i * (a - a_mean) / sqrt(mean((a - a_mean) ** 2) + 1e-5) + beta_i)
        g = tanh(gamma_g * (e - e_mean) / sqrt(mean((e - e_mean) ** 2) + 1e-5) + beta_g)
        c = (1 - i) * c[t-1] + i * g
        h = tanh(layer_norm(c))
    """,
    "searches between maps": """
        input x[H]
        state h[H]
        output h
        a = x + 0.5 * h[t-1]
        h = 0.5 * softmax(a * min(x)) + 0.1 * max(a) * tanh(a)
    """,
    "what a row shares goes to the next step": """
        input x[H]
        state h[H], m[]
        output h
        m = 0.5 * m[t-1] + mean(x * h[t-1])
        h = tanh(x - m) + 0.1 * m[t-1] * dot(x, h[t-1])
    """,
    "a sum of the step before, where all steps run at once": """
        input x[H]
        state c[]
        output y
        c = sum(x) / 9
        y = c[t-1] * x + mean(x * x)
    """,
    "the step before beside this one, where all steps run at once": """
        input x[H]
        state c[H]
        output y
        c = tanh(x)
        y = c[t-1] * c + dot(c[t-1], c)
    """,
    "a vector that is a row and stands beside one": """
        input x[H]
        state S[H, H]
        output y
        q = x / norm(x)
        S = 0.9 * S[t-1] + outer(q, tanh(q))
        y = S @ q + softmax(x)
    """,
    "a matrix read along rows and across": """
        input x[H]
        state S[H, H]
        output y
        e = exp(-0.1 * S[t-1] @ x)
        S = tanh(S[t-1] * 0.5 + outer(e, e))
        y = S.T @ x + S @ x
    """,
    "rows of values side by side": """
        input x[H]
        output y
        a = tanh(x)
        e = x * norm(x)
        u = concat(a, e)
        y = u / norm(u)
    """,
    "rows of two lengths": """
        input x[I], z[J]
        output y, w
        y = x * sum(z) / norm(x)
        w = z / norm(z) + mean(x)
    """,
    "names that the code has itself": """
        input value[N]
        state n[N], at[N], sizes[]
        output n
        k = softmax(value + n[t-1])
        total = 0.1 * sum(k * value)
        sizes = 0.5 * sizes[t-1] + total
        found = max(value)
        at = at[t-1] * 0.5 + k * found * sizes
        n = tanh(at + total * t)
    """,
}


def cell_of(what: str) -> Cell:
    return parse(dedent(CELLS[what]), "in_rows")


def is_right(module: ModuleType, cell: Cell) -> bool:
    """Does it return what the NumPy module does, when its memory still holds the numbers of another point?"""
    expected = symrnn.compile(cell)
    with np.errstate(all="ignore"):  # of a mutant
        return all(same(run(module, at), run(expected, at)) for at in (point(cell, seed=k) for k in range(3)))


def run(module: ModuleType, at: Point) -> list[np.ndarray]:
    y, last, tape = module.forward(at.params, at.x, at.state)
    return leaves((y, last, module.backward(at.params, tape, alone(at.dy), at.dstate)))


def same(found: list[np.ndarray], expected: list[np.ndarray]) -> bool:
    return all(np.allclose(a, b, rtol=1e-9, atol=1e-9) for a, b in zip(found, expected, strict=True))


@COMPILER
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("what", CELLS)
def test_the_module_is_right(what: str, backend: str) -> None:
    cell = cell_of(what)
    assert any(isinstance(op, Rows) for stage in planned(cell).stages for op in stage.all())
    module = symrnn.compile(cell, backend, **BACKENDS[backend])
    report = check(cell, module, backend, shapes=SHAPES)
    assert report.ok, str(report)
    assert is_right(module, cell)


@pytest.mark.parametrize("what", CELLS)
def test_rows_do_not_wait_for_other_rows(what: str) -> None:
    """Outside the loop, what is carried is not computed by the rows that read its shifted copy."""
    for stage in planned(cell_of(what)).stages:
        for op in (op for block in ("before", "after") for op in stage.ops[block] if isinstance(op, Rows)):
            made = {r.name for r in op.stores}
            read = {r.name for r in op.loads}
            assert not [c for c in stage.sweep.carried if c.source in made and c.arrives in read]


def test_sums_of_the_same_rows_are_one_loop() -> None:
    ops = [op for op in of_a_step(planned(symrnn.load("lstm_layernorm"))) if isinstance(op, Rows)]
    assert [[len(phase.reduces) for phase in op.phases] for op in ops][:3] == [[1, 1, 0], [1, 1, 0], [4, 6, 0]]


def test_what_only_the_row_reads_is_not_in_memory() -> None:
    made = layout(planned(cell_of("a norm of each gate")))
    sums = [r.out.name for s in made.plan.stages for op in s.all() if isinstance(op, Rows) for r in _sums(op)]
    stored = {r.name for s in made.plan.stages for op in s.all() if isinstance(op, Rows) for r in op.stores}
    assert len(sums) > 10
    assert not stored & {n for n in sums if n.startswith("sum_")}


def _sums(op: Rows) -> list[Reduce]:
    return [r for phase in op.phases for r in phase.reduces]


def test_without_reductions_nothing_changes() -> None:
    for name in ("lstm", "gru", "mgu"):
        assert not any(isinstance(op, Rows) for stage in planned(symrnn.load(name)).stages for op in stage.all())


# -- mutants ---------------------------------------------------------------------------------------------------


@pytest.fixture
def fresh() -> Iterator[None]:
    """Nothing that was planned before is used, and nothing planned here later."""
    for step in range(2):
        for cached in (emit, plan, layout, row_kernels.kernel_of):
            cached.cache_clear()
        if not step:
            yield


def reads_the_step_before_too_early(all_names: Callable[..., set[str]]) -> Callable[..., set[str]]:
    return lambda self, names, block="loop": all_names(self, names)


def forgets_what_lies_side_by_side(all_names: Callable[..., set[str]]) -> Callable[..., set[str]]:
    return lambda self, names, block="loop": {*names}


def reads_any_component(can_join: Callable[..., bool]) -> Callable[..., bool]:
    return lambda self, k, group: self.is_ready(k, group)


def takes_phases_backwards(as_rows: Callable[..., Rows]) -> Callable[..., Rows]:
    def mutant(group: list[Op], wanted: set[str]) -> Rows:
        made = as_rows(group, wanted)
        return replace(made, phases=made.phases[::-1])

    return mutant


def leaves_nothing_to_others(as_rows: Callable[..., Rows]) -> Callable[..., Rows]:
    def mutant(group: list[Op], wanted: set[str]) -> Rows:
        made = as_rows(group, wanted)
        return replace(made, stores=made.stores[:1])

    return mutant


MUTANTS = [
    ("a sum of the step before, where all steps run at once", rows.Behind, "all", reads_the_step_before_too_early),
    ("rows of values side by side", rows.Behind, "all", forgets_what_lies_side_by_side),
    ("a matrix read along rows and across", rows._Block, "can_join", reads_any_component),
    ("searches between maps", rows, "_as_rows", takes_phases_backwards),
    ("a norm of each gate", rows, "_as_rows", leaves_nothing_to_others),
]


@COMPILER
@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(("what", "owner", "name", "mutant"), MUTANTS, ids=lambda x: getattr(x, "__name__", ""))
def test_a_mutant_of_the_plan_fails(
    what: str, owner: object, name: str, mutant: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, mutant(getattr(owner, name)))
    assert not is_right_if_it_runs(cell_of(what), "cpp")


def is_right_if_it_runs(cell: Cell, backend: str) -> bool:
    """False, too, for a plan that is refused, and for kernels that do not compile or whose arrays are missing."""
    try:
        return is_right(symrnn.compile(cell, backend, check=False, **BACKENDS[backend]), cell)
    except (AssertionError, UsageError, NameError, KeyError):
        return False


#: A sum that goes on in the next row, in the text for either target.
KEPT_SUMS = {
    "cpp": ("        double a_squared_total = 0;", "        static double a_squared_total = 0;"),
    "cuda": ("        compute_t a_squared_total = 0;", "        static compute_t a_squared_total = 0;"),
}


@COMPILER
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_sum_that_goes_on_in_the_next_row_is_found(backend: str) -> None:
    cell = parse("input x[H]\noutput y\na = tanh(x)\ny = a / norm(a)\n", "in_rows")
    old, new = KEPT_SUMS[backend]
    artifacts = emit(cell, backend)
    assert any(old in a.text for a in artifacts)
    changed = [Artifact(a.path, a.text.replace(old, new)) for a in artifacts]
    loaded = [target(backend).load(cell, made, **BACKENDS[backend]) for made in (artifacts, changed)]  # type: ignore[attr-defined]
    assert [is_right(module, cell) for module in loaded] == [True, False]
