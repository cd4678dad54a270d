"""Names of cell files as mathematics writes them: W_xh, δh, x̂, λ."""

from __future__ import annotations

from dataclasses import dataclass

_LOWER = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu "
    "xi pi rho sigma tau upsilon phi chi psi omega"
)
_UPPER = "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
GREEK = dict(zip(f"{_LOWER} {_UPPER}".split(), "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΥΦΨΩ", strict=True))
SPOKEN = {"lam": "lambda", "lambda_": "lambda", "eps": "epsilon"}
ACCENTS = ("hat", "bar", "tilde")


@dataclass(frozen=True)
class Letter:
    """A name taken apart: a base, an accent over it, subscripts, primes and a number in parentheses above."""

    base: str
    accent: str = ""
    subs: tuple[str, ...] = ()
    primes: int = 0
    number: int = 0


def letter(name: str) -> Letter:
    """``W_xh`` has base W and subscript xh; ``x_hat`` wears a hat; trailing underscores are dropped."""
    name = SPOKEN.get(name, name)
    base, *parts = [p for p in name.split("_") if p] or [name]
    accent = next((p for p in parts if p in ACCENTS), "")
    if accent:
        parts.remove(accent)
    head = base.rstrip("0123456789")
    if head and head != base:
        parts.insert(0, base[len(head) :])
        base = head
    return Letter(SPOKEN.get(base, base), accent, tuple(SPOKEN.get(p, p) for p in parts))


def is_word(text: str) -> bool:
    """Is this a word to set upright, not letters to set in italics?"""
    return len(text) > 2 and text.isalpha() and text not in GREEK


def is_upright(base: str) -> bool:
    return len(base) > 1 and base not in GREEK
