"""What is said of a mistake in a cell file, word for word: messages.txt has the mistakes, each with the whole error.

A mistake stands below an input x[I] and a state h[H], unless it begins with declarations of its own.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

import symrnn
from symrnn.errors import CellError, Place
from symrnn.functions.calls import callable_names
from symrnn.language.likeness import look_alike, nearest
from symrnn.language.load import gallery, heads, load
from symrnn.language.notation import ELSEWHERE, foreign
from symrnn.language.parse import read

TABLE = (Path(__file__).parent / "messages.txt").read_text(encoding="utf-8").rstrip("\n")
ROWS: dict[str, str] = dict(row.split("\n---\n") for row in TABLE.split("\n====\n"))  # type: ignore[misc]
HEAD = "input x[I]\nstate h[H]\n"
WHOLE_FILES = ("extends", "input x", "state h", '"""', "'''", "u'''", "#")


@pytest.mark.parametrize("mistake", ROWS)
def test_the_whole_text_of_an_error(mistake: str) -> None:
    text = mistake if mistake.startswith(WHOLE_FILES) else HEAD + mistake
    with pytest.raises(CellError) as caught:
        symrnn.parse(text, "cell", "my.cell")
    said = "\n".join(line.rstrip() for line in str(caught.value).splitlines())
    assert said == ROWS[mistake]
    place = caught.value.place
    assert place is not None and place.text == text.split("\n")[place.line - 1]


@pytest.mark.parametrize("mistake", [m for m, said in ROWS.items() if "A cell needs" in said or "It needs one" in said])
def test_the_input_that_is_proposed_is_accepted(mistake: str) -> None:
    text = mistake if mistake.startswith(WHOLE_FILES) else HEAD + mistake
    proposed = re.search(r"write (?:(input .*) and )?(\w+) = (.*)\.$", ROWS[mistake])
    assert proposed
    followed = re.sub(rf"^{proposed[2]} = .*", f"{proposed[2]} = {proposed[3]}", text, flags=re.MULTILINE)
    try:
        symrnn.parse(f"{proposed[1] or ''}\n{followed}")
    except CellError as error:
        assert "called like a matrix" in error.wrong  # a second mistake, which only the next reading shows


@pytest.mark.parametrize("mistake", [m for m, said in ROWS.items() if "(with the axes you mean" in said])
def test_the_shape_that_is_proposed_is_accepted(mistake: str) -> None:
    text = mistake if mistake.startswith(WHOLE_FILES) else HEAD + mistake
    for _ in range(3):
        try:
            symrnn.parse(text)
            break
        except CellError as error:
            proposed = re.search(r"((?:param|state) \w+\[.*?\]) \(with the axes", error.advice)
            assert proposed, error
            text = f"{text}\n{proposed[1]}"
    else:
        pytest.fail("no end of what must be declared")


@pytest.mark.parametrize(
    ("blank", "called"),
    [
        ("\u00a0", "no-break space (U+00A0)"),
        ("\u2009", "thin space (U+2009)"),
        ("\u3000", "ideographic space (U+3000)"),
    ],
)
def test_a_blank_that_is_no_space_is_named(blank: str, called: str) -> None:
    with pytest.raises(CellError) as caught:
        symrnn.parse(f"{HEAD}h = W{blank}@ x")
    assert (caught.value.wrong, caught.value.advice) == (f"There is a {called} here.", "Replace it by a plain space.")


FINE = {
    "eta beside beta": "beta = sigmoid(V @ x)\nh = beta * tanh(W @ x) + eta",
    "beta beside eta, with an index": "eta_h = sigmoid(V @ x)\nh = eta_h * tanh(W @ x) + beta_h",
    "an index of its own": "r_1 = sigmoid(W_r @ x)\nh = r_1 * tanh(W @ x)",
    "a declared parameter called like a gate": "param r[H]\nh = r * tanh(W_r @ x)",
    "a declared constant": "const eps = 1e-5\nh = W @ x + eps",
    "a declared vector with a capital": "param W[H]\nh = W * (U @ x)",
    "a number that is the length of an axis": "n = I\nh = (U - n * U) @ x",
    "a length that divides": "h = (U / I) @ x",
    "the identity": "h = (U - identity(H)) @ h[t-1] + W @ x",
    "signs in comments and below the title": "h = tanh(W @ x)   # h_t = σ(W_{xh} x_t) ⊙ z^2, it's \\tanh",
    "a difference": "x_t = W @ x\nh = x_t - 1",
    "weights by index": "param Wxi[H, I]\nh = sigmoid(Wxi @ x + Whi @ h[t-1] + bi)",
    "weights of hyper networks": "param W_xhi[H, I]\nh = sigmoid(W_xhi @ x + W_hhi @ h[t-1] + b_hhi)",
    "dot of vectors": "h = dot(w, x) * h[t-1] + W @ x",
}


@pytest.mark.parametrize("name", FINE)
def test_what_is_meant_is_not_refused(name: str) -> None:
    symrnn.parse(f'"""σ(h_{{t-1}}) ⊙ \\tanh.\n\nIt\'s W\'.\n"""\n{HEAD}{FINE[name]}')


@pytest.mark.parametrize("name", [*gallery(), *(f"heads/{h}" for h in heads())])
def test_the_gallery_is_printed_in_a_few_lines(name: str) -> None:
    cell = load(name)
    assert str(cell).startswith(f"{cell.name}: {cell.headline}\n") and str(cell).count("\n") <= 5
    assert repr(cell).startswith(f"<Cell {cell.name}: ") and len(repr(cell)) < 100


def test_a_cell_prints_its_names_by_role() -> None:
    cell = symrnn.parse(f'"""A net. And more."""\n{HEAD}const a = 2\noutput y\nh = tanh(W @ x)\ny = a * h', "net")
    assert str(cell) == (
        "net: A net\n  input x[I]\n  state h[H]\n  param W[H, I]\n  const a\n  output y[H]"
    )  # fmt: skip
    assert repr(cell) == "<Cell net: state h; input x; 1 parameter>"


def test_a_long_line_is_shown_around_the_place() -> None:
    line = "".join(str(k % 10) for k in range(300))
    for column in (1, 50, 51, 52, 150, 249, 250, 300):
        where, shown, marks = str(Place("a.cell", 1, column, 3, line)).split("\n")
        assert where == f"a.cell:1:{column}" and len(shown) <= 4 + 112
        assert shown[marks.index("^")] == line[column - 1]
        assert (shown[4] == "…", shown[-1] == "…") == (column > 51, column < 240)


def test_a_line_that_fits_is_shown_as_it_is() -> None:
    assert str(Place("a.cell", 2, 3, 2, "\ta = b")) == "a.cell:2:3\n    \ta = b\n    \t ^^"


@pytest.mark.parametrize(
    "part", ["x", "_", "[", "]", "[x]", "[[", "[;", "^", "{", "h_{", "\\", "\\a", "'", "x'", "_t-", "|", "σ", " "]
)
def test_no_line_takes_long_to_look_through(part: str) -> None:
    start = time.perf_counter()
    for line in (part * (2000 // len(part)), "x = [" + part * (1900 // len(part))):
        foreign(line)
    assert time.perf_counter() - start < 0.2


def test_functions_of_elsewhere_are_none_of_the_language() -> None:
    assert not ELSEWHERE.keys() & {*callable_names()}
    assert all(name == name.lower() for name in ELSEWHERE), "names are compared in small letters"


@pytest.mark.parametrize("name", ELSEWHERE)
@pytest.mark.parametrize("form", ["{}(h[t-1])", "{}(t)", "np.{}(x)", "(W @ x).{}()"])
def test_a_function_of_elsewhere_is_told_in_one_line(form: str, name: str) -> None:
    with pytest.raises(CellError) as caught:
        symrnn.parse(f"{HEAD}h = W @ x + {form.format(name)}")
    assert (caught.value.wrong, caught.value.advice) == (f"There is no function {name}.", ELSEWHERE[name])


@pytest.mark.parametrize("name", [n for n, said in ELSEWHERE.items() if re.fullmatch(r"Write [^:]*\.", said)])
def test_what_is_written_instead_of_a_function_is_read(name: str) -> None:
    written = re.sub(r"(, (with|the) | for ).*", "", ELSEWHERE[name].removeprefix("Write ").removesuffix("."))
    assert read(f"y = {written}", "cell", "my.cell").equations[0].text == f"y = {written}"


@pytest.mark.parametrize(
    "names",
    [
        "Wxi Whi Wxf Uxi",
        "W_xhi W_hhi W_xhf U_xhi",
        "Wxhi Whhi Wxhf",
        "W_x_i W_h_i W_x_f",
        "Wxh_i Whh_i",
        "bxi bhi",
        "weight_ih_l0 weight_hh_l0",
        "weight_ih weight_hh bias_ih",
        "W_1 W_l W_I W_o W_O",
        "W_x1 W_h1 W_x2",
    ],
)
def test_names_told_apart_by_an_index_are_no_slips(names: str) -> None:
    assert [(a, b) for a in names.split() for b in names.split() if nearest(a, [b]) or look_alike(a, b)] == []


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("W_il", "W_i1"),
        ("W_hO", "W_h0"),
        ("Wil", "Wi1"),
        ("bets", "beta"),
        ("W_xi", "Wxi"),
        ("W_forgte", "W_forget"),
        ("W_gtae", "W_gate"),
        ("W_xhii", "W_xhi"),
        ("W_xih", "W_xhi"),
        ("gaet", "gate"),
        ("hidden_l1", "hiden_l1"),
    ],
)
def test_a_slip_is_found(slip: str, meant: str) -> None:
    assert nearest(slip, [meant]) == meant and nearest(meant, [slip]) == slip
