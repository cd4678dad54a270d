"""The numerical truth behind a page: a short random run, every value and every derivative of it by complex steps.

Nothing here uses the derivation's rules: derivatives are imaginary parts of forward runs, exact to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import sympy as sp

from symrnn.calculus.derive import Derivation
from symrnn.calculus.ir import (
    BATCH,
    AlongAxis,
    Concat,
    Contraction,
    OneHot,
    Peak,
    Pointwise,
    Ref,
    Slice,
    Statement,
    Step,
)
from symrnn.calculus.partials import DIFFERENTIABLE
from symrnn.functions import numeric
from symrnn.language.cell import axis_size

Array = numeric.Array
ALWAYS = -1
NONE: Mapping[str, Array] = {}
_TINY = 1e-30
_NEAR = 1e-9


def compute(s: Statement, get: Any, values: dict[str, Any], sizes: dict[str, int]) -> Array:
    """A statement on arrays with one leading lane axis each."""
    args = [(get(a.name), [x for x in a.labels if x != BATCH]) for a in s.args]
    out = [x for x in s.out.labels if x != BATCH]
    match s:
        case Pointwise():
            env = {a.symbol: _spread(v, labels, out) for a, (v, labels) in zip(s.args, args, strict=True)}
            value = np.asarray(numeric.value(s.expr, env))
            shape = tuple(axis_size(x.rstrip("'"), sizes) for x in out)
            return np.broadcast_to(value, (len(value) if value.ndim else 1, *shape))
        case Contraction():
            letters = {x: chr(97 + k) for k, x in enumerate(dict.fromkeys(x for _, lab in args for x in lab))}
            spec = ",".join("z" + "".join(letters[x] for x in lab) for _, lab in args)
            return np.asarray(np.einsum(f"{spec}->z{''.join(letters[x] for x in out)}", *(v for v, _ in _lanes(args))))
        case Concat():
            return np.concatenate([v for v, _ in _lanes(args)], axis=-1)
        case Slice():
            start = sum(axis_size(a, sizes) for a in s.before)
            return np.asarray(args[0][0][..., start : start + axis_size(out[-1].rstrip("'"), sizes)])
        case OneHot():
            real = np.real(args[0][0])
            best = (np.argmax if s.largest else np.argmin)(real, axis=-1)
            return np.asarray(np.eye(real.shape[-1])[best])
        case Peak():
            raise AssertionError(f"{s} stands in a schedule, not in a step")
        case AlongAxis():
            return np.asarray(s.row.value(args[0][0]))


def _kinks(s: Statement, moving: list[Ref], get: Any) -> list[float]:
    """How near a statement comes to each of its kinks: functions of operands that move, the choice of a largest."""
    if isinstance(s, OneHot):
        ranked = np.sort(np.real(get(s.args[0].name)), axis=-1)
        return [float(np.min(np.diff(ranked, axis=-1), initial=math.inf))]
    if isinstance(s, AlongAxis) and s.row.kinks is not None:
        return [float(np.min(s.row.kinks(np.real(get(s.args[0].name))), initial=math.inf))]
    if not isinstance(s, Pointwise):
        return []
    out = [x for x in s.out.labels if x != BATCH]
    env = {a.symbol: _spread(get(a.name), [x for x in a.labels if x != BATCH], out) for a in s.args}
    moves = {a.symbol for a in moving}
    calls = [x for x in sp.preorder_traversal(s.expr) if hasattr(type(x), "row") and x.free_symbols & moves]
    return [k for x in calls for k in numeric.kinks(type(x).row, [numeric.value(a, env) for a in x.args])]


def _finite(rows: list[dict[str, Array]]) -> bool:
    return all(np.isfinite(a).all() for row in rows for a in row.values())


def _lanes(args: list[tuple[Array, list[str]]]) -> list[tuple[Array, list[str]]]:
    lanes = max(len(v) for v, _ in args)
    return [(np.broadcast_to(v, (lanes, *v.shape[1:])), labels) for v, labels in args]


def _spread(value: Array, labels: list[str], out: list[str]) -> Array:
    if labels == out:
        return value
    index: list[Any] = [slice(None), *(slice(None) if x in labels else None for x in out)]
    return np.asarray(value[tuple(index)])


def through(
    s: Statement, by: str, row: Mapping[str, Array], shape: tuple[int, ...], step: Step, sizes: dict[str, int]
) -> Array:
    """The Jacobian of a statement by one value of the row, everything else in the row held fixed."""
    n = int(np.prod(shape, dtype=int))
    moved = {**row, by: row[by] + (1j * _TINY * np.eye(n)).reshape(n, *shape)}
    value = compute(s, moved.__getitem__, step.values, sizes)
    return np.asarray(np.imag(np.broadcast_to(value, (n, *value.shape[1:]))).reshape(n, -1).T / _TINY)


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
    def feeds(self) -> dict[str, str]:
        """Carried value of a step → the value of the step before that it holds."""
        previous = {v.of: n for n, v in self.step.values.items() if v.role == "carry"}
        return {previous[k]: v for k, v in self.step.carried.items()}


def longest_delay(stages: list[Stage]) -> int:
    """How many steps the oldest value that a step reads is older than the one before it."""
    return max((c.lag for s in stages for c in s.derivation.cell.carries), default=0)


class World:
    """One random sequence of a few steps through a cell and, if given, a head on top of it.

    Each `attempt` with the same seed is another world.

    The losses are those of `steps` steps; the run goes on for as many more as the longest delay, whose values stand
    beside adjoints that are zero.
    """

    def __init__(self, stages: list[Stage], seed: int = 0, steps: int = 3, attempt: int = 0) -> None:
        self.stages, self.steps, self.attempt = stages, steps, attempt
        self.length = steps + longest_delay(stages)
        rng = np.random.default_rng(seed + 1000 * attempt)
        self.sizes: dict[str, int] = {}
        self.fixed: dict[str, Array] = {}
        self.inputs: dict[str, list[Array]] = {}
        self.start: dict[str, Array] = {}
        self.kinds: dict[str, Any] = {}
        for stage in stages:
            self._draw(stage, rng)
        self.seeds = {n: [rng.normal(size=self.shape(n)) for _ in range(self.steps + 1)] for n in self.outputs()}
        self._runs: dict[int | None, tuple[list[dict[str, Array]], dict[str, slice]]] = {}
        self.rows = self.run()

    def _draw(self, stage: Stage, rng: np.random.Generator) -> None:
        cell, p = stage.derivation.cell, stage.prefix
        for axis in cell.axes:
            self.sizes.setdefault(axis, 2 + len(self.sizes) % 3)
        for name, value in stage.step.values.items():
            self.kinds[p + name] = value
            shape = tuple(axis_size(a, self.sizes) for a in value.axes)
            if value.role == "param":
                self.fixed[p + name] = self._numbers(rng, 0.2, shape) * self._signs(rng, shape)
            elif value.role == "const":
                self.fixed[p + name] = np.asarray(float(cell.variable(name).start))
            elif value.role == "size":
                self.fixed[p + name] = np.asarray(float(self.sizes[name]))
            elif value.role == "identity":
                self.fixed[p + name] = np.eye(shape[0])
            elif value.role == "input" and name not in dict(stage.hangs):
                self.inputs[p + name] = [self._numbers(rng, 0.1, shape) for _ in range(self.length + 1)]
            elif value.role == "carry":
                self.start[p + name] = self._numbers(rng, 0.1, shape)

    def _numbers(self, rng: np.random.Generator, low: float, shape: tuple[int, ...]) -> Array:
        """Numbers that keep clear of zero, smaller in later attempts; with inputs and states of both signs in some."""
        drawn = rng.uniform(low, 0.9, shape) / (1 + self.attempt / 20)
        return drawn * rng.choice([-1, 1], shape) if self.attempt % 4 == 2 else drawn

    def _signs(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Most parameters are positive, and all of them now and then, for cells that take logarithms and roots."""
        return np.ones(shape) if self.attempt % 4 == 3 else rng.choice([-1, 1, 1], shape)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(axis_size(a, self.sizes) for a in self.kinds[name].axes)

    @property
    def is_loss(self) -> bool:
        """Does the last stage compute the loss itself: one scalar output and no state?"""
        cell = self.stages[-1].derivation.cell
        return len(cell.outputs) == 1 and not cell.outputs[0].axes and not cell.states

    def outputs(self) -> list[str]:
        """Names of what the losses are computed from."""
        top = self.stages[-1]
        return [top.prefix + v.name for v in top.derivation.cell.outputs]

    # -- forward runs --------------------------------------------------------------------------------------

    def run(self, at: int | None = None, nudges: Mapping[str, Array] = NONE) -> list[dict[str, Array]]:
        """Values by name for steps 0 … T (0 holds only what is carried into step 1), with lanes first.

        `nudges` are added to values of step `at` (of every step: ALWAYS), or to parameters for good (None).
        """
        known = {k: v[None] + (nudges.get(k, 0) if at is None else 0) for k, v in self.fixed.items()}
        first = at if at is not None and at > 1 else 1
        rows: list[dict[str, Array]] = self.rows[:first] if first > 1 else [{}]
        carried = self._carried(rows[-1]) if first > 1 else {k: v[None] for k, v in self.start.items()}
        for t in range(first, self.length + 1):
            here = nudges if at in (t, ALWAYS) else NONE
            row = known | carried | {k: v[t][None] for k, v in self.inputs.items()}
            row |= {k: row[k] + nudge for k, nudge in here.items() if k in row}
            for stage in self.stages:
                self._stage(stage, row, t, here)
            rows.append(row)
            carried = self._carried(row)
        return rows

    def _carried(self, row: dict[str, Array]) -> dict[str, Array]:
        return {s.prefix + prev: row[s.prefix + source] for s in self.stages for prev, source in s.feeds.items()}

    def _stage(self, stage: Stage, row: dict[str, Array], t: int, nudges: Mapping[str, Array]) -> None:
        """One stage of one step."""
        p = stage.prefix
        row.update({p + a: row[b] for a, b in stage.hangs})
        row[p + "t"] = np.asarray([float(t - 1)])
        for s in stage.step.statements:
            out = p + s.out.name
            row[out] = compute(s, lambda n: row[p + n], stage.step.values, self.sizes) + nudges.get(out, 0)

    @cached_property
    def _moving(self) -> set[str]:
        """Every value but the step index, constants, and what is made of them: what a derivative may be taken by."""
        found = {n for n, v in self.kinds.items() if v.role in DIFFERENTIABLE}
        for stage in self.stages:
            for s in stage.step.statements:
                if s.args and not any(stage.prefix + a.name in found for a in s.args):
                    found.discard(stage.prefix + s.out.name)
        return found

    def nearest_kink(self) -> float:
        """How near any function comes to a point where it has no derivative; NaN where one has no value."""
        found = [math.inf]
        for stage in self.stages:
            for s in stage.step.statements:
                moving = [a for a in s.args if stage.prefix + a.name in self._moving]
                for row in self.rows[1:] if moving else []:
                    found += _kinks(s, moving, lambda n, p=stage.prefix, row=row: row[p + n])
        return float(np.min(found))

    def is_finite(self) -> bool:
        """Are all values, those nearby and all derivatives numbers? (−1)⁰ is 1, but there is nothing beside it."""
        nearby = {n: np.full((1, *self.shape(n)), _NEAR) for n in self._moving}
        if not _finite(self.rows) or not _finite(self.run(ALWAYS, nearby)):
            return False
        return all(_finite(self._moved(at)[0]) for at in (None, ALWAYS, *range(1, self.length + 1)))

    def value(self, name: str, t: int) -> Array:
        """A value at a step, or a state at step 0."""
        if name in self.fixed:
            return self.fixed[name]
        if t <= 0:
            return self.initial(name, t)
        return np.real(self.rows[t][name][0])

    def initial(self, name: str, t: int) -> Array:
        """A carried value before the first step: the state that holds it."""
        for stage in self.stages:
            for prev, value in stage.step.values.items():
                lag = next(
                    (c for c in stage.derivation.cell.carries if c.name == value.of and value.role == "carry"), None
                )
                if lag and stage.prefix + lag.of == name and lag.lag == -t:
                    return self.start[stage.prefix + prev]
        raise KeyError((name, t))

    # -- truths --------------------------------------------------------------------------------------------

    def _moved(self, at: int | None) -> tuple[list[dict[str, Array]], dict[str, slice]]:
        """A run with one lane for each component of every value, that component moved by a tiny imaginary number."""
        if at not in self._runs:
            roles = ("param",) if at is None else ("param", "input", "carry", "value")
            sizes = {n: int(np.prod(self.shape(n), dtype=int)) for n, v in self.kinds.items() if v.role in roles}
            ends = np.cumsum([0, *sizes.values()])
            places = {n: slice(ends[k], ends[k + 1]) for k, n in enumerate(sizes)}
            nudges = {n: np.zeros((ends[-1], size), complex) for n, size in sizes.items()}
            for n, size in sizes.items():
                nudges[n][places[n]] = 1j * _TINY * np.eye(size)
            self._runs[at] = self.run(at, {n: v.reshape(-1, *self.shape(n)) for n, v in nudges.items()}), places
        return self._runs[at]

    def derivative(self, of: str, t: int, by: str, s: int | None) -> Array:
        """d of_t / d by_s through everything between, axes of `of` first."""
        rows, places = self._moved(s)
        lanes = rows[t][of] if len(rows[t][of]) == 1 else rows[t][of][places[by]]
        n = int(np.prod(self.shape(by), dtype=int))
        slopes = np.imag(np.broadcast_to(lanes, (n, *self.shape(of)))) / _TINY
        return np.asarray(np.moveaxis(slopes, 0, -1)).reshape((*self.shape(of), *self.shape(by)))

    def loss(self, by: str, s: int | None, at: int | None = None) -> Array:
        """∂L/∂by_s, or ∂L_at/∂by_s."""
        total = np.zeros(self.shape(by))
        for out in self.outputs():
            for t in range(max(s or 1, 1), self.steps + 1) if at is None else [at]:
                weight = np.ones(()) if self.is_loss else self.seeds[out][t]
                d = self.derivative(out, t, by, s)
                total = total + np.tensordot(weight, d, axes=weight.ndim)
        return total

    def seed(self, name: str, t: int) -> Array:
        """∂L_t/∂name_t."""
        if t > self.steps:
            return np.zeros(self.shape(name))
        if name in self.seeds and not self.is_loss:
            return self.seeds[name][t]
        return np.ones(()) if name in self.seeds else self.loss(name, t, t)

    def adjoint(self, name: str, t: int | None) -> Array:
        """∂L/∂name_t; zero after the last step."""
        if t is not None and t > self.steps:
            return np.zeros(self.shape(name))
        if t is not None and t <= 0:
            for stage in self.stages:
                for prev, value in stage.step.values.items():
                    carry = next(
                        (c for c in stage.derivation.cell.carries if value.role == "carry" and c.name == value.of), None
                    )
                    if carry and stage.prefix + carry.of == name and carry.lag == -t:
                        return self.loss(stage.prefix + prev, 1)
        return self.loss(name, None if name in self.fixed else ALWAYS if t is None else t)

    def statement_derivative(self, stage: Stage, s: Statement, by: str, t: int, position: int) -> Array:
        """The elementwise derivative of one statement by one operand, that operand alone moved."""
        row = {k: v[:1] for k, v in self.rows[t].items()}
        p = stage.prefix

        def get(name: str) -> Array:
            return row[p + name] + (1j * _TINY if name == by else 0)

        return np.asarray(np.imag(compute(s, get, stage.step.values, self.sizes)[0]) / _TINY)

    def tangent(self, of: str, by: str, t: int, direction: Array) -> Array:
        """The derivative of `of` at step t along a direction of a value of that step."""
        return np.asarray(np.tensordot(self.derivative(of, t, by, t), direction, axes=direction.ndim))

    def through(self, stage: Stage, s: Statement, by: str, t: int) -> Array:
        """The Jacobian of a statement by one value that it reads, as a matrix whatever the axes."""
        p = stage.prefix
        row = {k.removeprefix(p): v[:1] for k, v in self.rows[t].items() if k.startswith(p)}
        return through(s, by, row, self.shape(p + by), stage.step, self.sizes)

    @property
    def state_size(self) -> int:
        """The length of all states stacked."""
        return sum(int(np.prod(self.shape(v), dtype=int)) for v in self.stages[0].feeds.values())

    def stacked_loss(self, s: int, at: int | None) -> Array:
        """∂L_at/∂state_s, all states stacked, none seen as a function of another."""
        parts = []
        for prev, value in self.stages[0].feeds.items():
            if at == s:
                part = self.seed(value, s) if self._is_emitted(value) else np.zeros(self.shape(value))
            else:
                part = self.loss(prev, s + 1, at)
            parts.append(part.ravel())
        return np.concatenate(parts)

    def _is_emitted(self, name: str) -> bool:
        return name in {v.name for v in self.stages[0].derivation.cell.outputs}

    def between(self, t: int, s: int) -> Array:
        """∂state_t/∂state_s, all states stacked."""
        stage = self.stages[0]
        blocks = []
        for new in stage.feeds.values():
            row = []
            for prev in stage.feeds:
                d = self.derivative(new, t, prev, s + 1)
                n = int(np.prod(self.shape(new), dtype=int))
                row.append(d.reshape(n, -1))
            blocks.append(np.concatenate(row, axis=1))
        return np.concatenate(blocks, axis=0)

    def direct(self, name: str, t: int) -> Array:
        """∂⁺state_t/∂name: a parameter moved at step t alone."""
        return np.concatenate(
            [self.derivative(v, t, name, t).reshape(-1, self.fixed[name].size) for v in self.stages[0].feeds.values()]
        )
