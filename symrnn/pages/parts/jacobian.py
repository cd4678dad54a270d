"""How a state depends on the one before: the Jacobian split by path, and what each path does to an error."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import sympy as sp

from symrnn import numeric
from symrnn.derive import Edge
from symrnn.functions import Function
from symrnn.ir import Concat, Contraction, Pointwise, Ref
from symrnn.pages.document import Block, Equation, Equations, Fold, Phrase, Prose, Section, Truth, say
from symrnn.pages.formula import (
    NOW,
    ONE,
    Big,
    Call,
    Chain,
    Deriv,
    Formula,
    Map,
    Path,
    Sym,
    Time,
    add,
    at_time,
    ein,
    mul,
    shifted,
    unbatched,
)
from symrnn.pages.parts.gates import is_gate, table
from symrnn.pages.read import settled
from symrnn.pages.trace import Trace, tidy
from symrnn.pages.world import Stage, World

MANY = 8
WHOLE = 12
Walk = tuple[Edge, ...]


def section(trace: Trace, stage: Stage) -> Section:
    """The whole section on the state Jacobian."""
    return Section("jacobian", say("title.jacobian"), tuple(_Jacobian(trace, stage).blocks()))


class _Jacobian:
    def __init__(self, trace: Trace, stage: Stage) -> None:
        self.trace, self.stage, self.step = trace, stage, trace.step
        self.carried = trace.step.carried
        self.counted: dict[str, dict[str, int]] = {}
        self.previous = {v.of: n for n, v in trace.step.values.items() if v.role == "carry"}
        self.real = [k for k in self.carried if trace.carries[k].lag == 0]

    def blocks(self) -> Iterator[Block]:
        yield Prose((say("jacobian.intro"),))
        for new in self.real:
            for old in self.carried:
                yield from self.pair(new, old)
        for key in self.real:
            yield from self.whole(key)
        for key in self.real:
            yield from table(self.trace, key)
        yield from self.product()

    # -- one pair of states --------------------------------------------------------------------------------

    def pair(self, new: str, old: str) -> Iterator[Block]:
        if self.count(self.previous[old], self.carried[new]) == 0:
            if new != old:
                yield Prose((say("jacobian.none", new=self.now(new), old=self.before(old)),))
            return
        walks = self.walks(self.previous[old], self.carried[new])
        maps = [self.maps(w) for w in walks]
        if walks and all(m is not None for m in maps):
            yield from self.split(new, old, walks, [m for m in maps if m is not None])
        else:
            yield from self.tangents(new, old)

    def split(self, new: str, old: str, walks: list[Walk], maps: list[tuple[Map, ...]]) -> Iterator[Block]:
        """The Jacobian as a sum of matrix products, and each path by itself."""
        of, by = self.now(new), self.before(old)
        labels = self.outside(of, by)
        target, source = self.carried[new], self.previous[old]
        alone = len(walks) == 1 and self.is_carousel(walks[0])
        total = Equation(
            Deriv(of, by, labels), add(*(Chain(m, labels) for m in maps)), self.remark(walks[0]) if alone else None,
            lambda w, t: w.derivative(target, t, source, t).reshape(_shape(w, target, source)),
        )  # fmt: skip
        yield Prose((say("jacobian.paths", new=of, old=by, count=len(walks)),))
        yield Equations((total,))
        if len(walks) > 1:
            rows = [
                Equation(
                    Path(of, by, k + 1, labels),
                    Chain(m, labels),
                    self.remark(w),
                    self._truth(w),
                )
                for k, (w, m) in enumerate(zip(walks, maps, strict=True))
            ]
            yield (
                Equations(tuple(rows))
                if len(rows) <= 4
                else Fold(say("jacobian.each"), (Equations(tuple(rows)),), len(rows) <= 4)
            )

    def _truth(self, w: Walk) -> Truth:
        """The product of the measured Jacobians along a path."""
        return lambda world, t: world.along(self.stage, w, t).reshape(_shape(world, w[-1].of, w[0].wrt))

    def remark(self, w: Walk) -> Phrase:
        """Which way a path goes, and what kind of path it is."""
        stops = [
            self.trace.value(e.of) for e in w if self.trace.is_named(e.of) and e.of not in self.trace.abbreviations
        ]
        stops = stops[:-1]
        if self.is_carousel(w):
            key = "path.constant" if self.gated(w) else "path.additive"
            return say(key, via=self.factor(w))
        return say("path.via" if stops else "path.direct", via=stops)

    def is_carousel(self, w: Walk) -> bool:
        """Elementwise all the way and linear in what it carries: no weight matrix, no derivative of a nonlinearity."""
        for e in w:
            s = e.statement
            if not isinstance(s, Pointwise) or s.args[e.position].labels != s.out.labels or e.partial is None:
                return False
            if {e.wrt, e.of} & {x.name for x in e.partial.free_symbols}:
                return False
        return True

    def gated(self, w: Walk) -> bool:
        """Is every factor of the path a gate, a value between zero and one?"""
        return all(e.partial == 1 or is_gate(self.trace, e.partial) for e in w)

    def factor(self, w: Walk) -> Formula:
        return mul(*(self.trace.partial(e) for e in w))

    # -- paths ---------------------------------------------------------------------------------------------

    def count(self, start: str, goal: str) -> int:
        known = self.counted.setdefault(goal, {goal: 1})

        def ways(name: str) -> int:
            if name not in known:
                known[name] = sum(ways(e.of) for e in self.trace.d.edges_from(name))
            return known[name]

        return ways(start)

    def walks(self, start: str, goal: str) -> list[Walk]:
        """Every path, or none if there are too many to print."""
        if self.count(start, goal) > MANY:
            return []
        if start == goal:
            return [()]
        return [
            (e, *rest)
            for e in self.trace.d.edges_from(start)
            if self.count(e.of, goal)
            for rest in self.walks(e.of, goal)
        ]

    def maps(self, w: Walk) -> tuple[Map, ...] | None:
        """A path as a product of matrices, last edge leftmost; None where it runs through a matrix-valued value."""
        made: list[Map] = []
        for e in w:
            single = self.map(e, made)
            if single is None:
                return None
            made.insert(0, single)
            if len(made) > 1 and _is_diagonal(made[0]) and _is_diagonal(made[1]) and made[0].outer == made[1].outer:
                made[:2] = [Map(tidy(mul(made[0].arg, made[1].arg)), made[0].outer, made[0].outer)]
        kept = [m for m in made if not (_is_diagonal(m) and m.arg == ONE)] or made[:1]
        return tuple(kept) if not any(_is_selection(m) for m in kept) else None

    def map(self, e: Edge, right: list[Map]) -> Map | None:
        s = e.statement
        out, arg = unbatched(s.out.labels), unbatched(s.args[e.position].labels)
        if len(out) > 1 or len(arg) > 1:
            return None
        outer, inner = "".join(out), "".join(arg)
        match s:
            case Pointwise():
                return Map(self.trace.partial(e), outer, inner)
            case Contraction():
                others = [self.trace.operand(a) for k, a in enumerate(s.args) if k != e.position]
                chosen = bool(others) and _selects(right)
                matrix = _sliced(others[0], right) if others else ONE
                return Map(matrix, outer, right[0].outer if chosen else inner)
            case Concat():
                return self.selection(e, s, inner)
        return None

    def selection(self, e: Edge, s: Concat, inner: str) -> Map:
        """Concatenation picks rows; what multiplies next sees only its own columns. Kept as a mark until then."""
        before = tuple(self.step.values[a.name].axes[-1] for a in s.args[: e.position])
        return Map(Call("select", (), (inner,), inner, before), inner, inner)

    # -- two steps at once ---------------------------------------------------------------------------------

    def whole(self, key: str) -> Iterator[Block]:
        """∂s_t/∂s_{t-1} with the other states of step t-1 seen as functions of s."""
        value = self.carried[key]
        chains: list[Chain] = []
        for via in self.carried:
            late = self.walks(self.previous[via], value)
            early = self.walks(value, self.carried[via]) if via != key else [()]
            if self.carried[via] == value and via != key:
                continue
            for a in early:
                for b in late:
                    first, second = self.maps(a) if a else (), self.maps(b)
                    if first is None or second is None:
                        return
                    parts = (*second, *(_earlier(m) for m in first))
                    chains.append(Chain(tuple(m for m in parts if not (m.arg == ONE and len(parts) > 1)), ()))
        own = self.walks(self.previous[key], value)
        if len(chains) <= len(own) or len(chains) > WHOLE:
            return
        of = self.now(key)
        by = shifted(of, -1)
        labels = self.outside(of, by)
        terms = add(*(Chain(c.maps, labels) for c in chains))
        yield Prose((say("jacobian.whole", state=of, count=len(chains), own=len(own)),))
        yield Equations((Equation(
            Deriv(of, by, labels, "total"), terms, None,
            lambda w, t: w.derivative(value, t, value, t - 1).reshape(_shape(w, value, value)),
        ),))  # fmt: skip
        constant = [w for w in own if self.is_carousel(w)]
        if constant:
            yield Prose((say("jacobian.constant", term=self.factor(constant[0]), rest=len(chains) - len(constant)),))

    # -- products over time --------------------------------------------------------------------------------

    def product(self) -> Iterator[Block]:
        """∂s_T/∂s_t as a product, and what the recurrent matrix does to it."""
        if len(self.carried) > 1 or not self.carried:
            if self.carried:
                state = Sym("*", ("*",), NOW)
                body = Deriv(Sym("*", ("*",), Time("k")), Sym("*", ("*",), Time("k", -1)), ("*", "*"))
                stacked = Deriv(Sym("*", ("*",), Time("T")), state, ("*", "*"), "total")
                right = Big("prod", "k", Time("t", 1), Time("T"), body)
                names = [self.now(k) for k in self.real]
                yield Prose((say("product.stacked", states=names),))
                yield Equations((Equation(stacked, right, None, lambda w, t: w.between(w.steps, t)),))
            return
        key = self.real[0]
        walks = self.walks(self.previous[key], self.carried[key])
        maps = self.maps(walks[0]) if len(walks) == 1 else None
        if maps is None:
            return
        of = self.now(key)
        labels = self.outside(of, self.before(key))
        factor = at_time(Chain(maps, labels), lambda t: Time("k", t.offset) if t.base == "t" else t)
        last = at_time(of, lambda t: Time("T"))
        left = Deriv(last, of, labels, "total")
        value, previous = self.carried[key], self.previous[key]
        yield Prose((say("product.intro"),))
        yield Equations((Equation(
            left, Big("prod", "k", Time("t", 1), Time("T"), factor), None,
            lambda w, t: w.derivative(value, w.steps, previous, t + 1).reshape(_shape(w, value, value)),
        ),))  # fmt: skip
        yield from self.spectral(walks[0], maps)

    def spectral(self, w: Walk, maps: tuple[Map, ...]) -> Iterator[Block]:
        """The statement about the recurrent matrix, where one stands in every factor beside a bounded slope."""
        matrices = [m for m in maps if m.outer and m.inner and m.outer != m.inner]
        if len(matrices) == 1 and isinstance(matrices[0].arg, Sym) and matrices[0].arg.time is None:
            rows = [getattr(type(e.statement.expr), "row", None) for e in w if isinstance(e.statement, Pointwise)]
            slopes = [r for r in rows if r is not None]
            steepest = _steepest(slopes[0]) if len(slopes) == 1 and slopes[0].arity == 1 else None
            if steepest is not None:
                yield Prose((say("product.spectral", matrix=matrices[0].arg, slope=steepest),))
        elif not matrices and all(_is_diagonal(m) for m in maps):
            yield Prose((say("product.diagonal"),))

    # -- differentials -------------------------------------------------------------------------------------

    def tangents(self, new: str, old: str) -> Iterator[Block]:
        """Where matrices cannot say it, or paths are too many: the differential of every named value, in order."""
        start, goal = self.previous[old], self.carried[new]
        count = self.count(start, goal)
        names = [n for n in (s.out.name for s in self.step.statements) if self.trace.is_named(n)]
        touched = [n for n in names if self.count(start, n) and self.count(n, goal)]
        if goal not in touched:
            touched.append(goal)
        flow = _Tangents(self.trace, self, start)
        rows = tuple(Equation(self.trace.symbol(n, "tangent"), flow.of(n), along=start) for n in touched)
        yield Prose((say("jacobian.differential", new=self.now(new), old=self.before(old), count=count),))
        yield Equations(rows) if len(rows) <= 6 else Fold(say("jacobian.lines", count=len(rows)), (Equations(rows),))

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

    def __init__(self, trace: Trace, owner: _Jacobian, start: str) -> None:
        self.trace, self.owner, self.start = trace, owner, start

    def of(self, name: str) -> Formula:
        """d name as a formula in the differentials of named values."""
        s = self.trace.definitions[name]
        if isinstance(s, Concat):
            parts = [self.operand(a) if self.depends(a.name) else Call("zero", (), unbatched(a.labels)) for a in s.args]
            return Call("concat", tuple(parts), unbatched(s.out.labels), s.out.labels[-1])
        terms = [self.through(e) for e in self.trace.d.edges if e.of == name and self.depends(e.wrt)]
        return settled(tidy(add(*terms)), unbatched(s.out.labels))

    def through(self, e: Edge) -> Formula:
        s = e.statement
        moved = self.operand(s.args[e.position])
        if isinstance(s, Contraction):
            args = tuple(moved if k == e.position else self.trace.operand(a) for k, a in enumerate(s.args))
            return ein(args, unbatched(s.out.labels))
        return mul(self.trace.partial(e), moved)

    def operand(self, ref: Ref) -> Formula:
        named = ref.name == self.start or self.trace.is_named(ref.name)
        made = self.trace.symbol(ref.name, "tangent") if named else self.of(ref.name)
        return self.trace.renamed(made, ref)

    @cached_property
    def _touched(self) -> set[str]:
        found = {self.start}
        for s in self.trace.step.statements:
            if any(e.of == s.out.name and e.wrt in found for e in self.trace.d.edges):
                found.add(s.out.name)
        return found

    def depends(self, name: str) -> bool:
        return name in self._touched


def _is_diagonal(m: Map) -> bool:
    return m.outer == m.inner and not _is_selection(m)


def _is_selection(m: Map) -> bool:
    return isinstance(m.arg, Call) and m.arg.op == "select"


def _selects(right: list[Map]) -> bool:
    return bool(right) and _is_selection(right[0])


def _sliced(matrix: Formula, right: list[Map]) -> Formula:
    """The columns of a matrix that belong to what was concatenated."""
    if not _selects(right):
        return matrix
    mark = right.pop(0)
    assert isinstance(mark.arg, Call)
    inner = f"{mark.inner}'" if mark.inner in matrix.labels else mark.inner
    made = Call("slice", (matrix,), (*matrix.labels[:-1], inner), matrix.labels[-1], mark.arg.note)
    right.insert(0, Map(ONE, inner, inner))
    return made


def _earlier(m: Map) -> Map:
    return Map(shifted(m.arg, -1), m.outer, m.inner)


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
