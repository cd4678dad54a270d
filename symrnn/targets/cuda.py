"""The cuda target: kernels as CUDA C++, and the CuPy module around them; with host=True they run on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from symrnn.compiled.c import SPELLING, Kernel, sizes
from symrnn.compiled.ops import extent
from symrnn.emit import Artifact, Header
from symrnn.errors import UsageError
from symrnn.language.cell import Cell, Variable
from symrnn.loading import load as execute
from symrnn.native.compiler import compiler
from symrnn.native.cuda_on_cpu import on_the_cpu
from symrnn.printing.interface import Filled, Pairs
from symrnn.printing.spelling import in_python
from symrnn.schedule import Entries
from symrnn.targets import cpp

NAME = "cuda"
TEMPLATES = {".py": "cuda/module.py.j2", ".cu": "cuda/kernels.cu.j2"}
PASSES = ("expand", "alias", "prune", "save")

__all__ = ["NAME", "PASSES", "SPELLING", "TEMPLATES", "context", "load"]


@dataclass(frozen=True)
class Bound:
    """A kernel bound to its arrays; shape is how its threads are laid out: each, rows or columns."""

    name: str
    shape: str
    count: str
    over: str
    arrays: tuple[str, ...]


@dataclass(frozen=True)
class Module(Filled):
    """What the templates print."""

    size_names: list[str]
    m_sizes: str
    given: Pairs
    all_params: Pairs
    input_locals: Pairs
    seed_locals: list[tuple[str, str, str]]
    forward: Any
    backward: Any
    kernels: list[Kernel]


def context(programs: Entries, header: Header) -> Module:
    """Everything the templates print, for the programs of one cell."""
    program = programs.train
    made = cpp.module(program, header, "cp")
    d = program.derivation
    cell = d.cell
    shared = {n: getattr(made, n) for n in Module.__dataclass_fields__ if hasattr(made, n)}
    for direction in ("forward", "backward"):
        part = shared[direction]
        shared[direction] = replace(part, bindings=[_bound(b) for b in part.bindings])
    kinds = {(k.kind, k.rows) for k in made.kernels}
    read = {n for part in (made.forward, made.backward) for n, _ in part.params}
    return Module(
        **shared
        | {
            "given": [(in_python(v.name), _shape(v, cell, lead=("T", "B"))) for v in cell.inputs]
            + [(in_python(v.name), _shape(v, cell)) for v in cell.params if v.name in read],
            "all_params": [(v.name, in_python(v.name)) for v in cell.params if v.name in read],
            "input_locals": [(v.name, in_python(v.name)) for v in cell.inputs],
            "seed_locals": [
                (name, in_python(seed), _shape(cell.variable(name), cell, lead=("T", "B")))
                for name, seed in d.seeds.items()
            ],
            "uses": {
                "sums": made.uses["sums"],
                "rows": ("sum", True) in kinds,
                "columns": ("sum", False) in kinds,
                "best": bool({k for k, _ in kinds} & {"largest", "smallest", "peak"}),
            },
            "gradients": _copies(made.gradients),
            "input_gradients": _copies(made.input_gradients),
        }
    )


def _copies(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The workspace is used again, so that results leave it as copies."""
    return [(n, text if text.startswith("cp.ascontiguousarray") else f"{text}.copy()") for n, text in pairs]


def _bound(b: Any) -> Bound:
    each = b.kind in ("map", "sequence")
    shape = "each" if each else "columns" if b.kind == "sum" and not b.rows else "rows"
    return Bound(b.name, f'"{shape}"', b.count, b.over, b.arrays)


def _shape(v: Variable, cell: Cell, lead: tuple[str, ...] = ()) -> str:
    items = [*lead, *(extent((a,), sizes(cell)) for a in v.axes)]
    return f"({', '.join(items)}{',' if len(items) == 1 else ''})"


def load_for_check(cell: Cell, artifacts: Sequence[Artifact]) -> ModuleType:
    """The module with its kernels on the processor. Raises UsageError without a compiler."""
    if compiler() is None:
        raise UsageError(f"The cuda code of {cell.name} cannot be checked without a C++ compiler.", cpp.TO_CHECK)
    return load(cell, artifacts, host=True)


def load(cell: Cell, artifacts: Sequence[Artifact], host: bool = False) -> ModuleType:
    """The module for CuPy arrays; with `host` for NumPy arrays, its kernels running on the CPU for a check."""
    module = execute(cell, artifacts)
    module.__dict__["SOURCE"] = next(a.text for a in artifacts if a.path.endswith(".cu"))
    return on_the_cpu(module) if host else module
