"""The two kinds of statement everything is made of, plus the small change: concatenate, slice, the best of an axis.

Functions of a whole axis stay one statement until the schedule expands them.

Every statement says with *labels* how the axes of its operands meet. A label is an axis name, primed where the
same axis occurs twice (``H``, ``H'``); ``@B`` is the batch and ``@T`` time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import count

import sympy as sp

from symrnn.functions.expressions import symbols_in
from symrnn.functions.whole_axis import AxisFunction
from symrnn.language.cell import Axes

Labels = tuple[str, ...]
BATCH, TIME = "@B", "@T"
#: Roles of the values that statements compute.
COMPUTED = ("value", "tangent", "adjoint", "local")


@cache
def symbol(name: str) -> sp.Symbol:
    """The SymPy symbol of a value's generic component."""
    return sp.Symbol(name, real=True)


def axis_of(label: str) -> str:
    """The axis a label runs over."""
    return label if label in (BATCH, TIME) else label.rstrip("'")


def natural(axes: Axes) -> Labels:
    """One label per axis, primed at each repetition."""
    labels: list[str] = []
    for axis in axes:
        labels.append(fresh(axis, labels))
    return tuple(labels)


def fresh(axis: str, used: Iterable[str]) -> str:
    """A label of that axis not used yet."""
    taken, label = set(used), axis
    while label in taken:
        label += "'"
    return label


def numbered(name: str, taken: Callable[[str], bool]) -> str:
    """The name, with the smallest number after it that makes it new."""
    if not taken(name):
        return name
    return next(f"{name}{k}" for k in count(2) if not taken(f"{name}{k}"))


@dataclass(frozen=True)
class Value:
    """Anything with a name in a program.

    role: input, param, const, size, time, identity, carry (a value from the previous step, whose state is `of`),
    value (some statement computes it), tangent (how `of` moves), adjoint (∂L/∂of), local (a product of partials).
    """

    name: str
    axes: Axes
    batched: bool
    timed: bool
    role: str = "value"
    of: str = ""

    @property
    def labels(self) -> Labels:
        return ((BATCH,) if self.batched else ()) + natural(self.axes)


@dataclass(frozen=True)
class Ref:
    """An operand: a value and the label of each of its axes."""

    name: str
    labels: Labels

    @property
    def symbol(self) -> sp.Symbol:
        return symbol(self.name)

    def over_time(self) -> Ref:
        """The same operand for all steps at once."""
        return Ref(self.name, (TIME, *self.labels))


@dataclass(frozen=True)
class Pointwise:
    """out = expr, component by component; operands that lack a label of `out` are broadcast along it."""

    out: Ref
    expr: sp.Expr
    args: tuple[Ref, ...]
    equation: str = ""


@dataclass(frozen=True)
class Contraction:
    """out = the product of one or two operands, summed over the labels `out` lacks; or one operand transposed."""

    out: Ref
    args: tuple[Ref, ...]
    equation: str = ""

    @property
    def summed(self) -> Labels:
        return tuple(dict.fromkeys(x for a in self.args for x in a.labels if x not in self.out.labels))


@dataclass(frozen=True)
class Concat:
    """out = the operands one after the other along their last axis."""

    out: Ref
    args: tuple[Ref, ...]
    equation: str = ""


@dataclass(frozen=True)
class Slice:
    """out = the stretch of the operand's last axis that begins after the axes `before`."""

    out: Ref
    args: tuple[Ref, ...]
    before: Axes
    equation: str = ""


@dataclass(frozen=True)
class OneHot:
    """out = 1 where the operand is largest (or smallest) along its last axis, else 0; the first one at a tie."""

    out: Ref
    args: tuple[Ref, ...]
    largest: bool
    equation: str = ""


@dataclass(frozen=True)
class Peak:
    """out = the maximum of the operand along its last axis, as a mere shift: what uses it does not depend on it."""

    out: Ref
    args: tuple[Ref, ...]
    equation: str = ""


@dataclass(frozen=True)
class AlongAxis:
    """out = the row's function of the operand's last axis, which `out` keeps or loses, as the row says."""

    out: Ref
    args: tuple[Ref, ...]
    row: AxisFunction
    equation: str = ""


Statement = Pointwise | Contraction | Concat | Slice | OneHot | Peak | AlongAxis


def reads(statement: Statement) -> tuple[str, ...]:
    """Names of the operands, in order."""
    return tuple(a.name for a in statement.args)


def times_read(statements: Iterable[Statement]) -> Counter[str]:
    """How often each name is read; an expression reads an operand as often as it mentions it."""
    found: Counter[str] = Counter()
    for s in statements:
        found.update(_mentions(s.expr) if isinstance(s, Pointwise) else reads(s))
    return found


@cache
def _mentions(expr: sp.Expr) -> tuple[str, ...]:
    return (expr.name,) if isinstance(expr, sp.Symbol) else tuple(name for a in expr.args for name in _mentions(a))


def pointwise(out: Ref, expr: sp.Expr, refs: Iterable[Ref], equation: str = "") -> Pointwise:
    """A Pointwise whose operands are those of `refs` that `expr` really mentions, in that order."""
    used = symbols_in(expr)
    args = tuple(dict.fromkeys(r for r in refs if r.symbol in used))
    assert compatible(args), f"{expr} reads a value under two labellings: {args}"
    assert {r.symbol for r in args} == used, (expr, args)
    return Pointwise(out, expr, args, equation)


def compatible(refs: Iterable[Ref]) -> bool:
    """Can one expression read them all? Its symbols have names but no labels: each value may have one labelling."""
    known: dict[str, Labels] = {}
    return all([known.setdefault(r.name, r.labels) == r.labels for r in refs])


def expands(s: Statement) -> bool:
    """Is the result a matrix or more at every step, and every operand smaller? The outer product of two vectors is."""
    componentwise = isinstance(s, Pointwise) or (isinstance(s, Contraction) and not s.summed)
    axes = [x for x in s.out.labels if x not in (BATCH, TIME)]
    return componentwise and len(axes) > 1 and all(len(a.labels) < len(s.out.labels) for a in s.args)


def over_time(statement: Statement, timed: set[str]) -> Statement:
    """The statement for all steps at once: timed operands get the time label, and so does a timed result."""
    args = tuple(a.over_time() if a.name in timed else a for a in statement.args)
    out = statement.out.over_time() if statement.out.name in timed else statement.out
    return replace(statement, out=out, args=args)


@dataclass(frozen=True)
class Step:
    """One time step as statements in order, with every value they mention.

    `carried` maps what crosses to the next step to the value it is, `outputs` names what leaves each step. Where the
    step carries tangents, `tangent_of` maps them to what they are tangents of, and `tangent_keys` does so for keys.
    """

    values: dict[str, Value]
    statements: tuple[Statement, ...]
    carried: dict[str, str]
    outputs: tuple[str, ...]
    tangent_of: dict[str, str] = field(default_factory=dict)
    tangent_keys: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        verify(self.statements, self.values)


def verify(
    statements: Iterable[Statement],
    values: dict[str, Value],
    known: Iterable[str] = (),
    verified: Container[int] = frozenset(),
) -> None:
    """Each value is assigned once and defined before use, and labels agree with axes; a breach is a bug.

    Labels are those of a statement alone: one that has been `verified`, known by its id, is not read again.
    """
    defined = {n for n, v in values.items() if v.role not in COMPUTED} | set(known)
    for s in statements:
        for ref in s.args:
            assert ref.name in defined, f"{ref.name} is read before it is defined in {s}"
        assert s.out.name not in defined, f"{s.out.name} is assigned twice"
        defined.add(s.out.name)
        if id(s) not in verified:
            _verify_labels(s, values)


def _verify_labels(s: Statement, values: dict[str, Value]) -> None:
    for ref in (s.out, *s.args):
        value = values[ref.name]
        axes = tuple(axis_of(x) for x in ref.labels if x not in (BATCH, TIME))
        assert axes == value.axes, f"{ref} does not have the axes {value.axes}"
        assert (BATCH in ref.labels) == value.batched, f"{ref}: batch"
        assert len(set(ref.labels)) == len(ref.labels), f"{ref}: a label twice"
    if isinstance(s, Pointwise):
        assert {a.symbol for a in s.args} == symbols_in(s.expr), f"operands of {s}"
        assert compatible(s.args), f"{s} reads a value under two labellings"
        assert all(x in s.out.labels for a in s.args for x in a.labels), f"{s} sums"
    if isinstance(s, Contraction):
        assert all(any(x in a.labels for a in s.args) for x in s.out.labels), f"{s} broadcasts"
    if isinstance(s, Concat):
        joined = "+".join(axis_of(a.labels[-1]) for a in s.args)
        assert axis_of(s.out.labels[-1]) == joined, f"{s} has another length than its operands"
    if isinstance(s, Slice):
        stretch = "+".join([*s.before, axis_of(s.out.labels[-1])])
        whole = axis_of(s.args[0].labels[-1])
        assert s.out.labels[:-1] == s.args[0].labels[:-1], f"{s} cuts another axis than the last"
        assert f"{whole}+".startswith(f"{stretch}+"), f"{s} cuts between axes"
