"""CuPy and cuBLAS as far as a generated module asks for them, on the CPU: streams that capture, and graphs."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from itertools import count
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from symrnn.emit import emit, target
from symrnn.language.cell import Cell
from symrnn.native.cuda_on_cpu import Arrays, RawModule

KINDS = {0: (np.float32, 68), 1: (np.float64, 70), 2: (np.float16, 68)}
_CDLL = ctypes.CDLL


class Array(np.ndarray):
    """A NumPy array with CuPy's `data.ptr`; an assignment to it is work for the device."""

    owner: StandIn | None = None

    def __array_finalize__(self, made_of: Any) -> None:
        self.owner = getattr(made_of, "owner", None)

    @property
    def data(self) -> Any:  # type: ignore[override]
        return SimpleNamespace(ptr=self.ctypes.data)

    def __setitem__(self, key: Any, value: Any) -> None:
        assert self.owner is not None
        self.owner.do(lambda: np.ndarray.__setitem__(self, key, value))


class Stream:
    """A stream; what is done while it is captured is done at each launch of the graph instead."""

    _pointers = count(1000)

    def __init__(self, device: StandIn) -> None:
        self.device, self.ptr, self.captured = device, next(self._pointers), list[Callable[[], None]]()

    def __enter__(self) -> None:
        self.device.streams.append(self)

    def __exit__(self, *error: object) -> None:
        assert self.device.streams.pop() is self

    def begin_capture(self) -> None:
        self.device.fail("begin_capture")
        self.device.recording = self.captured

    def end_capture(self) -> Any:
        assert self.device.recording is self.captured
        self.device.recording = None
        for array in self.device.temporary:
            array.fill(np.nan)  # CuPy gives such memory to somebody else
        self.device.fail("end_capture")
        return SimpleNamespace(launch=lambda: self.device.launch(self.captured))


class StandIn(Arrays):
    """CuPy; `broken` names the one function that fails."""

    def __init__(self, broken: str = "", version: int = 12090) -> None:
        super().__init__()
        self.broken, self.launches = broken, 0
        self.streams: list[Any] = [self.cuda.get_current_stream()]
        self.recording: list[Callable[[], None]] | None = None
        self.temporary: list[np.ndarray] = []
        self.libraries: list[str] = []
        self.handles: set[int] = set()
        self._handles = count(1)
        self.cuda.get_current_stream = lambda: self.streams[-1]
        self.cuda.Stream = lambda non_blocking: Stream(self)
        self.cuda.runtime.runtimeGetVersion = lambda: version
        self.RawModule = lambda code, options: Module(self, RawModule(code, options))

    def __getattr__(self, name: str) -> Any:
        found = getattr(np, name)
        if isinstance(found, type) or not callable(found):
            return found

        def made(*args: Any, **more: Any) -> Any:
            result = found(*args, **more)
            return self.owned(result) if isinstance(result, np.ndarray) and "out" not in more else result

        return made

    def owned(self, array: np.ndarray) -> Any:
        """An array of this device's memory."""
        result: Any = array.view(Array)
        result.owner = self
        self.temporary += [result] if self.recording is not None else []
        return result

    def empty(self, shape: Any, dtype: Any = float) -> Any:
        return self.owned(super().empty(shape, dtype))

    def matmul(self, a: Any, b: Any, out: Any) -> None:
        if self.recording is not None:
            raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")
        np.matmul(a, b, out=out)

    def do(self, action: Callable[[], None]) -> None:
        """Now, or when the graph is launched."""
        if self.recording is None:
            action()
        else:
            self.recording.append(action)

    def launch(self, captured: list[Callable[[], None]]) -> None:
        self.launches += 1
        for action in captured:
            action()

    def fail(self, name: str) -> None:
        if self.broken == name:
            raise RuntimeError(f"{name} fails")

    # -- cuBLAS --------------------------------------------------------------------------------------------

    def library(self, name: str, *args: Any) -> Any:
        """What ctypes.CDLL returns; cuBLAS is this object itself."""
        if "cublas" not in str(name):
            return _CDLL(name, *args)
        self.libraries.append(name)
        if self.broken == "library":
            raise OSError(f"{name}: cannot open shared object file")
        return self

    def cublasCreate_v2(self, handle: Any) -> int:
        assert self.recording is None, "a handle allocates memory"
        handle._obj.value = next(self._handles)
        self.handles.add(handle._obj.value)
        return 0

    def cublasDestroy_v2(self, handle: Any) -> int:
        assert self.recording is None
        self.handles.remove(handle.value)
        return 0

    def cublasSetStream_v2(self, handle: Any, stream: Any) -> int:
        assert handle.value in self.handles
        return 7 * (self.broken == "cublasSetStream_v2")

    def cublasSetWorkspace_v2(self, handle: Any, memory: Any, size: Any) -> int:
        assert handle.value in self.handles and size.value > 0
        return 0

    def cublasGemmEx(
        self, handle: Any, flag_a: int, flag_b: int, m: int, n: int, k: int, one: Any, a: Any, kind_a: int, lead_a: int,
        b: Any, kind_b: int, lead_b: int, zero: Any, c: Any, kind_c: int, lead_c: int, compute: int, algorithm: int,
    ) -> int:  # fmt: skip
        """c (m, n) = a (m, k) times b (k, n), all by columns; with its flag an operand lies transposed."""
        assert handle.value in self.handles and kind_a == kind_b == kind_c and algorithm == -1
        dtype, wanted = KINDS[kind_a]
        assert compute == wanted and (one._obj.value, zero._obj.value) == (1, 0)
        if self.broken == "cublasGemmEx":
            return 13
        left = _matrix(a, (k, m) if flag_a else (m, k), lead_a, dtype)
        right = _matrix(b, (n, k) if flag_b else (k, n), lead_b, dtype)
        out = _matrix(c, (m, n), lead_c, dtype)
        self.do(lambda: np.copyto(out, (left.T if flag_a else left) @ (right.T if flag_b else right)))
        return 0


class Module:
    """Kernels whose launches a stream may capture."""

    def __init__(self, device: StandIn, kernels: RawModule) -> None:
        self.device, self.kernels = device, kernels

    def get_function(self, name: str) -> Any:
        function = self.kernels.get_function(name)
        return lambda *given: self.device.do(lambda: function(*given))


def _matrix(pointer: Any, shape: tuple[int, int], lead: int, dtype: type) -> np.ndarray:
    """Memory as a matrix by columns."""
    rows, columns = shape
    assert lead >= rows, "cuBLAS refuses columns that overlap"
    size = np.dtype(dtype).itemsize
    memory = (ctypes.c_char * ((lead * (columns - 1) + rows) * size)).from_address(pointer.value)
    return np.lib.stride_tricks.as_strided(np.frombuffer(memory, dtype), shape, (size, lead * size), writeable=True)


def with_stand_in(cell: Cell, device: StandIn) -> ModuleType:
    """The cuda module of a cell as it runs with CuPy, CUDA graphs included."""
    module: ModuleType = target("cuda").load(cell, emit(cell, "cuda"), host=True)  # type: ignore[attr-defined]
    module.__dict__.update(cp=device, GRAPHS=True)
    return module
