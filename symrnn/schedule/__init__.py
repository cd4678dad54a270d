"""Derivation → Program: ordered passes, each a function Program → Program in a file of its own, each verified."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property

from symrnn.calculus.derive import Derivation, derive, derive_tangent
from symrnn.language.cell import Cell
from symrnn.schedule.alias import alias
from symrnn.schedule.concat import concat
from symrnn.schedule.concat_in_place import concat_in_place
from symrnn.schedule.cut import cut
from symrnn.schedule.detach import detach
from symrnn.schedule.direct import direct
from symrnn.schedule.expand import expand
from symrnn.schedule.fuse import fuse
from symrnn.schedule.hoist import hoist
from symrnn.schedule.place import place
from symrnn.schedule.program import Entry, Program
from symrnn.schedule.prune import prune
from symrnn.schedule.recompute import recompute
from symrnn.schedule.save import save
from symrnn.schedule.states import states
from symrnn.schedule.turn import turn

#: Every pass by name.
PASSES: dict[str, Callable[[Program], Program]] = {
    "expand": expand,
    "alias": alias,
    "states": states,
    "prune": prune,
    "recompute": recompute,
    "direct": direct,
    "fuse": fuse,
    "hoist": hoist,
    "concat": concat,
    "concat_in_place": concat_in_place,
    "turn": turn,
    "cut": cut,
    "save": save,
    "detach": detach,
}
#: The order in which they run for a target that prints lines over arrays. What is computed again may be a copy, what
#: has left the loop is fused once more, and what has been joined leaves dead statements. `states` is in neither: it
#: makes a program of its own, which saves less and computes more.
ORDER = ("expand", "alias", "prune", "recompute", "alias", "fuse", "hoist", "fuse", "concat", "cut", "prune", "save")
#: The order for a target whose kernels fuse what they compute, and write values into their place.
KERNEL_ORDER = (
    *("expand", "alias", "prune", "recompute", "alias", "direct"),
    *("concat_in_place", "turn", "cut", "prune", "save", "detach"),
)
#: What pays only where matrices are multiplied with at many steps.
FOR_MANY_STEPS = ("concat", "concat_in_place", "turn")

#: What runs over a sequence and back, keeping all that is read there, or inputs and carried values alone.
TRAIN = Entry("forward", "backward", resumes=True)
STATES = Entry("states_forward", "states_backward", resumes=True, apart=True)
#: What keeps nothing for the way back.
INFER, STEP = Entry("infer", resumes=True), Entry("step", resumes=True)
#: Of a derivation with tangents: outputs and their tangents; gradients of the tangents alone.
JVP, HVP = Entry("jvp"), Entry("hvp_forward", "hvp_backward", outputs=False)


class Entries:
    """The programs of a cell, each scheduled by these passes when a target first asks for it."""

    def __init__(self, cell: Cell, passes: Iterable[str] = ORDER) -> None:
        self.cell, self.passes = cell, tuple(passes)

    @cached_property
    def train(self) -> Program:
        return schedule(derive(self.cell), self.passes)

    @cached_property
    def states(self) -> Program:
        """Training that saves inputs and carried values alone."""
        at = self.passes.index("prune")
        return schedule(derive(self.cell), (*self.passes[:at], "states", *self.passes[at:]), STATES)

    @cached_property
    def infer(self) -> Program:
        return schedule(derive(self.cell), self.passes, INFER)

    @cached_property
    def step(self) -> Program:
        """Without passes that prepare matrices, which costs a single step more than it saves."""
        return schedule(derive(self.cell), [p for p in self.passes if p not in FOR_MANY_STEPS], STEP)

    @cached_property
    def jvp(self) -> Program:
        return schedule(derive_tangent(self.cell), self.passes, JVP)

    @cached_property
    def hvp(self) -> Program:
        return schedule(derive_tangent(self.cell), self.passes, HVP)


def schedule(derivation: Derivation, passes: Iterable[str] = ORDER, entry: Entry = TRAIN) -> Program:
    """Decide what runs when: `place` sorts the statements into blocks, the passes improve on it."""
    program = place(derivation, entry).check()
    for name in passes:
        program = PASSES[name](program).check(program)
    return program
