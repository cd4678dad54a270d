"""Text → Draft: the only door for text. Python's ``ast`` walked with a whitelist; nothing is ever executed."""

from __future__ import annotations

import ast
import io
import math
import re
import tokenize
from dataclasses import dataclass

from symrnn.errors import CellError, Place
from symrnn.functions.calls import STRUCTURAL, arities
from symrnn.functions.table import COMPARISONS, ELEMENTWISE
from symrnn.language.bounds import MAX_AXES, MAX_DELAY, MAX_DEPTH, MAX_TOKENS, refuse_unreadable
from symrnn.language.cell import Apply, Axes, Equation, Expr, Name, Number
from symrnn.language.draft import Declaration, Draft
from symrnn.language.hints import (
    EXTENDS,
    LEFT_AND_RIGHT,
    block,
    indexed,
    miscalled,
    neither,
    refused,
    slip,
    unbalanced,
    unknown_function,
)
from symrnn.language.notation import code_lines, foreign, named_outside_brackets
from symrnn.language.proposals import free_axes
from symrnn.language.reserved import KEYWORDS, refused_definition, refused_name

STARTS = ("zeros", "ones", "identity", "orthogonal", "glorot", "uniform")
BARE = {
    "const": "A const is a number: it takes no [axes].",
    "output": "An output takes no [axes]: its equation says them.",
}
START_OF_STATE = "Where a state starts is said to forward(), when the code runs."
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z")
_OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Pow: "**",
    ast.MatMult: "@",
    ast.Gt: ">",
    ast.Lt: "<",
    ast.GtE: ">=",
    ast.LtE: "<=",
}


@dataclass(frozen=True)
class _Line:
    """One logical line: its tokens, its source text and the comment at its end."""

    tokens: tuple[tokenize.TokenInfo, ...]
    comment: str


def read(text: str, name: str, source: str) -> Draft:
    """Parse a cell file's text into a Draft; raises CellError with the place of the first mistake."""
    return _Reader(text, name, source).read()


def _bound(expr: Expr) -> float | None:
    """The number that a literal, perhaps a negative one, stands for."""
    match expr:
        case Number():
            return float(expr.text)
        case Apply(op="neg", args=(Number() as number,)):
            return -float(number.text)
    return None


class _Reader:
    def __init__(self, text: str, name: str, source: str) -> None:
        self.text, self.source = text.removeprefix("\ufeff").replace("\r\n", "\n"), source
        self.lines = self.text.split("\n")
        self.draft = Draft(name, source, self.place(1, 0))

    def place(self, line: int, column: int, width: int = 1) -> Place:
        """`line` from 1, `column` from 0 (characters)."""
        text = self.lines[line - 1] if line <= len(self.lines) else ""
        return Place(self.source, line, column + 1, min(width, max(1, len(text) - column)), text)

    def fail(self, kind: str, place: Place, wrong: str, advice: str = "") -> CellError:
        return CellError(kind, place, wrong, advice)

    # -- lines ---------------------------------------------------------------------------------------------

    def read(self) -> Draft:
        refuse_unreadable(self.lines, self.source)
        self.refuse_foreign_notation()
        for number, line in enumerate(self.logical_lines()):
            first = line.tokens[0]
            if first.type == tokenize.STRING:
                self.read_title(line, number)
            elif self.is_declaration(line):
                self.read_declaration(line)
            else:
                self.read_equation(line)
        return self.draft

    def refuse_foreign_notation(self) -> None:
        for number, code in code_lines(self.lines):
            found = foreign(code)
            if found:
                raise self.fail(found.kind, self.place(number, found.column, found.width), found.wrong, found.advice)

    def logical_lines(self) -> list[_Line]:
        lines: list[_Line] = []
        current: list[tokenize.TokenInfo] = []
        comment = ""
        for token in self.tokens():
            if token.type == tokenize.COMMENT:
                comment = token.string.lstrip("#").strip() if current else ""
            elif token.type in (tokenize.NEWLINE, tokenize.ENDMARKER):
                if current:
                    lines.append(_Line(tuple(current), comment))
                current, comment = [], ""
            elif token.type == tokenize.INDENT:
                raise self.indented(lines[-1:], token)
            elif token.type not in (tokenize.NL, tokenize.DEDENT):
                self.check_token(token)
                if token.type == tokenize.ERRORTOKEN:
                    continue
                current.append(token)
        return lines

    def indented(self, before: list[_Line], indent: tokenize.TokenInfo) -> CellError:
        words = [t.string for line in before for t in line.tokens]
        if words[-1:] == [":"]:
            first = before[0].tokens[0]
            return self.fail("syntax", self.place(*first.start, len(first.string)), *block(words))
        goes_on = indent.line.strip().startswith(LEFT_AND_RIGHT)
        advice = "Put brackets around an expression that goes on in the next line." if goes_on else ""
        return self.fail("syntax", self.place(*indent.end), "Lines must not be indented.", advice)

    def tokens(self) -> list[tokenize.TokenInfo]:
        try:
            return list(tokenize.generate_tokens(io.StringIO(self.text).readline))
        except tokenize.TokenError as error:
            line, column, wrong = unbalanced(self.lines) or (error.args[1][0], 0, "This string is never closed.")
            raise self.fail("syntax", self.place(min(line, len(self.lines)), column), wrong) from None
        except (SyntaxError, ValueError) as error:
            line = min(getattr(error, "lineno", None) or 1, len(self.lines))
            raise self.fail("syntax", self.place(line, 0), "This line cannot be read.") from None

    def check_token(self, token: tokenize.TokenInfo) -> None:
        place = self.place(*token.start, len(token.string))
        if token.type == tokenize.ERRORTOKEN and not token.string.isspace():
            raise self.fail("syntax", place, f"{token.string!r} has no meaning here.")
        if token.type == tokenize.OP and token.string == ";":
            raise self.fail("syntax", place, "; has no meaning here: one equation per line, and commas between names.")
        if token.type == tokenize.NUMBER and not _NUMBER.match(token.string):
            raise self.fail("syntax", place, f"{token.string} is not a plain decimal number.")
        if token.type == tokenize.NUMBER:
            self.check_number(token.string, place)
        if token.type == tokenize.NAME and not _IDENTIFIER.match(token.string):
            advice = "Names are ASCII letters, digits and underscores, and start with a letter."
            raise self.fail("name", place, f"{token.string!r} is not a name.", advice)

    def check_number(self, text: str, place: Place) -> None:
        """Numbers are those of float64: neither infinite nor so small that they vanish."""
        value = float(text)
        if math.isinf(value) or (value == 0 and text.strip("0.eE+-")[:1].isdigit() and text[0] != "0"):
            raise self.fail("number", place, f"{text[:40]} is out of the range of float64.")
        if len(text) > 60:
            raise self.fail("number", place, "This number has more than 60 digits.")

    def read_title(self, line: _Line, number: int) -> None:
        token = line.tokens[0]
        if number or len(line.tokens) > 1:
            raise self.fail("syntax", self.place(*token.start), "A string may only stand alone at the top of the file.")
        opening = re.match(r"[rR]?(\"\"\"|'''|\"|')", token.string)
        if opening is None:
            raise self.fail("syntax", self.place(*token.start), "The docstring must be a plain string.")
        self.draft.title = token.string[opening.end() : -len(opening[1])].strip()  # a backslash is a backslash

    # -- declarations --------------------------------------------------------------------------------------

    def is_declaration(self, line: _Line) -> bool:
        first, *rest = line.tokens
        return first.string in KEYWORDS and bool(rest) and rest[0].type == tokenize.NAME

    def read_declaration(self, line: _Line) -> None:
        kind, rest = line.tokens[0].string, list(line.tokens[1:])
        if kind == "extends":
            self.read_extends(line)
            return
        while rest:
            rest = self.read_declared(kind, rest, line.comment)

    def read_extends(self, line: _Line) -> None:
        name = line.tokens[1]
        place = self.place(*line.tokens[0].start, name.end[1] - line.tokens[0].start[1])
        if len(line.tokens) != 2:
            raise self.fail("syntax", place, *EXTENDS)
        if self.draft.extends or self.draft.equations or self.draft.declarations:
            raise self.fail("syntax", place, "extends may stand once, before every declaration and equation.")
        self.draft.extends, self.draft.extends_place = name.string, place

    def read_declared(self, kind: str, tokens: list[tokenize.TokenInfo], meaning: str) -> list[tokenize.TokenInfo]:
        """Take ``name[axes] = start`` and the comma after it off the front; return the rest."""
        name = tokens[0]
        place = self.place(*name.start, len(name.string))
        if name.type != tokenize.NAME:
            raise self.fail("syntax", place, f"After {kind} a name is expected, not {name.string!r}.")
        self.check_identifier(name.string, place)
        cut = self.end_of_item(tokens)
        item, rest = tokens[1:cut], tokens[cut + 1 :]
        start = ""
        equals = next((k for k, t in enumerate(item) if t.string == "="), len(item))
        if equals < len(item):
            start = self.read_start(kind, place, item[equals + 1 :])
        axes = self.read_axes(kind, place, item[:equals])
        self.draft.declarations.append(Declaration(kind, name.string, axes, start, meaning, place))
        return rest

    def end_of_item(self, tokens: list[tokenize.TokenInfo]) -> int:
        depth = 0
        for k, token in enumerate(tokens):
            depth += (token.string in "[(") - (token.string in "])")
            if token.string == "," and depth == 0:
                if k + 1 == len(tokens):
                    raise self.fail("syntax", self.place(*token.start), "Nothing follows this comma.")
                return k
        return len(tokens)

    def read_axes(self, kind: str, place: Place, item: list[tokenize.TokenInfo]) -> Axes:
        if kind in ("const", "output"):
            if item:
                raise self.fail("syntax", place, BARE[kind])
            return ()
        words = [t.string for t in item]
        scalar = f"{kind} {place.text[place.column - 1 : place.column - 1 + place.width]}"
        example = f"{scalar}[{next(free_axes(named_outside_brackets(self.lines)))}]"
        if len(words) < 2 or words[0] != "[" or words[-1] != "]":
            article = "An" if kind == "input" else "A"
            wrong = f"{article} {kind} is declared with its axes, like {example}, or {scalar}[] for a scalar."
            raise self.fail("syntax", place, wrong)
        if any(t.type == tokenize.NUMBER for t in item):
            wrong = f"An axis is a name, like {example}; its length is known when the code runs."
            raise self.fail("syntax", place, wrong)
        parts, between, count = words[1:-1:2], words[2:-1:2], len(words) - 2
        named = all(_IDENTIFIER.match(part) for part in parts) and set(between) <= {",", "+"}
        if not named or (count and count % 2 == 0):
            raise self.fail("syntax", place, f"Axes are names separated by commas, like {example}.")
        if kind != "param" and "+" in between:
            raise self.fail("syntax", place, f"Only a param may be as long as two axes together, and not {kind}s.")
        if len(parts) > MAX_AXES:
            raise self.fail("size", place, f"A value has at most {MAX_AXES} axes.")
        for part in parts:
            self.check_identifier(part, place)
        if {"T", "B"} & set(parts):
            raise self.fail("reserved", place, "T and B are the axes of time and batch, which every value has anyway.")
        if {"seed", "dtype"} & set(parts):
            raise self.fail("reserved", place, "seed and dtype are arguments of init, beside the lengths of the axes.")
        return tuple("".join(words[1:-1]).split(",")) if parts else ()

    def read_start(self, kind: str, place: Place, item: list[tokenize.TokenInfo]) -> str:
        text = "".join(t.string for t in item)
        if kind == "const" and _NUMBER.match(text.lstrip("+-")) and len(text) - len(text.lstrip("+-")) < 2:
            return text
        if kind == "param" and (text in STARTS or _NUMBER.match(text.lstrip("-"))):
            return text
        if kind == "const":
            raise self.fail("syntax", place, f"A const is a number, not {text!r}.", "Example: const eps = 1e-5.")
        if kind == "param":
            raise self.fail(
                "syntax", place, f"A parameter starts as a number or one of {', '.join(STARTS)}, not {text!r}."
            )
        if kind == "output":
            raise self.fail(
                "syntax", place, "An output is only named here.", "Write its equation on a line of its own."
            )
        raise self.fail("syntax", place, f"Only a param or a const starts at a value, not {kind}.", START_OF_STATE)

    def check_identifier(self, name: str, place: Place) -> None:
        if wrong := refused_definition(name):
            raise self.fail("reserved", place, *wrong)

    def check_spelling(self, name: str, place: Place) -> None:
        if wrong := refused_name(name):
            raise self.fail("reserved", place, *wrong)

    # -- equations -----------------------------------------------------------------------------------------

    def read_equation(self, line: _Line) -> None:
        first, last = line.tokens[0], line.tokens[-1]
        place = self.place(*first.start, len(first.string))
        if (
            len(line.tokens) > 1
            and first.type == tokenize.NAME
            and line.tokens[1].string in ("==", "+=", "-=", "*=", ":=")
        ):
            raise self.fail("syntax", place, f"An equation is written with =, not {line.tokens[1].string}.")
        self.check_depth(line)
        if len(line.tokens) < 2 or line.tokens[1].string != "=" or first.type != tokenize.NAME:
            raise self.fail("syntax", place, *neither([t.string for t in line.tokens], KEYWORDS))
        self.check_identifier(first.string, place)
        if len(line.tokens) == 2:
            raise self.fail("syntax", place, f"Nothing stands on the right of {first.string} =.")
        node = self.parse_python(line)
        text = " ".join(self.source_text(line.tokens[0], last).split())
        self.draft.equations.append(Equation(first.string, self.expression(node), text, line.comment, place))

    def check_depth(self, line: _Line) -> None:
        depth, signs = 0, 0
        for token in line.tokens:
            depth += (token.string in "[(") - (token.string in "])")
            signs = signs + 1 if token.string in ("-", "+") else 0
            if depth > MAX_DEPTH or signs > MAX_DEPTH:
                raise self.fail("syntax", self.place(*token.start), "This expression is nested too deeply.")
        if len(line.tokens) > MAX_TOKENS:
            raise self.fail("size", self.place(*line.tokens[0].start), "This equation is too long: name its parts.")

    def source_text(self, first: tokenize.TokenInfo, last: tokenize.TokenInfo) -> str:
        if first.start[0] == last.end[0]:
            return self.lines[first.start[0] - 1][first.start[1] : last.end[1]]
        lines = self.lines[first.start[0] - 1 : last.end[0]]
        return " ".join(line.split("#")[0].rstrip().removesuffix("\\") for line in lines)

    def parse_python(self, line: _Line) -> ast.expr:
        """The right-hand side as Python syntax, its nodes at their true line and column."""
        top = line.tokens[0].start[0]
        body = "\n".join(self.lines[top - 1 : line.tokens[-1].end[0]])
        try:
            (node,) = ast.parse("\n" * (top - 1) + body).body
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            row = getattr(error, "lineno", None) or top
            column = (getattr(error, "offset", None) or 1) - 1
            token, wrong, advice = slip(line.tokens) or (None, "This cannot be read as an expression.", "")
            place = self.place(min(row, len(self.lines)), max(column, 0))
            place = self.place(*token.start, len(token.string)) if token else place
            raise self.fail("syntax", place, wrong, advice) from None
        assert isinstance(node, ast.Assign)
        if len(node.targets) != 1:
            raise self.fail("syntax", self.node_place(node), "One equation defines one name.")
        return node.value

    def node_place(self, node: ast.AST) -> Place:
        line, end = getattr(node, "lineno", 1), getattr(node, "end_lineno", 1)
        encoded = self.lines[line - 1].encode()
        column = len(encoded[: getattr(node, "col_offset", 0)].decode(errors="replace"))
        stop = len(encoded[: getattr(node, "end_col_offset", 0)].decode(errors="replace"))
        return self.place(line, column, stop - column if end == line else len(self.lines[line - 1]) - column)

    def expression(self, node: ast.expr) -> Expr:
        place = self.node_place(node)
        match node:
            case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
                text = place.text[place.column - 1 : place.column - 1 + place.width]
                self.check_number(text, place)
                return Number(text, place)
            case ast.Name():
                self.check_spelling(node.id, place)
                return Name(node.id, 0, place)
            case ast.UnaryOp(op=ast.USub()):
                return Apply("neg", (self.expression(node.operand),), place)
            case ast.UnaryOp(op=ast.UAdd()):
                return self.expression(node.operand)
            case ast.BinOp() if type(node.op) in _OPERATORS:
                return Apply(
                    _OPERATORS[type(node.op)], (self.expression(node.left), self.expression(node.right)), place
                )
            case ast.Attribute(attr="T"):
                return Apply(".T", (self.expression(node.value),), place)
            case ast.Subscript():
                return self.delayed(node, place)
            case ast.Call():
                return self.call(node, place)
            case ast.Compare(ops=[op], comparators=[_]) if type(op) in _OPERATORS:
                raise self.fail("syntax", place, "A comparison may only be the first argument of where(…).")
        raise self.fail("syntax", place, *refused(node))

    def delayed(self, node: ast.Subscript, place: Place) -> Name:
        match node:
            case ast.Subscript(
                value=ast.Name(id=name),
                slice=ast.BinOp(left=ast.Name(id="t"), op=ast.Sub(), right=ast.Constant(value=int() as delay)),
            ) if 1 <= delay <= MAX_DELAY:
                return Name(name, delay, place)
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Name(id="t")):
                return Name(name, 0, place)
            case ast.Subscript(slice=ast.BinOp(left=ast.Name(id="t"), op=ast.Add())):
                raise self.fail("causality", place, "A cell cannot read the future: only t, t-1, t-2, … are possible.")
        raise self.fail("syntax", place, *indexed(node, MAX_DELAY))

    def call(self, node: ast.Call, place: Place) -> Apply:
        slip = miscalled(node)
        if slip or not isinstance(node.func, ast.Name):
            raise self.fail("syntax", place, *(slip or refused(node)))
        name = node.func.id
        self.check_call(name, len(node.args), place)
        args = [
            self.comparison(a) if name == "where" and k == 0 else self.expression(a) for k, a in enumerate(node.args)
        ]
        bounds = [_bound(a) for a in args[1:]] if name == "clip" else []
        if len(bounds) == 2 and None not in bounds and bounds[0] > bounds[1]:  # type: ignore[operator]
            raise self.fail("arguments", place, "The lower bound of clip(a, lower, upper) is above the upper one.")
        return Apply(name, tuple(args), place)

    def check_call(self, name: str, count: int, place: Place) -> None:
        if name in ("conv", "conv1d", "conv2d", "convolve"):
            raise self.fail("unsupported", place, "Convolution is not supported.")
        if name not in ELEMENTWISE and name not in STRUCTURAL:
            values = {d.name for d in self.draft.declarations} | {e.name for e in self.draft.equations}
            raise self.fail("function", place, f"There is no function {name}.", unknown_function(name, count, values))
        if count not in arities(name):
            least, *more = sorted(arities(name))
            wanted = f"{least}" + (f" or {more[0]}" if len(more) == 1 else " or more" * bool(more))
            raise self.fail("arguments", place, f"{name} takes {wanted} argument{'s' * (wanted != '1')}, not {count}.")

    def comparison(self, node: ast.expr) -> Expr:
        match node:
            case ast.Compare(left=left, ops=[op], comparators=[right]) if _OPERATORS.get(type(op), "") in COMPARISONS:
                return Apply(
                    _OPERATORS[type(op)], (self.expression(left), self.expression(right)), self.node_place(node)
                )
            case ast.Compare() | ast.BoolOp():
                raise self.fail("syntax", self.node_place(node), *refused(node))
        raise self.fail("syntax", self.node_place(node), "where(…) starts with a comparison, like where(a > 0, a, b).")
