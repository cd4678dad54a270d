"""A cell file as read: declarations and equations, names without roles or shapes."""

from __future__ import annotations

from dataclasses import dataclass, field

from symrnn.errors import Place
from symrnn.language.cell import Axes, Equation


@dataclass(frozen=True)
class Declaration:
    """One declared name: ``state h[H]`` has kind state, name h, axes (H,)."""

    kind: str
    name: str
    axes: Axes
    start: str
    meaning: str
    place: Place


@dataclass
class Draft:
    """A cell file read but not yet checked: what was declared and what was written, in order.

    `start` is where its text begins.
    """

    name: str
    source: str
    start: Place
    title: str = ""
    extends: str = ""
    extends_place: Place | None = None
    declarations: list[Declaration] = field(default_factory=list)
    equations: list[Equation] = field(default_factory=list)
