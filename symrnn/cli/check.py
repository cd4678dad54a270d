"""The command check: the proof of a cell's code."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from inspect import signature
from typing import TYPE_CHECKING, Annotated

import typer

from symrnn.cli.application import WRONG, CellsArg, app
from symrnn.cli.cells import print_inferred
from symrnn.cli.terminal import Bar, escape, stderr, stdout
from symrnn.errors import SubstituteWarning, UsageError
from symrnn.language.cell import Cell
from symrnn.language.load import gallery, heads, load

if TYPE_CHECKING:
    from symrnn.proof.check import Report


@app.command()
def check(
    cells: CellsArg = None,
    backend: Annotated[str, typer.Option("--backend", metavar="NAME", help="Whose code to check.")] = "numpy",
    host: Annotated[bool, typer.Option("--host", help="Run device code on the processor (backends that can).")] = False,
    everything: Annotated[bool, typer.Option("--all", help="The whole gallery and the heads as well.")] = False,
) -> None:
    """Prove the code of a cell: its values, and its gradients for every parameter, input and initial state.

    Forward is compared with an independent evaluation of the equations,
    backward with dot products, complex steps and central differences, at
    several shapes and away from kinks. Exit code 1 if anything disagrees.
    Parameters that were inferred are listed, except with --all.

    [bold]Examples[/]
    symrnn check lstm
    symrnn check my.cell heads/softmax
    symrnn check --all
    """
    every = [*gallery(), *(f"heads/{h}" for h in heads())] if everything else []
    names = list(dict.fromkeys([*every, *(cells or [])]))
    if not names:
        raise UsageError("Nothing to check.", "Name a cell, or say --all.")
    wrong, found = [], {name: load(name) for name in names}
    with Bar(len(names)) as bar:
        for name in bar.over(names):
            report = checked(found[name], backend, host, bar.tell)
            bar.stop()
            stdout().print(escape(str(report)), style="" if report.ok else "red", soft_wrap=True)
            if not everything:
                print_inferred(found[name], stdout())
            bar.start()
            wrong += [] if report.ok else [name]
    if wrong:
        stderr().print(f"[bold red]wrong:[/] {escape(', '.join(wrong))}", soft_wrap=True)
        raise typer.Exit(WRONG)


def checked(cell: Cell, backend: str, host: bool, tell: Callable[[str], None]) -> Report:
    """The report on one cell; `host` is passed to backends that have a loader of their own."""
    from symrnn import build  # noqa: PLC0415 (SymPy, Jinja and NumPy, which most commands do without)
    from symrnn.emit import target  # noqa: PLC0415 (likewise)
    from symrnn.proof.check import check as prove  # noqa: PLC0415 (likewise)

    if host and "host" not in signature(getattr(target(backend), "load", build.load)).parameters:
        raise UsageError(f"--host means nothing for {backend}:", "its code always runs on the processor.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", SubstituteWarning)
            module = build.compile(cell, backend, **({"host": True} if host else {}))
        return prove(cell, module, backend, progress=tell)
    except SubstituteWarning as warning:
        raise UsageError("This would check another backend's code.", str(warning)) from None
    except RecursionError:
        raise
    except RuntimeError as error:  # what a module says of a library or a device that is not there
        raise UsageError(f"{cell.name} cannot be run: {error}.", "With --host it runs on the processor.") from None
