"""The NumPy target: what its template is given, read off a scheduled program."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from symrnn.calculus.ir import Contraction, Pointwise, Statement, numbered, times_read
from symrnn.emit import Header
from symrnn.language.cell import Axes, axis_parts
from symrnn.printing.arrays import HELPERS, Writer, broken, insertions, is_view
from symrnn.printing.interface import Filled, Pairs, Row, frame, has_sums
from symrnn.printing.spelling import constant, in_python
from symrnn.schedule.program import BLOCKS, Program, Sweep

NAME = "numpy"
TEMPLATES = {".py": "numpy/module.py.j2"}
PASSES = ("expand", "alias", "fuse", "hoist", "save")


@dataclass(frozen=True)
class Section:
    """Lines of code of one block, each with the comment that goes above it (or "")."""

    lines: tuple[tuple[str, str], ...]

    def __bool__(self) -> bool:
        return bool(self.lines)


@dataclass(frozen=True)
class Carry:
    """Storage of a carried value, T+1 rows that begin with `start`; `early` and `late` see them one step apart."""

    key: str
    rows: str
    early: str
    late: str
    start: str


@dataclass(frozen=True)
class SweepText:
    """One sweep as text: local names for what it reads, storage, and blocks of statements."""

    reverse: bool
    sizes: Pairs
    unpack: list[str]
    steps: bool
    carries: list[Carry]
    rows: Pairs
    looped: list[tuple[str, str, str]]
    once: Section
    before: Section
    loop: Section
    after: Section
    finish: Section


class _Sweep:
    """One sweep of a program, to be written."""

    def __init__(self, program: Program, part: Sweep, helpers: set[str]) -> None:
        self.program, self.part, self.helpers = program, part, helpers
        self.mentioned: set[str] = set()
        self.buffers = [c for c in part.carried if c.stored]
        self.loops = [c for c in part.carried if not c.stored]
        computed = {s.out.name for s in part.loop} | {c.arrives for c in self.loops}
        sequences = {n for n, v in program.values.items() if v.timed} - computed
        self.rows = sequences | set(part.stored) | {n for c in self.buffers for n in (c.arrives, c.source)}

    def text(self, given: str, unpack: list[str]) -> SweepText:
        """All of it; carried values start with what is called `given`."""
        sections = {name: self.section(name) for name in BLOCKS}
        carries, rows = self.carries(given), self.storage()
        return SweepText(
            reverse=self.part.reverse,
            sizes=self.sizes(),
            unpack=unpack,
            steps="steps" in self.mentioned,
            carries=carries,
            rows=rows,
            looped=[(f'{given}["{c.key}"]', in_python(c.arrives), in_python(c.source)) for c in self.loops],
            **sections,
        )

    def section(self, block: str) -> Section:
        statements = getattr(self.part, block)
        writer = Writer(self.program, block, self.rows, {}, self.helpers, self.mentioned)
        nested = _nested(statements, self.part, self.kept())
        lines, shown = [], ""
        for s in statements:
            text = writer.value(s)
            if s.out.name in nested:
                writer.inline[s.out.name] = text
                continue
            equation = self.comment(s) if block == "loop" or not self.part.reverse else ""
            first, *rest = broken(f"{self.target(s, block)} = {text}", 108 - 8)
            lines += [(equation if equation != shown else "", first), *(("", line) for line in rest)]
            shown = equation or shown
        return Section(tuple(lines))

    def kept(self) -> set[str]:
        names = {*self.part.stored, *self.program.saved, *self.program.results}
        return names | {n for c in self.part.carried for n in (c.source, c.arrives)}

    def comment(self, s: Statement) -> str:
        equation = next((e for e in self.program.derivation.cell.equations if e.name == s.equation), None)
        if equation is None:
            return ""
        return f"through {equation.text}" if self.part.reverse else equation.text

    def params(self) -> list[str]:
        """Assignments that give the parameters this sweep reads their local names."""
        read = {a.name for s in self.part.statements() for a in s.args}
        return _unpacked([v.name for v in self.program.derivation.cell.params if v.name in read], 'params["{}"]')

    def sizes(self) -> list[tuple[str, str]]:
        """(local, axis) for every length the blocks and their storage mention."""
        axes = ("T", "B", *self.program.derivation.cell.axes)
        return [(a if a in ("T", "B") else in_python(a), a) for a in axes if a in self.mentioned]

    def carries(self, given: str) -> list[Carry]:
        if self.buffers or self.part.loop:
            self.mentioned.add("T")
        pairs = [(c, c.source, c.arrives) if self.part.reverse else (c, c.arrives, c.source) for c in self.buffers]
        return [
            Carry(c.key, self.rows_name(c.source), in_python(early), in_python(late), f'{given}["{c.key}"]')
            for c, early, late in pairs
        ]

    def ends(self, carries: list[Carry]) -> dict[str, str]:
        """What the sweep hands out at its end, by key."""
        rows = {c.key: f"{c.rows}[0]" if self.part.reverse else f"{c.rows}[-1].copy()" for c in carries}
        return {c.key: in_python(c.arrives) for c in self.loops} | rows

    def rows_name(self, source: str) -> str:
        return numbered(f"{source}_rows", self.program.values.__contains__)

    def storage(self) -> list[tuple[str, str]]:
        """(names, shape) of what the loop fills, names of one shape together."""
        buffered = {c.source for c in self.buffers}
        shapes: dict[str, list[str]] = {}
        for name in self.part.stored:
            if name not in buffered:
                value = self.program.values[name]
                lead = ["T", *(["B"] if value.batched else [])]
                axes = [" + ".join(in_python(a) for a in axis_parts(axis)) for axis in value.axes]
                self.mentioned |= {*lead, *(p for a in value.axes for p in axis_parts(a))}
                shapes.setdefault(", ".join([*lead, *axes]), []).append(in_python(name))
        return [(", ".join(names), shape if "," in shape else f"{shape},") for shape, names in shapes.items()]

    def target(self, s: Statement, block: str) -> str:
        name = in_python(s.out.name)
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
    return [f"{', '.join(map(in_python, line))} = {', '.join(source.format(n) for n in line)}" for line in lines]


def _nested(statements: Sequence[Statement], part: Sweep, kept: set[str]) -> set[str]:
    """Products read once, by a pointwise statement of the same block and shape: printed inside their reader."""
    uses = times_read(part.statements())
    products = {s.out.name: s for s in statements if isinstance(s, Contraction)}
    return {
        a.name
        for s in statements
        if isinstance(s, Pointwise)
        for a in s.args
        if a.name in products and uses[a.name] == 1 and a.name not in kept and not insertions(a.labels, s.out.labels)
    }


@dataclass(frozen=True)
class Module(Filled):
    """What the template prints."""

    consts: Pairs
    tape: list[Row]
    forward: SweepText
    backward: SweepText
    carries: bool


def context(program: Program, header: Header) -> Module:
    """Everything the template prints, for one program."""
    cell, d = program.derivation.cell, program.derivation
    helpers: set[str] = set()
    first, second = (_Sweep(program, sweep, helpers) for sweep in program.sweeps)
    inputs = [f'{in_python(v.name)} = inputs["{v.name}"]' for v in cell.inputs if len(cell.inputs) > 1]
    forward = first.text("state", [*inputs, *first.params()])
    backward = second.text("dstate", [*second.params(), *_unpacked(map(in_python, program.saved), "tape.{}")])
    shared = {*program.saved, *(c.source for c in first.part.carried)}
    shared |= {s.out.name for s in program.statements() if is_view(s)}
    return Module(
        **vars(frame(program, header)),
        consts=[(constant(v.name), v.start) for v in cell.consts],
        tape=[_tape_row(program, n) for n in program.saved],
        forward=forward,
        backward=backward,
        carries=bool(forward.carries or backward.carries),
        final=list(first.ends(forward.carries).items()),
        results=[(v.name, _own(v.name, shared)) for v in cell.outputs],
        gradients=[(v.name, _array(_own(d.gradients[v.name], shared), v.axes)) for v in cell.params],
        input_gradients=[(v.name, _own(d.gradients[v.name], shared)) for v in cell.inputs],
        state_gradients=list(second.ends(backward.carries).items()),
        uses={name: name in helpers for name in (*HELPERS, "math")} | {"sums": has_sums(cell)},
    )


def _tape_row(program: Program, name: str) -> Row:
    value = program.values[name]
    lead = (("T",) if value.timed else ()) + (("B",) if value.batched else ())
    return Row(in_python(name), (*lead, *value.axes), "")


def _own(name: str, shared: set[str]) -> str:
    """An array that nobody else holds."""
    return in_python(name) + (".copy()" if name in shared else "")


def _array(text: str, axes: Axes) -> str:
    """A gradient as an array: sums over every axis leave a NumPy scalar."""
    return text if axes else f"np.asarray({text})"
