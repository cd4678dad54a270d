"""The NumPy target: what its template is given, read off a scheduled program."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from textwrap import wrap

from symrnn.calculus.ir import Concat, Contraction, Pointwise, Slice, Statement, numbered, times_read
from symrnn.emit import Header
from symrnn.language.cell import Axes, Variable, axis_parts
from symrnn.printing.arguments import Arguments, Given
from symrnn.printing.arrays import HELPERS, Writer, broken, insertions, is_view, spelled_length
from symrnn.printing.interface import Frame, Pairs, Row, frame, has_sums
from symrnn.printing.spelling import constant, in_python
from symrnn.schedule import ORDER, Entries
from symrnn.schedule.products import times
from symrnn.schedule.program import BLOCKS, Program, Sweep

NAME = "numpy"
TEMPLATES = {".py": "numpy/module.py.j2"}
PASSES = ORDER


@dataclass(frozen=True)
class Assigned:
    """Lines of code that compute a value, and those of the comment that goes above them."""

    name: str
    comment: tuple[str, ...]
    text: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """The assignments of one block."""

    lines: tuple[Assigned, ...]

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
    """One sweep as text: storage and blocks of statements."""

    reverse: bool
    carries: list[Carry]
    rows: Pairs
    looped: list[tuple[str, str, str]]
    once: Section
    before: Section
    loop: Section
    after: Section
    finish: Section

    @property
    def handed_on(self) -> list[str]:
        """The last lines of the loop, where carried values are not stored."""
        lines, source = _lines([x[1] for x in self.looped], 50), {x[1]: x[2] for x in self.looped}
        return [f"{', '.join(line)} = {', '.join(source[n] for n in line)}" for line in lines if line]


@dataclass(frozen=True)
class Body:
    """What runs in a function once its arguments are checked: lengths, local names, and sweeps.

    `steps`: it reads the number of the step; `resumes`: the first step need not be number zero; `again`: the tape has
    the first one's.
    """

    sizes: Pairs
    unpack: list[str]
    steps: bool
    resumes: bool
    again: bool
    zeros: bool
    sweeps: list[SweepText]


@dataclass(frozen=True)
class Call:
    """A function of the module, and what it returns by name, of outputs and last states and of their tangents."""

    body: Body
    results: Pairs
    final: Pairs
    tangents: Pairs = field(default_factory=list)
    final_tangents: Pairs = field(default_factory=list)


@dataclass(frozen=True)
class Kept:
    """A tape: its fields with their shapes, and every value that is saved as what it is of them."""

    fields: Pairs
    values: Pairs


@dataclass(frozen=True)
class Training:
    """A forward and a backward function that share a tape."""

    tape: Pairs
    counts: bool
    forward: Call
    backward: Body
    gradients: Pairs
    input_gradients: Pairs
    state_gradients: Pairs


class _Sweep:
    """One sweep of a program, to be written."""

    def __init__(self, program: Program, part: Sweep, helpers: set[str]) -> None:
        self.program, self.part, self.helpers = program, part, helpers
        self.mentioned: set[str] = set()
        self.buffers = [c for c in part.carried if c.stored]
        self.loops = [c for c in part.carried if not c.stored]
        computed = {s.out.name for s in part.loop} | {c.arrives for c in self.loops}
        sequences = {n for n, v in program.values.items() if v.timed} - computed
        products = [t for s in part.loop if (t := times(s, program)) is not None]
        self.multiplied = {t.weight.name for t in products if not t.transposed}
        self.rows = sequences | set(part.stored) | {n for c in self.buffers for n in (c.arrives, c.source)}

    def text(self, starts: dict[str, str]) -> SweepText:
        """All of it; `starts` says what carried values begin with, by key."""
        sections = {name: self.section(name) for name in BLOCKS}
        return SweepText(
            reverse=self.part.reverse,
            carries=self.carries(starts),
            rows=self.storage(),
            looped=[(starts[c.key], in_python(c.arrives), in_python(c.source)) for c in self.loops],
            **sections,
        )

    def section(self, block: str) -> Section:
        statements = getattr(self.part, block)
        writer = Writer(self.program, block, self.rows, {}, self.helpers, self.mentioned)
        nested = _nested(statements, self.part, self.kept())
        lines, shown = list[Assigned](), ""
        for s in statements:
            if s.out.name in nested:
                writer.inline[s.out.name] = s
                continue
            equation = self.comment(s) if block == "loop" or not self.part.reverse else ""
            written = broken(*self.assigned(s, writer.value(s), block), 108 - 8)
            comment = wrap(equation, 108) if equation != shown else []
            lines.append(Assigned(s.out.name, tuple(comment), tuple(written)))
            shown = equation or shown
        return Section(tuple(lines))

    def assigned(self, s: Statement, text: str, block: str) -> tuple[str, str]:
        """What a statement sets, and to what; nothing, where the call writes a row of several values itself.

        A matrix of a loop is stored as its product reads it.
        """
        target = self.target(s, block)
        if isinstance(s, Concat) and self.is_row(s, block):
            return "", f"{text[:-1]}, out={target})"
        if isinstance(s, Concat) and s.out.name in self.multiplied:
            text = f"np.ascontiguousarray({text})"
        return target, text

    def kept(self) -> set[str]:
        names = {*self.part.stored, *self.program.saved, *self.program.results}
        return names | {n for c in self.part.carried for n in (c.source, c.arrives)}

    def comment(self, s: Statement) -> str:
        equation = next((e for e in self.program.derivation.cell.equations if e.name == s.equation), None)
        if equation is None:
            return ""
        return f"through {equation.text}" if self.part.reverse else equation.text

    def carries(self, starts: dict[str, str]) -> list[Carry]:
        if self.buffers or self.part.loop:
            self.mentioned.add("T")
        pairs = [(c, c.source, c.arrives) if self.part.reverse else (c, c.arrives, c.source) for c in self.buffers]
        return [
            Carry(c.key, self.rows_name(c.source), in_python(early), in_python(late), starts[c.key])
            for c, early, late in pairs
        ]

    def ends(self) -> dict[str, str]:
        """What the sweep hands out at its end, by key; nobody else holds the arrays."""
        last = "[0]" if self.part.reverse else "[-1]"
        rows = {c.key: f"{self.rows_name(c.source)}{last}.copy()" for c in self.buffers}
        return rows | {c.key: f"{in_python(c.arrives)}.copy()" for c in self.loops}

    def rows_name(self, source: str) -> str:
        return numbered(f"{source}_rows", self.program.values.__contains__)

    def storage(self) -> list[tuple[str, str]]:
        """(names, shape) of what the loop fills, names of one shape together."""
        buffered = {c.source for c in self.buffers}
        shapes: dict[tuple[str, ...], list[str]] = {}
        for name in self.part.stored:
            if name not in buffered:
                value = self.program.values[name]
                lead = ["T", *(["B"] if value.batched else [])]
                axes = [spelled_length(axis_parts(axis)) for axis in value.axes]
                self.mentioned |= {*lead, *(p for a in value.axes for p in axis_parts(a))}
                shapes.setdefault((*lead, *axes), []).append(in_python(name))
        return [
            (", ".join(line), ", ".join(shape) if len(shape) > 1 else f"{shape[0]},")
            for shape, names in shapes.items()
            for line in _lines(names, 60)
        ]

    def is_row(self, s: Statement, block: str) -> bool:
        """Is what one step computes kept for every step?"""
        return block == "loop" and s.out.name in self.rows

    def target(self, s: Statement, block: str) -> str:
        name = in_python(s.out.name)
        if block == "loop":
            return f"{name}[t]" if self.is_row(s, block) else name
        return f"{name}[:]" if any(s.out.name == c.source for c in self.buffers) else name


def _lines(names: Sequence[str], width: int) -> list[list[str]]:
    """The names, as many a line as are about so wide together."""
    lines: list[list[str]] = [[]]
    for name in names:
        if lines[-1] and len(", ".join([*lines[-1], name])) > width:
            lines.append([])
        lines[-1].append(name)
    return lines


def _unpacked(names: Iterable[tuple[str, str]], source: str) -> list[str]:
    """Assignments of several names a line; `source` with the second of each pair filled in stands on the right."""
    lines: list[list[tuple[str, str]]] = []
    length = 0
    for name, filling in names:
        cost = len(name) + len(filling) + len(source) + 2
        if not lines or length + cost > 104:
            lines.append([])
            length = 0
        lines[-1].append((name, filling))
        length += cost
    return [
        f"{', '.join(in_python(n) for n, _ in line)} = {', '.join(source.format(filling) for _, filling in line)}"
        for line in lines
    ]


def _nested(statements: Sequence[Statement], part: Sweep, kept: set[str]) -> set[str]:
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


class _Program:
    """A program as the body of a function."""

    def __init__(self, program: Program, helpers: set[str]) -> None:
        self.program, self.d, self.cell = program, program.derivation, program.derivation.cell
        self.arguments = Arguments(program)
        self.sweeps = [_Sweep(program, sweep, helpers) for sweep in program.sweeps]
        self.shared = {*program.saved, *(c.source for c in self.sweeps[0].part.carried)}
        self.shared |= {s.out.name for s in program.statements() if is_view(s)}

    def body(self, starts: Sequence[str], sweeps: Sequence[int] = (0, 1), unpack: Sequence[str] = ()) -> Body:
        """Some sweeps; each begins with the carried values of that name, tangents with those along the direction."""
        chosen = [self.sweeps[k] for k in sweeps if k < len(self.sweeps)]
        texts = [x.text(self.starts(start, x.part)) for x, start in zip(chosen, starts, strict=True)]
        mentioned = set().union(*(x.mentioned for x in chosen))
        axes = ("T", "B", *self.cell.axes)
        sizes = [(a if a in ("T", "B") else in_python(a), a) for a in axes if a in mentioned]
        given = [x for start, sweep in zip(starts, chosen, strict=True) for x in self.given(start, sweep.part).values()]
        zeros = any(not x.argument for x in given)
        lines = [*(self.inputs() if 0 in sweeps else ()), *self.params(chosen), *unpack]
        part = chosen[0].part
        again = part.resumes and part.reverse
        return Body(sizes, lines, "steps" in mentioned, part.resumes and not again, again, zeros, texts)

    def starts(self, argument: str, sweep: Sweep) -> dict[str, str]:
        """What the carried values of a sweep begin with, by key."""
        given = self.given(argument, sweep)
        return {key: x.text if x.argument else f'zeros["{x.key}"]' for key, x in given.items()}

    def given(self, argument: str, sweep: Sweep) -> dict[str, Given]:
        return self.arguments.starts(argument, sweep)

    def inputs(self) -> list[str]:
        """Local names for inputs that come in a dict, and for the tangents of all."""
        local = "" if len(self.cell.inputs) > 1 else "inputs"
        return [f"{in_python(x.value)} = {x.text}" for x in self.arguments.inputs() if x.argument != local]

    def params(self, sweeps: list[_Sweep]) -> list[str]:
        """Local names for the parameters these sweeps read, and for their tangents."""
        given = self.arguments.params(a.name for x in sweeps for s in x.part.statements() for a in s.args)
        groups = {x.argument: [(y.value, y.key) for y in given if y.argument == x.argument] for x in given}
        return [line for argument, names in groups.items() for line in _unpacked(names, f'{argument}["{{}}"]')]

    def tape(self) -> Kept:
        """What the first sweep leaves for the second; a carried value read before and after a step is kept once."""
        forward, values, twice = self.sweeps[0], self.program.values, self.program.saved_twice()
        fields: dict[str, str] = {}
        pairs: Pairs = []
        for n in self.program.saved:
            field, part, steps = in_python(n), "", "T"
            if n in twice:
                source = twice[n].source
                field, part, steps = forward.rows_name(source), "[1:]" if n == source else "[:-1]", "T+1"
            lead = ((steps,) if values[n].timed else ()) + (("B",) if values[n].batched else ())
            fields[field] = Row(field, (*lead, *values[n].axes), "").shape()
            pairs.append((n, f"{field}{part}"))
        return Kept([*fields.items()], pairs)

    def training(self) -> Training:
        """Both sweeps as functions of their own, and what goes from one to the other."""
        tape = self.tape()
        forward = self.body(["state"], [0])
        backward = self.body(["dstate"], [1], _unpacked(tape.values, "tape.{}"))
        return Training(
            tape=tape.fields,
            counts=backward.steps,
            forward=Call(forward, self.outputs(), self.last()),
            backward=backward,
            gradients=self.gradients(self.cell.params),
            input_gradients=self.gradients(self.cell.inputs),
            state_gradients=self.last(1),
        )

    def result(self, name: str) -> str:
        return _own(name, self.shared)

    def outputs(self, tangents: bool = False) -> Pairs:
        return [(name, self.result(value)) for name, value in self.arguments.outputs(tangents)]

    def last(self, sweep: int = 0, tangents: bool = False) -> Pairs:
        """The carried values at the end of a sweep, or their tangents."""
        return self.arguments.ends(self.sweeps[sweep].ends(), tangents)

    def gradients(self, variables: Sequence[Variable]) -> Pairs:
        return [(v.name, _array(self.result(self.d.gradients[v.name]), v.axes)) for v in variables]


@dataclass(frozen=True)
class Module(Frame):
    """What the template prints. `counts`: something reads the number of the step."""

    seeds: Pairs
    consts: Pairs
    train: Training
    states_alone: Training
    infer: Call
    step: Call
    jvp: Call
    hvp: Call
    hvp_gradients: Pairs
    carries: bool
    counts: bool
    uses: dict[str, bool]


def context(programs: Entries, header: Header) -> Module:
    """Everything the template prints, for the programs of one cell."""
    helpers: set[str] = set()
    train, states, infer, step, jvp, hvp = (
        _Program(p, helpers)
        for p in (programs.train, programs.states, programs.infer, programs.step, programs.jvp, programs.hvp)
    )
    cell, both = train.cell, (train.training(), states.training())
    ahead = [x.body(["state"]) for x in (infer, step, jvp)]
    bodies = [*ahead, hvp.body(["state", "dstate"]), *(b for x in both for b in (x.forward.body, x.backward))]
    return Module(
        **vars(frame(cell, header)),
        consts=[(constant(v.name), v.start) for v in cell.consts],
        train=both[0],
        states_alone=both[1],
        infer=Call(bodies[0], infer.outputs(), infer.last()),
        step=Call(bodies[1], step.outputs(), step.last()),
        jvp=Call(bodies[2], jvp.outputs(), jvp.last(), jvp.outputs(tangents=True), jvp.last(tangents=True)),
        hvp=Call(bodies[3], hvp.gradients(cell.inputs), hvp.last(1)),
        hvp_gradients=hvp.gradients(cell.params),
        carries=any(sweep.carries for body in bodies for sweep in body.sweeps),
        counts=any(body.steps for body in bodies),
        seeds=[(x.key, in_python(x.value)) for x in train.arguments.seeds()],
        uses={name: name in helpers for name in (*HELPERS, "math")} | {"sums": has_sums(cell)},
    )


def _own(name: str, shared: set[str]) -> str:
    """An array that nobody else holds."""
    return in_python(name) + (".copy()" if name in shared else "")


def _array(text: str, axes: Axes) -> str:
    """A gradient as an array: sums over every axis leave a NumPy scalar."""
    return text if axes else f"np.asarray({text})"
