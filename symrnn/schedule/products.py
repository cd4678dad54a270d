"""Products that a BLAS does in one call, and sums of them, recognised among the statements of a program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import sympy as sp

from symrnn.calculus.ir import BATCH, TIME, Contraction, Pointwise, Ref, Statement
from symrnn.schedule.program import Program

ARRAYS = ("input", "param", "carry", "value", "tangent", "adjoint", "local", "seed", "next")


@dataclass(frozen=True)
class Times:
    """out = x times a matrix without batch and time; `transposed`: the matrix has the result's axis first."""

    out: Ref
    x: Ref
    weight: Ref
    transposed: bool
    equation: str


def times(s: Statement, program: Program) -> Times | None:
    """The statement as a matrix product, if it is one a BLAS can do in one call."""
    if not isinstance(s, Contraction) or len(s.args) != 2:
        return None
    for x, w in (s.args, s.args[::-1]):
        plain = all(program.values[r.name].role in ARRAYS for r in (x, w))
        if not plain or len(w.labels) != 2 or len(x.labels) < 2 or {TIME, BATCH} & set(w.labels):
            continue
        inner = x.labels[-1]
        if s.summed != (inner,) or inner not in w.labels:
            continue
        outer = w.labels[0] if w.labels[1] == inner else w.labels[1]
        if s.out.labels == (*x.labels[:-1], outer):
            return Times(s.out, x, w, w.labels[1] == inner, s.equation)
    return None


def outer(s: Statement, program: Program) -> tuple[Ref, Ref] | None:
    """(d, x) if the statement sums d ⊗ x over all leading axes: the gradient of a matrix."""
    if not isinstance(s, Contraction) or len(s.args) != 2:
        return None
    for d, x in (s.args, s.args[::-1]):
        lead = d.labels[:-1]
        plain = all(program.values[r.name].role in ARRAYS for r in (d, x))
        if (
            plain
            and lead
            and x.labels[:-1] == lead
            and s.out.labels == (d.labels[-1], x.labels[-1])
            and s.summed == lead
        ):
            return d, x
    return None


def total(s: Statement, program: Program) -> Ref | None:
    """The operand, if the statement sums it over everything but its last axis: the gradient of a bias."""
    if not isinstance(s, Contraction) or len(s.args) != 1:
        return None
    (d,) = s.args
    plain = program.values[d.name].role in ARRAYS
    return d if plain and len(d.labels) > 1 and s.out.labels == d.labels[-1:] and s.summed == d.labels[:-1] else None


@dataclass(frozen=True)
class SumOfProducts:
    """A pointwise statement that adds up products nobody else reads."""

    statement: Pointwise
    terms: tuple[Times, ...]


def sums_of_products(block: Sequence[Statement], program: Program, uses: Counter[str]) -> Iterator[SumOfProducts]:
    """Every sum of products of a block."""
    products = {s.out.name: t for s in block if (t := times(s, program)) is not None}
    for s in block:
        if isinstance(s, Pointwise):
            bare = s.expr.args if isinstance(s.expr, sp.Add) else (s.expr,)
            terms = [
                products[a.name]
                for a in s.args
                if a.name in products and uses[a.name] == 1 and a.symbol in bare and a.labels == s.out.labels
            ]
            if terms and len({t.x.name for t in terms}) == len(terms):
                yield SumOfProducts(s, tuple(terms))
