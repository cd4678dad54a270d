"""What a target prints: the statements of the forward and the backward pass, sorted into what runs when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from symrnn.calculus.derive import Derivation
from symrnn.calculus.ir import TIME, Statement, Value, reads, verify


@dataclass(frozen=True)
class Carried:
    """What crosses from one step of a pass to the next.

    Forward, `source` of step t is `arrives` of step t+1 (``h`` → ``h_prev``); backward, `source` of step t is
    `arrives` of step t-1 (``d_h_prev`` → ``d_h_next``). `where` is the block that computes the source; one that is
    `stored` is kept for every step, because something outside the loop reads it.
    """

    key: str
    arrives: str
    source: str
    where: str
    stored: bool = True


BLOCKS = ("once", "before", "loop", "after", "finish")


@dataclass(frozen=True)
class Pass:
    """One direction. `once` and `finish` know no time; `before` and `after` do all steps at once; `loop` is one step.

    Values in `stored` are computed in the loop and kept for every step.
    """

    once: tuple[Statement, ...]
    before: tuple[Statement, ...]
    loop: tuple[Statement, ...]
    after: tuple[Statement, ...]
    finish: tuple[Statement, ...]
    carried: tuple[Carried, ...]
    stored: tuple[str, ...] = ()

    def blocks(self) -> Iterator[tuple[str, tuple[Statement, ...]]]:
        return ((name, getattr(self, name)) for name in BLOCKS)

    def statements(self) -> Iterator[Statement]:
        return (s for _, block in self.blocks() for s in block)

    def with_block(self, name: str, statements: tuple[Statement, ...]) -> Pass:
        return replace(self, **{name: statements})  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Program:
    """Everything a target needs, with all choices made: what is saved, hoisted, batched over time."""

    derivation: Derivation
    values: dict[str, Value]
    forward: Pass
    backward: Pass
    saved: tuple[str, ...] = ()

    def with_pass(self, direction: str, changed: Pass) -> Program:
        return replace(self, **{direction: changed})  # type: ignore[arg-type]

    def check(self) -> Program:
        """Raise AssertionError if a pass broke the program; return it otherwise."""
        for direction in ("forward", "backward"):
            known = [c.arrives for c in getattr(self, direction).carried]
            if direction == "backward":
                known += [*self.derivation.seeds.values(), *_forward_names(self)]
            ordered = list(getattr(self, direction).statements())
            verify(ordered, self.values, known)
            _verify_time(getattr(self, direction), self.values)
        return self


def _forward_names(program: Program) -> list[str]:
    """What the backward pass may read of the forward pass; what it computes again is its own."""
    if program.saved:
        return [n for n in program.saved if program.values[n].role in ("value", "local")]
    again = {s.out.name for s in program.backward.statements()}
    return [s.out.name for s in program.forward.statements() if s.out.name not in again]


def _verify_time(direction: Pass, values: dict[str, Value]) -> None:
    """Time labels stand exactly where a block treats all steps at once."""
    for block, statements in direction.blocks():
        for s in statements:
            for ref in (s.out, *s.args):
                expected = block in ("before", "after") and values[ref.name].timed
                assert (TIME in ref.labels) == expected, f"{block}: {ref.name} in {s}"
                assert block not in ("once", "finish") or not values[ref.name].timed, f"{block}: {ref.name} has a time"


def read_in(statements: tuple[Statement, ...]) -> set[str]:
    """Every name some statement reads."""
    return {name for s in statements for name in reads(s)}
