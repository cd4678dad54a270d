"""Derivation → Document: which sections a page has, and the check of everything it displays."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from symrnn.calculus.derive import derive
from symrnn.errors import UsageError
from symrnn.functions.numeric import Array
from symrnn.language.cell import Cell
from symrnn.language.load import called, parse
from symrnn.pages.document import Block, Document, Equation, Equations, Prose, Section, Table, Words, flattened, say
from symrnn.pages.evaluate.reader import Reader
from symrnn.pages.evaluate.world import Stage, World, longest_delay
from symrnn.pages.formulas.formula import NOW, Formula, Sym
from symrnn.pages.formulas.names import GREEK, Letter, letter
from symrnn.pages.notation.plain import Plain
from symrnn.pages.notation.spelling import Spelling
from symrnn.pages.sections import backward, code, forward, jacobian
from symrnn.pages.sections.diagram import diagram
from symrnn.pages.trace import Trace
from symrnn.proof.check import SHAPES
from symrnn.proof.check import check as check_code

TOLERANCE = 1e-10
TRIES, KINK = 50, 1e-9
HEAD = "head."


@dataclass(frozen=True)
class Subject:
    """What a page is about: the traces of a cell and perhaps a head, and how to make worlds for them."""

    trace: Trace
    stage: Stage
    head: Trace | None = None
    head_stage: Stage | None = None

    def world(self, steps: int = 0, seed: int = 0) -> World:
        """A world of so many steps, or of enough for every delay to reach from a step in the middle to a later one.

        The first of some is taken in which everything is finite and no function stands at a kink.
        """
        stages = [self.stage, *([self.head_stage] if self.head_stage else [])]
        steps = steps or 3 + longest_delay(stages)
        at_kink = False
        for attempt in range(TRIES):
            with np.errstate(all="ignore"):
                world = World(stages, seed, steps, attempt)
                distance = world.nearest_kink()
                if distance > KINK and world.is_finite():
                    return world
            at_kink = at_kink or distance <= KINK
        name = self.trace.cell.name
        if not at_kink:
            raise UsageError(
                f"The page of {name} is not printed: at each of {TRIES} random points some value or derivative of it "
                "was not finite."
            )
        raise UsageError(f"The page of {name} is not printed: no point away from every kink was found to check it at.")

    @property
    def letters(self) -> Mapping[str, Letter]:
        letters = {"*": self.trace.stack} | self.trace.letters
        letters |= {v.name: letter(v.name) for v in self.trace.cell.variables if v.name in GREEK}
        if self.head:
            own = {v.name for v in self.trace.cell.variables}
            letters |= self.head.letters
            for v in self.head.cell.variables:
                if v.name in own and v.name not in self.head.below:
                    letters[HEAD + v.name] = replace(letter(v.name), primes=1)
        return letters


def subject(cell: Cell, head: Cell | None = None) -> Subject:
    """Derive a cell, and a head on top of it; UsageError if the head does not fit."""
    d = derive(cell)
    trace, stage = Trace(d), Stage(d)
    if head is None:
        return Subject(trace, stage)
    if not cell.states and cell.name == head.name:
        raise UsageError("A head cannot stand on itself.")
    emitted, taken = cell.outputs[0], head.inputs[0]
    if len(emitted.axes) != len(taken.axes):
        raise UsageError(
            f"The head {head.name} takes {taken.name}{list(taken.axes)}, "
            f"but {cell.name} emits {emitted.name}{list(emitted.axes)}."
        )
    head = renamed_axes(head, dict(zip(taken.axes, emitted.axes, strict=True)), cell)
    h = derive(head)
    below: dict[str, Formula] = {taken.name: Sym(emitted.name, emitted.axes, NOW)}
    return Subject(trace, stage, Trace(h, HEAD, below), Stage(h, HEAD, ((taken.name, emitted.name),)))


def renamed_axes(head: Cell, mapping: dict[str, str], cell: Cell) -> Cell:
    """The head with its axes called as the cell calls them; the head's own axes step aside."""
    if all(k == v for k, v in mapping.items()) and not (set(head.axes) - set(mapping)) & set(cell.axes):
        return head
    names = dict(mapping)
    taken = set(cell.axes) | {v.name for v in (*cell.variables, *head.variables)}
    for axis in head.axes:
        if axis not in names:
            names[axis] = next(x for x in (axis, *"KMPQRYZ") if x not in taken or (x == axis and axis not in cell.axes))
            taken.add(names[axis])
    text = re.sub(
        r"\[([^\]]*)\]",
        lambda m: f"[{re.sub(r'[A-Za-z_]+', lambda n: names.get(n.group(), n.group()), m.group(1))}]",
        head.source,
    )
    return parse(text, head.name, f"{head.name}.cell")


def outline(about: Subject, unroll: int = 0) -> Document:
    """The page of a cell, with the report of its check as the last section."""
    document = unchecked(about, unroll)
    with np.errstate(all="ignore"):  # what is not finite disagrees
        report = check(about, document, unroll)
    checked = Section("checked", say("title.checked"), (Prose((
        say("checked.equations", count=report.count, worst=f"{report.worst:.1e}", steps=report.steps),
        say("checked.how", tolerance=f"{TOLERANCE:.0e}"),
    )), *code_checked(about.trace.cell)))  # fmt: skip
    return replace(document, sections=(*document.sections, checked))


def code_checked(cell: Cell) -> tuple[Block, ...]:
    """The generated module at one shape against the equations and their derivatives; AssertionError if it is wrong."""
    report = check_code(cell, shapes=SHAPES[:1])
    if not report.ok:
        raise UsageError(f"The page of {cell.name} is not printed: its code fails the check.", str(report))
    counts = Counter(row.test for row in report.rows)
    rows = tuple(
        (say(f"test.{test}"), Words(str(counts[test])), Words(f"{row.error:.1e}"), Words(f"{row.tolerance:.0e}"))
        for test, row in report.worst().items()
    )
    head = tuple(say(f"table.{k}") for k in ("test", "count", "worst", "allowed"))
    return Prose((say("checked.code", cell=called(cell), shape=report.rows[0].shape),)), Table(head, rows)


def unchecked(about: Subject, unroll: int = 0) -> Document:
    """Everything but the report."""
    trace, cell = about.trace, about.trace.cell
    local = forward.local(trace, about.stage)
    parts: list[Section] = [forward.forward(trace), local]
    if cell.states or cell.carries:
        parts.append(jacobian.section(trace, about.stage))
    if about.head:
        parts.append(backward.top(about.head, trace))
    parts.append(backward.recursion(trace))
    if unroll:
        if not cell.carries:
            raise UsageError(f"{cell.name} has no state: there is nothing to unroll.")
        parts.append(backward.unrolled(trace, unroll, about.head))
    parts.append(backward.gradients(trace))
    shown = [e for s in parts for b in flattened(s.blocks) if isinstance(b, Equations) for e in b.rows]
    parts.append(code.section(trace, shown))
    shapes = forward.symbols([trace, *([about.head] if about.head else [])])
    picture = Section("diagram", say("title.diagram"), (diagram(trace),))
    conventions = forward.conventions([x for e in shown for x in (e.left, e.right)])
    sections = (picture, shapes, conventions, *parts)
    first, _, rest = cell.title.strip().partition(". ")
    title = " ".join(first.split()) or cell.name
    return Document(
        cell.name, title.rstrip("."), " ".join(rest.split()), tuple(s for s in sections if s.blocks), about.letters
    )


# -- the check ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Report:
    """How many equations were evaluated, and the largest error relative to one plus the size of the value."""

    count: int
    worst: float
    steps: int


def check(about: Subject, document: Document, unroll: int = 0, seed: int = 0) -> Report:
    """Evaluate both sides of every displayed equation; AssertionError for the first that disagrees."""
    worlds = {"": about.world(seed=seed)}
    if unroll:
        worlds["unroll"] = about.world(unroll, seed)
    count, worst, seen = 0, 0.0, set()
    for anchor, equation in document.equations():
        key = (anchor == "unroll", equation.left, equation.right)
        if key in seen:
            continue
        seen.add(key)
        error = disagreement(worlds.get(anchor, worlds[""]), equation)
        if not error < TOLERANCE:
            text = Spelling(Plain(), document.letters).text(equation.left)
            raise UsageError(
                f"The page of {document.name} is not printed: {text} disagrees with its right side by {error:.1e}."
            )
        count, worst = count + 1, max(worst, error)
    return Report(count, worst, worlds[""].steps)


def disagreement(world: World, equation: Equation, t: int = 2) -> float:
    """The largest difference between the two sides of an equation, relative to 1 + |value|."""
    reader = Reader(world, t, along=equation.along)
    left = reader.left(equation)
    right = reader.array(equation.right, equation.left.labels if "*" not in equation.left.labels else None)
    return float(np.max(np.abs(left - np.asarray(right).reshape(left.shape)) / (1 + np.abs(left)), initial=0.0))


__all__ = ["Array", "Block", "Document", "Subject", "check", "outline", "subject"]
