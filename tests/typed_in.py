"""Somebody who types in the formulas of a page: its LaTeX alone is read, and evaluated with numbers.

It knows nothing of the cell and of its derivation. Where a product has no meaning by the shapes that the page prints,
or a name stands nowhere, it asks (`Unclear`) and guesses nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import pi

import numpy as np
from named_axes import ALGEBRA, ANY, EYE, OPERATIONS, Array, Unclear, Value, call, componentwise

from symrnn.pages.phrases import table

At = tuple[str, int | None]  # a name, and a step if it has one
SECTIONS = ("forward", "local", "recursion", "gradients")
TITLES = {table("en")[f"title.{section}"]: section for section in ("symbols", *SECTIONS)}

# -- the page ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Symbol:
    """A row of the table of symbols; a constant has a value in place of axes."""

    key: str
    name: str
    axes: tuple[str, ...]
    value: float | None = None


@dataclass(frozen=True)
class Row:
    """One displayed equation: a value, or the gradient by one."""

    section: str
    gradient: bool
    of: Node
    right: Node

    @property
    def timed(self) -> bool:
        """Is it computed at every step, or once for all?"""
        return "t" in self.of.parts


@dataclass(frozen=True)
class Page:
    """What is taken from a page: symbols by their spelling without time, formulas, and what functions are."""

    symbols: dict[str, Symbol]
    rows: tuple[Row, ...]
    functions: dict[str, tuple[str, Node]]


def page(text: str) -> Page:
    """What the LaTeX of a document prints."""
    parts = re.split(r"\\section\*?\{(.+?)\}", text)
    sections = {TITLES[title]: body for title, body in zip(parts[1::2], parts[2::2], strict=True) if title in TITLES}
    symbols = {s.key: s for line in re.findall(r"^\$.*\\\\$", sections["symbols"], re.M) for s in listed(line)}
    explained = re.findall(r"\$(\\\w+(?:\{\w+\})?)\((a(?:,\\, [bc])*)\)\$ is \$(.*?)\$", text)
    functions = {name: (re.sub("[^abc]", "", letters), tree(body)) for name, letters, body in explained}
    rows = [(name, tree(a), tree(b)) for name in SECTIONS for a, b in displayed(sections.get(name, ""))]
    values = (Row(name, False, a, b) for name, a, b in rows if a.op == "symbol")
    gradients = (Row(name, True, a.args[0], b) for name, a, b in rows if a.op == "gradient")
    return Page(symbols, (*values, *gradients), functions)


def listed(line: str) -> Iterator[Symbol]:
    """The symbols of one row of the table: several if it has a star, one for each name beside it."""
    spelled, names, role, shape = (cell.strip() for cell in line.split("&")[:4])
    for name in names.removeprefix("\\texttt{").removesuffix("}").replace("\\_", "_").split(", "):
        formula = re.findall(r"\$(.*?)\$", spelled)[0]
        for index, part in zip(name.split("_")[1:], tree(formula).parts, strict=False):
            formula = substituted(formula, spelled_index(index.removeprefix(part.partition("\\star")[0])))
        symbol = tree(formula)
        if symbol.op == "symbol":  # and not t - 1
            key = spelt(symbol, tuple(p for p in symbol.parts if p != "t"))
            axes = () if role == "constant" or shape == "1" else tuple(re.sub(r"\$\\times\$", " ", shape).split())
            yield Symbol(key, name, axes, float(shape) if role == "constant" else None)


def displayed(section: str) -> Iterator[tuple[str, str]]:
    """Left and right sides of what is to be typed in; what explains it, in Jacobians or as other sums, is not."""
    explains = r"\\prod|\\underbrace|\\frac\{(?:\\partial|\\mathrm\{d\})(?!\s*L(?![a-zA-Z]))|\\sum_\{(?!t = 1\})\w+ ="
    for _, body in re.findall(r"\\begin\{((?:align|equation|gather)\*?)\}(.*?)\\end\{\1\}", section, re.S):
        body = re.sub(r"\\(?:label|tag)\*?\{[^}]*\}|\\(?:notag|nonumber)\b", "", body)
        body = re.sub(r"\\\\(\[[^]]*\])?\s*\n\s*&\s*\\qquad", " ", body)  # a line that goes on
        for line in (x for whole in re.split(r"\\\\(?:\[[^]]*\])?\s*\n", body) for x in starred(whole)):
            left, _, right = line.replace("&=", "=", 1).partition("=")
            right = re.split(r"\\q+uad|&+\s*\\text\{by|\\text\{by|&&", right)[0]
            if not re.search(explains, left + right) and "\\partial L_{" not in left:
                yield left, right


def starred(line: str) -> Iterator[str]:
    r"""What a line stands for: itself, or one line for each of the letters of which it says that \star is one."""
    says = r"(?:\\q?quad\s*)?\\star\s*(?:\\in|=)\s*\\\{(.*?)\\\}"
    letters = re.search(says, line)
    for one in re.split(r",(?:\\,)?\s*", letters[1]) if letters else [""]:
        yield substituted(re.sub(says, "", line), one)


def substituted(line: str, index: str) -> str:
    return re.sub(r"\\star(?![a-zA-Z])", lambda _: f" {index}", line)


def spelled_index(name: str) -> str:
    """An index of a name in a cell file, as pages spell it."""
    greek = re.fullmatch("alpha|beta|gamma|delta|epsilon|lambda|mu|nu|phi|psi|theta", name)
    return f"\\{name}" if greek else name if len(name) < 3 else f"\\mathrm{{{name}}}"


# -- reading a formula -------------------------------------------------------------------------------------

TOKEN = re.compile(
    r"\\(?:operatorname|text|mathrm|begin|end|mathbf)\{[^}]*\}|\\[a-zA-Z]+|\\.|\d+(?:\.\d+)?(?:e[+-]?\d+)?|\S"
)
SPACE = re.compile(r"\\(?:[Bb]igg?[lr]?|left|right)(?![a-zA-Z])|\\[!;:]")
SPELLED = re.compile(r"[a-zA-Z]|\\(?:(?:mathrm|operatorname)\{.*|(?!odot|cdot|top|ge|le|partial)[a-zA-Z]+)$")


@dataclass(frozen=True)
class Node:
    """A formula: an operation, what it is applied to, and words that belong to it."""

    op: str
    args: tuple[Node, ...] = ()
    text: str = ""
    parts: tuple[str, ...] = ()


def spelt(symbol: Node, parts: tuple[str, ...]) -> str:
    return symbol.text + (f"_{{{','.join(parts)}}}" if parts else "")


def tree(text: str) -> Node:
    """The formula that LaTeX spells."""
    reader = Reader(text)
    found = reader.sum()
    if reader.ahead:
        raise Unclear(f"what is {reader.ahead!r} in {text}")
    return found


class Reader:
    """Reads from left to right. A product is a ⊙ or a thin space; a bracket right behind a name holds arguments."""

    def __init__(self, text: str) -> None:
        plain = SPACE.sub(" ", re.sub(r"([,;])\s*\\,", r"\1", text))
        self.text, self.tokens = text, TOKEN.findall(plain.replace("\\mathbf 1", "\\mathbf{1}"))

    @property
    def ahead(self) -> str:
        return self.tokens[0] if self.tokens else ""

    def take(self, *wanted: str) -> str:
        token = ""
        for want in wanted or ("",):
            if not self.tokens or (want and self.ahead != want):
                raise Unclear(f"{want or 'more'} is missing in {self.text}")
            token = self.tokens.pop(0)
        return token

    def skip(self, wanted: str) -> bool:
        return self.ahead == wanted and bool(self.take())

    def sum(self) -> Node:
        first = Node("minus", (self.term(),)) if self.skip("-") else self.term()
        return self.chain(first, self.term, "+", "-")

    def term(self) -> Node:
        return self.chain(self.product(), self.product, "\\odot")

    def product(self) -> Node:
        return self.chain(self.power(), self.power, "\\,")

    def chain(self, found: Node, operand: Callable[[], Node], *signs: str) -> Node:
        while self.ahead in signs:
            found = Node(self.take(), (found, operand()))
        return found

    def power(self) -> Node:
        found = self.single()
        while self.ahead in ("^", "_"):
            if self.take() == "_":
                found = Node("part", (found,), self.raw())
            elif self.tokens[:2] == ["{", "\\top"]:
                self.take("{", "\\top", "}")
                found = Node("transpose", (found,))
            else:
                found = Node("^", (found, self.single()))
        return found

    def raw(self) -> str:
        """What stands in braces, as it is spelled."""
        self.take("{")
        depth, inside = 1, ""
        while depth:
            token = self.take()
            depth += (token == "{") - (token == "}")
            inside += token if depth else ""
        return inside

    def list(self, separator: str, by: str) -> tuple[Node, ...]:
        found = [self.sum()]
        while self.skip(separator):
            found.append(self.sum())
        self.take(by)
        return tuple(found)

    def comparison(self) -> Node:
        left, sign = self.sum(), self.take()
        return Node(sign, (left, self.sum()))

    def single(self) -> Node:
        token = self.take()
        match token:
            case "(" | "{":
                return self.list(",", ")" if token == "(" else "}")[0]
            case "|" | "\\lVert":
                return Node("call", self.list(",", token.replace("l", "r")), token)
            case "[":
                parts = self.list(";", "]")
                return parts[0] if len(parts) == 1 else Node("concat", parts)
            case "\\langle":
                return Node(token, self.list(",", "\\rangle"))
            case "\\sqrt":
                return Node("call", (self.single(),), token)
            case "\\frac" if self.tokens[:2] == ["{", "\\partial"]:
                above = self.raw()
                self.take("{", "\\partial")
                by = self.list(",", "}")
                return Node("gradient" if above == "\\partialL" else "loss", by)
            case "\\frac":
                return Node(token, (self.single(), self.single()))
            case "\\mathbf{1}" if self.skip("_"):
                self.take("{", "[")
                condition = self.comparison()
                self.take("]", "}")
                return condition
            case "\\mathbf{1}":
                return Node("ones")
            case "\\begin{cases}":
                return self.cases()
            case "\\sum":
                self.take("_")
                over = self.raw()
                if self.skip("^"):
                    self.raw()
                return Node("over steps" if over == "t=1" else "over indices", (self.term(),), over)
            case "\\delta" if SPELLED.match(self.ahead):
                return Node("gradient", (self.symbol(self.take()),))
        return Node("number", text=token) if token[0].isdigit() else self.symbol(token)

    def cases(self) -> Node:
        """A value, its condition, …, and a value for all else."""
        found: list[Node] = []
        while not self.skip("\\end{cases}"):
            found.append(self.sum())
            self.take("&")
            if self.take().startswith("\\text{if"):
                found.append(self.comparison())
            self.skip("\\\\")
        return Node("cases", tuple(found))

    def symbol(self, token: str) -> Node:
        if not SPELLED.match(token):
            raise Unclear(f"what is {token!r} in {self.text}")
        base = f"{token}{{{self.raw()}}}" if token in ("\\bar", "\\hat") else token
        if self.skip("("):
            return Node("call", self.list(",", ")"), base)
        if token.startswith("\\operatorname") and self.skip("\\,"):
            return Node("call", (self.power(),), base)
        parts = tuple(self.raw().split(",")) if self.skip("_") else ()
        if self.tokens[:3] == ["^", "{", "("]:
            self.take("^")
            base += f"^{{{self.raw()}}}"
        return Node("symbol", (), base, parts)


# -- the formulas of a page, typed in ----------------------------------------------------------------------


def look(table: Mapping[At, Value], at: At, what: str) -> Value:
    if at not in table:
        raise Unclear(f"{what} {at[0]} of step {at[1]} is not known where it is read")
    return table[at]


@dataclass
class Run:
    """One sequence, computed as the page says. Steps after T are computed too, from inputs of their own."""

    page: Page
    sizes: Mapping[str, int]
    steps: int
    values: dict[At, Value]
    seeds: dict[At, Value]
    t: int | None = None
    gradients: dict[At, Value] = field(default_factory=dict)
    letters: dict[str, str] = field(default_factory=dict)  # the axis along which an index runs
    arguments: dict[str, Value] = field(default_factory=dict)  # of a function that the page explains

    def type_in(self, rows: list[Row], t: int | None) -> None:
        """Compute rows in their order, at one step or once for all."""
        self.t = t
        for row in rows:
            name, step = self.at(row.of)
            found = self.worth(row.right)
            known = self.page.symbols[name].axes if name in self.page.symbols else found.axes
            if found.axes != known:  # a number stands for as many as are wanted
                zeros = Value(np.zeros([self.size(x) for x in known]), known)
                found = componentwise(np.add, zeros, found)
            if found.axes != known or found.kind:
                raise Unclear(f"{name} has axes {known}, and its formula {found.axes} {found.kind}")
            (self.gradients if row.gradient else self.values)[name, step] = found

    def size(self, axis: str) -> int:
        return sum(self.sizes[x] for x in axis.split("+"))

    def at(self, symbol: Node) -> At:
        """Name and step of a symbol: the last of its indices is the step, unless the page has a name with them all."""
        whole = spelt(symbol, symbol.parts)
        last = re.fullmatch(r"(t?)([+-]?\d+)?", symbol.parts[-1]) if symbol.parts else None
        if not last or whole in self.page.symbols:
            return whole, None
        if last[1] and self.t is None:
            raise Unclear(f"{whole} stands where there is no t")
        return spelt(symbol, symbol.parts[:-1]), int(last[2] or 0) + (self.t or 0 if last[1] else 0)

    def symbol(self, symbol: Node) -> Value:
        if symbol.text in self.arguments:
            return self.arguments[symbol.text]
        name, t = self.at(symbol)
        if name not in self.page.symbols and t is None:
            if name == "I":
                return Value(np.ones(1), EYE)
            numbers = {**self.sizes, "\\pi": pi} | ({} if self.t is None else {"t": self.t})
            if name in numbers:
                return Value(np.array(float(numbers[name])))
        return look(self.values, (name, t), "the value")

    def gradient(self, symbol: Node) -> Value:
        name, t = self.at(symbol)
        if t is None or t <= self.steps:
            return look(self.gradients, (name, t), "the gradient by")
        like = look(self.values, (name, 1), "the value")
        return replace(like, array=np.zeros_like(like.array))

    def worth(self, node: Node) -> Value:
        """The value of a formula at the current step."""
        match node.op:
            case "number":
                return Value(np.array(float(node.text)))
            case "symbol":
                return self.symbol(node)
            case "gradient":
                return self.gradient(node.args[0])
            case "loss":
                return look(self.seeds, self.at(node.args[0]), "the loss by")
            case "ones":
                return Value(np.ones(1), (ANY,))
            case "over steps":
                return self.over_steps(node.args[0])
        args = [self.worth(a) for a in node.args]
        match node.op:
            case "call":
                return self.call(node.text, args)
            case "part":
                return self.part(args[0], node.text)
            case "over indices":
                array = args[0].array.sum(tuple(args[0].axes.index(x) for x in node.text))
                return Value(array, tuple(x for x in args[0].axes if x not in node.text), "each")
        if node.op in ALGEBRA:
            return ALGEBRA[node.op](*args)
        return componentwise(OPERATIONS[node.op], *args)

    def over_steps(self, summand: Node) -> Value:
        before, found = self.t, []
        for t in range(1, self.steps + 1):
            self.t = t
            found.append(self.worth(summand))
        self.t = before
        return replace(found[0], array=np.sum([v.array for v in found], axis=0))

    def call(self, name: str, args: list[Value]) -> Value:
        if name not in self.page.functions:
            return call(name, args)
        letters, body = self.page.functions[name]
        before = self.arguments
        self.arguments = {x: replace(v, kind="each") for x, v in zip(letters, args, strict=True)}
        result, self.arguments = self.worth(body), before
        return replace(result, kind=args[0].kind)

    def part(self, value: Value, text: str) -> Value:
        """A bracket with an axis, whose part is cut out, or with the indices of its components."""
        axis, _, number = text.partition(",")
        if axis in self.sizes:
            along = next(k for k, x in enumerate(value.axes) if "+" in x)
            parts = value.axes[along].split("+")
            place = [k for k, x in enumerate(parts) if x == axis][int(number or 1) - 1]
            start = sum(self.sizes[x] for x in parts[:place])
            cut = np.take(value.array, range(start, start + self.sizes[axis]), along)
            return replace(value, array=cut, axes=(*value.axes[:along], axis, *value.axes[along + 1 :]))
        if len(axis) != len(value.axes):
            raise Unclear(f"{len(axis)} indices {axis} for {value.axes}")
        if value.kind == "each":
            array = value.array.transpose([value.axes.index(i) for i in axis])
            return Value(array, tuple(self.letters[i] for i in axis))
        self.letters |= {i: x for i, x in zip(axis, value.axes, strict=True) if x != ANY}
        return Value(value.array, tuple(ANY if x == ANY else i for i, x in zip(axis, value.axes, strict=True)), "each")


def type_in(
    page: Page, sizes: Mapping[str, int], steps: int, given: Mapping[At, Array], seeds: Mapping[At, Array]
) -> dict[At, Array]:
    """Gradients by name and step, from values that are given and ∂Lₜ by outputs, in the same form."""
    known = {s.name: s for s in page.symbols.values()}
    values, outer = ({(known[n].key, t): Value(a, known[n].axes) for (n, t), a in x.items()} for x in (given, seeds))
    values |= {(s.key, None): Value(np.array(s.value)) for s in known.values() if s.value is not None}
    run = Run(page, sizes, steps, values, outer)
    forward = [r for r in page.rows if not r.gradient]
    run.type_in([r for r in forward if not r.timed], None)
    for t in range(1, max(t or 0 for _, t in given) + 1):
        run.type_in([r for r in forward if r.timed], t)
    for section in ("recursion", "gradients"):
        rows = [r for r in page.rows if r.gradient and r.section == section]
        for t in range(steps, 0, -1):
            run.type_in([r for r in rows if r.timed], t)
        run.type_in([r for r in rows if not r.timed], None)
    names = {s.key: s.name for s in known.values()}
    return {(names.get(k, k), t): v.array for (k, t), v in run.gradients.items()}
