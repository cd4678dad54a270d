"""The commands that show cells: list and show."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from symrnn.cli.application import CellArg, app
from symrnn.cli.terminal import escape, plain_table, stdout
from symrnn.language.cell import Cell, declaration
from symrnn.language.load import gallery, heads, load


@app.command("list")
def list_cells() -> None:
    """List the gallery and the heads: name, states, number of parameters, what it is.

    A head is an output layer or a loss; it is called heads/NAME.
    """
    table = plain_table("name", "states", "params", "what it is")
    for name in [*gallery(), *(f"heads/{h}" for h in heads())]:
        cell = load(name)
        states = ", ".join(v.name for v in cell.states) or "none"
        table.add_row(name, states, str(len(cell.params)), escape(cell.headline))
    stdout().print(table)


@app.command()
def show(cell: CellArg) -> None:
    """Show a cell: its equations, every name with role, axes, start and meaning, and what is differentiated.

    [bold]Examples[/]
    symrnn show gru
    symrnn show my.cell | less
    """
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
