"""Runs of a cell with drawn parameters, and the Jacobian of every step, from the derivation's own edges.

The one-step Jacobian is assembled statement by statement, so that every path can be measured by itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from symrnn.calculus.derive import Derivation
from symrnn.functions import numeric
from symrnn.language.cell import axis_size
from symrnn.meaning.interpret import constants
from symrnn.pages.evaluate.world import TINY, Stage, compute, through
from symrnn.pages.sections.paths import Paths, Walk

Array = numeric.Array
#: So many numbers of a value are moved at once.
BLOCK = 2_000_000


def _radius(target: float) -> Callable[[np.random.Generator, int], Array]:
    def draw(rng: np.random.Generator, n: int) -> Array:
        w = rng.standard_normal((n, n))
        return np.asarray(w * (target / np.max(np.abs(np.linalg.eigvals(w)))))

    return draw


def orthogonal(rng: np.random.Generator, n: int) -> Array:
    q, r = np.linalg.qr(rng.standard_normal((n, n)))
    return np.asarray(q * np.sign(np.diag(r)))


#: How square matrices that multiply a state are drawn.
INITIALISATIONS: dict[str, Callable[[np.random.Generator, int], Array]] = {
    "radius 0.5": _radius(0.5),
    "radius 1": _radius(1.0),
    "radius 1.5": _radius(1.5),
    "identity": lambda rng, n: np.eye(n),
    "orthogonal": orthogonal,
}

#: Fed with nothing from almost nothing, where every unit is at its steepest; or with standard normal inputs.
SETTINGS = {"at rest": 0.0, "fed with noise": 1.0}


@dataclass(frozen=True)
class Draw:
    """How the parameters of a run are drawn: the square matrices that multiply a state, and vectors that are given."""

    name: str
    recurrent: Callable[[np.random.Generator, int], Array]
    given: Mapping[str, float] = field(default_factory=dict)


class TimeUpError(Exception):
    """The time that a measurement may take is over."""


@dataclass(frozen=True)
class Clock:
    """Raises TimeUpError when asked after its end, a time of `time.monotonic`."""

    end: float = math.inf

    def check(self) -> None:
        if time.monotonic() > self.end:
            raise TimeUpError


@dataclass(frozen=True)
class Measured:
    """What one run gave: log10 of the norms by lag, Lyapunov exponents, shares of the paths."""

    logs: Array
    exponents: Array
    shares: Mapping[str, float]


def log_norms(jacobians: list[Array], clock: Clock = Clock()) -> Array:
    """log10 of the spectral norm of J_T … J_{T-k+1} for k = 0 … T, rescaled as it goes so that nothing underflows."""
    n = len(jacobians[0])
    product, scale, found = np.eye(n), 0.0, [0.0]
    for j in reversed(jacobians):
        clock.check()
        product = product @ j
        norm = _spectral(product)
        if norm == 0:
            return np.array(found + [-np.inf] * (len(jacobians) + 1 - len(found)))
        product, scale = product / norm, scale + np.log10(norm)
        found.append(scale)
    return np.array(found)


def _spectral(matrix: Array) -> float:
    """The largest singular value; scaled first, because its square is taken, which is faster than all of them."""
    scale = float(np.max(np.abs(matrix), initial=0.0))
    if scale == 0:
        return 0.0
    scaled = matrix / scale
    return scale * math.sqrt(float(np.linalg.eigvalsh(scaled @ scaled.T)[-1]))


def lyapunov(jacobians: list[Array], clock: Clock = Clock()) -> Array:
    """Lyapunov exponents by QR, largest first, in natural logarithms per step."""
    q = np.eye(len(jacobians[0]))
    total = np.zeros(len(q))
    for j in jacobians:
        clock.check()
        q, r = np.linalg.qr(j @ q)
        total += np.log(np.maximum(np.abs(np.diag(r)), 1e-300))
    return np.sort(total / len(jacobians))[::-1]


def _started(rng: np.random.Generator, shape: tuple[int, ...], start: str) -> Array:
    """A parameter as the cell starts it."""
    if start in ("zeros", "ones"):
        return np.full(shape, float(start == "ones"))
    if start in ("identity", "orthogonal") and len(shape) == 2 and shape[0] == shape[1]:
        return np.eye(shape[0]) if start == "identity" else orthogonal(rng, shape[0])
    if not start[0].isalpha():
        return np.full(shape, float(start))
    return np.asarray(rng.uniform(-1, 1, shape) / max(1, shape[-1] if shape else 1) ** 0.5)


class NotFiniteError(Exception):
    """A value or a derivative of a run is not a number."""


class Run:
    """Forward runs side by side, one lane for each initialisation and seed; or one of them, with its Jacobians."""

    def __init__(self, derivation: Derivation, draws: tuple[Draw, ...], seeds: int, size: int, paths: Paths) -> None:
        self.d, self.step, self.draws = derivation, derivation.step, draws
        self.stage = Stage(derivation)
        self.order = list(self.stage.feeds)
        self.paths = paths
        self.sizes = dict.fromkeys(derivation.cell.axes, size)
        drawn = [self.parameters(np.random.default_rng(seed), draw) for draw in draws for seed in range(seeds)]
        self.fixed = {k: np.stack([one[k] for one in drawn]) for k in drawn[0]}
        self.lanes = len(drawn)
        self.rows: list[dict[str, Array]] = []

    def lane(self, rows: list[dict[str, Array]], k: int) -> Run:
        """One of the runs by itself; NotFiniteError if a state of it is not."""
        alone = copy(self)
        alone.rows = [{n: v[k : k + 1] if len(v) > 1 else v for n, v in row.items()} for row in rows]
        alone.fixed = {n: v[k : k + 1] for n, v in self.fixed.items()}
        if not all(np.all(np.isfinite(row[v])) for row in alone.rows for v in self.stage.feeds.values()):
            raise NotFiniteError
        return alone

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(axis_size(a, self.sizes) for a in self.step.values[name].axes)

    def parameters(self, rng: np.random.Generator, draw: Draw) -> dict[str, Array]:
        """Matrices that multiply a state are drawn as asked; the rest uniformly, biases as the cell starts them."""
        fixed = constants(self.d.cell, self.step.values, self.sizes)
        for name, value in self.step.values.items():
            shape = self.shape(name)
            if value.role == "param":
                if name in draw.given:
                    fixed[name] = np.full(shape, draw.given[name])
                elif name in self.recurrent:
                    fixed[name] = draw.recurrent(rng, shape[0])
                else:
                    fixed[name] = _started(rng, shape, self.d.cell.variable(name).start)
        return fixed

    @cached_property
    def recurrent(self) -> set[str]:
        """The square matrices that multiply a state."""
        multiplies = {
            a.name
            for s in self.step.statements if len(s.args) == 2
            for a, b in (s.args, s.args[::-1])
            if self.step.values[a.name].role == "param" and self._recurs(b.name)
        }  # fmt: skip
        shapes = {name: self.shape(name) for name in multiplies}
        return {name for name, shape in shapes.items() if len(shape) == 2 and shape[0] == shape[1]}

    def _recurs(self, name: str) -> bool:
        """Is this an earlier state, or something elementwise made of one?"""
        if self.step.values[name].role == "carry":
            return True
        made = next((s for s in self.step.statements if s.out.name == name), None)
        return made is not None and any(self.step.values[a.name].role == "carry" for a in made.args)

    def forward(
        self, rng: np.random.Generator, steps: int, setting: str, clock: Clock = Clock()
    ) -> list[dict[str, Array]]:
        """Values by name, step by step."""
        loud = SETTINGS[setting]
        low, high = (0.1, 0.5) if loud else (1e-60, 2e-60)
        carried = {
            n: rng.uniform(low, high, (self.lanes, *self.shape(n)))
            for n, v in self.step.values.items()
            if v.role == "carry"
        }
        inputs = [n for n, v in self.step.values.items() if v.role == "input"]
        rows = []
        for t in range(steps):
            clock.check()
            row = self.fixed | carried | {n: loud * rng.standard_normal((1, *self.shape(n))) for n in inputs}
            row = {k: np.abs(v) if k in inputs and self.step.values[k].axes == () else v for k, v in row.items()}
            row["t"] = np.asarray([float(t)])
            with np.errstate(all="ignore"):
                for s in self.stage.statements:
                    row[s.out.name] = compute(s, row, self.sizes)
            carried = {prev: row[source] for prev, source in self.stage.feeds.items()}
            rows.append(row)
        return rows

    # -- Jacobians -----------------------------------------------------------------------------------------

    def measured(self, clock: Clock) -> Measured:
        """Everything about one run."""
        jacobians = self.jacobians(clock)
        return Measured(log_norms(jacobians, clock), lyapunov(jacobians, clock), self.shares(clock))

    def jacobians(self, clock: Clock = Clock()) -> list[Array]:
        """∂s_t/∂s_{t-1} of every step, states stacked."""
        total = sum(math.prod(self.shape(n)) for n in self.order)
        largest = max(math.prod(self.shape(s.out.name)) for s in self.step.statements)
        block = max(1, BLOCK // (total * largest))
        found: list[Array] = []
        for start in range(0, len(self.rows), block):
            clock.check()
            found += self._jacobians(self.rows[start : start + block])
        return found

    def _jacobians(self, rows: list[dict[str, Array]]) -> list[Array]:
        """Those of some steps: all unit directions at all of these steps in one run of tangents."""
        sizes = [int(np.prod(self.shape(n), dtype=int)) for n in self.order]
        total, steps = sum(sizes), len(rows)
        row = {k: v if k in self.fixed else self._repeated(rows, k, total) for k, v in rows[0].items()}
        moved: dict[str, Array] = {}
        at = 0
        for name, n in zip(self.order, sizes, strict=True):
            lanes = np.zeros((total, n))
            lanes[at : at + n] = np.eye(n)
            moved[name] = np.tile(lanes, (steps, 1)).reshape(-1, *self.shape(name))
            at += n
        for s in self.stage.statements:
            if any(a.name in moved for a in s.args):
                shifted = {a.name: row[a.name] + 1j * TINY * moved[a.name] for a in s.args if a.name in moved}
                with np.errstate(all="ignore"):
                    value = np.imag(compute(s, {**row, **shifted}, self.sizes)) / TINY
                moved[s.out.name] = np.broadcast_to(value, (steps * total, *self.shape(s.out.name)))
        parts = []
        for v in self.stage.feeds.values():
            part = moved[v] if v in moved else np.zeros((steps * total, *self.shape(v)))
            parts.append(part.reshape(steps, total, -1))
        stacked = np.concatenate(parts, axis=2)
        if not np.all(np.isfinite(stacked)):
            raise NotFiniteError
        return list(np.swapaxes(stacked, 1, 2))

    def _repeated(self, rows: list[dict[str, Array]], name: str, total: int) -> Array:
        values = np.concatenate([np.broadcast_to(r[name], (1, *self.shape(name))) for r in rows])
        return np.repeat(values, total, axis=0)

    # -- paths ---------------------------------------------------------------------------------------------

    def shares(self, clock: Clock) -> dict[str, float]:
        """Mean share of every path's norm in the sum over the paths between the same two states."""
        found: dict[str, float] = {}
        for new in self.step.carried:
            walks = self._walks(new)
            norms = {label: 0.0 for label, _ in walks}
            for row in self.rows[:: max(1, len(self.rows) // 20)]:
                clock.check()
                for label, walk in walks:
                    norms[label] += _spectral(self._along(walk, row))
            total = sum(norms.values())
            found |= {k: v / total if total else 0.0 for k, v in norms.items()}
        return found

    def direct(self, row: dict[str, Array]) -> dict[str, float]:
        """For each state with an elementwise way straight to itself, the mean factor on that way."""
        found = {}
        for key in self.step.carried:
            for walk in (w for label, w in self._walks(key) if label == f"{key}: direct"):
                matrix = self._along(walk, row)
                if not np.any(matrix - np.diag(np.diag(matrix))):
                    found[key] = float(np.mean(np.diag(matrix)))
        return found

    def _walks(self, key: str) -> list[tuple[str, Walk]]:
        """The paths from a state to itself, labelled by the equations they pass."""
        previous = next(n for n, v in self.step.values.items() if v.role == "carry" and v.of == key)
        variables = {v.name for v in self.d.cell.variables}
        labelled: dict[str, Walk] = {}
        for w in self.paths.walks(previous, self.step.carried[key]):
            via = [h.of for h in w[:-1] if h.of in variables]
            label = f"{key}: " + (" → ".join(via) if via else "direct")
            while label in labelled:
                label += "′"
            labelled[label] = w
        return list(labelled.items())

    def _along(self, walk: Walk, row: dict[str, Array]) -> Array:
        total = np.eye(int(np.prod(self.shape(walk[0].wrt), dtype=int))) if walk else np.eye(1)
        for h in walk:
            with np.errstate(all="ignore"):
                matrix = through(h.statement, h.wrt, row, self.sizes)
            total = matrix @ total
        return total
