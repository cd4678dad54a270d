"""Formulas as LaTeX, with amsmath and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from symrnn.functions.table import Function
from symrnn.pages.formulas.formula import Time
from symrnn.pages.formulas.names import GREEK, Letter, is_upright, is_word

_OPS = {
    "+": " + ", "-": " - ", "neg": "-", "odot": r" \odot ", "=": " = ", "dot": r"\,", "times": r" \times ",
    "mapsto": r" \mapsto ", ",": r",\, ", ";": r";\, ", "gt": " > ", "ge": r" \ge ",
}  # fmt: skip
_FENCES = {"(": "()", "[": "[]", "<": (r"\langle ", r"\rangle "), "|": "||", "||": (r"\lVert ", r"\rVert ")}
_SYMBOLS = {
    "partial": r"\partial ", "ones": r"\mathbf{1}", "one": r"\mathbf{1}", "identity": "I", "left": "(", "right": ")",
    "total": r"\mathrm{d}", "direct": r"\partial^{+} ",
}  # fmt: skip
_TALL = (r"\frac", r"\sum", r"\prod", r"\begin", r"\sqrt")


class Latex:
    """The notation of papers."""

    fraction_level = 4

    def row(self, parts: Sequence[str]) -> str:
        return "".join(parts)

    def op(self, kind: str) -> str:
        return _OPS[kind]

    def name(self, letter: Letter, time: Time | None, prefix: str) -> str:
        base = f"\\{letter.base}" if letter.base in GREEK else letter.base
        if is_upright(letter.base):
            base = rf"\mathrm{{{letter.base}}}"
        if letter.accent:
            base = rf"\{letter.accent}{{{base}}}"
        upper = [rf"({letter.number})"] * bool(letter.number) + [r"\prime"] * letter.primes
        subs = [_sub(s) for s in letter.subs] + ([self.time(time)] if time else [])
        text = base + (f"_{{{','.join(subs)}}}" if subs else "") + (f"^{{{''.join(upper)}}}" if upper else "")
        return {"delta": r"\delta ", "d": r"\mathrm{d}", "": ""}[prefix] + text

    def number(self, text: str) -> str:
        return text

    def fraction(self, top: str, bottom: str) -> str:
        return rf"\frac{{{top}}}{{{bottom}}}"

    def power(self, base: str, exponent: str) -> str:
        return f"{base}^{{{exponent}}}" if not base.endswith("}") or "^" not in base else f"({base})^{{{exponent}}}"

    def transpose(self, base: str) -> str:
        return rf"{base}^{{\top}}" if "^{" not in base else rf"({base})^{{\top}}"

    def fence(self, kind: str, inner: str) -> str:
        left, right = _FENCES[kind]
        if any(x in inner for x in _TALL):
            return rf"\Bigl{left}{inner}\Bigr{right}"
        return f"{left}{inner}{right}"

    def function(self, row: Function) -> str:
        return row.latex

    def word(self, text: str) -> str:
        if len(text) == 1:
            return text
        return r"\max" if text == "max" else rf"\operatorname{{{text.replace(' ', chr(92) + ',')}}}"

    def big(self, op: str, low: str, high: str, body: str) -> str:
        return rf"\{op}_{{{low}}}^{{{high}}} {body}"

    def under(self, op: str, letters: str, body: str) -> str:
        return rf"\{op}_{{{letters}}} {body}"

    def sub(self, base: str, index: str) -> str:
        return f"{{{base}}}_{{{index}}}" if "_" in base else f"{base}_{{{index}}}"

    def root(self, inner: str) -> str:
        return rf"\sqrt{{{inner}}}"

    def cases(self, rows: Sequence[tuple[str, str]]) -> str:
        lines = [f"{value} & " + (rf"\text{{if }} {test}" if test else r"\text{else}") for value, test in rows]
        return r"\begin{cases}" + r" \\ ".join(lines) + r"\end{cases}"

    def symbol(self, what: str) -> str:
        return _SYMBOLS[what]

    def time(self, time: Time) -> str:
        return _moment(time, "-")


def _moment(time: Time, minus: str) -> str:
    if not time.base:
        return str(time.offset)
    return time.base + (f"+{time.offset}" if time.offset > 0 else f"{minus}{-time.offset}" if time.offset else "")


def _sub(text: str) -> str:
    if text in GREEK:
        return f"\\{text}"
    return rf"\mathrm{{{text}}}" if is_word(text) else text


__all__ = ["Latex"]
