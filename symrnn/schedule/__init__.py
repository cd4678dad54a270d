"""Derivation → Program: ordered passes, each a function Program → Program in a file of its own, each verified."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from symrnn.calculus.derive import Derivation, derive, derive_tangent
from symrnn.language.cell import Cell
from symrnn.schedule.alias import alias
from symrnn.schedule.concat import concat
from symrnn.schedule.expand import expand
from symrnn.schedule.fuse import fuse
from symrnn.schedule.hoist import hoist
from symrnn.schedule.place import place
from symrnn.schedule.program import Entry, Program
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


#: What runs over a sequence and back; the others keep nothing for the way back.
TRAIN, INFER, STEP = Entry("forward", "backward"), Entry("infer"), Entry("step")
#: Of a derivation with tangents: outputs and their tangents; gradients of the tangents alone.
JVP, HVP = Entry("jvp"), Entry("hvp_forward", "hvp_backward", outputs=False)


@dataclass(frozen=True, eq=False)
class Entries:
    """The programs of a cell: what a generated module can be asked for."""

    train: Program
    infer: Program
    step: Program
    jvp: Program
    hvp: Program


def entries(cell: Cell, passes: Iterable[str] = tuple(PASSES)) -> Entries:
    """Every program of a cell, scheduled by the same passes."""
    passes, plain, tangent = tuple(passes), derive(cell), derive_tangent(cell)
    return Entries(
        train=schedule(plain, passes),
        infer=schedule(plain, passes, INFER),
        step=schedule(plain, [p for p in passes if p != "concat"], STEP),  # for one step it costs more than it saves
        jvp=schedule(tangent, passes, JVP),
        hvp=schedule(tangent, passes, HVP),
    )


def schedule(derivation: Derivation, passes: Iterable[str] = tuple(PASSES), entry: Entry = TRAIN) -> Program:
    """Decide what runs when: `place` sorts the statements into blocks, the passes improve on it."""
    program = place(derivation, entry).check()
    for name in passes:
        program = PASSES[name](program).check()
    return program
