"""Somebody who types in a page's formulas, and nothing else, gets the gradients."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache

import numpy as np
import pytest
from named_axes import Unclear
from typed_in import Node, Page, Row, page, type_in

import symrnn
from symrnn import pages
from symrnn.language.cell import Cell, axis_size
from symrnn.meaning import evaluate
from symrnn.pages.phrases import table

STEPS, BEYOND = 4, 3  # those after the last are there for whoever reads what does not count
TINY = 1e-30
TOLERANCE = 1e-10
Arrays = dict[tuple[str, int | None], np.ndarray]


class Point:
    """Random numbers for a cell, and the gradients there by complex steps through an evaluation of its equations."""

    def __init__(self, cell: Cell, seed: int = 0) -> None:
        self.cell, rng = cell, np.random.default_rng(seed)
        self.sizes = {a: n for n, a in enumerate(cell.axes, 2)}

        def draw(axes: tuple[str, ...]) -> np.ndarray:
            return rng.normal(size=[axis_size(a, self.sizes) for a in axes]) * 0.7

        self.given: Arrays = {(v.name, None): draw(v.axes) for v in cell.params}
        self.given |= {(v.name, t): draw(v.axes) for v in cell.inputs for t in range(1, STEPS + BEYOND + 1)}
        self.given |= {(c.of, -c.lag): draw(c.axes) for c in cell.carries}
        self.seeds: Arrays = {(v.name, t): draw(v.axes) for v in cell.outputs for t in range(1, STEPS + 1)}
        self.gradients = self.by_complex_steps()

    def by_complex_steps(self) -> Arrays:
        """One lane of a batch for each number that moves."""
        moving = {k: a for k, a in self.given.items() if (k[1] or 0) <= STEPS}
        lanes = sum(a.size for a in moving.values())
        moved, lane = {}, 0
        for key, a in moving.items():
            moved[key] = np.repeat(a[None].astype(complex), lanes, 0)
            for place in np.ndindex(a.shape):
                moved[key][(lane, *place)] += 1j * TINY
                lane += 1
        outputs, _ = evaluate.run(
            self.cell,
            {v.name: moved[v.name, None] for v in self.cell.params},
            {v.name: np.stack([moved[v.name, t] for t in range(1, STEPS + 1)]) for v in self.cell.inputs},
            {c.name: moved[c.of, -c.lag] for c in self.cell.carries},
        )
        slopes = sum(
            (outputs[n][t - 1].reshape(lanes, -1) @ seed.reshape(-1)).imag / TINY  # type: ignore[operator]
            for (n, t), seed in self.seeds.items()
        )
        ends = np.cumsum([a.size for a in moving.values()])
        found = np.split(slopes, ends[:-1])
        return {k: g.reshape(a.shape) for (k, a), g in zip(moving.items(), found, strict=True)}

    def disagreement(self, printed: Page) -> float:
        """The largest difference from what was typed in, relative to 1 + |value|."""
        found = type_in(printed, self.sizes, STEPS, self.given, self.seeds)
        worst = 0.0
        for key, wanted in self.gradients.items():
            if key not in found:
                raise Unclear(f"no gradient by {key}")
            worst = max(worst, float(np.max(np.abs(found[key] - wanted) / (1 + np.abs(wanted)), initial=0)))
        return worst


@cache
def latex(name: str) -> str:
    return str(pages.render(symrnn.load(name), "latex"))


@cache
def point(name: str) -> Point:
    return Point(symrnn.load(name))


QUICK = ("lstm", "gru", "lstm_layernorm", "narx", "deltanet")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in symrnn.gallery()]
)
def test_who_types_in_a_page_gets_the_gradients(name: str) -> None:
    assert "[U+" not in latex(name)
    assert point(name).disagreement(page(latex(name))) < TOLERANCE


MUTATIONS = (
    (r" \+ ", " - "),
    (r" - ", " + "),
    (r"(?<=[_,{])t-1(?=\})", "t"),
    (r"(?<=[_,{])t\+1(?=\})", "t"),
    (r"(?<=[_,{])t(?=\})", "t-1"),
    (r"\^\{\\top\}", ""),
    (r"\\odot", r"\\,"),
)


def mutants(text: str) -> Iterator[tuple[str, Page]]:
    """The page with one place changed where somebody types in what counts, and what the line became."""
    read, (start, end) = (
        counting(page(text)),
        (text.index(f"{{{table('en')[f'title.{s}']}}}") for s in ("forward", "code")),
    )
    for pattern, new in MUTATIONS:
        for match in re.finditer(pattern, text[start:end]):
            at, until, put = start + match.start(), start + match.end(), match.expand(new)
            with suppress(Unclear):
                changed = page(text[:at] + put + text[until:])
                if counting(changed) != read:
                    yield f"{text[text.rindex(chr(10), 0, at) + 1 : at]}⟨{put}⟩", changed


def counting(printed: Page) -> tuple[Row, ...]:
    """The rows that gradients depend on: what the page names and nobody reads is left out."""
    rows = printed.rows
    while unread := [r for r in rows if not r.gradient and not any(reads(x.right, r.of) for x in rows if x != r)]:
        rows = tuple(r for r in rows if r not in unread)
    return rows


def reads(formula: Node, name: Node) -> bool:
    if formula.op in ("gradient", "loss"):
        return False
    same = (formula.op, formula.text, formula.parts[:-1]) == (name.op, name.text, name.parts[:-1])
    return same or any(reads(a, name) for a in formula.args)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n == "gru" else pytest.mark.slow) for n in ("gru", "lstm_layernorm", "narx", "hawk")],
)
def test_whoever_types_in_a_wrong_page_notices(name: str) -> None:
    """Every sign, step, transpose and ⊙ that counts, counts."""
    unnoticed, wrong = [], list(mutants(latex(name)))
    for line, changed in wrong:
        with suppress(Unclear):
            if point(name).disagreement(changed) < 1e3 * TOLERANCE:
                unnoticed.append(line)
    assert len(wrong) > 40 and unnoticed == []


def test_one_row_with_a_star_is_typed_in_for_each_of_its_letters() -> None:
    """Numbers and words beside a row are left alone, and so is what explains it."""
    starred = r"""\section{Symbols}
$\gamma_{w\star}$ & \texttt{gamma\_wi, gamma\_wf} & parameter & H $\times$ I & \\
\section{Forward equations}
\begin{align}
\bar{\star}_{t} &= \gamma_{w\star}\,x_{t} \\
&\qquad  + b_{w\star} && \star \in \{i, f\} && \text{by (4)} \label{net} \\
\star_{t} &= \sigma(\bar{\star}_{t}) \qquad \star \in \{i, f\} \tag{2} \\
\delta h_{t} &= \sum_{k = t}^{T} \frac{\partial L_{k}}{\partial h_{t}} && \text{by definition} \\
&= \frac{\partial L_{t}}{\partial h_{t}} + \frac{\partial h_{t+1}}{\partial h_{t}}^{\top}\,\delta h_{t+1} \\
\delta \star_{t} &= \delta h_{t} \odot \star_{t} && \star \in \{i, f\}
\end{align}"""
    plain = r"""\section*{Symbols}
$\gamma_{wi}$ & \texttt{gamma\_wi} & parameter & H $\times$ I & \\
$\gamma_{wf}$ & \texttt{gamma\_wf} & parameter & H $\times$ I & \\
\section*{Forward equations}
\begin{align*}
\bar{i}_{t} &= \gamma_{wi}\,x_{t} + b_{wi} \\
\bar{f}_{t} &= \gamma_{wf}\,x_{t} + b_{wf} \\
i_{t} &= \sigma(\bar{i}_{t}) \\
f_{t} &= \sigma(\bar{f}_{t}) \\
\delta i_{t} &= \delta h_{t} \odot i_{t} \\
\delta f_{t} &= \delta h_{t} \odot f_{t}
\end{align*}"""
    assert page(starred) == page(plain)
    assert [r.of.text for r in page(starred).rows] == ["\\bar{i}", "\\bar{f}", "i", "f", "i", "f"]
