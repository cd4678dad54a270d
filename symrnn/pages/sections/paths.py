"""The paths by which one value of a step reaches another, and each of them as a product of matrices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import sympy as sp

from symrnn.calculus.ir import AlongAxis, Concat, Contraction, Labels, Pointwise, Statement
from symrnn.calculus.partials import Edge
from symrnn.functions.whole_axis import AxisFunction
from symrnn.pages.formulas.formula import (
    NOW,
    ONE,
    Call,
    Chain,
    Ein,
    Formula,
    Map,
    Mul,
    Neg,
    Num,
    Sym,
    add,
    ein,
    mul,
    neg,
    relabel,
    repeated,
    unbatched,
)
from symrnn.pages.formulas.read import expression
from symrnn.pages.formulas.rewrite import shifted, tidy
from symrnn.pages.trace import Trace

MANY, LONGEST = 8, 24
STACK = Sym("*", ("*",))


@dataclass(frozen=True)
class Hop:
    """All the ways in which `of` depends on `wrt` at once: the operands of one statement."""

    wrt: str
    of: str
    statement: Statement
    edges: tuple[Edge, ...]

    @property
    def partial(self) -> sp.Expr | None:
        """The derivative of an elementwise statement; None for everything else."""
        return self.edges[0].partial if len(self.edges) == 1 else None


Walk = tuple[Hop, ...]


@dataclass(frozen=True)
class Product:
    """A path as a number and matrices, the last step leftmost."""

    number: Num
    maps: tuple[Map, ...]

    def term(self, labels: tuple[str, ...]) -> Formula:
        """The Jacobian of the path, with the labels of its rows and columns."""
        return mul(self.number, Chain(self.maps, labels))

    def after(self, earlier: Product) -> Product:
        """This path behind one through the step before."""
        maps = (*self.maps, *(Map(shifted(m.arg, -1), m.outer, m.inner) for m in earlier.maps))
        return Product(Num(self.number.value * earlier.number.value), _without_ones(maps))


class Paths:
    """The paths of one step."""

    def __init__(self, trace: Trace, most: int = MANY, longest: int = LONGEST) -> None:
        self.trace, self.most, self.longest = trace, most, longest
        self.known: dict[str, list[Hop]] = {}
        self.measured: dict[str, dict[str, tuple[int, int]]] = {}

    def hops(self, name: str) -> list[Hop]:
        """What reads a value directly."""
        if name not in self.known:
            found: dict[str, list[Edge]] = {}
            for e in self.trace.d.edges_from(name):
                found.setdefault(e.of, []).append(e)
            self.known[name] = [Hop(name, of, edges[0].statement, tuple(edges)) for of, edges in found.items()]
        return self.known[name]

    def count(self, start: str, goal: str) -> int:
        """How many paths lead from one value to another."""
        return self.to(goal).get(start, (0, 0))[0]

    def length(self, start: str, goal: str) -> int:
        """How many hops the longest path has that leads from one value to another."""
        return self.to(goal).get(start, (0, 0))[1]

    def to(self, goal: str) -> dict[str, tuple[int, int]]:
        """Every value from which a path leads to `goal`: how many there are, and the length of the longest."""
        if goal not in self.measured:
            known = self.measured[goal] = {goal: (1, 0)}
            for name in self._backwards:
                ahead = [known[h.of] for h in self.hops(name) if h.of in known]
                if ahead and name != goal:
                    known[name] = sum(n for n, _ in ahead), 1 + max(length for _, length in ahead)
        return self.measured[goal]

    @cached_property
    def _backwards(self) -> list[str]:
        """Every value after all that read it."""
        computed = [s.out.name for s in reversed(self.trace.step.statements)]
        return [*computed, *(n for n, v in self.trace.step.values.items() if v.role != "value")]

    def is_long(self, start: str, goal: str) -> bool:
        """Are there too many paths to print, or is one too long?"""
        return self.count(start, goal) > self.most or self.length(start, goal) > self.longest

    def walks(self, start: str, goal: str) -> list[Walk]:
        """Every path, or none if there are too many to print or one is too long."""
        if self.is_long(start, goal):
            return []
        if start == goal:
            return [()]
        return [(h, *rest) for h in self.hops(start) if self.count(h.of, goal) for rest in self.walks(h.of, goal)]

    # -- matrices ------------------------------------------------------------------------------------------

    def product(self, walk: Walk) -> Product | None:
        """The matrices of a path; None where it runs through a matrix-valued value."""
        made: list[Map] = []
        hops = list(walk)
        while hops:
            h = hops.pop(0)
            if isinstance(h.statement, Concat):
                if not hops or not _is_product(hops[0]):
                    return None
                single = self.columns(h, hops.pop(0))
            else:
                single = self.matrix(h)
            if single is None:
                return None
            made.insert(0, single)
            if len(made) > 1 and is_diagonal(made[0]) and is_diagonal(made[1]) and made[0].outer == made[1].outer:
                made[:2] = [Map(tidy(mul(made[0].arg, made[1].arg)), made[0].outer, made[0].outer)]
        numbers, maps = zip(*map(_split, made), strict=True) if made else ((), ())
        return Product(Num(sp.prod(numbers)), _without_ones(_scalars_first(maps)))

    def matrix(self, h: Hop) -> Map | None:
        """The Jacobian of one hop between vectors and scalars."""
        s = h.statement
        if isinstance(s, AlongAxis):
            return self.along(s)
        out, arg = unbatched(s.out.labels), unbatched(s.args[h.edges[0].position].labels)
        if len(out) > 1 or len(arg) > 1:
            return None
        outer, inner = "".join(out), "".join(arg)
        if isinstance(s, Pointwise):
            return Map(add(*(self.trace.partial(e) for e in h.edges)), outer, inner)
        return Map(add(*(self.other(e) for e in h.edges)), outer, inner)

    def along(self, s: AlongAxis) -> Map | None:
        """The Jacobian of a function of a whole axis, as its row has it, where that axis is the only one."""
        y, a = self.trace.value(s.out.name), self.trace.argument(s)
        if len(a.labels) != 1:
            return None
        outer = "".join(y.labels)
        inner = f"{outer}'" if outer else a.labels[0]
        return Map(jacobian(s.row, y, a, self.trace.length(s.args[0].name)), outer, inner)

    def other(self, e: Edge) -> Formula:
        """What a product multiplies an operand with."""
        others = [a for k, a in enumerate(e.statement.args) if k != e.position]
        if not others:
            return ONE
        made = repeated(self.trace.operand(others[0]), unbatched(others[0].labels))
        seen = {*e.statement.out.labels, *e.statement.args[e.position].labels}
        return ein((made,), tuple(x for x in made.labels if x in seen))  # what neither has is summed

    def columns(self, picks: Hop, product: Hop) -> Map | None:
        """A concatenation and the matrix that multiplies it: the columns that belong to one part."""
        (e,) = product.edges
        s, whole = e.statement, picks.statement
        out = unbatched(s.out.labels)
        matrix = self.other(e)
        if len(out) > 1 or len(matrix.labels) != 2 or matrix.labels[-1] != s.args[e.position].labels[-1]:
            return None
        part = self.trace.step.values[picks.wrt].axes[-1]
        inner = f"{part}'" if part in matrix.labels else part
        parts = []
        for pick in picks.edges:
            before = tuple(self.trace.step.values[a.name].axes[-1] for a in whole.args[: pick.position])
            parts.append(Call("slice", (matrix,), (matrix.labels[0], inner), matrix.labels[-1], before))
        return Map(add(*parts), "".join(out), inner)


class _Matrix:
    """The formulas of which a row of the table makes its Jacobian, each behind a symbol."""

    def __init__(self, y: Formula, length: Formula) -> None:
        self.square: Labels = (y.labels[0], f"{y.labels[0]}'") if y.labels else ()
        self.length = length
        self.formulas: dict[str, Formula] = {}

    def symbol(self, formula: Formula) -> sp.Symbol:
        name = next((n for n, f in self.formulas.items() if f == formula), f"m{len(self.formulas)}")
        self.formulas[name] = formula
        return sp.Symbol(name, real=True)

    @property
    def size(self) -> sp.Symbol:
        return self.symbol(self.length)

    @property
    def identity(self) -> sp.Symbol:
        return self.symbol(Call("identity", (), self.square))

    @property
    def ones(self) -> sp.Symbol:
        return self.symbol(Call("ones", (), self.square))

    def diag(self, a: sp.Symbol) -> sp.Symbol:
        return self.symbol(Call("diag", (self.formulas[a.name],), self.square))

    def outer(self, a: sp.Symbol, b: sp.Symbol) -> sp.Symbol:
        column = relabel(self.formulas[b.name], {self.square[0]: self.square[1]})
        return self.symbol(Ein((self.formulas[a.name], column), self.square))

    def apply(self, row: AxisFunction, a: sp.Symbol) -> sp.Symbol:
        source = self.formulas[a.name]
        return self.symbol(Call(row.name, (source,), source.labels if row.keeps else (), source.labels[-1]))


def jacobian(row: AxisFunction, y: Formula, a: Formula, length: Formula) -> Formula:
    """∂y/∂a of y = row(a), where a is a vector of the given length."""
    assert row.rule is not None and row.rule.jacobian is not None
    matrix = _Matrix(y, length)
    expr = row.rule.jacobian(matrix, matrix.symbol(y), matrix.symbol(a))
    return expression(expr, matrix.formulas, list(matrix.formulas))


def stack(trace: Trace) -> list[Formula]:
    """Everything that a step leaves for the next, older values too."""
    carries = (trace.carries[k] for k in trace.step.carried)
    return [Sym(trace.prefix + c.of, c.axes, NOW.shifted(-c.lag)) for c in carries]


def _is_product(h: Hop) -> bool:
    """Does a single product read the value, and once?"""
    return len(h.edges) == 1 and isinstance(h.statement, Contraction)


def is_diagonal(m: Map) -> bool:
    """Is this the matrix with a vector on its diagonal?"""
    return m.outer == m.inner


def _scalars_first(maps: tuple[Map, ...]) -> tuple[Map, ...]:
    """Scalar factors commute with everything."""
    scalars = [m for m in maps if is_diagonal(m) and not m.arg.labels]
    first = maps[0].outer if maps else ""
    return (*(Map(m.arg, first, first) for m in scalars), *(m for m in maps if m not in scalars))


def _without_ones(maps: tuple[Map, ...]) -> tuple[Map, ...]:
    return tuple(m for m in maps if not (is_diagonal(m) and m.arg == ONE)) or maps[:1]


def _split(m: Map) -> tuple[sp.Number, Map]:
    """The sign of a matrix, and the whole number in front of one that is not diagonal; and the rest."""
    number, arg = sp.Integer(1), m.arg
    if isinstance(arg, Neg) or (isinstance(arg, Num) and arg.value < 0):
        number, arg = sp.Integer(-1), neg(arg)
    first = arg.args[0] if isinstance(arg, Mul) and not is_diagonal(m) else None
    if isinstance(arg, Mul) and isinstance(first, Num) and first.value.is_Integer:
        number, arg = number * first.value, mul(*arg.args[1:])
    return number, Map(arg, m.outer, m.inner)
