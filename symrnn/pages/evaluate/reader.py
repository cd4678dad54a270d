"""What a formula is worth in a world: labelled arrays, broadcast and contracted by label."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from symrnn.calculus.ir import Labels, axis_of
from symrnn.functions import numeric
from symrnn.functions.whole_axis import ROWS
from symrnn.language.cell import axis_size
from symrnn.pages.document import Equation
from symrnn.pages.evaluate.world import World
from symrnn.pages.formulas.formula import (
    Add,
    Big,
    Brace,
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
    Time,
    union,
)

Array = numeric.Array


@dataclass
class Reader:
    """Evaluates formulas at one step of a world. `indices` holds bound indices; `paths` what a named path is worth."""

    world: World
    t: int
    indices: dict[str, int] = field(default_factory=dict)
    paths: dict[tuple[Formula, Formula, int], Formula] = field(default_factory=dict)
    along: str = ""

    def left(self, equation: Equation) -> Array:
        """What the left side of an equation is worth."""
        node = equation.left
        if equation.truth is not None:
            return equation.truth(self.world, self.t)
        return self.derivative(node) if isinstance(node, Deriv) else self.array(node)

    def moment(self, time: Time) -> int:
        known = {"t": self.t, "T": self.world.steps, "": 0} | self.indices
        return known[time.base] + time.offset

    def array(self, node: Formula, labels: Labels | None = None) -> Array:
        """The formula with its axes in the order of `labels`, repeated along those it lacks."""
        value, have = self.read(node)
        if labels is None or have == labels:
            return value
        shape = tuple(axis_size(axis_of(x), self.world.sizes) for x in labels)
        order = [have.index(x) for x in labels if x in have]
        value = np.transpose(value, order)
        return np.broadcast_to(value[tuple(slice(None) if x in have else None for x in labels)], shape)

    def read(self, node: Formula) -> tuple[Array, Labels]:
        match node:
            case Num():
                return np.asarray(float(node.value)), ()
            case Sym():
                return self.symbol(node), node.labels
            case Neg():
                value, labels = self.read(node.arg)
                return -value, labels
            case Ein():
                return self.contraction(node), node.labels
            case Call():
                return _CALLS[node.op](self, node), node.labels
            case Chain():
                return self.chain(node), node.labels
            case Big():
                return self.big(node), node.labels
            case Deriv():
                return self.derivative(node), node.labels
            case Brace():
                return self.read(node.arg)
            case Path():
                return self.array(self.paths[node.of, node.by, node.number], node.labels), node.labels
        return self.elementwise(node)

    def symbol(self, node: Sym) -> Array:
        t = None if node.time is None else self.moment(node.time)
        match node.kind:
            case "index":
                return np.asarray(float(self.t if t is None else t))
            case "adjoint":
                return self.world.adjoint(node.name, t)
            case "seed":
                assert t is not None
                return self.world.seed(node.name, t)
            case "tangent":
                return self.tangent(node)
        return self.world.value(node.name, self.t if t is None else t)

    def tangent(self, node: Sym) -> Array:
        """The differential of a value of this step along a fixed direction of the carried value `along`."""
        carried = self.world.shape(self.along)
        direction = np.cos(1.0 + np.arange(int(np.prod(carried, dtype=int)))).reshape(carried)
        if node.time is not None and node.time.offset < 0:
            return np.asarray(direction)
        return np.asarray(self.world.tangent(node.name, self.along, self.t, direction))

    def derivative(self, node: Deriv) -> Array:
        """A derivative by symbols, as a matrix."""
        by = node.by
        assert isinstance(by, Sym)
        s = None if by.time is None else self.moment(by.time)
        if node.of is None:
            at = None if node.at is None else self.moment(node.at)
            if by.name == "*":
                assert s is not None
                return self.world.stacked_loss(s, at)[None]
            return self.world.loss(by.name, s, at).reshape(1, -1)
        assert isinstance(node.of, Sym) and node.of.time is not None
        t = self.moment(node.of.time)
        if node.kind == "direct":
            return self.world.direct(by.name, t)
        if node.of.name == "*":
            assert s is not None
            return self.world.between(t, s)
        of = self.world.derivative(node.of.name, t, by.name, s) if s else self._from_start(node.of.name, t, by.name)
        return of.reshape(int(np.prod(self.world.shape(node.of.name), dtype=int)), -1)

    def _from_start(self, of: str, t: int, by: str) -> Array:
        stage = self.world.stages[0]
        return self.world.derivative(of, t, next(p for p, v in stage.feeds.items() if v == by), 1)

    def elementwise(self, node: Formula) -> tuple[Array, Labels]:
        parts: tuple[Formula, ...]
        match node:
            case Add() | Mul() | Fn():
                parts = node.args
            case Div():
                parts = (node.top, node.bottom)
            case Pow():
                parts = (node.base,)
            case _:
                raise AssertionError(node)
        labels = union(parts)
        arrays = [self._broadcast(a, labels) for a in parts]
        return np.asarray(_ELEMENTWISE[type(node)](node, arrays)), labels

    def _broadcast(self, node: Formula, labels: Labels) -> Array:
        value, have = self.read(node)
        order = [have.index(x) for x in labels if x in have]
        value = np.transpose(value, order)
        value = value[tuple(slice(None) if x in have else None for x in labels)]
        return np.broadcast_to(value, tuple(axis_size(axis_of(x), self.world.sizes) for x in labels))

    def contraction(self, node: Ein) -> Array:
        letters = {x: chr(97 + k) for k, x in enumerate(union(node.args))}
        parts = [self.read(a) for a in node.args]
        spec = ",".join("".join(letters[x] for x in labels) for _, labels in parts)
        return np.asarray(np.einsum(f"{spec}->{''.join(letters[x] for x in node.labels)}", *(v for v, _ in parts)))

    def chain(self, node: Chain) -> Array:
        total: Array | None = None
        for m in node.maps:
            if isinstance(m.arg, Deriv | Big):
                matrix = self.read(m.arg)[0]
            elif m.outer == m.inner and m.outer:
                matrix = np.diag(self.array(m.arg, (m.outer,)))
            else:
                have = tuple(x for x in (m.outer, m.inner) if x)
                shape = [axis_size(axis_of(x), self.world.sizes) if x else 1 for x in (m.outer, m.inner)]
                matrix = self.array(m.arg, have).reshape(shape)
            total = matrix if total is None else total @ matrix
        assert total is not None
        return total.reshape(tuple(axis_size(axis_of(x), self.world.sizes) for x in node.labels))

    def big(self, node: Big) -> Array:
        low, high = self.moment(node.low), self.moment(node.high)
        values = []
        outer = self.indices
        t = self.t
        for k in range(low, high + 1):
            self.indices = outer | {node.index: k}
            if node.index == "t":
                self.t = k
            values.append(self.array(node.body, None if "*" in node.labels else node.labels))
        self.indices, self.t = outer, t
        if "*" in node.labels:
            return self.product(values)
        shape = tuple(axis_size(axis_of(x), self.world.sizes) for x in node.labels)
        if node.op == "sum":
            return np.asarray(sum(values, start=np.zeros(shape)))
        return self.product(values)

    def product(self, values: list[Array]) -> Array:
        """The product of matrices, the latest leftmost; of none, the identity on the state."""
        if values and not values[0].ndim:
            return np.asarray(math.prod(values))
        total = np.eye(len(values[0]) if values else self.world.state_size)
        for v in values:
            total = v @ total
        return total


_ELEMENTWISE: dict[type, Callable[[Any, list[Array]], Array]] = {
    Add: lambda n, a: sum(a[1:], start=a[0]),
    Mul: lambda n, a: math.prod(a[1:], start=a[0]),
    Div: lambda n, a: a[0] / a[1],
    Pow: lambda n, a: numeric.power(a[0], n.exponent),
    Fn: lambda n, a: numeric.apply(n.row, a),
}


def _along(function: Callable[[Array], Array], keeps: bool = False) -> Callable[[Reader, Call], Array]:
    """A function of the last axis, applied along the label the call runs over."""

    def call(reader: Reader, node: Call) -> Array:
        rest = tuple(x for x in node.args[0].labels if x != node.over)
        value = function(reader.array(node.args[0], (*rest, node.over)))
        have = (*rest, node.over) if keeps else rest
        return np.transpose(value, [have.index(x) for x in node.labels])

    return call


def _hot(best: Any) -> Callable[[Array], Array]:
    return lambda a: np.asarray(np.eye(a.shape[-1])[best(a, axis=-1)])


def _concat(reader: Reader, node: Call) -> Array:
    return np.concatenate([reader.array(a) for a in node.args], axis=-1)


def _slice(reader: Reader, node: Call) -> Array:
    start = sum(axis_size(a, reader.world.sizes) for a in node.note)
    return reader.array(node.args[0])[..., start : start + axis_size(axis_of(node.labels[-1]), reader.world.sizes)]


_CALLS: dict[str, Callable[[Reader, Call], Array]] = {
    **{row.name: _along(row.value, row.keeps) for row in ROWS.values()},
    "argmax": _along(_hot(np.argmax), True),
    "argmin": _along(_hot(np.argmin), True),
    "concat": _concat,
    "slice": _slice,
    "zero": lambda reader, node: np.zeros(tuple(axis_size(axis_of(x), reader.world.sizes) for x in node.labels)),
    "diag": lambda reader, node: np.diag(reader.array(node.args[0])),
    "ones": lambda reader, node: np.ones([axis_size(axis_of(x), reader.world.sizes) for x in node.labels]),
    "identity": lambda reader, node: np.eye(axis_size(axis_of(node.labels[0]), reader.world.sizes)),
}
