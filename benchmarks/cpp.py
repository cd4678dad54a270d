"""The cpp backend against the NumPy one and torch, in one process: `python -m benchmarks.cpp [--write]`.

An LSTM in float32, forward and backward with all gradients, one thread each, interleaved runs, medians; results are
compared first. Beside them the time of the bare matrix products, which no arrangement of the rest can undercut.
"""

from __future__ import annotations

import datetime
import json
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import symrnn

SIZES = [(200, 8, 32, 64), (100, 16, 64, 128)]
ROUNDS = 30
GATES = "ifgo"
RESULTS = Path(__file__).parent / "results"

Run = Callable[[], list[np.ndarray]]


@dataclass(frozen=True)
class Figures:
    """Milliseconds by peer at one size (T, B, I, H); `products` is the limit."""

    size: tuple[int, int, int, int]
    milliseconds: dict[str, float]


@dataclass
class Results:
    """One run of the benchmark: where, with what, when."""

    machine: str
    versions: dict[str, str]
    date: str
    figures: list[Figures] = field(default_factory=list)


def backend(name: str, params: Any, x: np.ndarray, dy: np.ndarray) -> Run:
    """Forward and backward of the generated module; returns y, dx and the gradients of the weights, gates stacked."""
    module = symrnn.compile(symrnn.load("lstm"), name)

    def run() -> list[np.ndarray]:
        y, _, tape = module.forward(params, x)
        d, dx, _ = module.backward(params, tape, dy)
        return [y, dx, *(d[f"{w}_{g}"] for w in "WUb" for g in GATES)]

    return run


def torch_lstm(params: Any, x: np.ndarray, dy: np.ndarray) -> Run | None:
    """The same with torch.nn.LSTM, or None where torch is missing."""
    try:
        import torch  # noqa: PLC0415 (an optional peer)
    except ImportError:
        return None
    torch.set_num_threads(1)
    lstm = torch.nn.LSTM(x.shape[-1], dy.shape[-1])
    with torch.no_grad():
        stacked = [np.concatenate([params[f"{w}_{g}"] for g in GATES]) for w in "WUb"]
        weights = (*stacked, np.zeros_like(stacked[-1]))
        for mine, theirs in zip(weights, lstm.parameters(), strict=True):
            theirs.copy_(torch.from_numpy(mine))
    given, cotangent = torch.from_numpy(x).requires_grad_(), torch.from_numpy(dy)
    leaves = [given, *list(lstm.parameters())[:3]]

    def run() -> list[np.ndarray]:
        y, _ = lstm(given)
        dx, *gradients = torch.autograd.grad(y, leaves, cotangent)
        found = [part.numpy() for g in gradients for part in g.chunk(len(GATES))]
        return [y.detach().numpy(), dx.numpy(), *found]

    return run


def products(steps: int, batch: int, inputs: int, width: int) -> Run:
    """An LSTM's matrix products and nothing else."""
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.standard_normal(shape).astype(np.float32)  # noqa: E731
    w, u, x = draw(inputs, 4 * width), draw(width, 4 * width), draw(steps * batch, inputs)
    h, d = draw(steps, batch, width), draw(steps, batch, 4 * width)
    u_turned, flat = np.ascontiguousarray(u.T), d.reshape(-1, 4 * width)
    gates, back = np.empty((batch, 4 * width), np.float32), np.empty((batch, width), np.float32)

    def run() -> list[np.ndarray]:
        np.matmul(x, w)
        for t in range(steps):
            np.matmul(h[t], u, gates)
        for t in range(steps):
            np.matmul(d[t], u_turned, back)
        return [np.matmul(flat, w.T), np.matmul(flat.T, x), np.matmul(flat.T, h.reshape(-1, width))]

    return run


def measured(size: tuple[int, int, int, int]) -> Figures:
    """Medians of interleaved runs. AssertionError if two peers do not compute the same."""
    steps, batch, inputs, width = size
    rng = np.random.default_rng(0)
    x = rng.standard_normal((steps, batch, inputs)).astype(np.float32)
    dy = rng.standard_normal((steps, batch, width)).astype(np.float32)
    params = symrnn.compile(symrnn.load("lstm")).init(I=inputs, H=width)
    runs = {name: backend(name, params, x, dy) for name in ("numpy", "cpp")}
    torch = torch_lstm(params, x, dy)
    runs |= {"torch": torch} if torch else {}
    expected, *others = (run() for run in runs.values())
    for found in others:
        for a, b in zip(expected, found, strict=True):
            np.testing.assert_allclose(b, a, rtol=0, atol=1e-4 * max(1.0, float(np.abs(a).max())))
    runs["products"] = products(*size)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(1e3 * (time.perf_counter() - start))
    return Figures(size, {name: round(float(np.median(t)), 2) for name, t in times.items()})


def table(results: Results) -> str:
    """Markdown: milliseconds, and how many times faster than NumPy cpp is."""
    versions = ", ".join(f"{k} {v}" for k, v in results.versions.items())
    lines = [f"# LSTM on a processor: {results.machine}", "", f"{results.date}; {versions}; one thread, float32.", ""]
    lines += ["Forward and backward in milliseconds, median of interleaved runs.", ""]
    peers = list(results.figures[0].milliseconds)
    lines += [
        f"| T, B, I, H | {' | '.join(peers)} | cpp is faster than numpy |",
        "|---" + "|--:" * (len(peers) + 1) + "|",
    ]
    for f in results.figures:
        row = [", ".join(map(str, f.size)), *(f"{f.milliseconds[p]:.2f}" for p in peers)]
        lines.append(f"| {' | '.join(row)} | {f.milliseconds['numpy'] / f.milliseconds['cpp']:.2f}× |")
    return "\n".join([*lines, ""])


def processor() -> str:
    """What the machine calls its processor."""
    info = Path("/proc/cpuinfo")
    named = [x for x in info.read_text().splitlines() if x.startswith("model name")] if info.exists() else []
    return named[0].split(": ")[1] if named else platform.processor() or platform.machine()


def main(write: bool) -> None:
    versions = {"symrnn": symrnn.__version__, "python": platform.python_version(), "numpy": np.__version__}
    results = Results(processor(), versions, datetime.date.today().isoformat())
    results.figures = [measured(size) for size in SIZES]
    if "torch" in sys.modules:
        versions["torch"] = sys.modules["torch"].__version__
    print(table(results))
    if write:
        (RESULTS / "cpp.json").write_text(json.dumps(asdict(results), indent=1) + "\n", encoding="utf-8")
        (RESULTS / "cpp.md").write_text(table(results), encoding="utf-8")


if __name__ == "__main__":
    main("--write" in sys.argv[1:])
