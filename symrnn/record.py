"""Which files symrnn would write: digests by definition and by symrnn's own code, so that nothing is derived twice.

Only digests are kept. A record can say no more than that a file in the user's folder is what would be written.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import astuple
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from symrnn.emit import Artifact, header
from symrnn.language.cell import Cell
from symrnn.native.library import LibraryError, is_kept, opened_store

#: Other people's code that decides what is written.
LIBRARIES = ("sympy", "jinja2")
ENDS = (".py", ".j2", ".h")


def up_to_date(cell: Cell, backend: str, checked: bool, folder: Path) -> tuple[Artifact, ...] | None:
    """The files of a cell in the folder, if they are what was written last for the same definition by the same code."""
    found = _recorded(cell, backend, checked)
    if not found or not all((folder / name).is_file() for name in found):
        return None
    texts = {name: (folder / name).read_bytes() for name in found}
    if any(_digest(text) != found[name] for name, text in texts.items()):
        return None
    return tuple(Artifact(name, text.decode()) for name, text in texts.items())


def remember(cell: Cell, backend: str, checked: bool, artifacts: Sequence[Artifact]) -> None:
    """Record the files of a cell; where no folder can be used, nothing is recorded."""
    lines = [_origin(cell, backend, checked), *(f"{_digest(a.text.encode())} {a.path}" for a in artifacts)]
    with suppress(LibraryError, OSError), opened_store() as store:
        path = store / _name(cell, backend)
        partial = path.with_suffix(".partial")
        partial.write_text("\n".join(lines), encoding="utf-8")
        partial.chmod(0o600)
        partial.replace(path)


def _recorded(cell: Cell, backend: str, checked: bool) -> dict[str, str]:
    """Digests by path; none where they are of another definition or code, or the record is not the user's own."""
    with suppress(LibraryError, OSError), opened_store() as store:
        path = store / _name(cell, backend)
        origin, _, rest = path.read_text(encoding="utf-8").partition("\n") if is_kept(path) else ("", "", "")
        if origin == _origin(cell, backend, checked):
            return {name: digest for digest, _, name in (line.partition(" ") for line in rest.splitlines())}
    return {}


def _name(cell: Cell, backend: str) -> str:
    """One record for a cell and a backend, whatever becomes of its definition."""
    return f"{_digest(header(cell, backend).command.encode())[:32]}.written"


def _origin(cell: Cell, backend: str, checked: bool) -> str:
    said = [_code(), backend, cell.source, *map(str, astuple(header(cell, backend, checked)))]
    return _digest("\0".join(said).encode())


@cache
def _code() -> str:
    """A digest of symrnn's code and templates, and the versions of what it derives with."""
    said = [sys.version, *(version(name) for name in LIBRARIES)]
    for package in ("symrnn", "symrnn.templates"):
        said += (_digest(name.encode() + text) for name, text in sorted(_read(files(package))))
    return _digest(" ".join(said).encode())


def _read(folder: Traversable) -> Iterator[tuple[str, bytes]]:
    """Names and texts of code and templates in a folder and those below; of an installed symrnn, not what it wrote."""
    for item in folder.iterdir():
        if item.is_dir() and item.name not in ("generated", "__pycache__"):
            yield from _read(item)
        elif item.name.endswith(ENDS):
            yield item.name, item.read_bytes()


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
