"""Which values lie side by side in memory, so that one matrix product serves them all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import sympy as sp

from symrnn.calculus.ir import (
    BATCH,
    TIME,
    Concat,
    Contraction,
    Pointwise,
    Ref,
    Slice,
    Statement,
    numbered,
    reads,
    times_read,
)
from symrnn.schedule.program import Program

ARRAYS = ("input", "param", "carry", "value", "tangent", "adjoint", "local", "seed", "next")


@dataclass(frozen=True)
class Times:
    """out = x times a matrix without batch and time; `transposed`: the matrix has the result's axis first."""

    out: Ref
    x: Ref
    weight: Ref
    transposed: bool
    equation: str


def times(s: Statement, program: Program) -> Times | None:
    """The statement as a matrix product, if it is one a BLAS can do in one call."""
    if not isinstance(s, Contraction) or len(s.args) != 2:
        return None
    for x, w in (s.args, s.args[::-1]):
        plain = all(program.values[r.name].role in ARRAYS for r in (x, w))
        if not plain or len(w.labels) != 2 or len(x.labels) < 2 or {TIME, BATCH} & set(w.labels):
            continue
        inner = x.labels[-1]
        if s.summed != (inner,) or inner not in w.labels:
            continue
        outer = w.labels[0] if w.labels[1] == inner else w.labels[1]
        if s.out.labels == (*x.labels[:-1], outer):
            return Times(s.out, x, w, w.labels[1] == inner, s.equation)
    return None


def outer(s: Statement, program: Program) -> tuple[Ref, Ref] | None:
    """(d, x) if the statement sums d ⊗ x over all leading axes: the gradient of a matrix."""
    if not isinstance(s, Contraction) or len(s.args) != 2:
        return None
    for d, x in (s.args, s.args[::-1]):
        lead = d.labels[:-1]
        plain = all(program.values[r.name].role in ARRAYS for r in (d, x))
        if (
            plain
            and lead
            and x.labels[:-1] == lead
            and s.out.labels == (d.labels[-1], x.labels[-1])
            and s.summed == lead
        ):
            return d, x
    return None


def total(s: Statement, program: Program) -> Ref | None:
    """The operand, if the statement sums it over everything but its last axis: the gradient of a bias."""
    if not isinstance(s, Contraction) or len(s.args) != 1:
        return None
    (d,) = s.args
    plain = program.values[d.name].role in ARRAYS
    return d if plain and len(d.labels) > 1 and s.out.labels == d.labels[-1:] and s.summed == d.labels[:-1] else None


@dataclass
class Packs:
    """member → (pack, position); pack → its members in order."""

    place: dict[str, tuple[str, int]] = field(default_factory=dict)
    members: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def add(self, pack: str, members: Sequence[str]) -> None:
        self.members[pack] = tuple(members)
        self.place.update({m: (pack, k) for k, m in enumerate(members)})

    def runs(self, names: Sequence[str]) -> list[list[int]]:
        """The positions in `names`, cut and ordered into stretches that lie side by side."""
        placed = sorted((self.place.get(n, ("", k)), k) for k, n in enumerate(names))
        runs: list[list[int]] = []
        for (pack, at), k in placed:
            previous = self.place.get(names[runs[-1][-1]]) if runs else None
            if pack and previous == (pack, at - 1):
                runs[-1].append(k)
            else:
                runs.append([k])
        return sorted(runs, key=min)


@dataclass(frozen=True)
class SumOfProducts:
    """A pointwise statement that adds up products nobody else reads."""

    statement: Pointwise
    terms: tuple[Times, ...]


def sums_of_products(block: Sequence[Statement], program: Program, uses: Counter[str]) -> Iterator[SumOfProducts]:
    """Every sum of products of a block."""
    products = {s.out.name: t for s in block if (t := times(s, program)) is not None}
    for s in block:
        if isinstance(s, Pointwise):
            bare = s.expr.args if isinstance(s.expr, sp.Add) else (s.expr,)
            terms = [
                products[a.name]
                for a in s.args
                if a.name in products and uses[a.name] == 1 and a.symbol in bare and a.labels == s.out.labels
            ]
            if terms and len({t.x.name for t in terms}) == len(terms):
                yield SumOfProducts(s, tuple(terms))


def count_uses(program: Program) -> Counter[str]:
    """How often each value is read, counting every mention, results and carried values as read once more."""
    return times_read(program.statements()) + Counter(results(program))


def results(program: Program) -> set[str]:
    """What leaves a sweep: outputs, gradients, saved and carried values."""
    return {*program.results, *program.saved, *(c.source for sweep in program.sweeps for c in sweep.carried)}


def detached(program: Program) -> Program:
    """A slice that is carried becomes a slice and a copy, for a carried value has its own place."""
    values = dict(program.values)
    for part in program.sweeps:
        carried = {c.source for c in part.carried}
        for name, block in part.blocks():
            changed: list[Statement] = []
            for s in block:
                if isinstance(s, Slice) and s.out.name in carried:
                    fresh = numbered(f"{s.out.name}_part", values.__contains__)
                    values[fresh] = replace(values[s.out.name], name=fresh)
                    part_ref = Ref(fresh, s.out.labels)
                    changed += [replace(s, out=part_ref), Pointwise(s.out, part_ref.symbol, (part_ref,), s.equation)]
                else:
                    changed.append(s)
            part = part.with_block(name, tuple(changed))
        program = program.with_sweep(part)
    return replace(program, values=values)


def pack(program: Program) -> Packs:
    """Concatenations first, for they ask for it; then sums of products; then products of one operand."""
    packs, uses = Packs(), count_uses(program)
    made = {s.out.name: (sweep.name, b, s) for sweep in program.sweeps for b, ss in sweep.blocks() for s in ss}
    carried = {c.source for sweep in program.sweeps for c in sweep.carried}

    def eligible(name: str) -> bool:
        value = program.values[name]
        if name not in made or name in carried or name in packs.place or not value.batched or len(value.axes) != 1:
            return False
        return isinstance(made[name][2], Pointwise) or times(made[name][2], program) is not None

    def together(names: Sequence[str], pack: str) -> None:
        free = [n for n in dict.fromkeys(names) if eligible(n)]
        if len(free) > 1 and len({(made[n][:2], made[n][2].out.labels[:-1]) for n in free}) == 1:
            packs.add(pack, free)

    blocks = [ss for sweep in program.sweeps for _, ss in sweep.blocks()]
    for s in (s for ss in blocks for s in ss if isinstance(s, Concat)):
        names = list(reads(s))
        whole = s.out.name not in carried and all(eligible(n) and made[n][:2] == made[s.out.name][:2] for n in names)
        if whole and len(set(names)) == len(names):
            packs.add(s.out.name, names)
    lefts = [[t.x.name for t in p.terms] for ss in blocks for p in sums_of_products(ss, program, uses)]
    for names in sorted(lefts, key=len, reverse=True):
        together(names, _pack_name(names, program))
    for ss in blocks:
        by_operand: dict[Ref, list[str]] = {}
        for t in (t for s in ss if (t := times(s, program)) is not None):
            by_operand.setdefault(t.x, []).append(t.out.name)
        for names in by_operand.values():
            together(names, _pack_name(names, program))
    return packs


def _pack_name(names: Sequence[str], program: Program) -> str:
    """A name for values side by side: the first and the last, as in ``W_i_x_to_W_o_x``."""
    return numbered(f"{names[0]}_to_{names[-1]}", program.values.__contains__)
