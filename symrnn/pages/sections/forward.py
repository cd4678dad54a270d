"""What the cell computes: symbols, equations as written, and the trace with every value that gets a name."""

from __future__ import annotations

from collections.abc import Iterator

import sympy as sp

from symrnn.calculus.ir import AlongAxis, Concat, Contraction, OneHot, reads
from symrnn.functions.whole_axis import ROWS
from symrnn.language.cell import Variable, axis_parts
from symrnn.pages.document import Block, Equation, Equations, Mono, Phrase, Prose, Section, Table, Truth, Words, say
from symrnn.pages.evaluate.world import Stage
from symrnn.pages.formulas.formula import (
    STEP,
    Add,
    Call,
    Chain,
    Deriv,
    Ein,
    Fn,
    Formula,
    Mul,
    Neg,
    Num,
    Sym,
    unbatched,
    walk,
)
from symrnn.pages.formulas.read import expression
from symrnn.pages.sections.paths import Hop, Paths
from symrnn.pages.trace import Trace


def symbols(traces: list[Trace]) -> Section:
    """The table of symbols."""
    rows = []
    for trace in traces:
        cell = trace.cell
        handed = set(trace.below)
        for v in (*cell.inputs, *cell.states, *cell.params, *cell.consts, *cell.values):
            if v.name in handed:
                continue
            equation_of_state = v.role == "value" and any(s.name == v.name for s in cell.states)
            if not equation_of_state:
                rows.append((_bare(trace, v), Mono(v.name), say(f"role.{v.role}"), _shape(v), meaning(v)))
        if any("t" in reads(s) for s in trace.step.statements):
            rows.append((STEP, Mono("t"), say("role.time"), Words("1"), say("meaning.time")))
    head = tuple(say(f"table.{k}") for k in ("symbol", "name", "role", "shape", "meaning"))
    return Section("symbols", say("title.symbols"), (Prose((say("symbols.intro"),)), Table(head, tuple(rows))))


def _bare(trace: Trace, v: Variable) -> Formula:
    return trace.symbol(v.name) if v.name in trace.step.values else Sym(trace.prefix + v.name, v.axes)


def _shape(v: Variable) -> Words:
    return Words(" × ".join(v.axes) if v.axes else (v.start if v.role == "const" else "1"))


def meaning(v: Variable) -> object:
    """What a variable means, in its author's words."""
    return say("meaning", words=v.meaning) if v.meaning else Words("")


def conventions(shown: list[Formula]) -> Section:
    """The layout convention, once, and the notation this page really uses."""
    parts = [x for f in shown for x in walk(f)]
    kinds = {type(x) for x in parts}
    phrases = [say("convention.layout"), say("convention.delta"), say("convention.time")]
    if any(_broadcasts(x) for x in parts):
        phrases.append(say("convention.broadcast"))
    if Mul in kinds:
        phrases.append(say("convention.product"))
    if any(isinstance(x, Ein) and _is_frobenius(x) for x in parts):
        phrases.append(say("convention.frobenius"))
    if any(isinstance(x, Ein) and len(x.args) == 1 and x.summed for x in parts):
        phrases.append(say("convention.ones"))
    if any(isinstance(x, Ein) and len(x.args) == 2 and any(len(a.labels) > 2 for a in x.args) for x in parts):
        phrases.append(say("convention.indices"))
    if any(isinstance(x, Fn) and x.row.name in ("gt", "ge") for x in parts):
        phrases.append(say("convention.indicator"))
    if any(_is_identity(x) for x in parts):
        phrases.append(say("convention.identity"))
    if any(isinstance(x, Deriv) and x.kind in ("direct", "operand") for x in parts):
        phrases.append(say("convention.direct"))
    phrases += _functions(parts)
    calls = {x.op for x in parts if isinstance(x, Call)}
    noted = [row.convention for row in ROWS.values() if row.convention and row.name in calls]
    phrases += [say(f"convention.{key}") for key in dict.fromkeys(noted)]
    slices = [x for x in parts if isinstance(x, Call) and x.op == "slice"]
    if slices:
        phrases.append(say("convention.slice"))
    if any(len(set(axis_parts(x.over))) < len(axis_parts(x.over)) for x in slices):
        phrases.append(say("convention.slices"))
    if any(isinstance(x, Deriv) and x.kind == "whole" for x in parts):
        phrases.append(say("convention.whole"))
    if any(isinstance(x, Sym) and x.kind == "index" for x in parts):
        phrases.append(say("convention.step"))
    return Section("conventions", say("title.conventions"), (Prose(tuple(phrases)),))


def _functions(parts: list[Formula]) -> Iterator[Phrase]:
    """What the functions are that not every reader knows, from the table of functions."""
    a, symbol = Sym("a", ()), sp.Symbol("a", real=True)
    for row in dict.fromkeys(x.row for x in parts if isinstance(x, Fn) and len(x.args) == 1):
        means = row.definition or row.said
        if means is not None:
            definition = expression(means(symbol), {"a": a}, ["a"])
            yield say("convention.function", function=Fn(row, (a,)), definition=definition)


def _is_identity(x: Formula) -> bool:
    scaled = isinstance(x, Chain) and len(x.maps) == 1 and x.maps[0].outer == x.maps[0].inner
    return (isinstance(x, Call) and x.op == "identity") or (scaled and not x.maps[0].arg.labels)  # type: ignore[union-attr]


def _broadcasts(x: Formula) -> bool:
    if not isinstance(x, Add | Mul):
        return False
    ranks = {a.labels for a in x.args if a.labels}
    return len(ranks) > 1


def _is_frobenius(x: Ein) -> bool:
    return len(x.args) == 2 and not x.labels and len(x.args[0].labels) > 1


def forward(trace: Trace) -> Section:
    """The equations as the cell file has them."""
    rows = tuple(Equation(trace.symbol(e.name), trace.written(e.name), None, None, True) for e in trace.cell.equations)
    older = any(c.lag for c in trace.cell.carries)
    key = "forward.older" if older else "forward.intro" if trace.cell.states else "forward.stateless"
    carried = [Sym(trace.prefix + c.of, ()) for c in trace.cell.carries if c.lag == 0]
    return Section(
        "forward", say("title.forward"), (Prose((say(key, states=carried, count=len(carried)),)), Equations(rows))
    )


def local(trace: Trace, stage: Stage) -> Section:
    """The trace in named values, and the derivative of each function in values already computed."""
    blocks: list[Block] = []
    if trace.abbreviations:
        rows = tuple(Equation(trace.symbol(n), trace.definition(n), elementwise=True) for n in _in_order(trace))
        blocks += [Prose((say("local.bars", count=len(rows)),)), Equations(rows)]
    rows = tuple(_derivatives(trace, stage))
    if rows:
        blocks += [Prose((say("local.intro"),)), Equations(rows)]
    if any(isinstance(s, Contraction | Concat) for s in trace.step.statements):
        blocks.append(Prose((say("local.products"),)))
    if any(isinstance(s, OneHot) for s in trace.step.statements):
        blocks.append(Prose((say("local.choices"),)))
    return Section("local", say("title.local"), tuple(blocks))


def _in_order(trace: Trace) -> list[str]:
    return [s.out.name for s in trace.step.statements if s.out.name in trace.abbreviations]


def _derivatives(trace: Trace, stage: Stage) -> list[Equation]:
    """∂out/∂operand for every elementwise statement; derivatives ±1 and those by plain parameters are left out."""
    rows, seen = list(_whole_axis(trace, stage)), set()
    for e in trace.d.edges:
        if e.partial is None or e.partial in (1, -1) or trace.step.values[e.wrt].role == "param":
            continue
        out, own = unbatched(e.statement.out.labels), unbatched(e.statement.args[e.position].labels)
        if 0 < len(own) < len(out):  # an array with an axis more than a matrix has
            continue
        made = trace.partial(e)
        of, by = trace.value(e.of), trace.value(e.wrt)
        if len(list(walk(of))) > 9 or len(list(walk(by))) > 9 or isinstance(by, Add | Neg | Num):
            continue
        carried = trace.step.values[e.wrt].role == "carry"  # its whole derivative follows in the next section
        left = Deriv(of, by, out, "operand" if carried else "local")
        if left in seen:
            continue
        seen.add(left)
        s, name, position = e.statement, e.wrt, e.position
        truth = lambda w, t, s=s, name=name, position=position: w.statement_derivative(stage, s, name, t, position)  # noqa: E731
        rows.append(Equation(left, made, None, truth, True))
    return rows


def _whole_axis(trace: Trace, stage: Stage) -> Iterator[Equation]:
    """∂softmax(a)/∂a and the like, for vectors."""
    paths = Paths(trace)
    applied = (s for s in trace.step.statements if isinstance(s, AlongAxis))
    for hop in (h for s in applied for h in paths.hops(s.args[0].name) if h.statement is s):
        made = paths.matrix(hop)
        if made is not None:
            y, a = trace.value(hop.of), trace.value(hop.wrt)
            labels = (*y.labels, made.inner)
            right = made.arg if made.outer else Chain((made,), labels)
            yield Equation(Deriv(y, a, labels), right, None, _measured(stage, hop, bool(made.outer)))


def _measured(stage: Stage, hop: Hop, matrix: bool) -> Truth:
    """The Jacobian of a hop, a vector where it has one row."""
    return lambda w, t: w.through(stage, hop.statement, hop.wrt, t)[slice(None) if matrix else 0]
