"""Functions of a compiled module: what their sweeps are given and run, and what they return by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from symrnn.compiled.c import sizes
from symrnn.compiled.host_code import Allocation, HostCode, Result, SweepCode, in_a_tuple
from symrnn.compiled.kernel import Kernel, Line
from symrnn.compiled.layout import layout
from symrnn.compiled.ops import extent
from symrnn.compiled.plan import plan
from symrnn.compiled.verify import verify
from symrnn.language.cell import Variable
from symrnn.printing.arguments import Arguments, Given
from symrnn.printing.interface import Pairs
from symrnn.printing.spelling import in_python
from symrnn.schedule import Entries
from symrnn.schedule.program import Program


@dataclass(frozen=True)
class Argument:
    """An array a sweep is given: its name there, the dict it comes in, its name in that and its shape as Python text.

    One that is not `new` is there from an earlier sweep of the program.
    """

    local: str
    group: str
    key: str
    shape: str
    new: bool

    @property
    def text(self) -> str:
        return f'{self.group}["{self.key}"]'


@dataclass(frozen=True)
class Part:
    """One sweep as the templates print it; `starts` are (first row, what carried values begin with)."""

    name: str
    reverse: bool
    sequence: bool
    given: list[Argument]
    starts: Pairs
    allocations: list[Allocation]
    bindings: list[Any]
    blocks: dict[str, list[Line]]

    @property
    def looped(self) -> bool:
        """Does the loop over time call kernels and products step by step?"""
        return bool(self.blocks["loop"]) and not self.sequence


@dataclass(frozen=True)
class Function:
    """A function of the module: its sweeps, and what it returns by name. `steps`: it takes the number of a step.

    One that runs ahead returns outputs and last states, and their tangents; one that goes back the gradients of inputs
    as `results`, those of states as `final`, and those of parameters.
    """

    sweeps: list[Part]
    steps: bool
    results: Pairs
    final: Pairs
    tangents: Pairs = field(default_factory=list)
    final_tangents: Pairs = field(default_factory=list)
    gradients: Pairs = field(default_factory=list)


class Functions:
    """The functions made of one program, in the words of the array library `xp`.

    Where arrays are `kept` for the next call, every result leaves as a copy.
    """

    def __init__(self, program: Program, xp: str, kept: bool) -> None:
        self.program, self.kept, self.d = program, kept, program.derivation
        self.cell, self.lengths = self.d.cell, sizes(self.d.cell)
        self.plan, self.arguments = plan(program), Arguments(program)
        code = HostCode(verify(layout(self.plan)), xp)
        self.code = [code.sweep(s.name) for s in program.sweeps]
        self.there: set[str] = set()

    @property
    def kernels(self) -> list[Kernel]:
        return [k for sweep in self.code for k in sweep.kernels]

    @property
    def reads_step(self) -> bool:
        """Must a caller say with which step a sequence begins?"""
        return self.program.sweeps[0].resumes and self.arguments.reads_time()

    @property
    def tape(self) -> Pairs:
        """Arrays that the second sweep reads and neither makes nor is given, and their shapes."""
        first, second = self.code
        given = {n for n, v in self.program.values.items() if v.role in ("param", "seed")}
        return [(in_python(n), first.shapes[in_python(n)]) for n in second.reads if n not in given]

    def function(self, *starts: str, first: int = 0) -> Function:
        """The sweeps from the first on, each beginning with carried values from the argument of that name."""
        chosen = range(first, first + len(starts))
        last = self.code[chosen[-1]]
        leaving = {name for name, _ in self.tape} if chosen[-1] + 1 < len(self.code) else set[str]()
        leaving |= {last.results[n].array for n in self.program.results if self.leaves(last.results.get(n))}
        given: set[str] = set()
        parts = [self.part(k, start, leaving, given) for k, start in zip(chosen, starts, strict=True)]
        ends = {b.key: f"{b.last}.copy()" for b in last.boundaries}
        if parts[-1].reverse:
            inputs, params = self.gradients(last, self.cell.inputs), self.gradients(last, self.cell.params)
            return Function(parts, self.reads_step, inputs, self.arguments.ends(ends), gradients=params)
        outputs = [self.outputs(last, tangents) for tangents in (False, True)]
        finals = [self.arguments.ends(ends, tangents) for tangents in (False, True)]
        return Function(parts, self.reads_step, outputs[0], finals[0], outputs[1], finals[1])

    def part(self, at: int, start: str, leaving: set[str], given: set[str]) -> Part:
        """A sweep given what no sweep before it in the same function was `given`."""
        code, sweep = self.code[at], self.program.sweeps[at]
        arguments = [
            *(self.arguments.seeds() if sweep.reverse else self.arguments.inputs()),
            *self.arguments.params(code.reads),
        ]
        missing = [x for x in arguments if x.value not in given]
        given |= {x.value for x in missing}
        first = {b.key: b.first for b in code.boundaries}
        starts = self.arguments.starts(start, sweep)
        part = Part(
            name=sweep.name,
            reverse=sweep.reverse,
            sequence=self.plan.stage(sweep.name).sequence,
            given=[self.argument(x) for x in missing],
            starts=[(first[key], x.text if x.argument else "0") for key, x in starts.items()],
            allocations=[replace(a, scratch=a.name not in leaving) for a in code.allocations],
            bindings=list(code.bindings),
            blocks={name: list(lines) for name, lines in code.blocks.items()},
        )
        self.there |= {x.value for x in missing}
        return part

    def argument(self, x: Given) -> Argument:
        value = self.program.values[x.value]
        lead = ["T", "B"] if value.timed else []
        return Argument(
            in_python(x.value),
            x.argument,
            x.key,
            in_a_tuple([*lead, *(extent((a,), self.lengths) for a in value.axes)]),
            x.value not in self.there,
        )

    def outputs(self, code: SweepCode, tangents: bool) -> Pairs:
        return [(name, self.text(code.results[value])) for name, value in self.arguments.outputs(tangents)]

    def gradients(self, code: SweepCode, variables: Sequence[Variable]) -> Pairs:
        return [(v.name, self.text(code.results[self.d.gradients[v.name]])) for v in variables]

    def text(self, result: Result) -> str:
        return result.text if self.leaves(result) else f"{result.text}.copy()"

    def leaves(self, result: Result | None) -> bool:
        """May the array itself be handed out? None is the result of another sweep."""
        return result is not None and result.alone and not self.kept


def of_programs(programs: Entries, xp: str, kept: bool) -> dict[str, Functions]:
    """The functions of every program, by the name under which their kernels are compiled."""
    every = {
        "train": programs.train,
        "states": programs.states,
        "infer": programs.infer,
        "step": programs.step,
        "jvp": programs.jvp,
        "hvp": programs.hvp,
    }
    return {name: Functions(program, xp, kept) for name, program in every.items()}


def calls(kernels: Iterable[Kernel], names: Iterable[str]) -> dict[str, bool]:
    """Which of these functions the kernels call; "best" for a search."""
    kernels = list(kernels)
    called = {name for k in kernels for name in k.calls}
    return {name: name in called for name in names} | {"best": any(k.searches for k in kernels)}


def in_a_list(lengths: dict[str, str]) -> str:
    """Python text that reads all lengths from `size`."""
    axes = ", ".join(f'"{axis}"' for axis in lengths)
    return f"[size[axis] for axis in ({axes})]"
