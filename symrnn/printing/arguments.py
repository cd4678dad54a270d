"""How the values of a program meet the arguments and results of a function, tangents those along a direction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from symrnn.printing.interface import Pairs
from symrnn.schedule.program import Program, Sweep


@dataclass(frozen=True)
class Given:
    """A value that comes from outside: the argument it is in, a dict, and its name there."""

    value: str
    argument: str
    key: str

    @property
    def text(self) -> str:
        return f'{self.argument}["{self.key}"]'


class Arguments:
    """What the functions made of a program are given and return, by name."""

    def __init__(self, program: Program) -> None:
        self.program, self.step = program, program.derivation.step
        self.of, self.keys = self.step.tangent_of, self.step.tangent_keys

    def inputs(self) -> list[Given]:
        """All inputs, and their tangents."""
        return self._given("input", "inputs")

    def params(self, read: Iterable[str]) -> list[Given]:
        """The parameters that are read, and the tangents that are."""
        names = set(read)
        return [x for x in self._given("param", "params") if x.value in names]

    def seeds(self) -> list[Given]:
        """The cotangents of the outputs, or of their tangents."""
        seeds = self.program.derivation.seeds
        return [Given(seed, "cotangents", self.of.get(name, name)) for name, seed in seeds.items()]

    def _given(self, role: str, argument: str) -> list[Given]:
        names = [n for n, v in self.step.values.items() if v.role == role]
        plain = [Given(n, argument, n) for n in names if n not in self.of]
        return plain + [Given(n, f"dot_{argument}", self.of[n]) for n in names if n in self.of]

    def reads_time(self) -> bool:
        """Does some equation ask for the number of the step?"""
        time = {n for n, v in self.program.values.items() if v.role == "time"}
        return any(a.name in time for s in self.program.statements() for a in s.args)

    def starts(self, argument: str, sweep: Sweep) -> dict[str, Given]:
        """What carried values begin with, by key; adjoints beside those of tangents begin at zero, in no argument."""
        plain = "" if sweep.reverse and self.keys else argument
        along = argument if sweep.reverse else f"dot_{argument}"
        return {
            c.key: Given(c.arrives, along if c.key in self.keys else plain, self.keys.get(c.key, c.key))
            for c in sweep.carried
        }

    def outputs(self, tangents: bool = False) -> Pairs:
        """(name, value) of the outputs or of their tangents."""
        return [(self.of.get(n, n), n) for n in self.step.outputs if (n in self.of) == tangents]

    def ends(self, texts: Mapping[str, str], tangents: bool = False) -> Pairs:
        """(name, text) of states at the end of a sweep, in their order, or of their tangents, from texts by key."""
        found = {self.keys.get(key, key): text for key, text in texts.items() if (key in self.keys) == tangents}
        return [(c.name, found[c.name]) for c in self.program.derivation.cell.carries if found]
