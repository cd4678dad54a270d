"""What is generated is proved first: what becomes of wrong modules, of errors of a millionth, of texts known before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from points import point
from timing import work
from typer.testing import CliRunner

import symrnn
from symrnn import build, emit, loading
from symrnn.calculus import derive, partials
from symrnn.calculus.ir import Step
from symrnn.cli.main import app
from symrnn.emit import Artifact
from symrnn.errors import CheckFailed, UsageError
from symrnn.loading import module_to_check
from symrnn.native import compiler
from symrnn.proof import prove as proof
from symrnn.proof.check import SHAPES, SMALL, check, clear, quick, sizes_at
from symrnn.proof.comparison import Comparison
from symrnn.proof.trial import Trial

NEEDS_COMPILER = pytest.mark.skipif(compiler.compiler() is None, reason="no C++ compiler: install g++ or clang++")
OWN = "input x[I]\nstate h[H]\nh = tanh(W @ x + U @ h[t-1] + b) * {k}\n"


@pytest.fixture(autouse=True)
def nothing_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "_passed", set())


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every generated tanh has the derivative 1 - y."""
    honest = partials.local_edges

    def planted(edge: partials.Edge) -> partials.Edge:
        partial = edge.partial
        return edge if partial is None else replace(edge, partial=partial.replace(lambda e: e.is_Pow, lambda e: e.base))

    def local_edges(step: Step) -> tuple[partials.Edge, ...]:
        return tuple(map(planted, honest(step)))

    monkeypatch.setattr(derive, "local_edges", local_edges)
    for cached in (derive.derive, emit.emit):
        cached.cache_clear()


# -- a wrong module ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["numpy", "cpp", "cuda"])
def test_wrong_code_is_not_handed_out(backend: str, wrong: None) -> None:
    cell = symrnn.parse(OWN.format(k=1.5), "own")
    with pytest.raises(CheckFailed, match=r"complex step: dW .*WRONG"):
        symrnn.compile(cell, backend)
    assert "NOT CHECKED" in emit.emit(cell, backend, checked=False)[0].text
    assert symrnn.compile(cell, backend, check=False).PARAMS


def test_gradients_of_another_element_type_are_wrong() -> None:
    cell = symrnn.parse(OWN.format(k=1), "own")
    module = loading.module_of(cell)
    honest = module.backward

    def backward(*args: Any) -> tuple[Any, Any, Any]:
        dparams, dx, dstate = honest(*args)
        return dparams | {"b": dparams["b"].astype("float64")}, dx, dstate

    assert check(cell, module, dtype="float32", shapes=SHAPES[:1]).ok
    module.__dict__["backward"] = backward
    report = check(cell, module, dtype="float32", shapes=SHAPES[:1])
    assert [row.quantity for row in report.failures] == ["shape or dtype of db"]


def test_a_name_of_the_gallery_proves_nothing(wrong: None) -> None:
    with pytest.raises(CheckFailed, match="WRONG"):
        symrnn.compile(symrnn.parse(OWN.format(k=1.5), "gru"))


def test_generate_writes_nothing_of_wrong_code(wrong: None, tmp_path: Path) -> None:
    (tmp_path / "own.cell").write_text(OWN.format(k=1.5))
    (tmp_path / "good.cell").write_text("input x[I]\noutput y\ny = sin(x)\n")
    cells, to = [str(tmp_path / "good.cell"), str(tmp_path / "own.cell")], ["-o", str(tmp_path / "to")]
    result = CliRunner().invoke(app, ["generate", *cells, *to])
    assert result.exit_code == 1 and "dW" in result.output and "WRONG" in result.output
    assert not (tmp_path / "to").exists()
    assert CliRunner().invoke(app, ["generate", cells[1], "--no-check", *to]).exit_code == 0
    assert "# NOT CHECKED" in (tmp_path / "to" / "own.py").read_text()


def test_what_lies_there_unchecked_is_checked_next_time(tmp_path: Path) -> None:
    (tmp_path / "own.cell").write_text(OWN.format(k=2))
    for option, said in (["--no-check"], True), ([], False):
        assert (
            CliRunner().invoke(app, ["generate", str(tmp_path / "own.cell"), *option, "-o", str(tmp_path)]).exit_code
            == 0
        )
        assert ("NOT CHECKED" in (tmp_path / "own.py").read_text()) is said


def test_a_text_is_proved_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    proved: list[str] = []
    honest = proof.quick
    monkeypatch.setattr(proof, "quick", lambda cell, *rest: proved.append(cell.name) or honest(cell, *rest))
    cell = symrnn.parse(OWN.format(k=3), "own")
    symrnn.compile(cell), symrnn.compile(cell), symrnn.compile(symrnn.load("lstm"))
    assert proved == ["own"] * 2, "in both types, once; the gallery's files are proved by these tests"
    proof._passed.clear()
    request = build.Request(cell, ("numpy",), folders=(tmp_path,))
    build.write(build.tree(build.generated(request).values()), tmp_path)
    proof._passed.clear()
    build.generated(request)
    assert proved == ["own"] * 4, "what lies there already is not proved again"


def test_what_cannot_be_proved_says_how_to_have_it_all_the_same() -> None:
    cell = symrnn.parse("input x[I]\nstate h[H]\nh = W @ x + relu(0 * h[t-1])", "stuck")
    with pytest.raises(UsageError, match=r"kink.*--no-check, or check=False"):
        symrnn.compile(cell)
    assert symrnn.compile(cell, check=False).STATES


@pytest.mark.parametrize("backend", ["cpp", "cuda"])
def test_without_a_compiler_nothing_compiled_is_proved(
    backend: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UsageError, match=f"CXX is .* the {backend} code of own cannot be checked"):
        build.generated(build.Request(symrnn.parse(OWN.format(k=4), "own"), (backend,), folders=(tmp_path,)))


def test_single_precision_that_turns_double_is_not_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = symrnn.parse(OWN.format(k=5), "own")
    (artifact,) = emit.emit(cell)
    doubled = replace(artifact, text=artifact.text.replace("    return h.copy()", "    return h.astype(np.float64)"))
    proof.prove(cell, "numpy", [artifact])
    with pytest.raises(CheckFailed, match="shape or dtype of h"):
        proof.prove(cell, "numpy", [doubled])


def test_the_proof_of_an_lstm_takes_no_time() -> None:
    cell = replace(symrnn.load("lstm"), name="own")
    files = emit.emit(cell)
    proof.prove(symrnn.load("gru"), "numpy", emit.emit(symrnn.load("gru")))  # imports
    with work() as seconds:
        proof.prove(cell, "numpy", files)
        assert seconds() < 0.3


# -- what is let through -------------------------------------------------------------------------------------

#: Cells whose values or slopes are enormous, cancel, or are nearly nothing.
HARD = {
    "variational": """
        input x[I], e[K]
        state h[H]
        output loss
        param W_m[K, H], W_s[K, H]
        h = tanh(W @ x + U @ h[t-1] + b)
        m = W_m @ h
        s = exp(20 * (W_s @ h))
        z = m + s * e
        y = V @ z + c
        loss = sum((x - y) ** 2) + 0.5 * sum(m ** 2 + s ** 2 - 2 * log(s) - 1)
    """,
    "large": "input x[I]\nstate h[H]\noutput y\nh = tanh(W @ x + U @ h[t-1])\ny = 1e15 + h",
    "steep": "input x[I]\nstate h[H]\noutput y\nh = tanh(W @ x + U @ h[t-1])\ny = exp(30 * h) * 1e20",
    "powers": "input x[I]\nstate h[I]\nh = (x + 1) ** 60 + h[t-1]",
    "pole": "input x[I]\nstate h[H]\nh = (1.2 + tanh(W @ x + U @ h[t-1])) ** -4",
    "chaos": "input x[H]\nstate c[H]\nconst eps = 0.01\nc = softmax(cos(c[t-1] + x)) / eps",
    "covariance": """
        input y[H]
        state s[H], p[H]
        k = p[t-1] / (p[t-1] - sigmoid(r) * p[t-1] + 0.001)
        s = s[t-1] + k * (y - s[t-1])
        p = (1 - k) * p[t-1] + q
    """,
    "tiny": "input x[I]\nstate h[H]\noutput y\nh = tanh(W @ x + U @ h[t-1])\ny = 1e-12 * h",
    "normalised": "input u[H]\nstate h[H]\noutput y\nh = tanh(u)\ny = layer_norm(u[t-2] * h[t-1])",
}
EASY = ("lstm", "gru", "mlstm", "lstm_layernorm", "slstm")


def cell_of(name: str) -> symrnn.cells.Cell:
    return symrnn.parse(dedent(HARD[name]), name) if name in HARD else symrnn.load(name)


@pytest.mark.parametrize("backend", ["numpy", "cpp"])
@pytest.mark.parametrize("name", HARD)
def test_rounding_is_no_fault(name: str, backend: str) -> None:
    cell = cell_of(name)
    assert (report := check(cell, loading.module_of(cell, backend), backend)).ok, str(report)


def spoilt(module: ModuleType, what: str, name: str, by: float) -> Any:
    """The module with one result off by a factor."""

    def forward(params: Any, x: Any, state: Any = None, **options: Any) -> Any:
        y, last, tape = module.forward(params, x, state, **options)
        if what == "output":
            y = y * by if not isinstance(y, dict) else y | {name: y[name] * by}
        return y, last | ({name: last[name] * by} if what == "last" else {}), tape

    def backward(params: Any, tape: Any, dy: Any, dstate: Any = None) -> Any:
        dparams, dx, dstart = module.backward(params, tape, dy, dstate)
        if what == "input":
            dx = dx * by if not isinstance(dx, dict) else dx | {name: dx[name] * by}
        dparams = dparams | ({name: dparams[name] * by} if what == "param" else {})
        return dparams, dx, dstart | ({name: dstart[name] * by} if what == "state" else {})

    return with_others(module, forward=forward, backward=backward)


def with_others(module: ModuleType, **changed: Any) -> Any:
    """The module with some of its functions changed."""
    return SimpleNamespace(**vars(module) | changed)


#: Everything that the module of an LSTM gives back, but one state and one output, which are the same array.
PLACES = [("output", "h"), ("last", "c"), ("input", "x"), ("state", "h"), ("state", "c")]
PLACES += [("param", p.name) for p in symrnn.load("lstm").params]


@pytest.mark.parametrize("name", [*HARD, *EASY])
def test_an_error_of_a_millionth_is_never_let_through(name: str) -> None:
    cell = cell_of(name)
    module = loading.module_of(cell)
    places = [("output", v.name) for v in cell.outputs] + [("last", c.name) for c in cell.carries]
    places += [("input", v.name) for v in cell.inputs] + [("param", v.name) for v in cell.params]
    places += [("state", c.name) for c in cell.carries]
    for what, at in places:
        bad = spoilt(module, what, at, 1 + 1e-6)
        assert not check(cell, bad).ok, f"{what} {at}"


@pytest.mark.parametrize("by", [1 + 1e-9, float("nan")])
@pytest.mark.parametrize(("what", "at"), PLACES)
def test_of_a_plain_cell_every_test_sees_an_error_of_a_billionth(what: str, at: str, by: float) -> None:
    cell = symrnn.load("lstm")
    report = check(cell, spoilt(loading.module_of(cell), what, at, by), shapes=[SHAPES[0]])
    if what in ("output", "last"):
        assert {r.test for r in report.failures} == {"forward", "memory, forward"}
        assert "dot product" in {r.test for r in report.rows}, "the gradients are compared all the same"
    else:
        found = {r.test for r in report.failures} - {"differences"}
        assert found == {"dot product", "complex step", "memory, backward"}


@pytest.mark.parametrize(("what", "at"), PLACES)
def test_float32_hides_no_error_of_a_thousandth(what: str, at: str) -> None:
    cell = symrnn.load("lstm")
    module = loading.module_of(cell)
    some = SHAPES[:2]  # along one random direction a gradient may happen to be small
    assert check(cell, module, dtype="float32", shapes=some).ok
    assert not check(cell, spoilt(module, what, at, 1.001), dtype="float32", shapes=some).ok


def test_a_small_component_is_compared_with_itself() -> None:
    cell = symrnn.parse("input x[H]\nstate h[H]\noutput y\nh = tanh(x + h[t-1])\ny = concat(x, 0.01 * h)", "own")
    module = loading.module_of(cell)

    def forward(params: Any, x: Any, state: Any = None, **options: Any) -> Any:
        y, last, tape = module.forward(params, x, state, **options)
        y[..., y.shape[-1] // 2 :] *= 1 + 2e-11
        return y, last, tape

    report = check(cell, with_others(module, forward=forward), shapes=[SHAPES[0]])
    assert {r.test for r in report.failures} == {"forward", "memory, forward"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_another_type_of_number_is_no_result(dtype: str) -> None:
    cell = symrnn.load("lstm")
    module = loading.module_of(cell)
    other = {"float32": "float64", "float64": "float32"}[dtype]

    def forward(params: Any, x: Any, state: Any = None, **options: Any) -> Any:
        y, last, tape = module.forward(params, x, state, **options)
        return y.astype(other), last, tape

    report = check(cell, with_others(module, forward=forward), dtype=dtype, shapes=[SHAPES[0]])
    wrong = ["shape or dtype of h", "shape or dtype of states: h", "shape or dtype of sqrt: h"]
    assert [r.quantity for r in report.failures] == wrong


@pytest.mark.parametrize(("factor", "dtype"), [(1e12, "float64"), (1e20, "float64"), (1e5, "float32")])
def test_where_an_error_could_hide_at_every_point_nothing_is_said_to_be_proved(factor: float, dtype: str) -> None:
    cell = symrnn.parse(f"input x[I]\noutput y\nparam W[H, I]\ny = sin({factor} * (W @ x))", "rough")
    with pytest.raises(UsageError, match="rounding alone changes rough"):
        check(cell, loading.module_of(cell), dtype=dtype)


def test_an_output_that_is_mere_rounding_is_not_said_to_be_proved() -> None:
    cell = symrnn.parse("input x[I]\noutput y\nparam W[H, I]\nq = W @ x\ny = log(exp(q)) - q", "nothing")
    with pytest.raises(UsageError, match="rounding alone changes nothing"):
        check(cell, loading.module_of(cell))


def test_a_gradient_that_is_mere_rounding_is_none() -> None:
    """A shift of all that softmax takes changes nothing, so that differences have nothing to say of it."""
    cell = symrnn.parse("input x[I]\noutput y\nparam W[H, I], c[]\ny = softmax(W @ x + c)", "shifted")
    report = check(cell, loading.module_of(cell))
    assert report.ok and report.warnings == [], str(report)
    assert any(r.quantity == "dc" and r.is_nothing for r in report.rows)
    assert not check(cell, spoilt(loading.module_of(cell), "param", "W", 1 + 1e-6)).ok


def test_where_an_error_could_hide_another_point_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = symrnn.load("lstm")
    sizes = sizes_at(cell, SHAPES[0])
    points = iter([True] * 3)
    monkeypatch.setattr(Comparison, "hides_errors", lambda self, row: next(points, False))
    found = clear(cell, loading.module_of(cell), sizes, 0, "float64", Comparison.brief)
    assert (found.trial.point["params"]["W_i"] == Trial(cell, sizes, again=3).point["params"]["W_i"]).all()


def test_a_report_says_where_rounding_was_allowed_for() -> None:
    cell = symrnn.parse("input x[I]\noutput y\na = 1e5 + x\ny = a - 1e5", "cancels")
    assert "of which rounding asks nearly all" in str(check(cell, loading.module_of(cell)))


def test_differences_without_digits_are_not_compared_but_told() -> None:
    cell = symrnn.parse("input x[I]\nstate h[H]\noutput y\nh = tanh(W @ x)\ny = 1e25 + h + h[t-1]", "huge")
    report = check(cell, loading.module_of(cell))
    assert report.ok and any("differences of dW do not settle" in w for w in report.warnings), str(report)


def test_the_quick_check_sees_each_quantity() -> None:
    cell = symrnn.load("lstm")
    module = loading.module_of(cell)
    assert quick(cell, module).ok
    for what, at in PLACES:
        assert not quick(cell, spoilt(module, what, at, 1.001)).ok, at


def test_the_quick_check_has_several_steps_and_lengths_that_differ() -> None:
    """A wrong step, a gradient not added up or a transposed matrix shows at no shape of ones."""
    steps, batch, lengths = SMALL
    assert steps > 2 and batch > 1 and len({1, *lengths}) == len(lengths) + 1


def test_the_shapes_of_the_check_hold_the_edges() -> None:
    steps, batches, lengths = zip(*SHAPES, strict=True)
    assert 1 in steps and 1 in batches and any(set(x) == {1} for x in lengths)
    assert any(t > 2 and b > 1 and len({1, b, *x}) == len(x) + 2 for t, b, x in SHAPES)


@pytest.mark.parametrize("backend", ["numpy", *(pytest.param(b, marks=NEEDS_COMPILER) for b in ("cpp", "cuda"))])
def test_memory_that_was_not_written_is_nan(backend: str) -> None:
    """Though another function has left the right numbers in an array of the same name."""
    cell = symrnn.load("lstm")
    module, *others = emit.emit(cell, backend)
    head, begin, body = module.text.partition("def train_passes(" if backend == "cuda" else "\ndef forward(")
    line = next(x for x in body.splitlines() if x.strip().startswith(("product(x", "c[t] = ")))
    text = head + begin + body.replace(line, line[: -len(line.lstrip())] + "pass", 1)
    made, at = module_to_check(cell, backend, [Artifact(module.path, text), *others]), point(cell)
    assert np.isfinite(made.infer(at.params, at.x, at.state)[0]).all()
    assert np.isnan(made.forward(at.params, at.x, at.state)[0]).all()
