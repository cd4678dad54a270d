"""Displayed mathematics as data: one tree that every notation prints and `numbers` evaluates.

Leaves carry labels, as operands of statements do; whether a contraction prints as W x, Wᵀ δ or δ xᵀ follows from them.
There is no batch here: a page derives one sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import sympy as sp

from symrnn.calculus.ir import BATCH, Labels, axis_of, fresh
from symrnn.functions.table import Function


@dataclass(frozen=True)
class Time:
    """An index of time: ``t``, ``t-1``, ``k+1``, or a number when `base` is empty."""

    base: str
    offset: int = 0

    def shifted(self, by: int) -> Time:
        return Time(self.base, self.offset + by)


NOW, BEFORE = Time("t"), Time("t", -1)


@dataclass(frozen=True)
class Sym:
    """A value at a time.

    kind: value, adjoint (∂L/∂value), seed (∂L_t/∂value, at once), tangent (dvalue), or index (the time itself).
    """

    name: str
    labels: Labels
    time: Time | None = None
    kind: str = "value"


@dataclass(frozen=True)
class Num:
    """A number."""

    value: sp.Number
    labels: Labels = ()


@dataclass(frozen=True)
class Neg:
    """Minus a term."""

    arg: Formula

    @cached_property
    def labels(self) -> Labels:
        return self.arg.labels


@dataclass(frozen=True)
class Add:
    """A sum, broadcasting over labels."""

    args: tuple[Formula, ...]

    @cached_property
    def labels(self) -> Labels:
        return union(self.args)


@dataclass(frozen=True)
class Mul:
    """An elementwise product, broadcasting over labels."""

    args: tuple[Formula, ...]

    @cached_property
    def labels(self) -> Labels:
        return union(self.args)


@dataclass(frozen=True)
class Div:
    """An elementwise quotient."""

    top: Formula
    bottom: Formula

    @cached_property
    def labels(self) -> Labels:
        return union((self.top, self.bottom))


@dataclass(frozen=True)
class Pow:
    """An elementwise power with a number as its exponent."""

    base: Formula
    exponent: sp.Number

    @cached_property
    def labels(self) -> Labels:
        return self.base.labels


@dataclass(frozen=True)
class Fn:
    """A function of the table, elementwise."""

    row: Function
    args: tuple[Formula, ...]

    @cached_property
    def labels(self) -> Labels:
        return union(self.args)


@dataclass(frozen=True)
class Ein:
    """The product of the operands, summed over the labels that `labels` lacks; a transpose if it has one operand."""

    args: tuple[Formula, ...]
    labels: Labels

    @property
    def summed(self) -> Labels:
        return tuple(x for x in union(self.args) if x not in self.labels)


@dataclass(frozen=True)
class Call:
    """A function of a whole axis: softmax, norm, concat, slice, onehot, … ; `over` is the label it runs along."""

    op: str
    args: tuple[Formula, ...]
    labels: Labels
    over: str = ""
    note: tuple[str, ...] = ()


@dataclass(frozen=True)
class Map:
    """A Jacobian edge as a matrix from label `inner` to label `outer`; "" is a scalar's single row or column."""

    arg: Formula
    outer: str
    inner: str


@dataclass(frozen=True)
class Chain:
    """A product of matrices, the last step leftmost."""

    maps: tuple[Map, ...]
    labels: Labels


@dataclass(frozen=True)
class Big:
    """A sum or product over time, `index` running from `low` to `high`; a product takes its latest factor first."""

    op: str
    index: str
    low: Time
    high: Time
    body: Formula

    @cached_property
    def labels(self) -> Labels:
        return self.body.labels


@dataclass(frozen=True)
class Deriv:
    """∂of/∂by. kind: local (one statement), direct (through this step alone), total (through everything), loss.

    A whole derivative is total too, but is written with d, to tell it from the one with the other states held fixed.

    For a loss `of` is None and `at` the step whose loss is meant, or None for their sum.
    """

    of: Formula | None
    by: Formula
    labels: Labels
    kind: str = "local"
    at: Time | None = None


@dataclass(frozen=True)
class Path:
    """One summand of a Jacobian, as a name: ∂of/∂by along the path `number`."""

    of: Formula
    by: Formula
    number: int
    labels: Labels


Formula = Sym | Num | Neg | Add | Mul | Div | Pow | Fn | Ein | Call | Chain | Big | Deriv | Path

ZERO, ONE = Num(sp.Integer(0)), Num(sp.Integer(1))


def union(args: tuple[Formula, ...]) -> Labels:
    """Every label once, in the order of the operand that has most."""
    found: dict[str, None] = {}
    for arg in sorted(args, key=lambda a: -len(a.labels)):
        found.update(dict.fromkeys(arg.labels))
    return tuple(found)


def unbatched(labels: Labels) -> Labels:
    """Labels of one sample."""
    return tuple(x for x in labels if x != BATCH)


# -- constructors that keep formulas flat ------------------------------------------------------------------


def neg(a: Formula) -> Formula:
    """-a, without a second sign."""
    if isinstance(a, Neg):
        return a.arg
    return Num(-a.value) if isinstance(a, Num) else Neg(a)


def add(*args: Formula) -> Formula:
    """A sum; sums inside it are opened, zeros dropped."""
    flat: list[Formula] = []
    for a in args:
        if isinstance(a, Add):
            flat += a.args
        elif isinstance(a, Neg) and isinstance(a.arg, Add):
            flat += [neg(x) for x in a.arg.args]
        elif a != ZERO:
            flat.append(a)
    flat = [Neg(Num(-a.value)) if isinstance(a, Num) and a.value < 0 else a for a in _collected(_counted(flat))]
    if not flat:
        return ZERO
    first = next((k for k, a in enumerate(flat) if not isinstance(a, Neg)), 0)
    flat.insert(0, flat.pop(first))
    return flat[0] if len(flat) == 1 else Add(tuple(flat))


def _counted(terms: list[Formula]) -> list[Formula]:
    """Numbers beside the index of the step, added up: cell files count steps from zero, pages from one."""
    terms = [Num(-a.arg.value) if isinstance(a, Neg) and isinstance(a.arg, Num) else a for a in terms]
    numbers = [a for a in terms if isinstance(a, Num)]
    if len(numbers) < 2 or not any(isinstance(a, Sym) and a.kind == "index" for a in terms):
        return terms
    total = sum((a.value for a in numbers), sp.Integer(0))
    rest: list[Formula] = [a for a in terms if not isinstance(a, Num)]
    return [*rest, Num(total)] if total else rest


def _collected(terms: list[Formula]) -> list[Formula]:
    """a + a as 2 a."""
    counted = {a: terms.count(a) for a in terms}
    return [
        a if n == 1 else neg(mul(Num(sp.Integer(n)), a.arg)) if isinstance(a, Neg) else mul(Num(sp.Integer(n)), a)
        for a, n in counted.items()
    ]


def mul(*args: Formula) -> Formula:
    """An elementwise product; products inside it are opened, signs pulled out, ones dropped, scalars put in front."""
    flat: list[Formula] = []
    negative = False
    for a in args:
        if isinstance(a, Neg):
            negative, a = not negative, a.arg
        if isinstance(a, Num) and a.value < 0:
            negative, a = not negative, Num(-a.value)
        flat += a.args if isinstance(a, Mul) else [] if a == ONE else [a]
    if ZERO in flat:
        return ZERO
    flat = _powers_joined(_reduced(flat))
    flat.sort(key=lambda a: 0 if isinstance(a, Num) else 1 if not a.labels else 2)
    product: Formula = ONE if not flat else flat[0] if len(flat) == 1 else Mul(tuple(flat))
    return neg(product) if negative else product


def _powers_joined(factors: list[Formula]) -> list[Formula]:
    """a² a as a³."""
    for square in factors:
        if isinstance(square, Pow) and square.base in factors and square.exponent.is_Integer:
            rest = [a for a in factors if a is not square]
            rest.remove(square.base)
            return _powers_joined([*rest, Pow(square.base, square.exponent + 1)])
    return factors


def _reduced(factors: list[Formula]) -> list[Formula]:
    """2 (x / 2 y) as x / y."""
    whole = next((a for a in factors if isinstance(a, Num) and a.value.is_Integer), None)
    for ratio in factors:
        under = _leading(ratio.bottom) if isinstance(ratio, Div) else None
        if whole is not None and under is not None and (common := sp.gcd(whole.value, under.value)) > 1:
            rest = [a for a in factors if a is not whole and a is not ratio]
            bottom = _led_by(ratio.bottom, under.value / common)  # type: ignore[union-attr]
            return [x for x in (Num(whole.value / common), div(ratio.top, bottom), *rest) if x != ONE]  # type: ignore[union-attr]
    return factors


def _leading(node: Formula) -> Num | None:
    """The whole number that a denominator begins with."""
    first = node.args[0] if isinstance(node, Mul) else node
    return first if isinstance(first, Num) and first.value.is_Integer else None


def _led_by(node: Formula, number: sp.Integer) -> Formula:
    return mul(Num(number), *node.args[1:]) if isinstance(node, Mul) else Num(number)


def div(top: Formula, bottom: Formula) -> Formula:
    """top / bottom with the sign in front."""
    if isinstance(top, Neg):
        return neg(div(top.arg, bottom))
    if isinstance(top, Div):
        return div(top.top, mul(top.bottom, bottom))
    return top if bottom == ONE else Div(top, bottom)


def ein(args: tuple[Formula, ...], labels: Labels) -> Formula:
    """A contraction; signs pulled out, a sum of a contraction opened, an untouched operand left alone."""
    signs = sum(isinstance(a, Neg) for a in args)
    args = tuple(a.arg if isinstance(a, Neg) else a for a in args)
    args = tuple(a.args[0] if len(args) == 2 and _is_transpose(a) else a for a in args)  # type: ignore[union-attr]
    for k, a in enumerate(args):
        if isinstance(a, Big) and a.op == "sum":
            made: Formula = replace(a, body=ein((*args[:k], a.body, *args[k + 1 :]), labels))
            return neg(made) if signs % 2 else made
    if len(args) == 1 and isinstance(args[0], Ein):
        args = args[0].args
    if len(args) == 1 and args[0].labels == labels:
        inner: Formula = args[0]
    elif len(args) == 2 and not any(x not in labels for a in args for x in a.labels) and not _outer(args):
        inner = mul(*args)
    else:
        inner = Ein(args, labels)
    return neg(inner) if signs % 2 else inner


def _is_transpose(a: Formula) -> bool:
    return isinstance(a, Ein) and len(a.args) == 1 and set(a.args[0].labels) == set(a.labels)


def repeated(node: Formula, labels: Labels) -> Formula:
    """The formula with every one of the labels: along those it lacks it stands beside a vector of ones."""
    ones = [Call("ones", (), (x,)) for x in labels if x not in node.labels]
    if node != ZERO and len(labels) == 2 and len(node.labels) == len(ones) == 1:
        return Ein((node, *ones) if node.labels[0] == labels[0] else (*ones, node), labels)
    return node if node == ZERO else mul(node, *ones)


def whole(node: Formula, labels: Labels) -> Formula:
    """The formula with all of these labels, even where it is zero: what a function of an axis runs over."""
    return Call("zero", (), labels) if labels and node == ZERO else repeated(node, labels)


def power(base: Formula, exponent: sp.Number) -> Formula:
    """base ** exponent; the square of a root is what stands under it."""
    root = isinstance(base, Fn) and base.row.name == "sqrt"
    return base.args[0] if root and exponent == 2 else Pow(base, exponent)  # type: ignore[union-attr]


def _outer(args: tuple[Formula, ...]) -> bool:
    return len(args) == 2 and all(len(a.labels) == 1 for a in args) and args[0].labels != args[1].labels


#: What a cell file calls t.
STEP = add(Sym("t", (), NOW, "index"), Num(sp.Integer(-1)))


# -- walking and rewriting ---------------------------------------------------------------------------------


def children(node: Formula) -> Iterator[Formula]:
    """The parts of a formula, in order."""
    for f in fields(node):
        value = getattr(node, f.name)
        if isinstance(value, Map):
            yield value.arg
        elif isinstance(value, tuple):
            yield from (x.arg if isinstance(x, Map) else x for x in value if _is_formula(x) or isinstance(x, Map))
        elif _is_formula(value):
            yield value


def _is_formula(value: Any) -> bool:
    return isinstance(value, Formula)


def walk(node: Formula) -> Iterator[Formula]:
    """The formula and everything in it."""
    yield node
    for child in children(node):
        yield from walk(child)


def rebuilt(node: Formula, change: Callable[[Formula], Formula]) -> Formula:
    """The formula with `change` applied to each of its parts."""
    changed: dict[str, Any] = {}
    for f in fields(node):
        value = getattr(node, f.name)
        if _is_formula(value):
            changed[f.name] = change(value)
        elif isinstance(value, tuple) and value and not isinstance(value[0], str):
            changed[f.name] = tuple(replace(x, arg=change(x.arg)) if isinstance(x, Map) else change(x) for x in value)
    return replace(node, **changed) if changed else node


def relabel(node: Formula, mapping: Mapping[str, str]) -> Formula:
    """The formula with its free labels renamed; those it sums or runs over step aside where names would meet."""
    bound = _bound(node)
    free = tuple(x for x in getattr(node, "labels", ()) if x not in bound)
    here = {k: v for k, v in mapping.items() if k not in bound}
    for label in bound:
        here[label] = fresh(axis_of(label), [here.get(x, x) for x in (*free, *bound[: bound.index(label)])])
    if not isinstance(node, Chain):
        node = rebuilt(node, lambda x: relabel(x, here))
    if "labels" in {f.name for f in fields(node)}:
        node = replace(node, labels=tuple(here.get(x, x) for x in node.labels))  # type: ignore[arg-type]
    if isinstance(node, Call) and node.over in here:
        node = replace(node, over=here[node.over])
    return node


def _bound(node: Formula) -> Labels:
    """The labels that a formula sums or runs over and does not have itself."""
    if isinstance(node, Ein):
        return node.summed
    return (node.over,) if isinstance(node, Call) and node.over and node.over not in node.labels else ()
