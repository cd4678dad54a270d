"""Backpropagation through time: the adjoint recursion, written out for a few steps, and the gradients."""

from __future__ import annotations

from collections.abc import Iterator

from symrnn.calculus.derive import Contribution
from symrnn.calculus.ir import Contraction
from symrnn.pages.document import Block, Equation, Equations, Phrase, Prose, Section, Truth, say
from symrnn.pages.formulas.formula import (
    NOW,
    ZERO,
    Add,
    Big,
    Call,
    Chain,
    Deriv,
    Div,
    Ein,
    Formula,
    Map,
    Mul,
    Neg,
    Pow,
    Sym,
    Time,
    add,
    div,
    ein,
    mul,
    neg,
    rebuilt,
    unbatched,
    walk,
)
from symrnn.pages.formulas.rewrite import at_time
from symrnn.pages.sections.paths import STACK, stack
from symrnn.pages.trace import Trace

FEW = 4


def recursion(trace: Trace) -> Section:
    """The adjoints of one step, last value first, each with the reason for every summand."""
    rows = []
    for a in trace.d.adjoints:
        value = trace.step.values[a.of]
        if value.role != "value" or not trace.is_named(a.of):
            continue
        row = Equation(
            trace.symbol(a.of, "adjoint"),
            trace.spoken(trace.adjoint(a.of)),
            reasons(trace, a.of, a.contributions),
            elementwise=True,
        )
        rows.append(row)
    key = "recursion.intro" if trace.cell.states else "recursion.stateless"
    blocks: list[Block] = [Prose((say(key),)), Equations(tuple(rows))]
    if trace.cell.states:
        blocks.append(Prose((say("recursion.end"),)))
    return Section("recursion", say("title.recursion"), tuple(blocks))


def reasons(trace: Trace, of: str, contributions: tuple[Contribution, ...]) -> Phrase:
    """One sentence: from where each summand of an adjoint comes."""
    found: list[Phrase] = []
    for c in contributions:
        found += [p for p in _reason(trace, c) if p not in found]
    return say("reasons", value=trace.symbol(of), reasons=found)


def _reason(trace: Trace, c: Contribution) -> Iterator[Phrase]:
    if c.rule == "seed":
        yield say("reason.seed")
    elif c.rule == "next":
        yield say("reason.later" if any(c.lag for c in trace.cell.carries) else "reason.next")
    elif c.edge is not None:
        yield say(f"reason.{_kind(trace, c)}", reader=trace.symbol(_reader(trace, c)))


def _reader(trace: Trace, c: Contribution) -> str:
    """The named value that an error comes from, behind values without a name."""
    assert c.edge is not None
    reader = c.edge.of
    while not trace.is_named(reader):
        reader = trace.d.edges_from(reader)[0].of
    return reader


def _kind(trace: Trace, c: Contribution) -> str:
    """How an error comes: a matrix product on the way, or a sum that no one sample sees, changes the word."""
    assert c.edge is not None
    if c.rule == "along":
        return c.rule
    name = c.edge.of
    while not trace.is_named(name):
        e = trace.d.edges_from(name)[0]
        if isinstance(e.statement, Contraction):
            return "product"
        name = e.of
    s = c.edge.statement
    own = set(unbatched(s.args[c.edge.position].labels))
    return "pointwise" if c.rule == "broadcast" and set(unbatched(s.out.labels)) <= own else c.rule


def gradients(trace: Trace) -> Section:
    """Parameters, inputs and first states."""
    blocks: list[Block] = []
    rows = tuple(
        Equation(
            Deriv(None, trace.symbol(v.name), trace.symbol(v.name).labels, "loss"),
            trace.spoken(trace.adjoint(v.name)),
            None,
            _loss(trace.prefix + v.name),
        )
        for v in trace.cell.params
    )
    timeless = [
        a.of for a in trace.d.adjoints if trace.step.values[a.of].role == "value" and not trace.step.values[a.of].timed
    ]
    if rows:
        phrases = [say("gradients.params"), *([say("gradients.timeless")] if timeless else [])]
        blocks += [Prose(tuple(phrases)), Equations(rows)]
    inputs = [v for v in trace.cell.inputs if v.name not in trace.below]
    blocks.append(Prose((say("gradients.inputs"),)))
    blocks.append(
        Equations(
            tuple(
                Equation(trace.symbol(v.name, "adjoint"), trace.spoken(trace.adjoint(v.name)), elementwise=True)
                for v in inputs
            )
        )
    )
    firsts = [n for n, v in trace.step.values.items() if v.role == "carry"]
    if firsts:
        older = any(c.lag for c in trace.cell.carries)
        blocks.append(Prose((say("gradients.firsts" if older else "gradients.first"),)))
        blocks.append(Equations(tuple(_first(trace, n) for n in firsts)))
    blocks += _general(trace)
    return Section("gradients", say("title.gradients"), tuple(blocks))


def _loss(name: str) -> Truth:
    return lambda w, t: w.adjoint(name, None)


def _first(trace: Trace, name: str) -> Equation:
    """∂L/∂s_0: what the first step hands back."""
    one = lambda t: Time("", 1 + t.offset) if t.base == "t" else t  # noqa: E731
    symbol = at_time(trace.symbol(name), one)
    made = at_time(trace.spoken(trace.adjoint(name)), one)
    return Equation(Deriv(None, symbol, symbol.labels, "loss"), made, None, lambda w, t: w.loss(trace.prefix + name, 1))


# -- the chain rule in Jacobians ---------------------------------------------------------------------------


def state(trace: Trace, time: Time) -> Sym:
    """The state as one vector: by its own name, or s for all states stacked."""
    if len(trace.step.carried) == 1:
        carry = next(iter(trace.carries.values()))
        return Sym(trace.prefix + carry.of, carry.axes, time)
    return Sym("*", ("*",), time)


def _seen_through_state(trace: Trace) -> bool:
    """Does the loss see the cell through its states alone?"""
    return bool(trace.step.carried) and all(v.name in trace.step.carried.values() for v in trace.cell.outputs)


def _chain(
    trace: Trace, parameter: str, last: Time, step: Time, factors: Formula | list[Formula], start: list[Formula]
) -> Chain:
    middle = factors if isinstance(factors, list) else [factors]
    end = Deriv(state(trace, step), trace.symbol(parameter), (), "direct")
    return Chain(tuple(Map(f, "", "") for f in (*start, *middle, end)), trace.symbol(parameter).labels)


def _general(trace: Trace) -> list[Block]:
    """∂L_t/∂W as the sum over k of the product over j, in Jacobians."""
    if not _seen_through_state(trace) or not trace.cell.params:
        return []
    name = _recurrent(trace)[0]
    k, j = trace.free[:2]
    factor = Deriv(state(trace, Time(j)), state(trace, Time(j, -1)), ("*", "*"))
    product = Big("prod", j, Time(k, 1), NOW, factor)
    body = _chain(trace, name, NOW, Time(k), product, [Deriv(None, state(trace, NOW), (), "loss", NOW)])
    full = Big("sum", k, Time("", 1), NOW, body)
    symbol = trace.symbol(name)
    row = Equation(
        Deriv(None, symbol, symbol.labels, "loss", NOW), full, None, lambda w, t: w.loss(trace.prefix + name, None, t)
    )
    told = [*_stacked(trace), say("gradients.general", parameter=symbol, step=Sym("", (), Time(k), "index"))]
    return [Prose(tuple(told)), Equations((row,))]


def _stacked(trace: Trace) -> list[Phrase]:
    """What s stands for, where it is not a state of the cell itself."""
    return [say("product.state", states=stack(trace), stack=STACK)] if len(trace.step.carried) > 1 else []


def _recurrent(trace: Trace) -> list[str]:
    """Parameters, those that multiply an earlier state first."""
    read = {
        a.name
        for s in trace.step.statements
        for a in s.args
        if any(trace.step.values[b.name].role == "carry" for b in s.args)
    }
    names = [v.name for v in trace.cell.params]
    return sorted(names, key=lambda n: n not in read)


def unrolled(trace: Trace, steps: int, head: Trace | None) -> Section:
    """The recursion written out for a sequence of a few steps, and one loss followed back through all of them."""
    rows = []
    named = [a.of for a in trace.d.adjoints if trace.step.values[a.of].role == "value" and trace.is_named(a.of)]
    states = [v for k, v in trace.step.carried.items() if not trace.carries[k].lag]
    for t in range(steps, 0, -1):
        put = lambda x, t=t: Time("", t + x.offset) if x.base == "t" else x  # noqa: E731
        for value in named if len(named) <= FEW else states:
            made = vanished(at_time(trace.spoken(trace.adjoint(value)), put), steps)
            rows.append(Equation(at_time(trace.symbol(value, "adjoint"), put), made, elementwise=False))
    blocks: list[Block] = [Prose((say("unroll.intro", steps=steps),)), Equations(tuple(rows))]
    if _seen_through_state(trace):
        rows = [
            _followed(trace, head, name, steps)
            for name in _recurrent(trace)[:2]
            + [v.name for v in trace.cell.params if "x" in _partners(trace, v.name)][:1]
        ]
        unique = list({e.left: e for e in rows}.values())
        blocks += [
            Prose((*_stacked(trace), say("unroll.loss", steps=steps))),
            Equations(tuple(unique)),
            Prose((say("unroll.both"),)),
        ]
    return Section("unroll", say("title.unroll", steps=steps), tuple(blocks))


def _partners(trace: Trace, name: str) -> set[str]:
    """Roles are enough here: `x` for an input that the parameter multiplies."""
    found = [b.name for s in trace.step.statements for b in s.args if any(a.name == name for a in s.args)]
    return {"x"} if any(trace.step.values[n].role == "input" for n in found) else set()


def _followed(trace: Trace, head: Trace | None, name: str, steps: int) -> Equation:
    """∂L_T/∂name as one summand for every step at which the parameter was used."""
    last = Time("", steps)
    start: list[Formula] = [Deriv(None, state(trace, last), (), "loss", last)]
    scores = _scores(head)
    if head is not None and scores is not None and len(trace.step.carried) == 1:
        o = Sym(head.prefix + scores, (), last)
        start = [Deriv(None, o, (), "loss", last), Deriv(o, state(trace, last), (), "total")]
    terms = []
    for k in range(steps, 0, -1):
        factors: list[Formula] = [
            Deriv(state(trace, Time("", j)), state(trace, Time("", j - 1)), ("*", "*")) for j in range(steps, k, -1)
        ]
        terms.append(_chain(trace, name, last, Time("", k), factors, start))
    symbol = trace.symbol(name)
    truth = lambda w, t: w.loss(trace.prefix + name, None, steps)  # noqa: E731
    return Equation(Deriv(None, symbol, symbol.labels, "loss", last), add(*terms), None, truth)


def _scores(head: Trace | None) -> str | None:
    """The first equation of a head, a linear map of what the cell emits."""
    return head.cell.equations[0].name if head else None


def vanished(node: Formula, steps: int) -> Formula:
    """The formula without what lies after the last step."""
    if isinstance(node, Sym):
        gone = (
            node.kind in ("adjoint", "seed")
            and node.time is not None
            and not node.time.base
            and node.time.offset > steps
        )
        return ZERO if gone else node
    node = rebuilt(node, lambda x: vanished(x, steps))
    match node:
        case Add():
            return add(*node.args)
        case Neg():
            return neg(node.arg) if node.arg != ZERO else ZERO
        case Mul():
            return mul(*node.args)
        case Div():
            return ZERO if node.top == ZERO else div(node.top, node.bottom)
        case Ein():
            return ZERO if ZERO in node.args else ein(node.args, node.labels)
        case Call():
            return ZERO if node.op == "slice" and ZERO in node.args else node
        case Pow():
            return ZERO if node.base == ZERO else node
    return node


def top(head: Trace, cell: Trace) -> Section:
    """The output layer and its loss, derived by the same two rules, and what they send down into the cell."""
    rows = tuple(Equation(head.symbol(e.name), head.written(e.name), elementwise=True) for e in head.cell.equations)
    blocks: list[Block] = [Prose((say("head.intro"), *([say("head.loss")] if head.is_loss else []))), Equations(rows)]
    back = []
    for a in head.d.adjoints:
        if (
            head.step.values[a.of].role == "value"
            and a.of in head.variables
            and not (head.is_loss and a.of == head.cell.outputs[0].name)
        ):
            back.append(
                Equation(
                    head.symbol(a.of, "adjoint"),
                    head.spoken(head.adjoint(a.of)),
                    reasons(head, a.of, a.contributions),
                    elementwise=True,
                )
            )
    below = next(iter(head.below))
    emitted = head.below[below]
    assert isinstance(emitted, Sym)
    back.append(Equation(Sym(emitted.name, emitted.labels, NOW, "seed"), head.spoken(head.adjoint(below))))
    blocks += [Prose((say("head.back"),)), Equations(tuple(back))]
    if any(isinstance(x, Call) and x.op == "softmax" for e in back for x in walk(e.right)):
        blocks.append(Prose((say("head.softmax"),)))
    grads = tuple(
        Equation(
            Deriv(None, head.symbol(v.name), head.symbol(v.name).labels, "loss"),
            head.spoken(head.adjoint(v.name)),
            None,
            _loss(head.prefix + v.name),
        )
        for v in head.cell.params
    )
    blocks += [Prose((say("head.gradients"),)), Equations(grads)]
    return Section("head", say("title.head"), tuple(blocks))
