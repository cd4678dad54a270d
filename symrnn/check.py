"""Proves a generated module: forward against the equations, backward against three witnesses.

The witnesses are the dot-product test (no step size), complex steps and central differences of the independent
evaluation. Points too near a kink (relu, max, a tie) are drawn again, not tolerated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import ModuleType

import numpy as np

from symrnn import evaluate, interpret, zero_gradients
from symrnn.build import compile
from symrnn.cell import Cell, axis_size
from symrnn.derive import Derivation, derive
from symrnn.errors import UsageError
from symrnn.schedule import schedule

Arrays = dict[str, np.ndarray]
Shift = tuple[tuple[str, str], np.ndarray]

#: (T, B) and the sizes given to the axes in turn: single step, single unit, single batch, distinct primes.
SHAPES: tuple[tuple[int, int, tuple[int, ...]], ...] = (
    (5, 3, (2, 7, 11, 13, 17, 19)),
    (1, 2, (3, 5, 2, 7, 11, 13)),
    (4, 1, (5, 3, 2, 7, 11, 13)),
    (3, 2, (1, 1, 1, 1, 1, 1)),
)
TOLERANCES = {"forward": 1e-12, "dot product": 1e-12, "complex step": 1e-12, "differences": 1e-6}
SINGLE = {"forward": 1e-5, "dot product": 1e-5, "complex step": 1e-5}
KINK_MARGIN = 1e-3
STEP = 1e-6
OTHER_STEPS = (2e-3, 1e-3, 1e-4, 1e-5, 1e-7, 1e-8)
TINY = 1e-40
AT_ONCE = 8


@dataclass(frozen=True)
class Row:
    """One comparison: which quantity, which test, at which shape, how far off (relative), and the worst entry."""

    quantity: str
    test: str
    shape: str
    error: float
    tolerance: float
    found: float = 0.0
    expected: float = 0.0

    @property
    def ok(self) -> bool:
        return self.error <= self.tolerance

    def __str__(self) -> str:
        verdict = "ok" if self.ok else f"WRONG: found {self.found:.17g}, expected {self.expected:.17g}"
        return (
            f"{self.test}: {self.quantity} at {self.shape}: {self.error:.1e} (allowed {self.tolerance:.0e}) {verdict}"
        )


@dataclass
class Report:
    """All comparisons of one check."""

    cell: str
    backend: str
    dtype: str
    rows: list[Row] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return bool(self.rows) and all(r.ok for r in self.rows)

    @property
    def failures(self) -> list[Row]:
        return [r for r in self.rows if not r.ok]

    def worst(self) -> dict[str, Row]:
        """For each test, the comparison that came nearest to failing (or failed worst)."""
        worst: dict[str, Row] = {}
        for row in self.rows:
            known = worst.get(row.test)
            if known is None or row.error > known.error or row.error != row.error:
                worst[row.test] = row
        return worst

    def __str__(self) -> str:
        head = (
            f"{self.cell} ({self.backend}, {self.dtype}): {'ok' if self.ok else 'WRONG'}, {len(self.rows)} comparisons"
        )
        lines = [f"  {r}" for r in (self.failures or self.worst().values())]
        return "\n".join([head, *lines, *(f"  warning: {w}" for w in self.warnings)])


def check(
    cell: Cell,
    module: ModuleType | None = None,
    backend: str = "numpy",
    dtype: str = "float64",
    shapes: Iterable[tuple[int, int, tuple[int, ...]]] = SHAPES,
    progress: Callable[[str], None] = lambda what: None,
) -> Report:
    """Compare a module (by default the one `backend` generates) with the cell's equations and their derivatives.

    Raises UsageError where no test point lies far enough from every kink.
    """
    module = module or compile(cell, backend)
    report, derivation = Report(cell.name, backend, dtype), derive(cell)
    for k, (steps, batch, lengths) in enumerate(shapes):
        sizes = {"T": steps, "B": batch} | dict(zip(cell.axes, _cycled(lengths, len(cell.axes)), strict=True))
        progress(f"{cell.name} at {_shape(sizes)}")
        one = _Check(cell, module, derivation, sizes, seed=k, dtype=dtype)
        report.rows += one.rows()
        if not k:
            report.warnings += one.from_rest() + zero_gradients.warnings(cell, sizes)
    return report


def _cycled(lengths: tuple[int, ...], count: int) -> list[int]:
    return [lengths[k % len(lengths)] for k in range(count)]


def _shape(sizes: dict[str, int]) -> str:
    return " ".join(f"{a}={n}" for a, n in sizes.items())


class _Check:
    """The tests at one shape and one random point."""

    def __init__(
        self, cell: Cell, module: ModuleType, derivation: Derivation, sizes: dict[str, int], seed: int, dtype: str
    ) -> None:
        self.cell, self.module, self.derivation, self.sizes = cell, module, derivation, sizes
        self.dtype = np.dtype(dtype)
        self.tolerances = TOLERANCES if dtype == "float64" else SINGLE
        self.rng = np.random.default_rng(seed)
        self.point = self.away_from_kinks()

    # -- the point -----------------------------------------------------------------------------------------

    def away_from_kinks(self) -> dict[str, Arrays]:
        """Random parameters, inputs and states, drawn again until no kinked function is near its kink."""
        ever_finite = False
        for attempt in range(200):
            point = self.draw(0.7, positive=attempt % 4 == 3)
            kinks: list[float] = []
            with np.errstate(all="ignore"):
                outputs, state = self.evaluated(point, kinks)
            finite = all(np.isfinite(a).all() for a in (*outputs.values(), *state.values()))
            ever_finite = ever_finite or finite
            if finite and all(k > KINK_MARGIN * 0.5 ** (attempt / 25) for k in kinks):
                return point
        if not ever_finite:
            raise UsageError(f"At 200 random points {self.cell.name} had no finite value, at {_shape(self.sizes)}.")
        raise UsageError(f"No point away from every kink of {self.cell.name} was found at {_shape(self.sizes)}.")

    def draw(self, scale: float, positive: bool) -> dict[str, Arrays]:
        """Normal numbers, or their absolute values for cells that take logarithms and roots."""

        def array(lead: tuple[int, ...], axes: tuple[str, ...]) -> np.ndarray:
            shape = (*lead, *(axis_size(a, self.sizes) for a in axes))
            drawn = self.rng.standard_normal(shape) * scale
            return np.asarray(np.abs(drawn) if positive else drawn, self.dtype).astype(np.float64)

        steps, batch = self.sizes["T"], self.sizes["B"]
        return {
            "params": {v.name: array((), v.axes) for v in self.cell.params},
            "inputs": {v.name: array((steps, batch), v.axes) for v in self.cell.inputs},
            "state": {c.name: array((batch,), c.axes) for c in self.cell.carries},
        }

    def directions(self) -> dict[str, Arrays]:
        return {k: {n: self.rng.standard_normal(a.shape) for n, a in group.items()} for k, group in self.point.items()}

    def evaluated(self, point: dict[str, Arrays], kinks: list[float] | None = None) -> tuple[Arrays, Arrays]:
        return evaluate.run(self.cell, point["params"], point["inputs"], point["state"], kinks)

    # -- the tests -----------------------------------------------------------------------------------------

    def rows(self) -> list[Row]:
        outputs, state = self.evaluated(self.point)
        found, last, tape = self.forward()
        rows = [self.row(n, "forward", found[n], a) for n, a in outputs.items()]
        rows += [self.row(f"last state {n}", "forward", last[n], a) for n, a in state.items()]
        weights = {n: self.weight(a) for n, a in outputs.items()}, {n: self.weight(a) for n, a in state.items()}
        gradients = self.backward(tape, *weights)
        rows.append(self.dot_product(gradients, *weights))
        named = [(group, name) for group, arrays in self.point.items() for name in arrays]
        for k in range(0, len(named), AT_ONCE):
            rows += self.against_steps(named[k : k + AT_ONCE], gradients, weights)
        return rows

    def from_rest(self) -> list[str]:
        """From the start that a state gets by default, zero, values that are finite should have finite gradients."""
        point = self.point
        self.point = point | {"state": {n: np.zeros_like(a) for n, a in point["state"].items()}}
        with np.errstate(all="ignore"):
            outputs, state, tape = self.forward()
            found = (*outputs.values(), *state.values())
            gradients = self.backward(tape, *({n: np.ones_like(a) for n, a in g.items()} for g in (outputs, state)))
        self.point = point
        if not self.cell.carries or not all(np.isfinite(a).all() for a in found):
            return []
        bad = [n for group in gradients.values() for n, a in group.items() if not np.isfinite(a).all()]
        return [f"from a state of zeros, the default, the gradients of {', '.join(bad)} are not finite"] if bad else []

    def weight(self, like: np.ndarray) -> np.ndarray:
        return self.rng.standard_normal(like.shape).astype(self.dtype).astype(np.float64)

    def typed(self, arrays: Arrays) -> Arrays:
        return {k: np.asarray(v, self.dtype) for k, v in arrays.items()}

    def forward(self) -> tuple[Arrays, Arrays, object]:
        params, inputs, state = (self.typed(a) for a in self.point.values())
        x = inputs if len(inputs) > 1 else next(iter(inputs.values()))
        y, last, tape = self.module.forward(params, x, state)
        return _named(y, [v.name for v in self.cell.outputs]), last, tape

    def backward(self, tape: object, dy: Arrays, dstate: Arrays) -> dict[str, Arrays]:
        dy = self.typed(dy)
        given = dy if len(dy) > 1 else next(iter(dy.values()))
        dparams, dx, dstart = self.module.backward(self.typed(self.point["params"]), tape, given, self.typed(dstate))
        return {"params": dparams, "inputs": _named(dx, [v.name for v in self.cell.inputs]), "state": dstart}

    def dot_product(self, gradients: dict[str, Arrays], dy: Arrays, dstate: Arrays) -> Row:
        """⟨J v, w⟩ by the derivation's forward mode, ⟨v, Jᵀ w⟩ by the module's backward pass."""
        v = self.directions()
        given = self.point["params"] | self.point["inputs"]
        known = interpret.forward(schedule(self.derivation, ()), given, self.point["state"], self.sizes)
        jv, moved = interpret.tangent(self.derivation, known, v["params"] | v["inputs"], v["state"], self.sizes)
        left = sum(float((jv[n] * dy[n]).sum()) for n in dy) + sum(float((moved[n] * dstate[n]).sum()) for n in dstate)
        pairs = [float((gradients[g][n] * v[g][n]).sum()) for g in v for n in v[g]]
        scale = max(1.0, sum(abs(p) for p in pairs))
        error = abs(left - sum(pairs)) / scale
        return Row(
            "J and its transpose",
            "dot product",
            _shape(self.sizes),
            error,
            self.tolerances["dot product"],
            sum(pairs),
            left,
        )

    def against_steps(
        self, named: list[tuple[str, str]], gradients: dict[str, Arrays], weights: tuple[Arrays, Arrays]
    ) -> list[Row]:
        """Gradients along random directions, against complex steps and (in float64) central differences."""
        directions = [self.rng.standard_normal(self.point[group][name].shape) for group, name in named]
        steps = [1j * TINY, STEP, -STEP] if "differences" in self.tolerances else [1j * TINY]
        shifts = [(at, step * d) for at, d in zip(named, directions, strict=True) for step in steps]
        losses = self.losses(shifts, weights).reshape(len(named), len(steps))
        rows = []
        for (group, name), direction, found in zip(named, directions, losses, strict=True):
            gradient = np.asarray(gradients[group][name], np.float64)
            quantity = f"d{name}" if group != "state" else f"dstate {name}"
            if gradient.shape != direction.shape:
                rows.append(Row(f"shape of {quantity}", "complex step", _shape(self.sizes), np.inf, 0.0))
                continue
            along = float((gradient * direction).sum())
            scale = max(1.0, float(np.abs(gradient * direction).sum()))
            rows.append(self.scalar(quantity, "complex step", along, float(found[0].imag / TINY), scale))
            if len(steps) > 1:
                slope = float((found[1] - found[2]).real / (2 * STEP))
                row = self.scalar(quantity, "differences", along, slope, scale)
                rows.append(row if row.ok else self.finer(row, (group, name), direction, weights, scale))
        return rows

    def finer(
        self, row: Row, at: tuple[str, str], direction: np.ndarray, weights: tuple[Arrays, Arrays], scale: float
    ) -> Row:
        """Differences with longer and shorter steps: one is too coarse for a steep cell, one too fine for large values.

        The two longest are extrapolated too (Richardson). A wrong gradient agrees with none of them.
        """
        shifts = [(at, sign * step * direction) for step in OTHER_STEPS for sign in (1, -1)]
        losses = self.losses(shifts, weights).real.reshape(-1, 2)
        slopes = [float(up - down) / (2 * step) for (up, down), step in zip(losses, OTHER_STEPS, strict=True)]
        slopes.append((4 * slopes[1] - slopes[0]) / 3)
        return min([row, *(self.scalar(row.quantity, row.test, row.found, s, scale) for s in slopes)], key=_error)

    def losses(self, shifts: list[Shift], weights: tuple[Arrays, Arrays]) -> np.ndarray:
        """The weighted sum of outputs and last states once for each shift, all in one batch."""
        lanes = len(shifts)
        point = {g: {n: self.in_lanes(g, n, shifts) for n in arrays} for g, arrays in self.point.items()}
        outputs, state = self.evaluated(point)
        total = np.zeros(lanes, complex)
        for n, w in weights[0].items():
            steps = len(w)
            total += (outputs[n].reshape(steps, lanes, -1) * w.reshape(steps, 1, -1)).sum(axis=(0, 2))
        for n, w in weights[1].items():
            total += state[n].reshape(lanes, -1) @ w.reshape(-1)
        return total

    def in_lanes(self, group: str, name: str, shifts: list[Shift]) -> np.ndarray:
        """A quantity of the point with one batch for each shift, one after the other; shifted in its own."""
        value, axis = self.point[group][name], int(group == "inputs")
        if group == "params" and (group, name) not in [at for at, _ in shifts]:
            return value
        moved = np.stack([value + d if at == (group, name) else value for at, d in shifts], axis)
        if group == "params":
            return np.repeat(moved, self.sizes["B"], axis=0)
        return moved.reshape(*value.shape[:axis], -1, *value.shape[axis + 1 :])

    # -- comparing -----------------------------------------------------------------------------------------

    def scalar(self, quantity: str, test: str, found: float, expected: float, scale: float) -> Row:
        error = abs(found - expected) / max(scale, abs(expected))
        return Row(quantity, test, _shape(self.sizes), _nan_is_wrong(error), self.tolerances[test], found, expected)

    def row(self, quantity: str, test: str, found: np.ndarray, expected: np.ndarray) -> Row:
        shape = _shape(self.sizes)
        if found.shape != expected.shape or found.dtype != self.dtype:
            return Row(f"shape or dtype of {quantity}", test, shape, np.inf, self.tolerances[test])
        off = np.abs(found - expected) / np.maximum(1.0, np.abs(expected))
        at = np.unravel_index(int(np.argmax(np.nan_to_num(off, nan=np.inf))), off.shape) if off.size else ()
        worst = _nan_is_wrong(float(off[at])) if off.size else 0.0
        where = f"{quantity}[{', '.join(map(str, at))}]"
        values = (float(found[at]), float(expected[at])) if off.size else (0.0, 0.0)
        return Row(where, test, shape, worst, self.tolerances[test], *values)


def _error(row: Row) -> float:
    return row.error


def _nan_is_wrong(error: float) -> float:
    return float("inf") if np.isnan(error) else error


def _named(value: object, names: list[str]) -> Arrays:
    """A module returns a bare array where there is one, a dict where there are several."""
    return value if isinstance(value, dict) else {names[0]: np.asarray(value)}
