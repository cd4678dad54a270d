"""The formulas of the lecture notes that readers know, each at its place in a printed page."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path

import misprints
import numpy as np
import pytest

import symrnn
from symrnn.meaning import evaluate
from symrnn.pages.document import Document, Equation, Prose, Table, flattened
from symrnn.pages.formats.latex import TexWriter
from symrnn.pages.notation.lines import broken
from symrnn.pages.notation.plain import Plain
from symrnn.pages.outline import subject, unchecked

ROOT = Path(symrnn.__file__).resolve().parent.parent


@functools.cache
def page(name: str, head: str = "", unroll: int = 0) -> Document:
    top = symrnn.load(f"heads/{head}") if head else None
    return unchecked(subject(symrnn.load(name), top), unroll)


def line(document: Document, e: Equation) -> str:
    left, right = broken(e, Plain(), document.letters, 10_000)
    return f"{left} = {''.join(right)}"


def lines(document: Document, anchor: str) -> list[str]:
    return [line(document, e) for a, e in document.equations() if a == anchor]


def prose(document: Document, anchor: str) -> str:
    """The sentences of a section as LaTeX."""
    writer = TexWriter(document, "en")
    section = next(s for s in document.sections if s.anchor == anchor)
    return " ".join(writer.say(p) for b in flattened(section.blocks) if isinstance(b, Prose) for p in b.phrases)


#: What stands in which section of which page. The numbers are those of the inventory of formulas.
ROWS = [
    ("S1 Elman", "elman", "", 0, "forward", "hₜ = tanh(U xₜ + W hₜ₋₁ + b)"),
    ("S1 ReLU from the identity", "irnn", "", 0, "forward", "hₜ = relu(U xₜ + W hₜ₋₁ + b)"),
    ("S2 Jordan", "jordan", "", 0, "forward", "hₜ = tanh(U xₜ + W yₜ₋₁ + b)"),
    ("S3 linear output", "elman", "linear", 0, "head", "oₜ = V hₜ + c"),
    ("S3 softmax output", "elman", "softmax", 0, "head", "yₜ = softmax(oₜ)"),
    ("S4 cross-entropy", "elman", "softmax_cross_entropy", 0, "head", "lossₜ = logsumexp(oₜ) − targetₜᵀ oₜ"),
    ("S4 its derivative", "elman", "softmax_cross_entropy", 0, "head", "δoₜ = softmax(oₜ) − targetₜ"),
    ("S5 gradient of V", "elman", "softmax_cross_entropy", 0, "head", "∂L/∂V = Σ[t=1…T] δoₜ hₜᵀ"),
    ("S5 gradient of c", "elman", "softmax_cross_entropy", 0, "head", "∂L/∂c = Σ[t=1…T] δoₜ"),
    ("S5 gradient of U", "elman", "", 0, "gradients", "∂L/∂U = Σ[t=1…T] δh̄ₜ xₜᵀ"),
    ("S5 gradient of W", "elman", "", 0, "gradients", "∂L/∂W = Σ[t=1…T] δh̄ₜ hₜ₋₁ᵀ"),
    ("S5 in general", "elman", "", 0, "gradients", "∂Lₜ/∂W = Σ[k=1…t] ∂Lₜ/∂hₜ (∏[j=k+1…t] ∂hⱼ/∂hⱼ₋₁) ∂⁺hₖ/∂W"),
    (
        "S5 written out", "elman", "softmax_cross_entropy", 3, "unroll",
        "∂L₃/∂U = ∂L₃/∂o₃ ∂o₃/∂h₃ ∂⁺h₃/∂U + ∂L₃/∂o₃ ∂o₃/∂h₃ ∂h₃/∂h₂ ∂⁺h₂/∂U"
        " + ∂L₃/∂o₃ ∂o₃/∂h₃ ∂h₃/∂h₂ ∂h₂/∂h₁ ∂⁺h₁/∂U",
    ),
    ("S6 one step", "elman", "", 0, "jacobian", "∂hₜ/∂hₜ₋₁ = diag(1 − hₜ²) W"),
    ("S6 many steps", "elman", "", 0, "jacobian", "∂h_T/∂hₜ = ∏[k=t+1…T] diag(1 − hₖ²) W"),
    ("S7 by value", "clip_by_value", "", 0, "forward", "yₜ = clip(gₜ, low, high)"),
    ("S7 by norm", "clip_by_norm", "", 0, "forward", "yₜ = (limit gₜ)/max(nₜ, limit)"),
    ("S7 by global norm", "clip_by_global_norm", "", 0, "forward", "nₜ = √(aₜᵀ aₜ + bₜᵀ bₜ)"),
    ("S8 LSTM, split", "lstm", "", 0, "forward", "fₜ = σ(W_f xₜ + U_f hₜ₋₁ + b_f)"),
    ("S8 LSTM, concatenated", "lstm_concat", "", 0, "forward", "vₜ = [hₜ₋₁; xₜ]"),
    ("S9 peepholes", "lstm_peephole", "", 0, "forward", "oₜ = σ(Wₒ xₜ + Rₒ yₜ₋₁ + pₒ ⊙ cₜ + bₒ)"),
    ("S11 the constant-error path", "lstm", "", 0, "jacobian", "∂cₜ/∂cₜ₋₁ = diag(fₜ)"),
    ("S12 blocks", "lstm_blocks", "", 0, "forward", "cₜ = fₜ ⊙ cₜ₋₁ + iₜ ⊙ zₜ"),
    ("S13 NIG", "nig", "", 0, "forward", "i = 1"),
    ("S13 NFG", "nfg", "", 0, "forward", "f = 1"),
    ("S13 NOG", "nog", "", 0, "forward", "o = 1"),
    ("S13 NIAF", "niaf", "", 0, "forward", "zₜ = W_z xₜ + R_z yₜ₋₁ + b_z"),
    ("S13 NOAF", "noaf", "", 0, "forward", "yₜ = cₜ ⊙ oₜ"),
    ("S13 NP", "np", "", 0, "forward", "oₜ = σ(Wₒ xₜ + Rₒ yₜ₋₁ + bₒ)"),
    ("S13 CIFG", "cifg", "", 0, "forward", "fₜ = 1 − iₜ"),
    (
        "S13 FGR", "fgr", "", 0, "forward",
        "oₜ = σ(Wₒ xₜ + Rₒ yₜ₋₁ + pₒ ⊙ cₜ + bₒ + Rᵢₒ iₜ₋₁ + R_fo fₜ₋₁ + Rₒₒ oₜ₋₁)",
    ),
    ("S14 reset before", "gru", "", 0, "forward", "nₜ = tanh(Wₙ xₜ + Uₙ (rₜ ⊙ hₜ₋₁) + bₙ)"),
    ("S14 one convention", "gru", "", 0, "forward", "hₜ = (1 − zₜ) ⊙ hₜ₋₁ + zₜ ⊙ nₜ"),
    ("S14 the other convention", "gru_keep", "", 0, "forward", "hₜ = zₜ ⊙ hₜ₋₁ + (1 − zₜ) ⊙ nₜ"),
    ("S14 reset after", "gru_reset_after", "", 0, "forward", "nₜ = tanh(Wₙ xₜ + bₙ + rₜ ⊙ (Uₙ hₜ₋₁ + bₕₙ))"),
    ("S15 the misprint", "lstm_misprint", "", 0, "forward", "hₜ = oₜ ⊙ tanh(cₜ₋₁)"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "head", "unroll", "anchor", "formula"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS]
)
def test_the_formula_stands_in_its_section(name: str, head: str, unroll: int, anchor: str, formula: str) -> None:
    assert formula in lines(page(name, head, unroll), anchor)


def test_s4_the_average_over_time_is_told() -> None:
    assert "for an average over t divide by T" in prose(page("elman"), "conventions")


def test_s6_the_statement_about_the_spectral_radius() -> None:
    told = prose(page("elman"), "jacobian")
    assert "spectral radius of $W$" in told and "below one the gradient vanishes, above one it explodes" in told
    assert "The slope of tanh is at most 1." in told
    assert "The slope of ReLU" not in told


def test_s10_the_gate_table_and_its_four_regimes() -> None:
    document = page("lstm")
    section = next(s for s in document.sections if s.anchor == "jacobian")
    (table,) = [b for b in section.blocks if isinstance(b, Table)]
    writer = TexWriter(document, "en")
    rows = [[writer.cell(c) for c in row] for row in table.rows]
    assert rows == [
        ["$0$", "$0$", "$0$", "clear the memory"],
        ["$0$", "$1$", "$c_{t-1}$", "keep the memory"],
        ["$1$", "$0$", "$g_{t}$", "overwrite the memory"],
        ["$1$", "$1$", "$c_{t-1} + g_{t}$", "use memory and input"],
    ]


@pytest.mark.parametrize(("i", "f"), list(itertools.product((0, 1), (0, 1))))
def test_s10_gates_driven_to_their_ends_do_what_the_table_says(i: int, f: int) -> None:
    cell, rng = symrnn.load("lstm"), np.random.default_rng(0)
    shapes = {"H": 3, "I": 2}
    params = {v.name: rng.standard_normal([shapes[a] for a in v.axes]) for v in cell.params}
    for gate, value in (("i", i), ("f", f)):
        params[f"W_{gate}"] *= 0
        params[f"U_{gate}"] *= 0
        params[f"b_{gate}"] = np.full(3, 800.0 if value else -800.0)
    x, state = rng.standard_normal((1, 1, 2)), {k: rng.standard_normal((1, 3)) for k in "hc"}
    _, last = evaluate.run(cell, params, {"x": x}, state)
    g = np.tanh(x[0] @ params["W_g"].T + state["h"] @ params["U_g"].T + params["b_g"])
    assert np.allclose(last["c"], f * state["c"] + i * g, atol=1e-12)


def test_s11_four_terms_and_one_of_them_named() -> None:
    document = page("lstm")
    (whole,) = [x for x in lines(document, "jacobian") if x.startswith("dcₜ/dcₜ₋₁ =")]
    terms = whole.split(" = ")[1].split(" + diag")
    assert len(terms) == 4 and terms[-1] == "(fₜ)"
    assert "constant-error path" in prose(document, "jacobian")
    remarks = [e.note.key for a, e in document.equations() if a == "jacobian" and e.note]
    assert remarks.count("path.constant") == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [("elman", False), ("gru", True), ("lstm", True), ("lstm_peephole", True), ("nfg", False), ("indrnn", False)],
)
def test_the_constant_error_path_is_found_in_the_graph(name: str, expected: bool) -> None:
    keys = [e.note.key for _, e in page(name).equations() if e.note]
    assert ("path.constant" in keys) is expected


def test_the_misprints_are_listed_with_the_verdict_of_the_derivation() -> None:
    assert (ROOT / "docs" / "misprints.md").read_text(encoding="utf-8") == misprints.text(), (
        "regenerate it: python tests/misprints.py"
    )
