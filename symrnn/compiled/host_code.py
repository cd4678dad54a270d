"""The Python around the kernels: buffers, products, launches, in the words of NumPy or of CuPy."""

from __future__ import annotations

from dataclasses import dataclass, field

from symrnn.calculus.ir import BATCH, TIME, Ref
from symrnn.compiled.c import Writer, sizes
from symrnn.compiled.kernel import Kernel, Line
from symrnn.compiled.layout import Layout, in_memory, stretch
from symrnn.compiled.ops import Buffer, Copy, Home, Map, Op, Product, Reduce, Rows, extent, loaded
from symrnn.compiled.row_kernels import kernel_of
from symrnn.language.cell import Axes
from symrnn.printing.arrays import indexed, insertions
from symrnn.printing.spelling import in_python
from symrnn.schedule.program import BLOCKS


@dataclass(frozen=True)
class Allocation:
    """An array the sweep fills, and its shape as Python text; `scratch` if nobody sees it after the call."""

    name: str
    shape: str
    scratch: bool = False


@dataclass(frozen=True)
class Result:
    """Where a value lies: the text that reads it, the array it is in, and whether it may be handed out as it is."""

    text: str
    array: str
    alone: bool


@dataclass(frozen=True)
class Binding:
    """A kernel bound to its arrays; count and over are Python texts for how much there is to do."""

    name: str
    kind: str
    rows: bool
    count: str
    over: str
    arrays: tuple[str, ...]


@dataclass(frozen=True)
class Boundary:
    """Where a carried value enters and where it leaves."""

    key: str
    first: str
    last: str


@dataclass
class SweepCode:
    """One pass as text; `blocks` are lines by block."""

    kernels: list[Kernel] = field(default_factory=list)
    allocations: list[Allocation] = field(default_factory=list)
    bindings: list[Binding] = field(default_factory=list)
    boundaries: list[Boundary] = field(default_factory=list)
    blocks: dict[str, list[Line]] = field(default_factory=dict)
    reads: list[str] = field(default_factory=list)
    results: dict[str, Result] = field(default_factory=dict)
    shapes: dict[str, str] = field(default_factory=dict)


class HostCode:
    """Writes the sweeps; `xp` is the name of the array library."""

    def __init__(self, made: Layout, xp: str) -> None:
        self.made, self.xp = made, xp
        self.plan = made.plan
        self.values = made.plan.program.values
        self.sizes = sizes(made.plan.program.derivation.cell)

    def sweep(self, name: str) -> SweepCode:
        """The text of one sweep."""
        stage = self.plan.stage(name)
        self.name, self.text, self.homes, self.views = name, SweepCode(), self.made.homes[name], stage.views
        writer = Writer(self.made, stage.sweep)
        for block in BLOCKS:
            self.text.blocks[block] = [self.op(op, writer) for op in stage.ops[block]]
        self.memory()
        return self.text

    # -- operations ----------------------------------------------------------------------------------------

    def op(self, op: Op, writer: Writer) -> Line:
        match op:
            case Map() | Reduce() | Rows():
                kernel = kernel_of(self.made, writer.sweep, op)
                self.text.kernels.append(kernel)
                arrays = tuple(in_python(a.name) for a in kernel.arrays)
                self.text.bindings.append(
                    Binding(kernel.name, kernel.kind, kernel.rows, kernel.count, kernel.over_count or "1", arrays)
                )
                step = "t" if op.block == "loop" and kernel.kind != "sequence" else ""
                return Line(kernel.title, f"{kernel.name}({step})")
            case Copy():
                return Line("", self.copy(op))
            case Product():
                return Line(writer.equation(op.equation), self.product(op))

    def copy(self, op: Copy) -> str:
        home, axes = self.homes[op.out.name], self.values[op.source.name].axes[:: -1 if op.transposed else 1]
        place = Home(home.buffer, home.shift, home.offset + op.before)
        if op.transposed or home.buffer.turned:
            source = self.matrix(op.source, op.block, op.transposed != home.buffer.turned)
        else:
            added = insertions(op.source.labels, (*op.out.labels[:-1], *op.source.labels[-1:]))
            source = indexed(self.whole(op.source, op.block), added)
        cut = self.cut(place, axes[-1:])
        index = f"..., {cut}" if cut and not home.buffer.turned else cut or "..."
        return f"{self.row(home, op.block)}[{index}] = {source}"

    def product(self, op: Product) -> str:
        if op.right is None:
            out = self.whole(op.out, op.block)
            return _call(f"{self.xp}.sum", self.matrix(op.left, op.block), "axis=0", f"out={out}")
        turned = self.homes[op.out.name].buffer.turned
        factors = [(op.left, op.kind == "outer"), (op.right, op.transposed)]
        if turned:  # (a b)ᵀ = bᵀ aᵀ
            factors = [(ref, not transposed) for ref, transposed in reversed(factors)]
        texts = [self.matrix(ref, op.block, transposed) for ref, transposed in factors]
        return _call("product", *texts, self.matrix(op.out, op.block, turned))

    # -- views ---------------------------------------------------------------------------------------------

    def row(self, home: Home, block: str) -> str:
        """The buffer at this step, or the stretch of it that belongs to all steps."""
        name = in_python(home.buffer.name)
        rows = home.buffer.rows
        if not rows or (block != "loop" and rows == "T"):
            return name
        if block != "loop":
            return f"{name}[{'1:' if home.shift else ':-1'}]"
        step = "t + 1" if home.shift else "t"
        if rows == "2":
            step = f"({step}) % 2" if home.shift else "t % 2"
        return f"{name}[{step}]"

    def matrix(self, ref: Ref, block: str, transposed: bool = False) -> str:
        """A value as a matrix, its last axis the columns and all others the rows; or the transposed of that."""
        home, turned = self.homes[ref.name], self.homes[ref.name].buffer.turned
        text = self.row(home, block)
        if len(ref.labels) > 2:
            text = f"{text}.reshape(-1, {extent(home.buffer.axes[-1:], self.sizes)})"
        cut = self.cut(home, self.values[ref.name].axes[-1:])
        text += f"[{cut if turned else f':, {cut}'}]" if cut else ""
        return f"{text}.T" if turned != transposed else text

    def cut(self, home: Home, axes: Axes) -> str:
        """The stretch of the buffer's last axis, "" for all of it."""
        found = stretch(home, axes)
        if found is None:
            return ""
        start, end = (extent(a, self.sizes) for a in found)
        return f"{start}:{end}" if found[0] else f":{end}"

    def whole(self, ref: Ref, block: str) -> str:
        """An array with the shape of its value."""
        home, axes = self.homes[ref.name], self.values[ref.name].axes
        if home.buffer.turned:
            return self.matrix(ref, block)
        cut = self.cut(home, axes[-1:]) if axes else ""
        text = self.row(home, block)
        if not cut:
            return text
        return f"{text}[{cut}]" if len(ref.labels) == 1 else f"{text}[..., {cut}]"

    def result(self, name: str, alone: set[str]) -> Result:
        """A value of all steps as it leaves; an array that is `alone` is free to leave where it is in order."""
        flipped = name in self.views
        source = self.views[name].name if flipped else name
        home, value = self.homes[source], self.values[source]
        labels = ((TIME,) if value.timed else ()) + ((BATCH,) if value.batched else ()) + value.axes
        ref = Ref(source, labels)
        text = self.matrix(ref, "after", flipped) if len(value.axes) == len(labels) == 2 else self.whole(ref, "after")
        cut = bool(value.axes) and stretch(home, value.axes[-1:]) is not None
        contiguous = flipped if home.buffer.turned else not flipped and (not cut or len(labels) == 1)
        return Result(text, in_python(home.buffer.name), contiguous and home.buffer.name in alone)

    # -- memory --------------------------------------------------------------------------------------------

    def memory(self) -> None:
        """Allocations, boundaries, results, and what must be handed in."""
        used, text, program = in_memory(self.made, self.name), self.text, self.plan.program
        carries = self.made.carries[self.name]
        filled = [b for b in self.made.filled[self.name] if b in used or b in carries.values()]
        text.allocations = [Allocation(in_python(b.name), self.shape(b)) for b in filled]
        own = {b.name for b in filled}
        text.reads = [n for n in self.read() if n not in own]
        for key, buffer in carries.items():
            end = "T % 2" if buffer.rows == "2" else "T"
            first, last = (end, "0") if program.sweep(self.name).reverse else ("0", end)
            name = in_python(buffer.name)
            text.boundaries.append(Boundary(key, f"{name}[{first}]", f"{name}[{last}]"))
        alone = {b.name for b in filled if b not in carries.values() and b.name not in program.saved}
        text.results = {name: self.result(name, alone) for name in (*self.homes, *self.views)}
        text.shapes = {in_python(h.buffer.name): self.shape(h.buffer) for h in self.homes.values()}

    def read(self) -> list[str]:
        """Every buffer the sweep's operations mention, in order."""
        refs = [r for op in self.plan.stage(self.name).all() for r in loaded(op)]
        return list(dict.fromkeys(self.homes[r.name].buffer.name for r in refs if r.name in self.homes))

    def shape(self, buffer: Buffer) -> str:
        rows = {"": [], "T": ["T"], "T+1": ["T + 1"], "2": ["2"]}[buffer.rows]
        axes = [extent((a,), self.sizes) for a in buffer.axes[:: -1 if buffer.turned else 1]]
        return in_a_tuple([*rows, *(["B"] if buffer.batched else []), *axes])


def _call(name: str, *args: str) -> str:
    """A call; one argument a line where all together are too long for the deepest block."""
    text = f"{name}({', '.join(args)})"
    if len(text) > 104:
        text = "\n".join([f"{name}(", *(f"    {a}," for a in args), ")"])
    return text


def in_a_tuple(items: list[str]) -> str:
    """A Python tuple of these texts."""
    return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
