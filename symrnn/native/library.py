"""Compiles C++ once, keeps the library and loads it. What is kept is run: the folder and all in it must be the user's.

All that follows the imports also stands in every generated cpp module, which must need nothing of symrnn.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

#: Where the system shows a process its open files; a path through it stays with the folder that was opened.
OPEN_FILES = Path("/proc/self/fd")
OWN = "Remove it, or set SYMRNN_CACHE to a folder of your own: code in it is run."


class LibraryError(RuntimeError):
    """A library that cannot be compiled, kept or loaded: what is wrong, and what to do."""


@cache
def library(source: str, options: tuple[str, ...]) -> ctypes.CDLL:
    """The library of a C++ text, compiled unless it is kept from before. Raises LibraryError if that fails."""
    command = compiler()
    if command is None:
        raise LibraryError(no_compiler())
    key = "\0".join([source, *options, command, version(command), machine()])
    name = f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.so"
    with opened_store() as folder:
        path = folder / name
        try:
            if not is_kept(path):
                compile_to(path, source, [command, "-std=c++14", "-shared", "-fPIC", *options])
        except OSError as error:
            raise unusable(store(), error) from None
        try:
            return ctypes.CDLL(str(path))
        except OSError as error:
            reason = str(error).removeprefix(f"{path}: ")
            advice = "Remove it, or set SYMRNN_CACHE to a folder whose files may be run."
            raise LibraryError(f"{store() / name} cannot be loaded: {reason}. {advice}") from None


def compiler() -> str | None:
    """The path of the system's C++ compiler: $CXX, g++, clang++ or c++; None if there is none."""
    named = os.environ.get("CXX")
    candidates = [named] if named else ["g++", "clang++", "c++"]
    return next((str(Path(found).absolute()) for c in candidates if (found := shutil.which(c))), None)


def no_compiler() -> str:
    """Why there is no compiler, and what to do."""
    if named := os.environ.get("CXX"):
        return f"CXX is {named!r}, but there is no such program. Set it to a C++ compiler, or unset it."
    return "There is no C++ compiler. Install g++ or clang++, or set CXX."


@cache
def version(command: str) -> str:
    """What a compiler says of itself."""
    return finished([command, "--version"]).stdout


@cache
def machine() -> str:
    """What -march=native may depend on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return platform.machine() + platform.processor() + next((x for x in lines if x.startswith("flags")), "")


def compile_to(path: Path, source: str, command: list[str]) -> None:
    """Compile a text to a library at `path`, which is there only once it is whole."""
    with tempfile.TemporaryDirectory(dir=path.parent) as made:
        folder = Path(made)
        (folder / "kernels.cpp").write_text(source, encoding="utf-8")
        done = finished([*command, "kernels.cpp", "-o", "kernels.so", "-lm"], folder)
        if done.returncode:
            said = done.stderr.strip()[:2000] or f"it ends with {done.returncode}."
            raise LibraryError(f"{command[0]} does not compile the kernels: {said}")
        (folder / "kernels.so").chmod(0o700)  # whatever the umask says, nobody else may change what is run
        (folder / "kernels.so").replace(path)


def finished(command: list[str], folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A compiler that has run. Raises LibraryError if it does not start."""
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", errors="replace", check=False)
    except OSError as error:
        reason = (error.strerror or "error").lower()
        raise LibraryError(f"{command[0]} does not start: {reason}. Set CXX to another compiler.") from None


def store() -> Path:
    """The folder by name: $SYMRNN_CACHE, or symrnn in the user's cache folder. Raises LibraryError without a home."""
    if given := os.environ.get("SYMRNN_CACHE"):
        return Path(given)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "symrnn"
    except RuntimeError:
        raise LibraryError("There is no home folder to keep compiled kernels in. Set SYMRNN_CACHE.") from None


@contextmanager
def opened_store() -> Iterator[Path]:
    """The folder, made if need be, as a path that cannot come to mean another one while it is in use.

    Raises LibraryError if it cannot be made, or if somebody else may write to it.
    """
    folder = store()
    if folder.is_symlink():
        raise LibraryError(f"{folder} is a symbolic link. Set SYMRNN_CACHE to the folder it leads to.")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise unusable(folder, error) from None
    try:
        refuse_others(os.fstat(handle), folder)
        through = OPEN_FILES / str(handle)
        if not through.is_dir():
            through = folder.resolve()
            refuse_loose(through)
        yield through
    finally:
        os.close(handle)


def is_kept(path: Path) -> bool:
    """Is there such a library? Raises LibraryError if it is not the user's own."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    shown = store() / path.name
    if not stat.S_ISREG(found.st_mode):
        raise LibraryError(f"{shown} is not a plain file. {OWN}")
    refuse_others(found, shown)
    return True


def refuse_others(found: os.stat_result, shown: Path) -> None:
    """Raise LibraryError if somebody else owns a file or a folder or may write to it."""
    if found.st_uid != os.getuid():
        raise LibraryError(f"{shown} belongs to another user. {OWN}")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise LibraryError(f"Other users may write to {shown}. {OWN}")


def refuse_loose(folder: Path) -> None:
    """Raise LibraryError if somebody else may exchange the folder, or one above it, for another."""
    for above in folder.parents:
        found = above.stat()
        shared = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX
        if shared or found.st_uid not in (0, os.getuid()):
            raise LibraryError(f"{folder} may be exchanged by other users, who may write to {above}. {OWN}")


def unusable(folder: Path, error: OSError) -> LibraryError:
    """What to say of a folder that cannot be made, read or written."""
    reason = (error.strerror or "error").lower()
    return LibraryError(f"Compiled kernels cannot be kept in {folder}: {reason}. Set SYMRNN_CACHE to another folder.")
