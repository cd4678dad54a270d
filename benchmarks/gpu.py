"""Everything a GPU can say, in one command of under ten minutes: `python -m benchmarks.gpu`.

First every gallery cell is compared with the NumPy module in float64. Then time per step, forward and forward and
backward, of LSTM, GRU and Elman against torch's cuDNN layers, a torch cell written by hand (eager and compiled), and
the same equations as CuPy array code. Results are compared before they are timed. Writes benchmarks/results/gpu-*.json
and a table beside it, with device, versions and date. Needs CuPy and torch; what did not fit into the time is listed.
"""

from __future__ import annotations

import datetime
import itertools
import json
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np

import symrnn
from symrnn.proof.check import SHAPES, check

RESULTS = Path(__file__).parent / "results"
MINUTES = 9.5
SIZES = [(64, 16, 128), (64, 1, 256), (256, 16, 512), (64, 128, 512), (1024, 16, 1024), (64, 16, 2048), (1024, 1, 128)]
GRID = list(dict.fromkeys([*SIZES, *itertools.product((64, 1024), (1, 16, 128), (128, 512, 2048))]))
LAYERS = {"lstm": "LSTM", "gru_reset_after": "GRU", "elman": "RNN"}
TOLERANCE = {"float64": 1e-11, "float32": 1e-4, "float16": 3e-2, "bfloat16": 2e-1}


@dataclass
class Figure:
    """Median milliseconds of one thing at one size, forward (and backward), and the device memory it took."""

    cell: str
    peer: str
    dtype: str
    T: int
    B: int
    H: int
    forward_ms: float
    both_ms: float
    us_per_step: float
    megabytes: float


@dataclass
class Results:
    """What was found, and what was not looked at."""

    device: str
    versions: dict[str, str]
    date: str
    correct: dict[str, float] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def libraries() -> tuple[Any, Any]:
    """(cupy, torch), or an exit that says what is missing."""
    try:
        import cupy  # noqa: PLC0415 - what is missing is said in one line
        import torch  # noqa: PLC0415
    except ImportError as error:
        sys.exit(f"{error}: install cupy-cuda12x (or cupy-cuda13x) and torch")
    if not torch.cuda.is_available():
        sys.exit("there is no CUDA device; nothing was measured")
    return cupy, torch


# -- correctness -----------------------------------------------------------------------------------------------


class OnDevice:
    """The cuda module with NumPy arrays at its door, so that the check of the spine can ask it."""

    def __init__(self, module: Any, cupy: Any) -> None:
        self.module, self.cupy = module, cupy

    def __getattr__(self, name: str) -> Any:
        """A function of the module, which looks like it."""
        function = getattr(self.module, name)

        @wraps(function)
        def call(*given: Any) -> Any:
            return self.here(function(*map(self.there, given)))

        return call

    def there(self, a: Any) -> Any:
        if isinstance(a, dict):
            return {k: self.there(v) for k, v in a.items()}
        return self.cupy.asarray(a) if isinstance(a, np.ndarray) else a

    def here(self, a: Any) -> Any:
        if isinstance(a, tuple):
            return tuple(map(self.here, a))
        if isinstance(a, dict):
            return {k: self.here(v) for k, v in a.items()}
        return self.cupy.asnumpy(a) if isinstance(a, self.cupy.ndarray) else a


def correctness(results: Results, cupy: Any, deadline: float) -> None:
    for name in symrnn.gallery():
        if time.monotonic() > deadline:
            results.left_out.append(f"correctness of {name}")
            continue
        cell = symrnn.load(name)
        module: Any = OnDevice(symrnn.compile(cell, "cuda"), cupy)
        for dtype, shapes in (("float64", SHAPES), ("float32", SHAPES[:1])):
            for _ in range(2):  # the second run goes through the captured graph
                report = check(cell, module, "cuda", dtype, shapes)
                results.correct[f"{name} {dtype}"] = max(r.error for r in report.rows)
                results.wrong += [] if report.ok else [str(report)]


# -- time ------------------------------------------------------------------------------------------------------


def clock(torch: Any, run: Callable[[], Any], seconds: float = 0.4) -> float:
    """Median milliseconds of a call, by events on the device, after a warm-up of three."""
    for _ in range(3):
        run()
    torch.cuda.synchronize()
    times: list[float] = []
    begin = time.monotonic()
    while len(times) < 5 or (time.monotonic() - begin < seconds and len(times) < 100):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        stop.record()
        stop.synchronize()
        times.append(start.elapsed_time(stop))
    return float(np.median(times))


def ours(cell: str, unfused: bool, cupy: Any) -> Any:
    """The cuda module, or the NumPy module's array code on CuPy arrays."""
    module: Any = symrnn.compile(symrnn.load(cell), "numpy" if unfused else "cuda")
    if unfused:
        module.np = cupy
    return module


def symrnn_calls(cell: str, unfused: bool, dtype: str, size: tuple[int, int, int], cupy: Any) -> tuple[Any, Any, Any]:
    """(forward, forward and backward, a function that gives all results as one dict)."""
    steps, batch, width = size
    module = ours(cell, unfused, cupy)
    host = symrnn.compile(symrnn.load(cell), "numpy")
    params = {k: cupy.asarray(v).astype(dtype) for k, v in host.init(width, width, seed=1).items()}
    rng = np.random.default_rng(0)
    x, dy = (cupy.asarray(rng.standard_normal((steps, batch, width))).astype(dtype) for _ in range(2))

    def both() -> dict[str, Any]:
        y, _, tape = module.forward(params, x)
        dparams, dx, _ = module.backward(params, tape, dy)
        return {"y": y, "dx": dx} | dparams

    return (lambda: module.forward(params, x)), both, both


def torch_calls(torch: Any, cell: str, peer: str, dtype: str, size: tuple[int, int, int]) -> tuple[Any, Any]:
    """(forward, forward and backward) of cuDNN's layer, or of a cell written by hand, eager or compiled."""
    steps, batch, width = size
    kind = getattr(torch, dtype)
    layer = getattr(torch.nn, LAYERS[cell])(width, width).to("cuda", kind)
    x = torch.randn(steps, batch, width, device="cuda", dtype=kind, requires_grad=True)
    dy = torch.randn(steps, batch, width, device="cuda", dtype=kind)
    run: Callable[[Any], Any] = (lambda x: layer(x)[0]) if peer == "cudnn" else by_hand(torch, layer, LAYERS[cell])
    if peer == "torch compiled":
        run = torch.compile(run)

    def both() -> None:
        run(x).backward(dy)

    def forward() -> None:
        with torch.no_grad():
            run(x)

    return forward, both


def by_hand(torch: Any, layer: Any, kind: str) -> Callable[[Any], Any]:
    """The cell as a user writes it: a loop over time, on the layer's own parameters."""
    w, u, b, c = (getattr(layer, n) for n in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"))

    def step(z: Any, h: Any, s: Any) -> tuple[Any, Any]:
        r = torch.nn.functional.linear(h, u, c)
        if kind == "RNN":
            return torch.tanh(z + r), s
        if kind == "GRU":
            (zr, zz, zn), (rr, rz, rn) = z.chunk(3, -1), r.chunk(3, -1)
            keep = torch.sigmoid(zz + rz)
            return keep * h + (1 - keep) * torch.tanh(zn + torch.sigmoid(zr + rr) * rn), s
        i, f, g, o = (z + r).chunk(4, -1)
        s = torch.sigmoid(f) * s + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(s), s

    def run(x: Any) -> Any:
        projected = torch.nn.functional.linear(x, w, b)
        h = s = torch.zeros(x.shape[1:], device=x.device, dtype=x.dtype)
        rows = []
        for z in projected:
            h, s = step(z, h, s)
            rows.append(h)
        return torch.stack(rows)

    return run


def peers() -> Iterator[tuple[str, str]]:
    """(peer, element type); TF32 is the tensor cores' shortened float32."""
    for dtype in ("float32", "float16", "bfloat16"):
        yield "symrnn", dtype
        yield "cudnn", dtype
    yield from [
        ("cudnn tf32", "float32"),
        ("cupy unfused", "float32"),
        ("torch eager", "float32"),
        ("torch compiled", "float32"),
    ]


def measured(results: Results, cupy: Any, torch: Any, deadline: float) -> None:
    for size, cell, (peer, dtype) in itertools.product(GRID, LAYERS, peers()):
        what = f"{cell} {peer} {dtype} T, B, H = {size}"
        slow = peer == "torch compiled" and size not in SIZES[:1]  # unrolled, it compiles for minutes
        missing = peer == "symrnn" and dtype == "bfloat16" and not has_bfloat16(cupy)
        if time.monotonic() > deadline or slow or missing:
            results.left_out.append(what)
            continue
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = peer == "cudnn tf32"
        torch.cuda.empty_cache()
        cupy.get_default_memory_pool().free_all_blocks()
        free = torch.cuda.mem_get_info()[0]
        if peer in ("symrnn", "cupy unfused"):
            forward, both, values = symrnn_calls(cell, peer == "cupy unfused", dtype, size, cupy)
            if peer == "symrnn" and not agrees(values(), cell, dtype, size, cupy):
                results.wrong.append(what)
                continue
        else:
            forward, both = torch_calls(torch, cell, "cudnn" if peer == "cudnn tf32" else peer, dtype, size)
        both_ms = clock(torch, both)
        used = (free - torch.cuda.mem_get_info()[0]) / 2**20
        steps, batch, width = size
        figure = Figure(
            cell, peer, dtype, steps, batch, width, clock(torch, forward), both_ms, 1e3 * both_ms / steps, used
        )
        results.figures.append(figure)
        print(what, f"{figure.forward_ms:.3f} {figure.both_ms:.3f} ms", flush=True)


def has_bfloat16(cupy: Any) -> bool:
    try:
        cupy.dtype("bfloat16")
    except TypeError:
        return False
    return True


def agrees(found: dict[str, Any], cell: str, dtype: str, size: tuple[int, int, int], cupy: Any) -> bool:
    """The same numbers as the array code gives in float64?"""
    _, _, values = symrnn_calls(cell, True, "float64", size, cupy)
    for name, expected in values().items():
        scale = float(abs(expected).max()) or 1.0
        if not float(abs(found[name].astype("float64") - expected).max()) <= TOLERANCE[dtype] * scale:
            return False
    return True


# -- report ----------------------------------------------------------------------------------------------------


def table(results: Results) -> str:
    """Markdown: what was measured and what was not."""
    versions = ", ".join(f"{k} {v}" for k, v in results.versions.items())
    lines = [f"# {results.device}", "", f"{results.date}; {versions}.", ""]
    right = len(results.correct)
    lines += [f"Correctness: {right} checks, {len(results.wrong)} wrong; median of each figure, milliseconds.", ""]
    lines += [
        "| cell | T, B, H | peer | dtype | forward | forward + backward | µs a step | MB |",
        "|---|---|---|---|--:|--:|--:|--:|",
    ]
    for f in results.figures:
        row = [f.cell, f"{f.T}, {f.B}, {f.H}", f.peer, f.dtype, f"{f.forward_ms:.3f}", f"{f.both_ms:.3f}"]
        lines.append("| " + " | ".join([*row, f"{f.us_per_step:.2f}", f"{f.megabytes:.0f}"]) + " |")
    lines += ["", f"Not measured: {len(results.left_out)} combinations, listed in the JSON file.", ""]
    return "\n".join(lines)


def main() -> None:
    cupy, torch = libraries()
    begin = time.monotonic()
    versions = {"symrnn": symrnn.__version__, "python": platform.python_version(), "cupy": cupy.__version__}
    versions |= {
        "torch": torch.__version__,
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),
    }
    results = Results(torch.cuda.get_device_name(), versions, datetime.date.today().isoformat())
    correctness(results, cupy, begin + 60 * MINUTES / 2)
    measured(results, cupy, torch, begin + 60 * MINUTES)
    RESULTS.mkdir(exist_ok=True)
    stem = f"gpu-{results.device.lower().replace(' ', '-')}-{results.date}"
    (RESULTS / f"{stem}.json").write_text(json.dumps(asdict(results), indent=1) + "\n", encoding="utf-8")
    (RESULTS / f"{stem}.md").write_text(table(results), encoding="utf-8")
    print("\n".join(results.wrong))
    sys.exit(bool(results.wrong))


if __name__ == "__main__":
    main()
