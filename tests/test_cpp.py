"""The cpp backend: every cell passes the check, the compiler's absence is said, the cache is used."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from points import alone, leaves, point

import symrnn
from symrnn.emit import emit
from symrnn.functions.table import ELEMENTWISE
from symrnn.language.load import heads, parse
from symrnn.loading import module_to_check
from symrnn.native import compiler
from symrnn.printing.spelling import means_something_in_c
from symrnn.proof.check import SHAPES, check

EVERYTHING = [*symrnn.gallery(), *(f"heads/{h}" for h in heads())]
COMPILER = pytest.mark.skipif(compiler.compiler() is None, reason="no C++ compiler: install g++ or clang++")

#: One equation for every function a cell may call elementwise, with arguments where all of them are defined.
ARGUMENTS = {1: "{0}(0.3 + a * a)", 2: "{0}(a, 0.1 * b)", 3: "{0}(a, -1.5 * b * b - 0.4, 1.5 * b * b + 0.4)"}


def everything_elementwise() -> str:
    """A cell that calls every elementwise function and every kind of reduction."""
    lines = ["input x[I]", "state h[H]", "output h", "a = W @ x + U @ h[t-1]", "b = V @ x", "M = outer(a, b)"]
    terms = ["sum(M)", "max(a)", "softmax(b)", "layer_norm(a)", "norm(b)", "mean(a)", "dot(a, b)", "identity(a) @ b"]
    terms[-1] = "logsumexp(b)"
    for name, arity in ELEMENTWISE.items():
        form = "where(a > b, a, b)" if name == "where" else ARGUMENTS[arity].format(name)
        lines.append(f"y_{name} = {form}")
        terms.append(f"y_{name}")
    return "\n".join([*lines, f"h = tanh(0.1 * ({' + '.join(terms)}) + t / 7 + M.T @ a)"])


@pytest.mark.slow
@COMPILER
@pytest.mark.parametrize("name", EVERYTHING)
def test_every_cell_passes(name: str) -> None:
    cell = symrnn.load(name)
    module = symrnn.compile(cell, backend="cpp")
    for dtype, shapes in (("float64", SHAPES), ("float32", SHAPES[:1])):
        report = check(cell, module, "cpp", dtype, shapes)
        assert report.ok, str(report)


@pytest.mark.parametrize("backend", ["numpy", "cpp", "cuda"])
def test_every_target_spells_every_function(backend: str) -> None:
    cell = parse(everything_elementwise(), "everything")
    module = symrnn.compile(cell, backend, **({"host": True} if backend == "cuda" else {}))
    report = check(cell, module, backend)
    assert report.ok, str(report)


#: Equations whose results or gradients are nothing but parts of what is given.
NOT_COMPUTED = ["y = x", "y = concat(b, x)", "y = concat(x, b, x[t-1])", "y = x[t-1]", "y = x\nz = concat(x, b)"]


@pytest.mark.parametrize("backend", ["numpy", "cpp", "cuda"])
@pytest.mark.parametrize("part", ["t * b", "b", "mean(x) * b", "t * b * sum(h[t-1])"])
def test_a_part_of_a_concatenation_is_repeated_where_it_knows_no_batch_or_time(part: str, backend: str) -> None:
    cell = parse(f"input x[I]\nstate h[N]\noutput y, h\nparam b[N]\ny = concat({part}, x)\nh = tanh(W @ x)\n", "parts")
    report = check(cell, symrnn.compile(cell, backend, **({"host": True} if backend == "cuda" else {})), backend)
    assert report.ok, str(report)


@pytest.mark.parametrize("backend", ["numpy", "cpp", "cuda"])
@pytest.mark.parametrize("equations", NOT_COMPUTED)
def test_what_is_only_handed_on_is_returned(equations: str, backend: str) -> None:
    outputs = ", ".join(line[0] for line in equations.splitlines())
    param = "param b[N]\n" if "b" in equations else ""
    cell = parse(f"input x[I]\noutput {outputs}\n{param}{equations}\n", "handed_on")
    report = check(cell, symrnn.compile(cell, backend, **({"host": True} if backend == "cuda" else {})), backend)
    assert report.ok, str(report)


@COMPILER
def test_no_name_meets_a_macro_of_the_system(tmp_path: Path) -> None:
    """Whatever the headers define, in a cell that uses it as a name."""
    source = tmp_path / "kernels.cpp"
    source.write_text(next(a.text for a in emit(symrnn.load("gru"), "cpp") if a.path.endswith(".cpp")))
    found = compiler.compiler()
    assert found is not None
    listed = subprocess.run(
        [found, "-std=c++14", "-dM", "-E", str(source)], capture_output=True, text=True, check=True
    ).stdout
    names = {line.split()[1].split("(")[0] for line in listed.splitlines()}
    clashing = sorted(n for n in names if re.match(r"[A-Za-z]\w*\Z", n) and not means_something_in_c(n))
    assert clashing == []
    cell = parse(
        "input x[H]\nstate h[H]\nparam NAN[H], INFINITY[H]\nEOF = tanh(x)\nh = EOF * M_PI * NAN + INFINITY * h[t-1]",
        "macros",
    )
    assert check(cell, symrnn.compile(cell, backend="cpp"), "cpp", shapes=SHAPES[:1]).ok


@COMPILER
def test_arrays_need_not_be_contiguous() -> None:
    cell = symrnn.load("gru")
    module, at = symrnn.compile(cell, backend="cpp"), point(cell)
    plain, _, tape = module.forward(at.params, at.x, at.state)
    strided = {k: np.asfortranarray(v) for k, v in at.params.items()}
    assert np.array_equal(module.forward(strided, np.asfortranarray(at.x), at.state)[0], plain)
    (dy,) = at.dy.values()
    first, second = (module.backward(p, tape, d)[1] for p, d in ((at.params, dy), (strided, np.asfortranarray(dy))))
    assert np.array_equal(first, second)


@COMPILER
def test_large_and_odd_values_survive_the_vector_functions() -> None:
    """exp, tanh and sigmoid without branches: the far ends, zero, and NaN."""
    cell = parse("input x[H]\noutput y\ny = exp(x)\n", "ends")
    module = symrnn.compile(cell, backend="cpp")
    for dtype in (np.float32, np.float64):
        x = np.array([[[-np.inf, -800, -100, -50, -1e-9, 0, 1e-9, 1, 50, 88, 800, np.inf, np.nan]]], dtype)
        with np.errstate(over="ignore", under="ignore"):
            np.testing.assert_allclose(module.forward({}, x)[0], np.exp(x), rtol=8 * np.finfo(dtype).eps, atol=1e-44)


@COMPILER
@pytest.mark.parametrize("function", ["exp", "tanh", "sigmoid"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_vector_functions_are_accurate(function: str, dtype: type) -> None:
    module = symrnn.compile(parse(f"input x[H]\noutput y\ny = {function}(x)\n", "one"), backend="cpp")
    x = np.concatenate([np.linspace(-30, 30, 4000), np.geomspace(1e-12, 1, 500)])[None, None].astype(dtype)
    wide = x.astype(np.longdouble)
    exact = {"exp": np.exp, "tanh": np.tanh, "sigmoid": lambda a: 1 / (1 + np.exp(-a))}[function](wide)
    error = np.abs(module.forward({}, x)[0] - exact) / np.abs(exact)
    assert error.max() < 4 * np.finfo(dtype).eps


WHY_NONE = {
    "": r"There is no C\+\+ compiler\. Install g\+\+ or clang\+\+, or set CXX\.",
    "no-such g++": r"CXX is 'no-such g\+\+', but there is no such program\. Set it to a C\+\+ compiler, or unset it\.",
}


@pytest.mark.parametrize("named", WHY_NONE)
def test_without_a_compiler_the_numpy_module_comes_with_a_warning(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", named)
    if not named:
        monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.warns(UserWarning, match=f"^{WHY_NONE[named]} Until then the NumPy module"):
        module = symrnn.compile(symrnn.load("elman"), backend="cpp")
    assert not hasattr(module, "SOURCE")
    with pytest.raises(symrnn.UsageError, match=f"^{WHY_NONE[named]}$"):
        compiler.library("", ())
    for backend in ("cpp", "cuda"):
        with pytest.raises(
            symrnn.UsageError, match=f"^{WHY_NONE[named]} Until then the {backend} code of elman cannot"
        ):
            module_to_check(symrnn.load("elman"), backend)


def test_products_of_one_operand_are_one_product() -> None:
    text = next(a.text for a in emit(symrnn.load("lstm"), "cpp") if a.path.endswith(".py"))
    for function in ("forward", "backward", "infer"):
        inside = loops(text.split(f"\ndef {function}(")[1].split("\n\n\n")[0])
        assert inside.count("product(") == 1, function


#: Matrices computed from parameters, the same at every step or another at each.
FIXED = """input x[H]
state h[H]
param A[H, H]
param C[H, H]
P = A - A.T
Q = C * C
z = sigmoid(P @ h[t-1])
n = tanh(Q @ h[t-1] + x)
h = (1 - z) * h[t-1] + z * n
"""
COMPUTED = {
    "fixed": FIXED,
    "changing": FIXED.replace("A - A.T", "A * t").replace("C * C", "C / (1 + t)"),
    "a changing one": "input x[H]\nstate h[H]\nparam A[H, H]\nP = A * t\nh = tanh(P @ h[t-1] + x)\n",
    "a sum": "input x[H]\nstate h[H]\nparam A[H, H]\nP = A - A.T\na = h[t-1] * x\nb = h[t-1] + x\n"
    "h = tanh(P @ a + A.T @ b)\n",
}


@COMPILER
@pytest.mark.parametrize("backend", ["cpp", "cuda"])
@pytest.mark.parametrize("which", COMPUTED)
def test_computed_matrices_are_multiplied_at_every_step(which: str, backend: str) -> None:
    cell = parse(COMPUTED[which], "computed")
    module = symrnn.compile(cell, backend, **({"host": True} if backend == "cuda" else {}))
    report = check(cell, module, backend, shapes=[*SHAPES, (3, 3, (3,))])
    assert report.ok, str(report)


def loops(text: str) -> str:
    """The lines of the loops over time of a generated module."""
    found, depth = [], None
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        depth = None if depth is not None and line.strip() and indent <= depth else depth
        found += [line] if depth is not None else []
        depth = indent if depth is None and line.strip().startswith("for t in ") else depth
    return "\n".join(found)


@pytest.mark.parametrize("backend", ["cpp", "cuda"])
def test_no_loop_over_time_allocates(backend: str) -> None:
    cells = [*(symrnn.load(name) for name in EVERYTHING), *(parse(text, "computed") for text in COMPUTED.values())]
    count = 0
    for cell in cells:
        inside = loops(next(a.text for a in emit(cell, backend) if a.path.endswith(".py")))
        count += inside.count("product(")
        assert not re.search(r"\b(np|cp)\.", inside), f"{cell.name}: {inside}"
    assert count > len(cells)
    fixed = loops(next(a.text for a in emit(parse(FIXED, "fixed"), backend) if a.path.endswith(".py")))
    assert "PQ" in fixed and "PQ[" not in fixed and "= P" not in fixed


@COMPILER
@pytest.mark.parametrize("name", ["lstm", "gru", "lstm_blocks", "mlstm", "mingru", "gru_d", "jordan"])
def test_no_call_changes_what_another_returned(name: str) -> None:
    """Memory is kept from call to call, but nothing of it is ever handed out."""
    cell = symrnn.load(name)
    module, points = symrnn.compile(cell, backend="cpp"), [point(cell, seed=k, steps=4 + k // 2) for k in range(3)]
    runs = [module.forward(p.params, p.x, p.state) for p in points]
    given = [alone(p.dy) for p in points]
    found = [module.backward(p.params, r[2], dy, p.dstate) for p, r, dy in zip(points, runs, given, strict=True)]
    for p, run, dy, gradients in zip(points, runs, given, found, strict=True):
        fresh = symrnn.compile(cell, backend="cpp")
        again = fresh.forward(p.params, p.x, p.state)
        for a, b in zip(
            leaves((run[:2], gradients)),
            leaves((again[:2], fresh.backward(p.params, again[2], dy, p.dstate))),
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)
