"""Step → Step: every value beside its tangent, how it moves when all that is given moves along a direction.

The tangent of x is called ``dot_x``. The result is a step like any other, so that it can be differentiated again: the
adjoints of a step with tangents are the products of the Hessian with the direction (Pearlmutter 1994).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import sympy as sp

from symrnn.calculus.along_axis import tangent
from symrnn.calculus.ir import (
    AlongAxis,
    Concat,
    Contraction,
    Pointwise,
    Ref,
    Statement,
    Step,
    Value,
    numbered,
    pointwise,
)
from symrnn.calculus.partials import Edge, local_edges


def jvp(step: Step) -> Step:
    """The step that carries tangents too; what can be moved is every input, parameter and carried value."""
    return _Tangents(step).step()


class _Tangents:
    def __init__(self, step: Step) -> None:
        self.before = step
        self.values = dict(step.values)
        self.statements: list[Statement] = []
        self.tangent: dict[str, str] = {}
        self.tangent_of: dict[str, str] = {}
        self.edges: dict[str, list[Edge]] = {}
        for edge in local_edges(step):
            self.edges.setdefault(edge.of, []).append(edge)
        self.keys = {key: numbered(f"dot_{key}", step.carried.__contains__) for key in step.carried}

    def step(self) -> Step:
        for name, value in self.before.values.items():
            if value.role in ("input", "param"):
                self.declare(name, value.role, name)
            elif value.role == "carry":
                self.declare(name, "carry", self.keys[value.of])
        for s in self.before.statements:
            self.statements.append(s)
            self.statements += self.moved(s)
        carried = dict(self.before.carried)
        carried |= {self.keys[key]: self.whole(source) for key, source in self.before.carried.items()}
        outputs = (*self.before.outputs, *map(self.whole, self.before.outputs))
        keys = {moved: key for key, moved in self.keys.items()}
        return Step(self.values, tuple(self.statements), carried, outputs, self.tangent_of, keys)

    def declare(self, name: str, role: str, of: str) -> Ref:
        """A new value, the tangent of one with this name."""
        value = self.values[name]
        new = numbered(f"dot_{name}", self.values.__contains__)
        self.values[new] = replace(value, name=new, role=role, of=of)
        self.tangent[name], self.tangent_of[new] = new, name
        return Ref(new, value.labels)

    def whole(self, name: str) -> str:
        """The tangent of what leaves the step, zero where nothing moves it."""
        if name not in self.tangent:
            out = self.declare(name, "tangent", name)
            self.statements.append(Pointwise(out, sp.Integer(0), ()))
        return self.tangent[name]

    # -- the rules -----------------------------------------------------------------------------------------

    def moved(self, s: Statement) -> Iterator[Statement]:
        """The statements that compute the tangent of one; none where nothing moves it."""
        edges = [e for e in self.edges.get(s.out.name, ()) if e.wrt in self.tangent]
        if not edges:
            return
        match s:
            case Pointwise():
                terms = [(e.partial, self.dot(e)) for e in edges]
                expr = sp.Add(*(partial * ref.symbol for partial, ref in terms))
                refs = [*(ref for _, ref in terms), *s.args, s.out]
                yield pointwise(self.out(s), expr, refs, s.equation)
            case Contraction():
                yield from self.products(s, edges)
            case Concat():
                yield from self.beside(s)
            case AlongAxis():
                d = self.dot(edges[0])
                yield from tangent(s, d, self.out(s), self.values, lambda n: numbered(n, self.values.__contains__))
            case _:  # a slice is linear in its one operand
                yield replace(s, out=self.out(s), args=(self.dot(edges[0]),))

    def out(self, s: Statement) -> Ref:
        return Ref(self.declare(s.out.name, "tangent", s.out.name).name, s.out.labels)

    def dot(self, e: Edge) -> Ref:
        """The tangent of an operand, read as the operand is."""
        return Ref(self.tangent[e.wrt], e.statement.args[e.position].labels)

    def products(self, s: Contraction, edges: list[Edge]) -> Iterator[Statement]:
        """One product for each operand that moves, and their sum."""
        terms = []
        for e in edges:
            args = tuple(self.dot(e) if k == e.position else a for k, a in enumerate(s.args))
            if len(edges) == 1:
                yield Contraction(self.out(s), args, s.equation)
                return
            value = self.values[s.out.name]
            name = numbered(f"dot_{s.out.name}_{e.wrt}", self.values.__contains__)
            self.values[name] = replace(value, name=name, role="tangent", of=s.out.name)
            term = Ref(name, s.out.labels)
            terms.append(term)
            yield Contraction(term, args, s.equation)
        yield pointwise(self.out(s), sp.Add(*(t.symbol for t in terms)), terms, s.equation)

    def beside(self, s: Concat) -> Iterator[Statement]:
        """The tangents one after the other, zeros for operands that do not move."""
        args = []
        for a in s.args:
            if a.name not in self.tangent:
                value = self.values[a.name]
                name = numbered(f"dot_{a.name}", self.values.__contains__)
                self.values[name] = Value(name, value.axes, False, False, "tangent", a.name)
                plain = tuple(x for x in a.labels if x in value.labels[value.batched :])
                yield Pointwise(Ref(name, plain), sp.Integer(0), (), s.equation)
                args.append(Ref(name, plain))
            else:
                args.append(Ref(self.tangent[a.name], a.labels))
        yield Concat(self.out(s), tuple(args), s.equation)
