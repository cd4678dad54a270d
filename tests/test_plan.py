"""What compiled kernels share, and in which order they run: plans are run beside the schedules they were made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from textwrap import dedent

import numpy as np
import pytest
from plans import both

import symrnn
from symrnn.compiled.layout import layout
from symrnn.compiled.ops import Map, Op, Product, Reduce, Rows
from symrnn.compiled.plan import Plan, plan
from symrnn.compiled.verify import verify
from symrnn.loading import module_to_check
from symrnn.proof.check import check
from symrnn.schedule import KERNEL_ORDER, Entries

BACKENDS = ("cpp", "cuda")
CELLS = {
    "a state turned over at every step": """
        input x[N]
        state S[N, N]
        output y
        S = tanh(S[t-1].T + outer(x, x * x))
        y = S @ x
    """,
    "a state that reads the past of one computed later": """
        input x[H], s[]
        state h[H], c[]
        output h
        h = 0.5 * h[t-1] + c[t-1] * x
        c = 0.9 * c[t-1] + s
    """,
    "a carried value that another kernel reads at the step at which it is computed": """
        input x[H]
        state c[H], m[H, H]
        output m
        c = x * c[t-1]
        m = outer(x, c) + m[t-1]
    """,
    "an adjoint that one kernel hands to another at every step": """
        input x[H]
        state h[H], c[]
        output c
        h = 0.5 * h[t-1] + x
        c = 0.9 * c[t-1] + sum(h[t-1])
    """,
    "a state that repeats a sum of products": """
        input x[I], z[J]
        state S[H, K]
        output y
        param W[H, I], V[H, J]
        u = tanh(x)
        v = sin(z)
        S = W @ u + V @ v
        y = sum(S * S[t-1])
    """,
    "a product of a sum that is read once more": """
        input x[I], z[J]
        output y, a
        param W[H, I], V[H, J]
        u = tanh(x)
        v = sin(z)
        q = W @ u
        y = q + V @ v
        a = 2 * q
    """,
    "two products of one operand in a sum": """
        input x[I]
        output y
        param W[H, I], V[H, I]
        u = tanh(x)
        y = W @ u + V @ u
    """,
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("what", CELLS)
def test_the_module_is_right(what: str, backend: str) -> None:
    cell = symrnn.parse(dedent(CELLS[what]), "planned")
    module = module_to_check(cell, backend)
    report = check(cell, module, backend, shapes=[(3, 2, (3, 5, 4, 2))])
    assert report.ok, str(report)


FEW = ("lstm", "gru", "lstm_layernorm", "mlstm", "gru_d", "qrnn", "sru", "ntm_content")
ENTRIES = ("train", "states", "infer", "step", "jvp", "hvp")


def assert_the_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, array in found.items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-10, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n not in FEW)) for n in symrnn.gallery()])
def test_a_plan_computes_what_its_schedule_means(name: str, entry: str) -> None:
    program = getattr(Entries(symrnn.load(name), KERNEL_ORDER), entry)
    assert_the_same(*both(program, verify(layout(plan(program)))))


# -- wrong plans -----------------------------------------------------------------------------------------------


def with_op(made: Plan, stage: int, block: str, at: int, op: Op | None) -> Plan:
    """The plan with one operation replaced, or none in its place."""
    ops = made.stages[stage].ops
    block_ops = (*ops[block][:at], *(() if op is None else (op,)), *ops[block][at + 1 :])
    stages = list(made.stages)
    stages[stage] = replace(stages[stage], ops=ops | {block: block_ops})
    return replace(made, stages=tuple(stages))


def faulty(op: Op) -> Iterator[tuple[str, Op | None]]:
    """The operation with a fault in one of its parts."""
    yield "missing", None
    match op:
        case Map():
            for k, line in enumerate(op.lines):
                lines = (*op.lines[:k], replace(line, expr=1.5 * line.expr + 1), *op.lines[k + 1 :])
                yield f"line {k}", replace(op, lines=lines)
            for k in [k for k, r in enumerate(op.stores) if all(r != x.source for x in op.registers)]:
                yield f"store {k}", replace(op, stores=(*op.stores[:k], *op.stores[k + 1 :]))
        case Rows():
            for k in range(len(op.phases)):
                yield f"phase {k}", replace(op, phases=(*op.phases[:k], *op.phases[k + 1 :]))
        case Product(kind="times"):
            yield "turned", replace(op, transposed=not op.transposed)
        case Reduce():
            yield "peak", replace(op, how="peak", args=op.args[:1])


@pytest.mark.parametrize("name", ["lstm", "gru", "lstm_layernorm", "mlstm", "retnet", "ntm_content"])
def test_a_fault_in_any_operation_is_found(name: str) -> None:
    program = Entries(symrnn.load(name), KERNEL_ORDER).train
    right, found, missed = plan(program), 0, []
    for stage, part in enumerate(right.stages):
        for block, ops in part.ops.items():
            for at, op in enumerate(ops):
                for what, wrong in faulty(op):
                    try:
                        made = verify(layout(with_op(right, stage, block, at, wrong)))
                        for seed in range(4):  # the argument of a maximum is not always the largest
                            assert_the_same(*both(program, made, seed))
                        missed.append((what, op))
                    except (AssertionError, KeyError, ValueError):
                        found += 1
    assert found > 10 and missed == []
