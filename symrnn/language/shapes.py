"""Unification of shapes: every name and every expression gets its axes, once, at the front."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from symrnn.errors import CellError, Place
from symrnn.functions.whole_axis import WHOLE_AXIS
from symrnn.language.bounds import MAX_JOINED
from symrnn.language.cell import Apply, Axes, Equation, Expr, Name, Number, axis_parts, walk, written
from symrnn.language.proposals import BEYOND, free_axes, likely_axis, with_axes
from symrnn.language.resolve import Resolved

#: A constraint; called with 0 it only draws conclusions, with 1 it may assume a parameter's shape, with 2
#: that of anything elastic.
Rule = Callable[[int], bool]


@dataclass(eq=False)
class _Axis:
    """An axis, known by name or still to be found; `same` points to the axis it was unified with."""

    name: str = ""
    same: _Axis | None = None

    def root(self) -> _Axis:
        axis = self
        while axis.same is not None:
            axis = axis.same
        return axis


@dataclass(eq=False)
class _Shape:
    """The axes of one name or expression; None while even their number is unknown.

    The length of an axis is a size; a parameter is pinnable; what elementwise steps made is elastic (it takes the
    shape of its surroundings, if need be); a product with an unknown on its right is matrix-like; what a reduction
    leaves is computed.
    """

    what: str
    place: Place
    axes: list[_Axis] | None = None
    size: bool = False
    pinnable: bool = False
    matrix_like: bool = False
    elastic: bool = False
    computed: bool = False

    def names(self) -> list[str] | None:
        return None if self.axes is None else [a.root().name for a in self.axes]

    def __str__(self) -> str:
        names = self.names()
        return "unknown" if names is None else "[" + ", ".join(n or "?" for n in names) + "]"


@dataclass
class Shapes:
    """The result: axes of every name, and the equations with axes on every expression."""

    axes: dict[str, Axes]
    equations: tuple[Equation, ...] = ()


@dataclass
class _Solver:
    """Constraints over the shapes of names and expressions, applied until nothing more is learnt.

    `likely` is the axis that errors give as an example, if the cell has one.
    """

    likely: str
    names: dict[str, _Shape] = field(default_factory=dict)
    nodes: dict[int, _Shape] = field(default_factory=dict)
    constraints: list[Rule] = field(default_factory=list)
    wrong: Callable[[], CellError] | None = None

    def solve(self) -> None:
        while True:
            if any([c(0) for c in self.constraints]):
                continue
            if not any(c(guess) for guess in (1, 2) for c in self.constraints):
                break
        if self.wrong is not None:
            raise self.wrong()

    # -- unification ---------------------------------------------------------------------------------------

    def refuse(self, complain: Callable[[], CellError]) -> bool:
        """Note a contradiction; it is told at the end, when the other shapes are known and can be named."""
        self.wrong = self.wrong or complain
        return False

    def unify(self, a: _Axis, b: _Axis, complain: Callable[[], CellError]) -> bool:
        a, b = a.root(), b.root()
        if a is b or (a.name and a.name == b.name):
            return False
        if a.name and b.name:
            return self.refuse(complain)
        if a.name:
            b.same = a
        else:
            a.same = b
        return True

    def equal(self, a: _Shape, b: _Shape, complain: Callable[[], CellError]) -> bool:
        """Make two shapes equal as far as either is known; True if that taught us something."""
        if a.axes is None and b.axes is None:
            return False
        if a.axes is None or b.axes is None:
            known, unknown = (a, b) if b.axes is None else (b, a)
            unknown.axes = list(known.axes or [])
            return True
        if len(a.axes) != len(b.axes):
            return self.refuse(complain)
        return any([self.unify(x, y, complain) for x, y in zip(a.axes, b.axes, strict=True)])

    # -- constraints ---------------------------------------------------------------------------------------

    def add(self, expr: Expr) -> _Shape:
        """The shape of an expression, with constraints for all its parts."""
        if isinstance(expr, Name):
            shape = self.names[expr.name]
        elif isinstance(expr, Number):
            shape = _Shape(expr.text, expr.place, [])
        else:
            args = [self.add(a) for a in expr.args]
            shape = _Shape(written(expr), expr.place)
            if expr.op == "identity":
                self.identity(expr, shape)
            else:
                rule = _RULES.get((expr.op, len(args)) if expr.op in WHOLE_AXIS else expr.op, _Solver.elementwise)
                shape.elastic = rule in (_Solver.elementwise, _Solver.added)
                of_scalars = rule is _Solver.added and all(a.computed for a in args)
                shape.computed = of_scalars or rule in (_Solver.reduction, _Solver.dot, _Solver.matmul)
                self.constraints.append(rule(self, shape, args, expr.place))
        self.nodes[id(expr)] = shape
        return shape

    def identity(self, expr: Apply, shape: _Shape) -> None:
        (arg,) = expr.args
        if not isinstance(arg, Name) or not self.names[arg.name].size:
            example = f"identity({self.likely or 'H'})"
            raise CellError("shape", arg.place, f"identity takes the name of an axis, like {example}.")
        axis = _Axis(arg.name)
        shape.axes = [axis, axis]

    def elementwise(self, out: _Shape, args: list[_Shape], place: Place) -> Rule:
        """Broadcasting by axis name: the result has the axes of its largest argument."""

        def step(guess: int) -> bool:
            known = [a for a in args if a.axes is not None]
            learnt = self._align(known, place)
            if len(known) == len(args):
                largest = max(known, key=lambda s: len(s.axes or []))
                return self._result(out, largest, place) or learnt
            if out.axes == []:
                return any([self.scalar(a, out, place) for a in args if a.axes is None])
            if guess and not learnt:
                informative = [a for a in known if a.axes]
                source = out if out.axes else max(informative, key=lambda s: len(s.axes or []), default=None)
                missing = [a for a in args if a.axes is None and (a.pinnable or (guess > 1 and a.elastic))]
                if source is not None and missing:
                    missing[0].axes = list(source.axes or [])
                    return True
            return learnt

        return step

    def added(self, out: _Shape, args: list[_Shape], place: Place) -> Rule:
        """A sum: what is added to a computed scalar, like dot(w, h) + b, is a scalar itself."""
        broadcast = self.elementwise(out, args, place)

        def step(guess: int) -> bool:
            bias = next((a for a in args if a.axes is None and a.pinnable), None)
            if guess and not out.axes and bias is not None and any(a.axes == [] and a.computed for a in args):
                bias.axes = []
                return True
            return broadcast(guess)

        return step

    def scalar(self, a: _Shape, out: _Shape, place: Place) -> bool:
        """What is part of a scalar is a scalar."""
        return self.equal(a, out, lambda: _mismatch(a, out, place))

    def _align(self, known: list[_Shape], place: Place) -> bool:
        largest = max(known, key=lambda s: len(s.axes or []), default=None)
        return any([self._fit(a, largest, place) for a in known if largest is not None and a is not largest])

    def _fit(self, small: _Shape, large: _Shape, place: Place) -> bool:
        """Make small broadcast against large: equal if they have as many axes, else by name."""
        assert small.axes is not None and large.axes is not None
        if len(small.axes) == len(large.axes):
            return self.equal(small, large, lambda: _mismatch(small, large, place))
        here, there = small.names() or [], large.names() or []
        if not all(here) or not all(there):
            return False
        if not _embeds(here, there):
            raise _mismatch(small, large, place)
        if any(there.count(name) > 1 for name in here):
            advice = "Write outer(…) or a matrix product, so that the axis meant is clear."
            raise CellError(
                "shape", place, f"{small.what} is {small}, {large.what} is {large}: which axis is meant?", advice
            )
        return False

    def _result(self, out: _Shape, largest: _Shape, place: Place) -> bool:
        if out.axes is None:
            out.axes = list(largest.axes or [])
            return True
        if len(out.axes) < len(largest.axes or []):
            raise _mismatch(out, largest, place)
        return self._fit(largest, out, place)

    def matmul(self, out: _Shape, args: list[_Shape], place: Place) -> Rule:
        a, b = args
        out.matrix_like = b.pinnable or b.matrix_like

        def step(guess: int) -> bool:
            if (
                b.axes is not None
                and a.axes is None
                and (a.pinnable or a.matrix_like or guess)
                and len(b.axes) in (1, 2)
            ):
                a.axes = [_Axis(), b.axes[0]]
                return True
            if a.axes is not None and b.axes is None and guess and len(a.axes) in (1, 2):
                matrix = b.pinnable if len(a.axes) == 1 else out.axes is not None and len(out.axes) == 2
                b.axes = [a.axes[-1], *([_Axis()] if matrix else [])]
                return True
            if a.axes is None or b.axes is None:
                return False
            if not 1 <= len(a.axes) <= 2 or not 1 <= len(b.axes) <= 2:
                raise _not_a_product(a, b, place)
            learnt = self.unify(a.axes[-1], b.axes[0], lambda: _inner_mismatch(a, b, place, self.names))
            found = _Shape(out.what, place, [*a.axes[:-1], *b.axes[1:]])
            return self.equal(out, found, lambda: _mismatch(out, found, place)) or learnt

        return step

    def transpose(self, out: _Shape, args: list[_Shape], place: Place) -> Rule:
        (a,) = args

        def step(guess: int) -> bool:
            if a.axes is None and out.axes is not None:
                a.axes = list(reversed(out.axes))
                return True
            if a.axes is None and guess and a.pinnable:
                a.axes = [_Axis(), _Axis()]
                return True
            if a.axes is None:
                return False
            if len(a.axes) != 2:
                of_vectors = "Of two vectors, outer(a, b) is a bᵀ and dot(a, b) is aᵀ b."
                raise CellError("shape", place, f".T needs a matrix, but {a.what} is {a}.", of_vectors)
            found = _Shape(out.what, place, list(reversed(a.axes)))
            return self.equal(out, found, lambda: _mismatch(out, found, place))

        return step

    def reduction(self, out: _Shape, args: list[_Shape], place: Place) -> Rule:
        """sum, norm and the like: the last feature axis disappears."""
        (a,) = args

        def step(guess: int) -> bool:
            if a.axes is None:
                return False
            if not a.axes:
                raise CellError("shape", place, f"{a.what} is a scalar: there is no axis to reduce.")
            found = _Shape(out.what, place, a.axes[:-1])
            return self.equal(out, found, lambda: _mismatch(out, found, place))

        return step

    def along(self, out: _Shape, args: list[_Shape], place: Place) -> Rule:
        """softmax and the like: same shape, over the last feature axis."""
        (a,) = args

        def step(guess: int) -> bool:
            if a.axes == []:
                raise CellError("shape", place, f"{a.what} is a scalar: there is no axis to normalise over.")
            return self.equal(out, a, lambda: _mismatch(out, a, place))

        return step

    def dot(self, out: _Shape, args: list[_Shape], place: Place) -> Rule:
        a, b = args

        def step(guess: int) -> bool:
            learnt = self.equal(a, b, lambda: _mismatch(a, b, place))
            if a.axes is not None and len(a.axes) != 1:
                raise CellError("shape", place, f"dot takes two vectors, but {a.what} is {a}.")
            return self.equal(out, _Shape("", place, []), lambda: _mismatch(out, a, place)) or learnt

        return step

    def outer(self, out: _Shape, args: list[_Shape], place: Place) -> Rule:
        a, b = args

        def step(guess: int) -> bool:
            if out.axes is not None and len(out.axes) == 2 and (a.axes is None or b.axes is None):
                a.axes, b.axes = a.axes or [out.axes[0]], b.axes or [out.axes[1]]
                return True
            if a.axes is None or b.axes is None:
                return False
            if len(a.axes) != 1 or len(b.axes) != 1:
                raise CellError("shape", place, f"outer takes two vectors, but they are {a} and {b}.")
            found = _Shape(out.what, place, [*a.axes, *b.axes])
            return self.equal(out, found, lambda: _mismatch(out, found, place))

        return step

    def concat(self, out: _Shape, args: list[_Shape], place: Place) -> Rule:
        def step(guess: int) -> bool:
            if any(a.axes is None for a in args):
                rank_known = out.axes is not None
                out.axes = out.axes if rank_known else [_Axis()]
                return not rank_known
            wrong = next((a for a in args if len(a.axes or []) != 1), None)
            if wrong:
                raise CellError("shape", place, f"concat takes vectors, but {wrong.what} is {wrong}.")
            names = [n for a in args for n in a.names() or []]
            if not all(names):
                return False
            parts = sum(len(axis_parts(n)) for n in names)
            if parts > MAX_JOINED:
                raise CellError(
                    "size", place, f"At most {MAX_JOINED} axes can be joined to one, and these are {parts:,}."
                )
            found = _Shape(out.what, place, [_Axis("+".join(names))])
            return self.equal(out, found, lambda: _mismatch(out, found, place))

        return step


_RULES: dict[str | tuple[str, int], Callable[..., Rule]] = {
    **dict.fromkeys("+-", _Solver.added),
    "@": _Solver.matmul,
    ".T": _Solver.transpose,
    **{(name, 1): _Solver.along if row.keeps else _Solver.reduction for name, row in WHOLE_AXIS.items()},
    "dot": _Solver.dot,
    "outer": _Solver.outer,
    "concat": _Solver.concat,
}


def _embeds(small: list[str], large: list[str]) -> bool:
    rest = iter(large)
    return all(name in rest for name in small)


def _mismatch(a: _Shape, b: _Shape, place: Place) -> CellError:
    return CellError("shape", place, f"{a.what} is {a}, but {b.what} is {b}.", "Shapes combine by axis name.")


def _not_a_product(a: _Shape, b: _Shape, place: Place) -> CellError:
    if a.size or b.size:
        wrong = f"{(a if a.size else b).what} is the length of an axis, a number: @ multiplies matrices and vectors."
        return CellError("shape", place, wrong, "Use * for a multiple, or a matrix of another name.")
    return CellError(
        "shape", place, f"{a.what} is {a} and {b.what} is {b}: @ multiplies matrices and vectors.", "Use *."
    )


def _inner_mismatch(a: _Shape, b: _Shape, place: Place, taken: Collection[str]) -> CellError:
    left, right = (a.names() or ["?"])[-1], (b.names() or ["?"])[0]
    advice = f"The last axis of the left side ({left}) must be the first of the right side ({right})."
    if a.pinnable and "+" not in right:
        free = free_axes(taken, BEYOND)
        wanted = ", ".join([*(n or next(free) for n in (a.names() or [])[:-1]), right])
        advice += f" Is this the right matrix? If so, declare param {a.what}[{wanted}] and use it with {right} only."
    return CellError("shape", place, f"{a.what} is {a} but {b.what} is {b}.", advice)


def infer(resolved: Resolved) -> Shapes:
    """The axes of every name and expression; raises CellError for a mismatch, or for what must be pinned."""
    solver = _Solver(likely_axis(resolved.draft.declarations))
    _declare(solver, resolved)
    for equation in resolved.draft.equations:
        target = solver.names[equation.name]
        value = solver.add(equation.expr)
        target.elastic = value.elastic or isinstance(equation.expr, Name)
        solver.constraints.append(_defines(solver, target, value, equation.expr.place))
    solver.solve()
    _refuse_unknown(solver, resolved)
    axes = {name: tuple(shape.names() or ()) for name, shape in solver.names.items()}
    for d in resolved.declared.values():
        if d.start in ("identity", "orthogonal") and len(axes[d.name]) != 2:
            raise CellError("start", d.place, f"Only a matrix can start as {d.start}; {d.name} has another shape.")
    equations = tuple(replace(e, expr=_annotate(e.expr, solver)) for e in resolved.draft.equations)
    return Shapes(axes, equations)


def _declare(solver: _Solver, resolved: Resolved) -> None:
    known: dict[str, _Axis] = {name: _Axis(name) for name in resolved.axes}
    start = resolved.draft.start
    for name in resolved.axes:
        solver.names[name] = _Shape(name, start, [], size=True)
    solver.names["t"] = _Shape("t", start, [])
    for name, d in resolved.declared.items():
        solver.names[name] = _Shape(name, d.place, [known.get(a) or _Axis(a) for a in d.axes])
    for name in resolved.params:
        solver.names.setdefault(name, _Shape(name, start, None, pinnable=True))
    for equation in resolved.draft.equations:
        solver.names.setdefault(equation.name, _Shape(equation.name, equation.place))


def _defines(solver: _Solver, target: _Shape, value: _Shape, place: Place) -> Rule:
    """A value has the shape of its expression; a declared state may broadcast a smaller one."""
    declared = target.axes is not None

    def step(guess: int) -> bool:
        if declared and value.axes is not None and len(value.axes) < len(target.axes or []):
            return solver._fit(value, target, place)
        if declared and value.axes is None and not guess:
            return False
        return solver.equal(target, value, lambda: _mismatch(target, value, place))

    return step


def _refuse_unknown(solver: _Solver, resolved: Resolved) -> None:
    for name, shape in solver.names.items():
        names = shape.names()
        if names is None or not all(names):
            nodes = (n for e in resolved.draft.equations for n in walk(e.expr))
            place = next((n.place for n in nodes if isinstance(n, Name) and n.name == name), shape.place)
            known = "its axes are unknown" if names is None else f"only {shape} is known of its shape"
            kind = "param" if shape.pinnable else "state"
            advice = with_axes(kind, name, names, solver.likely, solver.names)
            raise CellError("ambiguous", place, f"The shape of {shape.what} cannot be inferred: {known}.", advice)


def _annotate(expr: Expr, solver: _Solver) -> Expr:
    axes = tuple(solver.nodes[id(expr)].names() or ())
    if isinstance(expr, Apply):
        return replace(expr, axes=axes, args=tuple(_annotate(a, solver) for a in expr.args))
    return replace(expr, axes=axes)
