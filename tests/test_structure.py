"""The house keeps its shape: imports point down, libraries stay on their floor, no cell is known by name."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import symrnn

ROOT = Path(symrnn.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
#: The gallery and the heads hold cells, not code.
DATA = {"cells", "heads"}
ROOMS = {
    p.name.removesuffix(".py") for p in ROOT.iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()
} - DATA

#: From the ground up: folders and single modules. One may import what stands below it, at any time, late or not.
FLOORS = [
    {"version", "errors"},
    {"functions"},
    {"language"},
    {"calculus"},
    {"schedule"},
    {"emit", "native"},
    {"printing", "loading"},
    {"compiled"},
    {"targets", "meaning"},
    {"proof", "record"},
    {"build"},
    {"pages"},
    {"diff", "flow", "demo"},
    {"public", "cli"},
    {"__init__", "__main__"},
]

LIBRARIES = {
    "jinja2": {"emit"},
    "numpy": {"functions", "meaning", "proof", "demo", "pages", "flow", "native"},
    "sympy": {"functions", "calculus", "schedule", "printing", "compiled", "pages"},
    "typer": {"cli"},
    "rich": {"cli"},
}


def module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def room(path: Path) -> str:
    return module(path).split(".")[0]


def imports(path: Path) -> set[str]:
    """What a file imports, also inside functions and for types alone."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{a.name}" for a in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
    return found


def floor(name: str) -> int:
    return next(k for k, rooms in enumerate(FLOORS) if name in rooms)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    here = room(path)
    for name in imports(path):
        if name.startswith("symrnn."):
            there = name.split(".")[1]
            if there != here and (there in ROOMS or here != "__init__"):
                assert floor(there) < floor(here), f"{here} imports {there}, which does not stand below it"


def test_no_import_leads_back() -> None:
    """Among all modules, not only among rooms."""
    names = {module(p): p for p in MODULES}
    ahead = {n: {m for i in imports(p) if (m := _module_of(i, names)) and m != n} for n, p in names.items()}
    while free := [n for n, wanted in ahead.items() if not wanted & ahead.keys()]:
        ahead = {n: wanted for n, wanted in ahead.items() if n not in free}
    assert ahead == {}


def _module_of(name: str, names: dict[str, Path]) -> str | None:
    parts = name.split(".")[1:] if name.startswith("symrnn.") else []
    return next((m for k in range(len(parts), 0, -1) if (m := ".".join(parts[:k])) in names), None)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_stays_on_its_floor(library: str) -> None:
    users = {room(p) for p in MODULES if any(n.split(".")[0] == library for n in imports(p))}
    assert users == LIBRARIES[library]


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
        if room(path) != "loading":
            assert "exec" not in calls
        if room(path) == "language" or module(path) == "calculus.lower":
            assert not re.search(r"\bsympify\b|\blambdify\b", text)


def test_every_row_of_the_floors_exists() -> None:
    assert set().union(*FLOORS) == ROOMS
