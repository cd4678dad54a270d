"""Ops → ops: maps and reductions over the last axis of the same rows become one kernel, which takes a row through them.

A layer norm is a sum, a map, another sum and another map; as one kernel it reads its row once, and what it needs of the
whole row stays where it is. Other operations stay what they are, each as early as what it reads allows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from symrnn.calculus.ir import BATCH, TIME, Labels, Ref
from symrnn.compiled.ops import Assign, Map, Op, Phase, Reduce, Rows, loaded, stored

Ops = tuple[Op, ...]


@dataclass(frozen=True)
class Behind:
    """What must be there before a name can be read.

    `parts` are what slices and concatenations are places of; `source_of` is what is computed for all steps before its
    shifted copy is read, outside the loop.
    """

    parts: Mapping[str, Sequence[str]]
    source_of: Mapping[str, str]

    def all(self, names: Iterable[str], block: str = "loop") -> set[str]:
        """The names and all that stands behind them."""
        found, waiting = set[str](), list(names)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += self.parts.get(name, ())
                waiting += [self.source_of[name]] if block != "loop" and name in self.source_of else []
        return found


def join_rows(blocks: Mapping[str, Ops], behind: Behind, results: Iterable[str]) -> dict[str, Ops]:
    """The blocks of one sweep with rows joined; `results` leave the sweep."""
    grouped = {name: _Block(ops, name, behind).groups() for name, ops in blocks.items()}
    every = [group for groups in grouped.values() for group in groups]
    kept, readers = behind.all(results), dict[str, set[int]]()
    for k, group in enumerate(every):
        for n in behind.all(r.name for op in group for r in loaded(op)):
            readers.setdefault(n, set()).add(k)
    made: dict[str, list[Op]] = {name: [] for name in blocks}
    for k, group in enumerate(every):
        wanted = kept | {n for n, at in readers.items() if at - {k}}
        made[group[0].block].append(_together(group, wanted))
    return {name: tuple(ops) for name, ops in made.items()}


# -- which operations share rows -------------------------------------------------------------------------------


def _row(op: Op) -> Labels:
    """The labels of a reduction's rows, the last one being that which goes away; () for what cannot be part of one."""
    if not isinstance(op, Reduce) or len(op.over) != 1:
        return ()
    (over,) = op.over
    contiguous = all(over not in a.labels[:-1] for a in op.args)
    return (*op.space, over) if contiguous else ()


def _is_wide(row: Labels) -> bool:
    """Are there many rows to an element of the batch, so that what they share is a vector itself?"""
    return any(label not in (TIME, BATCH) for label in row[:-1])


class _Block:
    """One block, its maps taken apart into lines.

    An operation waits for those at `needs`, which stand before it; with those at `apart` it cannot share rows, for it
    reads what they make at another component than that at which it is made.
    """

    def __init__(self, ops: Ops, block: str, behind: Behind) -> None:
        self.given = ops
        self.rows = list(dict.fromkeys(row for op in ops if (row := _row(op))))
        self.ops = [single for op in ops for single in _lines(op)]
        self.needs: list[set[int]] = []
        self.apart: list[set[int]] = []
        self.waiting: dict[int, None] = {}
        makers: dict[str, list[int]] = {}
        for k, op in enumerate(self.ops):
            read, made = loaded(op), _made(op)
            far = {n for r in read for n in behind.all([r.name], block) - {r.name}}
            far |= {r.name for r in read if any(r not in _made(self.ops[j]) for j in makers.get(r.name, ()))}
            names = far.union(r.name for r in (*read, *made))
            self.needs.append({j for n in names for j in makers.get(n, ())})
            self.apart.append({j for n in far for j in makers.get(n, ())})
            for r in made:
                makers.setdefault(r.name, []).append(k)

    def groups(self) -> list[list[Op]]:
        """The operations in order, those that become one together; as they were if no rows are joined."""
        found = min((self.ordered(maps_first) for maps_first in (True, False)), key=len) if self.rows else []
        return found if any(_is_joined(group) for group in found) else [[op] for op in self.given]

    def ordered(self, maps_first: bool) -> list[list[Op]]:
        """Maps first let more go through rows together; rows first, more lines share a map."""
        self.waiting = dict.fromkeys(range(len(self.ops)))
        groups: list[list[Op]] = []
        while self.waiting:
            group = self.next(maps_first)
            groups.append([self.ops[k] for k in group])
            for k in group:
                del self.waiting[k]
        return groups

    def next(self, maps_first: bool) -> list[int]:
        """What comes next: what shares nothing, then maps over what is no row, then the rows that take most."""
        ready = [k for k in self.waiting if self.is_ready(k, ())]
        alone = [k for k in ready if not isinstance(self.ops[k], Map) and not _row(self.ops[k])]
        if alone:
            return alone[:1]
        rows = [group for row in self.rows if (group := self.group(row))]
        taken = {k for group in rows for k in group}
        maps = [k for k in ready if isinstance(op := self.ops[k], Map) and op.space not in self.rows and k not in taken]
        if not rows or (maps and maps_first):
            return self.map((maps or ready)[0])
        return max(rows, key=len)

    def is_ready(self, k: int, group: Collection[int]) -> bool:
        return all(j in group or j not in self.waiting for j in self.needs[k])

    def can_join(self, k: int, group: Mapping[int, object]) -> bool:
        return self.is_ready(k, group) and not self.apart[k] & group.keys()

    def map(self, first: int) -> list[int]:
        """The lines that can share a kernel with the first now; it alone if it is no line."""
        op = self.ops[first]
        if not isinstance(op, Map):
            return [first]
        group: dict[int, None] = {}
        for k in self.waiting:
            if self.is_map(k, op.space) and self.can_join(k, group):
                group[k] = None
        return [*group]

    def group(self, row: Labels) -> list[int]:
        """What can go through these rows together now; nothing if that is one operation, or has no reduction."""
        group: dict[int, None] = {}
        for k in self.waiting:
            shared = self.is_map(k, row[:-1]) and (not _is_wide(row) or bool(self.needs[k] & group.keys()))
            if (shared or self.is_map(k, row) or _row(self.ops[k]) == row) and self.can_join(k, group):
                group[k] = None
        chosen = self.without_ends(row, [*group]) if _is_wide(row) else [*group]
        return chosen if _is_joined([self.ops[k] for k in chosen]) else []

    def is_map(self, k: int, space: Labels) -> bool:
        op = self.ops[k]
        return isinstance(op, Map) and op.space == space

    def without_ends(self, row: Labels, group: Sequence[int]) -> list[int]:
        """Without what is shared by a row but read by nothing in it: as a map of its own that is vector code."""
        kept: list[int] = []
        read: set[int] = set()
        for k in reversed(group):
            if k in read or not self.is_map(k, row[:-1]):
                kept.append(k)
                read |= self.needs[k]
        return kept[::-1]


def _lines(op: Op) -> list[Op]:
    """A map as maps of one line each; anything else, and what holds the loop over time, as it is."""
    if not isinstance(op, Map):
        return [op]
    return [Map("", op.block, op.space, (x,), tuple(dict.fromkeys(r for _, r in x.args)), (x.out,)) for x in op.lines]


def _made(op: Op) -> tuple[Ref, ...]:
    return (op.lines[0].out,) if isinstance(op, Map) else stored(op)


def _is_joined(group: Sequence[Op]) -> bool:
    return len(group) > 1 and any(isinstance(op, Reduce) for op in group)


# -- groups to operations --------------------------------------------------------------------------------------


def _together(group: Sequence[Op], wanted: Collection[str]) -> Op:
    """One operation for a group; `wanted` is what others read."""
    if len(group) == 1 and not isinstance(group[0], Map):
        return group[0]
    if _is_joined(group):
        return _as_rows(group, wanted)
    return _as_map([op for op in group if isinstance(op, Map)], wanted)


def _as_map(group: Sequence[Map], wanted: Collection[str]) -> Map:
    lines = tuple(x for op in group for x in op.lines)
    inside = {x.out.name for x in lines}
    loads = dict.fromkeys(r for op in group for r in op.loads if r.name not in inside)
    stores = tuple(x.out for x in lines if x.out.name in wanted)
    return Map("", group[0].block, group[0].space, lines, tuple(loads), stores)


@dataclass
class _Draft:
    """A phase while it fills."""

    shared: list[Assign] = field(default_factory=list)
    lines: list[Assign] = field(default_factory=list)
    reduces: list[Reduce] = field(default_factory=list)


def _as_rows(group: Sequence[Op], wanted: Collection[str]) -> Rows:
    """Each line and reduction in the first phase in which everything it reads is known."""
    row = next(row for op in group if (row := _row(op)))
    drafts = [_Draft()]
    known: dict[str, int] = {}  # the first phase that can read a value
    left: set[str] = set()  # what a phase leaves to later ones along the row
    for op in group:
        reads = [r.name for r in loaded(op)]
        k = max((known.get(n, 0) for n in reads), default=0)
        left |= {n for n in reads if known.get(n, k) < k}
        (out,) = _made(op)
        if isinstance(op, Map):
            (drafts[k].lines if out.labels == row else drafts[k].shared).append(op.lines[0])
            known[out.name] = k
            continue
        assert isinstance(op, Reduce)
        drafts[k].reduces.append(op)
        known[out.name] = k + 1
        drafts += [_Draft()] if k + 1 == len(drafts) else []
        if op.how != "sum":  # a search goes over the row again, and what it finds is written there
            left |= {*reads, out.name}
    made = [r for op in group for r in _made(op)]
    phases = (Phase(tuple(d.shared), tuple(d.lines), tuple(d.reduces)) for d in drafts)
    return Rows(
        name="",
        block=group[0].block,
        space=row[:-1],
        over=row[-1],
        phases=tuple(p for p in phases if p.shared or p.lines or p.reduces),
        loads=tuple(dict.fromkeys(r for op in group for r in loaded(op) if r.name not in known)),
        stores=tuple(r for r in made if r.name in wanted or (r.name in left and r.labels == row)),
    )
