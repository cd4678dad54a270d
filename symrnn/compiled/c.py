"""Kernels as C++ that CUDA and a plain compiler read alike: the pointwise function, and what it loads and stores."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, groupby

import sympy as sp

from symrnn.calculus.ir import BATCH, TIME, Labels, Ref, axis_of, numbered, symbol
from symrnn.compiled.kernel import Array, Held, Kernel, Line, Load
from symrnn.compiled.layout import Layout
from symrnn.compiled.ops import Assign, Home, Map, Reduce, extent
from symrnn.functions.table import Function
from symrnn.language.cell import Axes, Cell, axis_parts
from symrnn.printing.infix import Infix, decimal
from symrnn.printing.spelling import in_python, means_something_in_c
from symrnn.schedule.program import Sweep

SPELLING: dict[str, str] = {
    **{
        n: f"{n}({{}})"
        for n in ("exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tanh", "sigmoid", "erf", "erfc")
    },
    "abs": "absolute({})",
    "max": "larger({}, {})",
    "min": "smaller({}, {})",
    "gt": "compute_t({} > {})",
    "ge": "compute_t({} >= {})",
    "where": "choose({}, {}, {})",
    "pow": "pow({}, {})",
}


@dataclass(frozen=True)
class Index:
    """One index of an element: its text, the axes it runs over, and whether it is a name `alone`, not a sum."""

    text: str
    axes: Axes
    alone: bool = True


@dataclass(frozen=True)
class Step:
    """The step so many after one that has a name."""

    name: str
    later: int = 0

    def row(self, of_two: bool) -> Index:
        """Its row among all, or among two that take turns."""
        text = f"{self.name} {'+' if self.later > 0 else '-'} {abs(self.later)}" if self.later else self.name
        if of_two:
            return Index(f"({text}) % 2" if self.later else f"{text} % 2", ("T",), alone=False)
        return Index(text, ("T",), alone=not self.later)


class Writer:
    """Spells the kernels of one sweep of a laid-out plan."""

    def __init__(self, made: Layout, sweep: Sweep) -> None:
        self.homes, self.sweep = made.homes[sweep.name], sweep
        self.cell: Cell = made.plan.program.derivation.cell
        self.values = made.plan.program.values
        self.sizes = sizes(self.cell) | ({"": FIRST} if sweep.resumes else {})

    def kernel(self, op: Map | Reduce) -> Kernel:
        """The text of one kernel."""
        self.begin(op.block, op.space if isinstance(op, Map) else (*op.space, *op.over))
        return self.with_sizes(self.map(op) if isinstance(op, Map) else self.reduce(op))

    def begin(self, block: str, labels: Labels) -> None:
        """A kernel of this block, whose loops run over these labels."""
        self.row = "t" if block == "loop" else ""
        self.index = _indices(labels, set(self.sizes.values()))
        self.read, self.called, self.stepped = set[str](), set[str](), False

    def with_sizes(self, made: Kernel) -> Kernel:
        """The kernel, and what it has been found to read beside its arrays and to call."""
        read = tuple((name, place) for place, (axis, name) in enumerate(self.sizes.items()) if axis in self.read)
        stepped = self.stepped and made.kind != "sequence"
        return replace(made, sizes=read, stepped=stepped, calls=frozenset(self.called))

    # -- fused kernels -------------------------------------------------------------------------------------

    def map(self, op: Map) -> Kernel:
        held = {r.arrives: r for r in op.registers}
        names = self.local_names((*op.loads, *(x.out for x in op.lines)))
        self.read |= {"T"} if op.sequence else set()
        outs = tuple(names[x.out] for x in op.lines if x.out in op.stores or self.is_held(x, op))
        fixed = [r for r in op.loads if op.sequence and r not in held and self.fixed(r)]
        loads = [Load(names[r], names[r] if r in held or r in fixed else self.load(r)) for r in op.loads]
        return Kernel(
            name=op.name,
            kind="sequence" if op.sequence else "map",
            reverse=self.sweep.reverse,
            title="",
            arrays=self.arrays(op.loads, [*op.stores, *(r.source for r in op.registers)]),
            space=self.decoded(op.space, "n"),
            count=self.counted(op.space),
            over=(),
            over_count="",
            rows=False,
            loads=tuple(loads),
            fixed=tuple(Load(names[r], self.load(r)) for r in fixed),
            outs=outs,
            body=self.body(op.lines, names, outs, temporaries(names.values())),
            stores=tuple(Load(names[r], self.place(r)) for r in op.stores if not self.only_held(r, op)),
            held=tuple(self.held(r.arrives, r.source, names, op) for r in op.registers),
            factors=(),
            target="",
        )

    def is_held(self, line: Assign, op: Map) -> bool:
        return any(r.source == line.out for r in op.registers)

    def only_held(self, ref: Ref, op: Map) -> bool:
        """A carried value of which nobody wants more than the last."""
        return any(r.source == ref for r in op.registers) and self.home(ref).buffer.rows == "2"

    def held(self, arrives: Ref, source: Ref, names: dict[Ref, str], op: Map) -> Held:
        ends = (Step("0"), Step("T", -1))
        first, last = reversed(ends) if self.sweep.reverse else ends
        end = self.place(source, last) if self.home(source).buffer.rows == "2" else ""
        start, load, store = self.load(arrives, first), self.load(arrives), self.place(source)
        return Held(names[arrives], names[source], start, end, load, store if end else "")

    def local_names(self, refs: Iterable[Ref], reserved: Collection[str] = ()) -> dict[Ref, str]:
        """A C name for every operand and result, its own where that is free."""
        names: dict[Ref, str] = {}
        taken = {*self.index.values(), *self.sizes.values(), *reserved}
        for r in refs:
            arrays = r.name.endswith("_at")  # as the names of arrays do
            name = f"{r.name}_" if arrays or r.name in taken or means_something_in_c(r.name) else r.name
            names[r] = numbered(name, lambda n: n in taken)
            taken.add(names[r])
        return names

    def body(
        self, assigns: Iterable[Assign], names: dict[Ref, str], outs: Collection[str], fresh: Iterator[sp.Symbol]
    ) -> tuple[Line, ...]:
        """Assignments as lines of code, common subexpressions computed once; `outs` are declared elsewhere."""
        assigns = list(assigns)
        local = [x.expr.xreplace({symbol(name): symbol(names[r]) for name, r in x.args}) for x in assigns]
        lengths = {symbol(name) for r, name in names.items() if self.values[r.name].role == "size"}
        shared, reduced = _common(local, lengths, fresh)
        rank = {n: k for k, n in enumerate([*names.values(), *(s.name for s, _ in shared)])}
        infix = Infix(rank, str, self.call, _number, self.power)
        waiting = dict(shared)
        lines: list[Line] = []
        shown = ""

        def need(expr: sp.Expr) -> None:
            for s in sorted(expr.free_symbols & waiting.keys(), key=lambda s: rank[s.name]):
                if s in waiting:
                    inner = waiting.pop(s)
                    need(inner)
                    lines.append(Line("", f"const compute_t {s.name} = {infix.text(inner)};"))

        for x, expr in zip(assigns, reduced, strict=True):
            comment = self.equation(x.equation)
            before = len(lines)
            need(expr)
            name = names[x.out]
            lines.append(Line("", f"{name if name in outs else f'const compute_t {name}'} = {infix.text(expr)};"))
            if comment and comment != shown:
                lines[before] = Line(comment, lines[before].text)
                shown = comment
        return tuple(lines)

    def call(self, node: sp.Function, text: Callable[[sp.Expr], str]) -> str:
        row: Function = node.row
        args = map(text, node.args)
        self.called.add(row.name)
        wrapped = [f"({a})" for a in args] if row.name in ("gt", "ge") else args
        return SPELLING[row.name].format(*wrapped)

    def power(self, node: sp.Pow, base: str) -> str:
        name = {2: "square", sp.Rational(1, 2): "sqrt"}.get(node.exp, "pow")
        self.called.add(name)
        return f"pow({base}, compute_t({decimal(node.exp)}))" if name == "pow" else f"{name}({base})"

    def equation(self, name: str) -> str:
        found = next((e for e in self.cell.equations if e.name == name), None)
        if found is None:
            return ""
        return f"through {found.text}" if self.sweep.reverse else found.text

    # -- reductions ----------------------------------------------------------------------------------------

    def reduce(self, op: Reduce) -> Kernel:
        last = {a.labels[-1] for a in op.args if a.labels}
        return Kernel(
            name=op.name,
            kind=op.how,
            reverse=self.sweep.reverse,
            title=self.equation(op.equation),
            arrays=self.arrays(op.args, [op.out]),
            space=self.decoded(op.space, "n"),
            count=self.counted(op.space),
            over=self.decoded(op.over, "k"),
            over_count=self.counted(op.over),
            rows=bool(last & set(op.over)),
            loads=(),
            fixed=(),
            outs=(),
            body=(),
            stores=(),
            held=(),
            factors=tuple(self.load(a) for a in op.args),
            target=self.place(op.out),
        )

    # -- operands ------------------------------------------------------------------------------------------

    def home(self, ref: Ref) -> Home:
        return self.homes[ref.name]

    def fixed(self, ref: Ref) -> bool:
        """Is the operand an array's component that is the same at every step?"""
        value = self.values[ref.name]
        return not value.timed and value.role not in ("const", "size", "identity")

    def load(self, ref: Ref, row: Step | None = None) -> str:
        """An operand's component, in the type one computes in; `row` if it is not that of this step."""
        value = self.values[ref.name]
        match value.role:
            case "const":
                return f"compute_t({self.cell.variable(ref.name).start})"
            case "size":
                return f"compute_t({self.size((ref.name,))})"
            case "time":
                return f"compute_t({self.number_of_step()})"
            case "identity":
                return f"compute_t({self.index[ref.labels[0]]} == {self.index[ref.labels[1]]})"
        return f"compute_t({self.place(ref, row)})"

    def place(self, ref: Ref, row: Step | None = None) -> str:
        """The element of the buffer where a component lives."""
        home, value = self.home(ref), self.values[ref.name]
        buffer = home.buffer
        found: list[Index] = []
        if buffer.rows:
            at = row or Step(self.step())
            found.append(replace(at, later=at.later + home.shift).row(of_two=buffer.rows == "2"))
        labels = [x for x in ref.labels if x != TIME]
        if value.batched:
            found.append(Index(self.index[BATCH], ("B",)))
            labels.remove(BATCH)
        for label, axis in zip(labels[:-1], buffer.axes, strict=False):
            found.append(Index(self.index[label], (axis,)))
        if labels:
            before = f"{self.size(home.offset)} + " if home.offset else ""
            found.append(Index(before + self.index[labels[-1]], buffer.axes[-1:]))
        return f"{self.pointer(buffer.name)}[{self.position(found)}]"

    def position(self, indices: list[Index]) -> str:
        """Where in memory the element at these indices lies, by Horner's rule."""
        if not indices:
            return "0"
        text, alone = indices[0].text, indices[0].alone
        for x in indices[1:]:
            text, alone = f"{text if alone else f'({text})'} * {self.factor(x.axes)} + {x.text}", False
        return text

    def step(self) -> str:
        """The step for which the kernel is called, or the index that runs over all steps."""
        self.stepped = self.stepped or bool(self.row)
        return self.row or self.index[TIME]

    def number_of_step(self) -> str:
        """The step as the equations count them, where a sweep need not begin with number zero."""
        if not self.sweep.resumes:
            return self.step()
        self.read.add("")
        return f"{FIRST} + {self.step()}"

    def size(self, axes: Axes) -> str:
        """The length of axes laid side by side, which the kernel then reads."""
        self.read |= {part for a in axes for part in axis_parts(a)}
        return extent(axes, self.sizes)

    def factor(self, axes: Axes) -> str:
        """The same where it is multiplied or divided by."""
        text = self.size(axes)
        return text if len([part for a in axes for part in axis_parts(a)]) == 1 else f"({text})"

    def pointer(self, buffer: str) -> str:
        return f"{buffer}_at"

    def arrays(self, loads: Iterable[Ref], stores: Sequence[Ref]) -> tuple[Array, ...]:
        written = {self.home(r).buffer.name for r in stores}
        names = dict.fromkeys(
            self.home(r).buffer.name
            for r in (*loads, *stores)
            if self.values[r.name].role not in ("const", "size", "time", "identity")
        )
        return tuple(Array(n, self.pointer(n), n in written) for n in names)

    def decoded(self, labels: Labels, counter: str) -> tuple[tuple[str, str, str], ...]:
        """Each label with its index, its length, and the index as part of a number that counts all of them."""
        found: list[tuple[str, str, str]] = []
        rest = counter
        for label in reversed(labels):
            length = self.length(label)
            factor = self.factor(_axes(label))
            part = rest if label == labels[0] else f"{rest} % {factor}"
            found.append((self.index[label], length, part))
            rest += f" / {factor}"
        return tuple(reversed(found))

    def counted(self, labels: Labels) -> str:
        """How many combinations of the labels there are."""
        return " * ".join(self.factor(_axes(x)) for x in labels) or "1"

    def length(self, label: str) -> str:
        return self.size(_axes(label))


#: What kernels call the number of the first step, which stands after the lengths.
FIRST = "first_step"


def sizes(cell: Cell) -> dict[str, str]:
    """The C and Python names of T, B and the axes."""
    return {"T": "T", "B": "B"} | {
        a: f"{a}_" if means_something_in_c(a) or a.endswith("_at") else in_python(a)  # as the names of arrays end
        for a in cell.axes
    }


#: How the indices of one axis begin that occurs several times.
LETTERS = "ijk"


def _indices(labels: Labels, taken: set[str]) -> dict[str, str]:
    """``iB``, ``iH``, ``jH``, ``i4H`` …: the index that runs over each label, with a letter for each repetition."""
    names: dict[str, str] = {}
    for label in labels:
        repeats = sum(_axes(x) == _axes(label) for x in names)
        runs = [(axis, len([*group])) for axis, group in groupby(p for a in _axes(label) for p in axis_parts(a))]
        stem = LETTERS[min(repeats, len(LETTERS) - 1)]
        stem += "_".join(f"{n}{axis}" if n > 1 else axis for axis, n in runs)
        names[label] = numbered(stem, lambda n: n in taken or n in names.values() or means_something_in_c(n))
    return names


def temporaries(taken: Iterable[str]) -> Iterator[sp.Symbol]:
    """``s1``, ``s2`` …: names for common subexpressions."""
    known = {*taken}
    return (symbol(f"s{k}") for k in count(1) if f"s{k}" not in known)


def _common(
    exprs: list[sp.Expr], lengths: set[sp.Symbol], fresh: Iterator[sp.Symbol]
) -> tuple[list[tuple[sp.Symbol, sp.Expr]], list[sp.Expr]]:
    """Common subexpressions by symbol, and the expressions in them.

    1/n for a length n is none: x/n is the mean of numbers that are all equal, and x (1/n) often is not.
    """
    quotients = sorted(
        {p for e in exprs for p in e.atoms(sp.Pow) if p.exp == -1 and p.free_symbols <= lengths}, key=str
    )
    hidden = {p: symbol(f"over {p.base}") for p in quotients}
    shown = {s: p for p, s in hidden.items()}
    shared, reduced = sp.cse([e.xreplace(hidden) for e in exprs], symbols=fresh, order="canonical", list=True)
    return [(s, e.xreplace(shown)) for s, e in shared], [e.xreplace(shown) for e in reduced]


def _axes(label: str) -> Axes:
    return ({TIME: "T", BATCH: "B"}.get(label) or axis_of(label),)


def _number(number: sp.Number) -> str:
    return decimal(number) if number.is_Integer and abs(number) < 2**24 else f"compute_t({float(number)!r})"
