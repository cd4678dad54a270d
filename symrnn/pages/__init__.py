"""Derivations printed as pages people read, trust and cite."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

from symrnn.errors import UsageError
from symrnn.language.cell import Cell
from symrnn.language.hints import suggest
from symrnn.language.load import called
from symrnn.pages.document import Document, Equations, LeftOut, Prose, Section, say
from symrnn.pages.formulas.formula import Deriv, Sym
from symrnn.pages.notation.latex import Latex
from symrnn.pages.notation.spelling import Spelling
from symrnn.pages.outline import outline, subject, unchecked
from symrnn.pages.phrases import table

MOST_STEPS = 6


def known_formats() -> list[str]:
    """Names of the formats: the modules of `symrnn.pages.formats`."""
    found = (f.name for f in files("symrnn.pages.formats").iterdir())
    return sorted(n.removesuffix(".py") for n in found if n.endswith(".py") and n != "__init__.py")


def format_module(name: str) -> Any:
    """The module of a format; UsageError if there is none."""
    if name not in known_formats():
        raise UsageError(
            f"There is no format {name!r}.", suggest(name, known_formats()) or f"Known: {', '.join(known_formats())}."
        )
    return import_module(f"symrnn.pages.formats.{name}")


def format_of(path: Path | None) -> str:
    """The format that the name of a file asks for; plain text for a terminal (None)."""
    if path is None:
        return "text"
    suffixes = {format_module(name).SUFFIX: name for name in known_formats()}
    if path.suffix.lower() not in suffixes:
        raise UsageError(
            f"The name {path.name!r} does not say what to write.", f"End it in {', '.join(suffixes)}, or give --format."
        )
    return suffixes[path.suffix.lower()]


def document(cell: Cell, head: Cell | None = None, unroll: int = 0) -> Document:
    """The page of a cell, every displayed equation evaluated; `unroll` writes the recursion out for so many steps."""
    if unroll < 0 or unroll > MOST_STEPS:
        raise UsageError(f"The recursion is written out for 1 to {MOST_STEPS} steps, not {unroll}.")
    return outline(subject(cell, head), unroll)


def render(
    cell: Cell,
    format: str = "html",
    lang: str = "en",
    head: Cell | None = None,
    unroll: int = 0,
    fragment: bool = False,
) -> str | bytes:
    """A derivation as text (or, for pdf, bytes). Raises UsageError for an unknown format or language."""
    chosen = format_module(format)
    table(lang)
    made: str | bytes = chosen.render(document(cell, head, unroll), lang, fragment)
    return made


def show(cell: Cell, lang: str = "en") -> str:
    """The derivation for a terminal, without prose: forward equations, state Jacobian, adjoints and gradients."""
    whole = unchecked(subject(cell))
    sections = {s.anchor: s for s in whole.sections}
    rows = {anchor: [e for a, e in whole.equations() if a == anchor] for anchor in sections}
    chosen = {
        "forward": [*rows["forward"], *(e for e in rows.get("local", []) if isinstance(e.left, Sym))],
        "jacobian": [e for e in rows.get("jacobian", []) if isinstance(e.left, Deriv) and "*" not in e.left.labels],
        "recursion": rows["recursion"],
        "gradients": [e for e in rows["gradients"] if not (isinstance(e.left, Deriv) and e.left.at)],
    }
    told = {anchor: tuple(left_out(cell, s)) for anchor, s in sections.items()}
    kept = tuple(
        replace(
            sections[anchor], blocks=(Equations(tuple(replace(e, note=None) for e in found)), *told.get(anchor, ()))
        )
        for anchor, found in chosen.items()
        if found or told.get(anchor)
    )
    text: str = format_module("text").render(replace(whole, sections=kept), lang, fragment=True)
    return text


def left_out(cell: Cell, section: Section) -> Iterator[Prose]:
    """What `show` does not show of a section: what the page itself leaves out, and differentials."""
    yield from (b for b in section.blocks if isinstance(b, LeftOut))
    pairs = [p for b in section.blocks if isinstance(b, Prose) for p in b.phrases if p.key == "jacobian.differential"]
    if pairs:
        yield LeftOut((say("jacobian.elsewhere", count=len(pairs), cell=called(cell)),))


def equations(cell: Cell) -> str:
    """The forward equations as one LaTeX display."""
    whole = unchecked(subject(cell))
    pen = Spelling(Latex(), whole.letters)
    rows = [f"{pen.text(e.left)} &= {pen.text(e.right)}" for anchor, e in whole.equations() if anchor == "forward"]
    return "$$\\begin{aligned}" + r" \\ ".join(rows) + "\\end{aligned}$$"
