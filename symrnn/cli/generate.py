"""The command generate: what it writes, what it compares, what it says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import symrnn
from symrnn.cli.application import WRONG, CellsArg, a_folder, app
from symrnn.cli.cells import print_inferred
from symrnn.cli.terminal import Bar, escape, relative, stderr, stdout
from symrnn.errors import UsageError
from symrnn.language.load import gallery, load

if TYPE_CHECKING:
    from symrnn.build import Difference

BackendOption = Annotated[str | None, typer.Option("--backend", metavar="NAME", help="What to generate: numpy, …")]


@app.command()
def generate(
    cells: CellsArg = None,
    backend: BackendOption = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="DIR", help="Folder to write to; made if it is missing.", callback=a_folder
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; compare, show a diff, exit with 1 if something differs.")
    ] = False,
    proved: Annotated[
        bool, typer.Option(" /--no-check", help="Write without running the code first; its header says so.")
    ] = True,
) -> None:
    """Write the generated code of some cells, or of the whole gallery.

    Without CELL, every gallery cell for every backend goes into
    generated/BACKEND of the checkout. With CELL the backend is numpy unless
    you say otherwise. Files that are up to date are not touched; what is new
    is first run beside the equations, and if any of it is wrong nothing is
    written. Parameters that were inferred are listed on stderr, with shapes
    and starts.

    [bold]Examples[/]
    symrnn generate my.cell -o models    write models/my.py
    symrnn generate lstm gru -o models   two cells of the gallery
    symrnn generate                      bring generated/ up to date
    symrnn generate --check              is it up to date? a diff if not
    """
    from symrnn import build  # noqa: PLC0415 (SymPy and Jinja, which most commands do without)
    from symrnn.emit import targets  # noqa: PLC0415 (likewise)

    if check and not proved:
        raise UsageError("--check writes nothing, and --no-check is about what is written.", "Leave one of them out.")
    names = list(dict.fromkeys(cells or []))
    backends = [backend] if backend else (["numpy"] if names or folder else targets())
    folders = tuple(folder or checkout_folder(names) / one for one in backends)
    proofs = folders if proved and not check else ()
    requests = [build.Request(load(name), tuple(backends), proved, proofs) for name in names or gallery()]
    with Bar(len(requests)) as bar:
        found = list(bar.over(build.all_generated(requests)))
    texts = [build.tree(files[one] for files in found) for one in backends]
    if not check:
        for tree, where in zip(texts, folders, strict=True):
            build.refuse_others(tree, where)
        for tree, where in zip(texts, folders, strict=True):
            report_written(build.write(tree, where), len(tree), where)
        for name in names:
            print_inferred(load(name), stderr())
        return
    stale = [build.compare(tree, where, whole=not names) for tree, where in zip(texts, folders, strict=True)]
    for differences, where in zip(stale, folders, strict=True):
        report_differences(differences, where, regenerate_command(names, backend, folder))
    raise typer.Exit(WRONG if any(stale) else 0)


def checkout_folder(names: list[str]) -> Path:
    """generated/ beside the package: it exists in a checkout only, and holds the gallery only."""
    root = Path(symrnn.__file__).resolve().parent.parent
    if not (root / "generated").is_dir() or not (root / "pyproject.toml").is_file():
        raise UsageError("symrnn is installed without its checkout.", "Say where to write: -o DIR.")
    for name in names:
        if name not in gallery():
            load(name)  # a name that means nothing at all is the first thing to hear of
            raise UsageError(f"{name} is not in the gallery, and generated/ holds nothing else.", "Add -o DIR.")
    return root / "generated"


def regenerate_command(names: list[str], backend: str | None, folder: Path | None) -> str:
    options = [*(["--backend", backend] if backend else []), *(["-o", str(folder)] if folder else [])]
    return " ".join(["symrnn generate", *names, *options])


def report_written(changed: list[Path], total: int, where: Path) -> None:
    for path in changed:
        stdout().print(escape(str(relative(path))), soft_wrap=True)
    stderr().print(
        f"{len(changed)} written, {total - len(changed)} up to date in {escape(str(relative(where)))}", soft_wrap=True
    )


def report_differences(differences: list[Difference], where: Path, command: str) -> None:
    """A diff for every file that is not as it should be, then the one command that repairs it."""
    out, err = stdout(), stderr()
    for d in differences:
        out.print(f"{escape(str(relative(where / d.path)))}: {d.kind}", soft_wrap=True)
        for line in d.diff.splitlines():
            style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
            out.print(escape(line), style=style, soft_wrap=True)
    place = escape(str(relative(where)))
    if not differences:
        err.print(f"{place} is up to date", soft_wrap=True)
        return
    err.print(f"[bold red]{place} is stale[/]: {len(differences)} differ. To repair: {escape(command)}", soft_wrap=True)
    if any(d.kind == "superfluous" for d in differences):
        err.print("Superfluous files are yours to delete: no command of symrnn deletes anything.", soft_wrap=True)
