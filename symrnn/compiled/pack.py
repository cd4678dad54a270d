"""Which values lie side by side in memory, so that one matrix product serves them all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from symrnn.calculus.ir import Concat, Pointwise, Ref, Slice, Statement, numbered, reads, times_read
from symrnn.schedule.alias import rename
from symrnn.schedule.products import sums_of_products, times
from symrnn.schedule.program import Program

#: The longest name that does not make lines too long.
LONGEST = 30


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


def apart(program: Program) -> Program:
    """What a sweep computes again has a name of its own, for every name has one place in memory."""
    values, known = dict(program.values), set[str]()
    for part in program.sweeps:
        again: dict[str, str] = {}
        for name in (s.out.name for s in part.statements() if s.out.name in known):
            again[name] = fresh = numbered(f"{name}_again", values.__contains__)
            values[fresh] = replace(values[name], name=fresh)
        known |= {s.out.name for s in part.statements()}
        for name, block in part.blocks() if again else ():
            read = (rename(s, again) for s in block)
            own = (replace(s, out=replace(s.out, name=again.get(s.out.name, s.out.name))) for s in read)
            part = part.with_block(name, tuple(own))
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
        together(names, _pack_name(names, program, packs))
    for ss in blocks:
        by_operand: dict[Ref, list[str]] = {}
        for t in (t for s in ss if (t := times(s, program)) is not None):
            by_operand.setdefault(t.x, []).append(t.out.name)
        for names in by_operand.values():
            together(names, _pack_name(names, program, packs))
    return packs


def _pack_name(names: Sequence[str], program: Program, packs: Packs) -> str:
    """A name for values side by side: the first and the last, as in ``W_i_x_to_W_o_x``, if that is not too long."""
    return numbered(first_to_last(names), lambda name: name in program.values or name in packs.members)


def first_to_last(names: Sequence[str]) -> str:
    """What values side by side are called."""
    name = f"{names[0]}_to_{names[-1]}"
    return name if len(name) <= LONGEST else "parts"
