"""One shape and one random point: what the equations say there, and how far rounding may change it.

Nothing here knows a generated module; `check` compares one with a trial.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache

import numpy as np

from symrnn.calculus.derive import derive, derive_tangent
from symrnn.errors import NothingToCompareError
from symrnn.language.cell import Cell, axis_size
from symrnn.meaning import evaluate, interpret
from symrnn.schedule import HVP, schedule
from symrnn.schedule.program import Program

Arrays = dict[str, np.ndarray]
#: What moves in a direction: (params, inputs or state; name), and the array it moves by.
Shift = tuple[tuple[str, str], np.ndarray]

KINK_MARGIN = 1e-3
TINY = 1e-40  # of complex steps: its square is nothing beside one
AT_ONCE = 8
ATTEMPTS = 200


class Trial:
    """A random point away from kinks, with weights for outputs and last states, whose weighted sum is the loss.

    Each try with the same seed is another point, with smaller numbers the later it comes. Raises NothingToCompareError
    if no point away from every kink, and with finite values on the way, is found.
    """

    def __init__(
        self, cell: Cell, sizes: dict[str, int], seed: int = 0, dtype: str = "float64", again: int = 0
    ) -> None:
        self.cell, self.sizes, self.dtype = cell, sizes, np.dtype(dtype)
        self._sensitivity: dict[tuple[tuple[str, str], ...], float] = {}
        self._bent: dict[int | None, dict[str, Arrays]] = {}
        self.rng = np.random.default_rng([seed, again])
        self.scale = 0.7 / (1 + again / 2)
        self.point = self.away_from_kinks()
        self.outputs, self.state = self.evaluated(self.point)
        self.weights = {n: self.weight(a) for n, a in self.outputs.items()}
        self.state_weights = {n: self.weight(a) for n, a in self.state.items()}
        self.directions = {g: {n: self.direction(a) for n, a in arrays.items()} for g, arrays in self.point.items()}
        self.others = {g: {n: self.direction(a) for n, a in arrays.items()} for g, arrays in self.point.items()}

    @property
    def shape(self) -> str:
        return " ".join(f"{a}={n}" for a, n in self.sizes.items())

    def quantities(self) -> list[tuple[str, str]]:
        """Everything there is a gradient by: (group, name)."""
        return [(group, name) for group, arrays in self.point.items() for name in arrays]

    # -- the point -----------------------------------------------------------------------------------------

    def away_from_kinks(self) -> dict[str, Arrays]:
        """Random parameters, inputs and states, drawn again until all is finite and no function near its kink."""
        ever_finite = False
        for attempt in range(ATTEMPTS):
            point = self.draw(positive=attempt % 4 == 3)
            kinks: list[float] = []
            outputs, state = self.evaluated(point, kinks)
            finite = all(np.isfinite(a).all() for a in (*outputs.values(), *state.values(), np.array(kinks)))
            ever_finite = ever_finite or finite
            if finite and all(k > KINK_MARGIN * 0.5 ** (attempt / 25) for k in kinks):
                return point
        if not ever_finite:
            where = f"{self.cell.name} was not finite, at {self.shape}"
            raise NothingToCompareError(f"At each of {ATTEMPTS} random points some value of {where}.")
        raise NothingToCompareError(f"No point away from every kink of {self.cell.name} was found at {self.shape}.")

    def draw(self, positive: bool) -> dict[str, Arrays]:
        """Normal numbers, or their absolute values for cells that take logarithms and roots."""

        def array(lead: tuple[int, ...], axes: tuple[str, ...]) -> np.ndarray:
            shape = (*lead, *(axis_size(a, self.sizes) for a in axes))
            drawn = self.rng.standard_normal(shape) * self.scale
            return np.asarray(np.abs(drawn) if positive else drawn, self.dtype).astype(np.float64)

        steps, batch = self.sizes["T"], self.sizes["B"]
        return {
            "params": {v.name: array((), v.axes) for v in self.cell.params},
            "inputs": {v.name: array((steps, batch), v.axes) for v in self.cell.inputs},
            "state": {c.name: array((batch,), c.axes) for c in self.cell.carries},
        }

    def weight(self, like: np.ndarray) -> np.ndarray:
        return self.rng.standard_normal(like.shape).astype(self.dtype).astype(np.float64)

    def direction(self, like: np.ndarray) -> np.ndarray:
        return self.rng.standard_normal(like.shape)

    def evaluated(
        self, point: dict[str, Arrays], kinks: list[float] | None = None, noise: evaluate.Noise | None = None
    ) -> tuple[Arrays, Arrays]:
        """Outputs and last states, by the equations as written."""
        with np.errstate(all="ignore"):
            return evaluate.run(self.cell, point["params"], point["inputs"], point["state"], kinks, noise)

    # -- what is known there -------------------------------------------------------------------------------

    @property
    def all_at_once(self) -> list[Shift]:
        """All directions together."""
        return [(at, self.directions[at[0]][at[1]]) for at in self.quantities()]

    @cached_property
    def pushed(self) -> float:
        """⟨J v, w⟩ for all directions at once, by the derivation's forward mode."""
        return self.pushed_along(self.all_at_once)

    @cached_property
    def joint(self) -> float:
        """The slope of the loss along all directions at once."""
        return self.slopes([self.all_at_once])[0]

    @cached_property
    def single(self) -> dict[tuple[str, str], float]:
        """The slope along the direction of each quantity alone."""
        return dict(zip(self.quantities(), self.slopes([[move] for move in self.all_at_once]), strict=True))

    def slopes(self, moves: Sequence[Sequence[Shift]], noise: evaluate.Noise | None = None) -> list[float]:
        """How fast the loss grows along each move, by complex steps, which cancel nothing."""
        lanes = [[(at, 1j * TINY * d) for at, d in move] for move in moves]
        parts = [self.losses(lanes[k : k + AT_ONCE], noise) for k in range(0, len(lanes), AT_ONCE)]
        return [float(x.imag / TINY) for part in parts for x in part]

    def pushed_along(self, move: Sequence[Shift], noise: evaluate.Noise | None = None) -> float:
        """The same by the derivation's partial derivatives, at the values of the forward pass."""
        d = derive(self.cell)
        along = {g: {n: np.zeros_like(a) for n, a in arrays.items()} for g, arrays in self.point.items()}
        for (group, name), direction in move:
            along[group][name] = direction
        known = self.known if noise is None else {n: a if n in self.exact else noise(a) for n, a in self.known.items()}
        with np.errstate(all="ignore"):
            moved, last = interpret.tangent(d, known, along["params"] | along["inputs"], along["state"], self.sizes)
        return _dot(moved, self.weights) + _dot(last, self.state_weights)

    def bent(self, noise: int | None = None) -> dict[str, Arrays]:
        """How all gradients change along all directions: a complex step through both passes as they were derived."""
        return self._bent[noise] if noise in self._bent else self._bent.setdefault(noise, self._complex_step(noise))

    def _complex_step(self, seed: int | None) -> dict[str, Arrays]:
        program = _as_derived(self.cell)
        moved = {
            g: {n: a + 1j * TINY * self.directions[g][n] for n, a in arrays.items()} for g, arrays in self.point.items()
        }
        noise = None if seed is None else evaluate.Noise(seed)
        with np.errstate(all="ignore"):
            known = interpret.forward(program, moved["params"] | moved["inputs"], moved["state"], self.sizes, noise)
            gradients, start = interpret.backward(program, known, self.weights, self.state_weights, self.sizes, noise)
        slopes = {n: np.imag(a) / TINY for n, a in gradients.items()}
        groups = {g: {n: slopes[n] for n in self.point[g]} for g in ("params", "inputs")}
        return groups | {"state": {n: np.imag(a) / TINY for n, a in start.items()}}

    def curved(self, seed: int | None = None) -> dict[str, Arrays]:
        """The same by the adjoints of the step with tangents, with relative noise in every value they read."""
        d = derive_tangent(self.cell)
        step, of, keys = d.step, d.step.tangent_of, d.step.tangent_keys
        moved = self.directions["params"] | self.directions["inputs"]
        given = self.point["params"] | self.point["inputs"]
        given |= {n: moved[of[n]] for n, v in step.values.items() if n in of and v.role in ("input", "param")}
        state = {k: self.directions["state"][keys[k]] if k in keys else self.point["state"][k] for k in step.carried}
        last = {k: self.state_weights[keys[k]] if k in keys else np.zeros_like(a) for k, a in state.items()}
        program = _with_tangents(self.cell)
        weights, noise = {n: self.weights[of[n]] for n in d.seeds}, None if seed is None else evaluate.Noise(seed)
        with np.errstate(all="ignore"):
            known = interpret.forward(program, given, state, self.sizes, noise)
            gradients, start = interpret.backward(program, known, weights, last, self.sizes, noise)
        groups = {g: {n: gradients[n] for n in self.point[g]} for g in ("params", "inputs")}
        return groups | {"state": {k: a for k, a in start.items() if k not in keys}}

    @cached_property
    def exact(self) -> set[str]:
        """Values that no operation rounds."""
        step = derive(self.cell).step
        return {n for n, v in step.values.items() if v.role in ("const", "size", "time", "identity")}

    @cached_property
    def known(self) -> Arrays:
        """Every value of the forward pass."""
        program, given = _as_derived(self.cell), self.point["params"] | self.point["inputs"]
        with np.errstate(all="ignore"):
            return interpret.forward(program, given, self.point["state"], self.sizes)

    # -- what noise changes --------------------------------------------------------------------------------

    def slope_sensitivity(self, move: Sequence[Shift]) -> float:
        """How much a slope changes by relative noise of one in every value, of the equations or of the derivation."""
        key = tuple(at for at, _ in move)
        if key not in self._sensitivity:
            self._sensitivity[key] = self.measured(move)
        return self._sensitivity[key]

    def measured(self, move: Sequence[Shift]) -> float:
        """The same, measured anew."""
        exact = self.slopes([move])[0], self.pushed_along(move)
        noises = [evaluate.Noise(k) for k in range(3)]
        noisy = [(self.slopes([move], noise)[0], self.pushed_along(move, noise)) for noise in noises]
        return float(np.abs(np.subtract(noisy, exact)).max()) / evaluate.Noise.SIZE

    @cached_property
    def sensitivities(self) -> tuple[dict[str, float], dict[str, float]]:
        """How much outputs and last states change, at most, by relative noise of one in every value."""
        noisy = self.evaluated(self.point, noise=evaluate.Noise(1))
        return tuple(  # type: ignore[return-value]
            {n: float(np.abs(a - exact[n]).max(initial=0)) / evaluate.Noise.SIZE for n, a in arrays.items()}
            for arrays, exact in zip(noisy, (self.outputs, self.state), strict=True)
        )

    @cached_property
    def loss_sensitivity(self) -> float:
        """How much the loss changes by relative noise of one in every value, and in the summands of the loss."""
        plain, noisy = self.losses([[]]).real, [self.losses([[]], evaluate.Noise(k)).real for k in range(3)]
        summands = _dot(_sizes(self.outputs), _sizes(self.weights))
        summands += _dot(_sizes(self.state), _sizes(self.state_weights))
        return float(np.abs(np.subtract(noisy, plain)).max()) / evaluate.Noise.SIZE + summands

    def differences(self, at: tuple[str, str], steps: Sequence[float]) -> Iterator[float]:
        """Central differences along the direction of one quantity, with each of these steps."""
        direction = self.directions[at[0]][at[1]]
        losses = self.losses([[(at, sign * step * direction)] for step in steps for sign in (1, -1)]).real
        return (float(up - down) / (2 * h) for (up, down), h in zip(losses.reshape(-1, 2), steps, strict=True))

    def losses(self, lanes: Sequence[Sequence[Shift]], noise: evaluate.Noise | None = None) -> np.ndarray:
        """The loss with the shifts of each lane, all lanes in one batch."""
        point = {g: {n: self.in_lanes(g, n, lanes) for n in arrays} for g, arrays in self.point.items()}
        outputs, state = self.evaluated(point, noise=noise)
        total = np.zeros(len(lanes), complex)
        for n, w in self.weights.items():
            total += (outputs[n].reshape(len(w), len(lanes), -1) * w.reshape(len(w), 1, -1)).sum(axis=(0, 2))
        for n, w in self.state_weights.items():
            total += state[n].reshape(len(lanes), -1) @ w.reshape(-1)
        return total

    def in_lanes(self, group: str, name: str, lanes: Sequence[Sequence[Shift]]) -> np.ndarray:
        """A quantity of the point with one batch for each lane, one after the other; shifted where a lane says so."""
        value, axis = self.point[group][name], int(group == "inputs")
        shifts = [[d for at, d in lane if at == (group, name)] for lane in lanes]
        if group == "params" and not any(shifts):
            return value
        moved = np.stack([value + sum(s) for s in shifts], axis)
        if group == "params":
            return np.repeat(moved, self.sizes["B"], axis=0)
        return moved.reshape(*value.shape[:axis], -1, *value.shape[axis + 1 :])


@lru_cache(maxsize=8)
def _as_derived(cell: Cell) -> Program:
    """Both passes as they were derived, nothing hoisted or fused."""
    return schedule(derive(cell), ())


@lru_cache(maxsize=8)
def _with_tangents(cell: Cell) -> Program:
    """Both passes over the step with tangents, as they were derived."""
    return schedule(derive_tangent(cell), (), HVP)


def _dot(a: Arrays, b: Arrays) -> float:
    return sum(float((a[n] * b[n]).sum()) for n in a)


def _sizes(arrays: Arrays) -> Arrays:
    return {n: np.abs(a) for n, a in arrays.items()}
