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
        raise _meant_product(resolved, error.kind) or _no_transpose(resolved, error.kind) or error from None
    _refuse_added_sizes(shapes, resolved)
    _refuse_thin_weights(shapes, resolved)
    return shapes


def _meant_product(resolved: Resolved, kind: str) -> CellError | None:
    """W * x where only W @ x fits the shapes: an error that says so, if one such change, or all of them, mends it."""
    products = [n for e in resolved.draft.equations for n in walk(e.expr) if _may_be_matrix_product(n, resolved)]
    if not products or len(resolved.draft.equations) > LONGEST:
        return None
    for changed in [*([p] for p in products[:MOST_TRIED]), products]:
        if not _fits(resolved, {id(p): replace(p, op="@") for p in changed}, kind):
            continue
        left, right = (written(a) for a in changed[0].args)
        wrong = f"{left} * {right} is a product by components, and its shape fits nothing here."
        return CellError("shape", changed[0].place, wrong, f"Did you mean {left} @ {right}?")
    return None


def _no_transpose(resolved: Resolved, kind: str) -> CellError | None:
    """b.T where only b fits the shapes: an error that says so, if leaving out one .T mends it."""
    nodes = [n for e in resolved.draft.equations for n in walk(e.expr) if isinstance(n, Apply) and n.op == ".T"]
    if len(resolved.draft.equations) > LONGEST:
        return None
    for node in (n for n in nodes[:MOST_TRIED] if isinstance(n.args[0], Name) and n.args[0].name in resolved.params):
        if _fits(resolved, {id(node): node.args[0]}, kind):
            name = written(node.args[0])
            wrong = f"{name}.T is the transpose of a matrix, and its shape fits nothing here."
            return CellError("shape", node.place, wrong, f"Did you mean {name}?")
    return None


def _fits(resolved: Resolved, changed: dict[int, Expr], kind: str) -> bool:
    """Do the shapes fit with these expressions, by the id of what they replace, where an error of this kind was?"""
    equations = [replace(e, expr=_with(e.expr, changed)) for e in resolved.draft.equations]
    try:
        infer(replace(resolved, draft=replace(resolved.draft, equations=equations)))
    except CellError as error:
        return (kind, error.kind) == ("shape", "ambiguous")  # what must be pinned comes after what must fit
    return True


def _may_be_matrix_product(expr: Expr, resolved: Resolved) -> TypeGuard[Apply]:
    """Is this a parameter times something that is none?"""
    if not isinstance(expr, Apply) or expr.op != "*":
        return False
    left, right = expr.args
    params = resolved.params
    return isinstance(left, Name) and left.name in params and not (isinstance(right, Name) and right.name in params)


def _with(expr: Expr, changed: dict[int, Expr]) -> Expr:
    new = changed.get(id(expr), expr)
    return replace(new, args=tuple(_with(a, changed) for a in new.args)) if isinstance(new, Apply) else new


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
