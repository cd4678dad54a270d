"""What training a NumPy module takes in each mode of memory: `python -m benchmarks.memory [CELL]...`.

Forward and backward in float32, T=100, B=16, all axes 64: bytes of the tape, most bytes allocated at a time, and
milliseconds (medians of interleaved runs).
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from types import ModuleType
from typing import Any

import numpy as np

import symrnn

STEPS, BATCH, SIZE = 100, 16, 64
ROUNDS = 9


def arguments(module: ModuleType) -> tuple[Any, Any, Any]:
    """Parameters, inputs and a state, small enough for every cell to stay finite."""
    rng = np.random.default_rng(0)
    size = dict.fromkeys(module.AXES, SIZE)

    def arrays(table: dict[str, tuple[str, ...]], *lead: int) -> dict[str, np.ndarray]:
        shapes = {name: (*lead, *(module.length(axis, size) for axis in axes)) for name, axes in table.items()}
        return {name: 0.1 * rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}

    x = arrays(module.INPUTS, STEPS, BATCH)
    return arrays(module.PARAMS), x if len(x) > 1 else next(iter(x.values())), arrays(module.STATES, BATCH)


def trained(module: ModuleType, mode: str, given: tuple[Any, Any, Any]) -> tuple[int, float]:
    """Bytes of the tape of one forward and backward pass, and how long both took."""
    started = time.perf_counter()
    y, last, tape = module.forward(*given, memory=mode)
    module.backward(given[0], tape, y, last)
    return module.nbytes(tape), time.perf_counter() - started


def peak(module: ModuleType, mode: str, given: tuple[Any, Any, Any]) -> int:
    """Most bytes that one forward and backward pass has allocated at a time, beside its arguments."""
    tracemalloc.start()
    trained(module, mode, given)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def rows(name: str) -> list[str]:
    """One line of a Markdown table for each mode."""
    module = symrnn.compile(symrnn.load(name))
    given = arguments(module)
    runs = [{mode: trained(module, mode, given) for mode in module.MEMORY} for _ in range(ROUNDS)]
    found = []
    for mode in module.MEMORY:
        tape, seconds = runs[0][mode][0], float(np.median([r[mode][1] for r in runs]))
        found.append(
            f"| {name} | `{mode}` | {tape / 1e6:.2f} | {peak(module, mode, given) / 1e6:.1f} | {1e3 * seconds:.0f} |"
        )
    return found


def main(names: list[str]) -> None:
    print(f"T={STEPS}, B={BATCH}, all axes {SIZE}, float32\n")
    print("| cell | memory | tape, MB | peak, MB | ms |\n|---|---|--:|--:|--:|")
    for name in names:
        print("\n".join(rows(name)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or ["lstm", "mlstm"])
