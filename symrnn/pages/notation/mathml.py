"""Formulas as MathML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from symrnn.functions.table import Function
from symrnn.pages.formulas.formula import Time
from symrnn.pages.formulas.names import GREEK, Letter, is_upright, is_word

_OPS = {
    "+": "+", "-": "−", "neg": "−", "odot": "⊙", "=": "=", "dot": "&#x2062;", "times": "×", "mapsto": "↦", ",": ",",
    ";": ";", "gt": "&gt;", "ge": "≥",
}  # fmt: skip
_FENCES = {"(": ("(", ")"), "[": ("[", "]"), "<": ("⟨", "⟩"), "|": ("|", "|"), "||": ("‖", "‖")}
_SYMBOLS = {
    "partial": "<mo form='prefix' lspace='0' rspace='0'>∂</mo>", "total": "<mi mathvariant='normal'>d</mi>",
    "ones": "<mn mathvariant='bold'>𝟏</mn>",
    "one": "<mn>𝟏</mn>", "identity": "<mi>I</mi>", "left": "<mo stretchy='false'>(</mo>",
    "right": "<mo stretchy='false'>)</mo>", 
    "direct": "<msup><mo form='prefix' lspace='0' rspace='0'>∂</mo><mo>+</mo></msup>",
}  # fmt: skip
_ACCENTS = {"hat": "^", "bar": "‾", "tilde": "~"}
_COMMA = "<mo separator='true' lspace='0' rspace='0'>,</mo>"
_FUNCTIONS = {"sigmoid": "σ"}


class Mathml:
    """What browsers draw by themselves."""

    fraction_level = 4

    def row(self, parts: Sequence[str]) -> str:
        return "".join(parts)

    def op(self, kind: str) -> str:
        if kind == "dot":
            return "<mspace width='0.15em'/>"
        if kind == "neg":
            return "<mo form='prefix' lspace='0' rspace='0'>−</mo>"
        return f"<mo form='infix'>{_OPS[kind]}</mo>"

    def name(self, letter: Letter, time: Time | None, prefix: str) -> str:
        base = GREEK.get(letter.base, letter.base)
        text = f"<mi mathvariant='normal'>{base}</mi>" if is_upright(letter.base) else f"<mi>{base}</mi>"
        if letter.accent:
            text = f"<mover accent='true'>{text}<mo stretchy='false'>{_ACCENTS[letter.accent]}</mo></mover>"
        subs = [_sub(s) for s in letter.subs] + ([self.time(time)] if time else [])
        lower = f"<mrow>{_COMMA.join(subs)}</mrow>" if subs else ""
        upper = (f"<mn>({letter.number})</mn>" if letter.number else "") + "<mo>′</mo>" * letter.primes
        if lower and upper:
            text = f"<msubsup>{text}{lower}<mrow>{upper}</mrow></msubsup>"
        elif lower:
            text = f"<msub>{text}{lower}</msub>"
        elif upper:
            text = f"<msup>{text}<mrow>{upper}</mrow></msup>"
        mark = {"delta": "<mi>δ</mi>", "d": "<mi mathvariant='normal'>d</mi>", "": ""}[prefix]
        return f"<mrow>{mark}{text}</mrow>" if mark else text

    def number(self, text: str) -> str:
        return f"<mn>{text}</mn>"

    def fraction(self, top: str, bottom: str) -> str:
        return f"<mfrac><mrow>{top}</mrow><mrow>{bottom}</mrow></mfrac>"

    def power(self, base: str, exponent: str) -> str:
        return f"<msup><mrow>{base}</mrow><mrow>{exponent}</mrow></msup>"

    def transpose(self, base: str) -> str:
        return f"<msup><mrow>{base}</mrow><mo>⊤</mo></msup>"

    def fence(self, kind: str, inner: str) -> str:
        left, right = _FENCES[kind]
        grows = "true" if any(x in inner for x in ("<mfrac", "<mtable", "<munder", "<msqrt")) else "false"
        mark = f"stretchy='{grows}' lspace='0' rspace='0'"
        return f"<mrow><mo form='prefix' {mark}>{left}</mo>{inner}<mo form='postfix' {mark}>{right}</mo></mrow>"

    def function(self, row: Function) -> str:
        return _function(row)

    def word(self, text: str) -> str:
        return f"<mi>{escape(text)}</mi>" if len(text) == 1 else f"<mi mathvariant='normal'>{escape(text)}</mi>"

    def big(self, op: str, low: str, high: str, body: str) -> str:
        sign = {"sum": "∑", "prod": "∏"}[op]
        return f"<munderover><mo>{sign}</mo><mrow>{low}</mrow><mrow>{high}</mrow></munderover><mrow>{body}</mrow>"

    def under(self, op: str, letters: str, body: str) -> str:
        return f"<munder><mo>∑</mo><mrow>{letters}</mrow></munder><mrow>{body}</mrow>"

    def sub(self, base: str, index: str) -> str:
        return f"<msub><mrow>{base}</mrow><mrow>{index}</mrow></msub>"

    def root(self, inner: str) -> str:
        return f"<msqrt>{inner}</msqrt>"

    def cases(self, rows: Sequence[tuple[str, str]]) -> str:
        cells = "".join(
            f"<mtr><mtd>{value}</mtd><mtd>{'<mtext>if </mtext>' + test if test else '<mtext>else</mtext>'}</mtd></mtr>"
            for value, test in rows
        )
        return f"<mrow><mo fence='true'>{{</mo><mtable columnalign='left left'>{cells}</mtable></mrow>"

    def symbol(self, what: str) -> str:
        return _SYMBOLS[what]

    def time(self, time: Time) -> str:
        base = f"<mi>{time.base}</mi>" if time.base else ""
        if not time.base:
            return f"<mn>{time.offset}</mn>"
        sign = "+" if time.offset > 0 else "−"
        more = f"<mo lspace='0' rspace='0'>{sign}</mo><mn>{abs(time.offset)}</mn>" if time.offset else ""
        return base + more


def _function(row: Function) -> str:
    plain = _FUNCTIONS.get(row.name) or row.latex.removeprefix("\\operatorname{").rstrip("}").lstrip("\\")
    style = "" if len(plain) == 1 else " mathvariant='normal'"
    return f"<mi{style}>{escape(plain)}</mi>"


def _sub(text: str) -> str:
    text_ = GREEK.get(text, text)
    if text.isdigit():
        return f"<mn>{text}</mn>"
    return f"<mi mathvariant='{'normal' if is_word(text) else 'italic'}'>{text_}</mi>"


__all__ = ["Mathml"]
