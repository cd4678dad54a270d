"""How each statement of a step depends on its operands: what both forward and reverse mode are made of."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from symrnn.calculus.ir import OneHot, Peak, Pointwise, Ref, Statement, Step
from symrnn.functions.expressions import differentiate

DIFFERENTIABLE = ("input", "param", "carry", "value", "tangent")


@dataclass(frozen=True)
class Edge:
    """One operand of one statement: how `wrt` enters `statement.out`. `partial` is None for a Contraction."""

    statement: Statement
    position: int
    partial: sp.Expr | None

    @property
    def wrt(self) -> str:
        return self.statement.args[self.position].name

    @property
    def of(self) -> str:
        return self.statement.out.name


def local_edges(step: Step) -> tuple[Edge, ...]:
    """Every way in which one value of the step depends differentiably on another."""
    edges = []
    for s in step.statements:
        for k, arg in enumerate(s.args):
            if isinstance(s, OneHot | Peak) or step.values[arg.name].role not in DIFFERENTIABLE:
                continue
            partial = _partial(s, arg) if isinstance(s, Pointwise) else None
            if partial != 0:
                edges.append(Edge(s, k, partial))
    return tuple(edges)


def by_wrt(edges: tuple[Edge, ...]) -> dict[str, tuple[Edge, ...]]:
    """The edges that leave each value, in order."""
    found: dict[str, list[Edge]] = {}
    for edge in edges:
        found.setdefault(edge.wrt, []).append(edge)
    return {name: tuple(leaving) for name, leaving in found.items()}


def _partial(s: Pointwise, arg: Ref) -> sp.Expr:
    function = hasattr(type(s.expr), "row")
    return differentiate(s.expr, arg.symbol, s.out.symbol if function else None)
