"""The gallery: a file is a cell. `load` finds one by name or path, `parse` takes text."""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from symrnn.errors import CellError, UsageError
from symrnn.language.bounds import refuse_too_much
from symrnn.language.cell import Carry, Cell, Name, Variable, axis_parts, first_sentence, lengths, walk
from symrnn.language.draft import Draft
from symrnn.language.hints import suggest
from symrnn.language.parse import read
from symrnn.language.resolve import Resolved, merge, resolve
from symrnn.language.shape_hints import shapes_as_meant
from symrnn.language.shapes import Shapes
from symrnn.language.starts import starts

#: Modules of Python that nothing imports by itself.
HARMLESS = {"test", "code", "this", "turtle", "cgi", "chunk", "imp", "mailbox", "pipes", "sched", "trace", "wave"}
RENAME = "Give its file another name."
#: Packages that symrnn and its generated modules import: the module of a cell of that name would hide them.
PACKAGES = {"symrnn", "sympy", "numpy", "cupy", "jinja2", "typer", "rich", "matplotlib"}
_MODULE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


def gallery() -> list[str]:
    """Names of the cells that come with symrnn, in alphabetical order."""
    return _listed("symrnn.cells")


def heads() -> list[str]:
    """Names of the output layers and losses that come with symrnn."""
    return _listed("symrnn.heads")


def _listed(package: str) -> list[str]:
    return sorted(f.name.removesuffix(".cell") for f in files(package).iterdir() if f.name.endswith(".cell"))


def load(name: str | Path) -> Cell:
    """The cell of a gallery name (``lstm``), a head (``heads/softmax``) or a path (``my.cell``).

    Raises UsageError if there is no such cell, CellError if its file is wrong.
    """
    name = str(name)
    if name in gallery():
        return parse(_shipped("symrnn.cells", name), name, f"{name}.cell")
    if name.startswith("heads/") and name[6:] in heads():
        return parse(_shipped("symrnn.heads", name[6:]), name[6:], f"{name[6:]}.cell")
    path = Path(name)
    if path.suffix != ".cell":
        advice = suggest(name, gallery()) or "`symrnn list` shows the gallery; a file ends in .cell."
        raise UsageError(f"There is no cell {name!r}.", advice)
    return parse(_text(path), path.stem, path.name, _beside(path.parent))


@dataclass(frozen=True)
class Listed:
    """A cell that comes with symrnn, as a list shows it: read, but no shape worked out."""

    name: str
    states: tuple[str, ...]
    params: int
    headline: str


def listed() -> Iterator[Listed]:
    """The gallery and the heads, which are called heads/NAME."""
    for package, prefix in (("symrnn.cells", ""), ("symrnn.heads", "heads/")):
        for name in _listed(package):
            found = _resolved(_shipped(package, name), name, f"{name}.cell", lambda name: None)
            states = tuple(n for n, d in found.declared.items() if d.kind == "state")
            yield Listed(f"{prefix}{name}", states, len(found.params), first_sentence(found.draft.title) or name)


def called(cell: Cell) -> str:
    """What a command line calls a cell: its name in the gallery, or its file."""
    for names, package, prefix in ((gallery(), "symrnn.cells", ""), (heads(), "symrnn.heads", "heads/")):
        if cell.name in names and _shipped(package, cell.name) == cell.source:
            return prefix + cell.name
    return f"{cell.name}.cell"


def _shipped(package: str, name: str) -> str:
    return files(package).joinpath(f"{name}.cell").read_text(encoding="utf-8")


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8").replace("\r\n", "\n")  # a lone carriage return is refused later
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text.") from None
    except ValueError:
        raise UsageError(f"{str(path)!r} is not the name of a file.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {(error.strerror or 'error').lower()}.") from None


def _beside(folder: Path) -> Callable[[str], str | None]:
    """How `extends NAME` finds a cell that lies beside the extending file."""

    def find(name: str) -> str | None:
        path = folder / f"{name}.cell"
        return _text(path) if path.is_file() else None

    return find


def parse(
    text: str, name: str = "cell", source: str = "<text>", find: Callable[[str], str | None] = lambda name: None
) -> Cell:
    """Text → Cell. `name` names the generated module, `source` stands in errors.

    Raises CellError at the first mistake, with its place.
    """
    if not _MODULE_NAME.match(name):
        advice = "Use letters, digits and underscores, starting with a letter."
        raise UsageError(f"A cell cannot be called {name!r}: the name becomes a module.", advice)
    if keyword.iskeyword(name):
        raise UsageError(f"A cell cannot be called {name!r}, a word of Python: the name becomes a module.", RENAME)
    if name in PACKAGES | sys.stdlib_module_names - HARMLESS:
        wrong = (
            f"A cell cannot be called {name!r}: its module would stand in the way of the {name} that programs import."
        )
        raise UsageError(wrong, RENAME)
    resolved = _resolved(text, name, source, find)
    cell = _cell(resolved, shapes_as_meant(resolved), text)
    _refuse_untold(cell)
    return cell


def _resolved(text: str, name: str, source: str, find: Callable[[str], str | None]) -> Resolved:
    draft = _extended(read(text, name, source), find, ())
    refuse_too_much(draft)
    return resolve(draft)


def _extended(draft: Draft, find: Callable[[str], str | None], above: tuple[str, ...]) -> Draft:
    """The draft with what it extends merged in."""
    if not draft.extends:
        return draft
    place, base = draft.extends_place, draft.extends
    if base in above or (base == draft.name and find(base) is not None):
        raise CellError("extends", place, f"{base} extends itself.")
    text = find(base)
    if text is None:
        if base not in gallery():
            raise CellError("extends", place, f"There is no cell {base} to extend.", suggest(base, gallery()))
        text, find = _shipped("symrnn.cells", base), lambda name: None
    return merge(_extended(read(text, base, f"{base}.cell"), find, (*above, draft.name)), draft)


def _cell(resolved: Resolved, shapes: Shapes, text: str) -> Cell:
    draft, declared = resolved.draft, resolved.declared
    begins = {d.name: d.start for d in declared.values()} | starts(resolved, shapes)

    def variables(kind: str, names: list[str]) -> tuple[Variable, ...]:
        return tuple(_variable(kind, n, resolved, shapes, begins.get(n, "")) for n in names)

    def of_kind(kind: str) -> list[str]:
        return [n for n, d in declared.items() if d.kind == kind]

    states = of_kind("state")
    values = [e.name for e in draft.equations if e.name not in states]
    return Cell(
        name=draft.name,
        title=draft.title,
        source=text,
        extends=draft.extends,
        axes=resolved.axes,
        inputs=variables("input", of_kind("input")),
        states=variables("state", states),
        params=variables("param", list(resolved.params)),
        consts=variables("const", of_kind("const")),
        values=variables("value", values),
        equations=shapes.equations,
        outputs=tuple(
            _variable("state" if n in states else "value", n, resolved, shapes, "") for n in resolved.outputs
        ),
        carries=_carries(resolved, shapes, states),
    )


def _refuse_untold(cell: Cell) -> None:
    """Lengths are read off arrays; where N and H stand in N+H alone, no array tells one from the other."""
    told = lengths((axis, 0) for _, axes in cell.given() for axis in axes)
    for variable in sorted(cell.params, key=lambda v: v.place is None):
        for axis in variable.axes:
            untold = next((part for part in axis_parts(axis) if part not in told), None)
            if untold is not None:
                wrong = f"Nothing tells the length of {untold}: it stands in {axis} alone."
                advice = f"Write one axis instead of {axis}, or declare an input, state or parameter along {untold}."
                raise CellError("ambiguous", variable.place, wrong, advice)


def _variable(kind: str, name: str, resolved: Resolved, shapes: Shapes, start: str) -> Variable:
    d = resolved.declared.get(name)
    equation = next((e for e in resolved.draft.equations if e.name == name), None)
    meaning = (d.meaning if d else "") or (equation.meaning if equation else "")
    return Variable(name, kind, shapes.axes[name], meaning, start, d.place if d else None)


def _carries(resolved: Resolved, shapes: Shapes, states: list[str]) -> tuple[Carry, ...]:
    """States first, then every other name read in the past, each followed by its older values."""
    in_order = dict.fromkeys(n.name for e in shapes.equations for n in walk(e.expr) if isinstance(n, Name) and n.delay)
    names = [*states, *(n for n in in_order if n not in states)]
    return tuple(
        Carry(f"{name}_lag{lag}" if lag else name, name, lag, shapes.axes[name])
        for name in names
        for lag in range(max(1, resolved.delays.get(name, 1)))
    )
