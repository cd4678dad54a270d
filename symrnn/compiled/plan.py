"""Program → Plan: statements grouped into kernels and products; members of a concatenation know their place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import sympy as sp

from symrnn.calculus.ir import (
    BATCH,
    TIME,
    AlongAxis,
    Concat,
    Contraction,
    OneHot,
    Peak,
    Pointwise,
    Ref,
    Slice,
    Statement,
    axis_of,
    numbered,
    symbol,
)
from symrnn.compiled.members import Members, members
from symrnn.compiled.ops import Assign, Copy, Map, Op, Product, Reduce, Register, Rows
from symrnn.compiled.rows import Behind, join_rows
from symrnn.schedule.products import outer, times, total
from symrnn.schedule.program import Program, Sweep, read_in


@dataclass(frozen=True)
class Stage:
    """One sweep as operations by block; `sequence` says that the loop became kernels for the whole sequence.

    `members` are computed in their place in a concatenation; `views` are matrices that only leave, as the transposed
    of another.
    """

    sweep: Sweep
    ops: dict[str, tuple[Op, ...]]
    sequence: bool
    members: Members
    views: dict[str, Ref]

    def all(self) -> Iterable[Op]:
        return (op for ops in self.ops.values() for op in ops)


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything a compiled target prints."""

    program: Program
    stages: tuple[Stage, ...]

    def stage(self, sweep: str) -> Stage:
        return next(x for x in self.stages if x.sweep.name == sweep)


@dataclass(frozen=True)
class _Unit:
    """Something to schedule: a line of a fused kernel, another operation, or None for what costs nothing."""

    reads: tuple[str, ...]
    writes: tuple[str, ...]
    line: Assign | None = None
    ops: tuple[Op, ...] = ()


@lru_cache(maxsize=8)
def plan(program: Program) -> Plan:
    """Group the statements of a scheduled program."""
    return Plan(program, tuple(_stage(program, sweep) for sweep in program.sweeps))


def _stage(program: Program, part: Sweep) -> Stage:
    inside, views = members(program, part), _views(program, part)
    units = {name: [_unit(s, program, name, inside, views) for s in block] for name, block in part.blocks()}
    leaving = {*program.results, *program.saved, *(c.source for sweep in program.sweeps for c in sweep.carried)}
    leaving |= program.read_by_others(part)
    kept = leaving | {n for us in units.values() for u in us if u.line is None for n in u.reads}
    groups = {name: _grouped(us, part, name) for name, us in units.items()}
    ops = {
        name: tuple(op for g in gs for op in _ops(g, name, kept | _read_elsewhere(g, groups)))
        for name, gs in groups.items()
    }
    behind = Behind(_places(units), {c.arrives: c.source for c in part.carried})
    ops = _named(join_rows(ops, behind, leaving), part.name)
    sequence = _as_sequence(ops["loop"], part)
    if sequence is not None:
        ops["loop"] = sequence
    return Stage(part, ops, sequence is not None, inside, views)


def _places(units: dict[str, list[_Unit]]) -> dict[str, tuple[str, ...]]:
    """What lies in other values' memory, or is copied together from them."""
    moved = [u for us in units.values() for u in us if u.line is None and all(isinstance(op, Copy) for op in u.ops)]
    return {n: u.reads for u in moved for n in u.writes}


def _views(program: Program, part: Sweep) -> dict[str, Ref]:
    """Results that are nothing but the transposed of a matrix which is no result itself."""
    read = read_in(tuple(program.statements()))
    turned = [s for s in part.statements() if _turns(s) and s.out.name not in read]
    sources = Counter(s.args[0].name for s in turned) + Counter(program.results)  # two results never share memory
    return {s.out.name: s.args[0] for s in turned if sources[s.args[0].name] == 1}


def _turns(s: Statement) -> bool:
    """Is it a matrix transposed, the same for the whole batch and at every step?"""
    if not isinstance(s, Contraction) or len(s.args) > 1 or s.summed or {TIME, BATCH} & {*s.out.labels}:
        return False
    return len(s.out.labels) == 2 and s.args[0].labels == s.out.labels[::-1]


# -- statements to units ---------------------------------------------------------------------------------------


def _unit(s: Statement, program: Program, block: str, inside: Members, views: dict[str, Ref]) -> _Unit:
    reads, writes = tuple(a.name for a in s.args), (s.out.name,)
    if (product := _product(s, program, block)) is not None:
        return _Unit(reads, writes, ops=(product,))
    match s:
        case Pointwise():
            args = tuple((a.name, a) for a in s.args)
            return _Unit(reads, writes, Assign(s.out, s.expr, args, s.equation))
        case Contraction() if _turns(s):
            copies = () if s.out.name in views else (Copy(block, s.out, s.args[0], transposed=True),)
            return _Unit(reads, writes, ops=copies)
        case Contraction() if not s.summed:
            return _Unit(reads, writes, _outer_line(s))
        case Contraction():
            return _Unit(reads, writes, ops=(Reduce("", block, "sum", s.out, s.args, s.equation),))
        case OneHot():
            how = "largest" if s.largest else "smallest"
            return _Unit(reads, writes, ops=(Reduce("", block, how, s.out, s.args, s.equation),))
        case Peak():
            return _Unit(reads, writes, ops=(Reduce("", block, "peak", s.out, s.args, s.equation),))
        case Concat():
            return _Unit(reads, writes, ops=_copies(s, block, inside))
        case Slice():
            return _Unit(reads, writes)
        case AlongAxis():
            raise AssertionError(f"{s} has not been expanded")


def _product(s: Statement, program: Program, block: str) -> Product | None:
    """The statement as a product that a BLAS computes, if it is one."""
    if (t := times(s, program)) is not None:
        return Product("times", block, s.out, t.x, t.weight, t.transposed, t.equation)
    if not isinstance(s, Contraction):
        return None
    if (pair := outer(s, program)) is not None:
        return Product("outer", block, s.out, *pair, equation=s.equation)
    if (d := total(s, program)) is not None:
        return Product("total", block, s.out, d, equation=s.equation)
    return None


def _copies(s: Concat, block: str, inside: Members) -> tuple[Copy, ...]:
    """The operands that are not computed in their place."""
    before = [tuple(axis_of(b.labels[-1]) for b in s.args[:k]) for k in range(len(s.args))]
    places = zip(s.args, before, strict=True)
    return tuple(Copy(block, s.out, a, at) for a, at in places if inside.get(a.name) != (s.out.name, at))


def _outer_line(s: Contraction) -> Assign:
    """A contraction that sums nothing is a product, component by component."""
    names = [a.name if all(a.name != b.name for b in s.args[:k]) else f"{a.name}_again" for k, a in enumerate(s.args)]
    return Assign(s.out, sp.Mul(*(symbol(n) for n in names)), tuple(zip(names, s.args, strict=True)), s.equation)


# -- units to kernels ------------------------------------------------------------------------------------------


def _grouped(units: list[_Unit], part: Sweep, block: str) -> list[list[_Unit]]:
    """Units in an order in which each finds what it reads, as many lines as possible in a kernel."""
    source_of = {c.arrives: c.source for c in part.carried if block != "loop"}
    queue = _Queue(list(units), {n for u in units for n in u.writes}, source_of)
    groups = []
    while queue.waiting:
        groups.append(queue.group())
    return groups


@dataclass
class _Queue:
    """Units not yet placed, the values they will compute, and which of those a shifted copy stands for."""

    waiting: list[_Unit]
    pending: set[str]
    source_of: dict[str, str]

    def group(self) -> list[_Unit]:
        """The next operation; or, where only lines are ready, all lines that can share a kernel with the first."""
        chosen = next((u for u in self.waiting if u.line is None and self.ready(u, {})), None)
        group = [] if chosen is None else [chosen]
        inside: dict[str, Ref] = {}
        while chosen is None and (found := self.line(group, inside)) is not None:
            group.append(found)
        self.waiting = [u for u in self.waiting if not any(u is g for g in group)]
        self.pending -= {n for u in group for n in u.writes}
        assert group, "nothing can be computed next"
        return group

    def line(self, group: list[_Unit], inside: dict[str, Ref]) -> _Unit | None:
        """A line that is ready and runs over the same space as the group."""
        for u in self.waiting:
            if u.line is None or u.line.out.name in inside or not self.ready(u, inside):
                continue
            if not group or (group[0].line is not None and group[0].line.out.labels == u.line.out.labels):
                inside[u.line.out.name] = u.line.out
                return u
        return None

    def ready(self, u: _Unit, inside: dict[str, Ref]) -> bool:
        """Is all there that the unit reads, what the group computes at the very component it is read at?"""
        if any(self.source_of.get(n) in self.pending or (n in self.pending and n not in inside) for n in u.reads):
            return False
        return u.line is None or all(r == inside[r.name] for _, r in u.line.args if r.name in inside)


def _read_elsewhere(group: list[_Unit], groups: dict[str, list[list[_Unit]]]) -> set[str]:
    return {n for gs in groups.values() for g in gs if g is not group for u in g for n in u.reads}


def _ops(group: list[_Unit], block: str, kept: set[str]) -> tuple[Op, ...]:
    if group[0].line is None:
        return group[0].ops
    lines = tuple(u.line for u in group if u.line is not None)
    inside = {x.out.name for x in lines}
    loads = dict.fromkeys(r for x in lines for _, r in x.args if r.name not in inside)
    stores = tuple(x.out for x in lines if x.out.name in kept)
    return (Map("", block, lines[0].out.labels, lines, tuple(loads), stores),)


def _named(blocks: dict[str, tuple[Op, ...]], sweep: str) -> dict[str, tuple[Op, ...]]:
    """Kernels called after their sweep, their block and what they do."""
    taken: set[str] = set()

    def named(op: Op) -> Op:
        if not isinstance(op, Map | Reduce | Rows):
            return op
        stem = "step" if op.block == "loop" else op.block
        what = op.how if isinstance(op, Reduce) else "rows" if isinstance(op, Rows) else ""
        name = numbered("_".join(filter(None, [sweep, stem, what])), taken.__contains__)
        taken.add(name)
        return replace(op, name=name)

    return {block: tuple(named(op) for op in ops) for block, ops in blocks.items()}


# -- a kernel for the whole sequence ---------------------------------------------------------------------------


def _as_sequence(loop: tuple[Op, ...], part: Sweep) -> tuple[Op, ...] | None:
    """The loop as kernels that hold it, if no component ever needs another one's past; None if one does."""
    maps = [op for op in loop if isinstance(op, Map)]
    if not maps or len(maps) < len(loop):
        return None
    carried = {c.arrives: c.source for c in part.carried if c.where == "loop"}
    made = {x.out.name: (k, x.out) for k, m in enumerate(maps) for x in m.lines}
    composed = _composed(part.loop, made)
    needs: list[set[int]] = []
    for k, m in enumerate(maps):
        before = set()
        for r in m.loads:
            source = carried.get(r.name, r.name)
            if source in composed:  # of values, or of parts of values, that several kernels may compute
                return None
            if source in made:
                at, out = made[source]
                if at == k and (r.name not in carried or r.labels != out.labels):
                    return None
                before |= {at} - {k}
        needs.append(before)
    order: list[int] = []
    while len(order) < len(maps):
        free = [k for k in range(len(maps)) if k not in order and needs[k] <= set(order)]
        if not free:
            return None
        order.append(free[0])
    return tuple(_holding(maps[k], carried, made, k) for k in order)


def _composed(loop: Sequence[Statement], made: Iterable[str]) -> set[str]:
    """What consists of values, or of parts of values, that the lines of the loop compute."""
    found: set[str] = set()
    for s in loop:
        if isinstance(s, Concat | Slice) and {*found, *made} & {a.name for a in s.args}:
            found.add(s.out.name)
    return found


def _holding(m: Map, carried: dict[str, str], made: dict[str, tuple[int, Ref]], k: int) -> Map:
    registers = tuple(
        Register(r, made[carried[r.name]][1])
        for r in m.loads
        if r.name in carried and made.get(carried[r.name], (-1, r))[0] == k
    )
    return replace(m, name=m.name.replace("_step", "_sequence"), sequence=True, registers=registers)
