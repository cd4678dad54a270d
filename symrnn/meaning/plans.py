"""A kernel plan, run: the operations of a compiled target on its buffers, in the order in which they are printed.

Memory that nobody has written is NaN, so that an operation which runs too early, or a value that lies where another
one is still wanted, shows in the results.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from symrnn.calculus.ir import TIME, Contraction, Labels, OneHot, Peak, Ref, Statement, symbol
from symrnn.compiled.layout import Layout
from symrnn.compiled.ops import Assign, Buffer, Copy, Home, Map, Op, Product, Reduce, Rows
from symrnn.compiled.plan import Stage
from symrnn.functions.numeric import Array, value
from symrnn.language.cell import Axes
from symrnn.meaning.interpret import Arrays, Sizes, aligned, constants, execute, length


def run(made: Layout, given: Arrays, starts: Mapping[str, Arrays], sizes: Sizes) -> tuple[Arrays, dict[str, Arrays]]:
    """Run all sweeps on what is given by name: parameters, inputs, cotangents. `starts` has the carried values of each.

    Returns the results by name, timed ones T first, and what each sweep carries out at its end.
    """
    memory = _Memory(made, sizes)
    ends = {s.sweep.name: _Stage(made, s, memory, given, starts[s.sweep.name]).run() for s in made.plan.stages}
    return {name: memory.result(name) for name in made.plan.program.results}, ends


class _Memory:
    """All buffers, and the homes of the values that the sweep can see."""

    def __init__(self, made: Layout, sizes: Sizes) -> None:
        self.made, self.sizes, self.values = made, sizes, made.plan.program.values
        self.constants = constants(made.plan.program.derivation.cell, self.values, sizes)
        self.arrays: dict[Buffer, Array] = {}
        self.homes: dict[str, Home] = {}
        self.views: dict[str, Ref] = {}

    def enter(self, stage: Stage) -> None:
        self.homes, self.views = self.made.homes[stage.sweep.name], self.views | stage.views
        for home in self.homes.values():
            self.arrays.setdefault(home.buffer, np.full(self.shape(home.buffer), np.nan))

    def shape(self, b: Buffer) -> tuple[int, ...]:
        rows = {"": (), "T": (self.sizes["T"],), "T+1": (self.sizes["T"] + 1,), "2": (2,)}[b.rows]
        return (*rows, *((self.sizes["B"],) if b.batched else ()), *(length(a, self.sizes) for a in b.axes))

    def at(self, name: str, t: int | None) -> Array:
        """The memory of a value, writable: at one step, or (None) at all."""
        home = self.homes[name]
        array, rows = self.arrays[home.buffer], home.buffer.rows
        if t is not None and rows:
            array = array[(t + home.shift) % 2 if rows == "2" else t + home.shift if rows == "T+1" else t]
        elif rows == "T+1":
            array = array[1:] if home.shift else array[:-1]
        assert t is not None or rows != "2", f"{name} is not kept for all steps"
        start = sum(length(a, self.sizes) for a in home.offset)
        axes = self.values[name].axes
        return array[..., start : start + length(axes[-1], self.sizes)] if axes else array

    def load(self, ref: Ref, t: int | None) -> Array:
        """A value as its labels say; constants and lengths are in no memory."""
        if ref.name in self.constants:
            array = self.constants[ref.name]
            return array[t] if t is not None and self.values[ref.name].timed else array
        return self.at(ref.name, t)

    def result(self, name: str) -> Array:
        if name in self.views:
            return self.at(self.views[name].name, None).T
        return self.at(name, None)


class _Stage:
    """One sweep."""

    def __init__(self, made: Layout, stage: Stage, memory: _Memory, given: Arrays, start: Arrays) -> None:
        self.made, self.stage, self.memory, self.given, self.start = made, stage, memory, given, start
        self.sizes, self.reverse = memory.sizes, stage.sweep.reverse
        self.carries = made.carries[stage.sweep.name]

    def run(self) -> Arrays:
        self.memory.enter(self.stage)
        for name, array in self.given.items():
            if name in self.memory.homes:
                self.memory.at(name, None)[...] = array
        for key, buffer in self.carries.items():
            self.memory.arrays[buffer][self.boundary(buffer, self.reverse)] = self.start[key]
        for block, ops in self.stage.ops.items():
            if block == "loop" and not self.stage.sequence:
                for t in self.steps():
                    self.every(ops, t)
            else:
                self.every(ops, None)
        return {k: self.memory.arrays[b][self.boundary(b, not self.reverse)].copy() for k, b in self.carries.items()}

    def boundary(self, buffer: Buffer, last: bool) -> int:
        """The row before the first step, or after the last."""
        steps = self.sizes["T"] if last else 0
        return steps % 2 if buffer.rows == "2" else steps

    def steps(self) -> Iterable[int]:
        steps = range(self.sizes["T"])
        return reversed(steps) if self.reverse else steps

    def every(self, ops: Iterable[Op], t: int | None) -> None:
        for op in ops:
            for step in self.steps() if isinstance(op, Map) and op.sequence else (t,):
                self.operate(op, step)

    def operate(self, op: Op, t: int | None) -> None:
        match op:
            case Map():
                known = self.assigned(op.lines, {}, t)
                self.store((*op.stores, *(r.source for r in op.registers)), known, t)
            case Rows():
                self.phases(op, t)
            case Reduce():
                self.store((op.out,), {op.out: self.reduced(op, {}, t)}, t)
            case Product():
                self.store((op.out,), {op.out: self.product(op, t)}, t)
            case Copy():
                self.copy(op, t)

    def store(self, refs: Iterable[Ref], known: Mapping[Ref, Array], t: int | None) -> None:
        """Write after all has been read, as kernels do component by component."""
        for ref in refs:
            self.memory.at(ref.name, t)[...] = known[ref]

    def read(self, ref: Ref, known: Mapping[Ref, Array], t: int | None) -> Array:
        """What the operation has computed itself, at the same component; else from memory."""
        return known[ref] if ref in known else self.memory.load(ref, t)

    def assigned(self, lines: Iterable[Assign], known: Mapping[Ref, Array], t: int | None) -> dict[Ref, Array]:
        """Values of the lines, beside those that are known."""
        found = dict(known)
        for x in lines:
            out = x.out.labels
            args = {symbol(n): aligned(self.read(r, found, t), self.labels(r, t), out) for n, r in x.args}
            shape = tuple(length(label, self.sizes) for label in out)
            found[x.out] = np.array(np.broadcast_to(value(x.expr, args), shape))
        return found

    def labels(self, ref: Ref, t: int | None) -> Labels:
        assert t is None or TIME not in ref.labels, f"{ref} runs over time inside the loop"
        return ref.labels

    def phases(self, op: Rows, t: int | None) -> None:
        """What a phase leaves along the row, a later one finds in memory; what belongs to the whole row stays known."""
        known: dict[Ref, Array] = {}
        for phase in op.phases:
            known = self.assigned((*phase.shared, *phase.lines), known, t)
            known |= {r.out: self.reduced(r, known, t) for r in phase.reduces}
            self.store((r for r in known if r in op.stores), known, t)
            known = {r: a for r, a in known.items() if op.over not in r.labels}

    def reduced(self, op: Reduce, known: Mapping[Ref, Array], t: int | None) -> Array:
        whole: Statement = Contraction(op.out, op.args)
        if op.how == "peak":
            whole = Peak(op.out, op.args)
        elif op.how != "sum":
            whole = OneHot(op.out, op.args, largest=op.how == "largest")
        return execute(whole, {a.name: self.read(a, known, t) for a in op.args}, self.sizes)

    def product(self, op: Product, t: int | None) -> Array:
        """As a BLAS computes it: matrices whose rows are all leading axes together."""
        left = self.matrix(op.left, t)
        if op.right is None:
            return np.asarray(left.sum(axis=0))
        right = self.matrix(op.right, t)
        found: Array = left.T @ right if op.kind == "outer" else left @ (right.T if op.transposed else right)
        return np.reshape(found, self.memory.at(op.out.name, t).shape)

    def matrix(self, ref: Ref, t: int | None) -> Array:
        array = self.memory.load(ref, t)
        return array.reshape(-1, array.shape[-1])

    def copy(self, op: Copy, t: int | None) -> None:
        source, axes = self.memory.load(op.source, t), self.memory.values[op.source.name].axes
        source = source.T if op.transposed else source
        start = sum(length(a, self.sizes) for a in op.before)
        last: Axes = axes[:1] if op.transposed else axes[-1:]
        target = self.memory.at(op.out.name, t)[..., start : start + length(last[0], self.sizes)]
        labels = op.source.labels[::-1] if op.transposed else op.source.labels
        target[...] = aligned(source, labels, (*op.out.labels[:-1], labels[-1]))
