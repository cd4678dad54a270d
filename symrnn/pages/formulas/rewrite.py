"""Formulas at other times, with parts replaced, and how much they show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import sympy as sp

from symrnn.functions.table import FUNCTIONS
from symrnn.pages.formulas.formula import Big, Call, Deriv, Ein, Fn, Formula, Mul, Num, Sym, Time, mul, rebuilt, walk


def at_time(node: Formula, change: Callable[[Time], Time]) -> Formula:
    """The formula with every time changed; bound indices of sums over time stay."""
    if isinstance(node, Sym):
        return replace(node, time=change(node.time)) if node.time else node
    if isinstance(node, Big):
        keep = lambda t: t if t.base == node.index else change(t)  # noqa: E731
        return replace(node, low=change(node.low), high=change(node.high), body=at_time(node.body, keep))
    if isinstance(node, Deriv) and node.at:
        node = replace(node, at=change(node.at))
    return rebuilt(node, lambda x: at_time(x, change))


def shifted(node: Formula, by: int) -> Formula:
    """The formula `by` steps later."""
    return at_time(node, lambda t: t.shifted(by) if t.base == "t" else t)


def substituted(node: Formula, values: Mapping[Formula, Formula]) -> Formula:
    """The formula with some parts replaced."""
    return values[node] if node in values else rebuilt(node, lambda x: substituted(x, values))


def size(node: Formula) -> int:
    """How many symbols and operations a formula shows."""
    return sum(1 for x in walk(node) if isinstance(x, Sym | Num | Fn | Call))


def tidy(node: Formula) -> Formula:
    """√(aᵀ a) as ‖a‖, and lengths without the guard that keeps code from dividing by zero."""
    node = rebuilt(node, tidy)
    if isinstance(node, Mul):
        return mul(*node.args)  # without the guard, equal factors can stand side by side
    if not isinstance(node, Fn):
        return node
    inner = node.args[0]
    if node.row.name == "where" and inner == Fn(FUNCTIONS["ge"], (Num(sp.Integer(0)), node.args[2])):
        return node.args[2]
    if node.row.name == "sqrt" and isinstance(inner, Ein) and len(inner.args) == 2 and inner.args[0] == inner.args[1]:
        (a, _) = inner.args
        if inner.labels == a.labels[:-1]:
            return Call("norm", (a,), inner.labels, a.labels[-1])
    return node
