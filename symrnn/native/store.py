"""The folder of compiled libraries. They are run, so the folder and all in it must be the user's own."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from symrnn.errors import UsageError

#: Where the system shows a process its open files; a path through it stays with the folder that was opened.
OPEN_FILES = Path("/proc/self/fd")
ADVICE = "Remove it, or set SYMRNN_CACHE to a folder of your own: code in it is run."


def named() -> Path:
    """The folder by name: $SYMRNN_CACHE, or symrnn in the user's cache folder. Raises UsageError without a home."""
    if given := os.environ.get("SYMRNN_CACHE"):
        return Path(given)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "symrnn"
    except RuntimeError:
        raise UsageError("There is no home folder to keep compiled kernels in.", "Set SYMRNN_CACHE.") from None


@contextmanager
def opened() -> Iterator[Path]:
    """The folder, made if need be, as a path that cannot come to mean another one while it is in use.

    Raises UsageError if it cannot be made, or if somebody else may write to it.
    """
    folder = named()
    if folder.is_symlink():
        raise UsageError(f"{folder} is a symbolic link.", "Set SYMRNN_CACHE to the folder it leads to.")
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


def present(path: Path) -> bool:
    """Is there such a library? Raises UsageError if it is not the user's own."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    shown = named() / path.name
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{shown} is not a plain file.", ADVICE)
    refuse_others(found, shown)
    return True


def refuse_others(found: os.stat_result, shown: Path) -> None:
    """Raise UsageError if somebody else owns a file or a folder or may write to it."""
    if found.st_uid != os.getuid():
        raise UsageError(f"{shown} belongs to another user.", ADVICE)
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UsageError(f"Other users may write to {shown}.", ADVICE)


def refuse_loose(folder: Path) -> None:
    """Raise UsageError if somebody else may exchange the folder, or one above it, for another."""
    for above in folder.parents:
        found = above.stat()
        shared = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX
        if shared or found.st_uid not in (0, os.getuid()):
            raise UsageError(f"{folder} may be exchanged by other users, who may write to {above}.", ADVICE)


def unusable(folder: Path, error: OSError) -> UsageError:
    """What to say of a folder that cannot be made, read or written."""
    reason = (error.strerror or "error").lower()
    return UsageError(f"Compiled kernels cannot be kept in {folder}: {reason}.", "Set SYMRNN_CACHE to another folder.")
