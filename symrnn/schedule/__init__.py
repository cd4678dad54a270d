"""Derivation → Program: ordered passes, each a function Program → Program in a file of its own, each verified."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from symrnn.calculus.derive import Derivation
from symrnn.schedule.alias import alias
from symrnn.schedule.concat import concat
from symrnn.schedule.expand import expand
from symrnn.schedule.fuse import fuse
from symrnn.schedule.hoist import hoist
from symrnn.schedule.place import place
from symrnn.schedule.program import Program
from symrnn.schedule.save import save

#: Every pass, in the order in which they run; a target may leave some out.
PASSES: dict[str, Callable[[Program], Program]] = {
    "expand": expand,
    "alias": alias,
    "fuse": fuse,
    "hoist": hoist,
    "concat": concat,
    "save": save,
}


def schedule(derivation: Derivation, passes: Iterable[str] = tuple(PASSES)) -> Program:
    """Decide what runs when: `place` sorts the statements into blocks, the passes improve on it."""
    program = place(derivation).check()
    for name in passes:
        program = PASSES[name](program).check()
    return program
