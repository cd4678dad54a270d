"""Generated Python text becomes a module in memory."""

from __future__ import annotations

import builtins
import itertools
import linecache
from collections.abc import Sequence
from importlib.util import module_from_spec, spec_from_loader
from types import ModuleType
from typing import Any

from symrnn.emit import Artifact, emit, target
from symrnn.language.cell import Cell

_counter = itertools.count(1)


def module_of(
    cell: Cell, backend: str = "numpy", artifacts: Sequence[Artifact] | None = None, **options: Any
) -> ModuleType:
    """The module of a cell as its target loads it, from new files or those given; `options` go to the target."""
    loader = getattr(target(backend), "load", load)
    module: ModuleType = loader(cell, emit(cell, backend) if artifacts is None else artifacts, **options)
    return module


def module_to_check(cell: Cell, backend: str = "numpy", artifacts: Sequence[Artifact] | None = None) -> ModuleType:
    """The module as it is run beside the equations: on the processor, its kernels compiled together and quickly.

    Its memory is NaN until it is written. Raises UsageError if it cannot be run here.
    """
    from symrnn.native.poisoned import Poisoned, scratch  # noqa: PLC0415 (NumPy, which most commands do without)

    loader = getattr(target(backend), "load_for_check", load)
    module: ModuleType = loader(cell, emit(cell, backend) if artifacts is None else artifacts)
    module.__dict__.update(np=Poisoned(), scratch=scratch)
    return module


def load(cell: Cell, artifacts: Sequence[Artifact]) -> ModuleType:
    """Execute generated Python text as a module whose lines tracebacks can show."""
    text = next(a.text for a in artifacts if a.path.endswith(".py"))
    filename = f"<symrnn {cell.name} {next(_counter)}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    spec = spec_from_loader(cell.name, loader=None)
    assert spec is not None
    module = module_from_spec(spec)
    exec(builtins.compile(text, filename, "exec"), module.__dict__)
    return module
