"""Every displayed equation is true: evaluated with random numbers, and its LaTeX read back by SymPy."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import sympy as sp
from sympy.parsing.latex import parse_latex
from timing import work

import symrnn
from symrnn import pages
from symrnn.functions import numeric
from symrnn.pages.document import Equation, Equations
from symrnn.pages.formulas.formula import (
    Add,
    Big,
    Call,
    Chain,
    Deriv,
    Div,
    Ein,
    Fn,
    Formula,
    Mul,
    Neg,
    Num,
    Path,
    Pow,
    Sym,
    walk,
)
from symrnn.pages.notation.latex import Latex
from symrnn.pages.notation.spelling import Spelling
from symrnn.pages.outline import TOLERANCE, check, disagreement, outline, subject, unchecked

CELLS = symrnn.gallery()
HEADS = ("linear", "softmax", "softmax_cross_entropy", "squared_error")


@pytest.mark.slow
@pytest.mark.parametrize("name", CELLS)
def test_every_displayed_equation_agrees_with_the_numbers(name: str) -> None:
    cell = symrnn.load(name)
    about = subject(cell)
    unroll = 3 if cell.carries else 0
    document = unchecked(about, unroll)
    for seed in (0, 1):
        report = check(about, document, unroll, seed)
        assert report.count > 5 and report.worst < TOLERANCE


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", ["elman", "lstm", "jordan", "gru"])
def test_equations_with_a_head_agree_too(name: str, head: str) -> None:
    about = subject(symrnn.load(name), symrnn.load(f"heads/{head}"))
    document = unchecked(about, 3)
    assert check(about, document, 3).worst < TOLERANCE
    assert any(anchor == "head" for anchor, _ in document.equations())


def test_a_wrong_equation_is_not_printed() -> None:
    about = subject(symrnn.load("lstm"))
    document = unchecked(about)
    for k, section in enumerate(document.sections):
        for block in section.blocks:
            if isinstance(block, Equations) and isinstance(block.rows[0].left, Sym):
                first = block.rows[0]
                wrong = replace(block, rows=(replace(first, right=Add((first.right, first.right))),))
                sections = (*document.sections[:k], replace(section, blocks=(wrong,)))
                with pytest.raises(symrnn.UsageError, match="disagrees"):
                    check(about, replace(document, sections=sections))


def test_the_check_sees_numbers_that_are_not_zero() -> None:
    for name in ("elman", "irnn", "lstm_clip", "gru"):
        about = subject(symrnn.load(name))
        world = about.world()
        assert any(np.abs(world.adjoint(v.name, 2)).max() > 1e-3 for v in about.trace.cell.states), name


@pytest.mark.slow
@pytest.mark.parametrize("name", CELLS)
def test_a_page_takes_less_than_two_seconds_of_work(name: str) -> None:
    cell = symrnn.load(name)
    with work() as seconds:
        pages.render(cell, "html")
        assert seconds() < 2


# -- LaTeX read back ---------------------------------------------------------------------------------------

OPAQUE = (Sym, Ein, Call, Chain, Big, Deriv, Path)
BY_HAND = {"gt", "ge", "where", "abs", "max", "min", "clip", "pow"}


def atoms(node: Formula) -> list[Formula]:
    """The parts SymPy's parser cannot or need not look into, outermost first."""
    if isinstance(node, OPAQUE) or (isinstance(node, Fn) and node.row.name in BY_HAND):
        return [node]
    parts = {Neg: lambda: [node.arg], Div: lambda: [node.top, node.bottom], Pow: lambda: [node.base]}  # type: ignore[union-attr]
    children = parts[type(node)]() if type(node) in parts else list(getattr(node, "args", ()))
    return [a for c in children for a in atoms(c)]


def number(node: Formula, env: dict[Formula, float]) -> float:
    match node:
        case _ if node in env:
            return env[node]
        case Num():
            return float(node.value)
        case Neg():
            return -number(node.arg, env)
        case Add():
            return sum(number(a, env) for a in node.args)
        case Mul():
            return float(np.prod([number(a, env) for a in node.args]))
        case Div():
            return number(node.top, env) / number(node.bottom, env)
        case Pow():
            return number(node.base, env) ** float(node.exponent)
        case Fn():
            return float(numeric.apply(node.row, [np.array(number(a, env)) for a in node.args]))
    raise AssertionError(node)


def read_back(node: Formula, pen: Spelling, env: dict[Formula, float]) -> float:
    """The LaTeX of a formula, its atoms replaced by plain symbols, ⊙ by a dot, through SymPy's parser."""
    text = pen.text(node)
    names = {f"x_{{{k}}}": value for k, value in enumerate(env.values())}
    spelled = sorted(((pen.text(a), f"x_{{{k}}}") for k, a in enumerate(env)), key=lambda p: -len(p[0]))
    marks = {}
    for k, (latex, name) in enumerate(spelled):
        marks[chr(0xE000 + k)] = name
        text = re.sub(rf"(?<![A-Za-z\\]){re.escape(latex)}(?![A-Za-z])", chr(0xE000 + k), text)
    functions = {}
    for k, x in enumerate(
        x for x in walk(node) if isinstance(x, Fn) and pen.function(x.row).startswith((r"\operatorname", r"\sigma"))
    ):
        letter = "ABCDEFGH"[k % 8]
        letter = next((n for n, row in functions.items() if row is x.row), letter)
        functions[letter] = x.row
        name = pen.function(x.row)
        text = text.replace(f"{name}(", f"{letter}(").replace(f"{name}\\Bigl(", f"{letter}(")
    for mark, name in marks.items():
        text = text.replace(mark, name)
    text = re.sub(r"\\[Bb]ig[lr]", "", text).replace(r"\odot", r"\cdot").replace(r"\,", r" \cdot ")
    parsed = parse_latex(text)
    parsed = parsed.subs({sp.Symbol(n): v for n, v in names.items()} | {sp.Symbol("pi"): sp.pi})
    heads = {sp.Function(letter): row for letter, row in functions.items()}
    while calls := [
        c for c in parsed.atoms(sp.core.function.AppliedUndef) if not c.args[0].has(sp.core.function.AppliedUndef)
    ]:
        parsed = parsed.xreplace(
            {c: sp.Float(float(numeric.apply(heads[c.func], [np.array(float(c.args[0]))])), 17) for c in calls}
        )
    return float(parsed.evalf(17))


@pytest.mark.slow
@pytest.mark.parametrize("name", CELLS)
def test_the_latex_of_elementwise_equations_means_what_it_should(name: str) -> None:
    document = unchecked(subject(symrnn.load(name)))
    pen = Spelling(Latex(), document.letters)
    rng = np.random.default_rng(0)
    tried = 0
    for _, e in document.equations():
        if not e.elementwise or isinstance(e.right, OPAQUE):
            continue
        env = {a: float(rng.uniform(0.2, 0.9)) for a in dict.fromkeys(atoms(e.right))}
        assert read_back(e.right, pen, env) == pytest.approx(number(e.right, env), rel=1e-10, abs=1e-10), pen.text(
            e.right
        )
        tried += 1
    assert tried > 0


def test_reading_back_notices_a_wrong_sign() -> None:
    document = unchecked(subject(symrnn.load("gru")))
    pen = Spelling(Latex(), document.letters)
    e = next(
        e for _, e in document.equations() if isinstance(e.right, Add) and any(isinstance(a, Neg) for a in e.right.args)
    )
    env = {a: 0.3 + 0.1 * k for k, a in enumerate(dict.fromkeys(atoms(e.right)))}
    wrong = Add(tuple(a.arg if isinstance(a, Neg) else a for a in e.right.args))
    assert read_back(e.right, pen, env) != pytest.approx(number(wrong, env))


def test_disagreement_is_measured_on_both_sides() -> None:
    about = subject(symrnn.load("elman"))
    h = about.trace.symbol("h")
    assert disagreement(about.world(), Equation(h, h)) == 0
    assert disagreement(about.world(), Equation(h, Neg(h))) > 1e-3


def test_the_report_stands_on_the_page() -> None:
    document = outline(subject(symrnn.load("elman")))
    phrase = document.sections[-1].blocks[0].phrases[0]  # type: ignore[union-attr]
    assert phrase.gaps["count"] >= 10 and float(phrase.gaps["worst"]) < TOLERANCE


@pytest.mark.parametrize(
    "text",
    [
        "input x[I]\nstate h[H]\nh = clip(W @ x + U @ h[t-1], -1, 1)",
        "input x[]\nstate h[]\nh = tanh(w * x + u * h[t-1] + b)",
    ],
)
def test_a_page_is_printed_for_small_and_clipped_cells(text: str) -> None:
    assert "How this page was checked" in str(pages.render(symrnn.parse(text, "small"), "text"))


def test_a_page_without_numbers_is_refused_in_one_line() -> None:
    with pytest.raises(symrnn.UsageError, match="not printed"):
        pages.render(symrnn.parse("input x[I]\nstate h[H]\nh = log(W @ x + U @ h[t-1])", "log"))
