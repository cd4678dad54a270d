"""Program → Plan: statements grouped into kernels and products, and a home for every value that needs memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import sympy as sp

from symrnn.calculus.ir import (
    AlongAxis,
    Concat,
    Contraction,
    OneHot,
    Peak,
    Pointwise,
    Ref,
    Slice,
    Statement,
    numbered,
    symbol,
)
from symrnn.compiled.ops import Assign, Copy, Map, Op, Product, Reduce, Register, Rows
from symrnn.compiled.pack import Packs, apart, count_uses, detached, pack, results
from symrnn.compiled.rows import Behind, join_rows
from symrnn.schedule.products import SumOfProducts, outer, sums_of_products, times, total
from symrnn.schedule.program import Program, Sweep


@dataclass(frozen=True)
class Stage:
    """One sweep as operations by block; `sequence` says that the loop became kernels for the whole sequence."""

    sweep: Sweep
    ops: dict[str, tuple[Op, ...]]
    sequence: bool

    def all(self) -> Iterable[Op]:
        return (op for ops in self.ops.values() for op in ops)


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything a compiled target prints. `memory` names the values that live in a buffer."""

    program: Program
    packs: Packs
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
    program = detached(apart(program))
    single = program.sweeps[0].single  # which would pay more for matrices side by side than it saves
    packs = Packs() if single else pack(program)
    return Plan(program, packs, tuple(_stage(program, packs, sweep) for sweep in program.sweeps))


def _stage(program: Program, packs: Packs, part: Sweep) -> Stage:
    units = {name: _units(program, packs, name, block) for name, block in part.blocks()}
    kept = results(program) | {n for us in units.values() for u in us if u.line is None for n in u.reads}
    kept |= program.read_by_others(part)
    groups = {name: _grouped(us, part, name) for name, us in units.items()}
    ops = {
        name: tuple(op for g in gs for op in _ops(g, name, kept | _read_elsewhere(g, groups)))
        for name, gs in groups.items()
    }
    behind = Behind(_places(units), {c.arrives: c.source for c in part.carried})
    ops = _named(join_rows(ops, behind, results(program) | program.read_by_others(part)), part.name)
    sequence = _as_sequence(ops["loop"], part)
    if sequence is not None:
        ops["loop"] = sequence
    return Stage(part, ops, sequence is not None)


def _places(units: dict[str, list[_Unit]]) -> dict[str, tuple[str, ...]]:
    """What lies in other values' memory, or is copied together from them."""
    moved = [u for us in units.values() for u in us if u.line is None and all(isinstance(op, Copy) for op in u.ops)]
    return {n: u.reads for u in moved for n in u.writes}


# -- statements to units ---------------------------------------------------------------------------------------


@dataclass
class _Draft:
    """A block while products merge: what each merged value's unit is, and whose statement is gone."""

    block: str
    statements: list[Statement]
    merged: dict[str, _Unit]
    dropped: set[str]


def _units(program: Program, packs: Packs, block: str, statements: Sequence[Statement]) -> list[_Unit]:
    draft = _Draft(block, list(statements), {}, set())
    for found in list(sums_of_products(statements, program, count_uses(program))):
        _merge_sum(found, packs, draft)
    _merge_shared(program, packs, draft)
    units = []
    for s in draft.statements:
        if s.out.name in draft.merged:
            units.append(draft.merged[s.out.name])
        elif s.out.name not in draft.dropped:
            units.append(_unit(packs, block, s))
    return units


def _merge_sum(found: SumOfProducts, packs: Packs, draft: _Draft) -> None:
    """Products that one statement adds up become one product of operands side by side."""
    s, expr, gone = found.statement, found.statement.expr, set[str]()
    made: list[tuple[str, Product]] = []
    runs = packs.runs([t.x.name for t in found.terms])
    for run in runs:
        if len(run) == 1 and (len(runs) > 1 or expr != found.terms[0].out.symbol):
            continue
        terms = [found.terms[k] for k in run]
        expr = expr - sum(t.out.symbol for t in terms[1:])
        gone |= {t.out.name for t in terms[1:]}
        weights = tuple((t.weight, t.transposed) for t in terms)
        lefts, first = tuple(t.x for t in terms), terms[0].out
        made.append((first.name, Product("times", draft.block, lefts, (first,), weights, equation=s.equation)))
    draft.dropped |= gone
    if len(made) == 1 and expr == symbol(made[0][0]):
        draft.merged[s.out.name] = _product_unit(replace(made[0][1], outs=(s.out,)))
        draft.dropped.add(made[0][0])
        return
    draft.merged |= {name: _product_unit(product) for name, product in made}
    args = tuple(a for a in s.args if a.name not in gone)
    draft.statements[draft.statements.index(s)] = replace(s, expr=expr, args=args)


def _product_unit(product: Product) -> _Unit:
    reads = [r.name for r in product.left] + [w.name for w, _ in product.weights]
    reads += [product.right.name] if product.right is not None else []
    return _Unit(tuple(reads), tuple(o.name for o in product.outs), ops=(product,))


@dataclass(frozen=True)
class _Entry:
    """A product that may share an operand with others."""

    out: Ref
    left: Ref
    weight: tuple[Ref, bool] | None
    equation: str


def _merge_shared(program: Program, packs: Packs, draft: _Draft) -> None:
    """Products of one operand with several matrices, and gradients that share an operand, become one product each."""
    read = {a.name for s in program.statements() for a in s.args}
    shared: dict[tuple[str, Ref | None], list[_Entry]] = {}
    for s in draft.statements:
        if s.out.name in draft.merged or s.out.name in draft.dropped:
            continue
        if (t := times(s, program)) is not None:
            shared.setdefault(("times", t.x), []).append(_Entry(s.out, t.x, (t.weight, t.transposed), s.equation))
        elif (pair := outer(s, program)) is not None:
            shared.setdefault(("outer", pair[1]), []).append(_Entry(s.out, pair[0], None, s.equation))
        elif (d := total(s, program)) is not None:
            shared.setdefault(("total", None), []).append(_Entry(s.out, d, None, s.equation))
    for (kind, operand), entries in shared.items():
        names = [(e.out if kind == "times" else e.left).name for e in entries]
        alone = len(set(names)) < len(names) or (kind != "times" and any(e.out.name in read for e in entries))
        for run in [[k] for k in range(len(names))] if alone else packs.runs(names):
            chosen = [entries[k] for k in run]
            outs = tuple(e.out for e in chosen)
            left = tuple(e.left for e in (chosen[:1] if kind == "times" else chosen))
            weights = tuple(e.weight for e in chosen if e.weight is not None)
            right = operand if kind == "outer" else None
            product = Product(kind, draft.block, left, outs, weights, right, chosen[0].equation)
            draft.merged[outs[0].name] = _product_unit(product)
            draft.dropped |= {o.name for o in outs[1:]}


def _unit(packs: Packs, block: str, s: Statement) -> _Unit:
    reads = tuple(a.name for a in s.args)
    match s:
        case Pointwise():
            args = tuple((a.name, a) for a in s.args)
            return _Unit(reads, (s.out.name,), Assign(s.out, s.expr, args, s.equation))
        case Contraction() if not s.summed:
            return _Unit(reads, (s.out.name,), _outer_line(s))
        case Contraction():
            return _Unit(reads, (s.out.name,), ops=(Reduce("", block, "sum", s.out, s.args, s.equation),))
        case OneHot():
            how = "largest" if s.largest else "smallest"
            return _Unit(reads, (s.out.name,), ops=(Reduce("", block, how, s.out, s.args, s.equation),))
        case Peak():
            return _Unit(reads, (s.out.name,), ops=(Reduce("", block, "peak", s.out, s.args, s.equation),))
        case Concat():
            placed = packs.members.get(s.out.name) == reads
            copies = () if placed else tuple(Copy(block, a, s.out) for a in s.args)
            return _Unit(reads, (s.out.name,), ops=copies)
        case Slice():
            return _Unit(reads, (s.out.name,))
        case AlongAxis():
            raise AssertionError(f"{s} has not been expanded")


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
    needs: list[set[int]] = []
    for k, m in enumerate(maps):
        before = set()
        for r in m.loads:
            source = carried.get(r.name, r.name)
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


def _holding(m: Map, carried: dict[str, str], made: dict[str, tuple[int, Ref]], k: int) -> Map:
    registers = tuple(
        Register(r, made[carried[r.name]][1])
        for r in m.loads
        if r.name in carried and made.get(carried[r.name], (-1, r))[0] == k
    )
    return replace(m, name=m.name.replace("_step", "_sequence"), sequence=True, registers=registers)
