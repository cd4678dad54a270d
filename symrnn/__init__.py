"""symrnn: the equations of a recurrent cell in, its derivation and verified fast kernels out."""

from symrnn.cells import gallery, load, parse
from symrnn.errors import CellError, SymrnnError, UsageError

__version__ = "0.1.0"
__all__ = ["CellError", "SymrnnError", "UsageError", "gallery", "load", "parse"]
