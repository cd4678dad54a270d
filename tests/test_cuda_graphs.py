"""The captured loop of the cuda backend, with a stand-in for CuPy and cuBLAS: right, alone, and not indispensable."""

from __future__ import annotations

import ctypes
import functools
import itertools
import warnings
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from cupy_stand_in import StandIn, with_stand_in
from points import Point, alone, leaves, point
from test_cpp import COMPUTED

import symrnn
from symrnn.language.cell import Cell
from symrnn.language.load import parse
from symrnn.native import compiler

pytestmark = pytest.mark.skipif(compiler.compiler() is None, reason="no C++ compiler: install g++ or clang++")
GALLERY = ["lstm", "gru", "lstm_projection", "gru_d", "mlstm", "lem", "fgr", "ntm_content", "jordan"]
CELLS = {name: symrnn.load(name) for name in GALLERY} | {n: parse(text, "computed") for n, text in COMPUTED.items()}


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    made = StandIn()
    monkeypatch.setattr(ctypes, "CDLL", made.library)
    return made


def steps(cell: Cell, dtype: str) -> list[Point]:
    """Points of one size, which the module sees one after the other."""
    return [point(cell, seed=k).of(dtype) for k in range(4)]


def run(module: ModuleType, at: Point) -> list[np.ndarray]:
    """Every result of a forward and a backward pass."""
    y, last, tape = module.forward(at.params, at.x, at.state)
    return leaves((y, last, module.backward(at.params, tape, alone(at.dy), at.dstate)))


def agree(found: list[np.ndarray], expected: list[np.ndarray], dtype: str) -> None:
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=512 * np.finfo(dtype).eps * max(1, np.abs(b).max(initial=0)))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", CELLS)
def test_a_graph_computes_what_the_loop_does(name: str, dtype: str, device: StandIn) -> None:
    cell = CELLS[name]
    module, numpy = with_stand_in(cell, device), symrnn.compile(cell)
    for at in steps(cell, dtype):
        agree(run(module, at), run(numpy, at), dtype)
    work = module.__dict__["FREE"][-1][1]
    graphs = [p.graph for p in work.made if p.wants_graph]
    assert graphs and None not in graphs
    assert device.launches == 3 * len(graphs)  # from the second time on
    assert device.temporary == [], "memory of a captured loop is given to somebody else"
    assert device.handles == set() and module.__dict__["CAPTURED"] == {}


@pytest.mark.parametrize(("version", "library"), [(11080, "libcublas.so.11"), (13020, "libcublas.so.13")])
def test_cublas_is_that_of_cupys_cuda(version: int, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    device = StandIn(version=version)
    monkeypatch.setattr(ctypes, "CDLL", device.library)
    cell = symrnn.load("gru")
    module = with_stand_in(cell, device)
    for at in steps(cell, "float32"):
        run(module, at)
    assert device.libraries == [library]


FAILURES = {
    "library": "libcublas.so.12 was not found",
    "cublasSetStream_v2": "cublasSetStream_v2 failed with status 7",
    "begin_capture": "begin_capture fails",
    "cublasGemmEx": "cublasGemmEx failed with status 13",
    "end_capture": "end_capture fails",
}


@pytest.mark.parametrize("broken", FAILURES)
def test_where_no_graph_can_be_made_kernels_are_launched_one_by_one(
    broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = StandIn(broken)
    monkeypatch.setattr(ctypes, "CDLL", device.library)
    cell = symrnn.load("gru")
    module, numpy = with_stand_in(cell, device), symrnn.compile(cell)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for at in steps(cell, "float64"):
            agree(run(module, at), run(numpy, at), "float64")
    (warning,) = told
    assert str(warning.message).startswith("no CUDA graph, kernels are launched one by one: ")
    assert FAILURES[broken] in str(warning.message)
    assert warning.filename == __file__
    assert device.launches == 0 and device.handles == set() and device.streams[1:] == []
    assert module.__dict__["CAPTURED"] == {}


def test_workspaces_of_many_lengths_do_not_pile_up(device: StandIn) -> None:
    cell = symrnn.load("gru")
    module = with_stand_in(cell, device)
    free, kept = module.__dict__["FREE"], module.__dict__["KEPT"]
    for length in range(1, kept + 4):
        run(module, point(cell, steps=length))
    assert len(free) == kept
    last = free[-1][1]
    work, key = module.take(module.train_passes, *_size(module, point(cell, steps=kept + 3)))
    assert work is last and len(free) == kept - 1
    module.give_back(key, work)
    run(module, point(cell, steps=1))
    assert len(free) == kept


def _size(module: ModuleType, at: Point) -> Any:
    return module.check(at.params, at.inputs, at.state)


def test_several_tapes_have_workspaces_of_their_own(device: StandIn) -> None:
    cell = symrnn.load("gru")
    module, numpy = with_stand_in(cell, device), symrnn.compile(cell)
    for _ in range(3):
        points = steps(cell, "float64")
        tapes = [module.forward(p.params, p.x, p.state)[2] for p in points]
        for p, tape in reversed(list(zip(points, tapes, strict=True))):
            found = leaves(module.backward(p.params, tape, alone(p.dy), p.dstate))
            expected = numpy.backward(p.params, numpy.forward(p.params, p.x, p.state)[2], alone(p.dy), p.dstate)
            agree(found, leaves(expected), "float64")
        del tapes, tape
    assert len(module.__dict__["FREE"]) == 4


def test_fresh_parameters_are_those_of_numpy(device: StandIn) -> None:
    cell = symrnn.load("lstm")
    ours, theirs = with_stand_in(cell, device).init(I=3, H=4, seed=1), symrnn.compile(cell).init(I=3, H=4, seed=1)
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[k], theirs[k]) and ours[k].dtype == np.float32 for k in ours)


def test_without_cupy_init_says_so() -> None:
    module = symrnn.compile(symrnn.load("lstm"), "cuda")
    module.__dict__.update(cp=None, why_not=ImportError("No module named 'cupy'"))
    for call in (lambda: module.init(I=3, H=4), lambda: module.forward({}, None)):
        with pytest.raises(RuntimeError, match="the cuda backend needs CuPy: install") as found:
            call()
        assert "No module" in str(found.value.__cause__)


LAYOUTS = {
    "rows": lambda a: a.copy(),
    "columns of a wider matrix": lambda a: np.concatenate([a + 1, a, a - 1], axis=1)[:, a.shape[1] : 2 * a.shape[1]],
    "transposed": lambda a: a.T.copy().T,
    "rows of a transposed one": lambda a: np.concatenate([a.T + 1, a.T, a.T - 1], axis=1)[:, len(a) : 2 * len(a)].T,
}


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 4, 5), (3, 1, 5), (3, 4, 1), (1, 1, 1)])
def test_products_take_any_layout(shape: tuple[int, int, int], device: StandIn) -> None:
    module = with_stand_in(symrnn.load("gru"), device)
    (m, k, n), rng = shape, np.random.default_rng(0)
    a, b, out = (rng.standard_normal(s) for s in ((m, k), (k, n), (m, n)))
    for left, right, result in itertools.product(LAYOUTS, LAYOUTS, list(LAYOUTS)[:2]):
        x, y, z = (device.array(LAYOUTS[how](v), copy=False) for how, v in ((left, a), (right, b), (result, out)))
        module.Graph(functools.partial(module.product, x, y, z)).launch()
        np.testing.assert_allclose(z, a @ b, rtol=1e-14, atol=1e-14, err_msg=f"{left}, {right}, {result}")
