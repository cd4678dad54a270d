"""What a target prints: sweeps over time, their statements sorted into what runs when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from symrnn.calculus.derive import Derivation
from symrnn.calculus.ir import TIME, Statement, Value, reads, verify


@dataclass(frozen=True)
class Carried:
    """What crosses from one step of a sweep to the next.

    Forward, `source` of step t is `arrives` of step t+1 (``h`` → ``h_prev``); backward, `source` of step t is
    `arrives` of step t-1 (``d_h_prev`` → ``d_h_next``). `where` is the block that computes the source; one that is
    `stored` is kept for every step, because something outside the loop reads it.
    """

    key: str
    arrives: str
    source: str
    where: str
    stored: bool = True


@dataclass(frozen=True)
class Entry:
    """What a caller may ask of a cell: the names of its sweeps, and whether the outputs are wanted.

    One that `resumes` may begin after the first step of a sequence. Sweeps that are `apart` run in functions of their
    own; the first hands on inputs and carried values alone.
    """

    forward: str
    backward: str = ""
    outputs: bool = True
    resumes: bool = False
    apart: bool = False


BLOCKS = ("once", "before", "loop", "after", "finish")


@dataclass(frozen=True)
class Sweep:
    """One way through time, from the last step to the first if it is `reverse`.

    `once` and `finish` know no time; `before` and `after` do all steps at once; `loop` is one step. Values in `stored`
    are computed in the loop and kept for every step. One that `resumes` may begin after step number zero.
    """

    name: str
    reverse: bool
    once: tuple[Statement, ...]
    before: tuple[Statement, ...]
    loop: tuple[Statement, ...]
    after: tuple[Statement, ...]
    finish: tuple[Statement, ...]
    carried: tuple[Carried, ...]
    stored: tuple[str, ...] = ()
    resumes: bool = False

    def blocks(self) -> Iterator[tuple[str, tuple[Statement, ...]]]:
        return ((name, getattr(self, name)) for name in BLOCKS)

    def statements(self) -> Iterator[Statement]:
        return (s for _, block in self.blocks() for s in block)

    def with_block(self, name: str, statements: tuple[Statement, ...]) -> Sweep:
        return replace(self, **{name: statements})  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Program:
    """Everything a target needs, with all choices made: sweeps one after the other, what is hoisted and saved.

    `results` leave the program, beside the carried values at the end of each sweep; `saved` is what a later sweep reads
    of an earlier one. Sweeps that are `apart` have nothing else in common, no names either.
    """

    derivation: Derivation
    values: dict[str, Value]
    sweeps: tuple[Sweep, ...]
    results: tuple[str, ...]
    saved: tuple[str, ...] = ()
    apart: bool = False

    def sweep(self, name: str) -> Sweep:
        return next(x for x in self.sweeps if x.name == name)

    def with_sweep(self, changed: Sweep) -> Program:
        """The program with another sweep of the same name."""
        return replace(self, sweeps=tuple(changed if x.name == changed.name else x for x in self.sweeps))

    def statements(self) -> Iterator[Statement]:
        return (s for sweep in self.sweeps for s in sweep.statements())

    def read_by_others(self, sweep: Sweep) -> set[str]:
        """What the other sweeps read and do not compute themselves."""
        return {name for x in self.sweeps if x.name != sweep.name for name in read_from_others(x)}

    def saved_twice(self) -> dict[str, Carried]:
        """Saved values that are what a carried one is before or after a step, where both are saved."""
        saved, carried = {*self.saved}, self.sweeps[0].carried
        return {n: c for c in carried if {c.arrives, c.source} <= saved for n in (c.arrives, c.source)}

    def check(self, before: Program | None = None) -> Program:
        """Raise AssertionError if a pass broke the program; return it otherwise.

        Labels of statements that are in the program `before` too, which was checked, are not read again.
        """
        earlier, verified = set[str](), self._unchanged(before) if before else set[int]()
        for sweep in self.sweeps:
            computed = {s.out.name for s in sweep.statements()}  # some of it perhaps again, for itself
            known = {*(c.arrives for c in sweep.carried), *(earlier - computed)}
            verify(sweep.statements(), self.values, known, verified)
            _verify_time(sweep, self.values)
            earlier |= {n for n in computed if not self.saved or n in self.saved}
        return self

    def _unchanged(self, before: Program) -> set[int]:
        """The very statements of an earlier program whose values are still what they were."""
        same = {n for n, v in before.values.items() if self.values.get(n) is v}
        return {id(s) for s in before.statements() if s.out.name in same and all(a.name in same for a in s.args)}


def _verify_time(sweep: Sweep, values: dict[str, Value]) -> None:
    """Time labels stand exactly where a block treats all steps at once."""
    for block, statements in sweep.blocks():
        for s in statements:
            for ref in (s.out, *s.args):
                expected = block in ("before", "after") and values[ref.name].timed
                assert (TIME in ref.labels) == expected, f"{block}: {ref.name} in {s}"
                assert block not in ("once", "finish") or not values[ref.name].timed, f"{block}: {ref.name} has a time"


def read_in(statements: tuple[Statement, ...]) -> set[str]:
    """Every name some statement reads."""
    return {name for s in statements for name in reads(s)}


def read_from_others(sweep: Sweep) -> set[str]:
    """What a sweep reads and does not compute itself."""
    return read_in(tuple(sweep.statements())) - {s.out.name for s in sweep.statements()}
