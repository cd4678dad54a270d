"""Slips of the pen that Python only calls invalid syntax, told in the words of the language."""

from __future__ import annotations

import ast
import difflib
import keyword
import re
import tokenize
from collections.abc import Collection, Sequence
from itertools import takewhile

from symrnn.functions.calls import arities, callable_names
from symrnn.language.likeness import look_alike, nearest
from symrnn.language.notation import code_lines, elsewhere

Token = tokenize.TokenInfo

EXTENDS = (
    "extends takes the bare name of one cell, without folder and ending.",
    "It is looked for beside this file, then in the gallery.",
)

OPENED_BY = {")": "(", "]": "["}
LEFT_AND_RIGHT = ("+", "-", "*", "/", "@", "**", "=")
BARE = "Functions are called by their bare name."

#: How people call another form of a value, the value of the step before, and what they take to be known.
VARIANTS = ("tilde", "hat", "bar", "new", "next", "cand", "candidate")
STEPS = ("t", "k", "n")
EARLIER = ("prev", "previous", "last", "old", "before")
CONSTANTS = {"eps": "1e-5", "pi": "3.141592653589793"}
INFINITE, UNDEFINED = ("inf", "infty", "infinity", "ninf"), ("nan",)
IDENTITIES = ("I", "Id", "eye")

#: Kinds of Python expressions that are not part of the language.
KINDS: dict[type[ast.expr], str] = {
    ast.Attribute: "The only attribute is .T, the transpose.",
    ast.Constant: "Only numbers may be written here.",
    ast.Tuple: "A tuple has no meaning here: one equation defines one name.",
    ast.IfExp: "Write where(condition, a, b) for a choice.",
    ast.BoolOp: "There is no and, or: put one where(…) into another, or multiply their values.",
    ast.Call: "Between ) and ( an operator is missing: @ for a product with a matrix, * for one by components.",
    ast.UnaryOp: "The only signs are + and -; for not, turn the comparison round.",
    ast.Compare: "A comparison has two sides; put one where(…) into another for more.",
    ast.BinOp: "The operators are + - * / ** and @.",
    ast.List: "Square brackets only hold t-1, t-2, …; vectors are joined with concat(a, b).",
    ast.Lambda: "lambda is not part of the language. Write lam or lambda_ for the letter.",
}

#: Operators of Python that are not part of the language.
OPERATORS: dict[type[ast.AST], str] = {
    ast.Eq: "Two computed numbers are hardly ever equal: a comparison is one of > < >= <=.",
    ast.NotEq: "Two computed numbers are nearly always different: a comparison is one of > < >= <=.",
    ast.Mod: "There is no remainder %; a mask that comes and goes can be an input.",
    ast.FloorDiv: "There is no division without remainder; write / for the quotient. A comment begins with #.",
    ast.BitAnd: "There is no &: put one where(…) into another, or multiply their values.",
}


#: Words of Python that begin a statement, and what stands for it here.
STATEMENTS = {
    **dict.fromkeys(("import", "from", "def", "class", "lambda", "with", "exec", "eval", "return"), ""),
    **dict.fromkeys(("for", "while"), "There are no loops: a cell is one step, and h[t-1] is what the last step made."),
    **dict.fromkeys(("if", "elif", "else"), "Write where(a > 0, b, c) for a choice."),
}


def suggest(word: str, known: list[str]) -> str:
    """“Did you mean …?” for a misspelt word, or nothing."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6) or [k for k in known if word.startswith(k)]
    return f"Did you mean {near[0]}?" if near else ""


def in_doubt(
    name: str, values: Collection[str], known: Sequence[str], params: Sequence[str], axes: Sequence[str]
) -> str:
    """Why a name that nothing defines may not be the parameter it would become, or nothing.

    `values` are the names that have a value at every step, `known` all that the file defines, `params` its parameters
    as they are read, `axes` its axes, the likeliest first.
    """
    base, _, index = name.rpartition("_")
    if base in values and index in STEPS:
        return f"{name} is not defined: the value of this step is written {base}, the one before {base}[t-1]."
    if base in values and index in EARLIER:
        return f"{name} is not defined: the value one step ago is written {base}[t-1]."
    if base in values and (steps := re.fullmatch(r"(?:lag|tm|minus)([1-9]\d*)", index)):
        ago = "one step" if steps[1] == "1" else f"{steps[1]} steps"
        return f"{name} is not defined: the value {ago} ago is written {base}[t-{steps[1]}]."
    if index in values and base in EARLIER:
        return f"{name} is not defined: the value one step ago is written {index}[t-1]."
    if meant := number_meant(name):
        return f"{name} is not defined. {meant}"
    if name in IDENTITIES:
        axis = axes[0] if axes else "H"
        return f"{name} is not defined. The identity matrix is identity({axis}), {axis} being its axis."
    if base in IDENTITIES and index in axes:
        return f"{name} is not defined. The identity matrix is identity({index})."
    read_before = takewhile(lambda p: p != name, params)
    if near := nearest(name, known) or next((p for p in read_before if look_alike(name, p)), ""):
        return f"Did you mean {near}? {name} is not defined."
    if base in values and index in VARIANTS:
        return f"No equation defines {name}."
    users = [p for p in params if not base and p != name and _weight_of(p) == name]
    if users:
        verb = "looks" if len(users) == 1 else "look"
        return f"No equation defines {name}, though {' and '.join(sorted(users)[:2])} {verb} as if one should."
    return ""


def number_meant(name: str) -> str:
    """What to write for a name that elsewhere stands for a number, or nothing."""
    if name in CONSTANTS:
        return f"A constant is declared with its number: const {name} = {CONSTANTS[name]}."
    if name.lower() in INFINITE:
        return "All numbers are finite: write a large one, such as 1e9 or -1e9."
    if name.lower() in UNDEFINED:
        return "All numbers are finite: leave values out by where(…)."
    return ""


def _weight_of(param: str) -> str:
    """The gate r that W_r, U_r or b_r are weights of, or nothing."""
    head, _, gate = param.rpartition("_")
    return gate if head.isupper() or head == "b" else ""


def glued(name: str, value: str) -> str:
    """The matrix in front of a value that it was written together with, ``W`` in ``Wx``, or nothing."""
    matrix = name.removesuffix(value)
    return matrix if matrix != name and matrix.isupper() else ""


def neither(words: list[str], keywords: Sequence[str]) -> tuple[str, str]:
    """What is wrong with a line that is neither a declaration nor an equation, and what to write."""
    if words[0] == "extends":
        return EXTENDS
    if words[0] in keywords:
        return f"After {words[0]} a name is expected.", "A name is ASCII letters, digits and underscores."
    if words[0] in STATEMENTS:
        return _statement(words[0])
    if "=" in words and words[1:2] in (["["], ["("]):
        return "The left side of an equation is a bare name: this step's value.", f"Write {words[0]} = …"
    if "=" in words and words[1:2] == ["/"]:
        wrong = "The left side of an equation is a bare name, not a derivative."
        return wrong, "Write the step that is computed, like h = h[t-1] + dt * (…)."
    if "=" in words and words[1:2] == [","]:
        return "One equation defines one name.", ""
    if "=" in words[2:] and not words[1].isidentifier():
        wrong = f"{words[1]} has no meaning on the left of =."
        return wrong, "The left side of an equation is a bare name: letters, digits and underscores."
    advice = suggest(words[0], list(keywords)) or f"Declarations begin with {', '.join(keywords)}."
    if "=" not in words and "[" not in words:
        advice += ' A comment begins with #, and a title stands in """triple quotes""".'
    return "This is neither a declaration nor an equation name = expression.", advice


def block(words: list[str]) -> tuple[str, str]:
    """What is wrong with a line that ends in a colon, when indented lines follow it, and what to write."""
    return _statement(words[0]) if words[0] in STATEMENTS else ("A colon opens no block: there are equations only.", "")


def _statement(word: str) -> tuple[str, str]:
    return f"{word} is not part of the language: a cell file holds equations only.", STATEMENTS[word]


def refused(node: ast.expr) -> tuple[str, str]:
    """What is wrong with an expression that is not part of the language, and what to write."""
    match node:
        case ast.Attribute(attr=name) if found := _stands_alone(name):
            return found
        case ast.Attribute(value=ast.Name(), attr=name) if meant := number_meant(name):
            return f"{ast.unparse(node)} is not part of the language.", meant
        case ast.BinOp(op=op) | ast.Compare(ops=[op]) if type(op) in OPERATORS:
            return OPERATORS[type(op)], ""
    return KINDS.get(type(node), "This kind of expression is not part of the language."), ""


def miscalled(node: ast.Call) -> tuple[str, str] | None:
    """What is wrong with the form of a call, np.tanh(…), h(t-1) or sum(a, axis=0), and what to write."""
    match node:
        case ast.Call(
            func=ast.Name(id=name),
            args=[ast.BinOp(left=ast.Name(id="t"), op=ast.Sub(), right=ast.Constant(value=int() as lag))],
        ) if not _is_function(name):
            return "A past value is written in square brackets.", f"Write {name}[t-{lag}]."
        case ast.Call(func=ast.Name(id=name), args=[ast.Name(id="t")]) if not _is_function(name):
            return "The value of this step is a bare name.", f"Write {name}."
        case ast.Call(func=ast.Attribute(attr=name)):
            return _stands_alone(name) or (f"There is no function {name}.", "")
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords):
            if keywords and keywords[0].arg in ("axis", "dim", "keepdim", "keepdims"):
                return f"{name} takes no {keywords[0].arg}: it works over the last axis.", ""
            if keywords or any(isinstance(a, ast.Starred) for a in args):
                return f"{name} takes plain arguments, without names and stars.", ""
    return None


def _is_function(name: str) -> bool:
    """Is it a function here or elsewhere, so that f(t) is no past value?"""
    return name in callable_names() or bool(elsewhere(name))


def unknown_function(name: str, count: int, values: set[str]) -> str:
    """What to write: another library's word put in ours, what is close and takes as many arguments, or a product."""
    near = nearest(name, [n for n in callable_names() if count in arities(n)])
    if name not in values and (elsewhere(name) or near):
        return elsewhere(name) or f"Did you mean {near}?"
    product = name in values or len(name.split("_", maxsplit=1)[0]) == 1
    step = " A step function is where(a > 0, 1, 0)." if name in ("H", "Theta", "theta") and count == 1 else ""
    return f"Write {name} @ (…) or {name} * (…) for a product.{step}" if product else ""


def _stands_alone(name: str) -> tuple[str, str] | None:
    """What is wrong with np.name or torch.name, and what to write, if it is a function here or there."""
    if name == "dot":
        return BARE, "Write a @ b for a product with a matrix, dot(a, b) for one of two vectors."
    if name in callable_names():
        return BARE, f"Write {name}(…)."
    return (f"There is no function {name}.", elsewhere(name)) if elsewhere(name) else None


def slip(tokens: Sequence[Token]) -> tuple[Token, str, str] | None:
    """What is wrong with the tokens of an equation, if it is one of these: the place, the mistake, what to do."""
    functions, opened = set(callable_names()), ""
    for token, following in zip(tokens, (*tokens[1:], None), strict=True):
        if token.string in OPENED_BY.values():
            opened += token.string
        elif token.string in OPENED_BY:
            if not opened:
                return token, f"This {token.string} closes a bracket that was never opened.", ""
            if opened[-1] != OPENED_BY[token.string]:
                return token, f"This {token.string} closes a bracket that was opened with {opened[-1]}.", ""
            opened = opened[:-1]
        if keyword.iskeyword(token.string):
            advice = "Write lam or lambda_ for the letter." if token.string == "lambda" else ""
            return token, f"{token.string} is not part of the language.", advice
        if token.string in LEFT_AND_RIGHT and (following is None or following.string in (*"*/@)],", "**")):
            return token, f"Something is missing on the right of {token.string}.", ""
        if following is not None and token.string in functions and _is_word(following):
            return token, f"{token.string} is a function.", f"Call it: {token.string}(…)."
        if following is not None and _ends_value(token) and _is_word(following):
            wrong = f"Between {token.string} and {following.string} an operator is missing."
            return token, wrong, "Write @ for a product with a matrix, * for one by components."
    return None


def indexed(node: ast.Subscript, longest: int) -> tuple[str, str]:
    """What is wrong with brackets that hold no delay, and what to write."""
    match node:
        case ast.Subscript(slice=ast.Tuple()):
            return "Vectors are joined with concat(a, b).", "Write @ concat(a, b) for a product."
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Name(id=axis)):
            return (
                "Axes stand in declarations only.",
                f"Declare param {name}[{axis}], or whatever it is, and write {name}.",
            )
    wrong = f"In brackets only t-1 … t-{longest} may stand."
    return wrong, "For a part of a vector write an equation with weights of its own."


def unbalanced(lines: Sequence[str]) -> tuple[int, int, str] | None:
    """Line (from 1) and column (from 0) of the first bracket that closes none or is never closed, and what is wrong."""
    opened: list[tuple[int, int]] = []
    for number, code in code_lines(lines):
        for column, char in enumerate(code):
            if char in "[(":
                opened.append((number, column))
            elif char in "])" and not opened:
                return number, column, "This bracket closes none."
            elif char in "])":
                opened.pop()
    return (*opened[0], "This bracket is never closed.") if opened else None


def _ends_value(token: Token) -> bool:
    return _is_word(token) or token.string in (")", "]")


def _is_word(token: Token) -> bool:
    return token.type in (tokenize.NAME, tokenize.NUMBER)
