"""Parameters that nothing trains from where init starts them: values that are not finite, gradients that are zero."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from symrnn.language.cell import Cell, Variable, axis_parts, axis_size
from symrnn.language.parse import STARTS
from symrnn.loading import module_of

Arrays = dict[str, np.ndarray]
SHOWN = 6


def warnings(cell: Cell, sizes: dict[str, int]) -> list[str]:
    """Outputs that are not finite where init starts the parameters; parameters whose gradient is zero there, or always.

    If a parameter that starts at zero is the cause, it is named.
    """
    train = _Training(cell, sizes)
    infinite = train.not_finite([])
    if infinite:
        outputs = _listed(infinite, cell.outputs)
        return [f"at init {outputs} is not finite" + _cause(cell, lambda moved: not train.not_finite(moved), "1")]
    infinite = train.gradient_not_finite([])
    if infinite:
        cause = _cause(cell, lambda moved: not train.gradient_not_finite(moved), "1")
        return [f"at init the gradient of {_listed(infinite, cell.params)} is not finite{cause}"]
    dead = train.without_gradient([])
    never = dead and dead & train.without_gradient(cell.params)
    found = [f"no gradient of an output reaches {_listed(never, cell.params)}"] if never else []
    if dead - never:
        cause = _cause(cell, lambda moved: not dead - never <= train.without_gradient(moved))
        found.append(f"at init the gradient of {_listed(dead - never, cell.params)} is zero{cause}")
    return found


def _cause(cell: Cell, mended: Callable[[Sequence[Variable]], bool], start: str = "uniform") -> str:
    """Which parameters are to blame that they start at zero: any of several, or all together; or nothing."""
    zeros = [v for v in cell.params if _starts_at_zero(v)]
    causes = [v for v in zeros if mended([v])] or (zeros if mended(zeros) else [])
    if not causes:
        return ""
    named, are = _listed({v.name for v in causes}, cell.params), "are" if causes[1:] else "is"
    example = f"param {causes[0].name}{causes[0].shape} = {start}"
    return f" as long as {named} {are} zero: declare another start, like {example}"


class _Training:
    """One backward pass from a random loss of the outputs, states of zeros, and what init returns."""

    def __init__(self, cell: Cell, sizes: dict[str, int]) -> None:
        self.cell, self.module = cell, module_of(cell)
        longest = max((c.lag for c in cell.carries), default=0)
        self.sizes = sizes | {"T": sizes["T"] + longest}  # what comes late must still reach an output
        needed = {part for v in cell.params for axis in v.axes for part in axis_parts(axis)}
        self.start = self.module.init(*(sizes[a] for a in cell.axes if a in needed), dtype=np.float64)

    def without_gradient(self, moved: Sequence[Variable]) -> set[str]:
        """Names of the parameters whose gradient is zero, when these are somewhere away from their start."""
        return {name for name, a in self.run(moved)[1].items() if not np.any(a)}

    def not_finite(self, moved: Sequence[Variable]) -> set[str]:
        """Names of the outputs that are not finite, when these are somewhere away from their start."""
        return {name for name, a in self.run(moved)[0].items() if not np.isfinite(a).all()}

    def gradient_not_finite(self, moved: Sequence[Variable]) -> set[str]:
        """Names of the parameters whose gradient is not finite, when these are somewhere away from their start."""
        return {name for name, a in self.run(moved)[1].items() if not np.isfinite(a).all()}

    def run(self, moved: Sequence[Variable]) -> tuple[Arrays, Arrays]:
        """Outputs, and gradients of the parameters."""
        rng, lead = np.random.default_rng(0), (self.sizes["T"], self.sizes["B"])
        params = self.start | {v.name: rng.uniform(-1, 1, self.start[v.name].shape) for v in moved}
        inputs, weights = (
            {v.name: rng.standard_normal((*lead, *(axis_size(a, self.sizes) for a in v.axes))) for v in variables}
            for variables in (self.cell.inputs, self.cell.outputs)
        )
        state = {c.name: np.zeros((lead[1], *(axis_size(a, self.sizes) for a in c.axes))) for c in self.cell.carries}
        with np.errstate(all="ignore"):
            y, _, tape = self.module.forward(params, _bare(inputs), state)
            gradients, _, _ = self.module.backward(params, tape, _bare(weights))
        return y if isinstance(y, dict) else {self.cell.outputs[0].name: y}, gradients


def _bare(arrays: Arrays) -> object:
    """A module takes an array where there is one, a dict where there are several."""
    return arrays if len(arrays) > 1 else next(iter(arrays.values()))


def _starts_at_zero(v: Variable) -> bool:
    return v.start == "zeros" or (v.start not in STARTS and float(v.start) == 0)


def _listed(names: set[str], order: Sequence[Variable]) -> str:
    """The names in that order, at most a few of them."""
    shown = [v.name for v in order if v.name in names]
    if len(shown) > SHOWN + 1:
        return f"{', '.join(shown[:SHOWN])} and {len(shown) - SHOWN} more"
    return " and ".join([*([", ".join(shown[:-1])] if shown[1:] else []), shown[-1]])
