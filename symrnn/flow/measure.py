"""Norms of ∂s_T/∂s_t against the lag, the share of each path, and Lyapunov exponents, from the derived Jacobian.

The one-step Jacobian is assembled from the derivation's edges, statement by statement, so that every path can be
measured by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from symrnn import numeric
from symrnn.cell import Cell, axis_size
from symrnn.derive import Derivation, derive
from symrnn.errors import UsageError
from symrnn.pages.parts.paths import Paths, Walk
from symrnn.pages.trace import Trace
from symrnn.pages.world import Stage, compute, through
from symrnn.parse import STARTS

Array = numeric.Array
MANY = 12
TINY = 1e-30
OPEN = 5.0


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

    @property
    def decay(self) -> float:
        return (self.log_norm[-1] - self.log_norm[0]) / max(1, self.lags[-1])


@dataclass(frozen=True)
class Flow:
    """The curves of one cell, how they were measured, and which could not be: their numbers are not finite."""

    cell: str
    steps: int
    seeds: int
    size: int
    curves: tuple[Curve, ...]
    left_out: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def _radius(target: float) -> Callable[[np.random.Generator, int], Array]:
    def draw(rng: np.random.Generator, n: int) -> Array:
        w = rng.standard_normal((n, n))
        return np.asarray(w * (target / np.max(np.abs(np.linalg.eigvals(w)))))

    return draw


def _orthogonal(rng: np.random.Generator, n: int) -> Array:
    q, r = np.linalg.qr(rng.standard_normal((n, n)))
    return np.asarray(q * np.sign(np.diag(r)))


#: How square matrices that multiply a state are drawn.
INITIALISATIONS: dict[str, Callable[[np.random.Generator, int], Array]] = {
    "radius 0.5": _radius(0.5),
    "radius 1": _radius(1.0),
    "radius 1.5": _radius(1.5),
    "identity": lambda rng, n: np.eye(n),
    "orthogonal": _orthogonal,
}

#: Fed with nothing from almost nothing, where every unit is at its steepest; or with standard normal inputs.
SETTINGS = {"at rest": 0.0, "fed with noise": 1.0}


def measure(
    cell: Cell, steps: int = 200, seeds: int = 3, size: int = 16, initialisations: tuple[str, ...] = ()
) -> Flow:
    """Run the cell `seeds` times for `steps` steps with axes of length `size` and follow the Jacobian backwards.

    Without a choice of initialisations there is one more where a bias can hold open a state's way to itself.

    Raises UsageError for a cell without states, for lengths below one, and for an unknown initialisation.
    """
    if not cell.carries:
        raise UsageError(f"{cell.name} has no state: no gradient flows through time.")
    for what, number in (("steps", steps), ("seeds", seeds), ("size", size)):
        if number < 1:
            raise UsageError(f"The number of {what} must be at least 1, not {number}.")
    for name in initialisations:
        if name not in INITIALISATIONS:
            raise UsageError(f"There is no initialisation {name!r}.", f"Known: {', '.join(INITIALISATIONS)}.")
    derivation = derive(cell)
    draws = tuple(Draw(n, INITIALISATIONS[n]) for n in initialisations or INITIALISATIONS)
    opened = {} if initialisations else opening(derivation, size)
    if opened:
        biases = ", ".join(f"{n} = {v:g}" for n, v in opened.items())
        draws += (Draw(f"orthogonal, {biases}", _orthogonal, opened),)
    curves: list[Curve] = []
    left_out: list[str] = []
    for setting in SETTINGS:
        rng = np.random.default_rng(0)
        runs = _Run(derivation, draws, seeds, size)
        rows = runs.forward(rng, steps, setting)
        for k, draw in enumerate(draws):
            try:
                curves.append(_curve(runs, rows, k, steps, seeds, setting))
            except NotFinite:
                left_out.append(f"{setting}, {draw.name}")
    if not curves:
        raise UsageError(f"No gradient of {cell.name} can be followed: its values or derivatives are not finite.")
    return Flow(cell.name, steps, seeds, size, tuple(curves), tuple(left_out))


@dataclass(frozen=True)
class Draw:
    """How the parameters of a run are drawn: the square matrices that multiply a state, and vectors that are given."""

    name: str
    recurrent: Callable[[np.random.Generator, int], Array]
    given: Mapping[str, float] = field(default_factory=dict)


def opening(derivation: Derivation, size: int) -> dict[str, float]:
    """Vectors that open and shut a state's direct way to itself at rest, each with the value that opens it."""
    found: dict[str, float] = {}
    for v in derivation.cell.params:
        if len(v.axes) == 1:
            factors = {}
            for value in (OPEN, -OPEN):
                run = _Run(derivation, (Draw("", _orthogonal, {v.name: value}),), 1, size)
                factors[value] = run.direct(run.forward(np.random.default_rng(0), 1, "at rest")[0])
            for value, there in factors.items():
                if any(abs(there[k] - 1) < 0.02 and abs(factors[-value][k]) < 0.02 for k in there):
                    found[v.name] = value
    return found


def _curve(runs: _Run, rows: list[dict[str, Array]], k: int, steps: int, seeds: int, setting: str) -> Curve:
    logs, exponents, shares = [], [], []
    for lane in range(k * seeds, (k + 1) * seeds):
        alone = runs.lane(rows, lane)
        jacobians = alone.jacobians()
        logs.append(log_norms(jacobians))
        exponents.append(lyapunov(jacobians))
        shares.append(alone.shares())
    mean_shares = tuple((label, float(np.mean([s[label] for s in shares]))) for label in shares[0])
    mean, lowest, highest = (_floats(f(np.array(logs), axis=0)) for f in (np.mean, np.min, np.max))
    leading = _floats(np.array(exponents).mean(0)[:4])
    return Curve(runs.draws[k].name, setting, tuple(range(steps + 1)), mean, lowest, highest, leading, mean_shares)


def _floats(values: Array) -> tuple[float, ...]:
    return tuple(float(f"{x:.6g}") for x in values)


def log_norms(jacobians: list[Array]) -> Array:
    """log10 of the spectral norm of J_T … J_{T-k+1} for k = 0 … T, rescaled as it goes so that nothing underflows."""
    n = len(jacobians[0])
    product, scale, found = np.eye(n), 0.0, [0.0]
    for j in reversed(jacobians):
        product = product @ j
        norm = float(np.linalg.norm(product, 2))
        if norm == 0:
            return np.array(found + [-np.inf] * (len(jacobians) + 1 - len(found)))
        product, scale = product / norm, scale + np.log10(norm)
        found.append(scale)
    return np.array(found)


def lyapunov(jacobians: list[Array]) -> Array:
    """Lyapunov exponents by QR, largest first, in natural logarithms per step."""
    q = np.eye(len(jacobians[0]))
    total = np.zeros(len(q))
    for j in jacobians:
        q, r = np.linalg.qr(j @ q)
        total += np.log(np.maximum(np.abs(np.diag(r)), 1e-300))
    return np.sort(total / len(jacobians))[::-1]


class NotFinite(Exception):
    """A value or a derivative of a run is not a number."""


class _Run:
    """Forward runs side by side, one lane for each initialisation and seed; or one of them, with its Jacobians."""

    def __init__(self, derivation: Derivation, draws: tuple[Draw, ...], seeds: int, size: int) -> None:
        self.d, self.step, self.draws = derivation, derivation.step, draws
        self.stage = Stage(derivation)
        self.order = list(self.stage.feeds)
        self.paths = Paths(Trace(derivation), MANY)
        self.sizes = dict.fromkeys(derivation.cell.axes, size)
        drawn = [self.parameters(np.random.default_rng(seed), draw) for draw in draws for seed in range(seeds)]
        self.fixed = {k: np.stack([one[k] for one in drawn]) for k in drawn[0]}
        self.lanes = len(drawn)
        self.rows: list[dict[str, Array]] = []

    def lane(self, rows: list[dict[str, Array]], k: int) -> _Run:
        """One of the runs by itself; NotFinite if a state of it is not."""
        alone = copy(self)
        alone.rows = [{n: v[k : k + 1] if len(v) > 1 else v for n, v in row.items()} for row in rows]
        alone.fixed = {n: v[k : k + 1] for n, v in self.fixed.items()}
        if not all(np.all(np.isfinite(row[v])) for row in alone.rows for v in self.stage.feeds.values()):
            raise NotFinite
        return alone

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(axis_size(a, self.sizes) for a in self.step.values[name].axes)

    def parameters(self, rng: np.random.Generator, draw: Draw) -> dict[str, Array]:
        """Matrices that multiply a state are drawn as asked; the rest uniformly, biases as the cell starts them."""
        multiplies = {
            a.name
            for s in self.step.statements if len(s.args) == 2
            for a, b in (s.args, s.args[::-1])
            if self.step.values[a.name].role == "param" and self._recurs(b.name)
        }  # fmt: skip
        fixed: dict[str, Array] = {}
        for name, value in self.step.values.items():
            shape = self.shape(name)
            if value.role == "param":
                start = self.d.cell.variable(name).start
                if name in draw.given:
                    fixed[name] = np.full(shape, draw.given[name])
                elif name in multiplies and len(shape) == 2 and shape[0] == shape[1]:
                    fixed[name] = draw.recurrent(rng, shape[0])
                elif start in ("zeros", "ones"):
                    fixed[name] = np.full(shape, float(start == "ones"))
                elif start in STARTS:
                    fixed[name] = rng.uniform(-1, 1, shape) / max(1, shape[-1] if shape else 1) ** 0.5
                else:
                    fixed[name] = np.full(shape, float(start))
            elif value.role == "const":
                fixed[name] = np.asarray(float(self.d.cell.variable(name).start))
            elif value.role == "size":
                fixed[name] = np.asarray(float(self.sizes[name]))
            elif value.role == "identity":
                fixed[name] = np.eye(shape[0])
        return fixed

    def _recurs(self, name: str) -> bool:
        """Is this an earlier state, or something elementwise made of one?"""
        if self.step.values[name].role == "carry":
            return True
        made = next((s for s in self.step.statements if s.out.name == name), None)
        return made is not None and any(self.step.values[a.name].role == "carry" for a in made.args)

    def forward(self, rng: np.random.Generator, steps: int, setting: str) -> list[dict[str, Array]]:
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
            row = self.fixed | carried | {n: loud * rng.standard_normal((1, *self.shape(n))) for n in inputs}
            row = {k: np.abs(v) if k in inputs and self.step.values[k].axes == () else v for k, v in row.items()}
            row["t"] = np.asarray([float(t)])
            with np.errstate(all="ignore"):
                for s in self.step.statements:
                    row[s.out.name] = compute(s, row.__getitem__, self.step.values, self.sizes)
            carried = {prev: row[source] for prev, source in self.stage.feeds.items()}
            rows.append(row)
        return rows

    # -- Jacobians -----------------------------------------------------------------------------------------

    def jacobians(self) -> list[Array]:
        """∂s_t/∂s_{t-1} of every step, states stacked: all unit directions at all steps in one run of tangents."""
        sizes = [int(np.prod(self.shape(n), dtype=int)) for n in self.order]
        total, steps = sum(sizes), len(self.rows)
        row = {k: v if k in self.fixed else self._repeated(k, total) for k, v in self.rows[0].items()}
        moved: dict[str, Array] = {}
        at = 0
        for name, n in zip(self.order, sizes, strict=True):
            lanes = np.zeros((total, n))
            lanes[at : at + n] = np.eye(n)
            moved[name] = np.tile(lanes, (steps, 1)).reshape(-1, *self.shape(name))
            at += n
        for s in self.step.statements:
            if any(a.name in moved for a in s.args):
                get = lambda n: row[n] + 1j * TINY * moved[n] if n in moved else row[n]  # noqa: E731
                with np.errstate(all="ignore"):
                    value = np.imag(compute(s, get, self.step.values, self.sizes)) / TINY
                moved[s.out.name] = np.broadcast_to(value, (steps * total, *self.shape(s.out.name)))
        parts = []
        for v in self.stage.feeds.values():
            part = moved[v] if v in moved else np.zeros((steps * total, *self.shape(v)))
            parts.append(part.reshape(steps, total, -1))
        stacked = np.concatenate(parts, axis=2)
        if not np.all(np.isfinite(stacked)):
            raise NotFinite
        return list(np.swapaxes(stacked, 1, 2))

    def _repeated(self, name: str, total: int) -> Array:
        values = np.concatenate([np.broadcast_to(r[name], (1, *self.shape(name))) for r in self.rows])
        return np.repeat(values, total, axis=0)

    # -- paths ---------------------------------------------------------------------------------------------

    def shares(self) -> dict[str, float]:
        """Mean share of every path's norm in the sum over the paths between the same two states."""
        found: dict[str, float] = {}
        for new in self.step.carried:
            walks = self._walks(new)
            norms = {label: 0.0 for label, _ in walks}
            for row in self.rows[:: max(1, len(self.rows) // 20)]:
                for label, walk in walks:
                    norms[label] += float(np.linalg.norm(self._along(walk, row), 2))
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
                matrix = through(h.statements, h.wrt, row, self.shape(h.wrt), self.step, self.sizes)
            total = matrix @ total
        return total
