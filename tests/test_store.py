"""The store of compiled libraries: compiled once, and nothing is run that somebody else may have put there.

What symrnn uses itself and what stands in a generated module are both put to the test.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from itertools import count
from pathlib import Path
from types import ModuleType

import pytest
from symrnn.generated.cpp import elman

from symrnn.errors import UsageError
from symrnn.native import compiler, library

pytestmark = pytest.mark.skipif(compiler.compiler() is None, reason="no C++ compiler: install g++ or clang++")
_number = count()


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the store is during the test; it is not there yet."""
    monkeypatch.setenv("SYMRNN_CACHE", str(tmp_path / "below" / "store"))
    return tmp_path / "below" / "store"


@pytest.fixture(params=[library, elman], ids=["symrnn", "generated"])
def module(request: pytest.FixtureRequest) -> ModuleType:
    """Who has the store."""
    found: ModuleType = request.param
    return found


def source() -> str:
    """A text that no test has compiled before."""
    return f'extern "C" int number() {{ return {next(_number)}; }}\n'


def compiled(module: ModuleType, text: str) -> int:
    """Compile or find the library in the store, as a new process would."""
    module.library.cache_clear()
    return int(module.library(text, ()).number())


def refused(module: ModuleType, text: str, what: str) -> None:
    with pytest.raises(module.LibraryError, match=what) as found:
        compiled(module, text)
    assert "SYMRNN_CACHE" in str(found.value)


# -- what works ------------------------------------------------------------------------------------------------


def test_a_library_is_compiled_once_and_nobody_else_may_write_to_it(module: ModuleType, folder: Path) -> None:
    before = os.umask(0o002)
    try:
        text = source()
        number = compiled(module, text)
    finally:
        os.umask(before)
    (made,) = folder.iterdir()
    stamp = made.stat().st_mtime_ns
    assert compiled(module, text) == number and made.stat().st_mtime_ns == stamp
    assert folder.stat().st_mode & 0o777 == 0o700
    assert made.stat().st_mode & 0o022 == 0
    module.library(text, ("-O1",))
    assert len(list(folder.iterdir())) == 2


def test_two_stores_are_not_mixed_up(module: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system knows a loaded library by the path it was loaded with."""
    first, second = source(), source()
    numbers = [compiled(module, first), compiled(module, second)]
    monkeypatch.setenv("SYMRNN_CACHE", str(folder.parent / "another"))
    assert [compiled(module, first), compiled(module, second)] == numbers


def test_a_folder_others_may_read_is_fine(module: ModuleType, folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    compiled(module, source())


# -- what is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777, 0o722])
def test_a_folder_others_may_write_to_is_refused(module: ModuleType, folder: Path, mode: int) -> None:
    folder.mkdir(parents=True)
    folder.chmod(mode)
    refused(module, source(), f"Other users may write to {folder}\\.")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_a_library_others_may_write_to_is_refused(module: ModuleType, folder: Path, mode: int) -> None:
    text = source()
    compiled(module, text)
    (made,) = folder.iterdir()
    made.chmod(mode)
    refused(module, text, f"Other users may write to {made}\\.")


def test_a_folder_of_somebody_else_is_refused(
    module: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir(parents=True)
    me = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: me + 1)
    refused(module, source(), f"{folder} belongs to another user")


def test_a_library_of_somebody_else_is_refused(
    module: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = source()
    compiled(module, text)
    (made,) = folder.iterdir()
    theirs = os.stat_result((made.stat().st_mode, 0, 0, 1, os.getuid() + 1, 0, 0, 0, 0, 0))
    monkeypatch.setattr(Path, "lstat", lambda self: theirs)
    refused(module, text, f"{made} belongs to another user")


def test_a_folder_that_is_a_symbolic_link_is_refused(module: ModuleType, folder: Path) -> None:
    folder.parent.mkdir()
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    for target in (elsewhere, folder.parent / "nowhere"):
        folder.symlink_to(target)
        refused(module, source(), f"{folder} is a symbolic link")
        folder.unlink()
    assert list(elsewhere.iterdir()) == []


def test_a_library_that_is_a_symbolic_link_is_refused(module: ModuleType, folder: Path) -> None:
    text = source()
    compiled(module, text)
    (made,) = folder.iterdir()
    made.rename(folder / "kept.so")
    made.symlink_to(folder / "kept.so")
    refused(module, text, f"{made} is not a plain file")


def test_a_folder_exchanged_while_it_is_in_use_is_not_followed(module: ModuleType, folder: Path) -> None:
    """Where others may write to a folder above, they may put another one in place of the store."""
    text = source()
    with module.opened_store() as through:
        folder.rename(folder.with_name("kept"))
        folder.mkdir()
        (through / "library.so").write_text(text, encoding="utf-8")
    assert list(folder.iterdir()) == []
    assert [p.name for p in folder.with_name("kept").iterdir()] == ["library.so"]


def test_without_proc_no_folder_above_may_be_written_to(
    module: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OPEN_FILES", folder / "no-proc")
    text = source()
    number = compiled(module, text)
    assert compiled(module, text) == number
    folder.parent.chmod(0o777)
    refused(module, text, f"{folder} may be exchanged by other users, who may write to {folder.parent}\\.")
    folder.parent.chmod(0o1777)  # as /tmp: only an owner may rename
    assert compiled(module, text) == number


# -- what cannot be done ---------------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_made_is_named(module: ModuleType, folder: Path) -> None:
    folder.parent.write_text("a file", encoding="utf-8")
    refused(module, source(), f"cannot be kept in {folder}: not a directory")
    folder.parent.unlink()
    folder.parent.mkdir()
    folder.write_text("a file", encoding="utf-8")
    refused(module, source(), f"cannot be kept in {folder}: file exists")


def test_without_a_home_the_variable_is_named(
    module: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("SYMRNN_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    refused(module, source(), "There is no home folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder.parent))
    compiled(module, source())
    assert (folder.parent / "symrnn").is_dir()


def test_a_folder_that_cannot_be_written_is_named(
    module: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", full)
    refused(module, source(), f"cannot be kept in {folder}: no space left on device")


def test_a_library_that_cannot_be_loaded_is_named(
    module: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path, source: str, command: list[str]) -> None:
        path.write_bytes(b"no library")

    monkeypatch.setattr(module, "compile_to", broken)
    refused(module, source(), f"{folder}/.*so cannot be loaded: file too short")


def test_a_compiler_that_fails_is_quoted(module: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(module.LibraryError, match=r"does not compile the kernels: kernels\.cpp:1"):
        compiled(module, "no C++\n")
    monkeypatch.setenv("CXX", "/bin/false")
    with pytest.raises(module.LibraryError, match="false does not compile the kernels: it ends with 1"):
        compiled(module, source())
    broken = folder.parent / "broken"
    broken.write_text("no program", encoding="utf-8")
    broken.chmod(0o700)
    monkeypatch.setenv("CXX", str(broken))
    with pytest.raises(module.LibraryError, match=f"{broken} does not start: exec format error"):
        compiled(module, source())
    assert list(folder.iterdir()) == []


def test_symrnn_tells_it_as_a_mistake_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/bin/false")
    with pytest.raises(UsageError, match="false does not compile the kernels: it ends with 1"):
        compiler.library(source(), ())


# -- on the command line ---------------------------------------------------------------------------------------


def command(**environment: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "symrnn", "check", "elman", "--backend", "cpp"]
    return subprocess.run(line, env=os.environ | environment, capture_output=True, text=True, timeout=120, check=False)


def test_a_planted_library_is_not_run(folder: Path) -> None:
    planted = '__attribute__((constructor)) static void run() { fclose(fopen("%s", "w")); }'
    assert command().returncode == 0
    libraries = [*folder.iterdir()]  # one a function of the module
    mark, text = folder.parent / "mark", folder.parent / "planted.cpp"
    text.write_text("#include <stdio.h>\n" + planted % mark, encoding="utf-8")
    made = compiler.compiler()
    assert made is not None
    for path in libraries:
        subprocess.run([made, "-shared", "-fPIC", str(text), "-o", str(path)], check=True)
        path.chmod(0o700)
    assert command().returncode != 0 and mark.exists()  # it is what would be run
    mark.unlink()
    folder.chmod(0o777)
    done = command()
    assert done.returncode == 2 and not mark.exists()
    assert done.stderr.startswith(f"error: Other users may write to {folder}.") and done.stderr.count("\n") == 1


def test_without_a_compiler_nothing_is_said_to_be_checked() -> None:
    done = command(CXX="no-such-compiler")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: This would check another backend's code. CXX is 'no-such-compiler'")
    assert done.stderr.count("\n") == 1


def test_a_failing_compiler_is_one_error_on_the_command_line(folder: Path) -> None:
    done = command(CXX="/bin/false")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == "error: /bin/false does not compile the kernels: it ends with 1.\n"
