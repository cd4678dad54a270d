"""Pages of cells that are not in the gallery: delays, repeated operands, norms, softmax, the step index."""

from __future__ import annotations

import re

import pytest
from test_pages_rows import line, prose

import symrnn
from symrnn import pages
from symrnn.functions.whole_axis import WHOLE_AXIS
from symrnn.language.load import called, parse
from symrnn.pages.document import Document, Prose, Table
from symrnn.pages.formats.text import SUFFIX
from symrnn.pages.formulas.formula import Big, Formula, Sym, children
from symrnn.pages.outline import check, subject, unchecked

VECTOR = '"""A cell."""\ninput x[H]\nstate h[H]\noutput h\nparam U[H, H]\n'


def page(text: str) -> Document:
    """The page of a cell, every equation evaluated."""
    cell = parse(text, "own", "own.cell")
    pages.document(cell)
    return unchecked(subject(cell))


def lines(document: Document, anchor: str) -> list[str]:
    return [line(document, e) for a, e in document.equations() if a == anchor]


#: Equations of a cell → what must stand in a section of its page.
SHOWN = [
    ("h = tanh(x + U @ (h[t-1] * h[t-2] * h[t-3]))", "jacobian", "∂hₜ/∂hₜ₋₂ = diag(1 − hₜ²) U diag(hₜ₋₁ ⊙ hₜ₋₃)"),
    ("h = tanh(x + U @ a[t-1])\na = h * h[t-2]", "recursion", "δhₜ = ∂Lₜ/∂hₜ + δaₜ₊₂ ⊙ hₜ₊₂ + δaₜ ⊙ hₜ₋₂"),
    ("h = tanh(U @ h[t-1] + x) / h[t-2]", "gradients", "∂L/∂U = Σ[t=1…T] δh̄ₜ hₜ₋₁ᵀ"),
    (
        "h = tanh(V @ concat(h[t-1], x, h[t-1]))",
        "jacobian",
        "∂hₜ/∂hₜ₋₁ = diag(1 − hₜ²) ([V]_H,1 + [V]_H,3)",
    ),
    ("h = softmax(U @ h[t-1] + x)", "jacobian", "∂hₜ/∂hₜ₋₁ = (diag(hₜ) − hₜ hₜᵀ) U"),
    ("h = softmax(U @ h[t-1] + x)", "local", "∂hₜ/∂h̄ₜ = diag(hₜ) − hₜ hₜᵀ"),
    ("h = x + U @ h[t-1] * norm(h[t-1])", "local", "∂‖hₜ₋₁‖/∂hₜ₋₁ = hₜ₋₁ᵀ/‖hₜ₋₁‖"),
    ("h = x + U @ h[t-1] * norm(h[t-1])", "jacobian", "(∂hₜ/∂hₜ₋₁)₂ = (U hₜ₋₁) hₜ₋₁ᵀ/‖hₜ₋₁‖"),
    ("h = layer_norm(U @ h[t-1] + x)", "jacobian", "∂hₜ/∂hₜ₋₁ = ((I − (𝟏 𝟏ᵀ)/H − (hₜ hₜᵀ)/H)/std(h̄ₜ)) U"),
    (
        "h = x * layer_norm(U @ h[t-1])",
        "recursion",
        "δh̄ₜ = (δhₜ ⊙ xₜ − (𝟏ᵀ (δhₜ ⊙ xₜ))/H − ((LN(h̄ₜ)ᵀ (δhₜ ⊙ xₜ))/H) LN(h̄ₜ))/std(h̄ₜ)",
    ),
    ("b = logsumexp(U @ h[t-1])\nh = b * x", "jacobian", "∂hₜ/∂hₜ₋₁ = xₜ softmax(b̄ₜ)ᵀ U"),
    ("h = x * softmax(U @ h[t-1])", "recursion", "δh̄ₜ = softmax(h̄ₜ) ⊙ (δhₜ ⊙ xₜ − softmax(h̄ₜ)ᵀ (δhₜ ⊙ xₜ))"),
    ("a = U @ h[t-1]\nh = softmax(a) * x + logsumexp(a)", "recursion", "δhₜ = ∂Lₜ/∂hₜ + Uᵀ δaₜ₊₁"),
    ("h = tanh(U @ h[t-1] + x) / (t + 1)", "forward", "hₜ = tanh(U hₜ₋₁ + xₜ)/t"),
    ("h = tanh(U @ h[t-1] + x * t)", "recursion", "δh̄ₜ = δhₜ ⊙ (1 − hₜ²)"),
    ("h = h[t-1] * dot(h[t-1], h[t-1]) + x", "jacobian", "(∂hₜ/∂hₜ₋₁)₁ = 2 hₜ₋₁ hₜ₋₁ᵀ"),
    ("h = tanh(U @ h[t-1] + x) - x", "jacobian", "∂hₜ/∂hₜ₋₁ = diag(1 − tanh(h̄ₜ)²) U"),
    ("h = x - U @ sigmoid(h[t-1])", "jacobian", "∂hₜ/∂hₜ₋₁ = −U diag(σ(hₜ₋₁) ⊙ (1 − σ(hₜ₋₁)))"),
]


@pytest.mark.parametrize(("equations", "anchor", "shown"), SHOWN)
def test_the_formula_is_printed_and_true(equations: str, anchor: str, shown: str) -> None:
    text = VECTOR + equations
    document = page(text if "U" in equations else text.replace("param U[H, H]\n", ""))
    assert shown in lines(document, anchor), lines(document, anchor)


def test_a_page_is_checked_where_functions_have_derivatives() -> None:
    page(VECTOR + "h = tanh(relu(relu(U @ h[t-1] - 0.5 * x)) + x)")
    with pytest.raises(symrnn.UsageError, match="away from every kink"):
        page(VECTOR + "h = tanh(U @ h[t-1] + x + relu(0 * x))")


@pytest.mark.parametrize(
    "equations",
    [
        ("g = b + U @ c[t-1]", "c = tanh(g * (x + mean(b + U @ h[t-1]) * (V @ x) - c[t-1]))", "h = tanh(V @ x + c)"),
        ("g = b + U @ c[t-1]", "c = tanh(g * (x + mean(b + U @ h[t-1]) * c[t-1]))", "h = mean(b + U @ c) * x"),
        ("param V[H, H]", "c = tanh(mean(sum(tanh(h[t-1])) * c[t-1]) * h[t-2])", "h = sum(tanh(V @ c)) * x + c"),
        (
            "g = norm(U.T @ (x + V @ c[t-1]) / (1 + exp(mean(c[t-1]) * x))) * (tanh(h[t-2]) - layer_norm(c[t-1]))",
            "c = tanh(g * (x + V @ g - U @ h[t-1] - V @ (b + U @ g)))",
            "h = tanh(g + c)",
        ),
    ],
)
def test_pages_that_once_went_wrong(equations: tuple[str, ...]) -> None:
    page("\n".join(("input x[H]", "state h[H], c[H]", *equations)))


def test_every_delay_takes_part_in_the_check() -> None:
    about = subject(parse(VECTOR + "h = tanh(U @ h[t-1] + x + h[t-4])", "own", "own.cell"))
    world = about.world()
    assert abs(world.adjoint("h", 2 + 4)).max() > 1e-3, "what step 6 hands back to step 2 is not zero"
    assert check(about, unchecked(about)).steps == world.steps == 6


def test_everything_a_step_leaves_behind_is_in_the_stack() -> None:
    told = prose(page(VECTOR + "h = tanh(U @ h[t-1] + h[t-3] + x[t-1])"), "jacobian")
    assert "at step t $h_{t}$, $h_{t-1}$, $h_{t-2}$ and $x_{t}$, is stacked" in told
    assert "does not depend" not in told


def test_steps_are_counted_from_one_and_the_page_says_so() -> None:
    document = page(VECTOR + "h = tanh(U @ h[t-1] + x) / (t + 1)")
    assert "Steps are counted from 1 here" in prose(document, "conventions")
    (table,) = [b for s in document.sections if s.anchor == "symbols" for b in s.blocks if isinstance(b, Table)]
    assert any(getattr(row[1], "text", "") == "t" for row in table.rows)
    assert "Steps are counted" not in prose(page(VECTOR + "h = tanh(U @ h[t-1] + x)"), "conventions")


@pytest.mark.parametrize(
    ("equation", "power"),
    [
        ("h = tanh(U @ h[t-1] + x)", True),
        ("h = U @ h[t-1] + x", True),
        ("h = tanh(U @ h[t-1] + x) / (t + 1)", False),
        ("h = tanh(U @ h[t-1] + x) * 0.5", False),
        ("h = tanh(U @ h[t-1] + x) * x", False),
        ("h = tanh(U @ tanh(h[t-1]) + x)", False),
    ],
)
def test_the_power_of_a_matrix_is_spoken_of_only_where_nothing_else_scales_it(equation: str, power: bool) -> None:
    assert ("a power of $U$" in prose(page(VECTOR + equation), "jacobian")) is power


def test_sigma_is_not_two_things_on_one_page() -> None:
    shown = lines(page(VECTOR + "param sigma[H]\nh = sigmoid(U @ h[t-1] + x) * sigma"), "forward")
    assert shown == ["hₜ = sigmoid(U hₜ₋₁ + xₜ) ⊙ σ"]
    assert "σ(" in lines(page(VECTOR + "h = sigmoid(U @ h[t-1] + x)"), "forward")[0]


def test_letters_of_the_page_give_way_to_those_of_the_cell() -> None:
    text = (
        "input x[H]\nstate h[H], s[H]\noutput h\nk = sigmoid(x + s[t-1])\ns = k * s[t-1] + x\nh = tanh(U @ h[t-1] + s)"
    )
    shown = lines(page(text), "jacobian")
    assert "∂z_T/∂zₜ = ∏[j=t+1…T] ∂zⱼ/∂zⱼ₋₁" in shown and "∂sₜ/∂sₜ₋₁ = diag(s" in "".join(shown)
    assert "into one vector $z$" in prose(page(text), "jacobian")


def test_a_cell_may_use_up_the_usual_letters() -> None:
    values = [f"{x} = tanh(h[t-1] * {k / 7 + 0.1:.2f})" for k, x in enumerate("kjlmnrqpsuvwz")]
    text = "\n".join(
        ["input x[H]", "state h[H], c[H]", *values, "c = c[t-1] + x", "h = c + " + " + ".join("kjlmnrqpsuvwz")]
    )
    shown = lines(page(text), "jacobian")
    assert any(line.startswith("∂S_T/∂Sₜ = ∏[a=t+1…T]") for line in shown)


def test_a_derivative_by_one_operand_is_marked() -> None:
    document = unchecked(subject(symrnn.load("gru")))
    assert "∂⁺hₜ/∂hₜ₋₁ = 1 − zₜ" in lines(document, "local")
    lefts = [x.split(" = ")[0] for anchor in ("local", "jacobian") for x in lines(document, anchor)]
    assert len(lefts) == len(set(lefts)), "one symbol, one value"


def test_products_of_matrices_stand_in_parentheses_beside_components() -> None:
    assert "δrₜ = (Uₙᵀ δn̄ₜ) ⊙ hₜ₋₁" in lines(unchecked(subject(symrnn.load("gru"))), "recursion")


def test_a_factor_that_is_everywhere_the_same_is_a_column_of_ones() -> None:
    text = "input x[H]\nstate h[H]\nparam U[H, H]\nh = tanh(U @ h[t-1] + mean(x * h[t-1]))"
    assert any("(1/H) 𝟏 xₜᵀ" in x or "diag(1 − hₜ²) (1/H) 𝟏" in x for x in lines(page(text), "jacobian"))


@pytest.mark.parametrize("name", ["lstm", "narx", "elman", "ntm_content"])
def test_the_code_shown_hands_back_what_the_loop_needs(name: str) -> None:
    shown = str(pages.render(symrnn.load(name), "text"))
    needed = set(re.findall(r"\bd_\w+_next\b", shown))
    assert needed and all(re.search(rf"\b{n}\b[^=\n]* = ", shown) for n in needed)


def test_functions_are_explained_from_their_definitions() -> None:
    told = prose(page(VECTOR + "h = silu(U @ h[t-1] + x) + leaky_relu(x)"), "conventions")
    assert r"\operatorname{SiLU}(a)$ is $a\,\sigma(a)$" in told and r"\sigma(a)$ is $\frac{1}{\exp(-a) + 1}$" in told


def test_a_sum_over_the_batch_alone_is_not_spoken_of() -> None:
    document = unchecked(subject(symrnn.load("lstm_gaussian")))
    (note,) = [e.note for a, e in document.equations() if a == "recursion" and getattr(e.left, "name", "") == "k"]
    assert note is not None and [p.key for p in note.gaps["reasons"]] == ["reason.pointwise", "reason.pointwise"]


def test_a_negative_number_is_subtracted() -> None:
    assert lines(page(VECTOR + "h = tanh(U @ h[t-1] + x - 1)"), "local")[0] == "h̄ₜ = U hₜ₋₁ + xₜ − 1"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("lstm", "The other 3 terms all pass a weight matrix and a slope"),
        ("lstm_peephole", "The other 8 terms all pass the slope of a nonlinearity"),
    ],
)
def test_what_the_other_paths_pass_is_read_off_the_paths(name: str, told: str) -> None:
    assert told in prose(unchecked(subject(symrnn.load(name))), "jacobian")


def test_commands_on_a_page_name_the_file_of_a_cell_of_ones_own() -> None:
    own = parse(VECTOR + "h = tanh(U @ h[t-1] + x)", "own", "own.cell")
    shown = str(pages.render(own, "text"))
    assert SUFFIX == ".txt" and "symrnn generate own.cell --backend" in shown and "symrnn check own.cell" in shown
    assert called(symrnn.load("gru")) == "gru" and called(symrnn.load("heads/softmax")) == "heads/softmax"
    assert called(parse(VECTOR + "h = tanh(U @ h[t-1] + x)", "gru", "gru.cell")) == "gru.cell"


@pytest.mark.parametrize("function", WHOLE_AXIS)
def test_the_page_of_every_function_of_a_whole_axis_is_true(function: str) -> None:
    """Its Jacobian, its adjoint and, of a matrix, its differential; and each page says what its own notation means."""
    vector = page(VECTOR + f"a = {function}(U @ h[t-1] + x)\nh = x * a")
    declared = "input x[N, S]\nstate P[N, S]\noutput P\n"
    matrix = page(declared + f"a = {function}(P[t-1] + x)\nP = x + 0.1 * P[t-1] * a")
    convention = WHOLE_AXIS[function].convention
    for document in (vector, matrix):
        said = [p.key for s in document.sections for b in s.blocks if isinstance(b, Prose) for p in b.phrases]
        assert not convention or f"convention.{convention}" in said


def steps_read(node: Formula, bound: frozenset[str] = frozenset()) -> set[str]:
    """The time indices of a formula that no sum over steps binds."""
    if isinstance(node, Sym) and node.time is not None:
        return {node.time.base} - bound
    bound |= {node.index} if isinstance(node, Big) else frozenset()
    return {t for part in children(node) for t in steps_read(part, bound)}


@pytest.mark.parametrize("function", WHOLE_AXIS)
def test_what_no_step_changes_has_no_step_in_a_gradient(function: str) -> None:
    document = page(f"input x[H]\noutput y, r\nparam w[H]\ny = {function}(w)\nr = x")
    gradients = [e for a, e in document.equations() if a == "gradients"]
    assert gradients and not any(steps_read(e.right) - steps_read(e.left) for e in gradients), lines(
        document, "gradients"
    )


SMOOTH = ["sum", "mean", "logsumexp", "softmax", "layer_norm"]


@pytest.mark.parametrize(
    ("function", "matrix"),
    [
        (f, m)
        for f in ("sum", "mean", "logsumexp", "norm")
        for m in ("U", "0 * U", "exp(0 * U)")
        if f + m != "norm0 * U"
    ],
)
def test_functions_of_a_square_matrix_run_over_its_last_axis(function: str, matrix: str) -> None:
    found = f"{function}({matrix})"
    page(VECTOR + f"h = tanh(x + U @ h[t-1] / (3 + {found}) + U.T @ ({found} * x))")


@pytest.mark.parametrize("same", ["0 * x", "exp(0 * x)", "2 + 0 * x"])
@pytest.mark.parametrize(
    "structure",
    [*(f"{f}({{0}})" for f in SMOOTH), "sum(outer({0}, x))", "sum(outer(x, {0}))", "sum(outer({0}, {0}))",
     "dot({0}, x)", "U @ ({0})", "({0}) @ U", "W @ concat({0}, x)"],
)  # fmt: skip
def test_operands_whose_components_are_all_the_same_keep_their_axis(structure: str, same: str) -> None:
    page(VECTOR + f"h = tanh(U @ h[t-1] + x + {structure.format(same)})")
