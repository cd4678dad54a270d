"""Runs CUDA source on the CPU: what a generated CUDA module asks of CuPy, answered with NumPy and compiled C++."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence
from functools import cached_property
from importlib.resources import files
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from symrnn.native.compiler import QUICK, library
from symrnn.native.poisoned import Poisoned

# A text is all that CuPy is given too: which kernels it has, and whether their threads meet, stands nowhere else.
_KERNEL = re.compile(r'extern "C" __global__ void (\w+)\(')
_MEETING = re.compile(r"__syncthreads|__shfl|block_sum|block_best|column_sum")


class RawModule:
    """Kernels of a CUDA text; those that meet at barriers run as fibers, in an order drawn from `seed`."""

    def __init__(self, code: str, options: Sequence[str] = (), seed: int = 0) -> None:
        self.code, self.options, self.seed = code, tuple(o for o in options if o.startswith("-D")), seed

    @cached_property
    def loaded(self) -> ctypes.CDLL:
        header = files("symrnn.templates").joinpath("cuda/host.h").read_text(encoding="utf-8")
        launches = "".join(
            f'extern "C" void launch_{name}(const int64_t* shape, uint64_t seed, int barriers, void** values)\n{{\n'
            f"    host::launch([](void** v) {{ host::call(cell::{name}, v); }}, shape, seed, barriers != 0, values);\n"
            "}\n"
            for name in self.names
        )
        code = self.code.replace("#include <cuda_fp16.h>\n", "")  # the header above knows __half
        text = f"{header}\nnamespace cell {{\n{code}\n}}  // namespace cell\n{launches}"
        return library(text, (*QUICK, *self.options))

    @cached_property
    def names(self) -> dict[str, bool]:
        """Every kernel, and whether its threads meet."""
        found = list(_KERNEL.finditer(self.code))
        ends = [*(m.start() for m in found[1:]), len(self.code)]
        return {m[1]: bool(_MEETING.search(self.code, m.end(), end)) for m, end in zip(found, ends, strict=True)}

    def get_function(self, name: str) -> Any:
        """The kernel as CuPy would call it: (grid, block, arguments)."""
        function = self.loaded[f"launch_{name}"]
        function.argtypes = (ctypes.c_void_p, ctypes.c_uint64, ctypes.c_int, ctypes.c_void_p)
        function.restype = None

        def launch(grid: tuple[int, ...], block: tuple[int, ...], args: Sequence[Any]) -> None:
            values = [ctypes.c_int64(a.ctypes.data if isinstance(a, np.ndarray) else int(a)) for a in args]
            pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(v) for v in values))
            shape = (ctypes.c_int64 * 3)(grid[0], block[0], block[1] if len(block) > 1 else 1)
            self.seed += 1
            function(shape, self.seed, self.names[name], pointers)

        return launch


class Arrays(Poisoned):
    """NumPy under CuPy's name, with one device that is the CPU."""

    def __init__(self) -> None:
        stream = SimpleNamespace(ptr=0)
        self.RawModule = RawModule
        self.cuda = SimpleNamespace(
            Device=lambda: SimpleNamespace(id=0, compute_capability="90"),
            get_current_stream=lambda: stream,
            runtime=SimpleNamespace(getDeviceCount=lambda: 1, CUDARuntimeError=RuntimeError),
        )


def on_the_cpu(module: ModuleType) -> ModuleType:
    """The generated CUDA module with its kernels running on the CPU, on NumPy arrays."""
    module.__dict__.update(
        cp=Arrays(), GRAPHS=False, APART=False, MOST_BLOCKS=2
    )  # few blocks, so that each has several rows
    return module
