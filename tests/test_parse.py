"""Every mistake in a cell file is one located error in the user's terms; nothing in a file is ever executed."""

from __future__ import annotations

from pathlib import Path

import pytest

import symrnn
from symrnn.errors import CellError
from symrnn.language.cell import Cell

GOOD = "input x[I]\nstate h[H]\n"

MISTAKES = {
    "unknown function": (GOOD + "h = tahn(W @ x)", "function", 3, 5, "Did you mean tanh?"),
    "misspelt word": ("inptu x[I]\nstate h[H]\nh = tanh(W @ x)", "syntax", 1, 1, "Did you mean input?"),
    "shape mismatch": (GOOD + "h = tanh(W @ x + U @ h[t-1] + U @ x)", "shape", 3, 31, "[H, H] but x is [I]"),
    "adding different axes": (GOOD + "h = tanh(W @ h[t-1]) + x", "shape", 3, 5, "[I]"),
    "used before defined": (GOOD + "h = tanh(W @ x) * g\ng = sigmoid(V @ x)", "order", 3, 19, "before it is defined"),
    "cycle": (GOOD + "a = tanh(W @ x) * b\nb = sigmoid(a)\nh = a * b", "cycle", 3, 19, "a → b → a"),
    "reads itself": (GOOD + "h = tanh(W @ x) * h", "cycle", 3, 19, "h[t-1]"),
    "state never assigned": (GOOD + "g = tanh(W @ x)\noutput g", "unassigned", 2, 7, "never assigned"),
    "assigned, never used": (GOOD + "g = tanh(V @ x)\nh = tanh(W @ x)", "unused", 3, 1, "never used"),
    "declared, never read": (GOOD + "param p[H]\nh = tanh(W @ x)", "unused", 3, 7, "never read"),
    "typo of a value": (
        GOOD + "gate = sigmoid(V @ x)\nh = gate * tanh(W @ x) * gtae",
        "typo",
        4,
        26,
        "Did you mean gate?",
    ),
    "reserved adjoint": (GOOD + "d_h = tanh(W @ x)\nh = d_h", "reserved", 3, 1, "adjoints"),
    "reserved adjoint, read": (GOOD + "h = tanh(d_x @ x)", "reserved", 3, 10, "adjoints"),
    "a function without its brackets": (GOOD + "h = tanh * (W @ x)", "reserved", 3, 5, "Call it: tanh"),
    "axis like a keyword": ("input x[class]\nstate h[H]\nh = W @ x", "reserved", 1, 7, "class_"),
    "too much alike": (GOOD + "h = tanh(np @ x + np_)", "reserved", 3, 19, "np and np_"),
    "reserved keyword": (GOOD + "lambda = tanh(W @ x)\nh = lambda", "reserved", 3, 1, "lambda_"),
    "reserved function": (GOOD + "tanh = W @ x\nh = tanh", "reserved", 3, 1, "word of the language"),
    "reserved axis": ("input x[T]\nstate h[H]\nh = W @ x", "reserved", 1, 7, "time and batch"),
    "axis like an argument": ("input x[seed]\nstate h[H]\nh = W @ x", "reserved", 1, 7, "arguments of init"),
    "the future": (GOOD + "h = tanh(W @ x + h[t+1])", "causality", 3, 18, "future"),
    "a slice": (GOOD + "h = tanh(W @ x[0:2])", "syntax", 3, 14, "t-1"),
    "too long a delay": (GOOD + "h = tanh(W @ x) + h[t-99]", "syntax", 3, 19, "t-32"),
    "past of a parameter": (GOOD + "h = tanh(W @ x + b[t-1])", "undefined", 3, 18, "no past value"),
    "past of a declared parameter": (GOOD + "param b[H]\nh = tanh(W @ x + b + b[t-1])", "delay", 4, 22, "no past"),
    "assigned twice": (GOOD + "h = W @ x\nh = V @ x", "twice", 4, 1, "assigned twice"),
    "declared twice": (GOOD + "state h[H]\nh = W @ x", "twice", 3, 7, "declared twice"),
    "assigning an input": (GOOD + "x = W @ x\nh = x", "assigned", 3, 1, "declared as input"),
    "wrong argument count": (GOOD + "h = tanh(W @ x, 2)", "arguments", 3, 5, "takes 1"),
    "keyword argument": (GOOD + "h = tanh(a=W @ x)", "syntax", 3, 5, "plain arguments"),
    "convolution": (GOOD + "h = tanh(conv1d(x, W))", "unsupported", 3, 10, "Convolution"),
    "ambiguous shape": (GOOD + "a = sigmoid(p)\nh = W @ x + sum(a) * h[t-1]", "ambiguous", 3, 13, "Pin it"),
    "free axis": (GOOD + "h = W @ x * sum(A @ x)", "ambiguous", 3, 17, "param A["),
    "which of two equal axes": (
        GOOD + "param W[H, I]\nh = (identity(H) * (W @ x)) @ h[t-1]",
        "shape",
        4,
        6,
        "which axis",
    ),
    "comparison outside where": (GOOD + "h = tanh(W @ x) * (h[t-1] > 0)", "syntax", 3, 20, "where"),
    "a string": (GOOD + "h = 'x'", "syntax", 3, 5, "numbers"),
    "an attribute": (GOOD + "h = x.real", "syntax", 3, 5, ".T"),
    "a conditional": (GOOD + "h = W @ x if 1 else x", "syntax", 3, 5, "where"),
    "two equations a line": (GOOD + "a = W @ x; h = a", "syntax", 3, 10, "per line"),
    "chained assignment": (GOOD + "a = h = W @ x", "syntax", 3, 1, "one name"),
    "augmented assignment": (GOOD + "h += W @ x", "syntax", 3, 1, "+="),
    "index on the left": (GOOD + "h[t] = W @ x", "syntax", 3, 1, "bare name"),
    "unclosed bracket": (GOOD + "h = tanh(W @ x", "syntax", 3, 9, "never closed"),
    "indentation": (GOOD + "  h = W @ x", "syntax", 3, 3, "indented"),
    "no equation": (GOOD, "empty", 2, 7, "no equation"),
    "no input": ("state h[H]\nh = tanh(U @ h[t-1])", "input", 2, 1, "no input"),
    "no output": ("input x[I]\ny = W @ x", "output", 2, 1, "output y"),
    "unknown output": (GOOD + "output z\nh = W @ x", "undefined", 3, 8, "never assigned"),
    "bad const": (GOOD + "const a = b\nh = W @ x * a", "syntax", 3, 7, "number"),
    "const without value": (GOOD + "const a\nh = W @ x * a", "syntax", 3, 7, "const a = 1e-5"),
    "axes without brackets": ("input x\nstate h[H]\nh = W @ x", "syntax", 1, 7, "input x[H]"),
    "bad start": (GOOD + "param b[H] = magic\nh = W @ x + b", "syntax", 3, 7, "magic"),
    "complex number": (GOOD + "h = 2j * (W @ x)", "syntax", 3, 5, "decimal"),
    "non-ASCII name": (GOOD + "h = γ * (W @ x)", "name", 3, 5, "gamma"),
    "import": (GOOD + "import os", "syntax", 3, 1, "equations only"),
    "dunder call": (GOOD + "h = __import__('os').system('true')", "name", 3, 5, "not a name"),
    "lag name taken": (GOOD + "h_lag1 = V @ x\nh = W @ x + h[t-2] * h_lag1", "reserved", 3, 1, "h_lag1"),
    "extends nothing known": ("extends lstn\nf = 1", "extends", 1, 1, "Did you mean lstm?"),
    "extends too late": (GOOD + "extends lstm\nh = W @ x", "syntax", 3, 1, "before"),
    "two names side by side": (GOOD + "h = W x + U @ h[t-1]", "syntax", 3, 5, "Between W and x an operator is missing"),
    "a dot of a paper": (GOOD + "h = W · x", "syntax", 3, 7, "Write * or @"),
    "a bracket too many": (GOOD + "h = (W @ x))", "syntax", 3, 12, "closes none"),
    "a word of Python": (GOOD + "h = W @ x + class", "syntax", 3, 13, "class is not part of the language"),
    "bounds swapped": (GOOD + "h = clip(W @ x, 1, -1)", "arguments", 3, 5, "above the upper one"),
    "an output twice": (GOOD + "output h, h\nh = W @ x", "twice", 3, 11, "twice"),
    "a vector cannot be orthogonal": (GOOD + "param b[H] = orthogonal\nh = W @ x + b", "start", 3, 7, "Only a matrix"),
    "name of an axis": (GOOD + "H = tanh(W @ x)\nh = H", "reserved", 3, 1, "axis"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_is_one_located_error(name: str) -> None:
    text, kind, line, column, fragment = MISTAKES[name]
    with pytest.raises(CellError) as caught:
        symrnn.parse(text)
    error = caught.value
    assert (error.kind, fragment in str(error)) == (kind, True), str(error)
    assert error.place is not None
    assert (error.place.line, error.place.column) == (line, column), str(error)


def test_the_whole_text_of_an_error() -> None:
    with pytest.raises(CellError) as caught:
        symrnn.parse(GOOD + "h = tanh(W @ x + U @ h[t-1] + U @ x)", "gru", "gru.cell")
    assert str(caught.value) == (
        "gru.cell:3:31\n"
        "    h = tanh(W @ x + U @ h[t-1] + U @ x)\n"
        "                                  ^^^^^\n"
        "U is [H, H] but x is [I]. The last axis of the left side (H) must be the first of the right side (I). "
        "Is this the right matrix? If so, declare param U[H, I] and use it with I only."
    )


def test_columns_count_characters_not_bytes() -> None:
    with pytest.raises(CellError) as caught:
        symrnn.parse('"""Zelle mit Umlaut: ü"""\n' + GOOD + "h = tanh(W @ x) + tahn(x)  # ü")
    assert caught.value.place is not None and caught.value.place.column == 19


HOSTILE = [
    "\x00",
    "(" * 500,
    GOOD + "h = " + "(" * 100 + "x" + ")" * 100,
    GOOD + "h = " + "-" * 1500 + "x",
    GOOD + "h = " + "x**" * 150 + "x",
    "h = " + "x + " * 900 + "x",
    "x" * 300_000,
    '"""unclosed',
    "\\",
    "=",
    "h = \\\n",
    "h =",
    "h = 1 +",
    "f'{x}'",
    'b"""bytes"""\nh = 1',
    "input x[I],\nh = x",
    "input [I]\nh = x",
    "state h[H,]\nh = 1",
    "extends\n",
    "extends a b\n",
    "@x\nh = 1",
    "h = x[t-1][t-1]",
    "h = t[t-1]",
    "h = tanh",
    "h = x @",
    "h = (x for x in x)",
    "h = x.__class__",
    "h = x()()",
    "h = print(1)",
    "h = (y := 2)",
    "input x[I]\nstate h[H]\nh = identity(x) @ x",
    "input x[I]\nstate h[H]\nh = dot(x, 1)",
    "input x[I]\nstate h[H]\nh = x.T",
    "input x[I]\nstate h[H]\nh = sum(1) * (W @ x)",
    "input x[I]\nstate h[H]\nh = W @ x ** ",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_nonsense_is_a_cell_error_with_a_place(text: str) -> None:
    with pytest.raises(CellError) as caught:
        symrnn.parse(text)
    assert caught.value.place is not None and caught.value.wrong


def test_nothing_is_executed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CellError):
        symrnn.parse(GOOD + "h = W @ x + exec('print(1)')")
    assert capsys.readouterr().out == ""


def parsed(body: str) -> Cell:
    return symrnn.parse(GOOD + body)


def axes(cell: Cell) -> dict[str, tuple[str, ...]]:
    return {v.name: v.axes for v in cell.params}


def test_shapes_are_inferred() -> None:
    cell = parsed("g = sigmoid(V @ concat(h[t-1], x) + b)\nh = tanh(W @ x + U @ (g * h[t-1])) + a * h[t-1]")
    assert axes(cell) == {"V": ("H", "H+I"), "b": ("H",), "W": ("H", "I"), "U": ("H", "H"), "a": ("H",)}


def test_an_axis_that_only_sums_mention_is_settled_by_them_or_refused() -> None:
    header = "input x[K]\noutput y\n"
    told = "param V[N+K, K]\nparam W[H+N+H, K]\ny = tanh(V @ x) @ (V @ x) + sum(W @ x)\n"
    assert symrnn.parse(header + told).axes == ("K", "N", "H")
    with pytest.raises(symrnn.CellError) as caught:
        symrnn.parse(header + "param W[N+H, K]\ny = W @ x\n")
    assert (caught.value.kind, caught.value.place.line) == ("ambiguous", 3)
    assert "Nothing tells the length of N" in str(caught.value)


def test_a_scalar_is_pinned_by_its_declaration() -> None:
    assert axes(parsed("param a[]\nh = tanh(W @ x) * a"))["a"] == ()


def test_what_is_added_to_a_computed_scalar_is_one() -> None:
    text = "input x[I]\nstate A[H, H], h[H]\noutput h\ng = sigmoid(dot(w, x) + dot(u, h[t-1]) + b)\n"
    cell = symrnn.parse(text + "A = 0.9 * A[t-1] + g * outer(h[t-1], h[t-1])\nh = tanh(W @ x + A @ h[t-1])")
    assert (cell.variable("b").axes, cell.variable("g").axes) == ((), ())
    cell = symrnn.parse("input x[I]\nstate h[H]\nh = tanh(b + sum(x) * v + h[t-1])")
    assert (cell.variable("b").axes, cell.variable("v").axes) == (("H",), ("H",))


def test_a_vector_times_an_unknown_is_a_product_with_a_matrix() -> None:
    assert axes(parsed("h = W.T @ x + x @ V")) == {"W": ("I", "H"), "V": ("I", "H")}


def test_a_guess_falls_on_parameters_first() -> None:
    cell = parsed("a = W @ x\nm = mean(concat(a, a))\nh = tanh(g * (a - m))")
    assert cell.variable("m").axes == () and axes(cell)["g"] == ("H",)


def test_products_of_parameters_and_chains() -> None:
    assert axes(parsed("param A[H, R]\nh = tanh(A @ B @ h[t-1] + W @ x)")) == {
        "A": ("H", "R"),
        "B": ("R", "H"),
        "W": ("H", "I"),
    }


def test_extending_replaces_equations_and_drops_parameters() -> None:
    nig, vanilla = symrnn.load("nig"), symrnn.load("lstm_peephole")
    gone = {v.name for v in vanilla.params} - {v.name for v in nig.params}
    assert gone == {"W_i", "R_i", "p_i", "b_i"} and [e.name for e in nig.equations] == [
        e.name for e in vanilla.equations
    ]


def test_comments_are_meanings_and_order_is_the_files() -> None:
    cell = parsed("g = sigmoid(V @ x + b)  # gate\nh = g * tanh(W @ x)")
    assert cell.variable("g").meaning == "gate"
    assert [v.name for v in cell.params] == ["V", "b", "W"]


def test_another_output_replaces_that_of_the_cell_extended_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "base.cell").write_text("input x[I]\nstate h[H]\noutput h\nh = tanh(W @ x + U @ h[t-1])\n")
    (tmp_path / "child.cell").write_text("extends base\noutput y\ny = 2 * h\n")
    cell = symrnn.load(str(tmp_path / "child.cell"))
    assert [v.name for v in cell.outputs] == ["y"]
    assert [v.name for v in cell.inputs] == ["x"] and [c.name for c in cell.carries] == ["h"]
