"""Slips of the pen that Python only calls invalid syntax, told in the words of the language."""

from __future__ import annotations

import ast
import difflib
import keyword
import tokenize
from collections.abc import Sequence

Token = tokenize.TokenInfo

#: Signs of papers and what is written for them here.
SIGNS = dict.fromkeys("×·", "* or @") | dict.fromkeys("⊙∘∗", "*") | dict.fromkeys("−–", "-")
SIGNS |= {"÷": "/", "≥": ">=", "≤": "<="}

#: Kinds of Python expressions that are not part of the language.
KINDS: dict[type[ast.expr], str] = {
    ast.Attribute: "The only attribute is .T, the transpose.",
    ast.Constant: "Only numbers may be written here.",
    ast.Tuple: "A tuple has no meaning here: one equation defines one name.",
    ast.IfExp: "Write where(condition, a, b) for a choice.",
    ast.Compare: "A comparison has two sides and is one of > < >= <=.",
    ast.BinOp: "The operators are + - * / ** and @.",
}


def suggest(word: str, known: list[str]) -> str:
    """“Did you mean …?” for a misspelt word, or nothing."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"Did you mean {near[0]}?" if near else ""


def slip(tokens: Sequence[Token]) -> tuple[Token, str, str] | None:
    """What is wrong with the tokens of an equation, if it is one of these: the place, the mistake, what to do."""
    depth = 0
    for token, following in zip(tokens, (*tokens[1:], None), strict=True):
        depth += (token.string in "[(") - (token.string in "])")
        if depth < 0:
            return token, f"This {token.string} closes a bracket that was never opened.", ""
        if keyword.iskeyword(token.string):
            return token, f"{token.string} is not part of the language.", ""
        if following is not None and _ends_value(token) and _is_word(following):
            wrong = f"Between {token.string} and {following.string} an operator is missing."
            return token, wrong, "Write @ for a product with a matrix, * for one by components."
    return None


def closing_too_many(lines: Sequence[str]) -> tuple[int, int] | None:
    """Line (from 1) and column (from 0) of a bracket that closes none; the tokenizer misses the end of its line."""
    depth = 0
    for number, line in enumerate(lines, 1):
        for column, char in enumerate(line.split("#")[0]):
            depth += (char in "[(") - (char in "])")
            if depth < 0:
                return number, column
    return None


def _ends_value(token: Token) -> bool:
    return _is_word(token) or token.string in (")", "]")


def _is_word(token: Token) -> bool:
    return token.type in (tokenize.NAME, tokenize.NUMBER)
