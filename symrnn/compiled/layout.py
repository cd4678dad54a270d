"""Where every value of a plan lives: buffers, stretches of shared buffers, rows of carried values."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache

from symrnn.calculus.ir import Slice, numbered
from symrnn.compiled.ops import Buffer, Copy, Home, Map, Product, loaded, stored
from symrnn.compiled.plan import Plan, Stage
from symrnn.language.cell import Axes, axis_parts
from symrnn.schedule.program import Carried, Sweep


@dataclass(eq=False)
class Layout:
    """For every sweep, by name: the `homes` of the values it can see, the `filled` buffers, and `carries` by key."""

    plan: Plan
    homes: dict[str, dict[str, Home]] = field(default_factory=dict)
    filled: dict[str, list[Buffer]] = field(default_factory=dict)
    carries: dict[str, dict[str, Buffer]] = field(default_factory=dict)


@lru_cache(maxsize=8)
def layout(plan: Plan) -> Layout:
    """A home for every value that some operation loads or stores."""
    made = Layout(plan)
    homes = {
        v.name: Home(Buffer(v.name, "T" if v.timed else "", v.batched, v.axes))
        for v in plan.program.values.values()
        if v.role in ("input", "param", "seed")
    }
    taken: dict[str, Buffer] = {}
    for stage in plan.stages:
        filler = _Filler(plan, stage, homes, taken)
        filler.fill()
        name, homes = stage.sweep.name, filler.homes
        made.homes[name], made.filled[name], made.carries[name] = homes, filler.filled, filler.carries
        taken |= {b.name: b for b in (*in_memory(made, name), *filler.carries.values())}
    return made


class _Filler:
    """Finds the homes of one sweep, beside those of the sweeps before it."""

    def __init__(self, plan: Plan, stage: Stage, earlier: dict[str, Home], taken: dict[str, Buffer]) -> None:
        self.plan, self.stage, self.taken = plan, stage, taken
        self.part: Sweep = stage.sweep
        self.values = plan.program.values
        self.statements = {s.out.name: s for s in self.part.statements()}
        self.earlier = {name: home for name, home in earlier.items() if name not in self.statements}
        self.homes = dict(self.earlier)
        self.filled: list[Buffer] = []
        self.carries: dict[str, Buffer] = {}
        self.inside = stage.members | {
            s.out.name: (s.args[0].name, s.before) for s in self.statements.values() if isinstance(s, Slice)
        }
        self.crossing = self.whole_sequence() if stage.sequence else set()
        self.sharing = self.sharers()
        kernels = [op for op in stage.all() if not isinstance(op, Product | Copy)]
        self.by_kernels = {self.root(r.name) for op in kernels for r in (*loaded(op), *stored(op))}

    def whole_sequence(self) -> set[str]:
        """What whole-sequence kernels find in memory, not in registers of their own: kept for every step."""
        maps = [op for op in self.stage.ops["loop"] if isinstance(op, Map)]
        return {r.name for op in maps for r in op.loads if all(r != x.arrives for x in op.registers)}

    def root(self, name: str) -> str:
        """What the value is a part of, perhaps itself."""
        while name in self.inside:
            name = self.inside[name][0]
        return name

    def sharers(self) -> dict[str, set[str]]:
        """Everything that lives in one buffer, by its root."""
        found: dict[str, set[str]] = {}
        for name in self.statements:
            found.setdefault(self.root(name), set()).add(name)
        return found

    def fill(self) -> None:
        for c in self.part.carried:
            self.carried(c)
        for name in self.statements:
            if name not in self.stage.views:
                self.home(name)

    def carried(self, c: Carried) -> None:
        value = self.values[c.arrives]
        full = c.stored or not self.crossing.isdisjoint((c.arrives, c.source))
        name = self.unique(f"{c.source}_rows")
        buffer = Buffer(name, "T+1" if full else "2", value.batched, value.axes)
        early, late = Home(buffer, 0), Home(buffer, 1)
        self.homes[c.arrives], self.homes[c.source] = (late, early) if self.part.reverse else (early, late)
        self.carries[c.key] = buffer
        self.filled.append(buffer)

    def home(self, name: str) -> Home:
        """Where the value lives; a part of another one where that lives."""
        if name not in self.homes:
            if name in self.inside:
                whole, before = self.inside[name]
                base = self.home(whole)
                self.homes[name] = Home(base.buffer, base.shift, base.offset + before)
            else:
                value = self.values[name]
                buffer = Buffer(name, self.rows(name), value.batched, value.axes, self.turned(name))
                buffer = replace(buffer, name=self.own_name(buffer))
                self.homes[name] = Home(buffer)
                self.filled.append(buffer)
        return self.homes[name]

    def own_name(self, buffer: Buffer) -> str:
        """That of its value, and how it differs from one of that name that a sweep before fills.

        In a function of its own it has that name too if it does not differ: a thread keeps one array for both.
        """
        before = self.taken.get(buffer.name)
        if before is None or (before == buffer and self.plan.program.apart):
            return buffer.name
        if buffer.turned != before.turned:
            return self.unique(f"{buffer.name}_T")
        return self.unique(f"{buffer.name}_{'again' if buffer.rows == before.rows else 'steps'}")

    def unique(self, name: str) -> str:
        """A name that no value has, nor a buffer of the sweeps before; each makes matrices of one name for itself."""
        return numbered(name, lambda n: n in self.values or n in self.taken)

    def rows(self, root: str) -> str:
        """ "T" for what is kept for every step."""
        if not self.values[root].timed:
            return ""
        loop = any(s.out.name == root for s in self.part.loop)
        kept = {*self.part.stored, *self.plan.program.saved, *self.crossing}
        return "T" if not loop or kept & self.sharing[root] else ""

    def turned(self, root: str) -> bool:
        """Is a matrix that no kernel touches best stored as the first product of the loop, or of all, reads it?"""
        value = self.values[root]
        if value.timed or value.batched or len(value.axes) != 2 or root in {*self.by_kernels, *self.plan.program.saved}:
            return False
        products = [op for op in self.stage.all() if isinstance(op, Product)]
        read = [op for op in products if op.right is not None and self.root(op.right.name) == root]
        read.sort(key=lambda op: op.block != "loop")
        if read:
            return read[0].transposed
        return any(self.root(r.name) == root for r in self.stage.views.values())


def stretch(home: Home, axes: Axes) -> tuple[Axes, Axes] | None:
    """Where these axes begin and end in the last axis of their buffer; None if they are all of it."""
    end = home.offset + axes
    return None if parts(end) == parts(home.buffer.axes[-1:]) and not home.offset else (home.offset, end)


def parts(axes: Axes) -> list[str]:
    """The plain axes that lie side by side, in order."""
    return [p for axis in axes for p in axis_parts(axis)]


def in_memory(made: Layout, sweep: str) -> set[Buffer]:
    """The buffers from which some operation of the sweep loads, or where it stores."""
    refs = [r for op in made.plan.stage(sweep).all() for r in (*loaded(op), *stored(op))]
    return {made.homes[sweep][r.name].buffer for r in refs if r.name in made.homes[sweep]}
