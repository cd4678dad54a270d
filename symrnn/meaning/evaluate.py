"""The independent evaluation of a cell: walks what was written, one step and one equation at a time.

It shares nothing with the derivation or the emitters but the meaning of single functions, takes complex numbers, and
is slow on purpose.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from symrnn.functions import numeric
from symrnn.functions.table import COMPARISONS, FUNCTIONS
from symrnn.functions.whole_axis import WHOLE_AXIS, AxisFunction
from symrnn.language.cell import Axes, Cell, Expr, Name, Number, axis_size, lengths, walk

Array = numeric.Array
Arrays = dict[str, Array]


class Noise:
    """Random relative changes, of real and imaginary parts apart: larger than rounding by far, small all the same."""

    SIZE = 2.0**-36

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def __call__(self, a: Array) -> Array:
        if a.dtype == bool:
            return a
        if not np.iscomplexobj(a):
            return np.asarray(a * self.factors(a.shape))
        return np.asarray(a.real * self.factors(a.shape) + 1j * (a.imag * self.factors(a.shape)))

    def factors(self, shape: tuple[int, ...]) -> Array:
        return np.asarray(1 + self.SIZE * self.rng.uniform(-1, 1, shape))


def sizes_of(cell: Cell, arrays: Arrays) -> dict[str, int]:
    """Axis sizes read off parameters, inputs and states, whatever axes stand before the named ones."""
    known: list[tuple[str, int]] = []
    for name, axes in cell.given():
        if name in arrays:
            shape = np.shape(arrays[name])
            known += zip(axes, shape[len(shape) - len(axes) :], strict=True)
    return lengths(known)


def run(
    cell: Cell,
    params: Arrays,
    inputs: Arrays,
    state: Arrays | None = None,
    kinks: list[float] | None = None,
    noise: Noise | None = None,
) -> tuple[Arrays, Arrays]:
    """Outputs {name: (T, B, …)} and final state {name: (B, …)} for inputs {name: (T, B, …)}.

    A parameter may have a batch axis of its own before its named axes. `kinks`, if given, collects how near every
    kinked function came to its kink, and NaN for every value on the way that is not finite: no derivative passes there.
    `noise`, if given, changes every value on the way a little, as rounding does.
    """
    first = next(iter(inputs.values()))
    steps, batch = first.shape[:2]
    dtype = np.result_type(*params.values(), *inputs.values(), *(state or {}).values())
    sizes = sizes_of(cell, params | (state or {}) | inputs)
    carried = {
        c.name: np.array((state or {}).get(c.name, np.zeros((batch, *(axis_size(a, sizes) for a in c.axes)))), dtype)
        for c in cell.carries
    }
    outputs: dict[str, list[Array]] = {v.name: [] for v in cell.outputs}
    for t in range(steps):
        now = _Step(cell, params, {k: v[t] for k, v in inputs.items()}, carried, sizes, t, kinks, noise)
        values = now.evaluate()
        for name, rows in outputs.items():
            rows.append(np.broadcast_to(values[name], (batch, *values[name].shape[1:])))
        carried = now.carry(values, batch)
    shapes = {v.name: (0, batch, *(axis_size(a, sizes) for a in v.axes)) for v in cell.outputs}
    return {k: np.stack(v) if v else np.zeros(shapes[k], dtype) for k, v in outputs.items()}, carried


class _Step:
    """One time step; every array has a leading batch axis (of length 1 where the value has none)."""

    def __init__(
        self,
        cell: Cell,
        params: Arrays,
        inputs: Arrays,
        carried: Arrays,
        sizes: dict[str, int],
        t: int,
        kinks: list[float] | None,
        noise: Noise | None,
    ) -> None:
        self.cell, self.carried, self.sizes, self.kinks, self.noise = cell, carried, sizes, kinks, noise
        axes = {v.name: v.axes for v in cell.params}
        self.known: Arrays = {k: v if np.ndim(v) > len(axes[k]) else np.asarray(v)[None] for k, v in params.items()}
        self.known |= inputs
        self.known |= {c.name: np.array([float(c.start)]) for c in cell.consts}
        self.known |= {a: np.array([float(n)]) for a, n in sizes.items()}
        self.known["t"] = np.array([float(t)])

    def evaluate(self) -> Arrays:
        for equation in self.cell.equations:
            value = self.value(equation.expr)
            axes = self.cell.variable(equation.name).axes
            value = _aligned(value, equation.expr.axes, axes)
            self.known[equation.name] = np.broadcast_to(value, (len(value), *(axis_size(a, self.sizes) for a in axes)))
        return self.known

    def carry(self, values: Arrays, batch: int) -> Arrays:
        fresh = {
            c.name: values[c.of] if c.lag == 0 else self.carried[_older(c.of, c.lag - 1)] for c in self.cell.carries
        }
        return {k: np.broadcast_to(v, (batch, *v.shape[1:])) for k, v in fresh.items()}

    def value(self, expr: Expr) -> Array:
        found = self.computed(expr)
        if self.kinks is not None and not np.isfinite(found).all():
            self.kinks.append(np.nan)
        return found if self.noise is None or not self.moves(expr) else self.noise(found)

    def computed(self, expr: Expr) -> Array:
        if isinstance(expr, Number):
            return np.array([float(expr.text)])
        if isinstance(expr, Name):
            return self.carried[_older(expr.name, expr.delay - 1)] if expr.delay else self.known[expr.name]
        if expr.op == "identity":
            return np.eye(axis_size(expr.axes[0], self.sizes))[None]
        args = [self.value(a) for a in expr.args]
        if expr.op in WHOLE_AXIS and len(args) == 1:
            return self.whole_axis(WHOLE_AXIS[expr.op], args[0])
        if expr.op in _ON_AXES:
            return np.asarray(_ON_AXES[expr.op](*args))
        args = [_aligned(v, a.axes, expr.axes) for v, a in zip(args, expr.args, strict=True)]
        if expr.op in _OPERATORS:
            if self.moves(expr):
                self.near_equal(expr.op, args)
            return np.asarray(_OPERATORS[expr.op](*args))
        row = FUNCTIONS[expr.op]
        if self.kinks is not None and self.moves(expr):
            self.kinks.extend(numeric.kinks(row, args))
        return numeric.apply(row, args)

    def moves(self, expr: Expr) -> bool:
        """Does it depend on anything that a derivative is taken by? The step index and constants do not."""
        fixed = {"t", *self.cell.axes, *(c.name for c in self.cell.consts)}
        return any(isinstance(n, Name) and n.name not in fixed for n in walk(expr))

    def near_equal(self, op: str, args: list[Array]) -> None:
        """The kink of a choice lies where the two sides of its comparison meet."""
        if self.kinks is not None and op in COMPARISONS:
            self.kinks.append(float(np.min(np.abs(np.real(args[0] - args[1])))))

    def whole_axis(self, row: AxisFunction, a: Array) -> Array:
        ties = row.kinks if row.rule is None else None  # a rule says what the derivative at a kink is
        if self.kinks is not None and ties is not None:
            self.kinks.extend(np.ravel(ties(np.real(a))))
        return np.asarray(row.value(a))


def _older(name: str, lag: int) -> str:
    return f"{name}_lag{lag}" if lag else name


def _aligned(value: Array, axes: Axes, out: Axes) -> Array:
    """Insert axes of length 1, so that `value` broadcasts against the axes of the result by name."""
    if len(axes) == len(out):
        return value
    index: list[Any] = [slice(None)]
    rest = list(axes)
    for axis in out:
        if rest and rest[0] == axis:
            index.append(slice(None))
            rest.pop(0)
        else:
            index.append(None)
    return np.asarray(value[tuple(index)])


def _matmul(a: Array, b: Array) -> Array:
    spec = {(2, 2): "zi,zi->z", (3, 2): "zij,zj->zi", (2, 3): "zi,zij->zj", (3, 3): "zij,zjk->zik"}[a.ndim, b.ndim]
    return np.asarray(np.einsum(spec, a, b))


def _concat(*args: Array) -> Array:
    batch = max(len(a) for a in args)
    return np.concatenate([np.broadcast_to(a, (batch, *a.shape[1:])) for a in args], axis=-1)


_ON_AXES: dict[str, Any] = {
    "@": _matmul,
    ".T": lambda a: np.swapaxes(a, -1, -2),
    "dot": lambda a, b: (a * b).sum(axis=-1),
    "outer": lambda a, b: a[..., :, None] * b[..., None, :],
    "concat": _concat,
}


_OPERATORS: dict[str, Any] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "**": lambda a, b: a**b,
    "neg": lambda a: -a,
    ">": lambda a, b: np.real(a) > np.real(b),
    "<": lambda a, b: np.real(a) < np.real(b),
    ">=": lambda a, b: np.real(a) >= np.real(b),
    "<=": lambda a, b: np.real(a) <= np.real(b),
}
