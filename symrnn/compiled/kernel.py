"""Kernels as the templates print them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """A line of code and the comment above it ("" for none)."""

    comment: str
    text: str


@dataclass(frozen=True)
class Array:
    """A buffer as a kernel sees it: `pointer` in C, `name` in Python."""

    name: str
    pointer: str
    written: bool


@dataclass(frozen=True)
class Load:
    """A parameter of the pointwise function and the expression that is passed for it."""

    local: str
    value: str


@dataclass(frozen=True)
class Held:
    """A carried value of a whole-sequence kernel: its local names, where it starts, and where it ends (or "").

    `load` and `store` are where a loop that keeps nothing in registers finds and leaves it at step t.
    """

    arrives: str
    source: str
    start: str
    end: str
    load: str
    store: str


@dataclass(frozen=True)
class Sum:
    """A sum over a row: its name, the name of what it is added up in, and what is added; and a comment."""

    comment: str
    local: str
    total: str
    value: str


@dataclass(frozen=True)
class Search:
    """A search for the best of a row, at `value`; kind is largest, smallest or peak.

    `local` is the best value, `found` where it is, and `target` the element of the one-hot array ("" for a peak).
    """

    kind: str
    value: str
    local: str
    found: str
    target: str


@dataclass(frozen=True)
class PhaseText:
    """One go over a row: what the row shares, a loop along it, the loop's sums, then searches of what it stored.

    `known` are sums and peaks that are in memory.
    """

    shared: tuple[Line, ...]
    shared_stores: tuple[Load, ...]
    loads: tuple[Load, ...]
    body: tuple[Line, ...]
    stores: tuple[Load, ...]
    sums: tuple[Sum, ...]
    searches: tuple[Search, ...]
    known: tuple[Load, ...]

    @property
    def loop(self) -> bool:
        """Is there anything to do along the row?"""
        return bool(self.body or self.sums)


@dataclass(frozen=True)
class Kernel:
    """One kernel for the templates; kind is map, sequence, rows, sum, largest, smallest or peak.

    `space` and `over` are (index, length, where it is found in n or k) of the labels that stay and of those searched;
    `rows` says that the labels summed include the one along which memory is contiguous; the `factors` are what is
    summed or searched; what takes rows along has `phases`. `sizes` are the lengths the kernel reads, each with its
    place among all; `stepped` says that it reads the step for which it is called; `calls` are the functions in its
    expressions, by their names in the tables, square and pow.
    """

    name: str
    kind: str
    reverse: bool
    title: str
    arrays: tuple[Array, ...]
    space: tuple[tuple[str, str, str], ...]
    count: str
    over: tuple[tuple[str, str, str], ...]
    over_count: str
    rows: bool
    loads: tuple[Load, ...]
    fixed: tuple[Load, ...]
    outs: tuple[str, ...]
    body: tuple[Line, ...]
    stores: tuple[Load, ...]
    held: tuple[Held, ...]
    factors: tuple[str, ...]
    target: str
    phases: tuple[PhaseText, ...] = ()
    sizes: tuple[tuple[str, int], ...] = ()
    stepped: bool = False
    calls: frozenset[str] = frozenset()

    @property
    def searches(self) -> bool:
        """Does it look for the best of something?"""
        return self.kind in ("largest", "smallest", "peak") or any(p.searches for p in self.phases)

    @property
    def parameters(self) -> list[str]:
        """What the pointwise function takes: operands, then results by reference."""
        return [f"const compute_t {x.local}" for x in self.loads] + [f"compute_t& {x}" for x in self.outs]

    @property
    def pointers(self) -> list[str]:
        """The kernel's arrays as parameters."""
        return [f"{'' if a.written else 'const '}storage_t* __restrict__ {a.pointer}" for a in self.arrays]
