"""Cell → Derivation: backpropagation through time from two rules, kept as a trace.

An adjoint ``d_v`` is ∂L/∂v. Through a Pointwise it is multiplied by a partial derivative; through a Contraction it
is contracted with the other operand, labels permuted. Broadcasting and summing are each other's adjoints. Through a
function of a whole axis it goes by the rule of its row. The recursion is folded: one step, whose ``d_h_next`` is what
step t+1 hands back, whatever the length of the sequence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import sympy as sp

from symrnn.calculus.along_axis import Writer
from symrnn.calculus.ir import (
    AlongAxis,
    Concat,
    Contraction,
    Pointwise,
    Ref,
    Slice,
    Statement,
    Step,
    Value,
    axis_of,
    compatible,
    fresh,
    numbered,
    pointwise,
    reads,
    verify,
)
from symrnn.calculus.jvp import jvp
from symrnn.calculus.lower import lower
from symrnn.calculus.partials import Edge, by_wrt, local_edges
from symrnn.language.cell import Cell, axis_parts

MAX_PATHS = 5_000


@dataclass(frozen=True)
class Contribution:
    """One summand of an adjoint.

    rule: seed (the cotangent of an output), next (handed back by step t+1), pointwise, broadcast (pointwise, then
    summed over the axes along which the operand was broadcast), product, slice, padded (a slice put back between
    zeros), or along (a function of a whole axis). `expr` is the summand, in the values `args`; `steps` are the
    statements that prepare it.
    """

    rule: str
    args: tuple[Ref, ...]
    expr: sp.Expr
    edge: Edge | None = None
    steps: tuple[Statement, ...] = ()


@dataclass(frozen=True)
class Adjoint:
    """``d_of`` with its contributions; `statement` adds them up."""

    of: str
    contributions: tuple[Contribution, ...]
    statement: Statement


@dataclass(frozen=True)
class Derivation:
    """The derived backward step of a cell and how it came about.

    `values` names everything in `step` and in the adjoints; `seeds` maps an output to its cotangent,
    `handed_back` a carry to (its adjoint from step t+1, its adjoint for step t-1); `gradients` maps inputs and
    parameters to their adjoints.
    """

    cell: Cell
    step: Step
    values: dict[str, Value]
    edges: tuple[Edge, ...]
    adjoints: tuple[Adjoint, ...]
    seeds: dict[str, str]
    handed_back: dict[str, tuple[str, str]]
    gradients: dict[str, str]

    @property
    def statements(self) -> tuple[Statement, ...]:
        """The backward step in order."""
        return tuple(s for a in self.adjoints for s in (*(x for c in a.contributions for x in c.steps), a.statement))

    def edges_from(self, name: str) -> tuple[Edge, ...]:
        return self._edges_by_wrt.get(name, ())

    @cached_property
    def _edges_by_wrt(self) -> dict[str, tuple[Edge, ...]]:
        return by_wrt(self.edges)

    @cached_property
    def jacobian(self) -> dict[tuple[str, str], tuple[tuple[Edge, ...], ...]]:
        """(state, earlier state) → the paths from the one's previous value to the other's new one.

        ∂state_t/∂earlier_{t-1} is the sum over the paths of the product of their edges.
        """
        previous = {v.of: n for n, v in self.step.values.items() if v.role == "carry"}
        return {
            (new, old): tuple(self._paths(previous[old], self.step.carried[new]))
            for new in self.step.carried
            for old in self.step.carried
        }

    def _paths(self, start: str, goal: str) -> Iterator[tuple[Edge, ...]]:
        if self._count(start, goal, {}) > MAX_PATHS:
            raise ValueError(f"more than {MAX_PATHS} paths lead from {start} to {goal}")
        if start == goal:
            yield ()
            return
        for edge in self.edges_from(start):
            for rest in self._paths(edge.of, goal):
                yield (edge, *rest)

    def _count(self, start: str, goal: str, known: dict[str, int]) -> int:
        if start == goal:
            return 1
        if start not in known:
            known[start] = sum(self._count(e.of, goal, known) for e in self.edges_from(start))
        return known[start]


@lru_cache(maxsize=256)
def derive(cell: Cell) -> Derivation:
    """Differentiate a cell: every local partial, every adjoint, every gradient, independent of T, B and sizes."""
    return vjp(lower(cell), cell)


@lru_cache(maxsize=4)
def derive_tangent(cell: Cell) -> Derivation:
    """Differentiate the tangents of the outputs: gradients that are products of the Hessian with a direction."""
    return vjp(jvp(lower(cell)), cell)


def vjp(step: Step, cell: Cell) -> Derivation:
    """Reverse mode for a step of a cell. Where it carries tangents, they alone have cotangents, and no gradients."""
    return _Derivation(step, cell).derivation()


def backward_step(d: Derivation) -> Step:
    """The derived step as a step of its own, from which more can be derived: of the sequence taken backward.

    What it reads of the forward pass, and the cotangents, are inputs; what step t+1 hands back is carried, and so is
    each gradient that adds up over the steps, by the name of the gradient. The other gradients are outputs.
    """
    made = {s.out.name for s in d.statements}
    key_of = {arrives: key for key, (arrives, _) in d.handed_back.items()}
    values: dict[str, Value] = {}
    for name, v in d.values.items():
        if v.role in ("value", "carry", "seed", "input", "tangent"):
            values[name] = replace(v, role="input" if v.timed else "param", of="")
        elif v.role == "next":
            values[name] = replace(v, role="carry", of=key_of[name])
        elif name not in made:
            values[name] = v
    for s in d.statements:
        timed = d.values[s.out.name].timed or any(values[n].timed for n in reads(s))
        values[s.out.name] = replace(d.values[s.out.name], role="value", of="", timed=timed)
    carried = {key: source for key, (_, source) in d.handed_back.items()}
    sums: list[Statement] = []
    for gradient in d.gradients.values():
        if values[gradient].timed and not d.values[gradient].timed:
            later, total = (numbered(f"{gradient}_{what}", values.__contains__) for what in ("later", "sum"))
            values[later] = replace(values[gradient], name=later, role="carry", of=gradient)
            values[total] = replace(values[gradient], name=total)
            refs = [Ref(n, values[gradient].labels) for n in (gradient, later)]
            sums.append(Pointwise(Ref(total, values[gradient].labels), sp.Add(*(r.symbol for r in refs)), tuple(refs)))
            carried[gradient] = total
    read = {n for s in (*d.statements, *sums) for n in reads(s)} | {s.out.name for s in (*d.statements, *sums)}
    outputs = tuple(g for g in d.gradients.values() if g not in carried and values[g].timed)
    return Step({n: v for n, v in values.items() if n in read}, (*d.statements, *sums), carried, outputs)


def verify_sums(adjoints: Iterable[Adjoint]) -> None:
    """Each summand is read as its rule wrote it: the sum gives none of its operands other labels; a breach is a bug."""
    for a in adjoints:
        for ref in (r for c in a.contributions for r in c.args):
            read = [r for r in a.statement.args if r.name == ref.name]
            assert read in ([], [ref]), f"d_{a.of} reads {ref} as {read}"


class _Derivation:
    def __init__(self, step: Step, cell: Cell) -> None:
        self.step, self.cell = step, cell
        self.values = dict(step.values)
        self.edges = local_edges(step)
        self.edges_from = by_wrt(self.edges)
        self.tangents = step.tangent_of
        self.called: dict[str, str] = {}  # adjoints by what they are of; a derived step has some already
        for name in step.values:
            self.called[name] = numbered(f"d_{name}", step.values.__contains__)
        outputs = [n for n in step.outputs if n in self.tangents or not self.tangents]
        seeds = ["dy"] if len(outputs) == 1 else [f"dy_{self.tangents.get(n, n)}" for n in outputs]
        self.seeds = {n: self.unique(seed) for n, seed in zip(outputs, seeds, strict=True)}
        self.next = {key: self.unique(f"d_{key}_next") for key in step.carried}
        for name, seed in self.seeds.items():
            self.values[seed] = replace(step.values[name], name=seed, role="seed", of=name)
        for key, name in self.next.items():
            self.values[name] = replace(step.values[step.carried[key]], name=name, role="next", of=key)
        self.adjoint_of: dict[str, Ref] = {}
        self.adjoints: list[Adjoint] = []

    def derivation(self) -> Derivation:
        for s in reversed(self.step.statements):
            self.add_up(s.out.name)
        given = ("input", "param")
        leaves = [
            n for n, v in self.step.values.items() if v.role == "carry" or (v.role in given and n not in self.tangents)
        ]
        for name in leaves:
            self.add_up(name, always=True)
        previous = {v.of: n for n, v in self.step.values.items() if v.role == "carry"}
        arriving = [n for n, v in self.values.items() if v.role in ("seed", "next")]
        derivation = Derivation(
            cell=self.cell,
            step=self.step,
            values=self.values,
            edges=self.edges,
            adjoints=tuple(self.adjoints),
            seeds=self.seeds,
            handed_back={key: (self.next[key], self.called[previous[key]]) for key in self.step.carried},
            gradients={n: self.called[n] for n in leaves if self.values[n].role != "carry"},
        )
        verify(derivation.statements, self.values, [*arriving, *(s.out.name for s in self.step.statements)])
        verify_sums(derivation.adjoints)
        return derivation

    def add_up(self, name: str, always: bool = False) -> None:
        """The adjoint of one value: the sum of its contributions; a value that reaches no output has none."""
        value = self.values[name]
        contributions = list(self.given(name))
        for edge in self.edges_from.get(name, ()):
            if edge.of in self.adjoint_of:
                contributions.append(self.through(edge))
        if not contributions and not always:
            return
        out = Ref(self.called[name], value.labels)
        last = contributions[0].steps[-1] if len(contributions) == 1 and contributions[0].steps else None
        if last is not None and contributions[0].expr == last.out.symbol and last.out.labels == value.labels:
            del self.values[last.out.name]
            only = replace(contributions[0], steps=contributions[0].steps[:-1], args=(), expr=out.symbol)
            self.adjoints.append(Adjoint(name, (only,), replace(last, out=replace(last.out, name=out.name))))
        else:
            contributions = self.apart(contributions)
            refs = [r for c in contributions for r in c.args]
            total = pointwise(out, sp.Add(*(c.expr for c in contributions)), refs, self.equation(name))
            self.adjoints.append(Adjoint(name, tuple(contributions), total))
        self.values[out.name] = Value(out.name, value.axes, value.batched, value.timed, "adjoint", name)
        self.adjoint_of[name] = out

    def apart(self, contributions: list[Contribution]) -> list[Contribution]:
        """Contributions that can be added: one that reads a value under other labels becomes a value itself.

        The two of d_P in s = P @ y + y @ P are both d_s * y, once with d_s along the rows and once along the columns.
        """
        done: list[Contribution] = []
        for c in contributions:
            together = compatible([*(r for d in done for r in d.args), *c.args])
            done.append(c if together else self.named(c))
        return done

    def named(self, c: Contribution) -> Contribution:
        """The same contribution, as the value of a statement of its own."""
        assert c.edge is not None
        value, name = self.values[c.edge.wrt], self.unique(f"d_{c.edge.wrt}_{c.edge.of}")
        self.values[name] = Value(name, value.axes, value.batched, value.timed, "adjoint", c.edge.wrt)
        out = Ref(name, value.labels)
        statement = pointwise(out, c.expr, c.args, c.edge.statement.equation)
        return replace(c, args=(out,), expr=out.symbol, steps=(*c.steps, statement))

    def equation(self, name: str) -> str:
        """Which equation an adjoint belongs to."""
        return next((s.equation for s in self.step.statements if s.out.name == name), name)

    def given(self, name: str) -> Iterator[Contribution]:
        """What comes from outside the step: the cotangent of an output, and what step t+1 hands back."""
        if name in self.seeds:
            ref = Ref(self.seeds[name], self.values[name].labels)
            yield Contribution("seed", (ref,), ref.symbol)
        for key, source in self.step.carried.items():
            if source == name:
                ref = Ref(self.next[key], self.values[name].labels)
                yield Contribution("next", (ref,), ref.symbol)

    # -- the rules -----------------------------------------------------------------------------------------

    def through(self, edge: Edge) -> Contribution:
        """What `edge.wrt` receives from the adjoint of the statement it enters."""
        match edge.statement:
            case Pointwise():
                return self.through_pointwise(edge)
            case Contraction():
                return self.through_contraction(edge)
            case Concat():
                return self.through_concat(edge)
            case Slice():
                return self.through_slice(edge)
            case AlongAxis():
                return self.through_along_axis(edge)
        raise AssertionError(f"no rule for {edge.statement}")

    def mapping(self, edge: Edge) -> dict[str, str]:
        """Renames labels so that the operand has its natural ones and all others stay apart."""
        s, arg = edge.statement, edge.statement.args[edge.position]
        mapping = dict(zip(arg.labels, self.values[arg.name].labels, strict=True))
        for label in dict.fromkeys(x for r in (s.out, *s.args) for x in r.labels):
            if label not in mapping:
                mapping[label] = fresh(axis_of(label), mapping.values())
        return mapping

    def through_pointwise(self, edge: Edge) -> Contribution:
        s, partial = edge.statement, edge.partial
        assert isinstance(s, Pointwise) and partial is not None
        value, mapping = self.values[edge.wrt], self.mapping(edge)
        refs = [_relabel(r, mapping) for r in (*s.args, s.out) if r.symbol in partial.free_symbols]
        d_out = _relabel(Ref(self.adjoint_of[edge.of].name, s.out.labels), mapping)
        sums = set(d_out.labels) - set(value.labels) or (self.timed(edge.of) and not value.timed)
        if not sums:
            return Contribution("pointwise", (d_out, *refs), d_out.symbol * partial, edge)
        inside = [r for r in refs if not set(r.labels) <= set(value.labels) or (self.timed(r.name) and not value.timed)]
        if not inside:
            total = self.contraction(edge, (d_out,), value)
            return Contribution("broadcast", (total.out, *refs), total.out.symbol * partial, edge, (total,))
        factor, rest = (
            partial.as_independent(inside[0].symbol, as_Add=False) if len(inside) == 1 else (sp.Integer(1), partial)
        )
        if len(inside) == 1 and rest == inside[0].symbol and not factor.free_symbols & {r.symbol for r in inside}:
            total = self.contraction(edge, (d_out, inside[0]), value)
            return Contribution("broadcast", (total.out, *refs), total.out.symbol * factor, edge, (total,))
        product = self.product(edge, d_out, partial, refs)
        total = self.contraction(edge, (product.out,), value)
        return Contribution("broadcast", (total.out,), total.out.symbol, edge, (product, total))

    def through_contraction(self, edge: Edge) -> Contribution:
        s, value, mapping = edge.statement, self.values[edge.wrt], self.mapping(edge)
        d_out = _relabel(Ref(self.adjoint_of[edge.of].name, s.out.labels), mapping)
        others = tuple(_relabel(a, mapping) for k, a in enumerate(s.args) if k != edge.position)
        found = {x for r in (d_out, *others) for x in r.labels}
        folds = self.timed(edge.of) and not value.timed
        transposed = not others and set(d_out.labels) == set(value.labels)
        if found <= set(value.labels) and not folds and not (transposed and d_out.labels != value.labels):
            expr = sp.Mul(d_out.symbol, *(r.symbol for r in others))
            return Contribution("product", (d_out, *others), expr, edge)
        total = self.contraction(edge, (d_out, *others), value)
        return Contribution("product", (total.out,), total.out.symbol, edge, (total,))

    def through_concat(self, edge: Edge) -> Contribution:
        s, value = edge.statement, self.values[edge.wrt]
        before = tuple(a for k in range(edge.position) for a in self.values[s.args[k].name].axes[-1:])
        d_out = self.adjoint_of[edge.of]
        whole = self.values[edge.of]
        name = self.unique(f"d_{edge.wrt}_{edge.of}")
        self.values[name] = Value(name, value.axes, whole.batched, whole.timed, "adjoint", edge.wrt)
        cut = Slice(Ref(name, self.values[name].labels), (d_out,), before, s.equation)
        if (whole.batched, whole.timed) == (value.batched, value.timed):
            return Contribution("slice", (cut.out,), cut.out.symbol, edge, (cut,))
        total = self.contraction(edge, (cut.out,), value)
        return Contribution("slice", (total.out,), total.out.symbol, edge, (cut, total))

    def through_slice(self, edge: Edge) -> Contribution:
        """The adjoint in its place, zeros before it and after it."""
        s, value, d_out = edge.statement, self.values[edge.wrt], self.adjoint_of[edge.of]
        assert isinstance(s, Slice)
        own = axis_parts(self.values[edge.of].axes[-1])
        before, after = list(s.before), axis_parts(value.axes[-1])[len(s.before) + len(own) :]
        first, last = ([self.zeros(edge, parts)] if parts else [] for parts in (before, after))
        name = self.unique(f"d_{edge.wrt}_{edge.of}")
        self.values[name] = Value(name, value.axes, value.batched, value.timed, "adjoint", edge.wrt)
        beside = (*(z.out for z in first), d_out, *(z.out for z in last))
        whole = Concat(Ref(name, value.labels), beside, s.equation)
        return Contribution("padded", (whole.out,), whole.out.symbol, edge, (*first, *last, whole))

    def zeros(self, edge: Edge, parts: Sequence[str]) -> Pointwise:
        """Zeros as long as these axes."""
        name = self.unique(f"no_{edge.wrt}")
        self.values[name] = Value(name, ("+".join(parts),), False, False, "adjoint", edge.wrt)
        return Pointwise(Ref(name, self.values[name].labels), sp.Integer(0), (), edge.statement.equation)

    def through_along_axis(self, edge: Edge) -> Contribution:
        assert isinstance(edge.statement, AlongAxis)
        writer = Writer(self.values, self.unique, "adjoint", edge.wrt)
        expr = writer.vjp(edge.statement, self.adjoint_of[edge.of])
        return Contribution("along", writer.operands(expr), expr, edge, tuple(writer.statements))

    # -- new values ----------------------------------------------------------------------------------------

    def timed(self, name: str) -> bool:
        return self.values[name].timed

    def unique(self, name: str) -> str:
        taken = {*self.called.values()}  # those still to come too
        return numbered(name, lambda n: n in self.values or n in taken)

    def contraction(self, edge: Edge, args: tuple[Ref, ...], value: Value) -> Contraction:
        """The product of the operands, summed down to the labels of the receiving value that they have."""
        labels = tuple(x for x in value.labels if any(x in a.labels for a in args))
        name = self.unique(f"d_{edge.wrt}_{edge.of}")
        axes = tuple(axis_of(x) for x in labels if x in value.labels[value.batched :])
        batched = value.batched and value.labels[0] in labels
        self.values[name] = Value(name, axes, batched, value.timed, "adjoint", edge.wrt)
        return Contraction(Ref(name, labels), args, edge.statement.equation)

    def product(self, edge: Edge, d_out: Ref, partial: sp.Expr, refs: list[Ref]) -> Pointwise:
        """The adjoint times the partial, not yet summed."""
        name = self.unique(f"d_{edge.of}_by_{edge.wrt}")
        of = self.values[edge.of]
        self.values[name] = Value(
            name, tuple(axis_of(x) for x in d_out.labels[of.batched :]), of.batched, of.timed, "adjoint", edge.wrt
        )
        return Pointwise(Ref(name, d_out.labels), d_out.symbol * partial, (d_out, *refs), edge.statement.equation)


def _relabel(ref: Ref, mapping: dict[str, str]) -> Ref:
    return Ref(ref.name, tuple(mapping.get(x, x) for x in ref.labels))
