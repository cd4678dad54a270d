"""The system's C++ compiler as symrnn uses it: errors are the user's to mend, and what is run once compiles quickly."""

from __future__ import annotations

import ctypes

from symrnn.errors import UsageError
from symrnn.native import library as libraries
from symrnn.native.library import compiler, no_compiler

QUICK = ("-O0",)

__all__ = ["QUICK", "compiler", "library", "no_compiler", "required_to_check"]


def required_to_check(what: str) -> None:
    """Raise UsageError if there is no compiler."""
    if compiler() is None:
        advice = f"Until then {what} cannot be checked; to have it unchecked: --no-check, or check=False."
        raise UsageError(no_compiler(), advice)


def library(source: str, options: tuple[str, ...]) -> ctypes.CDLL:
    """The library of a C++ text, compiled unless it is kept from before. Raises UsageError if that fails."""
    try:
        return libraries.library(source, options)
    except libraries.LibraryError as error:
        raise UsageError(str(error)) from None
