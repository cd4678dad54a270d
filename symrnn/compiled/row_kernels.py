"""Rows as C++ that CUDA and a plain compiler read alike; and where the text of any kernel is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from symrnn.calculus.ir import Ref, numbered
from symrnn.compiled.c import Writer, temporaries
from symrnn.compiled.kernel import Kernel, Line, Load, PhaseText, Search, Sum
from symrnn.compiled.layout import Layout
from symrnn.compiled.ops import Map, Phase, Reduce, Rows
from symrnn.schedule.program import Sweep

#: Names that a kernel has for itself.
RESERVED = ("n", "t", "at", "sizes", "value")


@lru_cache(maxsize=1024)
def kernel_of(made: Layout, sweep: Sweep, op: Map | Reduce | Rows) -> Kernel:
    """The text of one kernel, the same for every target."""
    return RowWriter(made, sweep, op).rows() if isinstance(op, Rows) else Writer(made, sweep).kernel(op)


class RowWriter(Writer):
    """Spells one kernel that takes rows through phases."""

    def __init__(self, made: Layout, sweep: Sweep, op: Rows) -> None:
        super().__init__(made, sweep)
        self.op = op
        self.begin(op.block, (*op.space, op.over))
        phases = op.phases
        assigns = [x for p in phases for x in (*p.shared, *p.lines)]
        results = [r.out for p in phases for r in p.reduces]
        self.names = self.local_names((*op.loads, *(x.out for x in assigns), *results), RESERVED)
        self.taken = {*self.names.values(), *self.index.values(), *self.sizes.values(), *RESERVED}
        self.fresh = temporaries(self.taken)
        self.shown = set[Ref]()  # what the row shares and has been named

    def rows(self) -> Kernel:
        op = self.op
        text = Kernel(
            name=op.name,
            kind="rows",
            reverse=self.sweep.reverse,
            title="",
            arrays=self.arrays(op.loads, op.stores),
            space=self.decoded(op.space, "n"),
            count=self.counted(op.space),
            over=self.decoded((op.over,), "k"),
            over_count=self.counted((op.over,)),
            rows=True,
            loads=(),
            fixed=(),
            outs=(),
            body=(),
            stores=(),
            held=(),
            factors=(),
            target="",
            phases=tuple(self.phase(p) for p in op.phases),
        )
        return self.with_sizes(text)

    def phase(self, p: Phase) -> PhaseText:
        sums = [r for r in p.reduces if r.how == "sum"]
        searches = [r for r in p.reduces if r.how != "sum"]
        read = dict.fromkeys(
            [*(r for x in (*p.shared, *p.lines) for _, r in x.args), *(a for r in sums for a in r.args)]
        )
        body = self.body(p.lines, self.names, (), self.fresh)
        own = {x.out for x in (*p.shared, *p.lines)}
        outer = [r for r in read if r not in own and self.op.over not in r.labels and r not in self.shown]
        self.shown |= {*outer, *own, *(r.out for r in p.reduces)}
        given = tuple(Line("", f"const compute_t {self.names[r]} = {self.load(r)};") for r in outer)
        return PhaseText(
            shared=(*given, *self.body(p.shared, self.names, (), self.fresh)),
            shared_stores=self.stored(x.out for x in p.shared),
            loads=tuple(Load(self.names[r], self.load(r)) for r in read if self.op.over in r.labels and r not in own),
            body=body,
            stores=self.stored(x.out for x in p.lines),
            sums=self.sums(sums, {line.comment for line in body}),
            searches=tuple(self.search(r) for r in searches),
            known=self.stored(r.out for r in p.reduces if r.how in ("sum", "peak")),
        )

    def stored(self, refs: Iterable[Ref]) -> tuple[Load, ...]:
        return tuple(Load(self.names[r], self.place(r)) for r in refs if r in self.op.stores)

    def sums(self, reduces: Iterable[Reduce], shown: set[str]) -> tuple[Sum, ...]:
        made = []
        for r in reduces:
            comment, local = self.equation(r.equation), self.names[r.out]
            value = " * ".join(self.names[a] for a in r.args)
            made.append(Sum("" if comment in shown else comment, local, self.new(f"{local}_total"), value))
            shown.add(comment)
        return tuple(made)

    def search(self, r: Reduce) -> Search:
        local = self.names[r.out]
        target = "" if r.how == "peak" else self.place(r.out)
        return Search(r.how, self.load(r.args[0]), local, self.new(f"{local}_found"), target)

    def new(self, name: str) -> str:
        chosen = numbered(name, self.taken.__contains__)
        self.taken.add(chosen)
        return chosen
