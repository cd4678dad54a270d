"""A module beside a trial: forward against the equations, backward against three witnesses.

The witnesses are the dot-product test (no step size), complex steps and central differences of the independent
evaluation. Where a comparison misses its tolerance, what rounding can change there is measured, with noise and by
running the module in float32 too, and added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from types import ModuleType

import numpy as np

from symrnn.proof.trial import Arrays, Trial

TOLERANCES = {
    "forward": 1e-12,
    "dot product": 1e-12,
    "complex step": 1e-12,
    "differences": 1e-6,
    "infer and step": 1e-12,
    "jvp": 1e-12,
    "hvp": 1e-12,
    "memory, forward": 1e-12,
    "memory, backward": 1e-12,
}
SINGLE = dict.fromkeys(TOLERANCES.keys() - {"differences"}, 1e-5)
#: Tests of whole arrays, where no summands cancel.
OF_VALUES = ("forward", "infer and step", "memory, forward")
#: Half a unit in the last place, and how many of them a chain of operations may gather beyond what noise shows.
ROUNDING = {"float64": 2.0**-53, "float32": 2.0**-24}
SLACK = 64
#: Where rounding may change more than this, a wrong formula could hide behind it: the point is no good.
UNCLEAR = {"float64": 3e-7, "float32": 1e-2}
#: Slopes below it are lost in a complex step.
NOTHING = 1e-250
STEP, STEPS = 1e-6, (1e-3, 3e-4, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
#: Differences say nothing if rounding may take more than the first from them, or if they turn from one step to the next
#: by more than the second and what rounding explains.
LOST, TURN = 1e-4, 5e-7


@dataclass(frozen=True)
class Row:
    """One comparison: which quantity, which test, at which shape, how far off (relative), and the worst entry.

    `rounding` is the part of the tolerance that rounding asks for at this point.
    """

    quantity: str
    test: str
    shape: str
    error: float
    tolerance: float
    found: float = 0.0
    expected: float = 0.0
    rounding: float = 0.0

    @property
    def ok(self) -> bool:
        return self.error <= self.tolerance

    @property
    def share(self) -> float:
        """How much of its tolerance the error takes."""
        return self.error / self.tolerance if self.tolerance else np.inf

    @property
    def is_nothing(self) -> bool:
        """Is the whole figure no more than rounding leaves of summands that cancel?"""
        return self.rounding >= 1

    def __str__(self) -> str:
        verdict = "ok" if self.ok else f"WRONG: found {self.found:.17g}, expected {self.expected:.17g}"
        allowed = f"{self.tolerance:.0e}{', of which rounding asks nearly all' if self.rounding else ''}"
        return f"{self.test}: {self.quantity} at {self.shape}: {self.error:.1e} (allowed {allowed}) {verdict}"


@dataclass(frozen=True)
class Found:
    """What a module returns: outputs and last states by name, and gradients as params, inputs and state."""

    outputs: Arrays
    state: Arrays
    gradients: dict[str, Arrays]


class Comparison:
    """A module beside a trial; `memory` is a mode of its forward that keeps less, if it has any."""

    def __init__(
        self, module: ModuleType, trial: Trial, dtype: str = "", own_rounding: bool = True, memory: str = ""
    ) -> None:
        self.own_rounding, self.memory = own_rounding, memory
        self.module, self.trial, self.cell, self.dtype = module, trial, trial.cell, np.dtype(dtype or trial.dtype)
        self.tolerances = TOLERANCES if self.dtype == np.float64 else SINGLE
        self.rows: list[Row] = []
        self.warnings: list[str] = []

    # -- running the module --------------------------------------------------------------------------------

    def typed(self, arrays: Arrays) -> Arrays:
        return {k: np.asarray(v, self.dtype) for k, v in arrays.items()}

    def given(self, point: dict[str, Arrays]) -> tuple[Arrays, object, Arrays]:
        """Parameters, inputs and state as a module takes them."""
        params, inputs, state = (self.typed(a) for a in point.values())
        return params, bare(inputs), state

    def forward(self, point: dict[str, Arrays]) -> tuple[Arrays, Arrays, object]:
        params, x, state = self.given(point)
        with np.errstate(all="ignore"):
            y, last, tape = self.module.forward(params, x, state, **({"memory": self.memory} if self.memory else {}))
        return named(y, [v.name for v in self.cell.outputs]), last, tape

    def backward(self, tape: object, dy: Arrays, dstate: Arrays) -> dict[str, Arrays]:
        params = self.typed(self.trial.point["params"])
        with np.errstate(all="ignore"):
            dparams, dx, dstart = self.module.backward(params, tape, bare(self.typed(dy)), self.typed(dstate))
        return {"params": dparams, "inputs": named(dx, [v.name for v in self.cell.inputs]), "state": dstart}

    @cached_property
    def found(self) -> Found:
        """What the module returns at the point."""
        outputs, last, tape = self.forward(self.trial.point)
        return Found(outputs, last, self.backward(tape, self.trial.weights, self.trial.state_weights))

    @cached_property
    def twin(self) -> Comparison:
        """The module at the same point in the other element type."""
        other = "float32" if self.dtype == np.float64 else "float64"
        return Comparison(self.module, self.trial, other, memory=self.memory)

    def change(self, of: Callable[[Comparison], np.ndarray]) -> float:
        """How much something the module returns changes by relative rounding of one of its own operations.

        Read off float32 beside float64. Where float64 is not finite nothing is excused; where float32 overflows all.
        """
        if not self.own_rounding:
            return 0.0
        with np.errstate(all="ignore"):
            fine, coarse = (of(x) for x in ((self, self.twin) if self.dtype == np.float64 else (self.twin, self)))
            if not np.isfinite(fine).all():
                return 0.0
            total = float(np.abs(coarse - fine).sum())
        return total / ROUNDING["float32"] if np.isfinite(total) else np.inf

    # -- the tests -----------------------------------------------------------------------------------------

    def thorough(self) -> list[Row]:
        """Every output and state; J and its transpose; each gradient against complex steps and differences."""
        rows = self.common()
        for at in self.trial.quantities() if not is_misshapen(rows) else ():
            along, scale = self.along(at), self.scale(at)
            rows.append(
                self.figure(name_of(at), "complex step", along, self.trial.single[at], scale, self.sensitivity([at]))
            )
            if "differences" in self.tolerances and not rows[-1].is_nothing:
                rows += self.differences(at, along, scale)
        return rows

    def brief(self) -> list[Row]:
        """The same with all gradients at once in one complex step."""
        rows = self.common()
        return rows if is_misshapen(rows) else [*rows, self.transposed("all gradients", "complex step")]

    def common(self) -> list[Row]:
        """Forward and the dot product, unless some gradient has a wrong shape or dtype."""
        trial, found = self.trial, self.found
        rows = [self.array(n, found.outputs[n], a, self.output_sensitivity(0, n)) for n, a in trial.outputs.items()]
        rows += [
            self.array(f"last state {n}", found.state[n], a, self.output_sensitivity(1, n))
            for n, a in trial.state.items()
        ]
        rows += self.misshapen_gradients("complex step")
        return rows if is_misshapen(rows) else [*rows, self.transposed("J and its transpose", "dot product")]

    def misshapen_gradients(self, test: str) -> list[Row]:
        """Gradients that do not have the shape and the dtype of what they are gradients by."""
        found = self.found.gradients
        return [
            self.misshapen(f"{self.memory}: {name_of((group, name))}".removeprefix(": "), test)
            for group, name in self.trial.quantities()
            if (gradient := np.asarray(found[group][name])).shape != self.trial.point[group][name].shape
            or gradient.dtype != self.dtype
        ]

    def transposed(self, quantity: str, test: str) -> Row:
        """⟨v, Jᵀ w⟩ by the module's backward pass; ⟨J v, w⟩ by the derivation's forward mode or by a complex step."""
        every = self.trial.quantities()
        along = [self.along(at) for at in every]
        expected = self.trial.pushed if test == "dot product" else self.trial.joint
        return self.figure(quantity, test, sum(along), expected, sum(map(abs, along)), self.sensitivity(every))

    def along(self, at: tuple[str, str]) -> float:
        """A gradient along its direction."""
        group, name = at
        return float((self.found.gradients[group][name] * self.trial.directions[group][name]).sum())

    def scale(self, at: tuple[str, str]) -> float:
        """What an error of a gradient along its direction is relative to: its summands, all taken positive."""
        group, name = at
        return float(np.abs(self.found.gradients[group][name] * self.trial.directions[group][name]).sum())

    # -- what rounding changes -----------------------------------------------------------------------------

    def sensitivity(self, along: list[tuple[str, str]]) -> Callable[[], float]:
        """How much gradients along their directions change by relative rounding of one, in equations and module."""
        move = [(at, self.trial.directions[at[0]][at[1]]) for at in along]

        def moved(one: Comparison) -> np.ndarray:
            return np.array([(one.found.gradients[g][n] * d).sum() for (g, n), d in move])

        return lambda: self.trial.slope_sensitivity(move) + self.change(moved)

    def output_sensitivity(self, position: int, name: str) -> Callable[[], float]:
        """The same for an output (0) or last state (1)."""
        return lambda: (
            self.trial.sensitivities[position][name]
            + self.change(lambda one: (one.found.outputs, one.found.state)[position][name])
        )

    def differences(self, at: tuple[str, str], along: float, scale: float) -> list[Row]:
        """Central differences with a step that suits: one too long for a steep cell is too short for large values.

        A wrong gradient agrees with none. Where no two steps agree with each other, because the cell is too steep or
        the difference of large values has lost its digits, there is no row but a warning.
        """
        quantity = name_of(at)
        (slope,) = self.trial.differences(at, [STEP])
        first = self.figure(quantity, "differences", along, slope, scale, lambda: 0.0)
        if first.ok:
            return [first]
        slopes = list(self.trial.differences(at, STEPS))
        rows = [
            self.figure(quantity, "differences", along, s, scale, lambda h=h: self.trial.loss_sensitivity / h)  # type: ignore[misc]
            for s, h in zip(slopes, STEPS, strict=True)
        ]
        turns = [abs(x - y) / max(scale, abs(x), NOTHING) for x, y in pairwise(slopes)]
        settled = [min(pair) for pair in pairwise([np.inf, *turns, np.inf])]
        known = [  # how far a slope still turns from one step to the next is how well it is known
            replace(r, tolerance=r.tolerance + turn)
            for r, turn in zip(rows, settled, strict=True)
            if r.rounding <= LOST and turn <= TURN + r.rounding
        ]
        if not known:
            self.warnings.append(f"differences of {quantity} do not settle at {self.trial.shape}: not compared")
        return [min(known, key=_share)] if known else []

    def from_rest(self) -> list[str]:
        """From the start that a state gets by default, zero, values that are finite should have finite gradients."""
        point = self.trial.point | {"state": {n: np.zeros_like(a) for n, a in self.trial.point["state"].items()}}
        outputs, state, tape = self.forward(point)
        if not self.cell.carries or not all(np.isfinite(a).all() for a in (*outputs.values(), *state.values())):
            return []
        gradients = self.backward(tape, *({n: np.ones_like(a) for n, a in g.items()} for g in (outputs, state)))
        bad = [n for group in gradients.values() for n, a in group.items() if not np.isfinite(a).all()]
        return [f"from a state of zeros, the default, the gradients of {', '.join(bad)} are not finite"] if bad else []

    # -- comparing -----------------------------------------------------------------------------------------

    def figure(
        self, quantity: str, test: str, found: float, expected: float, scale: float, sensitivity: Callable[[], float]
    ) -> Row:
        """One number beside another; sensitivity is asked for only where they differ by more than usual."""
        scale = max(scale if np.isfinite(scale) else 0.0, abs(expected), NOTHING)  # a NaN found is wrong, not unclear
        error, tolerance = _nan_is_wrong(abs(found - expected) / scale), self.tolerances[test]
        rounding = self.rounding(sensitivity()) / scale if error > tolerance else 0.0
        return Row(quantity, test, self.trial.shape, error, tolerance + rounding, found, expected, rounding)

    def array(
        self,
        quantity: str,
        found: np.ndarray,
        expected: np.ndarray,
        sensitivity: Callable[[], float],
        test: str = "forward",
    ) -> Row:
        """All components of an array, each relative to itself or to a thousandth of the largest."""
        shape, tolerance = self.trial.shape, self.tolerances[test]
        if found.shape != expected.shape or found.dtype != self.dtype:
            return self.misshapen(quantity, test)
        if not expected.size:
            return Row(quantity, test, shape, 0.0, tolerance)
        scale = np.maximum(np.abs(expected), 1e-3 * np.abs(expected).max()) + np.finfo(float).tiny
        with np.errstate(all="ignore"):
            off = np.nan_to_num(np.abs(found - expected) / scale, nan=np.inf)
        with np.errstate(over="ignore"):
            rounding = self.rounding(sensitivity()) / scale if off.max() > tolerance else np.zeros(off.shape)
        at = np.unravel_index(int(np.argmax(off / (tolerance + rounding))), off.shape)
        where = f"{quantity}[{', '.join(map(str, at))}]"
        allowed, values = tolerance + float(rounding[at]), (float(found[at]), float(expected[at]))
        return Row(where, test, shape, float(off[at]), allowed, *values, float(rounding[at]))

    def misshapen(self, quantity: str, test: str) -> Row:
        return Row(f"shape or dtype of {quantity}", test, self.trial.shape, np.inf, 0.0)

    def hides_errors(self, row: Row) -> bool:
        """Could a wrong formula hide behind what rounding is allowed, or is there no derivative?"""
        if not np.isfinite([row.expected, row.rounding]).all():
            return True
        if row.test == "differences" or (row.is_nothing and row.test not in OF_VALUES):
            return False
        return row.rounding > UNCLEAR[str(self.dtype)]

    def rounding(self, sensitivity: float) -> float:
        """What operations that each round may do to a value that changes so much with them."""
        name = str(self.dtype)
        return SLACK * ROUNDING[name] * sensitivity if np.isfinite(sensitivity) else np.inf


def is_misshapen(rows: Iterable[Row]) -> bool:
    return any(r.error == np.inf and not r.tolerance for r in rows)


def _share(row: Row) -> float:
    return row.share


def name_of(at: tuple[str, str]) -> str:
    """What a gradient is called: dW, dx, dstate h."""
    group, name = at
    return f"dstate {name}" if group == "state" else f"d{name}"


def _nan_is_wrong(error: float) -> float:
    return float("inf") if np.isnan(error) else error


def bare(arrays: Arrays) -> object:
    """A module takes a bare array where there is one, a dict where there are several."""
    return arrays if len(arrays) > 1 else next(iter(arrays.values()))


def named(value: object, names: list[str]) -> Arrays:
    """A module returns a bare array where there is one, a dict where there are several."""
    return value if isinstance(value, dict) else {names[0]: np.asarray(value)}
