"""The cuda target: kernels as CUDA C++, and the CuPy module around them; with host=True they run on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import ModuleType

from symrnn.compiled.c import SPELLING, sizes
from symrnn.compiled.functions import Function, calls, in_a_list, of_programs
from symrnn.compiled.host_code import Binding
from symrnn.compiled.kernel import Kernel
from symrnn.emit import Artifact, Header
from symrnn.language.cell import Cell
from symrnn.loading import load as execute
from symrnn.native.compiler import required_to_check
from symrnn.native.cuda_on_cpu import on_the_cpu
from symrnn.printing.interface import Frame, Pairs, frame, has_sums
from symrnn.schedule import KERNEL_ORDER, Entries

NAME = "cuda"
TEMPLATES = {".py": "cuda/module.py.j2", ".cu": "cuda/kernels.cu.j2"}
PASSES = KERNEL_ORDER
#: Functions that kernels call and the template spells out.
OWN = ("abs", "max", "min", "sigmoid", "square", "where")

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
class Module(Frame):
    """What the templates print; `lengths` are what every kernel is given after the step.

    `counts`: then comes the address of the number of the first step.
    """

    size_names: list[str]
    m_sizes: str
    lengths: list[str]
    counts: bool
    forward: Function
    backward: Function
    tape: Pairs
    states_tape: Pairs
    copies: Pairs
    states_forward: Function
    states_backward: Function
    infer: Function
    step: Function
    jvp: Function
    hvp: Function
    kernels: list[tuple[str, list[Kernel]]]
    uses: dict[str, bool]


def context(programs: Entries, header: Header) -> Module:
    """Everything the templates print, for the programs of one cell."""
    cell, lengths = programs.cell, sizes(programs.cell)
    made = of_programs(programs, "cp", kept=True)
    kernels = [k for x in made.values() for k in x.kernels]
    kinds = {(k.kind, k.rows) for k in kernels}
    phases = [phase for k in kernels for phase in k.phases]
    return Module(
        **vars(frame(cell, header)),
        size_names=list(lengths.values()),
        m_sizes=in_a_list(lengths),
        lengths=list(lengths.values()),
        counts=made["train"].reads_step,
        forward=_bound(made["train"].function("state")),
        backward=_bound(made["train"].function("dstate", first=1)),
        tape=[(name, name) for name, _ in made["train"].tape],
        states_tape=made["states"].tape,
        copies=[(name, f"{name}.copy()") for name, _ in made["states"].tape],
        states_forward=_bound(made["states"].function("state")),
        states_backward=_bound(made["states"].function("dstate", first=1)),
        infer=_bound(made["infer"].function("state")),
        step=_bound(made["step"].function("state")),
        jvp=_bound(made["jvp"].function("state")),
        hvp=_bound(made["hvp"].function("state", "dstate")),
        kernels=[(name, x.kernels) for name, x in made.items()],
        uses={
            "sums": has_sums(cell),
            "rows": ("sum", True) in kinds or any(phase.sums for phase in phases),
            "columns": ("sum", False) in kinds,
        }
        | calls(kernels, OWN),
    )


def _bound(function: Function) -> Function:
    """The function with its kernels bound as CUDA binds them."""
    sweeps = [replace(x, bindings=[_laid_out(b) for b in x.bindings]) for x in function.sweeps]
    return replace(function, sweeps=sweeps)


def _laid_out(b: Binding) -> Bound:
    each = b.kind in ("map", "sequence")
    shape = "each" if each else "columns" if b.kind == "sum" and not b.rows else "rows"
    return Bound(b.name, f'"{shape}"', b.count, b.over, b.arrays)


def load_for_check(cell: Cell, artifacts: Sequence[Artifact]) -> ModuleType:
    """The module with its kernels on the processor. Raises UsageError without a compiler."""
    required_to_check(f"the cuda code of {cell.name}")
    return load(cell, artifacts, host=True)


def load(cell: Cell, artifacts: Sequence[Artifact], host: bool = False) -> ModuleType:
    """The module for CuPy arrays; with `host` for NumPy arrays, its kernels running on the CPU for a check."""
    module = execute(cell, artifacts)
    module.__dict__["SOURCE"] = next(a.text for a in artifacts if a.path.endswith(".cu"))
    return on_the_cpu(module) if host else module
