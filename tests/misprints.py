"""Formulas that circulate in lecture notes and are wrong; the derivation is the judge, every verdict computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from symrnn.diff import compare
from symrnn.language.load import load
from symrnn.pages.evaluate.world import World
from symrnn.pages.formulas.formula import Add
from symrnn.pages.notation.latex import Latex
from symrnn.pages.notation.spelling import Spelling
from symrnn.pages.outline import Subject, subject, unchecked

STEP = 1e-4


def text() -> str:
    """The page docs/misprints.md."""
    parts = [old_cell_state(), sign_of_the_update(), long_dependence(), coupled_gate(), concatenated_size()]
    head = (
        "# Misprints, judged by the derivation\n\n"
        "Formulas as lecture notes print them, and what the derivation says. Written by `python tests/misprints.py`;\n"
        "a test compares this file with what it writes.\n"
    )
    return head + "\n" + "\n\n".join(parts) + "\n"


def old_cell_state() -> str:
    """h = o ⊙ tanh(c[t-1])."""
    found = compare(load("lstm"), load("lstm_misprint"))
    pen = Spelling(Latex(), found.letters)
    rows = [
        f"| $`{pen.text(c.left)}`$ | {_terms(c.only_a, pen)} | {_terms(c.only_b, pen)} |"
        for c in (*found.equations, *found.gradients)
    ]
    table = "\n".join(["| | correct | misprinted |", "|---|---|---|", *rows])
    return (
        "## The LSTM whose output reads the old cell state\n\n"
        "Printed: $`h_t = o_t \\odot \\tanh(c_{t-1})`$.\n\n"
        "Verdict: wrong; it is $`h_t = o_t \\odot \\tanh(c_t)`$. With the misprint the loss of step t no longer\n"
        "reaches $`c_t`$, and so not the input gate, the forget gate and the candidate of its own step:\n\n"
        f"{table}\n\nAll terms: `symrnn diff lstm lstm_misprint`."
    )


def _terms(terms: tuple[object, ...], pen: Spelling) -> str:
    return ", ".join(f"$`{pen.text(t)}`$" for t in terms) or "–"  # type: ignore[arg-type]


def sign_of_the_update() -> str:
    """θ + α ∇L."""
    rows = []
    for sign, mark in ((-1, "-"), (1, "+")):
        change = _moved(subject(load("elman"), load("heads/softmax_cross_entropy")).world(), sign)
        rows.append(f"| $`\\theta {mark} \\alpha \\nabla L`$ | {'falls' if change < 0 else 'rises'} |")
    table = "\n".join(["| update | the loss |", "|---|---|", *rows])
    return (
        "## The sign of the update\n\n"
        "Printed: $`V(t+1) = V(t) + \\alpha \\nabla V`$, and the same for U and W.\n\n"
        "Verdict: wrong; gradient descent subtracts. An Elman network with softmax and cross-entropy, one small step\n"
        f"of all parameters (α = {STEP:g}):\n\n{table}"
    )


def _moved(world: World, sign: int) -> float:
    """How the whole loss changes when every parameter takes one step along its gradient."""
    parameters = [n for n, v in world.kinds.items() if v.role == "param"]
    gradients = {n: world.adjoint(n, None) for n in parameters}
    before = _loss(world.run())
    for name, gradient in gradients.items():
        world.fixed[name] = world.fixed[name] + sign * STEP * gradient
    return _loss(world.run()) - before


def _loss(rows: list[dict[str, np.ndarray]]) -> float:
    return float(sum(np.real(row["head.loss"]).sum() for row in rows[1:]))


def long_dependence() -> str:
    """Which of U, V, W depends on earlier steps."""
    about = subject(load("elman"), load("heads/softmax_cross_entropy"))
    rows = [f"| {name} | {_reach(about, key)} |" for name, key in (("U", "U"), ("W", "W"), ("V", "head.V"))]
    table = "\n".join(["| parameter | steps whose use the loss of step 3 depends on |", "|---|---|", *rows])
    return (
        "## Which parameter has the long dependence\n\n"
        "Printed: “W has no long dependence, U and V have”, beside formulas that say otherwise.\n\n"
        "Verdict: U and W stand inside the recurrence and depend on all earlier steps; V, of the output layer, on\n"
        f"none. Measured, each parameter moved at one step alone:\n\n{table}"
    )


def _reach(about: Subject, name: str) -> str:
    world = about.world(3)
    reached = [k for k in (1, 2, 3) if np.abs(world.derivative("head.loss", 3, name, k)).max() > 0]
    return ", ".join(map(str, reached))


def coupled_gate() -> str:
    """CIFG."""
    document = unchecked(subject(load("cifg")))
    pen = Spelling(Latex(), document.letters)
    row = next(e for a, e in document.equations() if a == "forward" and pen.text(e.left) == "f_{t}")
    assert isinstance(row.right, Add)
    return (
        "## Which gates CIFG couples\n\n"
        "Printed: “forget gate coupled with the output gate”.\n\n"
        "Verdict: Greff et al. couple input and forget gate, as the name says (coupled input and forget gate): "
        f"$`{pen.text(row.left)} = {pen.text(row.right)}`$."
    )


def concatenated_size() -> str:
    """W_f on [h, x]."""
    shape = " × ".join(f"({a})" if "+" in a else a for a in load("lstm_concat").variable("W_f").axes).replace(
        "+", " + "
    )
    return (
        "## The size of a matrix on the concatenation\n\n"
        "Printed: $`W_f`$ of $`W_f [h_{t-1}, x_t]`$ has the size H × H.\n\n"
        f"Verdict: its shape follows from what it multiplies, and is {shape}."
    )


if __name__ == "__main__":
    Path(__file__).parent.parent.joinpath("docs", "misprints.md").write_text(text(), encoding="utf-8")
