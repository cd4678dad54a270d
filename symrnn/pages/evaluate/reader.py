"""What a formula is worth in a world: labelled arrays, broadcast and contracted by label."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import reduce

import numpy as np

from symrnn.calculus.ir import Labels, axis_of
from symrnn.functions import numeric
from symrnn.functions.whole_axis import ROWS
from symrnn.language.cell import axis_size
from symrnn.meaning.interpret import aligned, contracted, one_hot
from symrnn.pages.document import Equation
from symrnn.pages.evaluate.world import World
from symrnn.pages.formulas import formula
from symrnn.pages.formulas.formula import Deriv, Formula, Sym, Time

Array = numeric.Array


@dataclass(frozen=True)
class Reader:
    """Evaluates formulas at one step of a world. `indices` holds bound indices; `paths` what a named path is worth."""

    world: World
    t: int
    indices: dict[str, int] = field(default_factory=dict)
    paths: dict[tuple[Formula, Formula, int], Formula] = field(default_factory=dict)
    along: str = ""

    def left(self, equation: Equation) -> Array:
        """What the left side of an equation is worth."""
        return equation.truth(self.world, self.t) if equation.truth else self.read(equation.left)

    def moment(self, time: Time) -> int:
        known = {"t": self.t, "T": self.world.steps, "": 0} | self.indices
        return known[time.base] + time.offset

    def shape(self, labels: Labels) -> tuple[int, ...]:
        return tuple(axis_size(axis_of(x), self.world.sizes) for x in labels)

    def array(self, node: Formula, labels: Labels | None = None) -> Array:
        """The formula with its axes in the order of `labels`, repeated along those it lacks."""
        value = self.read(node)
        if labels is None or labels == node.labels:
            return value
        return np.broadcast_to(aligned(value, node.labels, labels), self.shape(labels))

    def read(self, node: Formula) -> Array:
        """The formula with its axes in the order of its own labels; a derivative by symbols is a matrix."""
        match node:
            case formula.Num():
                return np.asarray(float(node.value))
            case Sym():
                return self.symbol(node)
            case formula.Neg():
                return -self.read(node.arg)
            case formula.Add():
                return np.asarray(sum(self.each(node, *node.args)))
            case formula.Mul():
                return np.asarray(math.prod(self.each(node, *node.args)))
            case formula.Div():
                top, bottom = self.each(node, node.top, node.bottom)
                return np.asarray(top / bottom)
            case formula.Pow():
                return numeric.power(self.read(node.base), node.exponent)
            case formula.Fn():
                return numeric.apply(node.row, self.each(node, *node.args))
            case formula.Ein():
                return contracted([(self.read(a), a.labels) for a in node.args], node.labels)
            case formula.Call():
                return self.call(node)
            case formula.Chain():
                return reduce(np.matmul, map(self.matrix, node.maps)).reshape(self.shape(node.labels))
            case formula.Big():
                return self.big(node)
            case Deriv():
                return self.derivative(node)
            case formula.Path():
                return self.array(self.paths[node.of, node.by, node.number], node.labels)

    def each(self, node: Formula, *parts: Formula) -> list[Array]:
        """The parts of an elementwise formula, all of its shape."""
        return [self.array(a, node.labels) for a in parts]

    def symbol(self, node: Sym) -> Array:
        t = None if node.time is None else self.moment(node.time)
        now = self.t if t is None else t
        match node.kind:
            case "index":
                return np.asarray(float(now))
            case "adjoint":
                return self.world.adjoint(node.name, t)
            case "seed":
                return self.world.seed(node.name, now)
            case "tangent":
                return self.tangent(node)
        return self.world.value(node.name, now)

    def tangent(self, node: Sym) -> Array:
        """The differential of a value of this step along a fixed direction of the carried value `along`."""
        direction = np.cos(1.0 + np.arange(self.world.size(self.along))).reshape(self.world.shape(self.along))
        if node.time is not None and node.time.offset < 0:
            return np.asarray(direction)
        moved = self.world.derivative(node.name, self.t, self.along, self.t)
        return np.asarray(np.tensordot(moved, direction, axes=direction.ndim))

    def derivative(self, node: Deriv) -> Array:
        """A derivative by symbols, as a matrix; of or by "*", all states stacked."""
        of, by, world = node.of, node.by, self.world
        assert isinstance(by, Sym)
        s = None if by.time is None else self.moment(by.time)
        if of is None:
            at = None if node.at is None else self.moment(node.at)
            return np.atleast_2d(
                world.stacked_loss(s, at) if by.name == "*" and s is not None else world.loss(by.name, s, at).ravel()
            )
        assert isinstance(of, Sym) and of.time is not None
        t = self.moment(of.time)
        if of.name == by.name == "*" and s is not None:
            return world.between(t, s)
        return world.jacobian(world.states if of.name == "*" else [of.name], t, [by.name], t if s is None else s)

    def call(self, node: formula.Call) -> Array:
        shape = self.shape(node.labels)
        match node.op:
            case "zero":
                return np.zeros(shape)
            case "ones":
                return np.ones(shape)
            case "identity":
                return np.eye(shape[0])
            case "diag":
                return np.diag(self.read(node.args[0]))
            case "concat":
                return np.concatenate([self.read(a) for a in node.args], axis=-1)
            case "slice":
                start = sum(self.shape(node.note))
                return self.read(node.args[0])[..., start : start + shape[-1]]
        arg = node.args[0]
        rest = tuple(x for x in arg.labels if x != node.over)
        array = self.array(arg, (*rest, node.over))
        value = one_hot(array, node.op == "argmax") if node.op in ("argmax", "argmin") else ROWS[node.op].value(array)
        return aligned(value, (*rest, node.over) if value.ndim == array.ndim else rest, node.labels)

    def matrix(self, m: formula.Map) -> Array:
        """One factor of a chain."""
        if isinstance(m.arg, Deriv | formula.Big):
            return self.read(m.arg)
        if m.outer == m.inner and m.outer:
            return np.diag(self.array(m.arg, (m.outer,)))
        ends = tuple(x for x in (m.outer, m.inner) if x)
        return self.array(m.arg, ends).reshape([math.prod(self.shape((x,) if x else ())) for x in (m.outer, m.inner)])

    def big(self, node: formula.Big) -> Array:
        """A sum; or a product of numbers or matrices, the latest leftmost: of none, the identity on the state."""
        labels = None if "*" in node.labels else node.labels
        values = []
        for k in range(self.moment(node.low), self.moment(node.high) + 1):
            inner = replace(self, indices=self.indices | {node.index: k}, t=k if node.index == "t" else self.t)
            values.append(inner.array(node.body, labels))
        if node.op == "sum":
            return np.asarray(sum(values, start=np.zeros(self.shape(node.labels))))
        if values and not values[0].ndim:
            return np.asarray(math.prod(values))
        return reduce(lambda total, v: v @ total, values, np.eye(sum(map(self.world.size, self.world.states))))
