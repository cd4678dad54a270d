"""Products that share an operand, or of which only the sum is wanted, become one product of matrices side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import sympy as sp

from symrnn.calculus.ir import (
    Concat,
    Contraction,
    Pointwise,
    Ref,
    Slice,
    Statement,
    Value,
    fresh,
    numbered,
    pointwise,
    reads,
    times_read,
)
from symrnn.language.cell import Axes
from symrnn.schedule.alias import rename
from symrnn.schedule.fuse import kept
from symrnn.schedule.products import SumOfProducts, Times, outer, sums_of_products, times, total
from symrnn.schedule.program import Program, Sweep
from symrnn.schedule.together import together

#: The blocks that know time; what all steps share is named before what one step has.
TIMED = ("before", "after", "loop")


def concat(program: Program, in_place: bool = False) -> Program:
    """Fewer and larger products at every step, and for the gradients of matrices.

    `in_place`: values can be computed where they belong and parts read as fast as wholes, in every block.
    """
    named = frozenset(program.values)
    for sweep in program.sweeps:
        program = _Concat(program, sweep, named, in_place).program()
    return program


@dataclass(frozen=True)
class Row:
    """Values of one block that are written side by side: `whole` has the members along its last axis."""

    whole: str
    members: tuple[str, ...]
    block: str


class _Concat:
    """One sweep; `values`, `once` and `views` grow while its blocks are rewritten.

    `named` has the names that are taken; a matrix of several sweeps has one name, and each makes it for itself.
    """

    def __init__(self, program: Program, part: Sweep, named: frozenset[str], in_place: bool) -> None:
        self.part, self.in_place = part, in_place
        self.values = dict(program.values)
        self.named = {*named}
        self.original = replace(program, values=self.values)
        self.carried = {c.source for c in part.carried}
        self.kept, self.saved = kept(program, part), program.read_by_others(part)
        self.uses = times_read(self.part.statements()) + Counter(self.kept)
        self.block_of = {s.out.name: name for name, block in self.part.blocks() for s in block}
        self.loop_takes: dict[str, bool] = {}
        self.readers: dict[str, list[str]] = {}
        for s in self.part.statements():
            for name in reads(s):
                self.readers.setdefault(name, []).append(s.out.name)
        self.once: list[Statement] = []
        self.wholes: dict[tuple[str, ...], str] = {}
        self.views: dict[tuple[str, tuple[str, ...]], Slice] = {}
        self.rows = [Row(self.whole(names), tuple(names), self.block_of[names[0]]) for names in self.chosen()]

    def program(self) -> Program:
        part = self.part
        for name in TIMED:
            block = self.sums(getattr(part, name), name)
            block = self.gradients(block, name)
            block = self.shared(block, name)
            whole = list(self.with_rows(self.with_parts(block, name), name))
            part = part.with_block(name, tuple(self.in_order(whole, name)))
        part = replace(part, once=(*part.once, *self.once))
        return self.original.with_sweep(part)

    # -- which values are written side by side -------------------------------------------------------------

    def chosen(self) -> list[list[str]]:
        """Left sides of one sum; a later sum adds its own at that end of a row where it shares members with it."""
        blocks = [(name, getattr(self.part, name)) for name in TIMED]
        found = [(name, s) for name, block in blocks for s in self.sums_in(block)]
        found.sort(key=lambda pair: (pair[0] != "loop", -len(pair[1].terms)))
        rows: list[list[str]] = []
        for _, s in found:
            names = [t.x.name for t in s.terms if self.may_join(t.x.name)]
            shared = [row for row in rows if {*row} & {*names}]
            row = shared[0] if shared else []
            free = [n for n in names if n not in row]
            together_from = {self.block_of[n] for n in (*row, *free)}
            if len(shared) > 1 or len(together_from) > 1 or not self.in_time([*row, *free], found):
                continue
            if row:
                _extend(row, names, free)
            elif len(free) > 1:
                rows.append(free)
        return rows

    def sums_in(self, block: Sequence[Statement]) -> Iterator[SumOfProducts]:
        """Sums of products with matrices that are the same at every step."""
        found = sums_of_products(block, self.original, self.uses)
        return (s for s in found if all(self.is_fixed(t) for t in s.terms))

    def is_fixed(self, t: Times) -> bool:
        return not self.values[t.weight.name].timed

    def may_join(self, name: str) -> bool:
        """Where values must be copied into their place, only those that make the products of every step."""
        value, made = self.values[name], self.block_of.get(name)
        timely = made in TIMED if self.in_place else made == "loop"
        return timely and name not in self.kept and value.batched and len(value.axes) == 1

    def in_time(self, names: Sequence[str], found: Sequence[tuple[str, SumOfProducts]]) -> bool:
        """Are all of them computed before a sum of their block wants two of them side by side?"""
        made = self.block_of[names[0]] if names else ""
        place = {s.out.name: k for k, s in enumerate(getattr(self.part, made))} if made else {}
        sums = [s for block, s in found if block == made and len({t.x.name for t in s.terms} & {*names}) > 1]
        return all(place[n] < place[s.statement.out.name] for n in names for s in sums)

    # -- values side by side -------------------------------------------------------------------------------

    def made(self, name: str, axes: Axes, batched: bool = False, timed: bool = False) -> str:
        """A new value."""
        value = Value("", axes, batched, timed, "local")

        def taken(n: str) -> bool:
            return n in self.named or (n in self.values and replace(self.values[n], name="") != value)

        name = numbered(name, taken)
        self.values[name] = replace(value, name=name)
        self.named.add(name)
        return name

    def whole(self, names: Sequence[str], called: str = "") -> str:
        """A new value that has all of these along its last axis."""
        like = self.values[names[0]]
        axes = (*like.axes[:-1], "+".join(self.widths(names)))
        self.wholes[tuple(names)] = name = self.made(called or together(names), axes, like.batched, like.timed)
        return name

    def widths(self, names: Sequence[str]) -> Axes:
        return tuple(self.values[n].axes[-1] for n in names)

    def weights(self, terms: Sequence[tuple[Ref, bool]]) -> str:
        """The matrices side by side, those marked so transposed before."""
        parts = [self.transposed(r) if flip else r.name for r, flip in terms]
        if tuple(parts) not in self.wholes:
            name = together([r.name for r, _ in terms])
            other = self.values.get(name)
            turned = other is not None and other.axes[:-1] != self.values[parts[0]].axes[:-1]
            whole = self.whole(parts, f"{name}_T" if turned else name)
            args = tuple(Ref(p, self.values[p].labels) for p in parts)
            self.once.append(Concat(Ref(whole, self.values[whole].labels), args))
        return self.wholes[tuple(parts)]

    def transposed(self, matrix: Ref) -> str:
        if (matrix.name,) not in self.wholes:
            name = self.made(f"{matrix.name}_T", self.values[matrix.name].axes[::-1])
            self.once.append(Contraction(Ref(name, matrix.labels[::-1]), (matrix,)))
            self.wholes[(matrix.name,)] = name
        return self.wholes[(matrix.name,)]

    def runs(self, names: Sequence[str]) -> Iterator[tuple[Row, tuple[str, ...]]]:
        """The stretches, of two or more of these values, that lie side by side in a row."""
        for row in self.rows:
            stretch: list[str] = []
            for m in (*row.members, ""):
                if m in names:
                    stretch.append(m)
                    continue
                if len(stretch) > 1:
                    yield row, tuple(stretch)
                stretch = []

    def view(self, row: Row, members: tuple[str, ...], block: str) -> Ref:
        """Just these members of the row, as the block reads them."""
        name = row.whole
        if members != row.members:
            if (block, members) not in self.views:
                self.views[block, members] = self.cut(row, members, block)
            name = self.views[block, members].out.name
        return self.read(name, block)

    def cut(self, row: Row, members: tuple[str, ...], block: str) -> Slice:
        like = self.values[row.whole]
        name = together(members)
        part = self.made(
            name if block == "loop" else f"{name}_steps", ("+".join(self.widths(members)),), like.batched, like.timed
        )
        before = self.widths(row.members[: row.members.index(members[0])])
        return Slice(self.read(part, block), (self.read(row.whole, block),), before)

    def read(self, name: str, block: str) -> Ref:
        ref = Ref(name, self.values[name].labels)
        return ref.over_time() if self.values[name].timed and block != "loop" else ref

    def with_rows(self, block: Sequence[Statement], name: str) -> Iterable[Statement]:
        """The block, each of its rows written once its last member is there."""
        rows = [row for row in self.rows if row.block == name]
        for k, s in enumerate(block):
            yield s
            later = {s.out.name for s in block[k + 1 :]} if rows else ()
            for row in rows:
                if s.out.name in row.members and not {*later} & {*row.members}:
                    yield Concat(self.read(row.whole, name), tuple(self.read(m, name) for m in row.members))
                    yield from self.views_in(name, [row])

    def in_order(self, block: list[Statement], name: str) -> list[Statement]:
        """Each statement once all is there that it reads: what reads a whole may have stood before its last part."""
        source_of = {c.arrives: c.source for c in self.part.carried if name != "loop"}
        pending, done = Counter(s.out.name for s in block), list[Statement]()
        while block:
            chosen = next(s for s in block if not any(pending[n] or pending[source_of.get(n, "")] for n in reads(s)))
            block.remove(chosen)
            pending[chosen.out.name] -= 1
            done.append(chosen)
        return done

    def with_parts(self, block: Sequence[Statement], name: str) -> list[Statement]:
        """The block, reading parts of the loop's rows, which are kept, where another block reads their members."""
        rows = {m: row for row in self.rows if row.block == "loop" != name for m in row.members}
        changed = [rename(s, {n: self.view(rows[n], (n,), name).name for n in reads(s) if n in rows}) for s in block]
        return [*self.views_in(name, [row for row in self.rows if row.block != name]), *changed]

    def views_in(self, block: str, rows: Sequence[Row]) -> list[Slice]:
        """The parts of these rows that a block reads."""
        wholes = {row.whole for row in rows}
        return [view for (name, _), view in self.views.items() if name == block and view.args[0].name in wholes]

    # -- sums of products ----------------------------------------------------------------------------------

    def sums(self, block: Sequence[Statement], name: str) -> list[Statement]:
        """A sum of products whose left sides lie side by side is one product."""
        for found in list(self.sums_in(block)):
            terms = {t.x.name: t for t in found.terms}
            for row, members in self.runs(tuple(terms)):
                x = self.view(row, members, name)
                block = self.one_product(block, found.statement.out.name, x, [terms[m] for m in members])
        return list(block)

    def one_product(self, block: Sequence[Statement], wanted: str, x: Ref, terms: Sequence[Times]) -> list[Statement]:
        *lead, label = terms[0].out.labels
        inner = fresh(x.labels[-1], [label])
        weights = Ref(self.weights([(t.weight, not t.transposed) for t in terms]), (label, inner))
        names = [t.out.name for t in terms]
        like, name = self.values[names[0]], together(names, f"{wanted}_{weights.name}")
        out = Ref(self.made(name, like.axes, like.batched, like.timed), terms[0].out.labels)
        s = next(s for s in block if s.out.name == wanted)
        assert isinstance(s, Pointwise)
        expr = s.expr.xreplace({t.out.symbol: out.symbol if t is terms[0] else sp.S.Zero for t in terms})
        product = Contraction(out, (Ref(x.name, (*lead, inner)), weights), s.equation)
        added: list[Statement] = [product, pointwise(s.out, expr, [out, *s.args], s.equation)]
        alone: list[Statement] = [replace(product, out=s.out)]
        by: dict[str, list[Statement]] = {n: [] for n in names}
        return _replaced(block, by | {wanted: alone if expr == out.symbol else added})

    # -- products of one operand ---------------------------------------------------------------------------

    def shared(self, block: Sequence[Statement], name: str) -> list[Statement]:
        """Products of one operand with several matrices are parts of one product."""
        groups: dict[Ref, list[Times]] = {}  # by the operand, whatever the label that is summed over
        for s in block:
            t = times(s, self.original)
            if t is not None and t.weight.name not in self.wholes.values() and self.is_fixed(t):
                groups.setdefault(Ref(t.x.name, t.x.labels[:-1]), []).append(t)
        for group in groups.values():
            for terms in self.apart(block, {t.out.name: t for t in group}, name):
                if len(terms) > 1:
                    block = self.parts_of_one(block, terms)
        return list(block)

    def apart(self, block: Sequence[Statement], terms: dict[str, Times], name: str) -> list[dict[str, Times]]:
        """Which of these may be parts of one, as what is kept for the way back must not keep other parts."""
        if self.in_place and name == "loop":  # a carried value has a place of its own
            terms = {n: t for n, t in terms.items() if n not in self.carried}
        if name == "loop" or (self.in_place and asked_for(block, terms)):
            return [terms]
        if not self.in_place:
            return [terms] if all(map(self.for_the_loop, terms)) else []
        return [{n: t for n, t in terms.items() if (n in self.saved) == saved} for saved in (True, False)]

    def for_the_loop(self, name: str) -> bool:
        """Does the loop alone take what is made of this, one step at a time? Over all steps, parts are slow to read."""
        if name not in self.loop_takes:
            readers = self.readers.get(name, ())
            self.loop_takes[name] = name not in self.kept and all(
                self.block_of[r] == "loop" or self.for_the_loop(r) for r in readers
            )
        return self.loop_takes[name]

    def parts_of_one(self, block: Sequence[Statement], terms: dict[str, Times]) -> list[Statement]:
        """One product; where the cell concatenates its parts anyway, it is that."""
        asked = asked_for(block, terms)
        names = list(reads(asked[0]) if asked else terms)
        first = next(iter(terms.values()))
        *lead, inner = first.x.labels
        weights = self.weights([(terms[n].weight, terms[n].transposed) for n in names])
        name = asked[0].out.name if asked else self.whole(names, together(names, f"{weights}_{first.x.name}"))
        label = fresh(self.values[name].axes[-1], first.x.labels)
        out = Ref(name, (*lead, label))
        product = Contraction(out, (first.x, Ref(weights, (inner, label))))
        parts = self.parts(out, [terms[n].out for n in names])
        by: dict[str, list[Statement]] = {n: [replace(parts[n], equation=t.equation)] for n, t in terms.items()}
        by |= {s.out.name: [] for s in asked}
        block = _replaced(block, by, product)
        return block if self.in_place else self.alike(block, out, names)

    def parts(self, whole: Ref, outs: Sequence[Ref]) -> dict[str, Slice]:
        """Each of these as the part of the whole that it is."""
        widths = self.widths([r.name for r in outs])
        return {r.name: Slice(r, (whole,), widths[:k]) for k, r in enumerate(outs)}

    def alike(self, block: list[Statement], whole: Ref, names: Sequence[str]) -> list[Statement]:
        """Statements that do the same to every part of a product, as with its bias, do it to the whole."""
        readers = [s for n in names for s in block if isinstance(s, Pointwise) and n in reads(s)]
        once = all(self.uses[n] == 1 for n in names)
        if not once or len({s.out.name for s in readers}) != len(names) or not _same_form(readers):
            return block
        first = readers[0]
        args = [self.united(refs, whole, names) for refs in zip(*(s.args for s in readers), strict=True)]
        if None in args or any(s.out.labels[:-1] != whole.labels[:-1] for s in readers):
            return block
        refs = [a for a in args if a is not None]
        to = {a.symbol: r.symbol for a, r in zip(first.args, refs, strict=True)}
        outs = [s.out for s in readers]
        joined = Ref(self.whole([r.name for r in outs]), whole.labels)
        parts = self.parts(joined, outs)
        by: dict[str, list[Statement]] = {n: [] for n in names}
        by |= {s.out.name: [replace(parts[s.out.name], equation=s.equation)] for s in readers}
        return _replaced(block, by, pointwise(joined, first.expr.xreplace(to), refs))

    def united(self, refs: Sequence[Ref], whole: Ref, names: Sequence[str]) -> Ref | None:
        """What the joint statement reads where its parts read these: the whole, what all share, or vectors joined."""
        if [r.name for r in refs] == [*names]:
            return whole
        if len({*refs}) == 1 and not {*refs[0].labels} - {*whole.labels[:-1]}:
            return refs[0]
        if all(len(r.labels) == 1 and not {*r.labels} & {*whole.labels[:-1]} for r in refs):
            return Ref(self.weights([(r, False) for r in refs]), whole.labels[-1:])
        return None

    # -- gradients -----------------------------------------------------------------------------------------

    def gradients(self, block: Sequence[Statement], name: str) -> list[Statement]:
        """Gradients of several matrices by one operand, and of several biases, are parts of one."""
        groups: dict[Ref | None, dict[str, Statement]] = {}
        for s in block:
            if (pair := outer(s, self.original)) is not None:
                d, x = pair
                groups.setdefault(Ref(x.name, x.labels[:-1]), {})[d.name] = s
            elif (bias := total(s, self.original)) is not None:
                groups.setdefault(None, {})[bias.name] = s
        for operand, users in groups.items():
            for row, members in self.runs(tuple(users)):
                joint, outs = self.view(row, members, name), [users[m].out for m in members]
                block = (
                    self.one_sum(block, joint, outs) if operand is None else self.one_outer(block, operand, joint, outs)
                )
        return list(block)

    def one_sum(self, block: Sequence[Statement], d: Ref, outs: Sequence[Ref]) -> list[Statement]:
        whole = Ref(self.whole([r.name for r in outs]), d.labels[-1:])
        by: dict[str, list[Statement]] = {n: [part] for n, part in self.parts(whole, outs).items()}
        return _replaced(block, by, Contraction(whole, (d,)))

    def one_outer(self, block: Sequence[Statement], x: Ref, d: Ref, outs: Sequence[Ref]) -> list[Statement]:
        """All matrices transposed, so that they are parts of the last axis."""
        across = self.values[x.name].axes[-1]
        turned = []
        for r in outs:
            name = self.made(f"{r.name}_T", self.values[r.name].axes[::-1])
            turned.append(Ref(name, (across, fresh(self.values[name].axes[-1], [across]))))
        whole = self.whole([r.name for r in turned], together([r.name for r in outs]))
        label = fresh(d.labels[-1], [across])
        parts = self.parts(Ref(whole, (across, label)), turned)
        by: dict[str, list[Statement]] = {
            r.name: [parts[q.name], Contraction(r, (Ref(q.name, r.labels[::-1]),))]
            for r, q in zip(outs, turned, strict=True)
        }
        args = (Ref(x.name, (*x.labels, across)), Ref(d.name, (*d.labels[:-1], label)))
        return _replaced(block, by, Contraction(Ref(whole, (across, label)), args))


def asked_for(block: Sequence[Statement], names: Iterable[str]) -> list[Concat]:
    """What the cell concatenates of just these values."""
    return [s for s in block if isinstance(s, Concat) and sorted(reads(s)) == sorted(names)]


def _same_form(statements: Sequence[Pointwise]) -> bool:
    """Do they compute the same of their operands, taken in order?"""
    first = statements[0]
    if any(len(s.args) != len(first.args) for s in statements):
        return False
    renamed = [{a.symbol: b.symbol for a, b in zip(first.args, s.args, strict=True)} for s in statements]
    return all(first.expr.xreplace(to) == s.expr for s, to in zip(statements, renamed, strict=True))


def _extend(row: list[str], names: Sequence[str], free: Sequence[str]) -> None:
    """Add the free names at that end of the row at which the other ones stand."""
    taken = [k for k, n in enumerate(row) if n in names]
    if taken == [*range(taken[0], len(row))]:
        row += free
    elif taken == [*range(len(taken))]:
        row[:0] = free


def _replaced(
    block: Sequence[Statement], by: dict[str, list[Statement]], first: Statement | None = None
) -> list[Statement]:
    """The block with other statements in the place of those that compute these values, and one before all of them."""
    done: list[Statement] = []
    for s in block:
        if s.out.name in by and first is not None:
            done.append(first)
            first = None
        done += by.get(s.out.name, [s])
    return done
