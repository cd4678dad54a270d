"""What modules keep for the way back: nothing twice, nothing that grows, and in each mode no more than it says."""

from __future__ import annotations

from functools import cache
from types import ModuleType

import numpy as np
import pytest
from points import Point, alone, leaves, point

import symrnn
from symrnn.calculus.derive import derive
from symrnn.calculus.ir import expands
from symrnn.emit import Artifact, emit
from symrnn.loading import module_to_check
from symrnn.native.compiler import compiler
from symrnn.proof.check import SMALL, check
from symrnn.schedule import Entries, schedule
from symrnn.schedule.program import read_in
from symrnn.targets import cpp, numpy

CELLS = symrnn.gallery()
needs_compiler = pytest.mark.skipif(compiler() is None, reason="no C++ compiler: install g++ or clang++")


BACKENDS = ["numpy"] + [pytest.param(x, marks=needs_compiler) for x in ("cpp", "cuda")]


@cache
def module(name: str, backend: str = "numpy") -> ModuleType:
    return module_to_check(symrnn.load(name), backend)


def buffer(a: np.ndarray) -> int:
    """The array that owns the memory."""
    while isinstance(a.base, np.ndarray):
        a = a.base
    return id(a)


def kept(tape: object) -> list[np.ndarray]:
    return [a for a in tape if isinstance(a, np.ndarray)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", CELLS)
def test_what_grows_is_not_saved(name: str) -> None:
    program = schedule(derive(symrnn.load(name)), cpp.PASSES)
    made = {s.out.name: s for sweep in program.sweeps for s in sweep.statements()}
    assert not [n for n in program.saved if n in made and expands(made[n])]


@pytest.mark.parametrize("passes", [numpy.PASSES, cpp.PASSES], ids=["numpy", "cpp"])
@pytest.mark.parametrize("name", CELLS)
def test_what_grows_for_the_loop_is_computed_in_the_loop(name: str, passes: tuple[str, ...]) -> None:
    program = schedule(derive(symrnn.load(name)), passes)
    for sweep in program.sweeps:
        large = {s.out.name for s in sweep.statements() if expands(s) and program.values[s.out.name].timed}
        elsewhere = read_in((*sweep.before, *sweep.after)) | program.read_by_others(sweep) | {*program.results}
        assert not (large & {s.out.name for s in sweep.before} & read_in(sweep.loop)) - elsewhere


@pytest.mark.parametrize("name", CELLS)
def test_a_tape_has_nothing_twice(name: str) -> None:
    p = point(symrnn.load(name))
    _, _, tape = module(name).forward(p.params, p.x, p.state)
    buffers = [buffer(a) for a in kept(tape)]
    assert len(buffers) == len({*buffers})


def test_the_tape_of_a_matrix_memory_is_hardly_larger_than_its_states() -> None:
    """T=100, B=16, all axes 64, in float32, counted in the schedule: 26 MB of states."""
    program = Entries(symrnn.load("mlstm"), numpy.PASSES).train
    steps = {"T": 100, "B": 16}

    def size(name: str) -> int:
        v = program.values[name]
        return 4 * int(np.prod([64] * len(v.axes) + [steps["T"]] * v.timed + [steps["B"]] * v.batched))

    sources = {c.source: c.arrives for c in program.sweeps[0].carried}
    once = [n for n in program.saved if sources.get(n) not in program.saved]
    assert sum(map(size, once)) < 32e6


OF_MODES = {"memory, forward", "memory, backward", "infer and step"}  # "sqrt" infers

# -- modes -------------------------------------------------------------------------------------------------


def trained(m: ModuleType, p: Point, **mode: object) -> list[np.ndarray]:
    """Everything forward and backward return, but for the tape."""
    y, last, tape = m.forward(p.params, p.x, p.state, **mode)
    dy = p.dy if isinstance(y, dict) else next(iter(p.dy.values()))
    return leaves([y, last, m.backward(p.params, tape, dy, p.dstate)])


def size(arrays: dict[str, np.ndarray]) -> int:
    return sum(a.nbytes for a in arrays.values())


@pytest.mark.parametrize("name", CELLS)
def test_states_keep_inputs_and_states(name: str) -> None:
    p, m = point(symrnn.load(name), steps=40), module(name)
    _, _, tape = m.forward(p.params, p.x, p.state, memory="states")
    assert m.nbytes(tape) <= 1.05 * (size(p.inputs) + 40 * size(p.state))


@pytest.mark.parametrize("name", CELLS)
def test_checkpoints_keep_inputs_and_the_root_of_all_states(name: str) -> None:
    p, m = point(symrnn.load(name), steps=50), module(name)
    _, _, tape = m.forward(p.params, p.x, p.state, memory="sqrt")
    assert m.nbytes(tape) <= size(p.inputs) + 8 * size(p.state)


def test_bytes_are_those_of_all_arrays() -> None:
    p, m = point(symrnn.load("lem"), steps=10), module("lem")
    _, _, tape = m.forward(p.params, p.x, p.state)
    assert m.nbytes(tape) == sum(a.nbytes for a in kept(tape)) > 0


@pytest.mark.parametrize("mode", ["states", "sqrt"])
@pytest.mark.parametrize("name", CELLS)
def test_modes_give_the_same(name: str, mode: str) -> None:
    """Whatever the length, also one that is no square, and in both element types."""
    m = module(name)
    for steps, dtype, tolerance in (
        (0, "float64", 0),
        (1, "float64", 1e-12),
        (7, "float64", 1e-12),
        (3, "float32", 1e-3),
    ):
        p = point(symrnn.load(name), steps=steps).of(dtype)
        for found, expected in zip(trained(m, p, memory=mode), trained(m, p), strict=True):
            assert found.dtype == expected.dtype == dtype and type(found) is type(expected)
            scale = np.abs(expected).max(initial=1)
            np.testing.assert_allclose(found / scale, expected / scale, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("mode", ["all", "states", "sqrt"])
@pytest.mark.parametrize("name", ["retnet", "lstm_gaussian"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_sequence_goes_on_where_it_was_left(name: str, mode: str, backend: str) -> None:
    """Cells that read the number of the step are told it."""
    p, m = point(symrnn.load(name), steps=9), module(name, backend)
    whole, _, _ = m.forward(p.params, p.x, p.state)
    head, state, _ = m.forward(p.params, p.x[:4], p.state, memory=mode)
    tail, _, tape = m.forward(p.params, p.x[4:], state, memory=mode, t=4)
    np.testing.assert_allclose(np.concatenate([head, tail]), whole, rtol=1e-12, atol=1e-14)
    (dy,) = p.dy.values()
    _, dx, _ = m.backward(p.params, tape, dy[4:], p.dstate)
    _, _, of_all = m.forward(p.params, p.x, p.state)
    _, expected, _ = m.backward(p.params, of_all, np.concatenate([0 * dy[:4], dy[4:]]), p.dstate)
    np.testing.assert_allclose(dx, expected[4:], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", ["none", "", None, 3, "ALL"])
def test_a_mode_that_does_not_exist_is_an_error_that_names_the_modes(mode: object, backend: str) -> None:
    p, m = point(symrnn.load("gru")), module("gru", backend)
    with pytest.raises(ValueError, match='memory must be "all", "states" or "sqrt", but is ') as error:
        m.forward(p.params, p.x, p.state, memory=mode)
    assert repr(mode) in str(error.value)


#: A fault in each function that belongs to a mode: backend, cell, function, what stands there, and instead of it.
FAULTS = [
    ("numpy", "gru", "forward_states", "h_prev[t] @ U_rz", "h_prev[0] @ U_rz"),
    ("numpy", "gru", "backward_states", "z * (1 - n**2)", "z * (1 + n**2)"),
    ("numpy", "gru", "backward_states", "sigmoid(times(x, W_r.T)", "sigmoid(2 * times(x, W_r.T)"),
    ("numpy", "gru", "forward_sqrt", "states.append(state)", "states.append({**state, 'h': 0 * state['h']})"),
    ("numpy", "gru", "backward_sqrt", "a + dparams[name] if name in dparams else a", "a"),
    ("numpy", "gru", "backward_sqrt", "more, part, dstate =", "more, part, _ ="),
    ("numpy", "gru", "backward_sqrt", "parts[::-1]", "parts"),
    ("numpy", "retnet", "forward_sqrt", "t + steps.start", "t"),
    ("numpy", "retnet", "backward_sqrt", "t=tape.t + steps.start", "t=tape.t"),
    ("numpy", "narx", "forward_sqrt", "states.append(state)", "states.append({**state, 'h_lag2': state['h_lag1']})"),
    ("cpp", "gru", "forward_states", "h_rows[0] = state", "h_rows[0] = 2 * state"),
    ("cpp", "gru", "backward_states", "h_rows = tape.h_rows", "h_rows = tape.h_rows[::-1].copy()"),
    ("cpp", "gru", "backward_sqrt", "more, part, dstate =", "more, part, _ ="),
    ("cpp", "retnet", "forward_sqrt", "t + steps.start", "t"),
    ("cuda", "gru", "states_forward_passes", "h_rows[0] = state", "h_rows[0] = 2 * state"),
    ("cuda", "gru", "states_backward_passes", 'tape.arrays["h_rows"]', '2 * tape.arrays["h_rows"]'),
    ("cuda", "gru", "backward_sqrt", "parts[::-1]", "parts"),
    ("cuda", "retnet", "infer_passes", "first_step[...] = t", "first_step[...] = 0"),
]


@pytest.mark.parametrize(("backend", "name", "function", "right", "wrong"), FAULTS, ids=lambda x: str(x)[:24])
def test_check_finds_faults_of_every_mode(backend: str, name: str, function: str, right: str, wrong: str) -> None:
    if backend != "numpy" and compiler() is None:
        pytest.skip("no C++ compiler: install g++ or clang++")
    cell = symrnn.load(name)
    module, *others = emit(cell, backend)
    before, after = module.text.split(f"def {function}(")
    assert right in after.split("\ndef ")[0]
    text = f"{before}def {function}({after.replace(right, wrong, 1)}"
    faulty = module_to_check(cell, backend, [Artifact(module.path, text), *others])
    report = check(cell, faulty, backend, shapes=[SMALL])
    assert report.failures and {row.test for row in report.failures} <= OF_MODES


@pytest.mark.parametrize("mode", ["all", "states", "sqrt"])
@pytest.mark.parametrize("name", ["gru", "lstm", "narx", "mlstm"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_state_that_was_given_may_be_used_again_before_backward(name: str, mode: str, backend: str) -> None:
    """Truncated training carries a state over in one buffer."""
    cell = symrnn.load(name)
    p, made = point(cell, steps=9), module(name, backend)
    _, _, tape = made.forward(p.params, p.x, p.state, memory=mode)
    expected = made.backward(p.params, tape, alone(p.dy), p.dstate)
    state = {n: a.copy() for n, a in p.state.items()}
    _, last, tape = made.forward(p.params, p.x, state, memory=mode)
    for n, a in state.items():
        a[:] = last[n]
    found = made.backward(p.params, tape, alone(p.dy), p.dstate)
    for n, a in expected[0].items():
        np.testing.assert_array_equal(found[0][n], a, err_msg=n)
    for n, a in expected[2].items():
        np.testing.assert_array_equal(found[2][n], a, err_msg=n)


@pytest.mark.parametrize("first", [2**24, 2**24 + 1])
def test_steps_are_counted_beyond_what_an_element_can_count(first: int) -> None:
    """Each step's number is rounded, not what is added from step to step."""
    cell = symrnn.parse("input x[H]\nstate s[H]\ns = 0.5 * s[t-1] + x * t\n", "late")
    made, x = module_to_check(cell), np.ones((50, 1, 1), np.float32)
    whole, last = made.infer({}, x, t=first)
    state = None
    for k in range(50):
        _, state = made.step({}, x[k], state, t=first + k)
    np.testing.assert_array_equal(last["s"], state["s"])
    assert whole[-1] == last["s"]
