"""A page as data: sections of prose, equations, tables and code, before any format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from symrnn.functions.numeric import Array
from symrnn.pages.evaluate.world import World
from symrnn.pages.formulas.formula import Formula
from symrnn.pages.formulas.names import Letter

Truth = Callable[[World, int], Array]


@dataclass(frozen=True)
class Phrase:
    """A sentence of the phrase tables, and what stands in its gaps: words, formulas, phrases, or lists of these."""

    key: str
    gaps: Mapping[str, Any] = field(default_factory=dict)


def say(key: str, **gaps: Any) -> Phrase:
    return Phrase(key, gaps)


def rounded(count: int) -> str:
    """A count as people write it: in full, or by its order where it is huge."""
    return f"{count:,}" if count < 10**9 else f"{count:.1e}"


@dataclass(frozen=True)
class Words:
    """Text from a cell file; it has no translation and means nothing to any format."""

    text: str


@dataclass(frozen=True)
class Equation:
    """left = right.

    `key` is its lasting name on the page (forward.c, delta.c, gradient.W_i), and what a link to it is made of; one
    without a key has no number. `by` says what it follows from. `truth` gives what the left side is worth where it is
    not looked up; `along` names the carried value whose differential the equation follows. An equation with `members`
    stands for all of them: a star in it stands for each of the indices `over`.
    """

    left: Formula
    right: Formula
    note: Phrase | None = None
    truth: Truth | None = None
    elementwise: bool = False
    along: str = ""
    key: str = ""
    by: Phrase | None = None
    members: tuple[Equation, ...] = ()
    over: tuple[Letter, ...] = ()


@dataclass(frozen=True)
class Ref:
    """A link to a numbered equation by its key, in the gap of a phrase; `later` counts steps after t."""

    key: str
    later: int = 0


@dataclass(frozen=True)
class Equations:
    """Equations aligned at their equals signs."""

    rows: tuple[Equation, ...]


@dataclass(frozen=True)
class Prose:
    """A paragraph."""

    phrases: tuple[Phrase, ...]


@dataclass(frozen=True)
class LeftOut(Prose):
    """A paragraph that says what is not written out, and how much it is."""


@dataclass(frozen=True)
class Table:
    """A table; cells are words, code, formulas or phrases."""

    head: tuple[Phrase, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Code:
    """Lines of a program."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Mono:
    """A word of code."""

    text: str


@dataclass(frozen=True)
class Fold:
    """Blocks that a reader may open; what is `aside` is left out where nothing can be opened, in LaTeX and PDF."""

    summary: Phrase
    blocks: tuple[Block, ...]
    open: bool = False
    aside: bool = False


@dataclass(frozen=True)
class Node:
    """A box of the diagram: what is computed and by which function; its column and row."""

    name: str
    formula: Formula
    kind: str
    column: int
    row: int


@dataclass(frozen=True)
class Diagram:
    """The dataflow of one step; arrows join nodes by name."""

    nodes: tuple[Node, ...]
    arrows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading and an anchor."""

    anchor: str
    title: Phrase
    blocks: tuple[Block, ...]


Block = Equations | Prose | Table | Code | Fold | Diagram


@dataclass(frozen=True)
class Document:
    """A whole page. `letters` says how symbols without a spelling of their own are written.

    `glossary` has for the name of a symbol its meaning (a phrase or words), its shape, and the key of its equation.
    """

    name: str
    headline: str
    remarks: str
    sections: tuple[Section, ...]
    letters: Mapping[str, Letter]
    glossary: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        """The number of every equation that has a key, in the order of the page; members share that of their row."""
        found: dict[str, int] = {}
        count = 0
        for _, e in self.equations():
            if e.key and e.key not in found:
                count += 1
                found |= dict.fromkeys([e.key, *(m.key for m in e.members if m.key)], count)
        return found

    def equations(self) -> Iterator[tuple[str, Equation]]:
        """Every displayed equation with the anchor of its section."""
        for section in self.sections:
            for block in flattened(section.blocks):
                if isinstance(block, Equations):
                    yield from ((section.anchor, e) for e in block.rows)


def flattened(blocks: tuple[Block, ...]) -> Iterator[Block]:
    """Blocks and what is folded into them."""
    for block in blocks:
        yield block
        if isinstance(block, Fold):
            yield from flattened(block.blocks)
