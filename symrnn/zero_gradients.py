"""Parameters that nothing trains: gradients that are zero at the parameters init returns, and the starts to blame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from symrnn.build import compile
from symrnn.cell import Cell, Variable, axis_parts, axis_size
from symrnn.parse import STARTS

Arrays = dict[str, np.ndarray]
SHOWN = 6


def warnings(cell: Cell, sizes: dict[str, int]) -> list[str]:
    """Parameters that no gradient ever reaches, and parameters whose gradient is zero where init starts them.

    If a parameter that starts at zero is the cause, it is named.
    """
    train = _Training(cell, sizes)
    dead = train.without_gradient([])
    never = dead and dead & train.without_gradient(cell.params)
    found = [f"no gradient of an output reaches {_listed(never, cell)}"] if never else []
    return found + ([_at_init(cell, train, dead - never)] if dead - never else [])


class _Training:
    """One backward pass from a random loss of the outputs, states of zeros, and what init returns."""

    def __init__(self, cell: Cell, sizes: dict[str, int]) -> None:
        self.cell, self.module = cell, compile(cell)
        longest = max((c.lag for c in cell.carries), default=0)
        self.sizes = sizes | {"T": sizes["T"] + longest}  # what comes late must still reach an output
        needed = {part for v in cell.params for axis in v.axes for part in axis_parts(axis)}
        self.start = self.module.init(*(sizes[a] for a in cell.axes if a in needed), dtype=np.float64)

    def without_gradient(self, moved: Sequence[Variable]) -> set[str]:
        """Names of the parameters whose gradient is zero, when these are somewhere away from their start."""
        rng, lead = np.random.default_rng(0), (self.sizes["T"], self.sizes["B"])
        params = self.start | {v.name: rng.uniform(-1, 1, self.start[v.name].shape) for v in moved}
        inputs, weights = (
            {v.name: rng.standard_normal((*lead, *(axis_size(a, self.sizes) for a in v.axes))) for v in variables}
            for variables in (self.cell.inputs, self.cell.outputs)
        )
        with np.errstate(all="ignore"):
            _, _, tape = self.module.forward(params, _bare(inputs))
            gradients, _, _ = self.module.backward(params, tape, _bare(weights))
        return {name for name, a in gradients.items() if not np.any(a)}


def _at_init(cell: Cell, train: _Training, dead: set[str]) -> str:
    def revives(moved: Sequence[Variable]) -> bool:
        return not dead <= train.without_gradient(moved)

    zeros = [v for v in cell.params if _starts_at_zero(v)]
    causes = [v for v in zeros if revives([v])] or (zeros if revives(zeros) else [])
    said = f"at init the gradient of {_listed(dead, cell)} is zero"
    if not causes:
        return said
    one = causes[0]
    advice = f"declare another start, like param {one.name}[{', '.join(one.axes)}] = uniform"
    return f"{said} as long as {_listed({v.name for v in causes}, cell)} {'are' if causes[1:] else 'is'} zero: {advice}"


def _bare(arrays: Arrays) -> object:
    """A module takes an array where there is one, a dict where there are several."""
    return arrays if len(arrays) > 1 else next(iter(arrays.values()))


def _starts_at_zero(v: Variable) -> bool:
    return v.start == "zeros" or (v.start not in STARTS and float(v.start) == 0)


def _listed(names: set[str], cell: Cell) -> str:
    """The names in the order of the parameters, at most a few of them."""
    shown = [v.name for v in cell.params if v.name in names]
    if len(shown) > SHOWN + 1:
        return f"{', '.join(shown[:SHOWN])} and {len(shown) - SHOWN} more"
    return " and ".join([*([", ".join(shown[:-1])] if shown[1:] else []), shown[-1]])
