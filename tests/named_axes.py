"""Numbers whose axes have names, and the arithmetic of a page: strict where a careful reader would have to ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import erf
from typing import Any

import numpy as np

Array = np.ndarray
ANY = "?"  # the axis of a vector of ones, as long as what stands beside it
EYE = ("identity",)  # of an identity matrix, likewise


class Unclear(Exception):
    """What a reader of the page would have to ask."""


@dataclass(frozen=True)
class Value:
    """An array and its axes. A vector may lie in a `row`; what is taken component by component is `each`."""

    array: Array
    axes: tuple[str, ...] = ()
    kind: str = ""


def componentwise(f: Callable[..., Any], *args: Value) -> Value:
    """Component by component, by the names of axes: what an operand lacks is repeated."""
    wide = [v for v in args if v.axes not in ((), EYE)]
    kinds = {v.kind for v in wide}
    if len(kinds) > 1:
        raise Unclear(f"a row beside a column, of {' and '.join(str(v.axes) for v in wide)}")
    own = [tuple(x for x in v.axes if x != ANY) for v in wide]
    axes = max(own, key=len, default=max(v.axes for v in args))
    if not all(set(a) <= set(axes) for a in own):
        axes = tuple(dict.fromkeys(x for a in own for x in a))
    arrays = [lying(v, axes, len(wide[0].array)) if wide else v.array for v in args]
    return Value(np.asarray(f(*arrays), float), axes, kinds.pop() if wide else "")


def lying(v: Value, axes: tuple[str, ...], size: int) -> Array:
    """The numbers, ready to stand beside others with these axes."""
    if v.axes == EYE:
        return v.array * np.eye(size)
    if v.axes in ((), axes):
        return v.array
    if len(set(axes)) < len(axes):
        raise Unclear(f"along which of {axes} does {v.axes} lie")
    own = [x for x in v.axes if x != ANY]
    array = v.array.squeeze(tuple(k for k, x in enumerate(v.axes) if x == ANY))
    ordered = array.transpose([own.index(x) for x in axes if x in own])
    return ordered[tuple(slice(None) if x in own else None for x in axes)]


def product(a: Value, b: Value) -> Value:
    """Side by side: numbers, or arrays as in matrix algebra, whose axes must be the same where they meet."""
    if () in (a.axes, b.axes) or "each" in (a.kind, b.kind):
        return componentwise(np.multiply, a, b)
    column = len(a.axes) == 1 and not a.kind
    if column and b.kind == "row":
        return Value(np.multiply.outer(a.array, b.array), a.axes + b.axes)
    meet = {a.axes[-1], b.axes[0]} - {ANY}
    if column or b.kind or max(len(a.axes), len(b.axes)) > 2 or len(meet) != 1:
        raise Unclear(f"what is {a.kind} {a.axes} times {b.kind} {b.axes}")
    n = max(a.array.shape[-1], len(b.array))
    result = np.broadcast_to(a.array, (*a.array.shape[:-1], n)) @ np.broadcast_to(b.array, (n, *b.array.shape[1:]))
    axes = a.axes[:-1] + b.axes[1:]
    return Value(np.asarray(result), axes, a.kind if axes else "")


def transpose(v: Value) -> Value:
    if len(v.axes) > 2 or v.kind == "each":
        raise Unclear(f"what is the transpose of {v.axes}")
    return Value(v.array.T, v.axes[::-1], "" if len(v.axes) != 1 or v.kind else "row")


def inner(a: Value, b: Value) -> Value:
    return Value(componentwise(np.multiply, a, b).array.sum())


def concat(*args: Value) -> Value:
    return Value(np.concatenate([a.array for a in args]), ("+".join(a.axes[0] for a in args),))


def call(name: str, args: list[Value]) -> Value:
    """A function that everybody knows; of a single array, perhaps along the last axis."""
    if len(args) == 1 and name in ALONG:
        array = np.asarray(ALONG[name](args[0].array))
        return Value(array, args[0].axes[: array.ndim], args[0].kind if array.ndim else "")
    if name not in KNOWN:
        raise Unclear(f"what is {name}")
    return componentwise(KNOWN[name], *args)


def std(a: Array) -> Array:
    return np.asarray(np.sqrt(a.var(-1, keepdims=True) + 1e-5))


OPERATIONS: dict[str, Callable[..., Any]] = {
    **{"+": np.add, "-": np.subtract, "minus": np.negative, "\\odot": np.multiply, "\\frac": np.divide, "^": np.power},
    **{">": np.greater, "<": np.less, "\\ge": np.greater_equal, "\\le": np.less_equal},
    "cases": lambda a, condition, b: np.where(condition > 0, a, b),
}
ALGEBRA: dict[str, Callable[..., Value]] = {"\\,": product, "transpose": transpose, "\\langle": inner, "concat": concat}
KNOWN: dict[str, Callable[..., Any]] = {
    **{f"\\{n}": getattr(np, n) for n in ("tanh", "exp", "log", "sqrt", "sin", "cos")},
    **{f"\\operatorname{{{n}}}": getattr(np, n) for n in ("clip", "log1p", "expm1")},
    **{"|": np.abs, "\\max": np.maximum, "\\min": np.minimum, "\\operatorname{erf}": np.vectorize(erf, [float])},
}
ALONG: dict[str, Callable[[Array], Any]] = {
    "\\lVert": lambda a: np.sqrt((a * a).sum(-1)),
    "\\max": lambda a: a.max(-1),
    "\\operatorname{mean}": lambda a: a.mean(-1),
    "\\operatorname{std}": lambda a: std(a)[..., 0],
    "\\operatorname{LN}": lambda a: (a - a.mean(-1, keepdims=True)) / std(a),
    "\\operatorname{softmax}": lambda a: np.exp(a) / np.exp(a).sum(-1, keepdims=True),
    "\\operatorname{arg\\,max}": lambda a: np.eye(a.shape[-1])[a.argmax(-1)],  # which is what onehot makes of it
    "\\operatorname{onehot}": lambda a: a,
}
