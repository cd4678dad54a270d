"""The system's C++ compiler as symrnn uses it: errors are the user's to mend, and what is run once compiles quickly."""

from __future__ import annotations

import ctypes

from symrnn.errors import UsageError
from symrnn.native import library as libraries
from symrnn.native.library import compiler

QUICK = ("-O0",)

__all__ = ["QUICK", "compiler", "library"]


def library(source: str, options: tuple[str, ...]) -> ctypes.CDLL:
    """The library of a C++ text, compiled unless it is kept from before. Raises UsageError if that fails."""
    try:
        return libraries.library(source, options)
    except libraries.LibraryError as error:
        raise UsageError(str(error)) from None
