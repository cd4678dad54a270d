"""Compiles CUDA text with NVRTC, which needs no device, and says what each kernel takes of a multiprocessor."""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from symrnn.errors import UsageError

ARCHITECTURES = ("sm_75", "sm_80", "sm_90")


@dataclass(frozen=True)
class Usage:
    """What one kernel uses: registers a thread, bytes spilled a thread (stores and loads), shared bytes a block."""

    kernel: str
    registers: int
    spills: int
    shared: int


def _wheels(name: str) -> list[Path]:
    """Files of that name in NVIDIA's wheels."""
    spec = find_spec("nvidia")
    folders = [Path(p) for p in spec.submodule_search_locations or ()] if spec is not None else []
    return sorted(p for f in folders for p in f.rglob(name) if ".alt" not in p.name)


@cache
def headers() -> Path | None:
    """The folder of cuda_fp16.h, from the wheel nvidia-cuda-runtime or a toolkit; None if there is none."""
    found = [*_wheels("cuda_fp16.h"), Path("/usr/local/cuda/include/cuda_fp16.h")]
    return next((p.parent for p in found if p.exists()), None)


@cache
def _library() -> ctypes.CDLL:
    """NVRTC from the wheel nvidia-cuda-nvrtc, else from the system. Raises UsageError if there is none."""
    for name in (*map(str, _wheels("libnvrtc.so.*")), "libnvrtc.so"):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise UsageError("NVRTC was not found.", "Install nvidia-cuda-nvrtc.")


def available() -> bool:
    """Is there an NVRTC to compile with?"""
    try:
        _library()
    except UsageError:
        return False
    return True


def compile(text: str, architecture: str, options: tuple[str, ...] = ()) -> list[Usage]:
    """Compile a CUDA text down to machine code; returns what each kernel uses, in order. Halves need `headers`.

    Raises UsageError with the compiler's log if the text or the architecture is refused.
    """
    library, program = _library(), ctypes.c_void_p()
    status = library.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernels.cu", 0, None, None)
    assert status == 0, f"nvrtcCreateProgram: {status}"
    try:
        flags = [f"-arch={architecture}", "-std=c++17", "--ptxas-options=-v", *options]
        flags += [f"-I{headers()}"] if headers() else []
        given = (ctypes.c_char_p * len(flags))(*(f.encode() for f in flags))
        status = library.nvrtcCompileProgram(program, len(flags), given)
        log = _log(library, program)
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))
    if status:
        raise UsageError(f"NVRTC refuses the kernels for {architecture}:", log[:2000])
    return usage(log)


def _log(library: ctypes.CDLL, program: ctypes.c_void_p) -> str:
    size = ctypes.c_size_t()
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    return log.value.decode(errors="replace").strip()


_ENTRY = re.compile(
    r"Compiling entry function '(\w+)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads"
    r".*?Used (\d+) registers([^\n]*)",
    re.DOTALL,
)


def usage(log: str) -> list[Usage]:
    """What ``ptxas -v`` says of each kernel."""
    rows = []
    for kernel, stores, loads, registers, rest in _ENTRY.findall(log):
        shared = re.search(r"(\d+) bytes smem", rest)
        rows.append(Usage(kernel, int(registers), int(stores) + int(loads), int(shared[1]) if shared else 0))
    return rows
