"""The functions a cell may call: primitives (closed, every target spells them) and activations (one row each).

A row holds the definition, the derivative written in values already computed (``y`` is the function's own
value), where the function has kinks, and its LaTeX. Nothing else in symrnn knows an activation by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from symrnn.functions.lazy import Lazy

if TYPE_CHECKING:
    import sympy as sp
else:
    sp = Lazy("sympy")

Formula = Callable[..., Any]


@dataclass(frozen=True)
class Function:
    """One elementwise function.

    ``partials[k](y, *args)`` is its derivative by argument k; ``definition(*args)`` says what it is in
    primitives (None for a primitive), ``said(*args)`` what a less known primitive is in better known ones;
    ``kinks(*args)`` are expressions whose zeros are its kinks;
    ``fold`` computes it on plain numbers (None where it never folds).
    """

    name: str
    latex: str
    partials: tuple[Formula, ...]
    definition: Formula | None = None
    kinks: Formula | None = None
    said: Formula | None = None
    fold: Callable[..., float] | None = None

    @property
    def arity(self) -> int:
        return len(self.partials)

    @cached_property
    def head(self) -> Any:
        """The SymPy function that stands for this row in expressions; SymPy differentiates through it."""

        def fdiff(node: sp.Function, argindex: int = 1) -> sp.Expr:
            return self.partials[argindex - 1](node, *node.args)

        return type(self.name, (sp.Function,), {"nargs": self.arity, "fdiff": fdiff, "row": self})

    def __call__(self, *args: Any) -> sp.Expr:
        numbers = [sp.sympify(a) for a in args]
        if all(is_constant(a) for a in numbers):
            if self.fold is not None:
                return sp.Float(self.fold(*map(float, numbers)), 17)
            if self.definition is not None:
                return sp.Float(float(self.definition(*numbers)), 17)
        return self.head(*numbers)

    @cached_property
    def reads_arguments(self) -> bool:
        """Does some derivative need an argument, and not only the value?"""
        args = [sp.Dummy() for _ in range(self.arity)]
        y = sp.Dummy()
        return any(not sp.sympify(p(y, *args)).free_symbols <= {y} for p in self.partials)


@lru_cache(maxsize=50_000)
def is_constant(expr: sp.Expr) -> bool:
    """Is it made of numbers alone, as √2 and 1/√π are?"""
    return not expr.atoms(sp.Symbol, sp.Function)


def _row(name: str, latex: str, *partials: Formula, **more: Any) -> Function:
    return Function(name, latex, partials, **more)


def _zero(y: sp.Expr, *args: sp.Expr) -> sp.Expr:
    return sp.Integer(0)


# Typed ahead, because the rows below mention each other.
exp: Function
expm1: Function
log: Function
sin: Function
cos: Function
sigmoid: Function
erf: Function
erfc: Function
gt: Function
ge: Function
where: Function
pow_: Function

PRIMITIVES: tuple[Function, ...] = (
    _row("exp", r"\exp", lambda y, a: y, fold=math.exp),
    _row("expm1", r"\operatorname{expm1}", lambda y, a: y + 1, said=lambda a: exp(a) - 1, fold=math.expm1),
    _row("log", r"\log", lambda y, a: 1 / a, fold=math.log),
    _row("log1p", r"\operatorname{log1p}", lambda y, a: 1 / (1 + a), said=lambda a: log(1 + a), fold=math.log1p),
    _row("sqrt", r"\sqrt", lambda y, a: 1 / (2 * y), fold=math.sqrt),
    _row("sin", r"\sin", lambda y, a: cos(a), fold=math.sin),
    _row("cos", r"\cos", lambda y, a: -sin(a), fold=math.cos),
    _row("tanh", r"\tanh", lambda y, a: 1 - y**2, fold=math.tanh),
    _row(
        "sigmoid",
        r"\sigma",
        lambda y, a: y * (1 - y),
        said=lambda a: 1 / (1 + exp(-a)),
        fold=lambda a: 1 / (1 + math.exp(-a)) if a > 0 else math.exp(a) / (1 + math.exp(a)),
    ),
    _row("erf", r"\operatorname{erf}", lambda y, a: 2 / sp.sqrt(sp.pi) * exp(-(a**2)), fold=math.erf),
    _row(
        "erfc",
        r"\operatorname{erfc}",
        lambda y, a: -2 / sp.sqrt(sp.pi) * exp(-(a**2)),
        said=lambda a: 1 - erf(a),
        fold=math.erfc,
    ),
    _row("abs", r"\operatorname{abs}", lambda y, a: gt(a, 0) - gt(0, a), kinks=lambda a: (a,), fold=abs),
    _row("max", r"\max", lambda y, a, b: ge(a, b), lambda y, a, b: gt(b, a), kinks=lambda a, b: (a - b,), fold=max),
    _row("min", r"\min", lambda y, a, b: ge(b, a), lambda y, a, b: gt(a, b), kinks=lambda a, b: (a - b,), fold=min),
    _row("gt", ">", _zero, _zero, kinks=lambda a, b: (a - b,), fold=lambda a, b: float(a > b)),
    _row("ge", r"\ge", _zero, _zero, kinks=lambda a, b: (a - b,), fold=lambda a, b: float(a >= b)),
    _row(
        "where",
        r"\operatorname{where}",
        _zero,
        lambda y, c, a, b: where(c, 1, 0),
        lambda y, c, a, b: where(c, 0, 1),
        fold=lambda c, a, b: a if c else b,
    ),
    _row(
        "pow",
        r"\operatorname{pow}",
        lambda y, a, b: b * pow_(a, b - 1),
        lambda y, a, b: y * log(where(gt(a, 0), a, 1)),  # 0 ** b stays 0 when b moves; 0 · log 0 would be NaN
        fold=math.pow,
    ),
)
_primitive = {f.name: f for f in PRIMITIVES}
exp, expm1, log, log1p, sqrt_ = (_primitive[n] for n in ("exp", "expm1", "log", "log1p", "sqrt"))
sin, cos, tanh, sigmoid, erf, erfc = (_primitive[n] for n in ("sin", "cos", "tanh", "sigmoid", "erf", "erfc"))
abs_, max_, min_, pow_ = (_primitive[n] for n in ("abs", "max", "min", "pow"))
gt, ge, where = (_primitive[n] for n in ("gt", "ge", "where"))

ACTIVATIONS: tuple[Function, ...] = (
    _row("relu", r"\operatorname{ReLU}", lambda y, a: gt(y, 0), definition=lambda a: max_(a, 0), kinks=lambda a: (a,)),
    _row(
        "leaky_relu",
        r"\operatorname{LeakyReLU}",
        lambda y, a: where(gt(y, 0), 1, sp.Rational(1, 100)),
        definition=lambda a: where(gt(a, 0), a, a / 100),
        kinks=lambda a: (a,),
    ),
    _row(
        "elu",
        r"\operatorname{ELU}",
        lambda y, a: where(gt(y, 0), 1, y + 1),
        definition=lambda a: where(gt(a, 0), a, expm1(min_(a, 0))),
    ),
    _row(
        "gelu",
        r"\operatorname{GELU}",
        lambda y, a: erfc(-a / sp.sqrt(2)) / 2 + a * exp(-(a**2) / 2) / sp.sqrt(2 * sp.pi),
        definition=lambda a: a * erfc(-a / sp.sqrt(2)) / 2,
    ),
    _row(
        "silu",
        r"\operatorname{SiLU}",
        lambda y, a: sigmoid(a) * (1 + a - y),
        definition=lambda a: a * sigmoid(a),
    ),
    _row(
        "softplus",
        r"\operatorname{softplus}",
        lambda y, a: -expm1(-y),
        definition=lambda a: max_(a, 0) + log1p(exp(-abs_(a))),
    ),
    _row(
        "hard_sigmoid",
        r"\operatorname{hardsigmoid}",
        lambda y, a: gt(y, 0) * gt(1, y) / 6,
        definition=lambda a: min_(max_(a / 6 + sp.Rational(1, 2), 0), 1),
        kinks=lambda a: (a + 3, a - 3),
    ),
    _row(
        "clip",
        r"\operatorname{clip}",
        lambda y, a, lo, hi: gt(a, lo) * gt(hi, a),
        lambda y, a, lo, hi: ge(lo, a) * ge(hi, lo),
        lambda y, a, lo, hi: 1 - gt(a, lo) * gt(hi, a) - ge(lo, a) * ge(hi, lo),
        definition=lambda a, lo, hi: min_(max_(a, lo), hi),
        kinks=lambda a, lo, hi: (a - lo, a - hi),
    ),
)

FUNCTIONS: dict[str, Function] = {f.name: f for f in (*PRIMITIVES, *ACTIVATIONS)}

#: What a cell file may call elementwise, with the number of arguments.
ELEMENTWISE: dict[str, int] = {n: f.arity for n, f in FUNCTIONS.items() if n not in {"gt", "ge", "pow"}}

COMPARISONS: dict[str, tuple[str, bool]] = {
    ">": ("gt", False),
    "<": ("gt", True),
    ">=": ("ge", False),
    "<=": ("ge", True),
}
