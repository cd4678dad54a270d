"""Norms of ∂s_T/∂s_t against the lag, the share of each path, and Lyapunov exponents, from the derived Jacobian."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from symrnn.calculus.derive import Derivation, derive
from symrnn.errors import UsageError
from symrnn.flow.runs import (
    INITIALISATIONS,
    SETTINGS,
    Clock,
    Draw,
    Measured,
    NotFiniteError,
    Run,
    TimeUpError,
    orthogonal,
)
from symrnn.functions import numeric
from symrnn.language.cell import Cell, axis_size
from symrnn.pages.document import rounded
from symrnn.pages.sections.paths import Paths
from symrnn.pages.trace import Trace

Array = numeric.Array
MANY, LONG = 12, 100
OPEN = 5.0
SIZES, STATE = range(16, 3, -1), 64
#: So many numbers may all Jacobians of a run have.
MOST = 60_000_000


@dataclass(frozen=True)
class Curve:
    """One initialisation in one setting: mean log10 of ‖∂s_T/∂s_t‖ for lags 0 … T, exponents, shares of the paths.

    `decay` is the slope of the logarithm per step; `shares` says for each path between two states which part of the
    sum of the norms of all paths it has on average.
    """

    name: str
    setting: str
    lags: tuple[int, ...]
    log_norm: tuple[float, ...]
    lowest: tuple[float, ...]
    highest: tuple[float, ...]
    exponents: tuple[float, ...]
    shares: tuple[tuple[str, float], ...]
    seeds: int

    @property
    def decay(self) -> float:
        return (self.log_norm[-1] - self.log_norm[0]) / max(1, self.lags[-1])


@dataclass(frozen=True)
class Flow:
    """The curves of one cell, how they were measured, and what could not be, each with the reason."""

    cell: str
    steps: int
    seeds: int
    size: int
    curves: tuple[Curve, ...]
    left_out: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Progress:
    """How far a measurement is: runs done of all, what is measured now, and the curve that has just been finished."""

    done: int
    total: int
    what: str
    curve: Curve | None = None


def measure(
    cell: Cell,
    steps: int = 200,
    seeds: int = 3,
    size: int | None = None,
    initialisations: tuple[str, ...] = (),
    seconds: float = math.inf,
    watch: Callable[[Progress], None] = lambda progress: None,
) -> Flow:
    """Run the cell `seeds` times for `steps` steps with axes of length `size` and follow the Jacobian backwards.

    Without a size, it is 16, or less where the state would have more than 64 numbers. Without a choice of
    initialisations there is one more where a bias can hold open a state's way to itself, and a single one where no
    matrix multiplies a state. After `seconds`, what is not finished is left out.

    Raises UsageError for a cell without states, for lengths below one, for an unknown initialisation, and where
    nothing could be measured.
    """
    clock = Clock(time.monotonic() + seconds)
    if not cell.carries:
        raise UsageError(f"{cell.name} has no state: no gradient flows through time.")
    size = default_size(cell) if size is None else size
    for what, number in (("steps", steps), ("seeds", seeds), ("size", size)):
        if number < 1:
            raise UsageError(f"The number of {what} must be at least 1, not {number}.")
    if not seconds > 0:
        raise UsageError(f"The number of seconds must be above 0, not {seconds:g}.")
    for name in initialisations:
        if name not in INITIALISATIONS:
            raise UsageError(f"There is no initialisation {name!r}.", f"Known: {', '.join(INITIALISATIONS)}.")
    if steps * state_size(cell, size) ** 2 > MOST:
        raise UsageError(
            f"The state of {cell.name} has {state_size(cell, size):,} numbers, too many to follow for {steps} steps.",
            "Choose a smaller size (--size) or fewer steps (--T).",
        )
    return _Measurement(derive(cell), steps, seeds, size, clock, watch).flow(initialisations)


def state_size(cell: Cell, size: int) -> int:
    """How many numbers everything has that a step leaves for the next, with axes of that length."""
    return sum(math.prod(axis_size(a, dict.fromkeys(cell.axes, size)) for a in c.axes) for c in cell.carries)


def default_size(cell: Cell) -> int:
    """The largest of SIZES with which the state has no more than STATE numbers, or the smallest of them."""
    return next((n for n in SIZES if state_size(cell, n) <= STATE), SIZES[-1])


def paths_of(derivation: Derivation) -> Paths:
    """The paths whose shares are measured: there may be more of them, and longer ones, than on a page."""
    return Paths(Trace(derivation), MANY, LONG)


class _Measurement:
    """All runs of one cell, one initialisation after the other, until the time is up."""

    def __init__(
        self, derivation: Derivation, steps: int, seeds: int, size: int, clock: Clock,
        watch: Callable[[Progress], None],
    ) -> None:  # fmt: skip
        self.d, self.steps, self.seeds, self.size, self.clock, self.watch = derivation, steps, seeds, size, clock, watch
        self.paths = paths_of(derivation)
        self.curves: list[Curve] = []
        self.left_out: list[str] = []
        self.done = self.total = 0
        self.late: list[str] = []

    def flow(self, initialisations: tuple[str, ...]) -> Flow:
        draws = self.draws(initialisations)
        self.total = len(SETTINGS) * len(draws) * self.seeds
        for setting in SETTINGS:
            for draw in draws:
                self.curve(setting, draw)
        name = self.d.cell.name
        if not self.curves and self.late:
            raise UsageError(
                f"No run of {name} was finished in time.",
                "Give it more time (--seconds), a smaller size (--size) or fewer steps (--T).",
            )
        if not self.curves:
            raise UsageError(
                f"No gradient of {name} can be followed: its values or derivatives are not finite.",
                "Vectors and scalars are zero unless they start otherwise: param p[H] = ones.",
            )
        if self.late:
            self.left_out.append(f"time was up: {'; '.join(self.late)}")
        for key in self.d.step.carried:
            start = next(n for n, v in self.d.step.values.items() if v.role == "carry" and v.of == key)
            if self.paths.is_long(start, self.d.step.carried[key]):
                count = rounded(self.paths.count(start, self.d.step.carried[key]))
                self.left_out.append(f"shares of the paths of {key}: there are {count} of them")
        return Flow(name, self.steps, self.seeds, self.size, tuple(self.curves), tuple(self.left_out))

    def draws(self, initialisations: tuple[str, ...]) -> tuple[Draw, ...]:
        """How the parameters are drawn: as asked, or in every way that makes a difference to this cell."""
        if initialisations:
            return tuple(Draw(n, INITIALISATIONS[n]) for n in initialisations)
        plain = Run(self.d, (Draw("none", orthogonal),), 1, self.size, self.paths)
        draws = tuple(Draw(n, f) for n, f in INITIALISATIONS.items()) if plain.recurrent else plain.draws
        opened = opening(self.d, self.size, self.paths)
        biases = ", ".join(f"{n} = {v:g}" for n, v in opened.items())
        most = "orthogonal" if plain.recurrent else "none"
        return (*draws, Draw(f"{most}, {biases}", orthogonal, opened)) if opened else draws

    def curve(self, setting: str, draw: Draw) -> None:
        """Every seed of one initialisation in one setting; what cannot be measured is noted."""
        what = f"{setting}, {draw.name}"
        measured: list[Measured] = []
        try:
            runs = Run(self.d, (draw,), self.seeds, self.size, self.paths)
            rows = runs.forward(np.random.default_rng(0), self.steps, setting, self.clock)
            for lane in range(self.seeds):
                self.watch(Progress(self.done, self.total, what))
                measured.append(runs.lane(rows, lane).measured(self.clock))
                self.done += 1
        except NotFiniteError:
            self.left_out.append(f"{what}: not finite")
            measured = []
        except TimeUpError:
            self.late.append(f"{what} ({len(measured)} of {self.seeds} seeds)" if measured else what)
        if measured:
            self.curves.append(_curve(draw.name, setting, self.steps, measured))
            self.watch(Progress(self.done, self.total, what, self.curves[-1]))


def opening(derivation: Derivation, size: int, paths: Paths) -> dict[str, float]:
    """Vectors that open and shut a state's direct way to itself at rest, each with the value that opens it."""
    found: dict[str, float] = {}
    for v in derivation.cell.params:
        if len(v.axes) == 1:
            factors = {}
            for value in (OPEN, -OPEN):
                run = Run(derivation, (Draw("", orthogonal, {v.name: value}),), 1, size, paths)
                factors[value] = run.direct(run.forward(np.random.default_rng(0), 1, "at rest")[0])
            for value, there in factors.items():
                if any(abs(there[k] - 1) < 0.02 and abs(factors[-value][k]) < 0.02 for k in there):
                    found[v.name] = value
    return found


def _curve(name: str, setting: str, steps: int, measured: list[Measured]) -> Curve:
    shares = tuple((label, float(np.mean([m.shares[label] for m in measured]))) for label in measured[0].shares)
    logs = np.array([m.logs for m in measured])
    mean, lowest, highest = (_floats(f(logs, axis=0)) for f in (np.mean, np.min, np.max))
    leading = _floats(np.array([m.exponents for m in measured]).mean(0)[:4])
    return Curve(name, setting, tuple(range(steps + 1)), mean, lowest, highest, leading, shares, len(measured))


def _floats(values: Array) -> tuple[float, ...]:
    return tuple(float(f"{x:.6g}") for x in values)
