"""The generated NumPy lines beside the formulas they implement."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from textwrap import dedent

from symrnn.emit import emit
from symrnn.language.load import called
from symrnn.pages.document import Block, Code, Equation, Equations, Fold, Phrase, Prose, Section, say
from symrnn.pages.formula import Deriv, Formula
from symrnn.pages.trace import Trace

_PREPARES = re.compile(
    r'size\[|params\["|tape\.|Tape\(|check\(|filled\(|carried\(|cotangent\(|np\.empty\(|dstate\[|inputs\['
    r"|^(last|dparams|dstart|T|B) = "
)


@dataclass(frozen=True)
class Assigned:
    """One assignment of the generated module: the name, the lines, and whether the loop over time repeats it."""

    name: str
    lines: tuple[str, ...]
    looped: bool


def section(trace: Trace, shown: list[Equation]) -> Section:
    """Formula by formula, the lines of the generated module that compute it."""
    (text,) = (a.text for a in emit(trace.cell, "numpy"))
    forward, backward = _body(text, "forward"), _body(text, "backward")
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


def _body(text: str, function: str) -> list[Assigned]:
    """The assignments of one function, in order, without its preparations."""
    found = next(n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef) and n.name == function)
    lines = text.splitlines()
    looped = {n for loop in ast.walk(found) if isinstance(loop, ast.For) for n in ast.walk(loop)}
    assigned = []
    for node in sorted((n for n in ast.walk(found) if isinstance(n, ast.Assign)), key=lambda n: n.lineno):
        source = dedent("\n".join(lines[node.lineno - 1 : node.end_lineno])).splitlines()
        target = node.targets[0]
        target = target.elts[0] if isinstance(target, ast.Tuple) else target
        name = target.value if isinstance(target, ast.Subscript) else target
        if isinstance(name, ast.Name) and not _PREPARES.search("\n".join(source)):
            assigned.append(Assigned(name.id, tuple(source), node in looped))
    return assigned


def _groups(
    body: Sequence[Assigned], lefts: Mapping[str, Formula], last: Phrase | None
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
