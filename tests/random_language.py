"""Random cells from the whole language: typed expressions drawn by a seed.

An expression is drawn for a shape: some production that yields this shape, its arguments drawn in turn. What a cell may
call is taken from the tables of `symrnn.functions`, so a new function is drawn without a word here.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from symrnn.functions.table import COMPARISONS, ELEMENTWISE
from symrnn.functions.whole_axis import WHOLE_AXIS
from symrnn.language.cell import Axes, axis_parts

REDUCTIONS = tuple(name for name, row in WHOLE_AXIS.items() if not row.keeps)
NORMALISATIONS = tuple(name for name, row in WHOLE_AXIS.items() if row.keeps)
BINARY = ("+", "-", "*", "/", "**")
AXES, INPUTS, STATES, VALUES = ("H", "I", "K", "N"), ("x", "u", "s"), ("h", "c", "m"), ("g", "r", "q", "y")
CONSTS = {"eps": "0.2", "rate": "-1.5"}
NUMBERS = ("0.5", "2", "0.1", "1", "3", "1.5")
LETTERS = "abWQ"  # parameters by rank, numbered
#: Names of parameters that generated code could take for its own: products, sums, adjoints, earlier values.
PARAMS = ("d", "W_x", "b_h", "h_prev", "c_next", "sum_x", "exp_g", "x_sum", "gamma", "size", "steps", "last", "h_pre")

#: Functions and operators that are not defined everywhere or grow fast, with forms in which they stay moderate.
POSITIVE = ("(1 + {}**2)", "exp(tanh({}))", "(0.5 + sigmoid({}))", "softplus({})", "(0.1 + abs({}))")
BOUNDED = ("tanh({})", "(-abs({}))", "sin({})")
TAMED = {"log": POSITIVE, "log1p": POSITIVE, "sqrt": POSITIVE, "exp": BOUNDED, "expm1": BOUNDED}


@dataclass(frozen=True)
class Term:
    """An expression of known shape; `form` has a {} for each argument, a leaf says which name it `reads`."""

    form: str
    axes: Axes
    args: tuple[Term, ...] = ()
    reads: str = ""

    def __str__(self) -> str:
        return self.form.format(*self.args)

    def walk(self) -> Iterator[Term]:
        yield self
        for arg in self.args:
            yield from arg.walk()


@dataclass(frozen=True)
class Draft:
    """A drawn cell; names that nobody reads, and parameters in `inferred`, are not declared."""

    inputs: dict[str, Axes]
    states: dict[str, Axes]
    params: dict[str, Axes]
    inferred: frozenset[str]
    equations: dict[str, Term]
    outputs: tuple[str, ...]

    @property
    def text(self) -> str:
        read = self.read
        lines = [f"input {_declared(n, a)}" for n, a in self.inputs.items() if n in read]
        lines += [f"state {_declared(n, a)}" for n, a in self.states.items()]
        lines += [f"output {', '.join(self.outputs)}"] if self.outputs else []
        lines += [f"const {n} = {number}" for n, number in CONSTS.items() if n in read]
        lines += [f"param {_declared(n, a)}" for n, a in self.params.items() if n in read - self.inferred]
        lines += [f"{name} = {_bare(term)}" for name, term in self.equations.items()]
        return "\n".join(lines) + "\n"

    @property
    def read(self) -> set[str]:
        return {t.reads for term in self.equations.values() for t in term.walk()}

    @property
    def size(self) -> tuple[int, int]:
        """What shrinking lessens: the number of parts, then the length."""
        terms = sum(1 for term in self.equations.values() for _ in term.walk())
        return terms + len(self.equations) + len(self.states) + len(self.outputs), len(self.text)


def _declared(name: str, axes: Axes) -> str:
    return f"{name}[{', '.join(axes)}]"


def _bare(term: Term) -> str:
    """Without the brackets around the whole."""
    return str(replace(term, form=term.form[1:-1]) if term.form.startswith("({") else term)


def draw(seed: int | str) -> Draft:
    """The cell of that seed; it reads an input."""
    rng = random.Random(seed)
    while True:
        draft = _Drawer(rng).draft()
        if draft.read & draft.inputs.keys():
            return draft


@dataclass
class _Drawer:
    """The names and shapes of one cell, planned first, and the expressions drawn for them."""

    rng: random.Random
    axes: list[str] = field(default_factory=list)
    inputs: dict[str, Axes] = field(default_factory=dict)
    states: dict[str, Axes] = field(default_factory=dict)
    values: dict[str, Axes] = field(default_factory=dict)
    params: dict[str, Axes] = field(default_factory=dict)
    inferred: set[str] = field(default_factory=set)
    clear: float = 0  # how probable it is that what surrounds a matrix says its shape
    done: dict[str, Term] = field(default_factory=dict)

    def draft(self) -> Draft:
        self.plan()
        names = [*self.states, *self.values]
        self.rng.shuffle(names)
        for name in names:
            self.clear = 0.45 if name in self.states else 0.05
            self.done[name] = self.equation(name)
        read = {t.reads for term in self.done.values() for t in term.walk()}
        outputs = tuple(n for n in names if self.chance(0.25) or (n in self.values and n not in read))
        outputs = outputs or (() if self.states else (names[-1],))
        inferred = frozenset(self.inferred) - self.only_holders(read)
        return Draft(self.inputs, self.states, self.params, inferred, self.done, outputs)

    def plan(self) -> None:
        self.axes = self.rng.sample(AXES, self.rng.choice((1, 2, 2, 2, 3, 3)))
        for known, names, most in ((self.inputs, INPUTS, 3), (self.states, STATES, 3), (self.values, VALUES, 4)):
            for name in names[: self.rng.randint(int(known is self.inputs), most)]:
                known[name] = self.shape()
        if not self.states and not self.values:
            self.values["y"] = self.shape()
        for name, axes in self.values.items():
            if axes and self.chance(0.12):
                self.values[name] = (*axes[:-1], self.joined_axis())

    def only_holders(self, read: set[str]) -> set[str]:
        """Parameters that must be declared, because no declaration names some axis of theirs."""
        known = {a for n, s in (self.inputs | self.states).items() if n in read or n in self.states for a in s}
        known |= {a for n, s in self.params.items() if n not in self.inferred for a in s}
        unknown = {n: {p for a in self.params[n] for p in axis_parts(a)} - known for n in self.inferred}
        return {n for n, axes in unknown.items() if axes}

    # -- choices -------------------------------------------------------------------------------------------

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def shape(self) -> Axes:
        return self.of_rank(self.rng.choices((0, 1, 2, 3), (3, 8, 5, 2))[0])

    def of_rank(self, rank: int) -> Axes:
        return tuple(self.rng.choice(self.axes) for _ in range(rank))

    def joined_axis(self) -> str:
        return "+".join(self.rng.choice(self.axes) for _ in range(self.rng.choice((2, 2, 3))))

    def inner_axis(self) -> str:
        return self.joined_axis() if self.chance(0.12) else self.rng.choice(self.axes)

    def smaller(self, axes: Axes) -> Axes:
        """These axes, or some of them that say clearly which are meant."""
        if self.chance(0.65):
            return axes
        return tuple(a for a in axes if axes.count(a) == 1 and self.chance(0.5))

    def together(self, count: int, axes: Axes) -> list[Axes]:
        """Shapes of that many arguments which broadcast to these axes."""
        shapes = [self.smaller(axes) for _ in range(count)]
        shapes[self.rng.randrange(count)] = axes
        return shapes

    # -- expressions ---------------------------------------------------------------------------------------

    def equation(self, name: str) -> Term:
        """A right side, most often bounded; a state often keeps some of its past, or is given a smaller value."""
        axes = (self.states | self.values)[name]
        if name in self.states and self.chance(0.1):
            axes = self.smaller(axes)
        term = self.expression(axes, self.rng.choice((0, 1, 2, 2, 3, 3)))
        if axes == self.states.get(name) and self.chance(0.4):
            past = Term(f"{name}[t-1]", axes, reads=name)
            term = Term(self.rng.choice(("({} + {})", "({} - {})", "({} + 0.5 * {})", "({} * {})")), axes, (term, past))
        return (
            self.wrapped(term, ("tanh({})", "sigmoid({})"))
            if self.chance(0.8 if name in self.states else 0.5)
            else term
        )

    def expression(self, axes: Axes, depth: int) -> Term:
        if depth <= 0 or self.chance(0.1):
            return self.leaf(axes)
        rank = len(axes)
        weights = {
            self.called: 5,
            self.where: 1,
            self.binary: 6,
            self.negative: 1,
            self.scaled: 2,
            self.reduced: (6, 3, 3, 0)[rank],
            self.normalised: 2 if rank else 0,
            self.product: 3 if rank < 3 else 0,
            self.affine: 2 if rank == 1 else 0,
            self.transposed: 3 if rank == 2 else 0,
            self.outer: 3 if rank == 2 else 0,
            self.identity: 1 if rank == 2 and axes[0] == axes[1] and axes[0] in self.axes else 0,
            self.dot: 2 if rank == 0 else 0,
            self.joined: 8 if rank == 1 and "+" in axes[0] else 0,
        }
        production = self.rng.choices(list(weights), list(weights.values()))[0]
        return production(axes, depth - 1)

    def called(self, axes: Axes, depth: int) -> Term:
        """An elementwise function of the table."""
        name = self.rng.choice(list(ELEMENTWISE))
        if name == "where":
            return self.where(axes, depth)
        shapes = self.together(ELEMENTWISE[name], axes)
        args = [self.expression(s, depth) for s in shapes]
        if name == "clip" and self.chance(0.7):
            return Term("clip({}, -0.5, 0.8)", axes, (self.expression(axes, depth),))
        if name in TAMED and self.chance(0.85):
            args = [self.wrapped(a, TAMED[name]) for a in args]
        return Term(f"{name}({', '.join('{}' for _ in args)})", axes, tuple(args))

    def where(self, axes: Axes, depth: int) -> Term:
        condition, *branches = self.together(3, axes)
        left, right = (self.expression(s, depth - 1) for s in self.together(2, condition))
        if str(left) == str(right):
            right = Term("0.1", ())
        comparison = Term(f"{{}} {self.rng.choice(list(COMPARISONS))} {{}}", condition, (left, right))
        return Term("where({}, {}, {})", axes, (comparison, *(self.expression(s, depth) for s in branches)))

    def wrapped(self, term: Term, forms: tuple[str, ...]) -> Term:
        return Term(self.rng.choice(forms), term.axes, (term,))

    def binary(self, axes: Axes, depth: int) -> Term:
        operator = self.rng.choice(BINARY)
        left, right = (self.expression(s, depth) for s in self.together(2, axes))
        if operator == "/" and self.chance(0.8):
            right = self.wrapped(right, POSITIVE)
        if operator == "**" and self.chance(0.6):
            return Term(f"({{}} ** {self.rng.choice(('2', '3', '2', '1'))})", axes, (self.expression(axes, depth),))
        if operator == "**" and self.chance(0.9):
            left, right = self.wrapped(left, POSITIVE), self.wrapped(right, BOUNDED)
        return Term(f"({{}} {operator} {{}})", axes, (left, right))

    def negative(self, axes: Axes, depth: int) -> Term:
        return Term("(-{})", axes, (self.expression(axes, depth),))

    def scaled(self, axes: Axes, depth: int) -> Term:
        """A number times the expression, or the expression by a number."""
        args = [self.number(), self.expression(axes, depth)]
        operator = self.rng.choice("*/")
        return Term(f"({{}} {operator} {{}})", axes, tuple(args if operator == "*" else args[::-1]))

    def reduced(self, axes: Axes, depth: int) -> Term:
        name = self.rng.choice(REDUCTIONS)
        return Term(f"{name}({{}})", axes, (self.whole_axis_of((*axes, self.inner_axis()), depth),))

    def normalised(self, axes: Axes, depth: int) -> Term:
        return Term(f"{self.rng.choice(NORMALISATIONS)}({{}})", axes, (self.whole_axis_of(axes, depth),))

    def whole_axis_of(self, axes: Axes, depth: int) -> Term:
        """What a function of the last axis is applied to; a transpose makes the first axis the last."""
        turned = len(axes) == 2 and self.chance(0.35)
        return self.transposed(axes, depth) if turned else self.expression(axes, depth)

    def product(self, axes: Axes, depth: int) -> Term:
        """Matrix by vector, vector by matrix, matrix by matrix; vector by vector for a scalar."""
        cut = 1 if len(axes) == 2 else int(len(axes) == 1 and self.chance(0.75))
        inner = self.inner_axis()
        left, right = (*axes[:cut], inner), (inner, *axes[cut:])
        fixed = len(left) == 2 and self.chance(0.6)
        first = self.parameter(left, matrix=True) if fixed else self.expression(left, depth)
        return Term("({} @ {})", axes, (first, self.expression(right, depth)))

    def affine(self, axes: Axes, depth: int) -> Term:
        """A product and a bias, as papers write it."""
        inner = self.inner_axis()
        args = (self.parameter((axes[0], inner), matrix=True), self.expression((inner,), depth))
        return Term("({} @ {} + {})", axes, (*args, self.parameter(axes, matrix=True)))

    def transposed(self, axes: Axes, depth: int) -> Term:
        return Term("{}.T", axes, (self.expression(axes[::-1], depth),))

    def outer(self, axes: Axes, depth: int) -> Term:
        return Term("outer({}, {})", axes, (self.expression(axes[:1], depth), self.expression(axes[1:], depth)))

    def identity(self, axes: Axes, depth: int) -> Term:
        return Term(f"identity({axes[0]})", axes)

    def dot(self, axes: Axes, depth: int) -> Term:
        axis = self.inner_axis()
        return Term("dot({}, {})", axes, (self.expression((axis,), depth), self.expression((axis,), depth)))

    def joined(self, axes: Axes, depth: int) -> Term:
        """A concatenation along its parts, or some of them joined already."""
        parts = axes[0].split("+")
        cut = self.rng.randrange(1, len(parts))
        groups = ["+".join(parts[:cut]), "+".join(parts[cut:])] if self.chance(0.3) else parts
        forms = ", ".join("{}" for _ in groups)
        return Term(f"concat({forms})", axes, tuple(self.expression((g,), depth) for g in groups))

    # -- leaves --------------------------------------------------------------------------------------------

    def leaf(self, axes: Axes) -> Term:
        if not axes and self.chance(0.5):
            return self.number()
        known = self.readable(axes)
        if known and self.chance(0.85):
            return self.rng.choice(known)
        if len(axes) == 1 and "+" in axes[0] and self.chance(0.9):
            return self.joined(axes, 0)
        if len(axes) in (1, 2) and self.chance(0.4):
            return self.product(axes, 0) if len(axes) == 1 else self.outer(axes, 0)
        return self.parameter(axes)

    def readable(self, axes: Axes) -> list[Term]:
        """This step's and earlier values of these axes; what nobody has read yet stands there more often."""
        read = {t.reads for term in self.done.values() for t in term.walk()}
        shaped = {n: a for n, a in self.values.items() if n in self.done or self.chance(0.03)}
        known = self.inputs | self.states | shaped
        terms = []
        for name in (n for n, a in known.items() if a == axes):
            if name in self.inputs or name in self.done:
                terms += [Term(name, axes, reads=name)] * (2 if name in read else 6)
            delay = self.rng.choices((1, 2, 3), (6, 2, 1))[0]
            terms += [Term(f"{name}[t-{delay}]", axes, reads=name)] * 2
        return terms

    def number(self) -> Term:
        name = self.rng.choice(("t", "(1 + t)", self.rng.choice(self.axes), *CONSTS, *NUMBERS))
        return Term(name, (), reads=name if name in CONSTS else "")

    def parameter(self, axes: Axes, matrix: bool = False) -> Term:
        """One that is there already, or a new one."""
        same = [n for n, a in self.params.items() if a == axes]
        if same and self.chance(0.4):
            name = self.rng.choice(same)
        else:
            named = self.rng.choice(PARAMS)
            numbered = f"{LETTERS[len(axes)]}{len(self.params)}"
            name = named if named not in self.params and self.chance(0.3) else numbered
            self.params[name] = axes
            if self.chance(self.clear if matrix else 0.02):
                self.inferred.add(name)
        return Term(name, axes, reads=name)
