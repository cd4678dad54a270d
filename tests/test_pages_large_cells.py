"""Pages of deep and long cells: they grow as the number of equations does, and say what they leave out."""

from __future__ import annotations

import re

import pytest

from symrnn import pages
from symrnn.calculus.derive import derive
from symrnn.language.load import parse
from symrnn.pages.document import LeftOut, Phrase
from symrnn.pages.formulas.formula import Deriv, Path, Sym
from symrnn.pages.formulas.rewrite import size
from symrnn.pages.outline import subject, unchecked
from symrnn.pages.sections.paths import Paths
from symrnn.pages.trace import Trace


def stacked(layers: int) -> str:
    """Recurrent layers, each above the other."""
    states = ", ".join(f"h{k}[H]" for k in range(layers))
    params = ", ".join(f"U{k}[H, H], W{k}[H, H]" for k in range(layers))
    rows = [f"h{k} = tanh(W{k} @ {f'h{k - 1}' if k else 'x'} + U{k} @ h{k}[t-1])" for k in range(layers)]
    return "\n".join(["input x[H]", f"state {states}", f"output h{layers - 1}", f"param {params}", *rows])


def skipping(equations: int) -> str:
    """A state whose paths are as many as the Fibonacci numbers."""
    rows = [f"v{k} = tanh(v{k - 1} * v{k - 2} + x)" for k in range(2, equations)]
    return "\n".join(
        ["input x[H]", "state h[H]", "v0 = tanh(x + U @ h[t-1])", "v1 = tanh(v0 + x)", *rows, f"h = v{equations - 1}"]
    )


def woven(states: int) -> str:
    """States that all read their neighbours below twice, so that paths are many and states are many."""
    names = ", ".join(f"h{k}[H]" for k in range(states))
    rows = [f"h{k} = tanh(h{max(k - 1, 0)}{'[t-1]' if not k else ''} * (h{k}[t-1] + "
            f"h{max(k - 2, 0)}{'[t-1]' if k < 1 else ''}) + x)" for k in range(states)]  # fmt: skip
    return "\n".join(["input x[H]", f"state {names}", f"output h{states - 1}", *rows])


def shown(text: str) -> int:
    """How many symbols and operations the equations of a page show."""
    document = unchecked(subject(parse(text, "own", "own.cell")))
    return sum(size(e.left) + size(e.right) for _, e in document.equations())


@pytest.mark.parametrize("kind", [stacked, skipping, woven])
def test_a_page_grows_as_the_number_of_equations_does(kind: object) -> None:
    small, large = (shown(kind(n)) for n in (20, 40))  # type: ignore[operator]
    assert large < 2.4 * small


@pytest.mark.parametrize("kind", [stacked, woven])
def test_what_is_left_out_is_counted(kind: object) -> None:
    cell = parse(kind(24), "own", "own.cell")  # type: ignore[operator]
    document = unchecked(subject(cell))
    (section,) = (s for s in document.sections if s.anchor == "jacobian")
    left = [p for b in section.blocks if isinstance(b, LeftOut) for p in b.phrases]
    pairs = {(e.left.of, e.left.by) for a, e in document.equations() if a == "jacobian" and _is_pair(e.left)}
    told = [p for b in section.blocks for p in getattr(b, "phrases", ()) if isinstance(p, Phrase)]
    moved = [p for p in told if p.key == "jacobian.differential"]
    trace, d = Trace(derive(cell)), derive(cell)
    paths = Paths(trace)
    previous = {v.of: n for n, v in d.step.values.items() if v.role == "carry"}
    linked = [(a, b) for a in d.step.carried for b in d.step.carried if paths.count(previous[a], d.step.carried[b])]
    assert left and len(pairs) + len(moved) + sum(p.gaps["count"] for p in left) == len(linked)
    said = [int(n) for n in re.findall(r"depends on (\d+) further values", pages.show(cell).replace("\n", " "))]
    assert sum(said) == sum(p.gaps["count"] for p in left if p.gaps["count"] > 1)


def _is_pair(left: object) -> bool:
    states = isinstance(left, Deriv) and isinstance(left.by, Sym) and left.by.time is not None
    return states and not isinstance(left, Path) and left.kind == "local" and "*" not in left.labels  # type: ignore[union-attr]


def test_a_chain_of_hundreds_of_equations_has_a_page() -> None:
    rows = [f"v{k} = tanh(a * v{k - 1} + b)" for k in range(1, 290)]
    text = "\n".join(["input x[H]", "state h[H]", "v0 = tanh(x + U @ h[t-1])", *rows, "h = v289"])
    shown_text = pages.show(parse(text, "own", "own.cell")).replace("\n", " ")
    assert "One dependence on an earlier state has no short form" in shown_text


def test_huge_numbers_of_paths_are_rounded() -> None:
    document = unchecked(subject(parse(skipping(100), "own", "own.cell")))
    told = [p for s in document.sections for b in s.blocks for p in getattr(b, "phrases", ())]
    (phrase,) = (p for p in told if p.key == "jacobian.differential")
    assert re.fullmatch(r"\d\.\de\+\d+", phrase.gaps["paths"])
