"""infer, step, jvp and hvp of compiled modules: checked, found out when wrong, alone with their memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cupy_stand_in import StandIn, with_stand_in
from points import Point, alone, leaves, point

import symrnn
from symrnn.emit import emit, target
from symrnn.language.cell import Cell
from symrnn.loading import module_to_check
from symrnn.native import compiler
from symrnn.proof.check import SHAPES, check, quick
from symrnn.proof.comparison import TOLERANCES

COMPILER = pytest.mark.skipif(compiler.compiler() is None, reason="no C++ compiler: install g++ or clang++")
COMPILED = pytest.mark.parametrize("backend", [pytest.param(b, marks=COMPILER) for b in ("cpp", "cuda")])
BACKENDS = pytest.mark.parametrize("backend", ["numpy", *(pytest.param(b, marks=COMPILER) for b in ("cpp", "cuda"))])

#: Cells that count steps: in a loop, and in a kernel that holds the loop.
COUNTING = {
    "in a loop": "input x[I]\nstate h[H]\nh = tanh(W @ x + U @ h[t-1]) * cos(t / 3)\n",
    "in a kernel": "input x[H]\nstate h[H]\nparam w[H]\nh = w * h[t-1] * sin(1 + t) + t * x\n",
    "outside the loop": "input x[I]\nstate h[H]\noutput y\nh = tanh(W @ (x * t) + U @ h[t-1])\ny = h * t\n",
}
#: Several inputs and outputs, matrices, reductions, whole sequences, older states.
FEW = ["lstm", "gru_d", "mlstm", "mingru", "retnet", "jordan", "qrnn", "heads/softmax_cross_entropy"]
#: Those whose kernels take long on the processor at the points of these tests.
LARGE = ("mlstm", "retnet")
FUNCTIONS = ("forward", "backward", "infer", "step", "jvp", "hvp")


def cell_of(name: str) -> Cell:
    return symrnn.parse(COUNTING[name], "counting") if name in COUNTING else symrnn.load(name)


@cache
def module_of(name: str, backend: str) -> ModuleType:
    """The module as it is compiled for a check."""
    return module_to_check(cell_of(name), backend)


def every(name: str, at: Point, module: Any, **resumed: int) -> dict[str, Any]:
    """What each function returns at a point; directions are the point's own arrays, `resumed` the first step's t."""
    given, along = (at.params, at.x, at.state), (at.params, at.x, at.state)
    y, last, tape = module.forward(*given, **resumed)
    y_states, last_states, states = module.forward(*given, memory="states", **resumed)
    first = alone({n: a[0] for n, a in at.inputs.items()})
    return {
        "forward": (y, last),
        "backward": module.backward(at.params, tape, alone(at.dy), at.dstate),
        "forward, states": (y_states, last_states),
        "backward, states": module.backward(at.params, states, alone(at.dy), at.dstate),
        "infer": module.infer(*given, **resumed),
        "step": module.step(at.params, first, at.state, **resumed),
        "jvp": module.jvp(*given, *along),
        "hvp": module.hvp(*given, alone(at.dy), at.dstate, *along),
    }


# -- right ---------------------------------------------------------------------------------------------------


@COMPILED
@pytest.mark.parametrize("name", [*FEW, *COUNTING])
def test_every_function_holds_the_check(name: str, backend: str) -> None:
    module = module_of(name, backend)
    report = check(cell_of(name), module, backend, shapes=SHAPES[:1])
    assert report.ok, str(report)
    assert report.worst().keys() == TOLERANCES.keys()


@BACKENDS
@pytest.mark.parametrize("name", COUNTING)
def test_a_sequence_may_go_on_where_another_ended(name: str, backend: str) -> None:
    cell, module = cell_of(name), module_of(name, backend)
    for _ in range(3):
        at = point(cell, steps=6)
        whole, last = module.infer(at.params, at.x, at.state)
        first, between = module.infer(at.params, at.x[:2], at.state)
        rest, end = module.infer(at.params, at.x[2:], between, t=2)
        np.testing.assert_allclose(np.concatenate([first, rest]), whole, rtol=1e-13)
        np.testing.assert_allclose(end["h"], last["h"], rtol=1e-13)


@COMPILED
def test_parameters_may_change_between_steps(backend: str) -> None:
    module, numpy = module_of("lstm", backend), module_of("lstm", "numpy")
    at = point(symrnn.load("lstm"))
    for k in range(3):
        for a in at.params.values():
            a *= 1 + 0.1 * k
        (y, state), (expected, wanted) = (m.step(at.params, at.x[0], at.state) for m in (module, numpy))
        for found, right in zip(leaves((y, state)), leaves((expected, wanted)), strict=True):
            np.testing.assert_allclose(found, right, rtol=1e-13)


# -- wrong ---------------------------------------------------------------------------------------------------

#: (function, place of a result, its name or "" for an array): all that a module of an LSTM returns beside gradients.
PLACES = [("infer", 0, ""), ("infer", 1, "h"), ("infer", 1, "c"), ("step", 0, ""), ("step", 1, "h"), ("step", 1, "c")]
PLACES += [
    ("jvp", 0, ""),
    ("jvp", 1, "h"),
    ("jvp", 1, "c"),
    ("jvp", 2, ""),
    ("jvp", 3, "h"),
    ("jvp", 3, "c"),
    ("hvp", 1, ""),
    ("hvp", 2, "h"),
    ("hvp", 2, "c"),
]
PLACES += [("hvp", 0, p.name) for p in symrnn.load("lstm").params]


def spoilt(module: Any, function: str, at: int, name: str, by: float) -> Any:
    """The module with one result of a function off by a factor."""
    honest: Callable[..., Any] = getattr(module, function)

    def wrong(*given: Any) -> Any:
        results = list(honest(*given))
        results[at] = results[at] | {name: results[at][name] * by} if name else results[at] * by
        return tuple(results)

    return SimpleNamespace(**{f: getattr(module, f) for f in FUNCTIONS} | {function: wrong})


def compared_by(function: str, at: int = 2) -> str:
    """Which test of the check compares a result."""
    return (
        "infer and step"
        if function in ("infer", "step")
        else "forward"
        if (function, at < 2) == ("jvp", True)
        else function
    )


@BACKENDS
@pytest.mark.parametrize("how", ["quick", "check"])
def test_every_wrong_result_is_found_out(how: str, backend: str) -> None:
    cell, module = symrnn.load("lstm"), module_of("lstm", backend)
    run = {
        "quick": lambda m: quick(cell, m, backend),
        "check": lambda m: check(cell, m, backend, shapes=SHAPES[:1]),
    }[how]
    assert run(module).ok
    for place in PLACES:
        report = run(spoilt(module, *place, 1 + 1e-6))
        assert {r.test for r in report.failures} == {compared_by(*place[:2])}, place
    for function in FUNCTIONS[2:]:
        with pytest.raises(AttributeError):
            run(SimpleNamespace(**{f: getattr(module, f) for f in FUNCTIONS if f != function}))


#: One line of each function's own kernels, in the module of an LSTM, changed.
LINES = {
    "infer": ("infer_step_point", "h = o * tanh_c;", "h = o * c;"),
    "step": ("step_step_point", "c = c_prev * f + i * g;", "c = c_prev * i + f * g;"),
    "jvp": ("jvp_step_point", "dot_c = ", "dot_c = 2 * "),
    "hvp, ahead": ("hvp_forward_step_point", "dot_c = ", "dot_c = 2 * "),
    "hvp, back": ("hvp_backward_step_point", "d_c_prev = ", "d_c_prev = 2 * "),
    "states, ahead": ("states_forward_step_point", "h = o * tanh_c;", "h = o * c;"),
    "states, back": ("states_backward_step_point", "d_c_prev = ", "d_c_prev = 2 * "),
}
#: The tests that compare what a function returns, where it is not one alone: memory="sqrt" infers.
COMPARED = {
    "infer": {"infer and step", "memory, forward", "memory, backward"},
    "states, ahead": {"memory, forward", "memory, backward"},
    "states, back": {"memory, backward"},
}


def comparing(what: str) -> set[str]:
    return COMPARED.get(what) or {compared_by(what.split(",", maxsplit=1)[0])}


def edited(cell: Cell, backend: str, after: str, old: str, new: str) -> ModuleType:
    """The module with the first such line after some text changed, in whichever file has that text."""
    artifacts, count = [], 0
    for a in emit(cell, backend):
        start, found, rest = a.text.partition(after)
        count += found != "" and old in rest
        artifacts.append(replace(a, text=start + found + rest.replace(old, new, 1) if found else a.text))
    assert count == 1, f"{after} and {old} are in {count} files"
    made: ModuleType = target(backend).load_for_check(cell, artifacts)  # type: ignore[attr-defined]
    return made


@COMPILED
@pytest.mark.parametrize("what", LINES)
def test_a_wrong_line_of_a_kernel_is_found_out(what: str, backend: str) -> None:
    cell = symrnn.load("lstm")
    report = quick(cell, edited(cell, backend, *LINES[what]), backend)
    assert {r.test for r in report.failures} == comparing(what)


#: A line around the kernels, changed: where a sequence begins and ends, and what is handed on.
AROUND = {
    "the state a sequence begins with": ("infer", 'h_rows[0] = state["h"]', "h_rows[0] = 0"),
    "the state after a step": ("step", "c_rows[T % 2].copy()", "c_rows[(T + 1) % 2].copy()"),
    "the direction of a state": ("jvp", 'dot_h_rows[0] = dot_state["h"]', 'dot_h_rows[0] = state["h"]'),
    "the cotangent of a last state": ("hvp", '= dstate["c"]', "= 0"),
    "the direction of a parameter": ("hvp", 'dot_params["U_f"]', 'dot_params["U_i"]'),
}


@COMPILED
@pytest.mark.parametrize("what", AROUND)
def test_a_wrong_line_around_the_kernels_is_found_out(what: str, backend: str) -> None:
    function, old, new = AROUND[what]
    cell = symrnn.load("lstm")
    begins = {"cpp": f"def {function}(", "cuda": f"def {function}_passes("}[backend]
    report = quick(cell, edited(cell, backend, begins, old, new), backend)
    assert {r.test for r in report.failures} == comparing(function)


@COMPILED
def test_the_number_of_a_step_counts_from_where_the_sequence_began(backend: str) -> None:
    cell = cell_of("in a loop")
    wrong = edited(cell, backend, "void step_before(", "first_step + ", "")
    assert {r.test for r in quick(cell, wrong, backend).failures} == {"infer and step"}


# -- memory --------------------------------------------------------------------------------------------------


@COMPILED
@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in LARGE)) for n in (*FEW, *COUNTING)])
def test_nothing_a_function_returned_changes_or_lies_in_an_argument(name: str, backend: str) -> None:
    """Memory is kept from call to call, and functions of all kinds follow one another at several lengths."""
    cell, module = cell_of(name), module_of(name, backend)
    points = [point(cell, seed=k, steps=3 + k // 2) for k in range(4)]
    found = [every(name, at, module) for at in points]
    kept = [[a.copy() for a in leaves(list(x.values()))] for x in found]
    for at, results, copies in zip(points, found, kept, strict=True):
        for a, b in zip(leaves(list(results.values())), copies, strict=True):
            np.testing.assert_array_equal(a, b)
            assert not any(np.shares_memory(a, given) for given in given_arrays(at))
        again = every(name, at, module)
        for a, b in zip(leaves(list(again.values())), copies, strict=True):
            np.testing.assert_array_equal(a, b)


def given_arrays(at: Point) -> list[np.ndarray]:
    return leaves([at.params, at.inputs, at.state, at.dy, at.dstate])


@COMPILER
@pytest.mark.parametrize("equations", ["y = x", "y = concat(b, x)", "y = x[t-1]", "y = x\nz = concat(x, b)"])
def test_no_result_lies_in_an_argument_of_one_step_and_one_sequence(equations: str) -> None:
    """Where every part of an array is contiguous."""
    outputs, param = ", ".join(x[0] for x in equations.splitlines()), "param b[N]\n" if "b" in equations else ""
    cell = symrnn.parse(f"input x[I]\noutput {outputs}\n{param}{equations}\n", "handed_on")
    module = symrnn.compile(cell, "cpp")
    at = point(cell, steps=1, batch=1)
    for function, results in every("", at, module).items():
        for a in leaves(list(results)):
            assert not any(np.shares_memory(a, given) for given in given_arrays(at)), function


def own(at: Point, module: Any) -> list[np.ndarray]:
    """All that functions return for a sequence, in every mode of memory, once found to be nobody else's."""
    given = (at.params, at.x, at.state)
    found = [module.infer(*given), module.jvp(*given, *given), module.hvp(*given, alone(at.dy), at.dstate, *given)]
    for memory in module.MEMORY:
        y, last, tape = module.forward(*given, memory=memory)
        found += [(y, last), module.backward(at.params, tape, alone(at.dy), at.dstate)]
    for results in found:
        arrays = leaves(results)
        for k, a in enumerate(arrays):
            assert a.flags.writeable
            assert not any(np.shares_memory(a, b) for b in (*given_arrays(at), *arrays[:k]))
    return leaves(found)


#: States that are handed on as they are, forward or backward.
HANDED_ON = "input x[H]\nstate s[H], r[H]\noutput y\ns = s[t-1]\nr = r[t-1] + x\ny = r * x"


@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("name", [*symrnn.gallery(), *COUNTING])
def test_what_a_numpy_module_returns_is_the_callers_own(name: str, steps: int) -> None:
    own(point(cell_of(name), steps), module_of(name, "numpy"))


@BACKENDS
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_what_is_handed_on_is_the_callers_own(steps: int, backend: str) -> None:
    cell = symrnn.parse(HANDED_ON, "handed_on")
    own(point(cell, steps), module_to_check(cell, backend))


@COMPILED
@pytest.mark.parametrize("name", ["lstm", *COUNTING])
def test_what_comes_of_no_steps_is_the_callers_own(name: str, backend: str) -> None:
    at = point(cell_of(name), steps=0)
    found, expected = own(at, module_of(name, backend)), own(at, module_of(name, "numpy"))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


# -- what is compiled ----------------------------------------------------------------------------------------


@COMPILER
def test_kernels_of_a_function_are_compiled_when_it_is_first_called(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = symrnn.load("gru")
    module, at = symrnn.compile(cell, "cpp"), point(cell)
    asked: list[str] = []
    honest = module.library  # type: ignore[attr-defined]
    quickly = lambda text, options: asked.append(options[-1]) or honest(text, ("-O0", *options[-2:]))  # noqa: E731
    module.__dict__["library"] = quickly
    module.step(at.params, at.x[0], at.state)
    assert set(asked) == {"-DSYMRNN_ONLY=SYMRNN_STEP"}
    asked.clear()
    _, _, tape = module.forward(at.params, at.x, at.state)
    module.backward(at.params, tape, alone(at.dy), at.dstate)
    assert set(asked) == {"-DSYMRNN_ONLY=SYMRNN_TRAIN"}


# -- graphs --------------------------------------------------------------------------------------------------


@COMPILER
@pytest.mark.parametrize("name", ["lstm", "gru_d", *COUNTING])
def test_graphs_compute_what_loops_do(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Except step; wherever a sequence begins."""
    device = StandIn()
    monkeypatch.setattr("ctypes.CDLL", device.library)
    cell = cell_of(name)
    module, numpy = with_stand_in(cell, device), module_of(name, "numpy")
    for k in range(4):
        at, resumed = point(cell, seed=k), {"t": 3 * k} if name in COUNTING else {}
        found, expected = every(name, at, module, **resumed), every(name, at, numpy, **resumed)
        for function in found:
            for a, b in zip(leaves(list(found[function])), leaves(list(expected[function])), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13, err_msg=function)
    works = {key[0].__name__: work for key, work in module.__dict__["FREE"]}
    parts = ("train", "states_forward", "states_backward", "infer", "step", "jvp", "hvp")
    assert works.keys() == {f"{part}_passes" for part in parts}
    graphs = {n: [p.graph is not None for p in work.made if p.wants_graph] for n, work in works.items()}
    assert all(made for many in graphs.values() for made in many)
    assert not graphs["step_passes"]
    if name in ("lstm", "gru_d"):
        assert {n: len(many) for n, many in graphs.items()} == {
            "train_passes": 2, "states_forward_passes": 1, "states_backward_passes": 1, "infer_passes": 1,
            "step_passes": 0, "jvp_passes": 1, "hvp_passes": 2,
        }  # fmt: skip
    elif name == "in a loop":
        assert graphs["infer_passes"] and graphs["train_passes"] and graphs["jvp_passes"]
