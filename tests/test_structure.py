"""The house keeps its shape: imports point down, libraries stay on their floor, no cell is known by name."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from textwrap import dedent

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


#: What makes generated code, and must know what it prints without reading it again.
PRINTING = ("printing", "compiled", "targets", "schedule", "native", "pages/sections/code.py")
#: Methods of a text that look for something in it.
LOOKING = {
    *("startswith", "endswith", "removesuffix", "removeprefix", "find", "rfind", "index", "rindex"),
    *("partition", "rpartition", "split", "rsplit", "count"),
}
#: The functions that may call what has such a name, each with the reason. No text that was printed is among them.
MAY_LOOK = {
    "printing.schedules._product": "where an operand stands in a tuple",
    "printing.spelling": "words a cell's names are compared with, and patterns of them",
    "compiled.c.Writer.local_names": "the name of a cell's value, which could be taken for an array's",
    "compiled.c.sizes": "the name of a cell's axis, which could be taken for an array's",
    "compiled.members.members": "how often a statement reads a name, in a tuple",
    "compiled.plan._holding": "the name of a kernel, from that of the block it was",
    "targets.numpy._Program.body": "a set of names",
    "targets.cpp.load": "the path of a file",
    "targets.cuda.load": "the path of a file",
    "schedule.Entries.states": "where a pass stands in their order",
    "schedule.concat._Concat.cut": "where a value stands in a row",
    "schedule.together.together": "the words of a name, to make another name",
    "schedule.together._without_tangents": "where a word stands in a name, to make another name",
    "schedule.together._shared_start": "where words of names first differ, in a list",
    "schedule.cut._parts": "where a sweep stands in their order",
    "schedule.hoist._shared": "the words of a name, to make another name",
    "schedule.hoist._bare": "the name of an adjoint, to make another name",
    "native.cuda_on_cpu": "a CUDA text is all that CuPy is given",
    "native.cuda_on_cpu.RawModule.__init__": "the options of a compiler",
    "native.cuda_on_cpu.RawModule.loaded": "a CUDA text is all that CuPy is given",
    "native.library.library": "what the system says of a file",
    "native.library.machine": "what the system says of the processor",
    "native.nvrtc": "what the compiler says",
    "native.nvrtc.usage": "what the compiler says",
    "native.nvrtc._wheels": "the path of a file",
}


def looks(node: ast.AST, where: str) -> set[str]:
    """The functions, by their names after that of the module, in which a text may be searched for something."""
    found: set[str] = set()
    for inner in ast.iter_child_nodes(node):
        scope = isinstance(inner, ast.FunctionDef | ast.ClassDef)
        here = f"{where}.{inner.name}" if isinstance(inner, ast.FunctionDef | ast.ClassDef) else where
        found |= looks(inner, here) | ({here} if not scope and looks_itself(inner) else set())
    return found


def looks_itself(node: ast.AST) -> bool:
    """Is it a call of `re`, of a text's methods that look, or the question whether a literal stands in something?"""
    if isinstance(node, ast.Compare):
        literal = isinstance(node.left, ast.Constant) and isinstance(node.left.value, str)
        return literal and any(isinstance(op, ast.In | ast.NotIn) for op in node.ops)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    if isinstance(node.func.value, ast.Name) and node.func.value.id == "re":
        return True
    exchanged = node.func.attr == "replace" and bool(node.args) and isinstance(node.args[0], ast.Constant)
    return exchanged or node.func.attr in LOOKING


def test_nothing_is_decided_by_what_was_printed() -> None:
    """What generates code decides on data before it is text; and no reason outlives the call it was for."""
    paths = [p for p in MODULES if p.relative_to(ROOT).as_posix().startswith(PRINTING)]
    assert len(paths) > 40
    found = {name for p in paths for name in looks(ast.parse(p.read_text(encoding="utf-8")), module(p))}
    assert found == MAY_LOOK.keys()


@pytest.mark.parametrize(
    "planted",
    [
        'text = condition.removesuffix(".astype(dtype)")',
        'text = condition.replace(".astype(dtype)", "")',
        'more = target.endswith("[t]")',
        'if " = " in line: pass',
        'if "None" not in index: pass',
        're.search("astype", text)',
        'target, text = line.split(" = ", 1)',
        'if f(a)[0] and text.startswith("zeros"): pass',
    ],
)
def test_a_decision_on_a_text_is_found(planted: str) -> None:
    method = f"class Writer:\n    def write(self):\n        {planted}\n    def other(self): pass"
    assert looks(ast.parse(method), "made") == {"made.Writer.write"}


def test_what_looks_into_no_text_is_left_alone() -> None:
    plain = """
        if name in taken: pass
        s = replace(s, out=out)
        if axis == "H": text = f"({text})"
    """
    assert looks(ast.parse(dedent(plain)), "made") == set()


def test_every_row_of_the_floors_exists() -> None:
    assert set().union(*FLOORS) == ROOMS
