"""What `import symrnn` offers, and how a cell shows itself in a notebook."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from symrnn.build import compile
from symrnn.errors import CellError, SymrnnError, UsageError
from symrnn.language.cell import Cell, in_notebooks
from symrnn.language.load import gallery, load, parse

__all__ = ["CellError", "SymrnnError", "UsageError", "compile", "gallery", "load", "parse"]


def cell_magic(names: dict[str, Any]) -> Callable[[str, str], Cell]:
    """The magic `%%cell name`: a cell declared by its text, put under its name into `names`, and shown."""

    def beside(name: str) -> str | None:
        """What `extends` finds: cells that the notebook has declared before."""
        return names[name].source if isinstance(names.get(name), Cell) else None

    def cell(line: str, text: str) -> Cell:
        name = line.strip()
        names[name] = parse(text, name, f"%%cell {name}", beside)
        return names[name]  # type: ignore[no-any-return]

    return cell


def _html(cell: Cell) -> str:
    from symrnn import pages  # noqa: PLC0415 (only who asks for a derivation waits for it)
    from symrnn.pages.formats import html  # noqa: PLC0415 (likewise)

    return html.notebook(pages.document(cell), "en")


def _latex(cell: Cell) -> str:
    from symrnn import pages  # noqa: PLC0415 (likewise)

    return pages.equations(cell)


def _markdown(cell: Cell) -> str:
    return f"`{cell.name}`\n\n{_latex(cell)}"


in_notebooks.update(html=_html, latex=_latex, markdown=_markdown)
