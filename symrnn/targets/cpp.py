"""The cpp target: kernels for the system's compiler, and the NumPy module around them."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import ModuleType

from symrnn.compiled.c import SPELLING, sizes
from symrnn.compiled.functions import Function, calls, in_a_list, of_programs
from symrnn.compiled.kernel import Kernel
from symrnn.emit import Artifact, Header, emit
from symrnn.errors import SubstituteWarning
from symrnn.language.cell import Cell
from symrnn.loading import load as execute
from symrnn.native.compiler import QUICK, compiler, library, no_compiler, required_to_check
from symrnn.printing.interface import Frame, Pairs, frame, has_sums
from symrnn.schedule import KERNEL_ORDER, Entries

NAME = "cpp"
TEMPLATES = {".py": "cpp/module.py.j2", ".cpp": "cpp/kernels.cpp.j2"}
PASSES = KERNEL_ORDER
#: Functions that kernels call: C++'s, and those the template spells out.
STANDARD = ("cos", "erf", "erfc", "expm1", "log", "log1p", "pow", "sin", "sqrt")
OWN = ("abs", "exp", "max", "min", "sigmoid", "square", "tanh", "where")

__all__ = ["NAME", "PASSES", "SPELLING", "TEMPLATES", "context", "load"]


@dataclass(frozen=True)
class Library:
    """The text of `symrnn.native.library` as part of a module: lines of its imports, and what follows them."""

    imports: list[str]
    from_imports: list[str]
    text: str


@dataclass(frozen=True)
class Module(Frame):
    """What the templates print; of C++'s functions those that are called."""

    size_names: list[str]
    m_sizes: str
    tape: Pairs
    forward: Function
    backward: Function
    states_tape: Pairs
    states_forward: Function
    states_backward: Function
    infer: Function
    step: Function
    jvp: Function
    hvp: Function
    kernels: list[tuple[str, list[Kernel]]]
    standard: list[str]
    library: Library
    uses: dict[str, bool]


def context(programs: Entries, header: Header) -> Module:
    """Everything the templates print, for the programs of one cell."""
    cell, lengths = programs.cell, sizes(programs.cell)
    made = of_programs(programs, "np", kept=False)
    called = calls((k for x in made.values() for k in x.kernels), (*STANDARD, *OWN))
    return Module(
        **vars(frame(cell, header)),
        size_names=list(lengths.values()),
        m_sizes=in_a_list(lengths),
        tape=made["train"].tape,
        forward=made["train"].function("state"),
        backward=made["train"].function("dstate", first=1),
        states_tape=made["states"].tape,
        states_forward=made["states"].function("state"),
        states_backward=made["states"].function("dstate", first=1),
        infer=made["infer"].function("state"),
        step=made["step"].function("state"),
        jvp=made["jvp"].function("state"),
        hvp=made["hvp"].function("state", "dstate"),
        kernels=[(name, x.kernels) for name, x in made.items()],
        standard=[name for name in STANDARD if called[name]],
        library=_library(),
        uses={"sums": has_sums(cell), "series": called["exp"] or called["sigmoid"] or called["tanh"]} | called,
    )


@cache
def _library() -> Library:
    source = files("symrnn.native").joinpath("library.py").read_text(encoding="utf-8")
    found = [n for n in ast.parse(source).body if isinstance(n, ast.Import | ast.ImportFrom)]
    return Library(
        imports=[ast.unparse(n) for n in found if isinstance(n, ast.Import)],
        from_imports=[ast.unparse(n) for n in found if isinstance(n, ast.ImportFrom)],
        text="".join(source.splitlines(keepends=True)[found[-1].end_lineno :]),
    )


def stand_in() -> str | None:
    """The target whose module takes the place of this one's where there is no compiler."""
    return None if compiler() else "numpy"


def load_for_check(cell: Cell, artifacts: Sequence[Artifact]) -> ModuleType:
    """The module with kernels that are compiled quickly and run slowly. Raises UsageError without a compiler."""
    required_to_check(f"the cpp code of {cell.name}")
    module = load(cell, artifacts)
    module.__dict__.update(OPTIONS=QUICK, APART=False)
    return module


def load(cell: Cell, artifacts: Sequence[Artifact]) -> ModuleType:
    """The module with its kernels; without a compiler a warning and the NumPy module."""
    if stand_in():
        said = f"{no_compiler()} Until then the NumPy module takes the place of the compiled one."
        warnings.warn(said, SubstituteWarning, stacklevel=3)
        return execute(cell, emit(cell, "numpy"))
    module = execute(cell, artifacts)
    source = next(a.text for a in artifacts if a.path.endswith(".cpp"))
    module.__dict__.update(SOURCE=source, library=library)  # a library that raises UsageError
    return module
