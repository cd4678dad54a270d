"""Which statements need the loop over time: those on a cycle through a carried value, and those between two.

What grows, as the outer product of two vectors does, is not kept for all steps: the loop that reads it computes it,
and the way back computes it again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from symrnn.calculus.derive import Derivation
from symrnn.calculus.ir import Pointwise, Statement, Value, expands, over_time, reads
from symrnn.schedule.program import Carried, Entry, Program, Sweep


def place(derivation: Derivation, entry: Entry) -> Program:
    """Everything before the recurrence and after it is done for all steps at once, but for what grows."""
    values, step = derivation.values, derivation.step
    previous = {v.of: n for n, v in step.values.items() if v.role == "carry"}
    ahead = [(k, previous[k], s) for k, s in step.carried.items()]
    sweeps = [_partition(entry.forward, False, step.statements, values, ahead)]
    if entry.backward:
        handed = [(k, arrives, source) for k, (arrives, source) in derivation.handed_back.items()]
        statements = (*_grown_again(step.statements, derivation.statements), *derivation.statements)
        sweeps.append(_partition(entry.backward, True, statements, values, handed))
    outputs = step.outputs if entry.outputs else ()
    gradients = derivation.gradients.values() if entry.backward else ()
    sweeps = [replace(s, resumes=entry.resumes) for s in sweeps]
    return Program(derivation, values, tuple(sweeps), (*outputs, *gradients), apart=entry.apart)


def _partition(
    name: str,
    reverse: bool,
    statements: Iterable[Statement],
    values: dict[str, Value],
    carries: list[tuple[str, str, str]],
) -> Sweep:
    statements = list(statements)
    flow = _Flow(statements, carries)
    timed = {n for n, v in values.items() if v.timed}
    blocks: dict[str, list[Statement]] = {"once": [], "before": [], "loop": [], "after": [], "finish": []}
    for s in statements:
        blocks[_block(s, flow, timed, blocks)].append(s)
    inside = {s.out.name for s in blocks["loop"]} | _for_the_loop(blocks, {source for _, _, source in carries})
    blocks["before"] = [s for s in blocks["before"] if s.out.name not in inside]
    blocks["loop"] = [s for s in statements if s.out.name in inside]
    where = {s.out.name: name for name, block in blocks.items() for s in block}
    return Sweep(
        name,
        reverse,
        once=tuple(blocks["once"]),
        before=_over_time(blocks["before"], timed, carries),
        loop=tuple(blocks["loop"]),
        after=_over_time(blocks["after"], timed, carries),
        finish=tuple(blocks["finish"]),
        carried=tuple(Carried(k, arrives, source, where[source]) for k, arrives, source in carries),
    )


def _block(s: Statement, flow: _Flow, timed: set[str], blocks: dict[str, list[Statement]]) -> str:
    if s.out.name not in timed:
        if any(name in timed for name in reads(s)):
            return "after"
        late = {x.out.name for name in ("after", "finish") for x in blocks[name]}
        return "finish" if any(name in late for name in reads(s)) else "once"
    if s.out.name not in flow.after_cycle:
        return "before"
    return "loop" if s.out.name in flow.before_cycle else "after"


def _for_the_loop(blocks: dict[str, list[Statement]], carried: set[str]) -> set[str]:
    """What grows before the loop, and is read there alone."""
    readers: dict[str, list[str]] = {}
    for s in (s for block in blocks.values() for s in block):
        for name in reads(s):
            readers.setdefault(name, []).append(s.out.name)
    grown = _growing(blocks["before"]) - carried
    inside = {s.out.name for s in blocks["loop"]}
    for s in reversed(blocks["before"]):
        name = s.out.name
        if name in grown and name in readers and inside.issuperset(readers[name]):
            inside.add(name)
    return inside


def _grown_again(forward: Iterable[Statement], backward: Iterable[Statement]) -> list[Statement]:
    """What grows on the way forward and is read on the way back."""
    wanted, again = {name for s in backward for name in reads(s)}, list[Statement]()
    for s in reversed(list(forward)):
        if expands(s) and s.out.name in wanted:
            wanted |= {*reads(s)}
            again.append(s)
    return again[::-1]


def _growing(statements: Iterable[Statement]) -> set[str]:
    """What grows, and what is elementwise in it."""
    grown = set[str]()
    for s in statements:
        others = [a for a in s.args if a.name not in grown]
        elementwise = isinstance(s, Pointwise) and len(others) < len(s.args)
        if expands(s) or (elementwise and all(len(a.labels) < len(s.out.labels) for a in others)):
            grown.add(s.out.name)
    return grown


class _Flow:
    """Which values depend on a cycle through time, and which feed one."""

    def __init__(self, statements: list[Statement], carries: list[tuple[str, str, str]]) -> None:
        self.readers: dict[str, list[str]] = {}
        self.read: dict[str, list[str]] = {}
        edges = [(name, s.out.name) for s in statements for name in reads(s)]
        for a, b in [*edges, *((source, arrives) for _, arrives, source in carries)]:
            self.readers.setdefault(a, []).append(b)
            self.read.setdefault(b, []).append(a)
        cyclic = [arrives for _, arrives, source in carries if source in _reach([arrives], self.readers)]
        self.after_cycle = _reach(cyclic, self.readers)
        self.before_cycle = _reach(cyclic, self.read)


def _reach(starts: list[str], edges: dict[str, list[str]]) -> set[str]:
    seen, stack = set(starts), list(starts)
    while stack:
        for name in edges.get(stack.pop(), ()):
            if name not in seen:
                seen.add(name)
                stack.append(name)
    return seen


def _over_time(
    statements: list[Statement], timed: set[str], carries: list[tuple[str, str, str]]
) -> tuple[Statement, ...]:
    """The block for all steps at once; what is carried inside it is computed before its shifted copy is read."""
    source_of = {arrives: source for _, arrives, source in carries}
    waiting, done = list(statements), []
    pending = {s.out.name for s in waiting}
    while waiting:
        chosen = next(s for s in waiting if not any(n in pending or source_of.get(n) in pending for n in reads(s)))
        waiting.remove(chosen)
        pending.discard(chosen.out.name)
        done.append(over_time(chosen, timed))
    return tuple(done)
