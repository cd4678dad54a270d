"""The generated module as its user meets it: errors that name the argument, dtypes kept, only NumPy needed."""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from points import alone, point
from symrnn.generated.numpy import gru_d, lstm

import symrnn
from symrnn import build
from symrnn.emit import emit
from symrnn.native import compiler
from symrnn.proof.check import check

COMPILER = pytest.mark.skipif(compiler.compiler() is None, reason="no C++ compiler: install g++ or clang++")
P = lstm.init(I=3, H=4, seed=0, dtype=np.float64)
X = np.ones((5, 2, 3))
Y, LAST, TAPE = lstm.forward(P, X)
ZERO = np.zeros((2, 4))
GRU_D = gru_d.init(2, 3)
GAPS = {name: np.ones((3, 2), np.float32) for name in gru_d.INPUTS}
KEPT = "input x[H]\nstate s[H]\ns = s[t-1] + x"

WRONG: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "rank of x": (
        lambda m: m.lstm.forward(P, X[0]),
        ValueError,
        r"x must have shape \(T, B, I\) = \(T, B, 3\), but has \(2, 3\)$",
    ),
    "rank of x_t": (
        lambda m: m.lstm.step(P, X),
        ValueError,
        r"x must have shape \(B, I\) = \(B, 3\), but has \(5, 2, 3\)$",
    ),
    "last axis of x_t": (
        lambda m: m.lstm.step(P, X[0, :, :2]),
        ValueError,
        r"x must have shape \(B, I\) = \(2, 3\), but has \(2, 2\)$",
    ),
    "x_t is a list": (lambda m: m.lstm.step(P, X[0].tolist()), TypeError, "x must be a NumPy array, but is list"),
    "batch of an input of x_t": (
        lambda m: m.gru_d.step(GRU_D, GAPS | {"m": GAPS["m"][:1]}),
        ValueError,
        r"m must have shape \(B, I\) = \(3, 2\), but has \(1, 2\)$",
    ),
    "rank of an input without a length that is known": (
        lambda m: m.kept.forward({}, X[0, 0]),
        ValueError,
        r"x must have shape \(T, B, H\), but has \(3,\)$",
    ),
    "shape of one axis": (
        lambda m: m.lstm.forward(P | {"b_i": X[0]}, X),
        ValueError,
        r'params\["b_i"\] must have shape \(H,\) = \(4,\), but has \(2, 3\)$',
    ),
    "last axis of x": (
        lambda m: m.lstm.forward(P, X[..., :2]),
        ValueError,
        r"x must have shape \(T, B, I\) = \(5, 2, 3\), but has \(5, 2, 2\)",
    ),
    "x is a list": (lambda m: m.lstm.forward(P, X.tolist()), TypeError, "x must be a NumPy array, but is list"),
    "x is an integer array": (
        lambda m: m.lstm.forward(P, X.astype(int)),
        TypeError,
        "x must be float32 or float64, but is int64",
    ),
    "x is float16": (lambda m: m.lstm.forward(P, X.astype(np.float16)), TypeError, "float16"),
    "mixed dtypes": (
        lambda m: m.lstm.forward(P, X.astype(np.float32)),
        TypeError,
        "x must be float64 like the other arguments, but is float32",
    ),
    "unknown parameter": (
        lambda m: m.lstm.forward(P | {"W_j": X}, X),
        ValueError,
        'params has no "W_j"; its names are W_i',
    ),
    "missing parameter": (
        lambda m: m.lstm.forward({k: v for k, v in P.items() if k != "b_o"}, X),
        ValueError,
        'params lacks "b_o"',
    ),
    "params is a list": (lambda m: m.lstm.forward(list(P.values()), X), TypeError, "params must be a dict"),
    "unknown state": (lambda m: m.lstm.forward(P, X, {"k": ZERO}), ValueError, 'state has no "k"; its names are h, c'),
    "shape of a state": (
        lambda m: m.lstm.forward(P, X, {"h": ZERO[:1]}),
        ValueError,
        r'state\["h"\] must have shape \(B, H\) = \(2, 4\), but has \(1, 4\)',
    ),
    "dtype of a state": (
        lambda m: m.lstm.forward(P, X, {"c": ZERO.astype(np.float32)}),
        TypeError,
        r'state\["c"\] must be',
    ),
    "shape of dy": (
        lambda m: m.lstm.backward(P, m.tape, Y[1:]),
        ValueError,
        r"dy must have shape \(T, B, H\) = \(5, 2, 4\)",
    ),
    "dtype of dy": (lambda m: m.lstm.backward(P, m.tape, Y.astype(np.float32)), TypeError, "dy must be float64"),
    "params of backward": (
        lambda m: m.lstm.backward(P | {"U_g": X[0]}, m.tape, Y),
        ValueError,
        r'params\["U_g"\] must have shape \(H, H\) = \(4, 4\), but has \(2, 3\)',
    ),
    "a tape of something else": (
        lambda m: m.lstm.backward(P, Y, Y),
        TypeError,
        "tape must be the Tape .* but is ndarray",
    ),
    "a tape of another module": (
        lambda m: m.lstm.backward(P, TAPE, Y),
        TypeError,
        "tape must be the Tape that forward returned, but is a Tape of another module$",
    ),
    "states of another module": (
        lambda m: m.lstm.backward(P, lstm.forward(P, X, memory="states")[2], Y),
        TypeError,
        "tape must be the Tape that forward returned, but is a States of another module$",
    ),
    "a truth for a length": (
        lambda m: m.lstm.init(I=True, H=4),
        ValueError,
        "I must be a whole number from 1, but is True",
    ),
    "a word for a length": (
        lambda m: m.lstm.init(I="3", H=4),
        ValueError,
        "I must be a whole number from 1, but is '3'",
    ),
    "no such dtype": (
        lambda m: m.lstm.init(I=3, H=4, dtype="foo"),
        TypeError,
        "dtype must be float32 or float64, but is 'foo', which NumPy does not know$",
    ),
    "a seed below zero": (
        lambda m: m.lstm.init(I=3, H=4, seed=-1),
        ValueError,
        "seed must be a whole number from 0, but is -1$",
    ),
    "a word for a seed": (
        lambda m: m.lstm.init(I=3, H=4, seed="a"),
        ValueError,
        "seed must be a whole number .* is 'a'$",
    ),
    "no units": (lambda m: m.lstm.init(I=3, H=0), ValueError, "H must be a whole number from 1, but is 0"),
    "half a unit": (lambda m: m.lstm.init(I=3, H=4.5), ValueError, "H must be a whole number"),
    "integer parameters": (lambda m: m.lstm.init(I=3, H=4, dtype=int), TypeError, "dtype must be float32 or float64"),
    "unknown dstate": (lambda m: m.lstm.backward(P, m.tape, Y, {"y": ZERO}), ValueError, 'dstate has no "y"'),
    "missing input": (
        lambda m: m.gru_d.forward(gru_d.init(2, 3), {"x": np.zeros((1, 1, 2), np.float32)}),
        ValueError,
        'inputs lacks "m"',
    ),
    "inputs is an array": (lambda m: m.gru_d.forward(gru_d.init(2, 3), X), TypeError, "inputs must be a dict"),
}


#: What the backends say in words of their own; all else is the same.
WORDS = {
    "numpy": {},
    "cpp": {},
    "cuda": {
        "a NumPy array": "a CuPy array or a device tensor",
        "float32 or float64": "float32, float64, float16, bfloat16",
    },
}


@cache
def modules(backend: str) -> Any:
    """The modules whose functions are called wrongly, and a tape of the right kind."""
    options = {"host": True} if backend == "cuda" else {}
    made = {name: symrnn.compile(symrnn.load(name), backend, **options) for name in ("lstm", "gru_d")}
    made["kept"] = symrnn.compile(symrnn.parse(KEPT), backend, **options)
    return SimpleNamespace(**made, tape=made["lstm"].forward(P, X)[2])


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("backend", ["numpy", *(pytest.param(b, marks=COMPILER) for b in ("cpp", "cuda"))])
def test_a_wrong_argument_is_named(what: str, backend: str) -> None:
    call, kind, message = WRONG[what]
    for usual, own in WORDS[backend].items():
        message = message.replace(usual, own)
    with pytest.raises(kind, match=message):
        call(modules(backend))


@pytest.mark.parametrize("function", ["forward", "infer", "step"])
@pytest.mark.parametrize("wrong", [0.5, 2.0, -1, True, None, "1", np.int64(-1), np.float64(1), np.array([1])], ids=repr)
@pytest.mark.parametrize("backend", ["numpy", *(pytest.param(b, marks=COMPILER) for b in ("cpp", "cuda"))])
def test_the_number_of_the_first_step_is_a_whole_number(backend: str, wrong: object, function: str) -> None:
    module = symrnn.compile(symrnn.load("retnet"), backend, **({"host": True} if backend == "cuda" else {}))
    params, x = module.init(3, 4, 2), np.ones((5, 2, 3), np.float32)
    with pytest.raises(ValueError, match=f"^{re.escape(f't must be a whole number from 0, but is {wrong!r}')}$"):
        getattr(module, function)(params, x[0] if function == "step" else x, t=wrong)


@pytest.mark.parametrize("number", [np.int64(250), np.uint8(250), 250], ids=repr)
def test_the_number_of_the_first_step_may_be_of_any_whole_kind(number: int) -> None:
    module = symrnn.compile(symrnn.load("retnet"))
    params, x = module.init(3, 4, 2), np.ones((20, 2, 3), np.float32)
    expected = module.infer(params, x, t=250)[0]
    for memory in module.MEMORY:
        assert np.array_equal(module.forward(params, x, t=number, memory=memory)[0], expected)


@pytest.mark.parametrize("name", symrnn.gallery())
@pytest.mark.parametrize("backend", ["numpy", *(pytest.param(b, marks=COMPILER) for b in ("cpp", "cuda"))])
def test_what_is_returned_by_name_is_in_the_order_of_the_tables(backend: str, name: str) -> None:
    cell = symrnn.load(name)
    module, at = symrnn.compile(cell, backend, **({"host": True} if backend == "cuda" else {})), point(cell)
    module.__dict__["bound"] = lambda *_: lambda *_: lambda *_: None  # what kernels compute does not matter
    given = (at.params, at.x, dict(reversed(at.state.items())))
    with np.errstate(all="ignore"):
        step = module.step(at.params, alone({n: a[0] for n, a in at.inputs.items()}), given[2])
        jvp, hvp = module.jvp(*given), module.hvp(*given, alone(at.dy), at.dstate)
        ahead = [step, module.infer(*given), jvp[:2], jvp[2:]]
        back = [hvp]
        for memory in module.MEMORY:
            *results, tape = module.forward(*given, memory=memory)
            ahead.append(results)
            back.append(module.backward(dict(reversed(at.params.items())), tape, alone(at.dy), at.dstate))
    for y, last in ahead:
        assert list(last) == list(module.STATES) and (not isinstance(y, dict) or list(y) == list(module.OUTPUTS))
    for dparams, dx, dstate in back:
        assert list(dparams) == list(module.PARAMS) and list(dstate) == list(module.STATES)
        assert not isinstance(dx, dict) or list(dx) == list(module.INPUTS)


@pytest.mark.parametrize("name", symrnn.gallery())
def test_dtypes_are_never_mixed(name: str) -> None:
    cell = symrnn.load(name)
    module, p = build.compile(cell), point(cell)
    single = {
        k: {n: a.astype(np.float32) for n, a in getattr(p, k).items()}
        for k in ("params", "inputs", "state", "dy", "dstate")
    }
    x = single["inputs"] if len(single["inputs"]) > 1 else next(iter(single["inputs"].values()))
    y, last, tape = module.forward(single["params"], x, single["state"])
    dy = single["dy"] if len(single["dy"]) > 1 else next(iter(single["dy"].values()))
    dparams, dx, dstart = module.backward(single["params"], tape, dy, single["dstate"])
    for group in (
        y,
        last,
        dparams,
        dx,
        dstart,
        {n: a for n, a in tape._asdict().items() if n not in ("size", "dtype")},
    ):
        for key, array in (group if isinstance(group, dict) else {"": group}).items():
            assert isinstance(array, int | float) or array.dtype == np.float32, key


def test_none_and_missing_cotangents_are_zero() -> None:
    zero = lstm.backward(P, TAPE, None)
    assert all((g == 0).all() for g in (*zero[0].values(), zero[1], *zero[2].values()))
    whole = lstm.backward(P, TAPE, Y, {"h": ZERO, "c": ZERO})
    part = lstm.backward(P, TAPE, Y)
    assert all((whole[0][k] == part[0][k]).all() for k in P)


def test_a_sequence_in_two_pieces_is_the_sequence() -> None:
    first, middle, _ = lstm.forward(P, X[:2])
    second, last, _ = lstm.forward(P, X[2:], middle)
    np.testing.assert_allclose(np.concatenate([first, second]), Y, rtol=1e-15)
    np.testing.assert_allclose(last["c"], LAST["c"], rtol=1e-15)


def test_an_empty_sequence_hands_the_state_through() -> None:
    y, last, tape = lstm.forward(P, X[:0], {"h": ZERO + 1})
    assert y.shape == (0, 2, 4) and (last["h"] == 1).all()
    _, _, dstart = lstm.backward(P, tape, None, {"h": ZERO + 2})
    assert (dstart["h"] == 2).all()


def test_changing_what_forward_returned_does_not_spoil_the_tape() -> None:
    y, last, tape = lstm.forward(P, X)
    before = lstm.backward(P, tape, Y)[0]
    y += 1
    last["h"] += 1
    after = lstm.backward(P, tape, Y)[0]
    assert all((before[k] == after[k]).all() for k in P)


def test_non_contiguous_arrays_are_fine() -> None:
    strided = np.asfortranarray(np.repeat(X, 2, axis=2)[..., ::2])
    np.testing.assert_allclose(lstm.forward(P, strided)[0], Y, rtol=1e-14)


def test_extreme_inputs_raise_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y, _, tape = lstm.forward(P, X * 1e4)
        grads = lstm.backward(P, tape, y)
    assert np.isfinite(y).all() and all(np.isfinite(g).all() for g in grads[0].values())


ALONE = """
import sys
sys.modules.update(dict.fromkeys(["symrnn", "sympy", "jinja2"]))  # an import of one of them fails
import numpy as np
import slstm
p = slstm.init(2, 3)
x = np.linspace(-1, 1, 8, dtype=np.float32).reshape(4, 1, 2)
y, last, tape = slstm.forward(p, x)
dparams, dx, dstate = slstm.backward(p, tape, y, last)
np.savez("results", y=y, dx=dx, **dparams)
"""


@pytest.mark.parametrize("backend", ["numpy", pytest.param("cpp", marks=COMPILER)])
def test_the_module_needs_no_symrnn(backend: str, tmp_path: Path) -> None:
    for artifact in emit(symrnn.load("slstm"), backend):
        (tmp_path / artifact.path).write_text(artifact.text, encoding="utf-8")
    environment = os.environ | {"SYMRNN_CACHE": str(tmp_path / "store")}
    subprocess.run([sys.executable, "-c", ALONE], cwd=tmp_path, env=environment, check=True, timeout=60)
    module = symrnn.compile(symrnn.load("slstm"))
    params, x = module.init(2, 3), np.linspace(-1, 1, 8, dtype=np.float32).reshape(4, 1, 2)
    y, last, tape = module.forward(params, x)
    dparams, dx, _ = module.backward(params, tape, y, last)
    found = np.load(tmp_path / "results.npz")
    for name, value in {"y": y, "dx": dx, **dparams}.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-6)


def test_no_function_of_a_generated_module_takes_the_name_of_another() -> None:
    for path in files("symrnn.generated").joinpath("cpp").iterdir():
        if path.name.endswith(".py"):
            body = ast.parse(path.read_text(encoding="utf-8")).body
            names = [n.name for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
            names += [t.id for n in body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)]
            assert len(names) == len(set(names)), path.name


def test_tracebacks_show_generated_lines() -> None:
    module = symrnn.compile(symrnn.load("elman"))
    try:
        module.forward({}, X)
    except ValueError:
        assert "inputs, params = named(" in traceback.format_exc()


def test_names_that_would_hide_pythons_own_are_spelled_apart() -> None:
    cell = symrnn.parse(
        "input params[I]\nstate tape[H]\nT = sigmoid(B @ params + np * tape[t-1] + dy)\n"
        "size = tanh(range @ params + len @ tape[t-1])\ntape = T * size",
        "nasty",
    )
    assert check(cell).ok


@pytest.mark.parametrize("text", ["y = x", "y = x.T", "y = tanh(x)\nz = x", "y = concat(sum(x), norm(x))"])
def test_no_result_shares_memory_with_an_argument(text: str) -> None:
    module = symrnn.compile(symrnn.parse(f"input x[N, N]\noutput {', '.join(e[0] for e in text.splitlines())}\n{text}"))
    x = np.random.default_rng(0).normal(size=(3, 2, 4, 4))
    y, _, tape = module.forward({}, x)
    dy = {n: np.ones_like(a) for n, a in y.items()} if isinstance(y, dict) else np.ones_like(y)
    _, dx, _ = module.backward({}, tape, dy)
    given = [x, *(dy.values() if isinstance(dy, dict) else [dy])]
    results = [dx, *(y.values() if isinstance(y, dict) else [y])]
    assert all(r.flags.writeable and not np.shares_memory(r, g) for r in results for g in given)


SPARE_SIZES = "input x[I], mask[M]\nstate h[H]\nh = tanh(U @ h[t-1] + b + sum(x) + sum(mask)) / sqrt(M)"


@pytest.mark.parametrize("backend", ["numpy", "cpp", "cuda"])
def test_init_asks_only_for_sizes_that_a_parameter_has(backend: str) -> None:
    module = build.compile(symrnn.parse(SPARE_SIZES), backend)
    assert list(inspect.signature(module.init).parameters) == ["H", "seed", "dtype", "I", "M"]


def test_init_ignores_sizes_that_no_parameter_has() -> None:
    module = build.compile(symrnn.parse(SPARE_SIZES))
    few, all_sizes = module.init(4), module.init(H=4, I=2, M=3)
    assert {n: a.shape for n, a in few.items()} == {"U": (4, 4), "b": (4,)}
    assert all(np.array_equal(a, all_sizes[n]) for n, a in few.items())
    with pytest.raises(TypeError, match="K"):
        module.init(4, K=3)


def test_init_of_a_composite_axis_asks_for_its_parts() -> None:
    text = "input x[I]\nstate h[H]\noutput y\nh = h[t-1] + sum(x)\ny = dot(w, concat(h, x))"
    assert list(inspect.signature(build.compile(symrnn.parse(text)).init).parameters) == ["I", "H", "seed", "dtype"]


@pytest.mark.parametrize("backend", ["numpy", "cpp"])
def test_a_loop_that_hands_nothing_on_but_rows_is_well_formed(backend: str) -> None:
    text = "input x[I]\nstate M[N, D]\noutput y\na = softmax(M[t-1] @ (W_q @ x))\ny = M[t-1].T @ a\n"
    report = check(symrnn.parse(text + "M = M[t-1] + outer(a, W_v @ x)"), backend=backend)
    assert report.ok, str(report)
