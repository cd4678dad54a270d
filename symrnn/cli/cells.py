"""The commands that show cells: list and show."""

from __future__ import annotations

from dataclasses import astuple
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from symrnn.cli.application import CellArg, app
from symrnn.cli.terminal import escape, plain_table, stdout
from symrnn.errors import UsageError
from symrnn.language.cell import Cell, declaration
from symrnn.language.load import listed, load

if TYPE_CHECKING:
    from symrnn.printing.schedules import Line


@app.command("list")
def list_cells() -> None:
    """List the gallery and the heads: name, states, number of parameters, what it is.

    A head is an output layer or a loss; it is called heads/NAME.
    """
    table = plain_table("name", "states", "params", "what it is")
    for cell in listed():
        table.add_row(cell.name, ", ".join(cell.states) or "none", str(cell.params), escape(cell.headline))
    stdout().print(table)


@app.command()
def show(
    cell: CellArg,
    schedule: Annotated[
        bool, typer.Option("--schedule", help="What runs when in a NumPy module, and what it costs.")
    ] = False,
    sizes: Annotated[
        str, typer.Option("--sizes", metavar="T=…,B=…", help="Lengths for --schedule; the others stay symbols.")
    ] = "",
) -> None:
    """Show a cell: its equations, every name with role, axes, start and meaning, and what is differentiated.

    [bold]Examples[/]
    symrnn show gru
    symrnn show my.cell | less
    symrnn show lstm --schedule --sizes T=100,B=16,I=32,H=64
    """
    if sizes and not schedule:
        raise UsageError("--sizes are those of a schedule.", "Add --schedule.")
    if schedule:
        print_schedule(found := load(cell), lengths_given(found, sizes), stdout())
        return
    from symrnn import pages  # noqa: PLC0415 (only who asks for a derivation waits for it)
    from symrnn.calculus.derive import derive  # noqa: PLC0415 (likewise)

    out, found = stdout(), load(cell)
    page = pages.show(found)  # before anything is printed, for it may end in an error
    out.print(f"[bold]{escape(found.title.strip() or found.name)}[/]\n", soft_wrap=True)
    for e in found.equations:
        out.print(f"    {escape(e.text)}", soft_wrap=True)
    out.print()
    out.print(names_table(found))
    out.print()
    out.print(escape(f"Gradients: {', '.join(derive(found).gradients.values())}"), soft_wrap=True)
    out.print()
    out.print(escape(page), soft_wrap=True, end="")


def lengths_given(cell: Cell, text: str) -> dict[str, int]:
    """T=100,B=16 as numbers by name. Raises UsageError for anything else, and for a name the cell does not have."""
    names, found = ("T", "B", *cell.axes), dict[str, int]()
    for part in text.split(",") if text else ():
        name, _, number = (x.strip() for x in part.partition("="))
        if not number:
            raise UsageError(f"--sizes has {part.strip()!r}.", "Write lengths as T=100,B=16.")
        if name not in names:
            raise UsageError(f"{cell.name} has no length {name!r}.", f"Its lengths: {', '.join(names)}.")
        if name in found:
            raise UsageError(f"--sizes has {name} twice.", "Give every length once.")
        if not (number.isascii() and number.isdigit() and int(number)):
            raise UsageError(f"{name} must be a whole number from 1, not {number!r}.")
        found[name] = int(number)
    return found


def print_schedule(cell: Cell, sizes: dict[str, int], out: Console) -> None:
    """Sweeps, blocks and statements of a NumPy module's forward and backward pass with their costs."""
    from symrnn.emit import programs_for  # noqa: PLC0415 (only who asks for a schedule waits for it)
    from symrnn.printing import schedules  # noqa: PLC0415 (likewise)
    from symrnn.schedule import cost  # noqa: PLC0415 (likewise)

    programs, length = programs_for(cell, "numpy"), cost.lengths(sizes)
    program = programs.train
    out.print("Over a whole sequence in float32:\n")
    for title, lines in schedules.sections(program, length):
        out.print(cost_table(title, lines))
        out.print()
    out.print(cost_table("sweep", schedules.totals(program, length)))
    out.print()
    kept = [schedules.counted(cost.tape_bytes(p, length)) for p in (program, programs.states)]
    out.print(escape(f'The tape: {kept[0]} bytes; with memory="states": {kept[1]}'), soft_wrap=True)


def cost_table(title: str, lines: list[Line]) -> Table:
    """Statements or sweeps, with bytes, operations and calls."""
    from symrnn.printing.schedules import counted  # noqa: PLC0415 (only who asks for a schedule waits for it)

    table = plain_table("bytes moved", "operations", "calls", title)
    for line in lines:
        table.add_row(*(counted(n) for n in astuple(line.cost)), escape(line.text))
    return table


def print_inferred(cell: Cell, out: Console) -> None:
    """The parameters that nothing declares, as a file would declare them: who meant something else sees it here."""
    if cell.inferred:
        out.print(f"{escape(cell.name)}: inferred, because no equation defines them:", soft_wrap=True)
    for v in cell.inferred:
        out.print(f"  {escape(declaration(v))}", soft_wrap=True)


def names_table(cell: Cell) -> Table:
    """Every name of a cell with its role, axes, value at the start and meaning."""
    table = plain_table("name", "role", "axes", "start", "meaning")
    outputs = {v.name for v in cell.outputs}
    for v in cell.variables:
        role = v.role + ", output" * (v.name in outputs) + ", inferred" * (v in cell.inferred)
        table.add_row(v.name, role, escape(f"[{', '.join(v.axes)}]"), escape(v.start), escape(v.meaning))
    return table
