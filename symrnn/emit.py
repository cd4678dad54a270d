"""Targets, templates and the header: from a scheduled program to text."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from functools import cache, lru_cache
from importlib import import_module
from importlib.resources import files
from types import ModuleType
from typing import Any, Protocol

import jinja2
import jinja2.meta

from symrnn.errors import UsageError
from symrnn.language.cell import Cell
from symrnn.language.hints import suggest
from symrnn.language.load import called
from symrnn.schedule import Entries
from symrnn.version import __version__


@dataclass(frozen=True)
class Header:
    """Where generated text comes from; no date, so that the same definition gives the same bytes."""

    name: str
    digest: str
    version: str
    command: str
    checked: bool = True


@dataclass(frozen=True)
class Artifact:
    """One generated file: its path below the target's folder, and its text."""

    path: str
    text: str


class Target(Protocol):
    """What a module in `symrnn.targets` offers: a target is one such module and one template folder."""

    NAME: str
    TEMPLATES: dict[str, str]
    PASSES: tuple[str, ...]

    def context(self, programs: Entries, header: Header) -> Any:
        """A dataclass whose fields are exactly what the target's templates read."""
        ...


def targets() -> list[str]:
    """Names of the targets: the modules of `symrnn.targets`."""
    found = (f.name for f in files("symrnn.targets").iterdir())
    return sorted(n.removesuffix(".py") for n in found if n.endswith(".py") and n != "__init__.py")


def target(name: str) -> Target:
    """The target of that name; raises UsageError if there is none, or if it is no name."""
    if not isinstance(name, str) or name not in targets():
        near = suggest(name, targets()) if isinstance(name, str) else ""
        raise UsageError(f"There is no backend {name!r}.", near or f"Known: {', '.join(targets())}.")
    module: ModuleType = import_module(f"symrnn.targets.{name}")
    return module


def programs_for(cell: Cell, backend: str) -> Entries:
    """The scheduled programs a target prints; targets with the same passes share them."""
    return _scheduled(cell, target(backend).PASSES)


@lru_cache(maxsize=4)
def _scheduled(cell: Cell, passes: tuple[str, ...]) -> Entries:
    return Entries(cell, passes)


@lru_cache(maxsize=256)
def emit(cell: Cell, backend: str = "numpy", checked: bool = True) -> tuple[Artifact, ...]:
    """The generated files of one cell for one target; those that nobody will check say so."""
    chosen = target(backend)
    values = chosen.context(programs_for(cell, backend), header(cell, backend, checked))
    given = {f.name: getattr(values, f.name) for f in fields(values)}
    env = environment()
    reads = {name: templates_read(env, name) for name in chosen.TEMPLATES.values()}
    read = set().union(*reads.values())
    assert read == set(given), (
        f"{backend}: no template reads {sorted(set(given) - read)}; not given {sorted(read - set(given))}"
    )
    return tuple(
        Artifact(f"{cell.name}{suffix}", render(name, {k: given[k] for k in reads[name]}))
        for suffix, name in chosen.TEMPLATES.items()
    )


def header(cell: Cell, backend: str, checked: bool = True) -> Header:
    """The hash covers what the equations and declarations say, not how they are spaced."""
    said = [cell.name, cell.title]
    said += [f"{v.role} {v.name} {v.axes} {v.start} {v.meaning}" for v in cell.variables]
    said += [f"{e.name} {e.text} {e.meaning}" for e in cell.equations]
    said += [v.name for v in cell.outputs]
    digest = hashlib.sha256("\n".join(said).encode()).hexdigest()[:16]
    command = f"symrnn generate {called(cell)} --backend {backend}"
    return Header(cell.name, digest, __version__, command, checked)


@cache
def environment() -> jinja2.Environment:
    """Jinja as the templates expect it: missing names are errors, nothing is escaped, blocks leave no blank lines."""
    env = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: files("symrnn.templates").joinpath(name).read_text(encoding="utf-8")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    env.filters.update(wrapped=wrapped, docstring=docstring)
    return env


def render(name: str, given: dict[str, Any]) -> str:
    """A template with exactly the values it reads; AssertionError if it reads fewer or more."""
    env = environment()
    read = templates_read(env, name)
    assert read == set(given), (
        f"{name} reads {sorted(read - set(given))} too much, {sorted(set(given) - read)} too little"
    )
    return env.get_template(name).render(given)


@cache
def templates_read(env: jinja2.Environment, name: str) -> frozenset[str]:
    """Every name a template and those it includes read."""
    assert env.loader is not None
    tree = env.parse(env.loader.get_source(env, name)[0])
    names = set(jinja2.meta.find_undeclared_variables(tree))
    for other in jinja2.meta.find_referenced_templates(tree):
        assert other is not None, f"{name} includes a template by a computed name"
        names |= templates_read(env, other)
    return frozenset(names)


def docstring(text: str) -> str:
    """Text of a cell file as it may stand inside a docstring: nothing in it ends the string or escapes."""
    return text.replace("\\", "\\\\").replace('"', "'").rstrip()


def wrapped(items: list[str], indent: int, width: int = 108) -> str:
    """Items separated by commas, broken into indented lines."""
    lines, current = [], ""
    for item in items:
        piece = f"{item}, " if item is not items[-1] else item
        if current and indent + len(current) + len(piece.rstrip()) > width:
            lines.append(current.rstrip())
            current = ""
        current += piece
    return ("\n" + " " * indent).join([*lines, current])
