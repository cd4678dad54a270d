"""Cell → Step: equations into pointwise and contraction statements, each function value and product named."""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from symrnn.calculus.along_axis import shortened, statements_of
from symrnn.calculus.ir import (
    BATCH,
    AlongAxis,
    Concat,
    Contraction,
    Labels,
    OneHot,
    Pointwise,
    Ref,
    Statement,
    Step,
    Value,
    fresh,
    natural,
    numbered,
    symbol,
)
from symrnn.errors import CellError
from symrnn.functions.calls import STRUCTURAL
from symrnn.functions.expressions import MAX_WHOLE_POWER, rounded, spellable
from symrnn.functions.table import COMPARISONS, FUNCTIONS, Function
from symrnn.functions.whole_axis import WHOLE_AXIS
from symrnn.language.bounds import out_of_range, refuse_long
from symrnn.language.cell import Apply, Axes, Cell, Equation, Expr, Name, Number, axis_parts


def lower(cell: Cell) -> Step:
    """The statements of one step, in the order of the equations."""
    return _Lowering(cell).step()


class _Lowering:
    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.values: dict[str, Value] = {}
        self.statements: list[Statement] = []
        self.seen: dict[object, str] = {}
        self.order: dict[str, int] = {}
        self.equation = ""
        self.kept = {c.of for c in cell.carries} | {v.name for v in cell.outputs}
        self.taken = {v.name for v in cell.variables} | set(cell.axes) | {"t"}
        self.declare()

    def declare(self) -> None:
        cell = self.cell
        for v in cell.inputs:
            self.values[v.name] = Value(v.name, v.axes, True, True, "input")
        for v in cell.params:
            self.values[v.name] = Value(v.name, v.axes, False, False, "param")
        for v in cell.consts:
            self.values[v.name] = Value(v.name, (), False, False, "const")
        for a in cell.axes:
            self.values[a] = Value(a, (), False, False, "size")
        self.values["t"] = Value("t", (), False, True, "time")
        self.previous: dict[str, str] = {}
        for c in cell.carries:
            name = self.unique(f"{c.name}_prev")
            self.previous[c.name] = name
            self.values[name] = Value(name, c.axes, True, True, "carry", c.name)

    def step(self) -> Step:
        for equation in self.cell.equations:
            self.lower_equation(equation)
            count = sum(statements_of(s.row) if isinstance(s, AlongAxis) else 1 for s in self.statements)
            refuse_long(count, equation.place)
        carried = {}
        for c in self.cell.carries:
            source = c.of if c.lag == 0 else self.previous[_lagged(c.of, c.lag - 1)]
            carried[c.name] = source
        self.split_copies(carried)
        return Step(self.values, tuple(self.statements), carried, tuple(v.name for v in self.cell.outputs))

    def split_copies(self, carried: dict[str, str]) -> None:
        """A carry that only hands on an input or an older carry gets a statement of its own."""
        for key, source in carried.items():
            if self.values[source].role != "value":
                name = key if key not in self.values else self.unique(f"{key}_now")
                value = Value(name, self.values[source].axes, True, True)
                self.values[name] = value
                ref = Ref(source, value.labels)
                self.statements.append(Pointwise(Ref(name, value.labels), ref.symbol, (ref,), key))
                carried[key] = name

    # -- names ---------------------------------------------------------------------------------------------

    def unique(self, name: str) -> str:
        name = f"of_{name}" if name.startswith("d_") else name  # names starting with d_ are those of adjoints
        name = numbered(name, lambda n: n in self.taken or n in self.values)
        self.taken.add(name)
        return name

    def touch(self, name: str) -> sp.Symbol:
        """The symbol of a value; remembers the order in which an equation mentions its operands."""
        self.order.setdefault(name, len(self.order))
        return symbol(name)

    # -- statements ----------------------------------------------------------------------------------------

    def emit(self, key: object, hint: str, axes: Axes, args: tuple[str, ...], build: object) -> sp.Symbol:
        """Name a new value, unless the same one has been computed before."""
        if key not in self.seen:
            name = self.unique(hint)
            inputs = [self.values[a] for a in args]
            self.values[name] = Value(name, axes, any(v.batched for v in inputs), any(v.timed for v in inputs))
            self.seen[key] = name
            self.statements.append(build(Ref(name, self.values[name].labels)))  # type: ignore[operator]
        return self.touch(self.seen[key])

    def operands(self, expr: sp.Expr, axes: Axes) -> list[Ref]:
        """The values an expression mentions, in the order written, aligned with a result of those axes."""
        names = sorted((s.name for s in expr.free_symbols), key=lambda n: self.order[n])
        return [Ref(n, self.aligned(n, axes)) for n in names]

    def aligned(self, name: str, axes: Axes) -> Labels:
        value = self.values[name]
        out, labels = natural(axes), []
        position = 0
        for axis in value.axes:
            position = next(k for k in range(position, len(axes)) if axes[k] == axis)
            labels.append(out[position])
            position += 1
        return ((BATCH,) if value.batched else ()) + tuple(labels)

    def name(self, expr: sp.Expr, axes: Axes, hint: str) -> sp.Symbol:
        """The expression as a value of its own."""
        if isinstance(expr, sp.Symbol) and self.values[expr.name].axes == axes:
            return self.touch(expr.name)
        args = self.operands(expr, axes)
        return self.emit(
            (expr, axes),
            hint,
            axes,
            tuple(a.name for a in args),
            lambda out: Pointwise(out, expr, tuple(args), self.equation),
        )

    def contract(self, hint: str, axes: Axes, args: tuple[Ref, ...], out: Labels) -> sp.Symbol:
        batched = any(BATCH in a.labels for a in args)
        labels = ((BATCH,) if batched else ()) + out
        return self.emit(
            (args, labels),
            hint,
            axes,
            tuple(a.name for a in args),
            lambda ref: Contraction(Ref(ref.name, labels), args, self.equation),
        )

    # -- equations -----------------------------------------------------------------------------------------

    def lower_equation(self, equation: Equation) -> None:
        self.equation, self.order = equation.name, {}
        axes = self.cell.variable(equation.name).axes
        start = len(self.statements)
        expr = self.expr(equation.expr, top=True)
        if self.rename_last(expr, equation, start):
            return
        args = self.operands(expr, axes)
        inputs = [self.values[a.name] for a in args]
        forced = equation.name in self.kept
        value = Value(
            equation.name, axes, forced or any(v.batched for v in inputs), forced or any(v.timed for v in inputs)
        )
        self.values[equation.name] = value
        self.statements.append(Pointwise(Ref(equation.name, value.labels), expr, tuple(args), equation.name))

    def rename_last(self, expr: sp.Expr, equation: Equation, start: int) -> bool:
        """An equation that is one product or reduction names it directly, without a copy."""
        axes = self.cell.variable(equation.name).axes
        if len(self.statements) <= start or not isinstance(expr, sp.Symbol):
            return False
        last = self.statements[-1]
        value = self.values[last.out.name]
        plain = (value.batched and value.timed) or equation.name not in self.kept
        if last.out.name != expr.name or value.axes != axes or not plain:
            return False
        del self.values[expr.name]
        self.values[equation.name] = replace(value, name=equation.name)
        self.statements[-1] = replace(last, out=Ref(equation.name, last.out.labels))
        self.seen = {k: equation.name if n == expr.name else n for k, n in self.seen.items()}
        return True

    # -- expressions ---------------------------------------------------------------------------------------

    def expr(self, e: Expr, top: bool = False) -> sp.Expr:
        if isinstance(e, Number):
            return rounded(sp.Rational(e.text))
        if isinstance(e, Name):
            return self.touch(self.previous[_lagged(e.name, e.delay - 1)] if e.delay else e.name)
        if e.op in ("+", "-", "*", "/", "neg"):
            return self.arithmetic(e)
        if e.op == "**":
            return self.power(e, top)
        if e.op in COMPARISONS:
            name, swapped = COMPARISONS[e.op]
            left, right = (self.expr(a) for a in e.args)
            result = FUNCTIONS[name](*((right, left) if swapped else (left, right)))
            if result.is_Number:
                raise CellError("constant", e.place, "This comparison always comes out the same.", "Write the branch.")
            return result
        if (e.op in STRUCTURAL and not (e.op in ("max", "min") and len(e.args) == 2)) or e.op in ("@", ".T"):
            return _STRUCTURES[e.op](self, e)
        return self.function(FUNCTIONS[e.op], [self.expr(a) for a in e.args], e, top)

    def arithmetic(self, e: Apply) -> sp.Expr:
        result = self.combined(e, [self.expr(a) for a in e.args])
        if not spellable(result):
            raise out_of_range(e.place)
        return rounded(result)

    def combined(self, e: Apply, args: list[sp.Expr]) -> sp.Expr:
        match e.op:
            case "+":
                return args[0] + args[1]
            case "-":
                return args[0] - args[1]
            case "*":
                return args[0] * args[1]
            case "/":
                return args[0] / args[1]
        return -args[0]

    def power(self, e: Apply, top: bool) -> sp.Expr:
        """A power with a number as its exponent, unless SymPy makes something else of it: √(x²) is no |x| here."""
        base, exponent = (self.expr(a) for a in e.args)
        if exponent.is_Number and not base.is_Number and abs(exponent) <= MAX_WHOLE_POWER:
            result = base**exponent
            if spellable(result):
                return rounded(result)
        return self.function(FUNCTIONS["pow"], [base, exponent], e, top)

    def function(self, row: Function, args: list[sp.Expr], e: Apply, top: bool) -> sp.Expr:
        """A function's value, named unless it is the whole equation; arguments that derivatives need are named."""
        target = self.equation
        prepared = []
        for arg, node in zip(args, e.args, strict=True):
            nested = getattr(type(arg), "row", None) in (FUNCTIONS["gt"], FUNCTIONS["ge"])
            if len(arg.free_symbols) > 1 and not nested:
                arg = self.name(arg, node.axes, f"{target}_pre")
            prepared.append(arg)
        try:
            result = row(*prepared)
            for partial, arg in zip(row.partials, prepared, strict=True):
                if arg.free_symbols:
                    partial(result, *prepared)  # it has a value only where its constants do: 0 ** x has no log(0)
        except (OverflowError, ValueError, ZeroDivisionError):
            raise out_of_range(e.place) from None
        if not spellable(result):
            raise out_of_range(e.place)
        if top or not result.free_symbols:
            return result
        first = prepared[0]
        plain = isinstance(first, sp.Symbol) and not first.name.startswith(f"{target}_pre")
        hint = f"{row.name}_{shortened(first.name)}" if plain else f"{target}_{row.name}"
        return self.name(result, e.axes, hint)

    # -- products and reductions ---------------------------------------------------------------------------

    def operand(self, e: Expr, hint: str) -> str:
        """An argument of a product as a named value."""
        expr = self.expr(e)
        plain = [s.name for s in sorted(expr.free_symbols, key=lambda s: self.order[s.name])]
        joined = "_".join(shortened(n) for n in plain)
        short = isinstance(expr, sp.Mul) and len(joined) <= 12 and set(expr.args) <= expr.free_symbols
        return str(self.name(expr, e.axes, joined if short else hint).name)

    def matmul(self, e: Apply) -> sp.Expr:
        left, right = (self.operand(a, f"{self.equation}_arg") for a in e.args)
        la, lb = (self.values[n].axes for n in (left, right))
        out = natural((*la[:-1], *lb[1:]))
        inner = fresh(la[-1], out)
        a = Ref(left, self.with_batch(left, (*out[: len(la) - 1], inner)))
        b = Ref(right, self.with_batch(right, (inner, *out[len(la) - 1 :])))
        return self.contract(f"{shortened(left)}_{shortened(right)}", (*la[:-1], *lb[1:]), (a, b), out)

    def with_batch(self, name: str, labels: Labels) -> Labels:
        return ((BATCH,) if self.values[name].batched else ()) + labels

    def transpose(self, e: Apply) -> sp.Expr:
        name = self.operand(e.args[0], f"{self.equation}_arg")
        if self.values[name].role == "identity":
            return self.touch(name)  # its own transpose
        out = natural(e.axes)
        a = Ref(name, self.with_batch(name, (out[1], out[0])))
        return self.contract(f"{shortened(name)}_T", e.axes, (a,), out)

    def total(self, expr: sp.Expr, axes: Axes, hint: str) -> sp.Symbol:
        """The sum of an expression over its last axis; a plain product of two values is one contraction."""
        factors = expr.args if isinstance(expr, sp.Mul) else (expr,)
        if isinstance(expr, sp.Pow) and expr.exp == 2:
            factors = (expr.base, expr.base)
        if not (all(isinstance(f, sp.Symbol) for f in factors) and len(factors) <= 2) or not self.cover(factors, axes):
            factors = (self.name(expr, axes, f"{hint}_arg"),)
        names = sorted((f.name for f in factors), key=lambda n: self.order[n])
        refs = tuple(Ref(n, self.aligned(n, axes)) for n in names)
        return self.contract(hint, axes[:-1], refs, natural(axes)[:-1])

    def cover(self, factors: tuple[sp.Symbol, ...], axes: Axes) -> bool:
        """Do the factors together have every axis of the expression?"""
        found = {x for f in factors for x in self.aligned(f.name, axes)}
        return found - {BATCH} == set(natural(axes))

    def hint(self, expr: sp.Expr, what: str) -> str:
        return f"{what}_{shortened(expr.name)}" if isinstance(expr, sp.Symbol) else f"{self.equation}_{what}"

    def sum_(self, e: Apply) -> sp.Expr:
        expr = self.expr(e.args[0])
        return self.total(expr, e.args[0].axes, self.hint(expr, "sum"))

    def size(self, axis: str) -> sp.Expr:
        return sp.Add(*(self.touch(part) for part in axis_parts(axis)))

    def mean(self, e: Apply) -> sp.Expr:
        return self.sum_(e) / self.size(e.args[0].axes[-1])

    def dot(self, e: Apply) -> sp.Expr:
        names = [self.operand(a, f"{self.equation}_arg{k}") for k, a in enumerate(e.args)]
        axes = e.args[0].axes
        refs = tuple(Ref(n, self.aligned(n, axes)) for n in names)
        return self.contract(f"{shortened(names[0])}_{shortened(names[1])}", (), refs, ())

    def outer(self, e: Apply) -> sp.Expr:
        """A product without a sum is pointwise; a repeated axis gets its second label here."""
        names = [self.operand(a, f"{self.equation}_arg{k}") for k, a in enumerate(e.args)]
        if names[0] == names[1]:
            names[1] = self.copy(names[0])
        labels = natural(e.axes)
        refs = tuple(Ref(n, self.with_batch(n, (labels[k],))) for k, n in enumerate(names))
        expr = refs[0].symbol * refs[1].symbol
        return self.emit(
            (expr, refs),
            f"{shortened(names[0])}_{shortened(names[1])}",
            e.axes,
            tuple(names),
            lambda out: Pointwise(out, expr, refs, self.equation),
        )

    def copy(self, name: str) -> str:
        """A second name for a value that meets itself along another axis."""
        ref = Ref(name, self.values[name].labels)
        axes = self.values[name].axes
        build = lambda out: Pointwise(out, ref.symbol, (ref,), self.equation)  # noqa: E731
        return str(self.emit(("copy", name), f"{shortened(name)}_again", axes, (name,), build).name)

    def along_axis(self, e: Apply) -> sp.Expr:
        """A function of a whole axis that has a rule of its own stays whole."""
        row, axes, expr = WHOLE_AXIS[e.op], e.args[0].axes, self.expr(e.args[0])
        hint = self.hint(expr, row.name)
        a = self.name(expr, axes, f"{self.equation}_arg")
        ref = Ref(a.name, self.aligned(a.name, axes))
        return self.emit((row, ref), hint, e.axes, (a.name,), lambda out: AlongAxis(out, (ref,), row, self.equation))

    def extreme(self, e: Apply) -> sp.Expr:
        """max or min over an axis: the one-hot of the best, times the values, summed."""
        axes = e.args[0].axes
        a = self.name(self.expr(e.args[0]), axes, f"{self.equation}_arg")
        return self.total(self.best(a, axes, e.op == "max") * a, axes, f"{e.op}_{shortened(a.name)}")

    def best(self, a: sp.Symbol, axes: Axes, largest: bool) -> sp.Symbol:
        ref = Ref(a.name, self.aligned(a.name, axes))
        hint = f"{shortened(a.name)}_{'argmax' if largest else 'argmin'}"
        return self.emit(
            (OneHot, a, largest), hint, axes, (a.name,), lambda out: OneHot(out, (ref,), largest, self.equation)
        )

    def concat(self, e: Apply) -> sp.Expr:
        names = [self.operand(a, f"{self.equation}_arg{k}") for k, a in enumerate(e.args)]
        refs = tuple(Ref(n, self.values[n].labels) for n in names)
        hint = "_".join(shortened(n) for n in names)
        return self.emit((Concat, refs), hint, e.axes, tuple(names), lambda out: Concat(out, refs, self.equation))

    def identity(self, e: Apply) -> sp.Expr:
        axis = e.axes[0]
        name = self.seen.get(("identity", axis))
        if name is None:
            name = self.seen["identity", axis] = self.unique(f"identity_{axis}")
            self.values[name] = Value(name, e.axes, False, False, "identity")
        return self.touch(name)


_STRUCTURES = {
    "@": _Lowering.matmul,
    ".T": _Lowering.transpose,
    "sum": _Lowering.sum_,
    "mean": _Lowering.mean,
    "dot": _Lowering.dot,
    "outer": _Lowering.outer,
    **{name: _Lowering.along_axis for name, row in WHOLE_AXIS.items() if row.rule is not None},
    "max": _Lowering.extreme,
    "min": _Lowering.extreme,
    "concat": _Lowering.concat,
    "identity": _Lowering.identity,
}


def _lagged(name: str, lag: int) -> str:
    return f"{name}_lag{lag}" if lag else name
