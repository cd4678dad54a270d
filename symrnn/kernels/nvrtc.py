"""Compiles CUDA text with NVRTC, which needs no device, and says what each kernel takes of a multiprocessor."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from symrnn.errors import UsageError

ARCHITECTURES = ("sm_75", "sm_80", "sm_90")


@dataclass(frozen=True)
class Usage:
    """What one kernel uses: registers a thread, bytes spilled to local memory, bytes of shared memory a block."""

    kernel: str
    registers: int
    spills: int
    shared: int


@cache
def _library() -> ctypes.CDLL:
    """NVRTC from the wheel nvidia-cuda-nvrtc, else from the system. Raises UsageError if there is none."""
    spec = find_spec("nvidia")
    folders = [Path(p) for p in spec.submodule_search_locations or ()] if spec is not None else []
    found = sorted(p for f in folders for p in f.rglob("libnvrtc.so.*") if "builtins" not in p.name and ".alt" not in p.name)
    for name in (*map(str, found), "libnvrtc.so"):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise UsageError("NVRTC was not found.", "Install nvidia-cuda-nvrtc.")


def compile(text: str, architecture: str, options: tuple[str, ...] = ()) -> bytes:
    """The cubin of a CUDA text. Raises UsageError with the compiler's log if it is refused."""
    library, program = _library(), ctypes.c_void_p()
    status = library.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernels.cu", 0, None, None)
    assert status == 0, f"nvrtcCreateProgram: {status}"
    try:
        flags = [f"-arch={architecture}", "-std=c++17", *options]
        given = (ctypes.c_char_p * len(flags))(*(f.encode() for f in flags))
        if library.nvrtcCompileProgram(program, len(flags), given):
            raise UsageError(f"NVRTC refuses the kernels for {architecture}:", _log(library, program))
        size = ctypes.c_size_t()
        library.nvrtcGetCUBINSize(program, ctypes.byref(size))
        cubin = ctypes.create_string_buffer(size.value)
        library.nvrtcGetCUBIN(program, cubin)
        return cubin.raw
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def _log(library: ctypes.CDLL, program: ctypes.c_void_p) -> str:
    size = ctypes.c_size_t()
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    return log.value.decode(errors="replace").strip()[:2000]


_RESOURCES = re.compile(r"Function (\w+):\s*REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)")


def usage(cubin: bytes) -> list[Usage]:
    """What each kernel of a cubin uses, read from the ELF attributes that the driver reads too."""
    return [Usage(*row) for row in _attributes(cubin)]


def _attributes(cubin: bytes) -> list[tuple[str, int, int, int]]:
    """(kernel, registers, bytes of stack, shared bytes): registers stand in a text section's info, the stack in .nv.info."""
    sections = _sections(cubin)
    frames = _frames(cubin, sections)
    rows = []
    for name, section in sections.items():
        if name.startswith(".text."):
            kernel = name.removeprefix(".text.")
            shared = sections.get(f".nv.shared.{kernel}")
            rows.append((kernel, section.info >> 24, frames.get(kernel, 0), shared.size if shared else 0))
    return sorted(rows)


@dataclass(frozen=True)
class _Section:
    kind: int
    offset: int
    size: int
    link: int
    info: int
    entry: int


def _sections(elf: bytes) -> dict[str, _Section]:
    """The section headers of a 64-bit little-endian ELF file, by name."""
    table, = _read(elf, 0x28, "Q")
    width, count, names = _read(elf, 0x3A, "HHH")
    raw = [_read(elf, table + k * width, "IIQQQQIIQQ") for k in range(count)]
    base = raw[names][4]
    found = {}
    for name, kind, _, _, offset, size, link, info, _, entry in raw:
        end = elf.index(b"\0", base + name)
        found[elf[base + name : end].decode()] = _Section(kind, offset, size, link, info, entry)
    return found


def _frames(elf: bytes, sections: dict[str, _Section]) -> dict[str, int]:
    """Bytes of local memory a thread of each kernel needs: attribute 0x11 (frame size) of .nv.info."""
    info, symbols = sections.get(".nv.info"), sections[".symtab"]
    if info is None:
        return {}
    strings = sections[".strtab"].offset
    frames, at = {}, info.offset
    while at < info.offset + info.size:
        form, attribute, length = _read(elf, at, "BBH")
        at += 4
        if form == 4 and attribute == 0x11:
            symbol, frame = _read(elf, at, "II")
            name, = _read(elf, symbols.offset + symbol * 24, "I")
            end = elf.index(b"\0", strings + name)
            frames[elf[strings + name : end].decode()] = frame
        at += length if form == 4 else 0
    return frames


def _read(data: bytes, at: int, form: str) -> tuple[int, ...]:
    import struct

    return struct.unpack_from("<" + form, data, at)


def spills(text: str, architecture: str) -> list[Usage] | None:
    """What ptxas reports for each kernel, with spills apart from the stack; None where there is no nvcc."""
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "kernels.cu"
        source.write_text(text, encoding="utf-8")
        done = subprocess.run(
            [nvcc, "-std=c++17", "-cubin", f"-arch={architecture}", "-Xptxas", "-v", str(source), "-o", f"{folder}/out.cubin"],
            capture_output=True, text=True, check=False,
        )
    if done.returncode:
        raise UsageError(f"nvcc refuses the kernels for {architecture}:", done.stderr.strip()[:2000])
    return _ptxas(done.stderr)


_PTXAS = re.compile(
    r"Compiling entry function '(\w+)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads.*?Used (\d+) registers([^\n]*)",
    re.DOTALL,
)


def _ptxas(log: str) -> list[Usage]:
    rows = []
    for kernel, stores, loads, registers, rest in _PTXAS.findall(log):
        shared = re.search(r"(\d+) bytes smem", rest)
        rows.append(Usage(kernel, int(registers), int(stores) + int(loads), int(shared[1]) if shared else 0))
    return sorted(rows, key=lambda u: u.kernel)
