"""The pipeline as one function, and the generated tree: build it, write it, compare it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from symrnn.cell import Cell
from symrnn.emit import emit, target
from symrnn.errors import UsageError
from symrnn.loading import load

__all__ = ["Difference", "compare", "compile", "load", "tree", "write"]


def compile(cell: Cell, backend: str = "numpy", **options: Any) -> ModuleType:
    """The generated module of a cell, in memory: PARAMS, init, forward, backward.

    `options` go to the target's own loader, if it has one. Raises UsageError for an unknown backend.
    """
    artifacts = emit(cell, backend)
    loader = getattr(target(backend), "load", load)
    module: ModuleType = loader(cell, artifacts, **options)
    return module


@dataclass(frozen=True)
class Difference:
    """One file of the tree that is not as it should be: missing, superfluous or different."""

    path: str
    kind: str
    diff: str = ""


def tree(cells: Iterable[Cell], backend: str) -> dict[str, str]:
    """Every generated file of these cells, {path: text}; pure. Raises UsageError if two cells share a name."""
    texts: dict[str, str] = {}
    for cell in cells:
        for artifact in emit(cell, backend):
            if artifact.path in texts:
                raise UsageError(f"Two cells are called {cell.name}.", "Their files would overwrite each other.")
            texts[artifact.path] = artifact.text
    return texts


def write(texts: dict[str, str], folder: Path) -> list[Path]:
    """Write the files that differ, each at once; returns the paths that changed.

    Raises UsageError if one cannot be written.
    """
    changed = []
    for name, text in texts.items():
        path = folder / name
        if path.is_file() and path.read_bytes() == text.encode():
            continue
        partial = path.with_name(f".{path.name}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(text.encode())
            partial.replace(path)
        except OSError as error:
            with suppress(OSError):
                partial.unlink()
            raise UsageError(f"{path} cannot be written: {(error.strerror or 'error').lower()}.") from None
        changed.append(path)
    return changed


def compare(texts: dict[str, str], folder: Path, whole: bool) -> list[Difference]:
    """How the folder differs from what should be in it; `whole` also reports files nothing generates."""
    found = [d for name, text in texts.items() if (d := _difference(folder / name, name, text)) is not None]
    if whole and folder.is_dir():
        present = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and _counts(p)}
        found += [Difference(name, "superfluous") for name in sorted(present - texts.keys())]
    return found


def _counts(path: Path) -> bool:
    return path.name != "__init__.py" and path.suffix not in (".pyc", ".partial")


def _difference(path: Path, name: str, text: str) -> Difference | None:
    if not path.is_file():
        return Difference(name, "missing")
    actual = path.read_bytes().decode(errors="replace")
    if actual == text:
        return None
    lines = difflib.unified_diff(
        actual.splitlines(), text.splitlines(), f"{name} (as it is)", f"{name} (as generated)", lineterm=""
    )
    return Difference(name, "different", "\n".join(lines))
