"""Program → Plan: statements grouped into kernels and products, and a home for every value that needs memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import sympy as sp

from symrnn.ir import (
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
from symrnn.kernels.ops import Assign, Copy, Map, Op, Product, Reduce, Register
from symrnn.kernels.pack import Packs, count_uses, detached, outer, pack, results, sums_of_products, times, total
from symrnn.program import Pass, Program


@dataclass(frozen=True)
class Stage:
    """One direction as operations by block; `sequence` says that the loop became kernels for the whole sequence."""

    direction: str
    ops: dict[str, tuple[Op, ...]]
    sequence: bool

    def all(self) -> Iterable[Op]:
        return (op for ops in self.ops.values() for op in ops)


@dataclass(frozen=True)
class Plan:
    """Everything a compiled target prints. `memory` names the values that live in a buffer."""

    program: Program
    packs: Packs
    forward: Stage
    backward: Stage

    def stage(self, direction: str) -> Stage:
        stage: Stage = getattr(self, direction)
        return stage


@dataclass(frozen=True)
class _Unit:
    """Something to schedule: a line of a fused kernel, another operation, or None for what costs nothing."""

    reads: tuple[str, ...]
    writes: tuple[str, ...]
    line: Assign | None = None
    ops: tuple[Op, ...] = ()


def plan(program: Program) -> Plan:
    """Group the statements of a scheduled program."""
    program = detached(program)
    packs = pack(program)
    return Plan(program, packs, _stage(program, packs, "forward"), _stage(program, packs, "backward"))


def _stage(program: Program, packs: Packs, direction: str) -> Stage:
    part: Pass = getattr(program, direction)
    units = {name: _units(program, packs, name, block) for name, block in part.blocks()}
    kept = results(program) | {n for us in units.values() for u in us if u.line is None for n in u.reads}
    if direction == "forward":
        kept |= {a.name for s in program.backward.statements() for a in s.args}
    groups = {name: _grouped(us, part, name) for name, us in units.items()}
    taken: set[str] = set()
    ops = {
        name: tuple(op for g in gs for op in _ops(g, direction, name, kept | _read_elsewhere(g, groups), taken))
        for name, gs in groups.items()
    }
    sequence = _as_sequence(ops["loop"], part)
    if sequence is not None:
        ops["loop"] = sequence
    return Stage(direction, ops, sequence is not None)


# -- statements to units ---------------------------------------------------------------------------------------


def _units(program: Program, packs: Packs, block: str, statements: Sequence[Statement]) -> list[_Unit]:
    uses = count_uses(program)
    merged: dict[str, _Unit] = {}
    dropped: set[str] = set()
    statements = list(statements)
    for found in list(sums_of_products(statements, program, uses)):
        _merge_sum(found, packs, block, statements, merged, dropped)
    _merge_shared(program, packs, block, statements, merged, dropped)
    units = []
    for s in statements:
        if s.out.name in merged:
            units.append(merged[s.out.name])
        elif s.out.name not in dropped:
            units.append(_unit(program, packs, block, s))
    return units


def _merge_sum(found, packs, block, statements, merged, dropped) -> None:  # type: ignore[no-untyped-def]
    """Products that one statement adds up become one product of operands side by side."""
    s = found.statement
    expr, gone = s.expr, set[str]()
    made: list[tuple[str, Product]] = []
    runs = packs.runs([t.x.name for t in found.terms])
    for run in runs:
        if len(run) == 1 and (len(runs) > 1 or expr != found.terms[0].out.symbol):
            continue
        terms = [found.terms[k] for k in run]
        first, rest = terms[0], terms[1:]
        expr = expr - sum(t.out.symbol for t in rest)
        gone |= {t.out.name for t in rest}
        weights = tuple((t.weight, t.transposed) for t in terms)
        product = Product("times", block, tuple(t.x for t in terms), (first.out,), weights, equation=s.equation)
        made.append((first.out.name, product))
    if len(made) == 1 and expr == symbol(made[0][0]):
        product = replace(made[0][1], outs=(s.out,))
        merged[s.out.name] = _product_unit(product)
        dropped |= gone | {made[0][0]}
        return
    for name, product in made:
        merged[name] = _product_unit(product)
    dropped |= gone
    args = tuple(a for a in s.args if a.name not in gone)
    statements[statements.index(s)] = replace(s, expr=expr, args=args)


def _product_unit(product: Product) -> _Unit:
    reads = [r.name for r in product.left] + [w.name for w, _ in product.weights]
    reads += [product.right.name] if product.right is not None else []
    return _Unit(tuple(reads), tuple(o.name for o in product.outs), ops=(product,))


def _merge_shared(program, packs, block, statements, merged, dropped) -> None:  # type: ignore[no-untyped-def]
    """Products of one operand with several matrices, and gradients that share an operand, become one product each."""
    read = {a.name for p in (program.forward, program.backward) for s in p.statements() for a in s.args}
    shared: dict[tuple[str, Ref | None], list[tuple[Ref, Ref, tuple[Ref, bool] | None, str]]] = {}
    for s in statements:
        if s.out.name in merged or s.out.name in dropped:
            continue
        if (t := times(s, program)) is not None:
            shared.setdefault(("times", t.x), []).append((s.out, t.x, (t.weight, t.transposed), s.equation))
        elif (pair := outer(s, program)) is not None:
            shared.setdefault(("outer", pair[1]), []).append((s.out, pair[0], None, s.equation))
        elif (d := total(s, program)) is not None:
            shared.setdefault(("total", None), []).append((s.out, d, None, s.equation))
    for (kind, operand), entries in shared.items():
        names = [out.name if kind == "times" else left.name for out, left, _, _ in entries]
        alone = kind != "times" and any(out.name in read for out, *_ in entries)
        runs = [[k] for k in range(len(names))] if alone or len(set(names)) < len(names) else packs.runs(names)
        for run in runs:
            chosen = [entries[k] for k in run]
            outs = tuple(out for out, *_ in chosen)
            left = (operand,) if kind == "times" else tuple(left for _, left, _, _ in chosen)
            weights = tuple(w for _, _, w, _ in chosen if w is not None)
            right = operand if kind == "outer" else None
            merged[outs[0].name] = _product_unit(Product(kind, block, left, outs, weights, right, chosen[0][3]))
            dropped |= {o.name for o in outs[1:]}


def _unit(program: Program, packs: Packs, block: str, s: Statement) -> _Unit:
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


def _outer_line(s: Contraction) -> Assign:
    """A contraction that sums nothing is a product, component by component."""
    names = [a.name if all(a.name != b.name for b in s.args[:k]) else f"{a.name}_again" for k, a in enumerate(s.args)]
    return Assign(s.out, sp.Mul(*(symbol(n) for n in names)), tuple(zip(names, s.args, strict=True)), s.equation)


# -- units to kernels ------------------------------------------------------------------------------------------


def _grouped(units: list[_Unit], part: Pass, block: str) -> list[list[_Unit]]:
    """Units in an order in which each finds what it reads, as many lines as possible in a kernel."""
    source_of = {c.arrives: c.source for c in part.carried if block != "loop"}
    waiting, groups = list(units), []
    pending = {n for u in units for n in u.writes}

    def ready(u: _Unit, inside: dict[str, Ref]) -> bool:
        for name in u.reads:
            if source_of.get(name) in pending:
                return False
            if name in pending and name not in inside:
                return False
        return u.line is None or all(r == inside[r.name] for _, r in u.line.args if r.name in inside)

    while waiting:
        chosen = next((u for u in waiting if u.line is None and ready(u, {})), None)
        if chosen is not None:
            group = [chosen]
        else:
            first = next(u for u in waiting if ready(u, {}))
            group, inside = [], dict[str, Ref]()
            while first is not None:
                assert first.line is not None
                group.append(first)
                inside[first.line.out.name] = first.line.out
                space = first.line.out.labels
                first = next(
                    (
                        u
                        for u in waiting
                        if u not in group and u.line is not None and _fits(u.line, space) and ready(u, inside)
                    ),
                    None,
                )
        waiting = [u for u in waiting if u not in group]
        pending -= {n for u in group for n in u.writes}
        groups.append(group)
    return groups


def _fits(line: Assign, space: tuple[str, ...]) -> bool:
    return line.out.labels == space


def _read_elsewhere(group: list[_Unit], groups: dict[str, list[list[_Unit]]]) -> set[str]:
    return {n for gs in groups.values() for g in gs if g is not group for u in g for n in u.reads}


def _ops(group: list[_Unit], direction: str, block: str, kept: set[str], taken: set[str]) -> list[Op]:
    if group[0].line is None:
        return [_named(op, direction, block, taken) for op in group[0].ops]
    lines = tuple(u.line for u in group if u.line is not None)
    inside = {x.out.name for x in lines}
    loads = dict.fromkeys(r for x in lines for _, r in x.args if r.name not in inside)
    stores = tuple(x.out for x in lines if x.out.name in kept)
    return [_named(Map("", block, lines[0].out.labels, lines, tuple(loads), stores), direction, block, taken)]


def _named(op: Op, direction: str, block: str, taken: set[str]) -> Op:
    if not isinstance(op, Map | Reduce):
        return op
    stem = "step" if block == "loop" else block
    what = op.how if isinstance(op, Reduce) else ""
    name = numbered("_".join(filter(None, [direction, stem, what])), taken.__contains__)
    taken.add(name)
    return replace(op, name=name)


# -- a kernel for the whole sequence ---------------------------------------------------------------------------


def _as_sequence(loop: tuple[Op, ...], part: Pass) -> tuple[Op, ...] | None:
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
