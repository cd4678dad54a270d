"""symrnn: the equations of a recurrent cell in, its derivation and verified fast kernels out."""

from symrnn.version import __version__  # isort: skip  (read by everything below)
from symrnn.build import compile
from symrnn.cells import gallery, load, parse
from symrnn.errors import CellError, SymrnnError, UsageError

__all__ = ["CellError", "SymrnnError", "UsageError", "__version__", "compile", "gallery", "load", "parse"]
