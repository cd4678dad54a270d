"""The check proves every gallery cell, and finds every mutant of generated code."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from functools import cache
from types import ModuleType

import numpy as np
import pytest

import symrnn
from symrnn import build
from symrnn.emit import emit
from symrnn.language.load import heads
from symrnn.proof.check import SHAPES, check
from symrnn.proof.comparison import SINGLE, TOLERANCES

EVERYTHING = [*symrnn.gallery(), *(f"heads/{h}" for h in heads())]
TESTS = set(TOLERANCES)


@pytest.mark.parametrize("name", EVERYTHING)
def test_every_cell_passes_in_float64(name: str) -> None:
    cell = symrnn.load(name)
    report = check(cell)
    assert report.ok, str(report)
    assert report.worst().keys() == TESTS
    for row in report.rows:
        assert row.tolerance <= TOLERANCES[row.test] + row.rounding
        assert not row.rounding or row.is_nothing, f"rounding is allowed for in {row}"
    leaves, nothing = len(cell.params) + len(cell.inputs) + len(cell.carries), sum(r.is_nothing for r in report.rows)
    per_shape = 6 * (len(cell.outputs) + len(cell.carries)) + 3 + 5 * leaves
    assert len(SHAPES) * per_shape - nothing <= len(report.rows) <= len(SHAPES) * per_shape


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERYTHING)
def test_every_cell_passes_in_float32(name: str) -> None:
    report = check(symrnn.load(name), dtype="float32", shapes=SHAPES[:1])
    assert report.ok, str(report)


def test_tolerances_are_the_promised_ones() -> None:
    exact = (
        "forward",
        "dot product",
        "complex step",
        "infer and step",
        "jvp",
        "hvp",
        "memory, forward",
        "memory, backward",
    )
    assert {"differences": 1e-6} | dict.fromkeys(exact, 1e-12) == TOLERANCES
    assert dict.fromkeys(exact, 1e-5) == SINGLE


# -- mutants ---------------------------------------------------------------------------------------------------

PER_CELL = 30
MUTATED = ("elman", "gru", "gru_reset_after", "lstm", "lstm_peephole", "mgu", "slstm", "cornn", "qrnn", "lstm_blocks")
SWAPS = [
    ("W_i", "W_f"),
    ("U_i", "U_f"),
    ("b_i", "b_f"),
    ("W_z", "W_r"),
    ("U_z", "U_r"),
    ("h", "h_prev"),
    ("c", "c_prev"),
]


class Mutator(ast.NodeTransformer):
    """Applies the k-th possible mutation to the numerical lines of forward and backward."""

    def __init__(self, wanted: int) -> None:
        self.wanted, self.found = wanted, list[str]()

    def hit(self, what: str) -> bool:
        self.found.append(what)
        return len(self.found) - 1 == self.wanted

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        text = ast.unparse(node)
        if isinstance(node.op, ast.Add | ast.Sub):
            if self.hit(f"sign flipped in {text}"):
                return ast.BinOp(node.left, ast.Sub() if isinstance(node.op, ast.Add) else ast.Add(), node.right)
            if self.hit(f"term dropped from {text}"):
                return node.left
            one = isinstance(node.left, ast.Constant) and node.left.value == 1
            if one and isinstance(node.op, ast.Sub) and self.hit(f"z for 1 - z in {text}"):
                return node.right
            if (
                isinstance(node.right, ast.Name)
                and node.right.id.startswith("b")
                and self.hit(f"bias doubled in {text}")
            ):
                return ast.BinOp(node.left, node.op, ast.BinOp(ast.Constant(2), ast.Mult(), node.right))
        if isinstance(node.op, ast.Mult) and self.hit(f"factor dropped from {text}"):
            return node.left
        return node

    def visit_Name(self, node: ast.Name) -> ast.Name:
        if isinstance(node.ctx, ast.Load):
            for a, b in SWAPS:
                if node.id in (a, b) and self.names >= {a, b} and self.hit(f"{a} and {b} swapped"):
                    return ast.Name(b if node.id == a else a, node.ctx)
        return node

    def mutate(self, tree: ast.Module) -> ast.Module:
        tree = copy.deepcopy(tree)
        for function in (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name in ("forward", "backward")):
            self.names = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}
            for statement in ast.walk(function):
                if isinstance(statement, ast.Assign) and numerical(statement):
                    statement.value = self.visit(statement.value)
        return ast.fix_missing_locations(tree)


def numerical(statement: ast.Assign) -> bool:
    """A line that computes a value, not one that unpacks, allocates or returns."""
    text = ast.unparse(statement.value)
    return isinstance(statement.value, ast.BinOp | ast.Call) and not any(
        word in text
        for word in ("carried(", "np.empty", "check(", "filled(", "cotangent(", "Tape(", "np.arange", "named(")
    )


@cache
def tree_of(name: str) -> ast.Module:
    return ast.parse(emit(symrnn.load(name))[0].text)


@cache
def possible(name: str) -> list[str]:
    """Descriptions of all mutations of a cell's module."""
    mutator = Mutator(-1)
    mutator.mutate(tree_of(name))
    return mutator.found


def chosen(name: str) -> range:
    """Up to PER_CELL mutations, spread evenly over all possible ones."""
    return range(0, len(possible(name)), -(-len(possible(name)) // PER_CELL))


def mutants(name: str) -> Iterator[tuple[str, ast.Module]]:
    sites = possible(name)
    for wanted in chosen(name):
        yield f"{name}: {sites[wanted]}", Mutator(wanted).mutate(tree_of(name))


def survives(name: str, tree: ast.Module) -> bool:
    cell = symrnn.load(name)
    module = ModuleType(name)
    exec(compile(tree, name, "exec"), module.__dict__)
    try:
        with np.errstate(all="ignore"):
            return check(cell, module, shapes=SHAPES[:1]).ok
    except (NameError, ValueError, TypeError, IndexError):
        return False


@pytest.mark.parametrize("name", MUTATED)
def test_every_mutant_dies(name: str) -> None:
    alive = [what for what, tree in mutants(name) if survives(name, tree)]
    assert not alive


def test_there_are_enough_mutants_of_every_kind() -> None:
    assert sum(len(chosen(name)) for name in MUTATED) >= 200
    kinds = [what for name in MUTATED for what in possible(name)]
    for kind in ("sign flipped", "term dropped", "z for 1 - z", "bias doubled", "factor dropped", "swapped"):
        assert sum(kind in k for k in kinds) >= 5, kind
    assert any("c and c_prev swapped" in k for k in kinds) and any("U_i and U_f swapped" in k for k in kinds)


def test_the_unmutated_text_survives() -> None:
    assert all(survives(name, tree_of(name)) for name in MUTATED)


def test_a_failure_names_the_quantity_and_both_values() -> None:
    cell = symrnn.load("elman")
    text = emit(cell)[0].text.replace("d_b = d_h_pre.sum(axis=(0, 1))", "d_b = 2 * d_h_pre.sum(axis=(0, 1))")
    module = ModuleType("elman")
    exec(text, module.__dict__)
    report = check(cell, module)
    assert not report.ok
    quantities = {r.quantity for r in report.failures}
    assert quantities == {"db", "J and its transpose", "states: db", "sqrt: db"}
    assert "complex step: db at T=5 B=3" in str(report) and "expected" in str(report)


def test_a_gradient_of_nothing_is_compared_with_differences_that_round() -> None:
    cell = symrnn.parse("input x[K]\nstate h[K]\noutput y\nh = h[t-3] - (h[t-3] + h[t-2])\ny = x\n", "nothing")
    for size in range(2, 7):
        assert check(cell, shapes=[(5, 2, (size,))]).ok


def test_an_empty_report_is_not_a_success() -> None:
    assert not check(symrnn.load("elman"), shapes=()).ok


def test_kinks_are_stepped_around_not_tolerated() -> None:
    cell = symrnn.parse(
        "input x[I]\nstate h[H]\nparam V[K, H]\nh = relu(W @ x + abs(U @ h[t-1])) + max(V @ h[t-1])", "kinky"
    )
    assert check(cell).ok


def test_lengths_known_only_through_a_sum_are_solved_for() -> None:
    cell = symrnn.parse("input x[N]\noutput y\nparam V[I+N, N]\nparam W[H+I+H, N]\ny = concat(V @ x, W @ x)", "sums")
    assert check(cell).ok


def test_no_point_away_from_a_kink_is_told() -> None:
    cell = symrnn.parse("input x[I]\nstate h[H]\nh = W @ x + relu(0 * h[t-1])", "stuck")
    with pytest.raises(symrnn.UsageError, match="kink"):
        check(cell)


@pytest.mark.parametrize("equation", ["h = log(-abs(x)) + h[t-1]", "h = tanh(x / t) + h[t-1]"])
def test_a_cell_without_finite_values_is_told(equation: str) -> None:
    cell = symrnn.parse(f"input x[H]\nstate h[H]\n{equation}", "nowhere")
    with pytest.raises(symrnn.UsageError, match="some value of nowhere was not finite"):
        check(cell)


def test_a_point_is_drawn_again_where_something_between_finite_values_is_not() -> None:
    """Only the last g leaves the cell; at some points an earlier one is the logarithm of a number below 0."""
    cell = symrnn.parse("input x[]\nstate g[]\noutput y\ny = tanh(x)\ng = tanh(log1p(x))", "between")
    assert check(cell).ok


def test_finer_differences_do_not_save_a_wrong_gradient() -> None:
    cell = symrnn.parse("input x[I]\nstate h[H]\nh = 1e6 + tanh(W @ x + U @ (h[t-1] - 1e6))", "large")
    good, bad = build.compile(cell), build.compile(cell)
    assert check(cell, good).ok
    backward = bad.backward

    def wrong(params, tape, dy, dstate=None):  # type: ignore[no-untyped-def]
        dparams, dx, dstart = backward(params, tape, dy, dstate)
        return dparams | {"U": dparams["U"] * 1.0001}, dx, dstart

    bad.backward = wrong  # type: ignore[attr-defined]
    failed = {(r.quantity, r.test) for r in check(cell, bad).failures}
    assert ("dU", "differences") in failed and ("dU", "complex step") in failed


def test_a_norm_of_nothing_passes_no_gradient_and_a_root_of_nothing_is_told() -> None:
    text = "input x[H]\nstate h[H]\nh = x + h[t-1] * {}"
    assert not check(symrnn.parse(text.format("norm(h[t-1])"), "length")).warnings
    report = check(symrnn.parse(text.format("sqrt(dot(h[t-1], h[t-1]))"), "root"))
    assert report.ok and "not finite" in str(report)


def test_random_initial_parameters_are_seeded_and_typed() -> None:
    module = build.compile(symrnn.load("irnn"))
    a, b = module.init(I=2, H=3, seed=1), module.init(I=2, H=3, seed=1)
    assert list(a) == list(module.PARAMS) and all((a[k] == b[k]).all() and a[k].dtype == np.float32 for k in a)
    assert (
        (a["W_hh"] == np.eye(3)).all()
        if "W_hh" in a
        else any((v.shape == (3, 3) and (v == np.eye(3)).all()) for v in a.values())
    )


@pytest.mark.parametrize(
    "equations",
    [
        "h = where(t < 2, W @ x + U @ h[t-1], 0.5 * h[t-1])",
        "h_next = W @ x\nh = tanh(h_next + U @ h[t-1])",
        "h = tanh(W @ x + U @ h[t-1]) + 3e9 * (V @ x) / 3e9",
        "h = W @ x + U @ h[t-1] * sigmoid(2000 * (V @ x))",
        "h = 1e6 + tanh(W @ x + U @ (h[t-1] - 1e6))",
        "h = (1.5 + tanh(W @ x + U @ h[t-1]))**-4",
    ],
)
@pytest.mark.parametrize("backend", ["numpy", "cpp"])
def test_cells_that_once_went_wrong(equations: str, backend: str) -> None:
    cell = symrnn.parse(f"input x[I]\nstate h[H]\n{equations}\n", "once")
    report = check(cell, backend=backend, shapes=SHAPES[:2])
    assert report.ok, str(report)
