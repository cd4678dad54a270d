"""The command line: arguments in, exit code out. What is computed lies elsewhere; here it is asked for and shown."""

from __future__ import annotations

import os
import sys
import traceback
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich import markup
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from typer.core import TyperGroup

from symrnn import build
from symrnn.cell import Cell, declaration
from symrnn.cells import gallery, heads, load
from symrnn.derive import derive
from symrnn.emit import target
from symrnn.errors import CheckFailed, SubstituteWarning, SymrnnError, UsageError
from symrnn.version import __version__

if TYPE_CHECKING:
    from symrnn.check import Report
    from symrnn.demo.network import Update

T = TypeVar("T")
WRONG, MISTAKE, INTERNAL, INTERRUPTED, PIPE_CLOSED = 1, 2, 70, 130, 141


class Commands(TyperGroup):
    """Turns what may go wrong into exit codes: nobody should meet a traceback for a mistake of their own."""

    debug = False

    def invoke(self, ctx: Any) -> Any:
        self.debug = ctx.params["debug"]
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except CheckFailed as error:
            stderr().print(f"[bold red]wrong:[/] {escape(str(error))}", soft_wrap=True)
            raise typer.Exit(WRONG) from None
        except SymrnnError as error:
            stderr().print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
            raise typer.Exit(MISTAKE) from None
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # the interpreter flushes once more at exit, and must find somewhere to write to
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(PIPE_CLOSED) from None
        return result

    def main(self, *args: Any, **options: Any) -> Any:
        try:
            return super().main(*args, **options)
        except Exception as error:  # what nobody foresaw: mistakes have been told and have ended the process
            if self.debug:
                stderr().print(escape("".join(traceback.format_exception(error))), soft_wrap=True)
            stderr().print(f"[bold red]internal error:[/] {escape(in_one_line(error))}", soft_wrap=True)
            sys.exit(INTERNAL)


def in_one_line(error: Exception) -> str:
    """What went wrong in symrnn itself, and what to do, however much the error says."""
    what = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(":.")
    shown = what if len(what) <= 200 else f"{what[:200]}…"
    return f"{shown}. This is a fault of symrnn: please report it with the cell's text; symrnn --debug shows where."


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 all is well; 1 a check failed or the generated tree is stale; "
    "2 a mistake in the command or in a cell file; 70 an error of symrnn's own, to be reported.",
)

CELL_HELP = "A name of the gallery (lstm), a head (heads/softmax), or a file that ends in .cell."
CellArg = Annotated[str, typer.Argument(metavar="CELL", help=CELL_HELP)]
CellsArg = Annotated[list[str] | None, typer.Argument(metavar="CELL", help=CELL_HELP)]


def main() -> None:
    """Entry point of the `symrnn` command."""
    app(prog_name="symrnn")


@app.callback(invoke_without_command=True)
def options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an internal error.")] = False,
) -> None:
    """The equations of a recurrent cell in; its derivation, and code that provably computes it, out.

    [bold]Examples[/]
    symrnn list                         what comes with symrnn
    symrnn show gru                     equations, shapes, gradients
    symrnn check my.cell                prove a cell of your own
    symrnn generate my.cell -o models   write models/my.py, for NumPy alone
    symrnn demo                         train on text with generated gradients
    """
    if version:
        stdout().print(f"symrnn {__version__}")
        raise typer.Exit


# -- list and show -----------------------------------------------------------------------------------------


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


# -- check -------------------------------------------------------------------------------------------------


@app.command()
def check(
    cells: CellsArg = None,
    backend: Annotated[str, typer.Option("--backend", metavar="NAME", help="Whose code to check.")] = "numpy",
    host: Annotated[bool, typer.Option("--host", help="Run device code on the processor (backends that can).")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Check the whole gallery and the heads.")] = False,
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
    names = list(dict.fromkeys(cells or []))
    if everything:
        names = [*gallery(), *(f"heads/{h}" for h in heads()), *(n for n in names if n.endswith(".cell"))]
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
    from symrnn.check import check as prove  # noqa: PLC0415 (NumPy, which most commands do without)

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


# -- demo --------------------------------------------------------------------------------------------------


@app.command()
def demo(
    cell: Annotated[str, typer.Option("--cell", metavar="CELL", help=CELL_HELP)] = "lstm",
    hidden: Annotated[int, typer.Option("--hidden", min=1, help="Units of the cell.")] = 128,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Passes over the training text.")] = 6,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same result on the same machine.")] = 0,
    folder: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Where the plot goes.")] = Path("out"),
) -> None:
    """Train a character model on the documentation that comes with Python, with generated gradients.

    A cell is derived, generated and checked; under a softmax output layer,
    which is a cell file too, it then learns to predict the next character.
    The loss on text it has not seen is compared with two baselines, and the
    model writes a few lines. Takes about two minutes.

    [bold]Examples[/]
    symrnn demo
    symrnn demo --cell gru --hidden 64
    symrnn demo --cell my.cell
    """
    # at this size two threads of BLAS wait for each other longer than they compute; NumPy reads this on import
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from symrnn.demo import Settings, run  # noqa: PLC0415 (only after the line above)

    out = stdout()
    settings, bar = Settings(hidden=hidden, epochs=epochs, seed=seed), Training()
    try:
        result = run(cell, settings, folder, lambda line: out.print(escape(line), soft_wrap=True), bar.show)
    finally:
        bar.stop()
    out.print(f"trained   {result.seconds:.0f} s\n\nBits per character on held-out text:")
    for name, bits in (("unigram", result.known.unigram), ("bigram", result.known.bigram), (cell, result.loss)):
        out.print(f"    {escape(name):<16} {bits:.3f}")
    out.print("The first two count characters and pairs in the training text, with add-one smoothing.")
    out.print("\nA sample:\n")
    out.print(escape(result.sample), style="cyan", soft_wrap=True)
    out.print(f"\nplot: {escape(str(result.plot))}", soft_wrap=True)
    if not result.beats_bigram:
        stderr().print("[bold red]The network does not beat the bigram baseline.[/]")
        raise typer.Exit(WRONG)


# -- output ------------------------------------------------------------------------------------------------


def relative(path: Path) -> Path:
    """The path as seen from here, if it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


class Stream(Console):
    """A console that leaves a closed pipe to `Commands`, instead of ending with 1, which means a failed check."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def stdout() -> Console:
    """Where results go. In a pipe there is no screen to fit, so nothing is cut or wrapped."""
    return Stream(width=None if sys.stdout.isatty() else 1000, highlight=False, emoji=False)


def stderr() -> Console:
    """Where progress and complaints go."""
    return Stream(stderr=True, highlight=False, emoji=False)


def escape(text: str) -> str:
    """Text from a file or an argument, as it may go to a terminal: no markup, no control characters."""
    harmless = (c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf") else "\ufffd" for c in text)
    return markup.escape("".join(harmless))


def plain_table(*columns: str) -> Table:
    """A table without lines, which reads well on a screen and in a pipe."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns[:-1]:
        table.add_column(name, no_wrap=True)
    table.add_column(columns[-1], overflow="fold")
    return table


class Bar(Progress):
    """Progress on stderr while something long runs, gone afterwards; nothing at all where stderr is no screen."""

    def __init__(self, total: int) -> None:
        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
        screen = sys.stderr.isatty()
        # results keep their own stream: they must not end up on stderr with the bar
        super().__init__(*columns, console=stderr(), transient=True, disable=not screen, redirect_stdout=False)
        self.task = self.add_task("", total=total)

    def tell(self, what: str) -> None:
        self.update(self.task, description=escape(what))

    def over(self, things: Iterable[T]) -> Iterator[T]:
        """One after the other, the bar one further each time."""
        for thing in things:
            if isinstance(thing, str):
                self.tell(thing)
            yield thing
            self.advance(self.task)

    def stop(self) -> None:
        if not self.disable:  # else Rich prints an empty line
            super().stop()


class Training(Bar):
    """The bar of a training, with its loss; where stderr is no screen, a line at every tenth of the way."""

    def __init__(self) -> None:
        super().__init__(total=1)
        self.loss = 0.0

    def show(self, update: Update) -> None:
        self.start()
        self.loss += (update.loss - self.loss) / min(update.done, 50)
        line = f"{self.loss:.3f} bits/char after {update.characters / 1e6:.2f} million characters"
        self.update(self.task, total=update.total, completed=update.done, description=line)
        if self.disable and update.done % max(1, update.total // 10) == 0:
            stderr().print(f"training  {line}", soft_wrap=True)


from symrnn import cli_generate, cli_pages  # noqa: E402, F401 (their commands register themselves with `app`)
