"""No generated module is handed out unproved: each is run once, unless the very text has passed before."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from types import ModuleType

from symrnn.emit import Artifact, target
from symrnn.errors import CheckFailed, NothingToCompareError, UsageError
from symrnn.language.cell import Cell
from symrnn.loading import module_to_check
from symrnn.proof.check import SMALL, Report, check, quick

UNCHECKED = "To have the code all the same: --no-check, or check=False."
#: Texts that passed in this process.
_passed: set[tuple[Artifact, ...]] = set()


def prove(cell: Cell, backend: str, artifacts: Sequence[Artifact]) -> None:
    """Run the generated files of a cell at one small point, on the processor, beside its equations.

    Raises CheckFailed, which names the quantity, if they disagree; UsageError if the files cannot be run here.
    """
    text = tuple(artifacts)
    if text in _passed or _shipped(backend, text):
        return
    module, compiled = module_to_check(cell, backend, text), hasattr(target(backend), "load_for_check")
    for dtype in ("float64",) if compiled else ("float64", "float32"):  # each type would be compiled anew
        report = _quick(cell, module, backend, dtype)
        if not report.ok:
            whole = check(cell, module, backend, dtype, shapes=[SMALL])  # names each quantity that is wrong
            raise CheckFailed(cell.name, backend, "\n".join(f"  {row}" for row in whole.failures or report.failures))
    _passed.add(text)


def _quick(cell: Cell, module: ModuleType, backend: str, dtype: str) -> Report:
    try:
        return quick(cell, module, backend, dtype)
    except NothingToCompareError as error:
        raise UsageError(f"{error.wrong} {error.advice}".rstrip(), UNCHECKED) from None


def _shipped(backend: str, artifacts: tuple[Artifact, ...]) -> bool:
    """Are they the very files that come with symrnn, which the tests prove?"""
    folder = files("symrnn.generated").joinpath(backend)
    found = [(folder.joinpath(a.path), a.text) for a in artifacts]
    return all(f.is_file() and f.read_text(encoding="utf-8") == text for f, text in found)
