"""Formula → text in some notation: precedence, matrix notation from labels, and where a line may break."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import sympy as sp

from symrnn.calculus.ir import Labels
from symrnn.functions.table import Function
from symrnn.functions.whole_axis import ROWS
from symrnn.language.cell import axis_parts
from symrnn.pages.formulas.formula import (
    Add,
    Big,
    Call,
    Chain,
    Deriv,
    Div,
    Ein,
    Fn,
    Formula,
    Map,
    Mul,
    Neg,
    Num,
    Path,
    Pow,
    Sym,
    Time,
)
from symrnn.pages.formulas.names import Letter, letter
from symrnn.printing.infix import decimal

SUM, SIGN, PRODUCT, POWER, ATOM = range(5)


class Notation(Protocol):
    """What a notation must be able to write. Operators are ``+ - odot = dot times mapsto ,``; fences ``( [ < |``."""

    fraction_level: int

    def row(self, parts: Sequence[str]) -> str: ...
    def op(self, kind: str) -> str: ...
    def name(self, letter: Letter, time: Time | None, prefix: str) -> str: ...
    def number(self, text: str) -> str: ...
    def fraction(self, top: str, bottom: str) -> str: ...
    def power(self, base: str, exponent: str) -> str: ...
    def transpose(self, base: str) -> str: ...
    def fence(self, kind: str, inner: str) -> str: ...
    def function(self, row: Function) -> str: ...
    def word(self, text: str) -> str: ...
    def big(self, op: str, low: str, high: str, body: str) -> str: ...
    def under(self, op: str, letters: str, body: str) -> str: ...
    def sub(self, base: str, index: str) -> str: ...
    def root(self, inner: str) -> str: ...
    def cases(self, rows: Sequence[tuple[str, str]]) -> str: ...
    def symbol(self, what: str) -> str: ...
    def time(self, time: Time) -> str: ...


@dataclass
class Spelling:
    """Writes formulas in one notation. `letters` says how names without a spelling of their own are written."""

    to: Notation
    letters: Mapping[str, Letter] = field(default_factory=dict)

    # -- entry points --------------------------------------------------------------------------------------

    def text(self, node: Formula, level: int = SUM) -> str:
        """The formula, in parentheses if it binds less tightly than `level`."""
        text, own = self._text(node)
        return self.to.fence("(", text) if own < level else text

    def groups(self, node: Formula) -> list[list[str]]:
        """The summands of the formula, each in the pieces of `segments`; lines end between summands where they can."""
        if isinstance(node, Add):
            return [self._signed(a, k == 0) for k, a in enumerate(node.args)]
        return [self.segments(node)]

    def segments(self, node: Formula) -> list[str]:
        """The formula in pieces; a line may end after each of them."""
        if isinstance(node, Add):
            return [x for k, a in enumerate(node.args) for x in self._signed(a, k == 0)]
        if isinstance(node, Fn) and len(node.args) == 1 and isinstance(node.args[0], Add) and node.row.name != "sqrt":
            return self._around(self.function(node.row), self.segments(node.args[0]))
        if isinstance(node, Mul):
            return self._product_segments(node)
        if isinstance(node, Neg):
            first, *rest = self.segments(node.arg) if not isinstance(node.arg, Add) else [self.text(node)]
            return [self.to.row([self.to.op("neg"), first]), *rest] if not isinstance(node.arg, Add) else [first]
        if isinstance(node, Big) and isinstance(node.body, Add):
            inner = self._around("", self.segments(node.body))
            return [self.to.big(node.op, self._bound(node), self.to.time(node.high), inner[0]), *inner[1:]]
        if isinstance(node, Ein) and len(node.args) == 2:
            return self._matrix_segments(node)
        if isinstance(node, Chain):
            return self._chain_segments(node)
        return [self.text(node)]

    def _signed(self, a: Formula, first: bool) -> list[str]:
        minus = isinstance(a, Neg)
        inner = a.arg if isinstance(a, Neg) else a
        head, *rest = self.segments(inner)
        if first and not minus:
            return [head, *rest]
        sign = self.to.op(("neg" if first else "-") if minus else "+")
        return [self.to.row([sign, head]), *rest]

    def _around(self, before: str, inner: list[str]) -> list[str]:
        """Pieces with an opening parenthesis in the first and a closing one in the last."""
        left, right = self.to.symbol("left"), self.to.symbol("right")
        inner = list(inner)
        inner[0] = self.to.row([x for x in (before, left, inner[0]) if x])
        inner[-1] = self.to.row([inner[-1], right])
        return inner

    def _product_segments(self, node: Mul) -> list[str]:
        out: list[str] = []
        number = isinstance(node.args[0], Num)
        for k, a in enumerate(node.args):
            opened = isinstance(a, Add) and len(a.args) > 2
            pieces = self._around("", self.segments(a)) if opened else [self.text(a, POWER)]
            if not isinstance(a, Add):
                pieces = self.segments(a)
            level = self._level(node, a)
            if not isinstance(a, Add) and self._text(a)[1] < level:
                pieces = [self.text(a, level)]
            if k:
                pieces[0] = self.to.row([self.to.op(self._times(node.args[k - 1], a)), pieces[0]])
            if k == 1 and number:  # a line does not end after a number
                pieces[0] = self.to.row([out.pop(), pieces[0]])
            out += pieces
        return out

    def _chain_segments(self, node: Chain) -> list[str]:
        out: list[str] = []
        for k, m in enumerate(node.maps):
            pieces = [self.map(m, alone=len(node.maps) == 1)]
            if m.outer == m.inner and m.outer and isinstance(m.arg, Mul):
                pieces = self._around(self.to.word("diag"), self.segments(m.arg))
            if k:
                pieces[0] = self.to.row([self.to.op("dot"), pieces[0]])
            if k and not node.maps[k - 1].arg.labels:  # nor after a scalar
                pieces[0] = self.to.row([out.pop(), pieces[0]])
            out += pieces
        return out

    def _matrix_segments(self, node: Ein) -> list[str]:
        a, b = node.args
        if not isinstance(b, Add) and not isinstance(a, Add):
            return [self.text(node)]
        text = self.text(node)
        for part in node.args:
            inner = self.text(part)
            fenced = self.to.fence("(", inner)
            if isinstance(part, Add) and text.count(fenced) == 1:
                before, after = text.split(fenced)
                pieces = self._around("", self.segments(part))
                pieces[0] = self.to.row([before, pieces[0]]) if before else pieces[0]
                pieces[-1] = self.to.row([pieces[-1], after]) if after else pieces[-1]
                return pieces
        return [text]

    # -- nodes ---------------------------------------------------------------------------------------------

    def _text(self, node: Formula) -> tuple[str, int]:
        to = self.to
        match node:
            case Sym():
                return self.sym(node), ATOM
            case Num():
                return self.num(node.value)
            case Neg():
                return to.row([to.op("neg"), self.text(node.arg, PRODUCT)]), SIGN
            case Add():
                return to.row([x for k, a in enumerate(node.args) for x in self._summand(a, k == 0)]), SUM
            case Mul():
                return self.mul(node), PRODUCT
            case Div():
                return to.fraction(self.text(node.top), self.text(node.bottom)), to.fraction_level
            case Pow():
                return self.pow(node), POWER
            case Fn():
                return self.fn(node)
            case Ein():
                return self.ein(node)
            case Call():
                return self.call(node)
            case Chain():
                return self.chain(node), PRODUCT
            case Big():
                body = self.text(node.body, PRODUCT)
                return to.big(node.op, self._bound(node), to.time(node.high), body), SIGN
            case Deriv():
                return self.deriv(node), ATOM
            case Path():
                return to.sub(to.fence("(", self.ratio(node.of, node.by)), to.number(str(node.number))), ATOM
        raise AssertionError(node)

    def _summand(self, a: Formula, first: bool) -> list[str]:
        if isinstance(a, Neg):
            return [self.to.op("neg" if first else "-"), self.text(a.arg, PRODUCT)]
        return [self.text(a, SIGN)] if first else [self.to.op("+"), self.text(a, SIGN)]

    def _bound(self, node: Big) -> str:
        return self.to.row([self.to.time(Time(node.index)), self.to.op("="), self.to.time(node.low)])

    def sym(self, node: Sym) -> str:
        if node.kind == "index" and node.time is not None:
            return self.to.time(node.time)
        shape = self.letters.get(node.name) or letter(node.name.rpartition(".")[2])
        text = self.to.name(shape, node.time, {"adjoint": "delta", "tangent": "d"}.get(node.kind, ""))
        if node.kind == "seed":
            loss = self.to.name(Letter("L"), node.time, "")
            return self.to.fraction(
                self.to.row([self.to.symbol("partial"), loss]), self.to.row([self.to.symbol("partial"), text])
            )
        return text

    def num(self, value: sp.Number) -> tuple[str, int]:
        if value is sp.pi:
            return self.to.name(Letter("pi"), None, ""), ATOM
        if value.is_Rational and value.q != 1 and len(repr(float(value))) > 8:
            return self.to.fraction(self.to.number(str(value.p)), self.to.number(str(value.q))), ATOM
        text = decimal(value)
        if "e" in text:
            mantissa, exponent = text.split("e")
            power = self.to.power(self.to.number("10"), self.to.number(str(int(exponent))))
            parts = [power] if mantissa == "1" else [self.to.number(mantissa), self.to.op("times"), power]
            return self.to.row(parts), PRODUCT
        return self.to.number(text), ATOM if value >= 0 else SIGN

    def mul(self, node: Mul) -> str:
        parts: list[str] = []
        for k, a in enumerate(node.args):
            if k:
                parts.append(self.to.op(self._times(node.args[k - 1], a)))
            parts.append(self.text(a, self._level(node, a)))
        return self.to.row(parts)

    def _level(self, node: Mul, a: Formula) -> int:
        """How tightly a factor must bind: a product of matrices stands in parentheses beside ⊙."""
        arrays = sum(1 for x in node.args if x.labels)
        if isinstance(a, Ein) and (not a.labels or arrays == 1):
            return PRODUCT
        return PRODUCT if isinstance(a, Chain) and a is node.args[-1] else POWER

    def _times(self, a: Formula, b: Formula) -> str:
        """Scalars stand beside what they multiply; arrays are joined by ⊙."""
        scalar = not a.labels or not b.labels
        if isinstance(a, Num) and isinstance(b, Num | Div):
            return "times"
        return "dot" if scalar else "odot"

    def pow(self, node: Pow) -> str:
        return self.to.power(self.raised(node.base), self.text(Num(node.exponent)))

    def fn(self, node: Fn) -> tuple[str, int]:
        name, args = node.row.name, node.args
        if name == "sqrt":
            return self.to.root(self.text(args[0])), ATOM
        if name in ("gt", "ge"):
            relation = self.to.row([self.text(args[0]), self.to.op(name), self.text(args[1])])
            return self.to.sub(self.to.symbol("one"), self.to.fence("[", relation)), ATOM
        if name == "where":
            return self.where(args), SUM
        if name == "pow":
            return self.to.power(self.raised(args[0]), self.text(args[1])), POWER
        if name == "abs":
            return self.to.fence("|", self.text(args[0])), ATOM
        inner: list[str] = []
        for k, a in enumerate(args):
            inner += [self.to.op(","), self.text(a)] if k else [self.text(a)]
        return self.to.row([self.function(node.row), self.to.fence("(", self.to.row(inner))]), ATOM

    def function(self, row: Function) -> str:
        """The name of a function: σ, unless the cell calls something else so."""
        taken = row.latex.lstrip("\\") in {x.base for x in self.letters.values()}
        return self.to.word(row.name) if taken else self.to.function(row)

    def where(self, args: tuple[Formula, ...]) -> str:
        condition = args[0]
        assert isinstance(condition, Fn)
        test = self.to.row([self.text(condition.args[0]), self.to.op(condition.row.name), self.text(condition.args[1])])
        return self.to.cases([(self.text(args[1]), test), (self.text(args[2]), "")])

    def raised(self, node: Formula) -> str:
        """What something may stand above: a fraction in parentheses too."""
        return self.to.fence("(", self.text(node)) if isinstance(node, Div) else self.text(node, ATOM)

    def turned(self, node: Formula) -> str:
        """The transpose; of a quotient by a scalar, that of its numerator."""
        if isinstance(node, Div) and not node.bottom.labels:
            return self.to.fraction(self.turned(node.top), self.text(node.bottom))
        return self.to.transpose(self.raised(node))

    # -- products and reductions ---------------------------------------------------------------------------

    def ein(self, node: Ein) -> tuple[str, int]:
        if len(node.args) == 1:
            return self.reduction(node)
        if len(node.args) == 2:
            for a, b in (node.args, node.args[::-1]):
                text = self.matrix(a, b, node.labels)
                if text:
                    return text, PRODUCT
        return self.indexed(node), PRODUCT

    def reduction(self, node: Ein) -> tuple[str, int]:
        (a,) = node.args
        have = a.labels
        if set(have) == set(node.labels):
            return self.turned(a), ATOM
        ones = self.to.symbol("ones")
        if len(have) == 1:
            return self.to.row([self.to.transpose(ones), self.to.op("dot"), self.text(a, POWER)]), PRODUCT
        if len(have) == 2 and node.labels == have[:1]:
            return self.to.row([self.text(a, POWER), self.to.op("dot"), ones]), PRODUCT
        if len(have) == 2 and node.labels == have[1:]:
            return self.to.row([self.turned(a), self.to.op("dot"), ones]), PRODUCT
        return self.indexed(node), PRODUCT

    def matrix(self, a: Formula, b: Formula, out: Labels) -> str:
        """A product of two operands in matrix notation, or "" if only indices can say it."""
        la, lb, to = a.labels, b.labels, self.to

        def plain(x: Formula) -> str:
            return self.text(x, POWER)

        def turned_first(x: Formula) -> str:
            below = isinstance(x, Div) and to.fraction_level < POWER  # in aᵀ/n b it might seem that b stands below too
            return to.fence("(", self.turned(x)) if below else self.turned(x)

        if la == lb and not out:
            if len(la) == 1:
                return to.row([turned_first(a), to.op("dot"), plain(b)])
            return to.fence("<", to.row([self.text(a), to.op(","), self.text(b)]))
        if len(la) == len(lb) == 1 and out == (*la, *lb):
            return to.row([plain(a), to.op("dot"), self.turned(b)])
        if len(la) == len(lb) == 1 and out == la != lb:
            return to.row([plain(a), to.op("dot"), self.text(Ein((b,), ()), POWER)])
        if len(la) == 2 and len(lb) == 1 and len(out) == 1 and set(la) == {*out, *lb}:
            return to.row([plain(a) if la[1] == lb[0] else turned_first(a), to.op("dot"), plain(b)])
        if len(la) == len(lb) == len(out) == 2 and out[0] in la and out[1] in lb and len(set(la) & set(lb)) == 1:
            inner = (set(la) & set(lb)).pop()
            if inner not in out:
                left = plain(a) if la[1] == inner else turned_first(a)
                return to.row([left, to.op("dot"), plain(b) if lb[0] == inner else self.turned(b)])
        if la == lb and len(la) == 2 and len(out) == 1:
            both = to.fence("(", to.row([plain(a), to.op("odot"), plain(b)]))
            return to.row([both if out == la[:1] else to.transpose(both), to.op("dot"), to.symbol("ones")])
        return ""

    def indexed(self, node: Ein) -> str:
        """Index notation: the summed indices under a sum, the free ones after closing brackets."""
        letters = dict(zip([*node.labels, *node.summed], "ijklmnpq", strict=False))
        parts: list[str] = []
        for a in node.args:
            index = "".join(letters[x] for x in a.labels)
            base = self.text(a) if isinstance(a, Sym) else self.to.fence("[", self.text(a))
            base = self.to.fence("[", base) if isinstance(a, Sym) and a.time is not None and index else base
            parts += [self.to.op("dot")] if parts else []
            parts.append(self.to.sub(base, self.to.row([self.to.word(x) for x in index])) if index else base)
        body = self.to.row(parts)
        if node.summed:
            under = self.to.row([self.to.word(letters[x]) for x in node.summed])
            body = self.to.under("sum", under, body)
        free = self.to.row([self.to.word(letters[x]) for x in node.labels])
        return self.to.sub(self.to.fence("[", body), free) if node.labels else body

    def call(self, node: Call) -> tuple[str, int]:
        to, args = self.to, [self.text(a) for a in node.args]
        match node.op:
            case "concat":
                return to.fence(
                    "[", to.row([x for k, a in enumerate(args) for x in ([to.op(";")] if k else []) + [a]])
                ), ATOM
            case "slice":
                return to.sub(to.fence("[", args[0]), self.part(node)), ATOM
            case "identity":
                return to.symbol("identity"), ATOM
            case "ones":
                ones = to.symbol("ones")
                return (
                    (ones, ATOM)
                    if len(node.labels) == 1
                    else (to.row([ones, to.op("dot"), to.transpose(ones)]), PRODUCT)
                )
            case "diag":
                return to.row([to.word("diag"), to.fence("(", args[0])]), ATOM
            case "zero":
                return to.number("0"), ATOM
            case "argmax" | "argmin":
                inner = to.row([to.word(f"arg {node.op[3:]}"), to.op("dot"), self.text(node.args[0], POWER)])
                return to.row([to.word("onehot"), to.fence("(", inner)]), ATOM
        row = ROWS[node.op]
        if row.fence:
            return to.fence(row.fence, args[0]), ATOM
        return to.row([to.word(row.word or row.name), to.fence("(", args[0])]), ATOM

    def part(self, node: Call) -> str:
        """The axis that a slice cuts out, counted where it stands in the concatenation more than once."""
        axis = node.labels[-1].rstrip("'")
        if axis_parts(node.over).count(axis) == 1:
            return self.to.row([self.to.word(axis)])
        return self.to.row([self.to.word(axis), self.to.op(","), self.to.number(str(node.note.count(axis) + 1))])

    # -- derivatives ---------------------------------------------------------------------------------------

    def chain(self, node: Chain) -> str:
        parts: list[str] = []
        for k, m in enumerate(node.maps):
            parts += [self.to.op("dot")] if k else []
            parts.append(self.map(m, alone=len(node.maps) == 1))
        return self.to.row(parts)

    def map(self, m: Map, alone: bool) -> str:
        """A factor of a product of matrices; a scalar one needs its identity only where it stands alone."""
        if m.outer == m.inner and m.arg == Num(sp.Integer(1)):
            return self.to.symbol("identity")
        if m.outer != m.inner and not m.arg.labels:
            ones = self.to.symbol("ones") if m.outer else self.to.transpose(self.to.symbol("ones"))
            return (
                ones if m.arg == Num(sp.Integer(1)) else self.to.row([self.text(m.arg, POWER), self.to.op("dot"), ones])
            )
        if m.outer == m.inner and m.outer and not m.arg.labels:
            scalar = self.text(m.arg, POWER)
            return self.to.row([scalar, self.to.op("dot"), self.to.symbol("identity")]) if alone else scalar
        text = self.text(m.arg, POWER)
        if m.outer == m.inner and m.outer:
            return self.to.row([self.to.word("diag"), self.to.fence("(", self.text(m.arg))])
        if m.outer and m.inner:
            return text if m.arg.labels == (m.outer, m.inner) else self.turned(m.arg)
        return self.turned(m.arg) if m.inner else text

    def ratio(self, of: Formula, by: Formula, d: str = "") -> str:
        d = d or self.to.symbol("partial")
        return self.to.fraction(self.to.row([d, self.text(of, ATOM)]), self.to.row([d, self.text(by, ATOM)]))

    def deriv(self, node: Deriv) -> str:
        if node.kind == "whole" and node.of is not None:
            return self.ratio(node.of, node.by, self.to.symbol("total"))
        d = self.to.symbol("partial")
        d_top = self.to.symbol("direct") if node.kind in ("direct", "operand") else d
        of = self.to.name(Letter("L"), node.at, "") if node.of is None else self.text(node.of, ATOM)
        return self.to.fraction(self.to.row([d_top, of]), self.to.row([d, self.text(node.by, ATOM)]))
