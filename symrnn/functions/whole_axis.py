"""The functions of a whole axis: one row each, with all that any stage needs to know of one.

``a`` is the argument, ``y`` the function's value, ``d`` an adjoint or a tangent. A rule is written in values already
known, as statements that `Along` names; so whatever it gives can be differentiated again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from symrnn.functions.lazy import Lazy
from symrnn.functions.table import exp, ge, log, sqrt_, where

if TYPE_CHECKING:
    import numpy as np
    import sympy as sp
else:
    np, sp = Lazy("numpy"), Lazy("sympy")

Expr = Any


class Along(Protocol):
    """Names new values along an axis and returns their symbols; {a} and {d} in a name are those of the operands.

    `sum` is that of the product of the factors, `peak` the maximum as a mere shift, and `size` the axis's length.
    """

    @property
    def size(self) -> Expr: ...

    def named(self, name: str, expr: Expr) -> Expr: ...

    def sum(self, name: str, *factors: Expr) -> Expr: ...

    def peak(self, name: str, a: Expr) -> Expr: ...

    def apply(self, name: str, row: AxisFunction, a: Expr) -> Expr: ...


class Matrix(Protocol):
    """Writes a Jacobian as pages show it: rows are those of the value, columns those of the argument."""

    @property
    def identity(self) -> Expr: ...

    @property
    def ones(self) -> Expr: ...

    @property
    def size(self) -> Expr: ...

    def diag(self, a: Expr) -> Expr: ...

    def outer(self, a: Expr, b: Expr) -> Expr: ...

    def apply(self, row: AxisFunction, a: Expr) -> Expr: ...


@dataclass(frozen=True)
class Rule:
    """How one is computed and differentiated.

    ``expansion(along, a)`` is its value in sums, maxima and scalar functions, numerically stable;
    ``vjp(along, y, a, d)`` is the adjoint of a, d that of y, and ``jvp(along, y, a, d)`` the tangent of y, d that of a.
    Both are made of sums, scalar functions and other rows alone, all of which have rules: derivatives of the second
    order differentiate what these two write. ``jacobian(matrix, y, a)`` is ∂y/∂a for a vector, where pages can meet it.
    """

    expansion: Callable[[Along, Expr], Expr]
    vjp: Callable[[Along, Expr, Expr, Expr], Expr]
    jvp: Callable[[Along, Expr, Expr, Expr], Expr]
    jacobian: Callable[[Matrix, Expr, Expr], Expr] | None = None


@dataclass(frozen=True)
class AxisFunction:
    """One function of the last axis of an array, which its result `keeps` or loses.

    `value` is what it is worth, on complex arrays too, and `kinks` how near it comes to a kink. `rule` is None where
    `lower` composes it of products; otherwise it says what the derivative is, at a kink too. `kind` says what sort of
    number it gives: normalised (of a length of its own making), length, or sum. Pages write `word` in front of the
    argument, or put it inside `fence`, and explain it by the phrase `convention`.
    """

    name: str
    keeps: bool
    value: Callable[[Any], Any]
    rule: Rule | None = None
    kind: str = ""
    kinks: Callable[[Any], Any] | None = None
    word: str = ""
    fence: str = ""
    convention: str = ""


# -- what they are worth -----------------------------------------------------------------------------------


def _extreme(best: str) -> Callable[[Any], Any]:
    def value(a: Any) -> Any:
        found = getattr(np, best)(np.real(a), axis=-1)
        return np.take_along_axis(a, found[..., None], axis=-1)[..., 0]

    return value


def _near_ties(a: Any) -> Any:
    """The gaps between components next in size; of one alone there are none."""
    return np.diff(np.sort(np.real(a), axis=-1), axis=-1)


def _norm_value(a: Any) -> Any:
    return np.sqrt((a * a).sum(axis=-1))


def _softmax_value(a: Any) -> Any:
    e = np.exp(a - np.max(np.real(a), axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _logsumexp_value(a: Any) -> Any:
    top = np.max(np.real(a), axis=-1)
    return top + np.log(np.exp(a - top[..., None]).sum(axis=-1))


def _std_value(a: Any) -> Any:
    centred = a - a.mean(axis=-1, keepdims=True)
    return np.sqrt((centred**2).mean(axis=-1) + 1e-5)


def _layer_norm_value(a: Any) -> Any:
    return (a - a.mean(axis=-1, keepdims=True)) / _std_value(a)[..., None]


def _rms_norm_value(a: Any) -> Any:
    return a / np.sqrt((a * a).mean(axis=-1, keepdims=True) + 1e-5)


# -- how they are computed and differentiated --------------------------------------------------------------

#: What layer_norm and rms_norm add to a mean of squares, so that its root divides.
_A_LITTLE = (1, 100_000)


def _a_little() -> Expr:
    return sp.Rational(*_A_LITTLE)


def _powers(along: Along, a: Expr) -> tuple[Expr, Expr, Expr]:
    """exp(a - max a), its sum and the maximum: what softmax and logsumexp are made of."""
    top = along.peak("max_{a}", a)
    powers = along.named("exp_{a}", exp(along.named("{a}_shifted", a - top)))
    return powers, along.sum("sum_exp_{a}", powers), top


def _softmax(along: Along, a: Expr) -> Expr:
    powers, total, _ = _powers(along, a)
    return powers / total


def _softmax_moved(along: Along, y: Expr, a: Expr, d: Expr) -> Expr:
    return y * (d - along.sum("{d}_dot", y, d))


def _logsumexp(along: Along, a: Expr) -> Expr:
    _, total, top = _powers(along, a)
    return top + along.named("log_sum_exp_{a}", log(total))


def _norm_share(along: Along, y: Expr, a: Expr, d: Expr) -> Expr:
    return along.named("{d}_share", d / _not_zero(y)) * a


def _not_zero(length: Expr) -> Expr:
    """A norm as a denominator: at zero its derivative is taken to be zero."""
    return where(ge(0, length), 1, length)


def _centred(along: Along, a: Expr) -> Expr:
    return along.named("{a}_centred", a - along.sum("sum_{a}", a) / along.size)


def _std(along: Along, a: Expr) -> Expr:
    centred = _centred(along, a)
    return sqrt_(along.sum("{a}_squared", centred, centred) / along.size + _a_little())


def _standard(along: Along, y: Expr, a: Expr) -> Expr:
    return along.named("{a}_standard", _centred(along, a) / (along.size * y))


def _layer_norm(along: Along, a: Expr) -> Expr:
    return _centred(along, a) / along.apply("{a}_std", STD, a)


def _layer_norm_moved(along: Along, y: Expr, a: Expr, d: Expr) -> Expr:
    mean = along.named("{d}_mean", along.sum("sum_{d}", d) / along.size)
    share = along.named("{d}_share", along.sum("{d}_dot", y, d) / along.size)
    return (d - mean - share * y) / along.apply("{d}_std", STD, a)


def _rms(applied: Along | Matrix, norm: Expr) -> Expr:
    return sqrt_(norm**2 / applied.size + _a_little())


def _rms_norm_moved(along: Along, y: Expr, a: Expr, d: Expr) -> Expr:
    share = along.named("{d}_share", along.sum("{d}_dot", y, d) / along.size)
    return (d - share * y) / _rms(along, along.apply("{d}_norm", NORM, a))


#: The root of the variance and a little more, that layer_norm divides by; cell files cannot call it.
STD = AxisFunction(
    "std",
    keeps=False,
    value=_std_value,
    rule=Rule(
        expansion=_std,
        vjp=lambda along, y, a, d: _standard(along, y, a) * d,
        jvp=lambda along, y, a, d: along.sum("{d}_std", _standard(along, y, a), d),
    ),
    convention="std",
)

NORM = AxisFunction(
    "norm",
    keeps=False,
    value=_norm_value,
    rule=Rule(
        expansion=lambda along, a: sqrt_(along.sum("{a}_squared", a, a)),
        vjp=_norm_share,
        jvp=lambda along, y, a, d: along.sum("{d}_norm", along.named("{a}_unit", a / _not_zero(y)), d),
        jacobian=lambda matrix, y, a: a / y,
    ),
    kind="length",
    kinks=_norm_value,
    fence="||",
    convention="norm",
)

SOFTMAX = AxisFunction(
    "softmax",
    keeps=True,
    value=_softmax_value,
    rule=Rule(
        expansion=_softmax,
        vjp=_softmax_moved,
        jvp=_softmax_moved,
        jacobian=lambda matrix, y, a: matrix.diag(y) - matrix.outer(y, y),
    ),
)

_ROWS = (
    AxisFunction("sum", keeps=False, value=lambda a: a.sum(axis=-1), kind="sum"),
    AxisFunction("mean", keeps=False, value=lambda a: a.mean(axis=-1), kind="sum"),
    AxisFunction("max", keeps=False, value=_extreme("argmax"), kinks=_near_ties),
    AxisFunction("min", keeps=False, value=_extreme("argmin"), kinks=_near_ties),
    NORM,
    SOFTMAX,
    AxisFunction(
        "logsumexp",
        keeps=False,
        value=_logsumexp_value,
        rule=Rule(
            expansion=_logsumexp,
            vjp=lambda along, y, a, d: d * along.apply("{d}_softmax", SOFTMAX, a),
            jvp=lambda along, y, a, d: along.sum("{d}_mean", along.apply("{d}_softmax", SOFTMAX, a), d),
            jacobian=lambda matrix, y, a: matrix.apply(SOFTMAX, a),
        ),
    ),
    AxisFunction(
        "layer_norm",
        keeps=True,
        value=_layer_norm_value,
        rule=Rule(
            expansion=_layer_norm,
            vjp=_layer_norm_moved,
            jvp=_layer_norm_moved,
            jacobian=lambda matrix, y, a: (
                (matrix.identity - matrix.ones / matrix.size - matrix.outer(y, y) / matrix.size) / matrix.apply(STD, a)
            ),
        ),
        kind="normalised",
        word="LN",
        convention="std",
    ),
    AxisFunction(
        "rms_norm",
        keeps=True,
        value=_rms_norm_value,
        rule=Rule(
            expansion=lambda along, a: a / _rms(along, along.apply("norm_{a}", NORM, a)),
            vjp=_rms_norm_moved,
            jvp=_rms_norm_moved,
            jacobian=lambda matrix, y, a: (
                (matrix.identity - matrix.outer(y, y) / matrix.size) / _rms(matrix, matrix.apply(NORM, a))
            ),
        ),
        kind="normalised",
        word="RMSNorm",
        convention="rms_norm",
    ),
)

#: Those that a cell file may call, and all.
WHOLE_AXIS: dict[str, AxisFunction] = {row.name: row for row in _ROWS}
ROWS: dict[str, AxisFunction] = WHOLE_AXIS | {STD.name: STD}


def of_kind(kind: str) -> tuple[str, ...]:
    """The names of the functions of one kind."""
    return tuple(row.name for row in WHOLE_AXIS.values() if row.kind == kind)
