"""The NumPy target: what its template is given, read off a scheduled program."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from symrnn.calculus.ir import Concat, Contraction, Pointwise, Slice, Statement, numbered, times_read
from symrnn.emit import Header
from symrnn.language.cell import Axes, axis_parts
from symrnn.printing.arrays import HELPERS, Writer, broken, insertions, is_view, spelled_length
from symrnn.printing.interface import Filled, Pairs, Row, frame, has_sums
from symrnn.printing.spelling import constant, in_python
from symrnn.schedule.products import times
from symrnn.schedule.program import BLOCKS, Pass, Program

NAME = "numpy"
TEMPLATES = {".py": "numpy/module.py.j2"}
PASSES = ("expand", "alias", "fuse", "hoist", "concat", "save")


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
        self.mentioned: set[str] = set()
        self.buffers = [c for c in self.part.carried if c.stored]
        computed = {s.out.name for s in self.part.loop} | {c.arrives for c in self.part.carried if not c.stored}
        sequences = {n for n, v in program.values.items() if v.timed} - computed
        products = [t for s in self.part.loop if (t := times(s, program)) is not None]
        self.multiplied = {t.weight.name for t in products if not t.transposed}
        self.rows = sequences | set(self.part.stored) | {n for c in self.buffers for n in (c.arrives, c.source)}

    def section(self, block: str) -> Section:
        statements = getattr(self.part, block)
        writer = Writer(self.program, block, self.rows, {}, self.helpers, self.mentioned)
        nested = _nested(statements, self.part, self.kept())
        lines, shown = [], ""
        for s in statements:
            if s.out.name in nested:
                writer.inline[s.out.name] = s
                continue
            equation = self.comment(s) if block == "loop" or self.forward else ""
            first, *rest = broken(self.assigned(s, writer.value(s), block), 108 - 8)
            lines += [(equation if equation != shown else "", first), *(("", line) for line in rest)]
            shown = equation or shown
        return Section(tuple(lines))

    def assigned(self, s: Statement, text: str, block: str) -> str:
        """The line of a statement; a row is written where it is kept, a matrix of a loop as its product reads it."""
        target = self.target(s, block)
        if isinstance(s, Concat) and target.endswith("[t]"):
            return f"{text[:-1]}, out={target})"
        if isinstance(s, Concat) and s.out.name in self.multiplied:
            text = f"np.ascontiguousarray({text})"
        return f"{target} = {text}"

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

    def sizes(self) -> list[tuple[str, str]]:
        """(local, axis) for every length the blocks and their storage mention."""
        axes = ("T", "B", *self.program.derivation.cell.axes)
        return [(a if a in ("T", "B") else in_python(a), a) for a in axes if a in self.mentioned]

    def carries(self) -> list[Carry]:
        if self.buffers or self.part.loop:
            self.mentioned.add("T")
        pairs = [(c, c.arrives, c.source) if self.forward else (c, c.source, c.arrives) for c in self.buffers]
        return [Carry(c.key, self.rows_name(c.source), in_python(early), in_python(late)) for c, early, late in pairs]

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
                axes = [spelled_length(axis_parts(axis)) for axis in value.axes]
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


def _nested(statements: Sequence[Statement], part: Pass, kept: set[str]) -> set[str]:
    """Products and parts read once, by a statement of the same block and shape: printed inside their reader."""
    uses = times_read(part.statements())
    made = {s.out.name: s for s in statements if isinstance(s, Contraction | Slice)}
    return {
        a.name
        for s in statements
        for a in s.args
        if a.name in made and uses[a.name] == 1 and a.name not in kept
        if (isinstance(s, Pointwise) and not insertions(a.labels, s.out.labels))
        or (isinstance(s, Contraction | Concat) and is_view(made[a.name]))
    }


@dataclass(frozen=True)
class Carry:
    """Storage of a carried value: `rows` holds T+1 steps; `early` and `late` see it one step apart."""

    key: str
    rows: str
    early: str
    late: str


@dataclass(frozen=True)
class Module(Filled):
    """What the template prints."""

    consts: Pairs
    tape: list[Row]
    forward: dict[str, Section]
    backward: dict[str, Section]
    forward_unpack: list[str]
    backward_unpack: list[str]
    tape_unpack: list[str]
    forward_carries: list[Carry]
    backward_carries: list[Carry]
    forward_rows: Pairs
    backward_rows: Pairs
    looped: list[tuple[str, str, str]]
    sizes: dict[str, Pairs]


def context(program: Program, header: Header) -> Module:
    """Everything the template prints, for one program."""
    cell, d = program.derivation.cell, program.derivation
    helpers: set[str] = set()
    forward, backward = _Direction(program, "forward", helpers), _Direction(program, "backward", helpers)
    sections = {x: {b: x.section(b) for b in BLOCKS} for x in (forward, backward)}
    loops = [c for c in program.backward.carried if not c.stored]
    shared = {*program.saved, *(c.source for c in program.forward.carried)}
    shared |= {s.out.name for part in (program.forward, program.backward) for s in part.statements() if is_view(s)}
    return Module(
        **vars(frame(program, header)),
        consts=[(constant(v.name), v.start) for v in cell.consts],
        tape=[_tape_row(program, n) for n in program.saved],
        forward=sections[forward],
        backward=sections[backward],
        forward_unpack=forward.unpack([v.name for v in cell.params]),
        backward_unpack=backward.unpack([v.name for v in cell.params]),
        tape_unpack=_unpacked(map(in_python, program.saved), "tape.{}"),
        forward_carries=forward.carries(),
        backward_carries=backward.carries(),
        forward_rows=forward.storage(),
        backward_rows=backward.storage(),
        looped=[(c.key, in_python(c.arrives), in_python(c.source)) for c in loops],
        final=[(c.key, f"{c.rows}[-1].copy()") for c in forward.carries()],
        results=[(v.name, _own(v.name, shared)) for v in cell.outputs],
        gradients=[(v.name, _array(_own(d.gradients[v.name], shared), v.axes)) for v in cell.params],
        input_gradients=[(v.name, _own(d.gradients[v.name], shared)) for v in cell.inputs],
        state_gradients=[(c.key, in_python(c.arrives)) for c in loops]
        + [(c.key, f"{c.rows}[0]") for c in backward.carries()],
        sizes={x.name: x.sizes() for x in (forward, backward)},
        uses={name: name in helpers for name in (*HELPERS, "math")}
        | {"sums": has_sums(cell)}
        | {f"{x.name}_steps": "steps" in x.mentioned for x in sections},
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
