"""How parameters start: as declared; else gains of normalised values at one, matrices uniformly, all others at zero."""

from __future__ import annotations

from symrnn.functions.whole_axis import of_kind
from symrnn.language.cell import Apply, Axes, Expr, Name, factors, walk
from symrnn.language.resolve import Resolved
from symrnn.language.shapes import Shapes

#: Functions whose values have a length of their own making, that measure a length, and that sum up.
NORMALISED, LENGTHS, SUMS = of_kind("normalised"), of_kind("length"), (*of_kind("sum"), "dot")


def starts(resolved: Resolved, shapes: Shapes) -> dict[str, str]:
    """The start of every parameter, by name."""
    gains = _Gains(resolved, shapes).found()
    return {name: _start(name, resolved, shapes.axes[name], gains) for name in resolved.params}


def _start(name: str, resolved: Resolved, axes: Axes, gains: set[str]) -> str:
    declared = resolved.declared.get(name)
    if declared and declared.start:
        return declared.start
    return "ones" if name in gains else "uniform" if len(axes) > 1 else "zeros"


class _Gains:
    """Finds the parameters that multiply a normalised value: a gain of zero would let no gradient through."""

    def __init__(self, resolved: Resolved, shapes: Shapes) -> None:
        self.params = set(resolved.params)
        self.axes = shapes.axes
        self.equations = {e.name: e.expr for e in shapes.equations}

    def found(self) -> set[str]:
        products = (n for e in self.equations.values() for n in walk(e) if isinstance(n, Apply) and n.op in "*/")
        return {name for product in products for name in self.of_product(product)}

    def of_product(self, product: Apply) -> set[str]:
        """Parameters among the factors, if another factor is normalised or a length divides the product."""
        above, below = factors(product)
        lengths = [f for f in below if self.is_length(f)]
        normalised = [f for f in above if self.is_normalised(f)]
        measured = {n.name for f in lengths for e in self.within(f) for n in walk(e) if isinstance(n, Name)}
        if not normalised and not lengths:
            return set()
        named = {f.name for f in above if isinstance(f, Name) and f.name in self.params - measured}
        others = [f for f in above if not (isinstance(f, Name) and f.name in named)]
        widest = max((len(f.axes) for f in others), default=0)
        return {name for name in named if len(self.axes[name]) <= widest}

    def is_normalised(self, expr: Expr) -> bool:
        """layer_norm(…), or something divided by its length; directly or by name."""
        for part in self.behind(expr):
            if isinstance(part, Apply) and part.op in NORMALISED:
                return True
            if isinstance(part, Apply) and part.op in "*/" and any(self.is_length(f) for f in factors(part)[1]):
                return True
        return False

    def is_length(self, expr: Expr) -> bool:
        """norm(…), or the root of a sum or a mean, perhaps of a little more; directly or by name."""
        return any(
            isinstance(part, Apply) and (part.op in LENGTHS or (part.op == "sqrt" and self.is_sum(part.args[0])))
            for part in self.behind(expr)
        )

    def is_sum(self, expr: Expr) -> bool:
        """sum(…) + eps, mean(…) and the like; directly or by name."""
        match self.behind(expr)[-1]:
            case Apply(op="+" | "*" | "/", args=args):
                return any(self.is_sum(a) for a in args if not (isinstance(a, Name) and a.delay))
            case Apply(op=op):
                return op in SUMS
        return False

    def behind(self, expr: Expr) -> list[Expr]:
        """The expression, and what the name it consists of stands for, and so on."""
        chain = [expr]
        while isinstance(expr, Name) and expr.name in self.equations and self.equations[expr.name] not in chain:
            expr = self.equations[expr.name]
            chain.append(expr)
        return chain

    def within(self, expr: Expr) -> list[Expr]:
        """The expression, and the equations of all names it reads, directly or not."""
        found, names = [expr], set[str]()
        for e in found:
            for n in walk(e):
                if isinstance(n, Name) and n.name in self.equations and n.name not in names:
                    names.add(n.name)
                    found.append(self.equations[n.name])
        return found
