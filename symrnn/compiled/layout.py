"""Where every value of a plan lives: buffers, columns of shared buffers, rows of carried values."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from symrnn.calculus.ir import Slice, Statement, numbered
from symrnn.compiled.ops import Buffer, Home, Map, loaded, stored
from symrnn.compiled.plan import Plan, Stage
from symrnn.language.cell import Axes
from symrnn.schedule.program import Carried, Sweep


@dataclass(eq=False)
class Layout:
    """`homes` by value; `owner` says which sweep fills a buffer; `carries` maps (sweep, key) to its buffer."""

    plan: Plan
    homes: dict[str, Home] = field(default_factory=dict)
    owner: dict[str, str] = field(default_factory=dict)
    carries: dict[tuple[str, str], Buffer] = field(default_factory=dict)

    def buffers(self, sweep: str) -> list[Buffer]:
        """The buffers a sweep fills, each once, in order."""
        found = {h.buffer.name: h.buffer for h in self.homes.values()}
        return [b for name, b in found.items() if self.owner.get(name) == sweep]


@lru_cache(maxsize=8)
def layout(plan: Plan) -> Layout:
    """A home for every value that some operation loads or stores."""
    made = Layout(plan)
    values = plan.program.values
    for v in values.values():
        if v.role in ("input", "param", "seed"):
            made.homes[v.name] = Home(Buffer(v.name, "T" if v.timed else "", v.batched, v.axes))
    for stage in plan.stages:
        _Filler(made, stage).fill()
    return made


class _Filler:
    def __init__(self, made: Layout, stage: Stage) -> None:
        self.made, self.stage = made, stage
        self.part: Sweep = stage.sweep
        self.values = made.plan.program.values
        self.block = {s.out.name: b for b, ss in self.part.blocks() for s in ss}
        self.crossing = self.whole_sequence() if self.stage.sequence else set()

    def whole_sequence(self) -> set[str]:
        """What whole-sequence kernels find in memory, not in registers of their own: kept for every step."""
        maps = [op for op in self.stage.ops["loop"] if isinstance(op, Map)]
        return {r.name for op in maps for r in op.loads if all(r != x.arrives for x in op.registers)}

    def fill(self) -> None:
        for c in self.part.carried:
            self.carried(c)
        for _, block in self.part.blocks():
            for s in block:
                self.statement(s)
        for name in [n for n in self.made.plan.packs.members if n not in self.made.homes]:
            self.pack(name)

    def carried(self, c: Carried) -> None:
        value = self.values[c.arrives]
        full = c.stored or not self.crossing.isdisjoint((c.arrives, c.source))
        name = numbered(f"{c.source}_rows", self.values.__contains__)
        buffer = Buffer(name, "T+1" if full else "2", value.batched, value.axes)
        early, late = Home(buffer, 0), Home(buffer, 1)
        self.made.homes[c.arrives], self.made.homes[c.source] = (late, early) if self.part.reverse else (early, late)
        self.made.carries[self.part.name, c.key] = buffer
        self.made.owner[name] = self.part.name

    def statement(self, s: Statement) -> None:
        name = s.out.name
        if name in self.made.homes:
            return
        if isinstance(s, Slice):
            base = self.made.homes[s.args[0].name]
            self.made.homes[name] = Home(base.buffer, base.shift, base.offset + s.before)
        elif name in self.made.plan.packs.place:
            pack = self.made.plan.packs.place[name][0]
            if pack not in self.made.homes:
                self.pack(pack)
        else:
            value = self.values[name]
            self.made.homes[name] = Home(Buffer(name, self.rows([name]), value.batched, value.axes))
            self.made.owner[name] = self.part.name

    def pack(self, pack: str) -> None:
        members = self.made.plan.packs.members[pack]
        if members[0] not in self.block:
            return
        axes: Axes = ()
        concat = [pack] if pack in self.block else []
        buffer = Buffer(
            pack, self.rows([*members, *concat]), True, tuple(a for m in members for a in self.values[m].axes)
        )
        for m in members:
            self.made.homes[m] = Home(buffer, 0, axes)
            axes += self.values[m].axes
        if concat:
            self.made.homes[pack] = Home(buffer)
        self.made.owner[pack] = self.part.name

    def rows(self, names: list[str]) -> str:
        """ "T" for what is kept for every step."""
        if not self.values[names[0]].timed:
            return ""
        loop = self.block[names[0]] == "loop"
        kept = {*self.part.stored, *self.made.plan.program.saved, *self.crossing}
        return "T" if not loop or kept & self.with_slices(names) else ""

    def with_slices(self, names: list[str]) -> set[str]:
        """The names and whatever is a slice of one of them, for a slice lives where the whole does."""
        found = set(names)
        for s in self.part.statements():
            if isinstance(s, Slice) and s.args[0].name in found:
                found.add(s.out.name)
        return found


def in_memory(plan: Plan) -> set[str]:
    """Names of the values some operation loads from memory or stores there."""
    return {r.name for stage in plan.stages for op in stage.all() for r in (*loaded(op), *stored(op))}
