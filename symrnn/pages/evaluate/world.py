"""The numerical truth behind a page: a short random run, every value and every derivative of it by complex steps.

Nothing here uses the derivation's rules: derivatives are imaginary parts of forward runs, exact to rounding. Every
array has lanes in front, one for each thing that is moved: they take the place of the batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import sympy as sp

from symrnn.calculus.derive import Derivation
from symrnn.calculus.ir import BATCH, AlongAxis, OneHot, Pointwise, Ref, Statement, Step, Value
from symrnn.calculus.partials import DIFFERENTIABLE
from symrnn.functions import numeric
from symrnn.functions.whole_axis import ROWS
from symrnn.language.cell import axis_size
from symrnn.meaning.interpret import Arrays, aligned, constants, execute

Array = numeric.Array
NONE: Mapping[str, Any] = MappingProxyType({})
TINY = 1e-30
_NEAR = 1e-9


def in_lanes(s: Statement) -> Statement:
    """The statement with every value in lanes, parameters too."""
    refs = (r if BATCH in r.labels else Ref(r.name, (BATCH, *r.labels)) for r in (s.out, *s.args))
    return replace(s, out=next(refs), args=tuple(refs))


def compute(s: Statement, row: Mapping[str, Array], sizes: Mapping[str, int]) -> Array:
    """The value of a statement in lanes; what is the same in all lanes has one."""
    return execute(s, row, {**sizes, "B": max((len(row[a.name]) for a in s.args), default=1)})


def through(s: Statement, by: str, row: Mapping[str, Array], sizes: Mapping[str, int]) -> Array:
    """The Jacobian matrix of a statement by one value of the row, everything else in the row held fixed."""
    n = row[by].size
    unit = 1j * TINY * np.eye(n).reshape(n, *row[by].shape[1:])
    return np.asarray(np.imag(compute(in_lanes(s), {**row, by: row[by] + unit}, sizes)).reshape(n, -1).T / TINY)


def _kinks(s: Statement, moving: list[Ref], row: Mapping[str, Array]) -> list[float]:
    """How near a statement comes to each of its kinks: functions of operands that move, the choice of a largest."""
    if isinstance(s, OneHot | AlongAxis):
        kinks = ROWS["max"].kinks if isinstance(s, OneHot) else s.row.kinks
        return [float(np.min(kinks(np.real(row[s.args[0].name])), initial=math.inf))] if kinks else []
    if not isinstance(s, Pointwise):
        return []
    moves = {a.symbol for a in moving}
    env = {a.symbol: aligned(row[a.name], a.labels, s.out.labels) for a in s.args}
    calls = [x for x in sp.preorder_traversal(s.expr) if hasattr(type(x), "row") and x.free_symbols & moves]
    return [k for x in calls for k in numeric.kinks(type(x).row, [numeric.value(a, env) for a in x.args])]


def _finite(rows: list[Arrays]) -> bool:
    return all(np.isfinite(a).all() for row in rows for a in row.values())


@dataclass(frozen=True)
class Stage:
    """A cell of the run: its derivation, what it is called in formulas, and which input hangs on which output below."""

    derivation: Derivation
    prefix: str = ""
    hangs: tuple[tuple[str, str], ...] = ()

    @property
    def step(self) -> Step:
        return self.derivation.step

    @cached_property
    def statements(self) -> tuple[Statement, ...]:
        """Those of the step, in lanes."""
        return tuple(map(in_lanes, self.step.statements))

    @cached_property
    def previous(self) -> dict[str, str]:
        """Key of what is carried → the carried value of a step."""
        return {v.of: n for n, v in self.step.values.items() if v.role == "carry"}

    @cached_property
    def feeds(self) -> dict[str, str]:
        """Carried value of a step → the value of the step before that it holds."""
        return {self.previous[k]: v for k, v in self.step.carried.items()}

    def own(self, row: Mapping[str, Array]) -> Arrays:
        """The values of a row that are this stage's, by the names they have in its cell."""
        return {n: row[self.prefix + n] for n in self.step.values if self.prefix + n in row}


def longest_delay(stages: list[Stage]) -> int:
    """How many steps the oldest value that a step reads is older than the one before it."""
    return max((c.lag for s in stages for c in s.derivation.cell.carries), default=0)


class World:
    """One random sequence of a few steps through a cell and, if given, a head on top of it.

    Each `attempt` with the same seed is another world. `sizes` fixes the lengths of axes; it chooses those of others.

    The losses are those of `steps` steps; the run goes on for as many more as the longest delay, whose values stand
    beside adjoints that are zero.
    """

    def __init__(
        self, stages: list[Stage], seed: int = 0, steps: int = 3, attempt: int = 0, sizes: Mapping[str, int] = NONE
    ) -> None:
        self.stages, self.steps, self.attempt, self.sizes = stages, steps, attempt, dict(sizes)
        self.length = steps + longest_delay(stages)
        self.fixed: Arrays = {}
        self.inputs: dict[str, list[Array]] = {}
        self.start: Arrays = {}
        self.kinds: dict[str, Value] = {}
        self._runs: dict[int | None, tuple[list[Arrays], dict[str, slice]]] = {}
        rng = np.random.default_rng(seed + 1000 * attempt)
        for stage in stages:
            self._draw(stage, rng)
        top = stages[-1].derivation.cell
        is_loss = len(top.outputs) == 1 and not top.outputs[0].axes and not top.states
        weight = np.ones if is_loss else lambda shape: rng.normal(size=shape)
        outputs = [stages[-1].prefix + v.name for v in top.outputs]
        self.seeds = {n: [weight(self.shape(n)) for _ in range(steps + 1)] for n in outputs}
        self.rows = self.run()

    def _draw(self, stage: Stage, rng: np.random.Generator) -> None:
        cell, p = stage.derivation.cell, stage.prefix
        for axis in cell.axes:
            self.sizes.setdefault(axis, 2 + len(self.sizes) % 3)
        self.fixed |= {p + n: v for n, v in constants(cell, stage.step.values, self.sizes).items()}
        self.kinds |= {p + n: v for n, v in stage.step.values.items()}
        for name, value in stage.step.values.items():
            shape = self.shape(p + name)
            if value.role == "param":
                self.fixed[p + name] = self._numbers(rng, 0.2, shape) * self._signs(rng, shape)
            elif value.role == "input" and name not in dict(stage.hangs):
                self.inputs[p + name] = [self._numbers(rng, 0.1, shape) for _ in range(self.length + 1)]
            elif value.role == "carry":
                self.start[p + name] = self._numbers(rng, 0.1, shape)
            elif value.role == "time":
                self.inputs[p + name] = list(np.arange(-1.0, self.length))

    def _numbers(self, rng: np.random.Generator, low: float, shape: tuple[int, ...]) -> Array:
        """Numbers that keep clear of zero, smaller in later attempts; with inputs and states of both signs in some."""
        drawn = rng.uniform(low, 0.9, shape) / (1 + self.attempt / 20)
        return drawn * rng.choice([-1, 1], shape) if self.attempt % 4 == 2 else drawn

    def _signs(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Most parameters are positive, and all of them now and then, for cells that take logarithms and roots."""
        return np.ones(shape) if self.attempt % 4 == 3 else rng.choice([-1, 1, 1], shape)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(axis_size(a, self.sizes) for a in self.kinds[name].axes)

    def size(self, name: str) -> int:
        return math.prod(self.shape(name))

    # -- forward runs --------------------------------------------------------------------------------------

    def run(self, at: int | None = None, nudges: Mapping[str, Array] = NONE) -> list[Arrays]:
        """Values by name for steps 0 … T (0 holds only what is carried into step 1), with lanes first.

        `nudges` are added to the values of step `at`, or of every step.
        """
        feeds = {x.prefix + n: x.prefix + v for x in self.stages for n, v in x.feeds.items()}
        rows = self.rows[:at] if at else [{v: self.start[n][None] for n, v in feeds.items()}]
        for t in range(len(rows), self.length + 1):
            here = nudges if at in (t, None) else NONE
            row = {k: v[None] for k, v in self.fixed.items()} | {k: v[t][None] for k, v in self.inputs.items()}
            row |= {n: rows[-1][v] for n, v in feeds.items()}
            row |= {k: row[k] + nudge for k, nudge in here.items() if k in row}
            for stage in self.stages:
                row |= {stage.prefix + a: row[b] for a, b in stage.hangs}
                own = stage.own(row)
                for s in stage.statements:
                    name = stage.prefix + s.out.name
                    own[s.out.name] = row[name] = compute(s, own, self.sizes) + here.get(name, 0)
            rows.append(row)
        return rows

    @cached_property
    def _moving(self) -> set[str]:
        """Every value but the step index, constants, and what is made of them: what a derivative may be taken by."""
        found = {n for n, v in self.kinds.items() if v.role in DIFFERENTIABLE}
        for stage in self.stages:
            for s in stage.statements:
                if s.args and not any(stage.prefix + a.name in found for a in s.args):
                    found.discard(stage.prefix + s.out.name)
        return found

    def nearest_kink(self) -> float:
        """How near any function comes to a point where it has no derivative; NaN where one has no value."""
        found = [math.inf]
        for stage in self.stages:
            rows = [stage.own(row) for row in self.rows[1:]]
            for s in stage.statements:
                moving = [a for a in s.args if stage.prefix + a.name in self._moving]
                found += [k for row in rows for k in _kinks(s, moving, row)] if moving else []
        return float(np.min(found))

    def is_finite(self) -> bool:
        """Are all values, those nearby and all derivatives numbers? (−1)⁰ is 1, but there is nothing beside it."""
        nearby = {n: np.full((1, *self.shape(n)), _NEAR) for n in self._moving}
        return (
            _finite(self.rows)
            and _finite(self.run(None, nearby))
            and all(_finite(self._moved(at)[0]) for at in (None, *range(1, self.length + 1)))
        )

    def _held(self, name: str, t: int) -> str:
        """The carried value of step 1 that holds a value of an earlier step."""
        stage, key = next((x, c.name) for x in self.stages for c in x.derivation.cell.carries
                          if (x.prefix + c.of, -c.lag) == (name, t))  # fmt: skip
        return stage.prefix + stage.previous[key]

    def value(self, name: str, t: int) -> Array:
        """A value at a step, or a state at step 0 or before."""
        if name in self.fixed:
            return self.fixed[name]
        return np.real(self.rows[t][name][0]) if t > 0 else self.start[self._held(name, t)]

    # -- truths --------------------------------------------------------------------------------------------

    def _moved(self, at: int | None) -> tuple[list[Arrays], dict[str, slice]]:
        """A run with one lane for each component of every value, that component moved by a tiny imaginary number."""
        if at not in self._runs:
            names = [n for n, v in self.kinds.items() if v.role in DIFFERENTIABLE]
            ends = np.cumsum([0, *map(self.size, names)])
            lanes = {n: slice(*ends[k : k + 2]) for k, n in enumerate(names)}
            unit = 1j * TINY * np.eye(ends[-1])
            self._runs[at] = (
                self.run(at, {n: unit[:, own].reshape(-1, *self.shape(n)) for n, own in lanes.items()}),
                lanes,
            )
        return self._runs[at]

    def derivative(self, of: str, t: int, by: str, s: int | None) -> Array:
        """d of_t / d by_s through everything between, by_s at every step if s is None; axes of `of` first."""
        if s is not None and s <= 0:
            by, s = self._held(by, s), 1
        rows, lanes = self._moved(s)
        moved = rows[t][of] if len(rows[t][of]) == 1 else rows[t][of][lanes[by]]
        slopes = np.imag(np.broadcast_to(moved, (self.size(by), *self.shape(of)))) / TINY
        return np.moveaxis(slopes, 0, -1).reshape((*self.shape(of), *self.shape(by)))

    def jacobian(self, ofs: list[str], t: int, bys: list[str], s: int | None) -> Array:
        """d ofs_t / d bys_s as a matrix, values stacked."""
        return np.block(
            [[self.derivative(of, t, by, s).reshape(self.size(of), self.size(by)) for by in bys] for of in ofs]
        )

    def loss(self, by: str, s: int | None, at: int | None = None) -> Array:
        """∂L/∂by_s, or ∂L_at/∂by_s; by_s at every step if s is None."""
        total = np.zeros(self.shape(by))
        for out, weights in self.seeds.items():
            for t in range(max(s or 1, 1), self.steps + 1):
                if at in (t, None):
                    total = total + np.tensordot(weights[t], self.derivative(out, t, by, s), axes=weights[t].ndim)
        return total

    def seed(self, name: str, t: int) -> Array:
        """∂L_t/∂name_t."""
        return self.seeds[name][t] if name in self.seeds and t <= self.steps else self.loss(name, t, t)

    def adjoint(self, name: str, t: int | None) -> Array:
        """∂L/∂name_t; zero after the last step."""
        return self.loss(name, t)

    def statement_derivative(self, stage: Stage, s: Statement, by: str, t: int, position: int) -> Array:
        """The elementwise derivative of one statement by one operand, that operand alone moved."""
        row = stage.own(self.rows[t])
        row[by] = row[by] + 1j * TINY
        return np.asarray(np.imag(compute(in_lanes(s), row, self.sizes)[0]) / TINY)

    def through(self, stage: Stage, s: Statement, by: str, t: int) -> Array:
        """The Jacobian of a statement by one value that it reads, as a matrix whatever the axes."""
        return through(s, by, stage.own(self.rows[t]), self.sizes)

    @property
    def states(self) -> list[str]:
        """The values that are carried on, in the order in which they are stacked."""
        return list(self.stages[0].feeds.values())

    def stacked_loss(self, s: int, at: int | None) -> Array:
        """∂L_at/∂state_s, all states stacked, none seen as a function of another."""
        emitted = {v.name for v in self.stages[0].derivation.cell.outputs}
        parts = [
            self.loss(prev, s + 1, at) if at != s else self.seed(v, s) if v in emitted else np.zeros(self.shape(v))
            for prev, v in self.stages[0].feeds.items()
        ]
        return np.concatenate([part.ravel() for part in parts])

    def between(self, t: int, s: int) -> Array:
        """∂state_t/∂state_s, all states stacked."""
        return self.jacobian(self.states, t, list(self.stages[0].feeds), s + 1)
