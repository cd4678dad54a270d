"""What a compiled target runs: fused kernels, reductions, rows and matrix products, over buffers with known layouts."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from symrnn.calculus.ir import Labels, Ref
from symrnn.language.cell import Axes, axis_parts


@dataclass(frozen=True)
class Assign:
    """One line of a fused kernel; `args` maps each symbol of `expr` to its operand."""

    out: Ref
    expr: sp.Expr
    args: tuple[tuple[str, Ref], ...]
    equation: str = ""


@dataclass(frozen=True)
class Register:
    """A carried value that a whole-sequence kernel keeps to itself: `source` of one step is `arrives` of the next."""

    arrives: Ref
    source: Ref


@dataclass(frozen=True)
class Map:
    """Pointwise statements over one space, one thread a component. `sequence` kernels hold the loop over time."""

    name: str
    block: str
    space: Labels
    lines: tuple[Assign, ...]
    loads: tuple[Ref, ...]
    stores: tuple[Ref, ...]
    sequence: bool = False
    registers: tuple[Register, ...] = ()


@dataclass(frozen=True)
class Reduce:
    """A sum of products over labels, or the best of the last axis. how: sum, largest, smallest (both one-hot), peak."""

    name: str
    block: str
    how: str
    out: Ref
    args: tuple[Ref, ...]
    equation: str = ""

    @property
    def space(self) -> Labels:
        """The labels that stay."""
        return self.out.labels[:-1] if self.how in ("largest", "smallest") else self.out.labels

    @property
    def over(self) -> Labels:
        """The labels that are summed or searched."""
        kept = self.space
        return tuple(dict.fromkeys(x for a in self.args for x in a.labels if x not in kept))


@dataclass(frozen=True)
class Phase:
    """One go over a row: `shared` is computed once, `lines` component by component, then `reduces` of what is there."""

    shared: tuple[Assign, ...]
    lines: tuple[Assign, ...]
    reduces: tuple[Reduce, ...]


@dataclass(frozen=True)
class Rows:
    """Phases over the label `over`, for each combination of the labels in `space`: a row goes through all of them.

    A value of the whole row is known to all its components and is in memory only if it is among `stores`; what a phase
    leaves to a later one along the row is.
    """

    name: str
    block: str
    space: Labels
    over: str
    phases: tuple[Phase, ...]
    loads: tuple[Ref, ...]
    stores: tuple[Ref, ...]


@dataclass(frozen=True)
class Product:
    """A matrix product that a BLAS computes, over all leading axes of `left`.

    times: its rows times the matrix `right`, which may be used transposed; outer: the sum of left ⊗ right; total: the
    sum of left.
    """

    kind: str
    block: str
    out: Ref
    left: Ref
    right: Ref | None = None
    transposed: bool = False
    equation: str = ""


@dataclass(frozen=True)
class Copy:
    """A value copied to where `out` lies, or to its stretch after the axes `before`; a matrix perhaps transposed."""

    block: str
    out: Ref
    source: Ref
    before: Axes = ()
    transposed: bool = False


Op = Map | Reduce | Rows | Product | Copy


def loaded(op: Op) -> tuple[Ref, ...]:
    """What an operation reads from memory, beside what it writes there itself."""
    match op:
        case Map() | Rows():
            return op.loads
        case Reduce():
            return op.args
        case Copy():
            return (op.source,)
        case Product():
            return (op.left,) if op.right is None else (op.left, op.right)


def stored(op: Op) -> tuple[Ref, ...]:
    """What an operation writes to memory."""
    match op:
        case Map():
            return (*op.stores, *(r.source for r in op.registers))
        case Rows():
            return op.stores
        case Reduce() | Copy() | Product():
            return (op.out,)


@dataclass(frozen=True)
class Buffer:
    """An array: `rows` is "", "T", "T+1" (a carried value, with what comes from outside) or "2" (one not kept).

    One that is `turned` holds a matrix transposed.
    """

    name: str
    rows: str
    batched: bool
    axes: Axes
    turned: bool = False


@dataclass(frozen=True)
class Home:
    """Where a value lives: the stretch of a buffer's last axis after `offset`, `shift` rows later than its time."""

    buffer: Buffer
    shift: int = 0
    offset: Axes = ()


def extent(axes: Axes, name: dict[str, str]) -> str:
    """The length of axes laid side by side: ``4 * H``, ``H + I``; "0" for none."""
    count: dict[str, int] = {}
    for part in (p for a in axes for p in axis_parts(a)):
        count[part] = count.get(part, 0) + 1
    return " + ".join(name[p] if n == 1 else f"{n} * {name[p]}" for p, n in count.items()) or "0"
