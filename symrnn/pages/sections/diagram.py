"""The dataflow of one step: what each equation reads, in columns from left to right."""

from __future__ import annotations

from symrnn.language.cell import Name, walk
from symrnn.pages.document import Diagram, Node
from symrnn.pages.formulas.formula import NOW, Sym
from symrnn.pages.trace import Trace


def diagram(trace: Trace) -> Diagram:
    """Inputs and earlier states on the left, equations to the right of everything they read."""
    cell = trace.cell
    reads: dict[str, list[str]] = {}
    formulas = {v.name: trace.symbol(v.name) for v in cell.inputs}
    kinds = {v.name: "input" for v in cell.inputs}
    for e in cell.equations:
        sources = []
        for n in walk(e.expr):
            if isinstance(n, Name) and (n.delay or n.name in formulas):
                key = f"{n.name}@{n.delay}" if n.delay else n.name
                if n.delay and key not in formulas:
                    formulas[key], kinds[key] = Sym(trace.prefix + n.name, (), NOW.shifted(-n.delay)), "before"
                sources.append(key)
        reads[e.name] = list(dict.fromkeys(sources))
        formulas[e.name] = trace.symbol(e.name)
        kinds[e.name] = "state" if any(c.of == e.name for c in cell.carries) else "value"
    column: dict[str, int] = {}
    for name in formulas:
        column[name] = 1 + max((column.get(r, 0) for r in reads[name]), default=0) if name in reads else 0
    rows: dict[int, int] = {}
    nodes = []
    for name in sorted(formulas, key=lambda n: (kinds[n] != "before", list(formulas).index(n))):
        rows[column[name]] = rows.get(column[name], -1) + 1
        nodes.append(Node(name, formulas[name], kinds[name], column[name], rows[column[name]]))
    arrows = tuple((source, name) for name, sources in reads.items() for source in sources)
    return Diagram(tuple(nodes), arrows)
