"""The generated NumPy lines beside the formulas they implement."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import dedent

from symrnn.emit import emit
from symrnn.pages.document import Block, Code, Equation, Equations, Fold, Prose, Section, say
from symrnn.pages.formula import Deriv, Formula
from symrnn.pages.trace import Trace

_PREPARES = re.compile(
    r'size\[|params\["|tape\.|Tape\(|check\(|filled\(|carried\(|cotangent\(|np\.empty\(|dstate\[|inputs\['
    r"|^(last|dparams|dstart|T|B) = "
)


@dataclass(frozen=True)
class Assigned:
    """One assignment of the generated module: the name and the lines."""

    name: str
    lines: tuple[str, ...]


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
    blocks: list[Block] = [Prose((say("code.intro", name=trace.cell.name),))]
    for key, lines, lefts in (("code.forward", forward, values), ("code.backward", backward, adjoints)):
        paired: list[Block] = []
        for equations, code in _pairs(lines, {k: v for k, v in lefts.items() if v in by_left}):
            rows = tuple(by_left[x] for x in equations if x in by_left)
            paired += [Equations(tuple(Equation(e.left, e.right, None, e.truth) for e in rows))] if rows else []
            paired.append(Code(tuple(code)))
        blocks.append(Fold(say(key), tuple(paired)))
    return Section("code", say("title.code"), tuple(blocks))


def _body(text: str, function: str) -> list[Assigned]:
    """The assignments of one function, in order, without its preparations."""
    found = next(n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef) and n.name == function)
    lines = text.splitlines()
    assigned = []
    for node in sorted((n for n in ast.walk(found) if isinstance(n, ast.Assign)), key=lambda n: n.lineno):
        source = dedent("\n".join(lines[node.lineno - 1 : node.end_lineno])).splitlines()
        target = node.targets[0]
        name = target.value if isinstance(target, ast.Subscript) else target
        if isinstance(name, ast.Name) and not _PREPARES.search("\n".join(source)):
            assigned.append(Assigned(name.id, tuple(source)))
    return assigned


def _pairs(body: Sequence[Assigned], lefts: Mapping[str, Formula]) -> list[tuple[list[Formula], list[str]]]:
    """Runs of lines, each with the formulas of the last names it assigns."""
    pairs: list[tuple[list[Formula], list[str]]] = []
    pending: list[str] = []
    for assigned in body:
        pending += assigned.lines
        if assigned.name in lefts:
            pairs.append(([lefts[assigned.name]], pending))
            pending = []
    if pending:
        pairs.append(([], pending))
    return pairs
