"""symrnn: the equations of a recurrent cell in, its derivation and verified fast kernels out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from symrnn.version import __version__

if TYPE_CHECKING:
    from symrnn.public import CellError, SymrnnError, UsageError, compile, gallery, load, parse

__all__ = ["CellError", "SymrnnError", "UsageError", "__version__", "compile", "gallery", "load", "parse"]


def load_ipython_extension(shell: Any) -> None:
    """What `%load_ext symrnn` does in a notebook: from then on `%%cell name` declares a cell by its text."""
    from symrnn.public import cell_magic  # noqa: PLC0415 (see below)

    shell.register_magic_function(cell_magic(shell.user_ns), "cell", "cell")


def __getattr__(name: str) -> Any:
    """Everything public, looked up when it is first asked for: a generated module needs none of it."""
    if name not in __all__:
        raise AttributeError(f"module 'symrnn' has no attribute {name!r}")
    from symrnn import public  # noqa: PLC0415 (it is looked up late)

    return getattr(public, name)
