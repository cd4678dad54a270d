"""The generated NumPy lines beside the formulas they implement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from symrnn.emit import header, programs_for
from symrnn.language.load import called
from symrnn.pages.document import Block, Code, Equation, Equations, Fold, Phrase, Prose, Section, say
from symrnn.pages.formulas.formula import Deriv, Formula
from symrnn.pages.trace import Trace
from symrnn.targets import numpy

BLOCKS = ("once", "before", "loop", "after", "finish")


@dataclass(frozen=True)
class Lines:
    """What computes one value in the generated module, and whether the loop over time repeats it."""

    name: str
    lines: tuple[str, ...]
    looped: bool


def section(trace: Trace, shown: list[Equation]) -> Section:
    """Formula by formula, the lines of the generated module that compute it."""
    module = numpy.context(programs_for(trace.cell, numpy.NAME), header(trace.cell, numpy.NAME))
    forward, backward = _body(module.train.forward.body), _body(module.train.backward)
    by_left = {e.left: e for e in shown}
    values: dict[str, Formula] = {e.name: trace.symbol(e.name) for e in trace.cell.equations}
    adjoints: dict[str, Formula] = {}
    for a in trace.d.adjoints:
        if trace.is_named(a.of):
            symbol = trace.symbol(a.of)
            gradient = trace.step.values[a.of].role == "param"
            adjoints[f"d_{a.of}"] = (
                Deriv(None, symbol, symbol.labels, "loss") if gradient else trace.symbol(a.of, "adjoint")
            )
    blocks: list[Block] = [Prose((say("code.intro", cell=called(trace.cell)),))]
    back = say("code.handed_back")
    for key, body, lefts, last in (
        ("code.forward", forward, values, None),
        ("code.backward", backward, adjoints, back),
    ):
        paired: list[Block] = []
        for what, code in _groups(body, {k: v for k, v in lefts.items() if v in by_left}, last):
            if isinstance(what, Phrase):
                paired.append(Prose((what,)))
            elif what is not None:
                paired.append(Equations((replace(by_left[what], note=None),)))
            paired.append(Code(tuple(code)))
        blocks.append(Fold(say(key), tuple(paired)))
    return Section("code", say("title.code"), tuple(blocks))


def _body(body: numpy.Body) -> list[Lines]:
    """The assignments of one function, in order, without its preparations."""
    found = []
    for sweep in body.sweeps:
        for block in BLOCKS:
            section: numpy.Section = getattr(sweep, block)
            found += [Lines(x.name, x.text, block == "loop") for x in section.lines]
            if block == "loop" and sweep.handed_on:
                found.append(Lines("", tuple(sweep.handed_on), True))
    return found


def _groups(
    body: Sequence[Lines], lefts: Mapping[str, Formula], last: Phrase | None
) -> Iterator[tuple[Formula | Phrase | None, list[str]]]:
    """Runs of lines, each with the formula of the last name it assigns, or what it is for; `last` ends the loop."""
    pending: list[str] = []
    looped = False
    for assigned in body:
        if pending and assigned.looped != looped:
            yield last if looped else say("code.hoisted"), pending
            pending = []
        looped = assigned.looped
        pending += assigned.lines
        if assigned.name in lefts:
            yield lefts[assigned.name], pending
            pending = []
    if pending:
        yield None, pending
