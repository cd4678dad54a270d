"""Compiles generated C++ once, into the user's cache, and loads it."""

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

#: No -ffast-math: NaN, infinity and the order of operations mean what they say; only errno and traps are given up.
FAST = ("-O3", "-march=native", "-fopenmp-simd", "-fno-math-errno", "-fno-trapping-math")
COMMON = ("-std=c++17", "-shared", "-fPIC", "-Wall", "-Wextra", "-Wno-unknown-pragmas")


def compiler() -> str | None:
    """The system's C++ compiler: $CXX, g++, clang++ or c++; None if there is none."""
    named = os.environ.get("CXX")
    candidates = [named] if named else ["g++", "clang++", "c++"]
    return next((found for c in candidates if (found := shutil.which(c))), None)


def cache_folder() -> Path:
    """Where compiled libraries are kept: $SYMRNN_CACHE, or symrnn below the user's cache folder."""
    given = os.environ.get("SYMRNN_CACHE")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "symrnn"


@cache
def _version(command: str) -> str:
    return subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout


@cache
def _machine() -> str:
    """What -march=native may depend on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return platform.machine() + platform.processor() + next((x for x in lines if x.startswith("flags")), "")


def library(source: str, flags: tuple[str, ...]) -> Path:
    """The shared library of a C++ text, compiled unless the cache has it. Raises UsageError if that fails."""
    command = compiler()
    if command is None:
        raise UsageError("There is no C++ compiler.", "Install g++ or clang++, or set CXX.")
    key = "\0".join([source, *flags, command, _version(command), _machine()])
    path = cache_folder() / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.so"
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        text, made = Path(folder) / "kernels.cpp", Path(folder) / "kernels.so"
        text.write_text(source, encoding="utf-8")
        done = subprocess.run(
            [command, *COMMON, *flags, str(text), "-o", str(made), "-lm"], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise UsageError(f"{command} does not compile the kernels:", done.stderr.strip()[:2000])
        made.replace(path)
    return path


@cache
def load(path: Path) -> ctypes.CDLL:
    return ctypes.CDLL(str(path))


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
def pointwise_library(source: str, dtype: Any) -> Functions:
    """The kernels of a cell for one element type (float32 or float64)."""
    real = {"float32": "float", "float64": "double"}[str(dtype)]
    return Functions(load(library(source, (*FAST, f"-DSYMRNN_REAL={real}"))))
