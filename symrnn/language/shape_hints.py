"""Shapes that do not fit, or fit by accident, because something else was meant."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeGuard

from symrnn.errors import CellError
from symrnn.language.cell import Apply, Axes, Expr, Name, factors, walk, written
from symrnn.language.proposals import free_name
from symrnn.language.resolve import Resolved
from symrnn.language.shapes import Shapes, infer

#: What papers call matrices.
WEIGHTS = "WUVR"

#: In a file of so many equations at most, so many products are tried one by one before an error is told: it takes time.
LONGEST, MOST_TRIED = 40, 8


def shapes_as_meant(resolved: Resolved) -> Shapes:
    """The axes of every name and expression; CellError for a mismatch, told as the slip that it comes from."""
    try:
        shapes = infer(resolved)
    except CellError as error:
        raise _meant_product(resolved, error.kind) or error from None
    _refuse_added_sizes(shapes, resolved)
    _refuse_thin_weights(shapes, resolved)
    return shapes


def _meant_product(resolved: Resolved, kind: str) -> CellError | None:
    """W * x where only W @ x fits the shapes: an error that says so, if one such change, or all of them, mends it."""
    products = [n for e in resolved.draft.equations for n in walk(e.expr) if _may_be_matrix_product(n, resolved)]
    if not products or len(resolved.draft.equations) > LONGEST:
        return None
    for changed in [*([p] for p in products[:MOST_TRIED]), products]:
        equations = [replace(e, expr=_with_matrix_products(e.expr, changed)) for e in resolved.draft.equations]
        try:
            infer(replace(resolved, draft=replace(resolved.draft, equations=equations)))
        except CellError as error:
            if (kind, error.kind) != ("shape", "ambiguous"):  # what must be pinned comes after what must fit
                continue
        left, right = (written(a) for a in changed[0].args)
        wrong = f"{left} * {right} is a product by components, and its shape fits nothing here."
        return CellError("shape", changed[0].place, wrong, f"Did you mean {left} @ {right}?")
    return None


def _may_be_matrix_product(expr: Expr, resolved: Resolved) -> TypeGuard[Apply]:
    """Is this a parameter times something that is none?"""
    if not isinstance(expr, Apply) or expr.op != "*":
        return False
    left, right = expr.args
    params = resolved.params
    return isinstance(left, Name) and left.name in params and not (isinstance(right, Name) and right.name in params)


def _with_matrix_products(expr: Expr, changed: list[Apply]) -> Expr:
    if not isinstance(expr, Apply):
        return expr
    op = "@" if any(expr is c for c in changed) else expr.op
    return replace(expr, op=op, args=tuple(_with_matrix_products(a, changed) for a in expr.args))


def _refuse_added_sizes(shapes: Shapes, resolved: Resolved) -> None:
    """W - I, where I is an axis, takes a number from every entry, and is hardly ever meant."""
    for equation in shapes.equations:
        for node in walk(equation.expr):
            if not isinstance(node, Apply) or node.op not in "+-" or len(node.axes) != 2:
                continue
            for size in (f for a in node.args if not a.axes for f in factors(a)[0]):
                if isinstance(size, Name) and size.name in resolved.axes:
                    wrong = f"{size.name} is the length of an axis, a number, and is added to a matrix."
                    square = node.axes[0] == node.axes[1]
                    advice = f"Write identity({node.axes[0]}) for the identity matrix." if square else ""
                    n = free_name("n", shapes.axes)
                    number = f"Give the number a name, {n} = {size.name}, if it is meant."
                    raise CellError("shape", size.place, wrong, f"{advice} {number}".strip())


def _refuse_thin_weights(shapes: Shapes, resolved: Resolved) -> None:
    """W * x, and NumPy's dot(W, x), where nobody says that W is a vector."""
    for equation in shapes.equations:
        for node in walk(equation.expr):
            if not isinstance(node, Name) or node.name not in resolved.params or node.name in resolved.declared:
                continue
            if node.name[0] in WEIGHTS and len(node.axes) < 2:
                shape = f"{node.name}[{', '.join(node.axes)}]"
                wrong = f"{node.name} is called like a matrix, but would be the {_rank(node.axes)} {shape} here."
                advice = f"Write @ for a product with a matrix, or declare param {shape} if that is meant."
                raise CellError("shape", node.place, wrong, advice)


def _rank(axes: Axes) -> str:
    return "vector" if axes else "scalar"
