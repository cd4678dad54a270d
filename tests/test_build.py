"""The generated tree: complete, current, the same for every hash seed, quickly made, independent of sizes."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import pytest
import symrnn.generated
from timing import work

import symrnn
from symrnn import build, emit
from symrnn.calculus import derive
from symrnn.errors import UsageError

GENERATED = Path(next(iter(symrnn.generated.__path__)))


def cells() -> list[symrnn.cells.Cell]:
    return [symrnn.load(n) for n in symrnn.gallery()]


def texts(cells: Sequence[symrnn.cells.Cell], backend: str) -> dict[str, str]:
    return build.tree(emit.emit(cell, backend) for cell in cells)


@pytest.mark.parametrize("backend", emit.targets())
def test_the_committed_tree_is_what_is_generated(backend: str) -> None:
    differences = build.compare(texts(cells(), backend), GENERATED / backend, whole=True)
    assert not differences, f"run: symrnn generate --backend {backend}\n" + "\n".join(
        d.diff or str(d) for d in differences
    )


def test_comparing_sees_stale_edited_missing_and_superfluous(tmp_path: Path) -> None:
    tree = texts(cells()[:3], "numpy")
    build.write(tree, tmp_path)
    assert build.compare(tree, tmp_path, whole=True) == []
    first, second, _ = tree
    (tmp_path / first).write_text(tree[first].replace("Run the cell", "Walk the cell"), encoding="utf-8")
    (tmp_path / second).unlink()
    (tmp_path / "stray.py").write_text("", encoding="utf-8")
    found = {d.path: d for d in build.compare(tree, tmp_path, whole=True)}
    assert {p: d.kind for p, d in found.items()} == {first: "different", second: "missing", "stray.py": "superfluous"}
    assert '-    """Walk the cell' in found[first].diff and '+    """Run the cell' in found[first].diff
    assert "Walk" in (tmp_path / first).read_text(encoding="utf-8"), "comparing never writes"


def test_writing_changes_only_what_differs(tmp_path: Path) -> None:
    tree = texts(cells()[:2], "numpy")
    assert len(build.write(tree, tmp_path)) == 2 and build.write(tree, tmp_path) == []
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(tree)


def test_a_file_of_the_users_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "gru.py").write_text("precious = 1\n")
    with pytest.raises(UsageError, match="not written by symrnn"):
        build.write(texts(map(symrnn.load, ["elman", "gru"]), "numpy"), tmp_path)
    assert (tmp_path / "gru.py").read_text() == "precious = 1\n"
    assert [p.name for p in tmp_path.iterdir()] == ["gru.py"], "what comes before it is not written either"


def test_every_file_of_the_tree_names_its_backend() -> None:
    for backend in emit.targets():
        for path in (GENERATED / backend).iterdir():
            if path.is_file() and path.name != "__init__.py":
                found = build.HEADER.match(path.read_text(encoding="utf-8"))
                assert found and found[1] == backend, path


@pytest.mark.parametrize("there", emit.targets())
@pytest.mark.parametrize("new", emit.targets())
def test_a_file_for_another_backend_is_not_overwritten(there: str, new: str, tmp_path: Path) -> None:
    (tmp_path / "gru.py").write_bytes((GENERATED / there / "gru.py").read_bytes())
    changed = symrnn.parse(symrnn.load("gru").source.replace("(1 - z)", "(2 - z)"), "gru")
    tree = texts([symrnn.load("elman"), changed], new)
    if there == new:
        assert len(build.write(tree, tmp_path)) == len(tree)
        return
    with pytest.raises(
        UsageError, match=f"gru.py is the module for {there}, .* for {new}. Give another folder: -o DIR"
    ):
        build.write(tree, tmp_path)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [(GENERATED / there / "gru.py").read_bytes()]


def imported() -> set[str]:
    """Every module that symrnn or a generated module imports."""
    paths = [p for root in (Path(symrnn.__file__).parent, GENERATED) for p in root.rglob("*.py")]
    nodes = [n for p in paths for n in ast.walk(ast.parse(p.read_text(encoding="utf-8")))]
    names = {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
    names |= {n.module or "" for n in nodes if isinstance(n, ast.ImportFrom) and not n.level}
    return {name.split(".")[0] for name in names} - {"__future__"}


@pytest.mark.parametrize("name", sorted({"numpy", "symrnn", "cupy", "typing", "random"} | imported()))
def test_no_module_hides_one_that_is_imported(name: str) -> None:
    with pytest.raises(UsageError, match=f"stand in the way of the {name} "):
        symrnn.parse("input x[H]\nstate h[H]\nh = x + h[t-1]", name)


def test_no_module_is_a_word_of_python() -> None:
    with pytest.raises(UsageError, match="'class', a word of Python"):
        symrnn.parse("input x[H]\nstate h[H]\nh = x + h[t-1]", "class")


@pytest.mark.parametrize(
    ("given", "proposed"),
    [
        ("gru", "gru"),
        ("heads/softmax", "heads/softmax"),
        ("my.cell", "my.cell"),
        (Path("my.cell"), "my.cell"),
        ("lsmt", "lstm"),
    ],
)
def test_what_is_not_a_cell_is_told_how_to_load_it(given: object, proposed: str) -> None:
    with pytest.raises(UsageError, match="takes a cell") as caught:
        symrnn.compile(given)  # type: ignore[arg-type]
    assert caught.value.advice == f'Load it first: symrnn.load("{proposed}").'


def test_what_is_no_name_of_a_cell_is_told_which_there_are() -> None:
    with pytest.raises(UsageError, match=r"takes a cell, not 3\. Load it first: .*gallery\(\)"):
        symrnn.compile(3)  # type: ignore[arg-type]


def test_two_cells_of_one_name_are_refused() -> None:
    with pytest.raises(symrnn.UsageError, match="Two cells are called"):
        texts([symrnn.load("gru"), symrnn.load("gru")], "numpy")


def test_the_text_is_the_same_for_every_hash_seed() -> None:
    code = (
        "import symrnn, hashlib; from symrnn import build, emit; "
        "cells = [symrnn.load(n) for n in ('lstm_peephole', 'slstm', 'mlstm', 'gru_d', 'ntm_content')]; "
        "print([hashlib.sha256(repr([emit.emit(c, b) for c in cells]).encode()).hexdigest() for b in emit.targets()])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("0", "1", "4242")
    }
    assert len(outputs) == 1


def test_one_cell_in_under_a_second_and_the_gallery_in_under_twenty() -> None:
    texts([symrnn.load("elman")], "numpy")  # SymPy's and Jinja's own first time
    for cached in (derive.derive, emit.emit):
        cached.cache_clear()  # what other tests have made would take no time
    with work() as seconds:
        for name in symrnn.gallery():
            before = seconds()
            emit.emit(symrnn.load(name))
            assert seconds() - before < 1, name
        assert seconds() < 20


def test_templates_read_exactly_what_they_are_given() -> None:
    for backend in emit.targets():
        target = emit.target(backend)
        cell = symrnn.load("gru")
        given = target.context(emit.programs_for(cell, backend), emit.header(cell, backend))
        for name in target.TEMPLATES.values():
            values = {f.name: getattr(given, f.name) for f in fields(given)}
            with pytest.raises(AssertionError, match="reads"):
                emit.render(name, values | {"superfluous": 1})
            missing = dict(list(values.items())[1:])
            with pytest.raises(AssertionError, match="reads"):
                emit.render(name, missing)


def test_the_header_knows_the_definition_and_nothing_of_the_moment() -> None:
    text = emit.emit(symrnn.load("gru"))[0].text
    first = text.splitlines()[0]
    assert first.startswith(f"# Generated by symrnn {symrnn.__version__} from the cell gru (definition ")
    changed = symrnn.parse(symrnn.load("gru").source.replace("(1 - z)", "(2 - z)"), "gru")
    respaced = symrnn.parse(symrnn.load("gru").source.replace("z * n ", "z  *  n "), "gru")
    digest = {c.source: emit.header(c, "numpy").digest for c in (symrnn.load("gru"), changed, respaced)}
    assert len(set(digest.values())) == 2, "the equation counts, its spacing does not"


@pytest.mark.parametrize("backend", ["nunpy", "torch", "", None, 3, ["numpy"], {"numpy"}, b"numpy", Path("numpy")])
def test_an_unknown_backend_is_a_users_mistake(backend: object) -> None:
    with pytest.raises(symrnn.UsageError, match="There is no backend") as caught:
        symrnn.compile(symrnn.load("gru"), backend=backend)  # type: ignore[arg-type]
    known = "Did you mean numpy?" if backend == "nunpy" else "Known: cpp, cuda, numpy."
    assert str(caught.value) == f"There is no backend {backend!r}. {known}"


@pytest.mark.parametrize("backend", emit.targets())
def test_nothing_a_cell_file_says_becomes_code(backend: str) -> None:
    words = r'\c """; evil() #\N{x} ' + "*/ evil(); // \\"
    cell = symrnn.parse(
        f"'''{words} '''\ninput x[I]  # {words}\nstate h[H]  # {words}\nh = tanh(U @ x + W @ h[t-1])  # {words}\n",
        "words",
    )
    for artifact in emit.emit(cell, backend):
        if artifact.path.endswith(".py"):
            tree = ast.parse(artifact.text)  # an unknown escape would warn, and a warning is an error here
            assert "evil" in (ast.get_docstring(tree) or "")
            assert not [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == "evil"]
        else:
            assert "evil" not in artifact.text
