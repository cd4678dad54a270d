"""The NumPy target: how statements are spelled as array code, and what its template is given."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import sympy as sp

from symrnn.cell import Axes, Cell, Variable, axis_parts
from symrnn.cell import Carry as CellCarry
from symrnn.emit import Header
from symrnn.functions import Function
from symrnn.infix import Infix, decimal
from symrnn.ir import (
    BATCH,
    TIME,
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
    numbered,
)
from symrnn.program import BLOCKS, Pass, Program

NAME = "numpy"
TEMPLATES = {".py": "numpy/module.py.j2"}
PASSES = ("expand", "alias", "fuse", "hoist", "save")

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
    "abs": "np.abs({})",
    "max": "np.maximum({}, {})",
    "min": "np.minimum({}, {})",
    "gt": "np.greater({}, {}).astype(dtype)",
    "ge": "np.greater_equal({}, {}).astype(dtype)",
    "where": "np.where({}, {}, {})",
    "pow": "np.power({}, {})",
}
LOCAL = ("start", "length", "check", "agree", "named", "filled", "cotangent", "carried", "rng", "last", "steps", "size")
HELPERS = ("sigmoid", "erf", "times", "outer_sum", "one_hot")
RESERVED = {
    *keyword.kwlist,
    *HELPERS,
    *LOCAL,
    *(
        "np",
        "math",
        "T",
        "B",
        "t",
        "dtype",
        "params",
        "state",
        "tape",
        "dstate",
        "inputs",
        "size",
        "forward",
        "backward",
    ),
    *("init", "Tape", "PARAMS", "INPUTS", "STATES", "OUTPUTS", "AXES", "range", "reversed", "len", "dict", "tuple"),
}


def spell(name: str) -> str:
    """The Python name of a value: its own, with an underscore where that would hide something."""
    return f"{name}_" if name in RESERVED else name


@dataclass(frozen=True)
class Row:
    """A table row of the docstrings: a name, its axes and what it means."""

    name: str
    axes: Axes
    meaning: str

    @property
    def local(self) -> str:
        return spell(self.name)

    def shape(self, *lead: str) -> str:
        axes = (*lead, *self.axes)
        return f"({', '.join(axes)}{',' if len(axes) == 1 else ''})"


@dataclass
class _Writer:
    """Writes the statements of one block; names of `rows` are indexed by time inside the loop."""

    program: Program
    block: str
    rows: set[str]
    inline: dict[str, str] = field(default_factory=dict)
    helpers: set[str] = field(default_factory=set)

    # -- operands ------------------------------------------------------------------------------------------

    def reference(self, ref: Ref, out: Labels) -> str:
        """An operand, at this step inside the loop, with new axes where it must broadcast inside the result."""
        value = self.program.values[ref.name]
        if ref.name in self.inline:
            return f"({self.inline[ref.name]})"
        if value.role == "identity":
            return f"np.eye({self.size(value.axes[0])}, dtype=dtype)"
        if value.role == "time" and self.block == "loop":
            return "t"
        name = "steps" if value.role == "time" else spell(ref.name)
        index = ["t"] if self.block == "loop" and ref.name in self.rows else []
        index += _insertions(ref.labels, out)
        while index and index[-1] == ":":
            index.pop()
        return f"{name}[{', '.join(index)}]" if index else name

    def size(self, axis: str) -> str:
        return " + ".join(spell(a) for a in axis_parts(axis))

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

    def pointwise(self, s: Pointwise) -> str:
        names = {a.name: self.reference(a, s.out.labels) for a in s.args}
        arrays = {a.name for a in s.args if self.program.values[a.name].role not in ("const", "size")}
        text = self.infix(s, names, bool(arrays)).text(s.expr)
        covered = {x for a in s.args if a.name in arrays for x in a.labels}
        if covered == set(s.out.labels) or not s.out.labels:
            return text
        shape = ", ".join({TIME: "T", BATCH: "B"}.get(x) or self.size(axis_of(x)) for x in s.out.labels)
        return f"np.full(({shape},), {text}, dtype=dtype)" if not arrays else f"np.broadcast_to({text}, ({shape},))"

    def infix(self, s: Pointwise, names: dict[str, str], arrays: bool) -> Infix:
        rank = {a.name: k for k, a in enumerate(s.args)}

        return Infix(rank, names.__getitem__, self.call if arrays else _scalar_call, decimal, _power)

    def call(self, row: Function, args: Sequence[str]) -> str:
        if row.name in HELPERS:
            self.helpers.add(row.name)
        if row.name == "where":
            return self.where(*args)
        return SPELLING[row.name].format(*args)

    def where(self, condition: str, a: str, b: str) -> str:
        condition = condition.removesuffix(".astype(dtype)")
        if _is_number(a) and _is_number(b):
            a = f"dtype.type({a})"
        return f"np.where({condition}, {a}, {b})"

    def spread(self, ref: Ref, out: Ref) -> str:
        """An operand of concatenate, which does not broadcast by itself."""
        missing = [x for x in out.labels[:-1] if x not in ref.labels]
        if not missing:
            return self.plain(ref)
        lead = ["T" if x == TIME else "B" for x in out.labels[:-1] if x in (TIME, BATCH)]
        sizes = [self.size(self.program.values[ref.name].axes[-1])]
        index = _insertions(ref.labels, (*out.labels[:-1], ref.labels[-1]))
        text = self.plain(ref) + (f"[{', '.join(index)}]" if "None" in index else "")
        return f"np.broadcast_to({text}, ({', '.join([*lead, *sizes])}))"

    def slice(self, s: Slice) -> str:
        start = " + ".join(self.size(a) for a in s.before)
        length = self.size(self.program.values[s.out.name].axes[-1])
        cut = f"{start}:{start} + {length}" if start else f":{length}"
        text = self.plain(s.args[0])
        return f"{text[:-1]}, ..., {cut}]" if text.endswith("[t]") else f"{text}[..., {cut}]"

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
        return text if kept == s.out.labels else f"{text}.T"

    def matrix_product(self, s: Contraction, x: Ref, w: Ref) -> str:
        """(…, I) times a matrix without batch and time: one GEMM, whatever stands before I."""
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
            return f"{self.plain(x)} @ {matrix}"
        self.helpers.add("times")
        return f"times({self.plain(x)}, {matrix})"

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


def _insertions(labels: Labels, out: Labels) -> list[str]:
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


def _scalar_call(row: Function, args: Sequence[str]) -> str:
    return f"math.{row.name}({', '.join(args)})" if row.fold else SPELLING[row.name].format(*args)


def _power(base: str, exponent: sp.Number) -> str:
    return f"np.sqrt({base})" if exponent == sp.Rational(1, 2) else f"{base}**{decimal(exponent)}"


def _is_number(text: str) -> bool:
    return text.lstrip("-").replace(".", "").replace("e-", "").isdigit()


@dataclass(frozen=True)
class Section:
    """Lines of code of one block, each with the comment that goes above it (or "")."""

    lines: tuple[tuple[str, str], ...]

    def __bool__(self) -> bool:
        return bool(self.lines)


class _Direction:
    """One pass as text."""

    def __init__(self, program: Program, direction: str, helpers: set[str]) -> None:
        self.name = direction
        self.program, self.part, self.helpers = program, getattr(program, direction), helpers
        self.forward = direction == "forward"
        self.buffers = [c for c in self.part.carried if c.stored]
        computed = {s.out.name for s in self.part.loop} | {c.arrives for c in self.part.carried if not c.stored}
        sequences = {n for n, v in program.values.items() if v.timed} - computed
        self.rows = sequences | set(self.part.stored) | {n for c in self.buffers for n in (c.arrives, c.source)}

    def section(self, block: str) -> Section:
        statements = getattr(self.part, block)
        writer = _Writer(self.program, block, self.rows, {}, self.helpers)
        nested = _nested(statements, self.part, self.kept())
        lines, shown = [], ""
        for s in statements:
            text = writer.value(s)
            if s.out.name in nested:
                writer.inline[s.out.name] = text
                continue
            equation = self.comment(s) if block == "loop" or self.forward else ""
            lines.append((equation if equation != shown else "", f"{self.target(s, block)} = {text}"))
            shown = equation or shown
        return Section(tuple(lines))

    def kept(self) -> set[str]:
        d = self.program.derivation
        names = {*self.part.stored, *self.program.saved, *d.gradients.values(), *(v.name for v in d.cell.outputs)}
        return names | {n for c in self.part.carried for n in (c.source, c.arrives)}

    def comment(self, s: Statement) -> str:
        equation = next((e for e in self.program.derivation.cell.equations if e.name == s.equation), None)
        if equation is None:
            return ""
        return equation.text if self.forward else f"through {equation.text}"

    def unpack(self, names: Sequence[str]) -> list[str]:
        """Assignments that give the parameters this direction reads their local names."""
        read = {a.name for s in self.part.statements() for a in s.args}
        return _unpacked([n for n in names if n in read], 'params["{}"]')

    def sizes(self, blocks: dict[str, Section]) -> list[tuple[str, str]]:
        """(local, axis) for every axis length the code mentions; T always, for the loop or the storage."""
        text = (
            _code(blocks)
            + " ".join(shape for _, shape in self.storage())
            + (" T " if self.buffers or self.part.loop else "")
        )
        axes = ("T", "B", *self.program.derivation.cell.axes)
        return [
            (spell(a) if a not in "TB" else a, a)
            for a in axes
            if re.search(rf"\b{spell(a) if a not in 'TB' else a}\b", text)
        ]

    def carries(self) -> list[Carry]:
        pairs = [(c, c.arrives, c.source) if self.forward else (c, c.source, c.arrives) for c in self.buffers]
        return [Carry(c.key, self.rows_name(c.source), spell(early), spell(late)) for c, early, late in pairs]

    def rows_name(self, source: str) -> str:
        return numbered(f"{source}_rows", self.program.values.__contains__)

    def storage(self) -> list[tuple[str, str]]:
        """(names, shape) of what the loop fills, names of one shape together."""
        buffered = {c.source for c in self.buffers}
        shapes: dict[str, list[str]] = {}
        for name in self.part.stored:
            if name not in buffered:
                value = self.program.values[name]
                axes = [" + ".join(spell(a) for a in axis_parts(axis)) for axis in value.axes]
                shapes.setdefault(", ".join(["T", *(["B"] if value.batched else []), *axes]), []).append(spell(name))
        return [(", ".join(names), shape if "," in shape else f"{shape},") for shape, names in shapes.items()]

    def target(self, s: Statement, block: str) -> str:
        name = spell(s.out.name)
        if block == "loop":
            return f"{name}[t]" if s.out.name in self.rows else name
        return f"{name}[:]" if any(s.out.name == c.source for c in self.buffers) else name


def _unpacked(names: Iterable[str], source: str) -> list[str]:
    """Assignments of several names a line, `source` with each name filled in on the right."""
    lines: list[list[str]] = []
    length = 0
    for name in names:
        cost = 2 * len(name) + len(source) + 2
        if not lines or length + cost > 104:
            lines.append([])
            length = 0
        lines[-1].append(name)
        length += cost
    return [f"{', '.join(map(spell, line))} = {', '.join(source.format(n) for n in line)}" for line in lines]


def _nested(statements: Sequence[Statement], part: Pass, kept: set[str]) -> set[str]:
    """Products read once, by a pointwise statement of the same block and shape: printed inside their reader."""
    uses: dict[str, int] = {}
    for s in part.statements():
        for a in s.args:
            uses[a.name] = uses.get(a.name, 0) + (int(s.expr.count(a.symbol)) if isinstance(s, Pointwise) else 1)
    products = {s.out.name: s for s in statements if isinstance(s, Contraction)}
    return {
        a.name
        for s in statements
        if isinstance(s, Pointwise)
        for a in s.args
        if a.name in products and uses[a.name] == 1 and a.name not in kept and not _insertions(a.labels, s.out.labels)
    }


@dataclass(frozen=True)
class Carry:
    """Storage of a carried value: `rows` holds T+1 steps; `early` and `late` see it one step apart."""

    key: str
    rows: str
    early: str
    late: str


@dataclass(frozen=True)
class Module:
    """What the template prints."""

    cell: Cell
    header: Header
    title: str
    inputs: list[Row]
    params: list[Row]
    states: list[Row]
    outputs: list[Row]
    consts: list[tuple[str, str]]
    starts: list[tuple[str, str]]
    tape: list[Row]
    forward: dict[str, Section]
    backward: dict[str, Section]
    forward_unpack: list[str]
    backward_unpack: list[str]
    tape_unpack: list[str]
    forward_carries: list[Carry]
    backward_carries: list[Carry]
    forward_rows: list[tuple[str, str]]
    backward_rows: list[tuple[str, str]]
    looped: list[tuple[str, str, str]]
    final: list[tuple[str, str]]
    results: list[tuple[str, str]]
    seeds: list[tuple[str, str]]
    gradients: list[tuple[str, str]]
    input_gradients: list[tuple[str, str]]
    state_gradients: list[tuple[str, str]]
    sizes: dict[str, list[tuple[str, str]]]
    uses: dict[str, bool]


def context(program: Program, header: Header) -> Module:
    """Everything the template prints, for one program."""
    cell, d = program.derivation.cell, program.derivation
    helpers: set[str] = set()
    forward, backward = _Direction(program, "forward", helpers), _Direction(program, "backward", helpers)
    sections = {x: {b: x.section(b) for b in BLOCKS} for x in (forward, backward)}
    loops = [c for c in program.backward.carried if not c.stored]
    aliased = {*program.saved, *(c.source for c in program.forward.carried)}
    return Module(
        cell=cell,
        header=header,
        title=_docstring(cell),
        inputs=_rows(cell.inputs),
        params=_rows(cell.params),
        states=[Row(c.name, c.axes, _carry_meaning(cell, c)) for c in cell.carries],
        outputs=_rows(cell.outputs),
        consts=[(spell(v.name), v.start) for v in cell.consts],
        starts=[(v.name, v.start or ("uniform" if len(v.axes) > 1 else "zeros")) for v in cell.params],
        tape=[_tape_row(program, n) for n in program.saved],
        forward=sections[forward],
        backward=sections[backward],
        forward_unpack=forward.unpack([v.name for v in cell.params]),
        backward_unpack=backward.unpack([v.name for v in cell.params]),
        tape_unpack=_unpacked(map(spell, program.saved), "tape.{}"),
        forward_carries=forward.carries(),
        backward_carries=backward.carries(),
        forward_rows=forward.storage(),
        backward_rows=backward.storage(),
        looped=[(c.key, spell(c.arrives), spell(c.source)) for c in loops],
        final=[(c.key, f"{c.rows}[-1].copy()") for c in forward.carries()],
        results=[(v.name, f"{spell(v.name)}.copy()" if v.name in aliased else spell(v.name)) for v in cell.outputs],
        seeds=[(name, spell(seed)) for name, seed in d.seeds.items()],
        gradients=[(v.name, _array(d.gradients[v.name], v.axes)) for v in cell.params],
        input_gradients=[(v.name, spell(d.gradients[v.name])) for v in cell.inputs],
        state_gradients=[(c.key, spell(c.arrives)) for c in loops]
        + [(c.key, f"{c.rows}[0]") for c in backward.carries()],
        sizes={x.name: x.sizes(sections[x]) for x in (forward, backward)},
        uses=_uses(sections, helpers),
    )


def _uses(sections: dict[_Direction, dict[str, Section]], helpers: set[str]) -> dict[str, bool]:
    """Which optional parts of the module are needed."""
    text = {d.name: _code(blocks) for d, blocks in sections.items()}
    uses = {name: name in helpers for name in HELPERS}
    uses["math"] = any("math." in x for x in text.values()) or uses["erf"]
    uses["forward_steps"], uses["backward_steps"] = (re.search(r"\bsteps\b", text[d]) is not None for d in text)
    return uses


def _code(blocks: dict[str, Section]) -> str:
    return "\n".join(line for s in blocks.values() for _, line in s.lines)


def _rows(variables: Sequence[Variable]) -> list[Row]:
    return [Row(v.name, v.axes, v.meaning) for v in variables]


def _docstring(cell: Cell) -> str:
    """The cell's title as it may stand inside a docstring."""
    return (cell.title or cell.name).replace("\\", "\\\\").replace('"', "'").rstrip()


def _carry_meaning(cell: Cell, carry: CellCarry) -> str:
    meaning = cell.variable(carry.of).meaning or carry.of
    return f"{meaning}, {carry.lag} step{'s' if carry.lag > 1 else ''} earlier" if carry.lag else meaning


def _tape_row(program: Program, name: str) -> Row:
    value = program.values[name]
    lead = (("T",) if value.timed else ()) + (("B",) if value.batched else ())
    return Row(spell(name), (*lead, *value.axes), "")


def _array(name: str, axes: Axes) -> str:
    """A gradient as an array: sums over every axis leave a NumPy scalar."""
    return spell(name) if axes else f"np.asarray({spell(name)})"
