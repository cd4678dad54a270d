"""The Python around the kernels: buffers, products, launches, in the words of NumPy or of CuPy."""

from __future__ import annotations

from dataclasses import dataclass, field

from symrnn.calculus.ir import BATCH, TIME, Ref, numbered
from symrnn.compiled.c import Writer, sizes
from symrnn.compiled.kernel import Kernel, Line
from symrnn.compiled.layout import Layout, in_memory
from symrnn.compiled.ops import Buffer, Copy, Home, Map, Op, Product, Reduce, Rows, extent, loaded, stored
from symrnn.compiled.pack import first_to_last
from symrnn.compiled.row_kernels import kernel_of
from symrnn.language.cell import Axes
from symrnn.printing.arrays import insertions
from symrnn.printing.spelling import in_python
from symrnn.schedule.program import BLOCKS


@dataclass(frozen=True)
class Allocation:
    """An array the sweep fills, and its shape as Python text; `scratch` if nobody sees it after the call."""

    name: str
    shape: str
    scratch: bool = False


@dataclass(frozen=True)
class Weights:
    """Matrices put together: the name, the text that makes them, and their shape."""

    name: str
    text: str
    shape: str


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
class Result:
    """Where a value lies: the text that reads it, the array it is in, and whether nothing else of the call is there."""

    text: str
    array: str
    alone: bool


@dataclass(frozen=True)
class Boundary:
    """Where a carried value enters and where it leaves."""

    key: str
    first: str
    last: str


@dataclass
class SweepCode:
    """One pass as text; `weights` are stacked before anything else, `blocks` are lines by block."""

    kernels: list[Kernel] = field(default_factory=list)
    allocations: list[Allocation] = field(default_factory=list)
    bindings: list[Binding] = field(default_factory=list)
    boundaries: list[Boundary] = field(default_factory=list)
    weights: list[Weights] = field(default_factory=list)
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
        self.taken = {*self.values, *made.plan.packs.members}
        self.filled: dict[str, Axes] = {}

    def sweep(self, name: str) -> SweepCode:
        """The text of one sweep."""
        self.name, self.text, self.stacks = name, SweepCode(), dict[tuple[object, ...], str]()
        self.sliced: dict[str, tuple[str, str]] = {}
        self.extra: list[Allocation] = []
        stage = self.plan.stage(name)
        writer = Writer(self.made, stage.sweep)
        for block in BLOCKS:
            lines: list[Line] = []
            for op in stage.ops[block]:
                self.op(op, writer, lines)
            self.text.blocks[block] = lines
        self.memory()
        return self.text

    # -- operations ----------------------------------------------------------------------------------------

    def op(self, op: Op, writer: Writer, lines: list[Line]) -> None:
        match op:
            case Map() | Reduce() | Rows():
                kernel = kernel_of(self.made, writer.sweep, op)
                self.text.kernels.append(kernel)
                arrays = tuple(in_python(a.name) for a in kernel.arrays)
                self.text.bindings.append(
                    Binding(kernel.name, kernel.kind, kernel.rows, kernel.count, kernel.over_count or "1", arrays)
                )
                step = "t" if op.block == "loop" and kernel.kind != "sequence" else ""
                lines.append(Line(kernel.title, f"{kernel.name}({step})"))
            case Copy():
                index = insertions(op.source.labels, (*op.out.labels[:-1], *op.source.labels[-1:]))
                part = self.whole(op.source, op.block) + (f"[{', '.join(index)}]" if "None" in index else "")
                lines.append(Line("", f"{self.columns(op.out, op.block, op.source)} = {part}"))
            case Product():
                beside = op.outs if len(op.outs) > 1 else op.left
                comment = ", ".join(r.name for r in beside) + " side by side" if len(beside) > 1 else ""
                text = self.product(op, lines)
                lines.append(Line(comment or writer.equation(op.equation), text))

    def product(self, op: Product, lines: list[Line]) -> str:
        """The call; what must be done right before it goes to `lines`."""
        left = self.beside(op.left, op.block)
        if op.kind == "times":
            return _call("product", left, self.stacked(op, lines), self.beside(op.outs, op.block))
        outs = self.gradient(op)
        if op.kind == "outer":
            assert op.right is not None
            return _call("product", f"{left}.T", self.beside((op.right,), op.block), outs)
        return _call(f"{self.xp}.sum", left, "axis=0", f"out={outs}")

    def gradient(self, op: Product) -> str:
        """The array that takes several gradients one below the other, or the only one's own."""
        if len(op.outs) == 1:
            return in_python(op.outs[0].name)
        name = numbered(first_to_last([x.name for x in op.outs]), self.taken.__contains__)
        self.taken.add(name)
        rows: Axes = ()
        for out in op.outs:
            first = self.values[out.name].axes[:1]
            start, stop = (extent(a, self.sizes) for a in (rows, rows + first))
            self.sliced[out.name] = (f"{name}[{start}:{stop}]" if rows else f"{name}[:{stop}]", name)
            rows += first
        rest = self.values[op.outs[0].name].axes[1:]
        shape = [extent(rows, self.sizes), *(extent((a,), self.sizes) for a in rest)]
        self.extra.append(Allocation(name, in_a_tuple(shape)))
        return name

    def stacked(self, op: Product, lines: list[Line]) -> str:
        """The matrices put together, made once a call where that is possible; a single one may stand as it is."""
        loop = op.block == "loop" and not self.plan.stage(self.name).sweep.single
        texts = [f"{text}.T" if t else text for text, t in ((self.whole(w, op.block), t) for w, t in op.weights)]
        if any(self.values[w.name].role != "param" for w, _ in op.weights):
            return texts[0] if len(texts) == 1 else self.copied(op, texts, lines)
        if len(texts) == 1:
            if not (loop and op.weights[0][1]):
                return texts[0]
            text, stem = f"{self.xp}.ascontiguousarray({texts[0]})", f"{op.weights[0][0].name}_T"
        else:
            axis = "" if len(op.left) > 1 else ", axis=1"
            parts = f"({', '.join(texts)})"
            if len(parts) > 32:
                parts = "\n".join(["(", *(f"    {text}," for text in texts), ")"])
            text = f"{self.xp}.concatenate({parts}{axis})"
            if any(t.endswith(".T") for t in texts):  # else the result would be laid out by columns, like its parts
                text = f"{self.xp}.ascontiguousarray({text})"
            stem = first_to_last([w.name for w, _ in op.weights])
        key = (text,)
        if key not in self.stacks:
            self.stacks[key] = numbered(stem, self.taken.__contains__)
            self.taken.add(self.stacks[key])
            self.text.weights.append(Weights(self.stacks[key], text, self.stacked_shape(op)))
        return self.stacks[key]

    def copied(self, op: Product, texts: list[str], lines: list[Line]) -> str:
        """Computed matrices put together in memory of their own: the name; before a loop that does not change them."""
        name = numbered(first_to_last([w.name for w, _ in op.weights]), self.taken.__contains__)
        self.taken.add(name)
        self.extra.append(Allocation(name, self.stacked_shape(op)))
        changing = any(self.values[w.name].timed for w, _ in op.weights)
        place = self.text.blocks["before"] if op.block == "loop" and not changing else lines
        below = len(op.left) > 1
        end: Axes = ()
        for (w, transposed), text in zip(op.weights, texts, strict=True):
            rows, columns = self.values[w.name].axes[:: -1 if transposed else 1]
            start, end = end, (*end, rows if below else columns)
            cut = f"{extent(start, self.sizes) if start else ''}:{extent(end, self.sizes)}"
            place.append(Line("", f"{name}[{cut if below else f':, {cut}'}] = {text}"))
        return name

    def stacked_shape(self, op: Product) -> str:
        """(length contracted, length that results)."""
        shapes = [self.values[w.name].axes[::-1] if t else self.values[w.name].axes for w, t in op.weights]
        inner = tuple(a for a, _ in (shapes if len(op.left) > 1 else shapes[:1]))
        outer = tuple(b for _, b in (shapes[:1] if len(op.left) > 1 else shapes))
        return in_a_tuple([extent(inner, self.sizes), extent(outer, self.sizes)])

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

    def beside(self, refs: tuple[Ref, ...], block: str) -> str:
        """Operands that lie side by side as one matrix."""
        first = self.made.homes[refs[0].name]
        text = self.row(first, block)
        dimensions = len(refs[0].labels) - (1 if TIME in refs[0].labels and block == "loop" else 0)
        buffer = first.buffer
        columns = buffer.axes if len(self.values[refs[0].name].axes) == 1 else buffer.axes[-1:]
        if dimensions > 2:
            text = f"{text}.reshape(-1, {extent(columns, self.sizes)})"
        cut = self.cut(first, tuple(a for r in refs for a in self.values[r.name].axes[-1:]), columns)
        return f"{text}[:, {cut}]" if cut else text

    def cut(self, home: Home, axes: Axes, columns: Axes) -> str:
        if extent(axes, self.sizes) == extent(columns, self.sizes):
            return ""
        start, stop = extent(home.offset, self.sizes), extent(home.offset + axes, self.sizes)
        return f"{start}:{stop}" if home.offset else f":{stop}"

    def whole(self, ref: Ref, block: str) -> str:
        """An array with the shape of its value."""
        value, home = self.values[ref.name], self.made.homes[ref.name]
        columns = home.buffer.axes if len(value.axes) == 1 else home.buffer.axes[-1:]
        cut = self.cut(home, value.axes[-1:], columns) if value.axes else ""
        text = self.row(home, block)
        return f"{text}[..., {cut}]" if cut else text

    def columns(self, out: Ref, block: str, source: Ref) -> str:
        """Where in a concatenation the next operand goes."""
        home, axis = self.made.homes[out.name], self.values[source.name].axes[-1:]
        before = self.before(out, source)
        start, stop = extent(before, self.sizes), extent(before + axis, self.sizes)
        return f"{self.row(home, block)}[..., {start}:{stop}]"

    def before(self, out: Ref, source: Ref) -> Axes:
        """The axes of the operands that come first; each copy is asked for once, in order."""
        before = self.filled.get(out.name, self.made.homes[out.name].offset)
        self.filled[out.name] = before + self.values[source.name].axes[-1:]
        return before

    # -- memory --------------------------------------------------------------------------------------------

    def memory(self) -> None:
        """Allocations, boundaries, results, and what must be handed in."""
        used = in_memory(self.plan)
        plan, text = self.plan, self.text
        homes = self.made.homes
        mine = dict.fromkeys(
            homes[n].buffer
            for n in homes
            if n in used and n not in self.sliced and self.made.owner.get(homes[n].buffer.name) == self.name
        )
        for b in self.made.carries.items():
            if b[0][0] == self.name:
                mine.setdefault(b[1])
        text.allocations = [Allocation(in_python(b.name), self.shape(b)) for b in mine] + self.extra
        own = {b.name for b in mine} | {a.name for a in self.extra}
        text.reads = [n for n in self.read() if n not in own]
        for (sweep, key), buffer in self.made.carries.items():
            if sweep == self.name:
                end = "T % 2" if buffer.rows == "2" else "T"
                first, last = (end, "0") if plan.program.sweep(sweep).reverse else ("0", end)
                name = in_python(buffer.name)
                text.boundaries.append(Boundary(key, f"{name}[{first}]", f"{name}[{last}]"))
        for name, home in homes.items():
            value = self.values.get(name)
            if value is not None:
                labels = ((TIME,) if value.timed else ()) + ((BATCH,) if value.batched else ()) + value.axes
                array = in_python(home.buffer.name)
                alone = home.buffer.name == name and name in own and name not in plan.program.saved
                text.results[name] = Result(self.whole(Ref(name, labels), "after"), array, alone)
        text.results |= {name: Result(rows, stack, True) for name, (rows, stack) in self.sliced.items()}
        text.shapes = {
            in_python(b.name): self.shape(b) for b in {h.buffer.name: h.buffer for h in homes.values()}.values()
        }

    def read(self) -> list[str]:
        """Every buffer the sweep's operations mention, in order."""
        stage, homes = self.plan.stage(self.name), self.made.homes
        names: dict[str, None] = {}
        for op in stage.all():
            refs = loaded(op) if isinstance(op, Product) else (*loaded(op), *stored(op))
            for r in refs:
                if r.name in homes:
                    names[homes[r.name].buffer.name] = None
        return list(names)

    def shape(self, buffer: Buffer) -> str:
        rows = {"": [], "T": ["T"], "T+1": ["T + 1"], "2": ["2"]}[buffer.rows]
        packed = buffer.name in self.plan.packs.members
        axes = [buffer.axes] if packed else [(a,) for a in buffer.axes]
        return in_a_tuple([*rows, *(["B"] if buffer.batched else []), *(extent(a, self.sizes) for a in axes)])


def _call(name: str, *args: str) -> str:
    """A call; one argument a line where all together are too long for the deepest block."""
    text = f"{name}({', '.join(args)})"
    if len(text) > 104:
        text = "\n".join([f"{name}(", *(f"    {a}," for a in args), ")"])
    return text


def in_a_tuple(items: list[str]) -> str:
    """A Python tuple of these texts."""
    return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
