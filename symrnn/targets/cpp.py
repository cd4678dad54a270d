"""The cpp target: kernels for the system's compiler, and the NumPy module around them."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from types import ModuleType

from symrnn.compiled.c import SPELLING, Kernel, sizes
from symrnn.compiled.host_code import HostCode, SweepCode
from symrnn.compiled.layout import layout
from symrnn.compiled.plan import Plan, plan
from symrnn.emit import Artifact, Header, emit
from symrnn.errors import SubstituteWarning, UsageError
from symrnn.language.cell import Cell
from symrnn.loading import load as execute
from symrnn.native.compiler import QUICK, compiler, library
from symrnn.printing.interface import Filled, Pairs, frame, has_sums
from symrnn.printing.spelling import in_python
from symrnn.schedule import Entries
from symrnn.schedule.program import Program

NAME = "cpp"
TEMPLATES = {".py": "cpp/module.py.j2", ".cpp": "cpp/kernels.cpp.j2"}
TO_CHECK = "Install g++ or clang++; or have it unchecked: --no-check, or check=False."
PASSES = ("expand", "alias", "prune", "save")

__all__ = ["NAME", "PASSES", "SPELLING", "TEMPLATES", "context", "load"]


@dataclass(frozen=True)
class Part:
    """One sweep as the template prints it."""

    params: list[tuple[str, str]]
    allocations: list[object]
    bindings: list[object]
    boundaries: list[object]
    weights: list[object]
    blocks: dict[str, list[object]]
    sequence: bool


@dataclass(frozen=True)
class Library:
    """The text of `symrnn.native.library` as part of a module: lines of its imports, and what follows them."""

    imports: list[str]
    from_imports: list[str]
    text: str


@dataclass(frozen=True)
class Module(Filled):
    """What the templates print."""

    size_names: list[str]
    m_sizes: str
    tape: Pairs
    forward: Part
    backward: Part
    kernels: list[Kernel]
    library: Library


def context(programs: Entries, header: Header) -> Module:
    """Everything the templates print, for the programs of one cell."""
    return module(programs.train, header, "np")


def module(program: Program, header: Header, xp: str) -> Module:
    """The same for an array library called `xp`."""
    planned = plan(program)
    code = HostCode(layout(planned), xp)
    cell, d = program.derivation.cell, program.derivation
    forward, backward = code.sweep("forward"), code.sweep("backward")
    names = sizes(cell)
    tape = _tape(forward, backward, {in_python(s) for s in d.seeds.values()})
    gradients = {v.name: _gradient(d.gradients[v.name], backward, xp) for v in (*cell.params, *cell.inputs)}
    returned = " ".join(gradients.values())
    return Module(
        **vars(frame(program, header)),
        size_names=list(names.values()),
        m_sizes=f"[size[axis] for axis in ({', '.join(repr(n) for n in names)})]".replace("'", '"'),
        tape=tape,
        forward=_part(forward, planned, "forward", {name for name, _ in tape}),
        backward=_part(backward, planned, "backward", set(re.findall(r"\w+", returned))),
        kernels=[*forward.kernels, *backward.kernels],
        library=_library(),
        final=[(b.key, f"{b.last}.copy()") for b in forward.boundaries],
        results=[(v.name, f"{_result(v.name, forward)}.copy()") for v in cell.outputs],
        gradients=[(v.name, gradients[v.name]) for v in cell.params],
        input_gradients=[(v.name, gradients[v.name]) for v in cell.inputs],
        state_gradients=[(b.key, f"{b.last}.copy()") for b in backward.boundaries],
        uses={"sums": has_sums(cell)},
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


def _result(name: str, sweep: SweepCode) -> str:
    return sweep.results.get(name) or in_python(name)


def _gradient(name: str, backward: SweepCode, xp: str) -> str:
    text = _result(name, backward)
    return f"{xp}.ascontiguousarray({text})" if "[..., " in text else text


def _part(d: SweepCode, planned: Plan, name: str, leaving: set[str]) -> Part:
    return Part(
        params=[(n, in_python(n)) for n in d.params],
        allocations=[replace(a, scratch=a.name not in leaving) for a in d.allocations],
        bindings=list(d.bindings),
        boundaries=list(d.boundaries),
        weights=list(d.weights),
        blocks={k: list(v) for k, v in d.blocks.items()},
        sequence=planned.stage(name).sequence,
    )


def _tape(forward: SweepCode, backward: SweepCode, seeds: set[str]) -> list[tuple[str, str]]:
    """Arrays backward reads that it neither makes nor is given."""
    return [(in_python(n), forward.shapes[in_python(n)]) for n in backward.reads if in_python(n) not in seeds]


def stand_in() -> str | None:
    """The target whose module takes the place of this one's where there is no compiler."""
    return None if compiler() else "numpy"


def load_for_check(cell: Cell, artifacts: Sequence[Artifact]) -> ModuleType:
    """The module with kernels that are compiled quickly and run slowly. Raises UsageError without a compiler."""
    if stand_in():
        raise UsageError(f"The cpp code of {cell.name} cannot be checked without a C++ compiler.", TO_CHECK)
    module = load(cell, artifacts)
    module.__dict__["OPTIONS"] = QUICK
    return module


def load(cell: Cell, artifacts: Sequence[Artifact]) -> ModuleType:
    """The module with its kernels; without a compiler a warning and the NumPy module."""
    if stand_in():
        said = "There is no C++ compiler (g++, clang++ or $CXX): the NumPy module takes the place of the compiled one."
        warnings.warn(said, SubstituteWarning, stacklevel=3)
        return execute(cell, emit(cell, "numpy"))
    module = execute(cell, artifacts)
    source = next(a.text for a in artifacts if a.path.endswith(".cpp"))
    module.__dict__.update(SOURCE=source, library=library)  # a library that raises UsageError
    return module
