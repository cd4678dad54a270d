"""How a state depends on the one before: the Jacobian split by path, and what each path does to an error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

import numpy as np
import sympy as sp

from symrnn.calculus.along_axis import tangent
from symrnn.calculus.ir import AlongAxis, Concat, Contraction, Pointwise, Ref, numbered
from symrnn.calculus.partials import Edge
from symrnn.functions import numeric
from symrnn.functions.numeric import Array
from symrnn.functions.table import Function
from symrnn.pages.document import Block, Equation, Equations, Fold, LeftOut, Phrase, Prose, Section, Truth, rounded, say
from symrnn.pages.evaluate.world import Stage, World
from symrnn.pages.formulas.formula import (
    NOW,
    Big,
    Call,
    Deriv,
    Formula,
    Map,
    Path,
    Sym,
    Time,
    add,
    ein,
    mul,
    repeated,
    unbatched,
)
from symrnn.pages.formulas.read import settled, statement
from symrnn.pages.formulas.rewrite import at_time, shifted, tidy
from symrnn.pages.sections.gates import is_gate, table
from symrnn.pages.sections.paths import STACK, Hop, Paths, Product, Walk, is_diagonal, stack
from symrnn.pages.trace import Trace

WHOLE = 12
FEW, NAMED = 4, 8
#: How many hops of paths are written out for each state, and more only where few states have many values, so that a
#: page grows as the number of equations does; a line of differentials counts as so many hops.
ROOM, LINE = 200, 8


def section(trace: Trace, stage: Stage) -> Section:
    """The whole section on the state Jacobian."""
    return Section("jacobian", say("title.jacobian"), tuple(_Jacobian(trace, stage).blocks()))


class _Jacobian:
    def __init__(self, trace: Trace, stage: Stage) -> None:
        self.trace, self.stage, self.step = trace, stage, trace.step
        self.carried = trace.step.carried
        self.paths = Paths(trace)
        self.named = [s.out.name for s in trace.step.statements if trace.is_named(s.out.name)]
        self.reach: dict[str, set[str]] = {}
        self.previous = {v.of: n for n, v in trace.step.values.items() if v.role == "carry"}
        inputs = {v.name for v in trace.cell.inputs}
        self.states = [k for k in self.carried if not trace.carries[k].lag and trace.carries[k].of not in inputs]

    def blocks(self) -> Iterator[Block]:
        if not self.states:  # only inputs are read at earlier steps
            return
        yield Prose((say("jacobian.intro"),))
        for new in self.states:
            yield from self.row(new)
        for key in self.states:
            yield from self.whole(key)
        for key in self.states:
            yield from table(self.trace, key)
        yield from self.product()

    # -- one pair of states --------------------------------------------------------------------------------

    def row(self, new: str) -> Iterator[Block]:
        """What one state depends on, what of that is not written out, and what it does not depend on."""
        known = self.paths.to(self.carried[new])
        reached = [old for old in self.carried if self.previous[old] in known]
        written = self.written(new, reached)
        for old in reached:
            if old in written:
                yield from self.pair(new, old)
        if len(written) < len(reached):
            yield self.left(new, [old for old in reached if old not in written])
        others = [self.before(k) for k in self.states if self.previous[k] not in known and k != new]
        if len(others) > NAMED:
            yield Prose((say("jacobian.nowhere", new=self.now(new), number=len(others)),))
        elif others:
            yield Prose((say("jacobian.none", new=self.now(new), old=others),))

    def written(self, new: str, reached: list[str]) -> set[str]:
        """The states whose Jacobians are written out: the nearest, as long as there is room."""
        room = max(ROOM, LINE * len(self.named) // len(self.states))
        written: set[str] = set()
        for old in sorted(reached, key=lambda k: self.paths.length(self.previous[k], self.carried[new])):
            walks = self.paths.walks(self.previous[old], self.carried[new])
            room -= sum(map(len, walks)) or LINE * len(self.moved(new, old))
            if room >= 0:
                written.add(old)
        return written

    def left(self, new: str, olds: list[str]) -> LeftOut:
        """How many Jacobians of a state are not written out, and what they would take."""
        target = self.carried[new]
        paths = sum(self.paths.count(self.previous[k], target) for k in olds)
        longest = max(self.paths.length(self.previous[k], target) for k in olds)
        return LeftOut((
            say("jacobian.left", new=self.now(new), count=len(olds), paths=rounded(paths), longest=longest),
        ))  # fmt: skip

    def pair(self, new: str, old: str) -> Iterator[Block]:
        walks = self.paths.walks(self.previous[old], self.carried[new])
        products = [p for w in walks if (p := self.paths.product(w)) is not None]
        if walks and len(products) == len(walks):
            yield from self.split(new, old, walks, products)
        else:
            yield from self.tangents(new, old)

    def split(self, new: str, old: str, walks: list[Walk], products: list[Product]) -> Iterator[Block]:
        """The Jacobian as a sum of matrix products, and each path by itself."""
        of, by = self.now(new), self.before(old)
        labels = self.outside(of, by)
        target, source = self.carried[new], self.previous[old]
        alone = len(walks) == 1 and self.is_carousel(walks[0])
        total = Equation(
            Deriv(of, by, labels), add(*(p.term(labels) for p in products)), self.remark(walks[0]) if alone else None,
            lambda w, t: w.derivative(target, t, source, t).reshape(_shape(w, target, source)),
        )  # fmt: skip
        yield Prose((say("jacobian.paths", new=of, old=by, count=len(walks)),))
        yield Equations((total,))
        if len(walks) > 1:
            rows = tuple(
                Equation(Path(of, by, k + 1, labels), p.term(labels), self.remark(w), self._truth(w))
                for k, (w, p) in enumerate(zip(walks, products, strict=True))
            )
            yield Equations(rows) if len(rows) <= FEW else Fold(say("jacobian.each"), (Equations(rows),))

    def _truth(self, w: Walk) -> Truth:
        """The product of the measured Jacobians along a path."""

        def value(world: World, t: int) -> Array:
            total = np.eye(int(np.prod(world.shape(w[0].wrt), dtype=int)))
            for h in w:
                total = world.through(self.stage, h.statement, h.wrt, t) @ total
            return total.reshape(_shape(world, w[-1].of, w[0].wrt))

        return value

    def remark(self, w: Walk) -> Phrase:
        """Which way a path goes, and what kind of path it is."""
        stops = [
            self.trace.value(h.of) for h in w if self.trace.is_named(h.of) and h.of not in self.trace.abbreviations
        ]
        stops = stops[:-1]
        if self.is_carousel(w):
            key = "path.constant" if self.gated(w) else "path.additive"
            return say(key, via=self.factor(w))
        return say("path.via" if stops else "path.direct", via=stops)

    def is_carousel(self, w: Walk) -> bool:
        """Elementwise all the way and linear in what it carries: no weight matrix, no derivative of a nonlinearity."""
        for h in w:
            s = h.statement
            if not isinstance(s, Pointwise) or h.partial is None or s.args[h.edges[0].position].labels != s.out.labels:
                return False
            if {h.wrt, h.of} & {x.name for x in h.partial.free_symbols}:
                return False
        return True

    def gated(self, w: Walk) -> bool:
        """Is every factor of the path a gate, a value between zero and one?"""
        return all(h.partial == 1 or is_gate(self.trace, h.partial) for h in w)

    def factor(self, w: Walk) -> Formula:
        return mul(*(self.trace.partial(e) for h in w for e in h.edges))

    # -- two steps at once ---------------------------------------------------------------------------------

    def whole(self, key: str) -> Iterator[Block]:
        """ds_t/ds_{t-1} with the other states of step t-1 seen as functions of s."""
        value = self.carried[key]
        pairs = [(value, self.carried[v]) for v in self.carried] + [(self.previous[v], value) for v in self.carried]
        if any(self.paths.is_long(start, goal) for start, goal in pairs):
            return
        walks = [
            (early, late)
            for via in self.carried
            if via == key or self.carried[via] != value
            for early in (self.paths.walks(value, self.carried[via]) if via != key else [()])
            for late in self.paths.walks(self.previous[via], value)
        ]
        products = [(self.paths.product(a), self.paths.product(b)) for a, b in walks]
        own = [late for early, late in walks if not early]
        if any(a is None or b is None for a, b in products) or not len(own) < len(walks) <= WHOLE:
            return
        of = self.now(key)
        by = shifted(of, -1)
        labels = self.outside(of, by)
        terms = add(*(b.after(a).term(labels) for a, b in products if a is not None and b is not None))
        yield Prose((say("jacobian.whole", state=of, count=len(walks), own=len(own)),))
        yield Equations((Equation(
            Deriv(of, by, labels, "whole"), terms, None,
            lambda w, t: w.derivative(value, t, value, t - 1).reshape(_shape(w, value, value)),
        ),))  # fmt: skip
        constant = [w for w in own if self.is_carousel(w) and self.gated(w)]
        if constant:
            others = [w for w in walks if w[0] or w[1] not in constant]
            phrases = [say("jacobian.constant", term=self.factor(constant[0]))]
            if all(any(map(_is_slope, (*a, *b))) for a, b in others):
                weighed = all(any(map(_is_product, (*a, *b))) for a, b in others)
                phrases.append(say("jacobian.fade" if weighed else "jacobian.slopes", count=len(others)))
            yield Prose(tuple(phrases))

    # -- products over time --------------------------------------------------------------------------------

    def product(self) -> Iterator[Block]:
        """∂s_T/∂s_t as a product, and what the recurrent matrix does to it."""
        if len(self.carried) == 1:
            yield from self.power(self.states[0])
        elif self.carried:
            state = Sym("*", ("*",), NOW)
            k = self.trace.free[0]
            body = Deriv(Sym("*", ("*",), Time(k)), Sym("*", ("*",), Time(k, -1)), ("*", "*"))
            stacked = Deriv(Sym("*", ("*",), Time("T")), state, ("*", "*"), "total")
            right = Big("prod", k, Time("t", 1), Time("T"), body)
            yield Prose((say("product.stacked", states=stack(self.trace), stack=STACK),))
            yield Equations((Equation(stacked, right, None, lambda w, t: w.between(w.steps, t)),))

    def power(self, key: str) -> Iterator[Block]:
        """The product of one state's Jacobians; each of them spelled out where it is a single product."""
        of, before = self.now(key), self.before(key)
        if len(of.labels) != 1:
            return
        labels = self.outside(of, before)
        walks = self.paths.walks(self.previous[key], self.carried[key])
        single = self.paths.product(walks[0]) if len(walks) == 1 else None
        factor = Deriv(of, before, labels) if single is None else single.term(labels)
        k = self.trace.free[0]
        body = at_time(factor, lambda t: Time(k, t.offset) if t.base == "t" else t)
        value, previous = self.carried[key], self.previous[key]
        yield Prose((say("product.intro"),))
        yield Equations((Equation(
            Deriv(at_time(of, lambda t: Time("T")), of, labels, "total"),
            Big("prod", k, Time("t", 1), Time("T"), body), None,
            lambda w, t: w.derivative(value, w.steps, previous, t + 1).reshape(_shape(w, value, value)),
        ),))  # fmt: skip
        if single is not None:
            yield from self.spectral(walks[0], single.maps)

    def spectral(self, w: Walk, maps: tuple[Map, ...]) -> Iterator[Block]:
        """The statement about the recurrent matrix, where nothing but a bounded slope stands beside it."""
        matrices = [m for m in maps if not is_diagonal(m)]
        if not matrices and w:
            yield Prose((say("product.diagonal"),))
        slopes = [h for h in w if h.partial not in (1, None)]
        if len(matrices) != 1 or len(slopes) > 1 or not isinstance(matrices[0].arg, Sym) or matrices[0].arg.time:
            return
        if not slopes:
            yield Prose((say("product.linear", matrix=matrices[0].arg),))
            return
        row = getattr(type(slopes[0].edges[0].statement.expr), "row", None)  # type: ignore[union-attr]
        steepest = _steepest(row) if row is not None and row.arity == 1 else None
        if steepest is not None:
            yield Prose((say("product.spectral", matrix=matrices[0].arg, slope=steepest),))

    # -- differentials -------------------------------------------------------------------------------------

    def tangents(self, new: str, old: str) -> Iterator[Block]:
        """Where matrices cannot say it, or paths are too many: the differential of every named value, in order."""
        start, goal = self.previous[old], self.carried[new]
        count = rounded(self.paths.count(start, goal))
        flow = _Tangents(self.trace, start)
        touched = self.moved(new, old)
        rows = tuple(Equation(self.trace.symbol(n, "tangent"), flow.of(n), along=start) for n in touched)
        yield Prose((say("jacobian.differential", new=self.now(new), old=self.before(old), paths=count),))
        yield Equations(rows) if len(rows) <= 6 else Fold(say("jacobian.lines", count=len(rows)), (Equations(rows),))

    def moved(self, new: str, old: str) -> list[str]:
        """The named values through which a state moves when an earlier one does, itself last."""
        goal, after = self.carried[new], self.after(old)
        between = [n for n in self.named if n in after and n in self.paths.to(goal)]
        return between if goal in between else [*between, goal]

    def after(self, old: str) -> set[str]:
        """Everything of this step that depends on an earlier state."""
        if old not in self.reach:
            found = self.reach[old] = {self.previous[old]}
            for s in self.step.statements:
                if any(e.wrt in found for e in self.trace.edges_into(s.out.name)):
                    found.add(s.out.name)
        return self.reach[old]

    # -- symbols -------------------------------------------------------------------------------------------

    def now(self, key: str) -> Formula:
        carry = self.trace.carries[key]
        return Sym(self.trace.prefix + carry.of, carry.axes, NOW.shifted(-carry.lag))

    def before(self, key: str) -> Formula:
        return self.trace.symbol(self.previous[key])

    def outside(self, of: Formula, by: Formula) -> tuple[str, ...]:
        inner = tuple(f"{x}'" if x in of.labels else x for x in by.labels)
        return (*of.labels, *inner)


class _Tangents:
    """Differentials of values with respect to one carried value."""

    def __init__(self, trace: Trace, start: str) -> None:
        self.trace, self.start = trace, start

    def of(self, name: str) -> Formula:
        """d name as a formula in the differentials of named values."""
        s = self.trace.definitions[name]
        if isinstance(s, Concat):
            parts = [self.operand(a) if self.depends(a.name) else Call("zero", (), unbatched(a.labels)) for a in s.args]
            return Call("concat", tuple(parts), unbatched(s.out.labels), s.out.labels[-1])
        if isinstance(s, AlongAxis):
            return self.along(s)
        terms = [self.through(e) for e in self.trace.edges_into(name) if self.depends(e.wrt)]
        return settled(tidy(add(*terms)), unbatched(s.out.labels))

    def along(self, s: AlongAxis) -> Formula:
        """d row(a) as the rule of the row writes it in da."""
        (a,) = s.args
        values = dict(self.trace.step.values)
        moved = Ref(numbered(f"moved_{a.name}", values.__contains__), a.labels)
        values[moved.name] = replace(values[a.name], name=moved.name)
        known = {moved.name: self.operand(a)}
        for x in tangent(s, moved, s.out, values, lambda name: numbered(name, values.__contains__)):
            known[x.out.name] = statement(x, lambda ref: known.get(ref.name) or self.trace.operand(ref))
        return tidy(known[s.out.name])

    def through(self, e: Edge) -> Formula:
        s = e.statement
        moved = self.operand(s.args[e.position])
        if isinstance(s, Contraction):
            moved = repeated(moved, unbatched(s.args[e.position].labels))
            args = [moved if k == e.position else self.trace.operand(a) for k, a in enumerate(s.args)]
            twice = len(s.args) == 2 and s.args[0] == s.args[1]
            return ein((self.trace.operand(s.args[0]), moved) if twice else tuple(args), unbatched(s.out.labels))
        return mul(self.trace.partial(e), moved)

    def operand(self, ref: Ref) -> Formula:
        named = ref.name == self.start or self.trace.is_named(ref.name)
        made = self.trace.symbol(ref.name, "tangent") if named else self.of(ref.name)
        return self.trace.renamed(made, ref)

    @cached_property
    def _touched(self) -> set[str]:
        found = {self.start}
        for s in self.trace.step.statements:
            if any(e.wrt in found for e in self.trace.edges_into(s.out.name)):
                found.add(s.out.name)
        return found

    def depends(self, name: str) -> bool:
        return name in self._touched


def _is_slope(h: Hop) -> bool:
    """Is this the derivative of a nonlinearity?"""
    return isinstance(h.statement, AlongAxis) or hasattr(type(getattr(h.statement, "expr", None)), "row")


def _is_product(h: Hop) -> bool:
    return isinstance(h.statement, Contraction)


def _shape(world: World, of: str, by: str) -> tuple[int, ...]:
    return (*world.shape(of), *world.shape(by))


def _steepest(row: Function) -> Phrase | None:
    """The largest slope of a function, measured on a grid; None if there is none."""
    dummy = sp.Dummy()
    grid = np.linspace(-8, 8, 4001)
    value, at = sp.Dummy(), dummy
    slope = row.partials[0](value, at)
    with np.errstate(all="ignore"):
        y = numeric.apply(row, [grid])
        top = float(np.max(np.abs(numeric.value(sp.sympify(slope), {value: y, at: grid}))))
    if not np.isfinite(top):
        return None
    return say("slope", value=f"{top:.4g}", function=row.name)
