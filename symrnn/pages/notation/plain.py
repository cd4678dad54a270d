"""Formulas as one line of Unicode."""

from __future__ import annotations

from collections.abc import Sequence

from symrnn.functions.table import Function
from symrnn.pages.formulas.formula import Time
from symrnn.pages.formulas.names import GREEK, Letter
from symrnn.pages.notation.latex import _moment

_OPS = {
    "+": " + ", "-": " − ", "neg": "−", "odot": " ⊙ ", "=": " = ", "dot": " ", "times": " × ", "mapsto": " ↦ ",
    ",": ", ", ";": "; ", "gt": " > ", "ge": " ≥ ",
}  # fmt: skip
_FENCES = {"(": ("(", ")"), "[": ("[", "]"), "<": ("⟨", "⟩"), "|": ("|", "|"), "||": ("‖", "‖")}
_SYMBOLS = {
    "partial": "∂", "total": "d", "direct": "∂⁺", "ones": "𝟏", "one": "𝟏", "identity": "I", "left": "(", "right": ")",
}  # fmt: skip
_ACCENTS = {"hat": "\u0302", "bar": "\u0304", "tilde": "\u0303"}
_LOW = dict(zip("0123456789+-aehijklmnoprstuvx()", "₀₁₂₃₄₅₆₇₈₉₊₋ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ₍₎", strict=True))
_HIGH = dict(zip("0123456789-()", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁽⁾", strict=True))


class Plain:
    """What a terminal shows."""

    fraction_level = 2

    def row(self, parts: Sequence[str]) -> str:
        return "".join(parts)

    def op(self, kind: str) -> str:
        return _OPS[kind]

    def name(self, letter: Letter, time: Time | None, prefix: str) -> str:
        base = GREEK.get(letter.base, letter.base)
        if letter.accent:
            base = "".join(c + _ACCENTS[letter.accent] for c in base)
        subs = [GREEK.get(s, s) for s in letter.subs]
        text = base + "".join(_lowered(s, "_") for s in subs) + "′" * letter.primes
        text += _raised(f"({letter.number})") if letter.number else ""
        text += (_lowered(self.time(time), "_")) if time else ""
        return {"delta": "δ", "d": "d", "": ""}[prefix] + text

    def number(self, text: str) -> str:
        return text.replace("-", "−")

    def fraction(self, top: str, bottom: str) -> str:
        return f"{_grouped(top)}/{_grouped(bottom)}"

    def power(self, base: str, exponent: str) -> str:
        return base + _raised(exponent.replace("−", "-"))

    def transpose(self, base: str) -> str:
        return f"{base}ᵀ"

    def fence(self, kind: str, inner: str) -> str:
        left, right = _FENCES[kind]
        return f"{left}{inner}{right}"

    def function(self, row: Function) -> str:
        return "σ" if row.name == "sigmoid" else row.name

    def word(self, text: str) -> str:
        return text

    def big(self, op: str, low: str, high: str, body: str) -> str:
        sign = {"sum": "Σ", "prod": "∏"}[op]
        return f"{sign}[{low.replace(' ', '')}…{high}] {body}"

    def under(self, op: str, letters: str, body: str) -> str:
        return f"Σ_{letters} {body}"

    def sub(self, base: str, index: str) -> str:
        return base + _lowered(index, "_")

    def root(self, inner: str) -> str:
        return f"√({inner})"

    def cases(self, rows: Sequence[tuple[str, str]]) -> str:
        return " ".join(f"{value} if {test} else" if test else value for value, test in rows)

    def symbol(self, what: str) -> str:
        return _SYMBOLS[what]

    def time(self, time: Time) -> str:
        return _moment(time, "-")


def _lowered(text: str, mark: str) -> str:
    if all(c in _LOW for c in text):
        return "".join(_LOW[c] for c in text)
    text = text.replace(", ", ",")
    if text.startswith("["):
        return text
    return f"{mark}{text}" if text.replace(",", "").isalnum() else f"{mark}{{{text}}}"


def _raised(text: str) -> str:
    return "".join(_HIGH[c] for c in text) if all(c in _HIGH for c in text) else f"^({text})"


def _grouped(text: str) -> str:
    """In parentheses if a space or a slash stands outside all brackets."""
    depth, bars = 0, 0
    for c in text:
        depth += (c in "([⟨{") - (c in ")]⟩}")
        bars ^= c in "‖|"
        if c in " /" and depth == 0 and not bars:
            return f"({text})"
    return text


__all__ = ["Plain"]
