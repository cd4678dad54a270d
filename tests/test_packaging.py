"""A wheel, built and installed elsewhere, does what the checkout does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import symrnn

ROOT = Path(symrnn.__file__).resolve().parent.parent
NOT_SOURCE = shutil.ignore_patterns(".*", "build", "dist", "out", "*.egg-info", "__pycache__", "tests", "docs")

pytestmark = [
    pytest.mark.skipif(not (ROOT / "pyproject.toml").is_file(), reason="there is no checkout to build from"),
    pytest.mark.xdist_group("packaging"),
]


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the source, with the build tools at hand and no network."""
    folder = tmp_path_factory.mktemp("build")
    shutil.copytree(ROOT, folder / "source", ignore=NOT_SOURCE)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    how = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder)]
    built = run(*pip, "wheel", *how, folder / "source", cwd=folder)
    assert built.returncode == 0, built.stdout + built.stderr
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a fresh environment with the wheel; the packages it depends on are borrowed from this one."""
    folder = tmp_path_factory.mktemp("elsewhere")
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n" + sysconfig.get_path("platlib") + "\n")
    python = folder / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
    installed = run(*pip, "install", "--no-deps", "--no-index", "--force-reinstall", wheel, cwd=folder)
    assert installed.returncode == 0, installed.stdout + installed.stderr
    where = run(python, "-c", "import symrnn; print(symrnn.__file__)", cwd=folder)
    assert where.stdout.strip() == str(site / "symrnn" / "__init__.py"), where.stderr
    return folder / "venv" / "bin"


def test_the_wheel_holds_every_cell_template_and_generated_file(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, inside in (("symrnn", "symrnn"), ("templates", "symrnn/templates"), ("generated", "symrnn/generated")):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert f"{inside}/{path.relative_to(ROOT / folder).as_posix()}" in names
    assert not [n for n in names if n.endswith(".pyc") or not n.startswith("symrnn")]


def test_list_is_the_same_elsewhere(elsewhere: Path, tmp_path: Path) -> None:
    here = run(sys.executable, "-m", "symrnn", "list", cwd=ROOT)
    there = run(elsewhere / "symrnn", "list", cwd=tmp_path)
    assert there.returncode == 0, there.stderr
    assert there.stdout == here.stdout


def test_generate_elsewhere_writes_what_the_checkout_holds(elsewhere: Path, tmp_path: Path) -> None:
    result = run(elsewhere / "symrnn", "generate", "lstm", "-o", "X", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "X" / "lstm.py").read_bytes() == (ROOT / "generated" / "numpy" / "lstm.py").read_bytes()


def test_generate_elsewhere_wants_a_folder(elsewhere: Path, tmp_path: Path) -> None:
    result = run(elsewhere / "symrnn", "generate", "lstm", cwd=tmp_path)
    assert result.returncode == 2
    assert "-o DIR" in result.stderr
    assert not list(tmp_path.iterdir())


def test_check_works_elsewhere(elsewhere: Path, tmp_path: Path) -> None:
    result = run(elsewhere / "symrnn", "check", "gru", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "gru (numpy, float64): ok" in result.stdout


def test_generated_modules_are_imported_as_in_the_checkout(elsewhere: Path, tmp_path: Path) -> None:
    program = (
        "import numpy as np; import symrnn.generated.numpy.lstm as lstm; params = lstm.init(I=3, H=4);"
        "y, state, tape = lstm.forward(params, np.ones((5, 2, 3), np.float32)); print(y.shape, sorted(state))"
    )
    for python, folder in ((elsewhere / "python", tmp_path), (Path(sys.executable), ROOT)):
        result = run(python, "-c", program, cwd=folder)
        assert result.stdout == "(5, 2, 4) ['c', 'h']\n", result.stderr


def test_a_generated_file_needs_numpy_and_nothing_else(elsewhere: Path, tmp_path: Path) -> None:
    run(elsewhere / "symrnn", "generate", "gru", "-o", ".", cwd=tmp_path)
    program = "import sys, gru; print(sorted({'symrnn', 'sympy', 'jinja2'} & set(sys.modules)), gru.__file__)"
    result = run(elsewhere / "python", "-c", program, cwd=tmp_path)
    assert result.stdout == f"[] {tmp_path / 'gru.py'}\n", result.stderr
