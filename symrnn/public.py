"""What `import symrnn` offers, and how a cell shows itself in a notebook."""

from __future__ import annotations

from symrnn.build import compile
from symrnn.errors import CellError, SymrnnError, UsageError
from symrnn.language.cell import Cell, in_notebooks
from symrnn.language.load import gallery, load, parse

__all__ = ["CellError", "SymrnnError", "UsageError", "compile", "gallery", "load", "parse"]


def _html(cell: Cell) -> str:
    from symrnn import pages  # noqa: PLC0415 (only who asks for a derivation waits for it)

    return str(pages.render(cell, "html", fragment=True))


def _latex(cell: Cell) -> str:
    from symrnn import pages  # noqa: PLC0415 (likewise)

    return pages.equations(cell)


in_notebooks.update(html=_html, latex=_latex)
