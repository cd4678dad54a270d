"""Statements spelled as array code: one line of NumPy each, operands indexed by time inside the loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import sympy as sp

from symrnn.calculus.ir import (
    BATCH,
    TIME,
    AlongAxis,
    Concat,
    Contraction,
    Labels,
    OneHot,
    Peak,
    Pointwise,
    Ref,
    Slice,
    Statement,
    axis_of,
)
from symrnn.functions.table import Function
from symrnn.language.cell import axis_parts
from symrnn.printing.infix import Infix, decimal
from symrnn.printing.spelling import constant, in_python
from symrnn.schedule.program import Program

SPELLING: dict[str, str] = {
    "exp": "np.exp({})",
    "expm1": "np.expm1({})",
    "log": "np.log({})",
    "log1p": "np.log1p({})",
    "sqrt": "np.sqrt({})",
    "sin": "np.sin({})",
    "cos": "np.cos({})",
    "tanh": "np.tanh({})",
    "sigmoid": "sigmoid({})",
    "erf": "erf({})",
    "erfc": "erfc({})",
    "abs": "np.abs({})",
    "max": "np.maximum({}, {})",
    "min": "np.minimum({}, {})",
    "pow": "np.power({}, {})",
}
#: What is true or false until it is counted as 1 or 0.
COMPARISONS = {"gt": "np.greater({}, {})", "ge": "np.greater_equal({}, {})"}
#: The same for Python's own numbers, which keep the element type of the arrays they meet; NumPy's scalars do not.
OF_MATH = ("exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tanh", "erf", "erfc")
OF_NUMBERS: dict[str, str] = {
    **{n: f"math.{n}({{}})" for n in OF_MATH},
    "sigmoid": "(0.5 + 0.5 * math.tanh(0.5 * ({})))",
    "abs": "abs({})",
    "max": "max({}, {})",
    "min": "min({}, {})",
    "gt": "float({} > {})",
    "ge": "float({} >= {})",
    "where": "({1} if {0} else {2})",
    "pow": "math.pow({}, {})",
}
#: The rows of these that call the module math.
WITH_MATH = {*OF_MATH, "sigmoid", "pow"}
#: Lines of expressions are not cut shorter than this, however deep they stand in brackets.
NARROWEST = 40
HELPERS = ("sigmoid", "erf", "erfc", "times", "outer_sum", "one_hot")


@dataclass
class Writer:
    """Writes the statements of one block; names of `rows` are indexed by time inside the loop.

    `inline` has the statements that are written inside their reader.
    `helpers` collects what the text calls, `mentioned` what it takes from outside: T, B, axes, and steps (0, 1, …).
    """

    program: Program
    block: str
    rows: set[str]
    inline: dict[str, Statement] = field(default_factory=dict)
    helpers: set[str] = field(default_factory=set)
    mentioned: set[str] = field(default_factory=set)

    # -- operands ------------------------------------------------------------------------------------------

    def reference(self, ref: Ref, out: Labels) -> str:
        """An operand, at this step inside the loop, with new axes where it must broadcast inside the result."""
        return indexed(*self.operand(ref, out))

    def operand(self, ref: Ref, out: Labels) -> tuple[str, list[str]]:
        """The same as an array and what stands in the brackets after it."""
        value = self.program.values[ref.name]
        if ref.name in self.inline:
            return self.value(self.inline[ref.name]), []
        if value.role == "size":
            self.mentioned.add(ref.name)
        if value.role == "time":
            self.mentioned |= {"steps", "T"}
        name = in_python(ref.name)
        match value.role:
            case "time":
                name = "steps"
            case "const":
                name = constant(ref.name)
            case "identity":
                name = f"np.eye({self.size(value.axes[0])}, dtype=dtype)"
        index = ["t"] if self.block == "loop" and (ref.name in self.rows or value.role == "time") else []
        index += insertions(ref.labels, out)
        while index and index[-1] == ":":
            index.pop()
        return name, index

    def size(self, axis: str) -> str:
        self.mentioned.update(axis_parts(axis))
        return spelled_length(axis_parts(axis))

    def length(self, label: str) -> str:
        """How many components a label runs over."""
        if label not in (TIME, BATCH):
            return self.size(axis_of(label))
        name = "T" if label == TIME else "B"
        self.mentioned.add(name)
        return name

    def plain(self, ref: Ref) -> str:
        return self.reference(ref, ref.labels)

    # -- statements ----------------------------------------------------------------------------------------

    def value(self, s: Statement) -> str:
        """The right-hand side of a statement."""
        match s:
            case Pointwise():
                return self.pointwise(s)
            case Contraction():
                return self.contraction(s)
            case Concat():
                return f"np.concatenate([{', '.join(self.spread(a, s.out) for a in s.args)}], axis=-1)"
            case Slice():
                return self.slice(s)
            case OneHot():
                self.helpers.add("one_hot")
                best = "argmax" if s.largest else "argmin"
                return f"one_hot({self.plain(s.args[0])}, np.{best})"
            case Peak():
                return f"{self.plain(s.args[0])}.max(axis=-1)"
            case AlongAxis():
                raise AssertionError(f"{s} has not been expanded")

    def pointwise(self, s: Pointwise) -> str:
        if biased := self.biased_product(s):
            return biased
        names = {a.name: self.reference(a, s.out.labels) for a in s.args}
        arrays = {a.name for a in s.args if self.program.values[a.name].role not in ("const", "size")}
        text = self.infix(s, names).text(s.expr)
        covered = {x for a in s.args if a.name in arrays for x in a.labels}
        if not arrays and not s.out.labels:
            return f"dtype.type({text})"
        if covered == set(s.out.labels):
            return text
        shape = ", ".join(map(self.length, s.out.labels))
        return f"np.full(({shape},), {text}, dtype=dtype)" if not arrays else f"np.broadcast_to({text}, ({shape},))"

    def infix(self, s: Pointwise, names: dict[str, str]) -> Infix:
        rank = {a.name: k for k, a in enumerate(s.args)}
        compound = {n for n in names if n in self.inline and not is_view(self.inline[n])}
        return Infix(rank, names.__getitem__, self.call, decimal, self.power, compound)

    def is_number(self, node: sp.Expr) -> bool:
        """Is it a Python number, not an array?"""
        return all(self.program.values[x.name].role in ("const", "size") for x in node.free_symbols)

    def power(self, node: sp.Pow, base: str) -> str:
        root = node.exp == sp.Rational(1, 2) and not self.is_number(node)
        return f"np.sqrt({base})" if root else f"{base}**{decimal(node.exp)}"

    def call(self, node: sp.Function, text: Callable[[sp.Expr], str]) -> str:
        row: Function = node.row
        if self.is_number(node):
            self.helpers.update(["math"] if row.name in WITH_MATH else [])
            return OF_NUMBERS[row.name].format(*map(text, node.args))
        self.helpers.update({row.name} & {*HELPERS})
        self.helpers.update(["math"] if row.name in ("erf", "erfc") else [])
        if row.name == "where":
            condition, a, b = node.args
            left = f"dtype.type({text(a)})" if self.is_number(a) and self.is_number(b) else text(a)
            return f"np.where({self.condition(condition, text)}, {left}, {text(b)})"
        if row.name in COMPARISONS:
            return f"{self.condition(node, text)}.astype(dtype)"
        return SPELLING[row.name].format(*map(text, node.args))

    def condition(self, node: sp.Expr, text: Callable[[sp.Expr], str]) -> str:
        """What is true or not: a comparison as it is, or a number that is not zero."""
        if isinstance(node, sp.Function) and node.row.name in COMPARISONS and not self.is_number(node):
            return COMPARISONS[node.row.name].format(*map(text, node.args))
        return text(node)

    def spread(self, ref: Ref, out: Ref) -> str:
        """An operand of concatenate, which does not broadcast by itself."""
        missing = [x for x in out.labels[:-1] if x not in ref.labels]
        if not missing:
            return self.plain(ref)
        shape = [self.length(x) for x in (*out.labels[:-1], ref.labels[-1])]
        index = insertions(ref.labels, (*out.labels[:-1], ref.labels[-1]))
        return f"np.broadcast_to({indexed(self.plain(ref), index)}, ({', '.join(shape)}))"

    def slice(self, s: Slice) -> str:
        own = self.program.values[s.out.name].axes[-1]
        start = self.size("+".join(s.before)) if s.before else ""
        cut = f"{start}:{self.size('+'.join([*s.before, own]))}"
        name, index = self.operand(s.args[0], s.args[0].labels)
        return indexed(name, [*index, "...", cut])

    # -- contractions --------------------------------------------------------------------------------------

    def contraction(self, s: Contraction) -> str:
        if len(s.args) == 1:
            return self.single(s)
        for left, right in (s.args, s.args[::-1]):
            text = self.matrix_product(s, left, right) or self.outer_sum(s, left, right)
            if text:
                return text
        return self.einsum(s)

    def single(self, s: Contraction) -> str:
        (a,) = s.args
        kept = tuple(x for x in a.labels if x in s.out.labels)
        text = self.plain(a)
        if kept != a.labels:
            axes = [k for k, x in enumerate(a.labels) if x not in kept]
            text = f"{text}.sum(axis={axes[0] if len(axes) == 1 else tuple(axes)})"
        if kept == s.out.labels:
            return text
        return f"{text}.T" if len(kept) == 2 else f"{text}.swapaxes(-1, -2)"

    def matrix_product(self, s: Contraction, x: Ref, w: Ref, plus: str = "") -> str:
        """(…, I) times a matrix without batch and time: one GEMM, whatever stands before I; `plus` ends `times`."""
        if len(w.labels) != 2 or not x.labels or {TIME, BATCH} & set(w.labels) or s.summed != (x.labels[-1],):
            return ""
        inner = x.labels[-1]
        if inner not in w.labels:
            return ""
        outer = next(label for label in w.labels if label != inner)
        if s.out.labels != (*x.labels[:-1], outer):
            return ""
        matrix = self.plain(w) + (".T" if w.labels[1] == inner else "")
        if len(x.labels) <= 2:
            return "" if plus else f"{self.plain(x)} @ {matrix}"
        self.helpers.add("times")
        return f"times({self.plain(x)}, {matrix}{plus})"

    def biased_product(self, s: Pointwise) -> str:
        """A product for all steps with a vector added to it, which needs no second array of that size; else ""."""
        if len(s.args) != 2 or s.expr != s.args[0].symbol + s.args[1].symbol:
            return ""
        for product, vector in (s.args, s.args[::-1]):
            inner = self.inline.get(product.name)
            if isinstance(inner, Contraction) and len(inner.args) == 2 and vector.labels == s.out.labels[-1:]:
                b = f", {self.plain(vector)}"
                return self.matrix_product(inner, *inner.args, b) or self.matrix_product(inner, *inner.args[::-1], b)
        return ""

    def outer_sum(self, s: Contraction, d: Ref, x: Ref) -> str:
        """Σ over everything that comes first of d ⊗ x: the gradient of a matrix."""
        lead = d.labels[:-1]
        if not lead or lead != x.labels[:-1] or s.out.labels != (d.labels[-1], x.labels[-1]) or s.summed != lead:
            return ""
        self.helpers.add("outer_sum")
        return f"outer_sum({self.plain(d)}, {self.plain(x)})"

    def einsum(self, s: Contraction) -> str:
        letters: dict[str, str] = {TIME: "t", BATCH: "b"}
        for label in dict.fromkeys(x for r in (*s.args, s.out) for x in r.labels):
            wanted = [label[0].lower(), *"ijklmnopqrsuvwxyz"]
            letters.setdefault(label, next(w for w in wanted if w not in letters.values() and w.isalpha()))
        spec = ["".join(letters[x] for x in r.labels) for r in (*s.args, s.out)]
        operands = ", ".join(self.plain(a) for a in s.args)
        return f'np.einsum("{",".join(spec[:-1])}->{spec[-1]}", {operands})'


def spelled_length(parts: Sequence[str]) -> str:
    """The sum of some axes, those that follow each other multiplied: 3 * H + I."""
    runs = [(axis, len([*group])) for axis, group in groupby(parts)]
    return " + ".join(in_python(axis) if n == 1 else f"{n} * {in_python(axis)}" for axis, n in runs)


def is_view(s: Statement) -> bool:
    """May the right-hand side share memory with an operand?"""
    if isinstance(s, Pointwise):
        return isinstance(s.expr, sp.Symbol)
    return isinstance(s, Slice) or (isinstance(s, Contraction) and len(s.args) == 1 and not s.summed)


def indexed(name: str, index: Sequence[str]) -> str:
    """An array, or what an index picks of it."""
    return f"{name}[{', '.join(index)}]" if index else name


def insertions(labels: Labels, out: Labels) -> list[str]:
    """Index items that give an operand the axes of the result; none where NumPy's own rule suffices."""
    if labels == out[len(out) - len(labels) :]:
        return []
    items, rest = [], list(labels)
    for label in out:
        if rest and rest[0] == label:
            items.append(":")
            rest.pop(0)
        else:
            items.append("None")
    assert not rest, f"{labels} does not fit into {out}"
    while items and items[0] == "None":
        items.pop(0)
    return items


def broken(target: str, text: str, width: int) -> list[str]:
    """An assignment in lines of bearable length: one summand, or else one factor or argument, a line.

    Without a target it is a call alone.
    """
    line = f"{target} = {text}" if target else text
    if len(line) <= width:
        return [line]
    if not target:
        return _folded(line, width)
    pieces = _folded(text, width - 4)
    return [f"{target} = (", *(f"    {piece}" for piece in pieces), ")"]


def _folded(text: str, width: int) -> list[str]:
    """An expression in lines, cut at its outermost operators and, where that is not enough, inside its brackets."""
    if len(text) <= max(width, NARROWEST):
        return [text]
    for operators in (("+", "-"), ("*", "/")):
        pieces = _split(text, operators)
        if len(pieces) > 1:
            return [line for piece in pieces for line in _folded(piece, width)]
    start, end = _widest_bracket(text)
    if end - start < NARROWEST // 2:
        return [text]
    inner = [line for item in _arguments(text[start + 1 : end]) for line in _folded(item, width - 4)]
    return [text[: start + 1], *(f"    {line}" for line in inner), text[end:]]


def _widest_bracket(text: str) -> tuple[int, int]:
    """Where the longest outermost bracket opens and closes."""
    found, depth, start = (0, 0), 0, 0
    for k, c in enumerate(text):
        if c in "([":
            start = k if depth == 0 else start
            depth += 1
        elif c in ")]":
            depth -= 1
            if depth == 0 and k - start > found[1] - found[0]:
                found = (start, k)
    return found


def _arguments(text: str) -> list[str]:
    """What stands between the outermost commas, each but the last with its comma."""
    items, depth, start = [], 0, 0
    for k, c in enumerate(text):
        depth += (c in "([{") - (c in ")]}")
        if depth == 0 and text[k : k + 2] == ", ":
            items.append(text[start : k + 1])
            start = k + 2
    return [*items, text[start:]]


def _split(text: str, operators: tuple[str, ...]) -> list[str]:
    """The text before and at each of these operators that stands outside all brackets, with spaces around it."""
    pieces, depth, start = [], 0, 0
    for k, c in enumerate(text):
        depth += (c in "([") - (c in ")]")
        if depth == 0 and c in operators and text[k - 1 : k + 2] == f" {c} ":
            pieces.append(text[start : k - 1])
            start = k
    return [*pieces, text[start:]]
