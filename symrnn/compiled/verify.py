"""No plan is printed that reads memory before it is written, writes it twice, or lets components race."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from symrnn.calculus.ir import Ref
from symrnn.compiled.layout import Layout, parts
from symrnn.compiled.ops import Buffer, Copy, Home, Map, Op, Rows, loaded, stored
from symrnn.compiled.plan import Stage

#: A piece of memory: a buffer, the rows by how far they are shifted, and which of the axes that lie side by side.
Place = tuple[Buffer, int, int]
NOWHERE = ("const", "size", "time", "identity")


@lru_cache(maxsize=8)
def verify(made: Layout) -> Layout:
    """The layout. Raises AssertionError if some operation would find something else than the value it names."""
    written: set[Place] = set()
    for stage in made.plan.stages:
        check = _Check(made, stage, written)
        check.run()
        written |= check.written
    return made


class _Check:
    """One sweep; `earlier` is what the sweeps before have written."""

    def __init__(self, made: Layout, stage: Stage, earlier: set[Place]) -> None:
        self.values, self.stage, self.homes = made.plan.program.values, stage, made.homes[stage.sweep.name]
        given = [n for n in self.homes if self.values[n].role in ("param", "input", "seed")]
        entering = [*given, *(c.arrives for c in stage.sweep.carried)]
        self.written = {p for n in entering for p in self.places(n)} | earlier
        self.now: set[Place] = set()

    def run(self) -> None:
        for op in self.stage.all():
            for r in loaded(op):
                missing = {*self.places(r.name)} - self.written - self.own(op)
                assert not missing, f"{r.name} is read before it is written in {op}"
            self.race(op)
            for r in dict.fromkeys(stored(op)):
                self.write(op, r)

    def places(self, name: str) -> Iterator[Place]:
        """Where a value lies; a value of no memory lies nowhere."""
        if self.values[name].role not in NOWHERE:
            home = self.homes[name]
            yield from self.stretch(home, len(parts(home.offset)), len(parts(self.values[name].axes[-1:])))

    def stretch(self, home: Home, start: int, count: int) -> Iterator[Place]:
        return ((home.buffer, home.shift, k) for k in range(start, start + max(count, 1)))

    def target(self, op: Op, ref: Ref) -> set[Place]:
        """Where the operation writes a value, or a part of it."""
        if not isinstance(op, Copy):
            return {*self.places(ref.name)}
        home, axes = self.homes[ref.name], self.values[op.source.name].axes
        moved = parts(axes[:1] if op.transposed else axes[-1:])
        return {*self.stretch(home, len(parts((*home.offset, *op.before))), len(moved))}

    def write(self, op: Op, ref: Ref) -> None:
        fresh = self.target(op, ref)
        assert not fresh & self.now, f"{ref.name} is written over something in {op}"
        self.now |= fresh
        self.written |= fresh

    def own(self, op: Op) -> set[Place]:
        """What the operation finds because it has written it itself, in a phase before."""
        return {p for r in stored(op) for p in self.places(r.name)} if isinstance(op, Rows) else set()

    def race(self, op: Op) -> None:
        """Where an operation reads what it writes, each component reads its own."""
        outs = {p: r for r in stored(op) for p in self.target(op, r)}
        registers = {x.arrives for x in op.registers} if isinstance(op, Map) else set()
        for r in loaded(op):
            for place in self.places(r.name):
                other = outs.get(place)
                same = other is None or (isinstance(op, Map | Rows) and other.labels == r.labels)
                assert same or r in registers, f"{r.name} and {other} share memory in {op}"
