"""What a tape holds: as many bytes on every backend, and as many as the comparison of cells says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import getclosurevars
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from points import alone

import symrnn
from symrnn.diff import compare
from symrnn.emit import emit, target
from symrnn.language.cell import Cell, Variable, axis_size

SIZE, BATCH, STEPS = 3, 1, 4  # the comparison counts for a batch of one


def drawn(variables: Iterable[Variable], *lead: int) -> dict[str, np.ndarray]:
    """Small random float32 arrays, every axis of the same length."""
    rng = np.random.default_rng(0)

    def shape(v: Variable) -> list[int]:
        return [*lead, *(axis_size(a, dict.fromkeys(a.split("+"), SIZE)) for a in v.axes)]

    return {v.name: np.asarray(0.1 * rng.standard_normal(shape(v)), np.float32) for v in variables}


def without_kernels(module: ModuleType) -> list[Any]:
    """Kernels that do nothing, so that nothing is compiled, in place of the module's; a list of what they are given."""
    given: list[Any] = []

    def kernel(*arguments: Any) -> Callable[..., None]:
        given.extend(arguments)
        return lambda *_: None

    module.__dict__["bound"] = lambda *_: kernel
    return given


def tape_of(cell: Cell, module: ModuleType, steps: int, memory: str = "all") -> Any:
    with np.errstate(all="ignore"):
        return module.forward(drawn(cell.params), alone(drawn(cell.inputs, steps, BATCH)), memory=memory)[2]


def of_numpy(cell: Cell, steps: int) -> list[Any]:
    return list(tape_of(cell, symrnn.compile(cell), steps))


def of_cpp(cell: Cell, steps: int) -> list[Any]:
    module = symrnn.compile(cell, "cpp")
    without_kernels(module)
    return list(tape_of(cell, module, steps))


def on_the_processor(cell: Cell) -> ModuleType:
    return target("cuda").load(cell, emit(cell, "cuda"), host=True)  # type: ignore[attr-defined,no-any-return]


def of_cuda(cell: Cell, steps: int) -> list[Any]:
    """The arrays of the forward pass that the backward pass of a workspace reads too, without parameters."""
    module = on_the_processor(cell)
    given = without_kernels(module)
    work = tape_of(cell, module, steps).work
    params = {f"{v.name}{end}" for v in cell.params for end in ("", "_")}  # _ where Python or C mean something by it
    there = {id(a): a for name, a in work.waiting.gi_frame.f_locals.items() if name not in params}
    given.clear()
    backward = next(work.waiting)
    for part in (backward.before, backward.loop, backward.after):
        given.extend(getclosurevars(part).nonlocals.values())
    return [a for a in given if id(a) in there and isinstance(a, np.ndarray)]


def held(found: list[Any]) -> int:
    """Bytes of the arrays, each counted once, and whole where there is only a view of it."""
    whole = {}
    for a in found:
        if isinstance(a, np.ndarray | np.generic):
            while isinstance(getattr(a, "base", None), np.ndarray):
                a = a.base
            whole[id(a)] = a
    return sum(a.nbytes for a in whole.values())


BACKENDS: dict[str, Callable[[Cell, int], list[Any]]] = {"numpy": of_numpy, "cpp": of_cpp, "cuda": of_cuda}


@pytest.mark.parametrize("name", symrnn.gallery())
def test_tapes_are_as_large_as_the_schedule_says(name: str) -> None:
    cell = symrnn.load(name)
    found = {b: [held(arrays(cell, steps)) for steps in (STEPS, STEPS + 1)] for b, arrays in BACKENDS.items()}
    assert len({tuple(bytes_) for bytes_ in found.values()}) == 1, found
    short, long = found["numpy"]
    assert long - short == compare(cell, cell, SIZE).sizes[0].saved_bytes


@pytest.mark.parametrize("name", symrnn.gallery())
def test_modes_keep_as_much_as_they_say(name: str) -> None:
    """States and inputs; inputs and some states."""
    cell, steps = symrnn.load(name), 40
    modules = {"numpy": symrnn.compile(cell), "cpp": symrnn.compile(cell, "cpp"), "cuda": on_the_processor(cell)}
    inputs, state = size(drawn(cell.inputs, steps, BATCH)), size(drawn(cell.carries, BATCH))
    for backend, module in modules.items():
        if backend != "numpy":
            without_kernels(module)
        kept = {mode: module.nbytes(tape_of(cell, module, steps, mode)) for mode in module.MEMORY}
        assert abs(kept["all"] - held(BACKENDS[backend](cell, steps))) <= state, backend  # of T + 1 states one more
        assert kept["states"] <= 1.05 * (inputs + steps * state), backend
        assert kept["sqrt"] <= inputs + 8 * state, backend


def size(arrays: dict[str, np.ndarray]) -> int:
    return sum(a.nbytes for a in arrays.values())
