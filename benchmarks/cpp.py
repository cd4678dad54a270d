"""The cpp backend against the NumPy one, in one process: `python -m benchmarks.cpp [CELL …]`.

float32, forward and backward, interleaved runs, medians; results are compared first. Beside them the time of the bare
products of an LSTM at that size, which no arrangement of the rest can undercut.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import symrnn

SIZES = [(200, 8, 32, 64), (100, 16, 64, 128)]
ROUNDS = 30


def calls(module: Any, params: Any, x: np.ndarray, dy: np.ndarray) -> Callable[[], list[np.ndarray]]:
    """Forward and backward, as one call that returns every result."""

    def run() -> list[np.ndarray]:
        y, _, tape = module.forward(params, x)
        dparams, dx, _ = module.backward(params, tape, dy)
        return [y, dx, *dparams.values()]

    return run


def products(steps: int, batch: int, inputs: int, width: int) -> Callable[[], None]:
    """An LSTM's matrix products and nothing else."""
    rng = np.random.default_rng(0)
    w, u, x, h, d = (
        rng.standard_normal(shape).astype(np.float32)
        for shape in (
            (inputs, 4 * width),
            (width, 4 * width),
            (steps * batch, inputs),
            (steps, batch, width),
            (steps, batch, 4 * width),
        )
    )
    u_turned, flat = np.ascontiguousarray(u.T), d.reshape(-1, 4 * width)
    gates, back = np.empty((batch, 4 * width), np.float32), np.empty((batch, width), np.float32)

    def run() -> None:
        np.matmul(x, w)
        for t in range(steps):
            np.matmul(h[t], u, gates)
        for t in range(steps):
            np.matmul(d[t], u_turned, back)
        np.matmul(flat, w.T)
        np.matmul(flat.T, x)
        np.matmul(flat.T, h.reshape(-1, width))

    return run


def main(names: list[str]) -> None:
    for name in names:
        cell = symrnn.load(name)
        modules = [symrnn.compile(cell, backend) for backend in ("numpy", "cpp")]
        for steps, batch, inputs, width in SIZES:
            params = modules[0].init(*({"I": inputs}.get(a, width) for a in cell.axes))
            rng = np.random.default_rng(0)
            x = rng.standard_normal((steps, batch, inputs)).astype(np.float32)
            dy = rng.standard_normal((steps, batch, width)).astype(np.float32)
            runs: list[Callable[[], Any]] = [calls(m, params, x, dy) for m in modules]
            for a, b in zip(runs[0](), runs[1](), strict=True):
                np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * max(1.0, float(np.abs(a).max())))
            runs.append(products(steps, batch, inputs, width))
            times: list[list[float]] = [[] for _ in runs]
            for _ in range(ROUNDS):
                for run, found in zip(runs, times, strict=True):
                    start = time.perf_counter()
                    run()
                    found.append(1e3 * (time.perf_counter() - start))
            numpy, cpp, bare = (float(np.median(t)) for t in times)
            size = f"(T, B, I, H) = {(steps, batch, inputs, width)}"
            print(f"{name} {size}: numpy {numpy:.2f} ms, cpp {cpp:.2f} ms, {numpy / cpp:.2f}×; products {bare:.2f} ms")


if __name__ == "__main__":
    main(sys.argv[1:] or ["lstm"])
