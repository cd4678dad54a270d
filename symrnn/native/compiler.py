"""Compiles generated C++ once, into the store of compiled libraries, and loads it."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from symrnn.errors import UsageError
from symrnn.native import store

#: No -ffast-math: NaN, infinity and the order of operations mean what they say; only errno and traps are given up.
QUICK = ("-O0",)
FAST = ("-O3", "-march=native", "-fopenmp-simd", "-fno-math-errno", "-fno-trapping-math")
COMMON = ("-std=c++17", "-shared", "-fPIC", "-Wall", "-Wextra", "-Wno-unknown-pragmas")
LOADING_ADVICE = "Remove it, or set SYMRNN_CACHE to a folder whose files may be run."


def compiler() -> str | None:
    """The path of the system's C++ compiler: $CXX, g++, clang++ or c++; None if there is none."""
    named = os.environ.get("CXX")
    candidates = [named] if named else ["g++", "clang++", "c++"]
    return next((str(Path(found).absolute()) for c in candidates if (found := shutil.which(c))), None)


@cache
def _version(command: str) -> str:
    return _run([command, "--version"]).stdout


def _run(command: list[str], folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A finished compiler. Raises UsageError if it does not start."""
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", errors="replace", check=False)
    except OSError as error:
        reason = (error.strerror or "error").lower()
        raise UsageError(f"{command[0]} does not start: {reason}.", "Set CXX to another compiler.") from None


@cache
def _machine() -> str:
    """What -march=native may depend on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return platform.machine() + platform.processor() + next((x for x in lines if x.startswith("flags")), "")


@cache
def library(source: str, flags: tuple[str, ...]) -> ctypes.CDLL:
    """The library of a C++ text, compiled unless the store has it. Raises UsageError if that fails."""
    command = compiler()
    if command is None:
        raise UsageError("There is no C++ compiler.", "Install g++ or clang++, or set CXX.")
    key = "\0".join([source, *flags, command, _version(command), _machine()])
    name = f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.so"
    with store.opened() as folder:
        path = folder / name
        if not store.present(path):
            try:
                _compile(source, [command, *COMMON, *flags], path)
            except OSError as error:
                raise store.unusable(store.named(), error) from None
        try:
            return ctypes.CDLL(str(path))
        except OSError as error:
            reason = str(error).removeprefix(f"{path}: ")
            raise UsageError(f"{store.named() / name} cannot be loaded: {reason}.", LOADING_ADVICE) from None


def _compile(source: str, command: list[str], path: Path) -> None:
    """Compile a text to a library at `path`, which is there only once it is whole."""
    with tempfile.TemporaryDirectory(dir=path.parent) as made:
        folder = Path(made)
        (folder / "kernels.cpp").write_text(source, encoding="utf-8")
        done = _run([*command, "kernels.cpp", "-o", "kernels.so", "-lm"], folder)
        if done.returncode:
            said = done.stderr.strip()[:2000] or f"it ends with {done.returncode}."
            raise UsageError(f"{command[0]} does not compile the kernels:", said)
        (folder / "kernels.so").chmod(0o700)  # whatever the umask says, nobody else may change what is run
        (folder / "kernels.so").replace(path)


class Functions(dict[str, Any]):
    """The functions of a library by name, each taking t, the sizes and the arrays' addresses."""

    def __init__(self, loaded: ctypes.CDLL) -> None:
        super().__init__()
        self.loaded = loaded

    def __missing__(self, name: str) -> Any:
        function = self.loaded[name]
        function.argtypes = (ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)
        function.restype = None
        self[name] = function
        return function


@cache
def pointwise_library(source: str, dtype: Any, flags: tuple[str, ...] = FAST) -> Functions:
    """The kernels of a cell for one element type (float32 or float64)."""
    real = {"float32": "float", "float64": "double"}[str(dtype)]
    return Functions(library(source, (*flags, f"-DSYMRNN_REAL={real}")))
