"""The house keeps its shape: imports point down, libraries stay on their floor, no cell is known by name."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import symrnn

ROOT = Path(symrnn.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

#: From the ground up; a module may import what stands on its own floor or below.
FLOORS = [
    {"version", "errors"},
    {"functions", "notation", "reserved", "slips"},
    {"cell", "numeric"},
    {"bounds", "parse", "ir"},
    {"resolve", "shapes", "shape_slips", "starts", "evaluate", "lower", "infix", "spelling"},
    {"derive", "cells", "heads"},
    {"program"},
    {"schedule", "interpret"},
    {"emit", "arraycode", "frame", "loading", "kernels"},
    {"targets"},
    {"trial", "zero_gradients"},
    {"check"},
    {"proof"},
    {"build"},
]

LIBRARIES = {
    "jinja2": {"emit"},
    "numpy": {
        "numeric",
        "evaluate",
        "interpret",
        "trial",
        "check",
        "zero_gradients",
        "demo",
        "pages",
        "flow",
        "kernels",
    },
    "sympy": {
        "functions",
        "numeric",
        "ir",
        "lower",
        "derive",
        "schedule",
        "infix",
        "arraycode",
        "targets",
        "kernels",
        "pages",
        "diff",
        "flow",
    },
    "typer": {"cli", "cli_generate", "cli_pages"},
    "rich": {"cli", "demo"},
}


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{a.name}" for a in node.names} if node.module == "symrnn" else {node.module}
        elif isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
    return found


def floor(name: str) -> int:
    return next((k for k, rooms in enumerate(FLOORS) if name in rooms), len(FLOORS))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    here = room(path)
    if here == "__init__":
        return
    for name in imports(path):
        if name.startswith("symrnn."):
            there = name.split(".")[1]
            assert floor(there) <= floor(here), f"{here} imports {there} from a floor above"


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_stays_on_its_floor(library: str) -> None:
    users = {room(p) for p in MODULES if any(n.split(".")[0] == library for n in imports(p))}
    assert users <= LIBRARIES[library]


def test_no_module_is_long() -> None:
    assert [p.name for p in MODULES if len(p.read_text(encoding="utf-8").splitlines()) > 450] == []


def test_no_cell_is_known_by_name() -> None:
    """Outside the demo and the command line's examples, no string in the code is the name of a gallery cell."""
    names = set(symrnn.gallery()) - {"np", "dense"}
    for path in MODULES:
        if room(path) in ("cli", "demo"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in names:
                pytest.fail(f"{path.name}:{node.lineno} mentions the cell {node.value}")


def test_nothing_evaluates_text() -> None:
    """The only exec runs text that symrnn generated; cell files meet no eval, exec or sympify."""
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        calls = {
            n.func.id for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
        }
        assert not calls & {"eval", "parse_expr"}
        if room(path) not in ("loading", "targets"):
            assert "exec" not in calls
        if room(path) in ("parse", "resolve", "shapes", "cells", "lower"):
            assert not re.search(r"\bsympify\b|\blambdify\b", text)


def test_every_row_of_the_floors_exists() -> None:
    rooms = {room(p) for p in MODULES}
    assert set().union(*FLOORS) <= rooms
