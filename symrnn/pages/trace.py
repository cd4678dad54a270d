"""A derivation read for people: which values get a symbol, and every value and adjoint as a formula in those."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from string import ascii_letters

import sympy as sp

from symrnn.calculus.derive import Contribution, Derivation
from symrnn.calculus.ir import AlongAxis, Contraction, Pointwise, Ref, Statement, reads
from symrnn.calculus.partials import Edge
from symrnn.functions.whole_axis import WHOLE_AXIS
from symrnn.language.cell import Carry, axis_parts
from symrnn.pages.formulas.formula import (
    NOW,
    ONE,
    STEP,
    ZERO,
    Add,
    Big,
    Call,
    Formula,
    Neg,
    Sym,
    Time,
    add,
    rebuilt,
    relabel,
    unbatched,
    whole,
)
from symrnn.pages.formulas.names import Letter, letter
from symrnn.pages.formulas.read import expression, settled, statement, written
from symrnn.pages.formulas.rewrite import shifted, size, substituted, tidy

LARGE = 7
ONE_TO_T = (Time("", 1), Time("T"))


class Trace:
    """`prefix` keeps the names of a head apart; `below` maps its inputs to what they are called in the cell."""

    def __init__(self, derivation: Derivation, prefix: str = "", below: dict[str, Formula] | None = None) -> None:
        self.d, self.cell, self.step = derivation, derivation.cell, derivation.step
        self.prefix, self.below = prefix, below or {}
        self.definitions = {s.out.name: s for s in self.step.statements}
        self.backward = {s.out.name: s for s in derivation.statements}
        self.adjoints = {a.of: a for a in derivation.adjoints}
        self.carries: dict[str, Carry] = {c.name: c for c in self.cell.carries}
        self.variables = {v.name for v in self.cell.variables}
        self._known: dict[tuple[str, str, int], Formula] = {}
        self.abbreviations = self._abbreviated()
        self._promote()

    def edges_into(self, name: str) -> tuple[Edge, ...]:
        """The ways in which a value of the step depends on its operands."""
        return self._edges_by_of.get(name, ())

    @cached_property
    def _edges_by_of(self) -> dict[str, tuple[Edge, ...]]:
        found: dict[str, list[Edge]] = {}
        for edge in self.d.edges:
            found.setdefault(edge.of, []).append(edge)
        return {name: tuple(entering) for name, entering in found.items()}

    # -- which values get symbols --------------------------------------------------------------------------

    def _abbreviated(self) -> list[str]:
        """What enters a nonlinearity gets a symbol of its own, a bar over the name of its equation."""
        return [
            s.out.name
            for s in self.step.statements
            if isinstance(s, Pointwise | Contraction)
            and s.out.name not in self.variables
            and getattr(type(getattr(s, "expr", None)), "row", None) is None
            and not isinstance(getattr(s, "expr", None), sp.Symbol)
            and self._feeds_function(s.out.name)
        ]

    def _feeds_function(self, name: str) -> bool:
        readers = [s for s in self.step.statements if isinstance(s, Pointwise | AlongAxis) and name in reads(s)]
        return any(
            isinstance(s, AlongAxis)
            or (sp.Symbol(name, real=True) in getattr(s.expr, "args", ()) and hasattr(type(s.expr), "row"))
            for s in readers
        )

    def _promote(self) -> None:
        """A nameless value whose adjoint is long and needed twice gets a symbol too."""
        for a in self.d.adjoints:
            name = a.of
            if name in self.definitions and not self.is_named(name):
                uses = sum(1 for e in self.edges_into(name) if e.wrt in self.adjoints)
                if uses > 1 and size(self.adjoint(name)) > LARGE:
                    self.abbreviations.append(name)

    def is_named(self, name: str) -> bool:
        """Has this value a symbol?"""
        computed = self.step.values[name].role == "value"
        return not computed or name in self.variables or name in self.abbreviations

    @cached_property
    def letters(self) -> dict[str, Letter]:
        """How the symbols are written: bars for what enters a nonlinearity, numbered where one equation has several."""
        taken: dict[str, list[str]] = {}
        order = [s.out.name for s in self.step.statements]
        for name in sorted(self.abbreviations, key=order.index):
            taken.setdefault(self.definitions[name].equation, []).append(name)
        found = {}
        for equation, names in taken.items():
            base = letter(equation)
            for k, name in enumerate(names):
                found[self.prefix + name] = replace(base, accent="bar", number=k + 1 if len(names) > 1 else 0)
        return found

    @cached_property
    def free(self) -> list[str]:
        """Letters for indices of time that the cell does not use."""
        used = {letter(v.name).base for v in self.cell.variables} | {"t", "T", "L"}
        return [x for x in ("k", "j", *"lmnrqp", *ascii_letters) if x not in used]

    @cached_property
    def stack(self) -> Letter:
        """What the vector of everything that a step leaves behind is called."""
        used = {letter(v.name).base for v in self.cell.variables}
        return Letter(next(x for x in ("s", *"zuvwqpS", *ascii_letters) if x not in used))

    # -- values --------------------------------------------------------------------------------------------

    def symbol(self, name: str, kind: str = "value") -> Sym:
        """The symbol of a named value, with its natural labels."""
        value = self.step.values[name]
        labels = unbatched(value.labels)
        if value.role == "carry":
            carry = self.carries[value.of]
            return Sym(self.prefix + carry.of, labels, NOW.shifted(-1 - carry.lag), kind)
        return Sym(self.prefix + name, labels, NOW if value.timed else None, kind)

    def value(self, name: str) -> Formula:
        """A value: its symbol, or its definition where it has none."""
        if name in self.below:
            return self.below[name]
        if self.step.values[name].role == "time":
            return STEP
        return self.symbol(name) if self.is_named(name) else self.definition(name)

    def definition(self, name: str) -> Formula:
        """The right-hand side of the statement that computes a value."""
        key = ("definition", name, len(self.abbreviations))
        if key not in self._known:
            self._known[key] = tidy(statement(self.definitions[name], self.operand))
        return self._known[key]

    def length(self, name: str) -> Formula:
        """The length of the last axis of a value."""
        return add(*(self.value(part) for part in axis_parts(self.step.values[name].axes[-1])))

    def written(self, name: str) -> Formula:
        """The right-hand side of an equation as the cell file has it."""
        equation = next(e for e in self.cell.equations if e.name == name)
        timeless = [n for n, v in self.step.values.items() if not v.timed]
        made = written(self.cell, equation.expr, self.cell.variable(name).axes, timeless)
        return _placed(made, self.prefix, self.below)

    def operand(self, ref: Ref) -> Formula:
        """An argument of a statement, forward or backward, with the labels it has there."""
        role = self.d.values[ref.name].role
        if role == "seed":
            made: Formula = self.seed(self.d.values[ref.name].of)
        elif role == "next":
            made = self.handed_back(self.d.values[ref.name].of)
        elif role == "adjoint":
            made = (
                self.delta(self.d.values[ref.name].of) if ref.name in self._adjoint_names else self._inlined(ref.name)
            )
            own = (
                self.d.values[ref.name].labels
                if ref.name in self._adjoint_names
                else self.backward[ref.name].out.labels
            )
            return _renamed(made, unbatched(own), unbatched(ref.labels))
        else:
            made = self.value(ref.name)
        return _renamed(made, unbatched(self.d.values[ref.name].labels), unbatched(ref.labels))

    def renamed(self, made: Formula, ref: Ref) -> Formula:
        """A formula with the natural labels of a value, relabelled as the operand `ref`."""
        return _renamed(made, unbatched(self.d.values[ref.name].labels), unbatched(ref.labels))

    @cached_property
    def _adjoint_names(self) -> set[str]:
        return {f"d_{a.of}" for a in self.d.adjoints}

    # -- adjoints ------------------------------------------------------------------------------------------

    @property
    def is_loss(self) -> bool:
        """Is the only output a scalar of a cell without states: the loss of a step itself?"""
        return not self.cell.carries and len(self.cell.outputs) == 1 and not self.cell.outputs[0].axes

    def seed(self, output: str) -> Formula:
        """∂L_t/∂output_t."""
        return ONE if self.is_loss and self.prefix else self.symbol(output, "seed")

    def delta(self, name: str) -> Formula:
        """The adjoint of a value: its symbol, or its formula where the value has none."""
        if self.prefix and self.is_loss and name == self.cell.outputs[0].name:
            return ONE
        return self.symbol(name, "adjoint") if self.is_named(name) else self.adjoint(name)

    def handed_back(self, key: str) -> Formula:
        """What step t+1 sends back to the carried value `key`."""
        previous = next(n for n, v in self.step.values.items() if v.role == "carry" and v.of == key)
        return shifted(self.adjoint(previous), 1)

    def adjoint(self, name: str) -> Formula:
        """The right-hand side of an adjoint: its contributions, added up."""
        key = ("adjoint", name, len(self.abbreviations))
        if key not in self._known:
            self._known[key] = self._added(name)
        return self._known[key]

    def _added(self, name: str) -> Formula:
        a = self.adjoints[name]
        if not a.contributions:
            return ZERO
        if len(a.contributions) == 1:
            return tidy(self._whole(a.statement))
        return tidy(gathered(add(*(self.contribution(name, c) for c in a.contributions))))

    def argument(self, s: AlongAxis) -> Formula:
        """What a function of a whole axis is taken of."""
        (a,) = s.args
        return whole(self.operand(a), unbatched(a.labels))

    def spoken(self, node: Formula) -> Formula:
        """The formula with every function of a whole axis that has a symbol called by it."""
        return substituted(node, self._whole_axis)

    @cached_property
    def _whole_axis(self) -> dict[Formula, Formula]:
        found: dict[Formula, Formula] = {}
        for name in self.definitions:
            made = self.definition(name) if self.is_named(name) else ZERO
            later = shifted(made, 1)
            if not isinstance(made, Call) or made.op not in WHOLE_AXIS or made.labels != self.symbol(name).labels:
                continue
            if later != made:  # what no step changes has no t where a gradient reads it
                found |= {made: self.symbol(name), later: shifted(self.symbol(name), 1)}
        return found

    def contribution(self, name: str, c: Contribution) -> Formula:
        """One summand of an adjoint."""
        a = self.adjoints[name]
        if len(a.contributions) == 1:
            return tidy(self._whole(a.statement))
        refs = {r.name: r for r in c.args}
        names = [n for n in refs if sp.Symbol(n, real=True) in c.expr.free_symbols]
        values = {n: self.operand(refs[n]) for n in names}
        labels = unbatched(self.d.values[a.statement.out.name].labels)
        return tidy(settled(expression(c.expr, values, names), labels))

    def _inlined(self, name: str) -> Formula:
        return self._whole(self.backward[name])

    def _whole(self, s: Statement) -> Formula:
        """A backward statement; where it folds steps into a value without time it sums over them."""
        made = statement(s, self.operand)
        folds = not self.d.values[s.out.name].timed and any(self.d.values[n].timed for n in reads(s))
        return Big("sum", "t", *ONE_TO_T, made) if folds and isinstance(s, Contraction) else made

    def partial(self, edge: Edge) -> Formula:
        """∂edge.of/∂edge.wrt of an elementwise statement, in the labels of that statement."""
        s = edge.statement
        refs = {a.name: a for a in (*s.args, s.out)}
        names = [n for n in refs if sp.Symbol(n, real=True) in edge.partial.free_symbols]  # type: ignore[union-attr]
        values = {n: self.operand(refs[n]) for n in names}
        return self.spoken(tidy(expression(edge.partial, values, names)))


def _placed(node: Formula, prefix: str, below: dict[str, Formula]) -> Formula:
    """Names of a head as they stand on the page of a cell: its own with their prefix, its inputs as the cell's."""
    if isinstance(node, Sym):
        if node.name in below:
            made = below[node.name]
            return _renamed(made, made.labels, node.labels)
        return node if node.kind == "index" else replace(node, name=prefix + node.name)
    return rebuilt(node, lambda x: _placed(x, prefix, below))


def _renamed(made: Formula, own: tuple[str, ...], wanted: tuple[str, ...]) -> Formula:
    mapping = dict(zip(own, wanted, strict=True))
    return made if all(a == b for a, b in mapping.items()) else relabel(made, mapping)


def gathered(node: Formula) -> Formula:
    """Sums over the same steps as one sum."""
    if not isinstance(node, Add):
        return node
    bigs = [a for a in node.args if isinstance(a, Big) or (isinstance(a, Neg) and isinstance(a.arg, Big))]
    if len(bigs) < 2:
        return node
    inner = [Neg(a.arg.body) if isinstance(a, Neg) else a.body for a in bigs]  # type: ignore[union-attr]
    rest = [a for a in node.args if a not in bigs]
    return add(Big("sum", "t", *ONE_TO_T, add(*inner)), *rest)
