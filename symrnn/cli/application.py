"""The application that every command registers with: options, exit codes, and what becomes of errors."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from symrnn.cli.terminal import escape, stderr, stdout
from symrnn.errors import CheckFailed, SymrnnError, UsageError
from symrnn.version import __version__

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


def a_folder(path: Path | None) -> Path | None:
    """The folder to write to. Raises UsageError if a file is in its place, or if it cannot even be looked for."""
    try:
        for part in (path, *path.parents) if path else ():
            if part.exists() and not part.is_dir():
                raise UsageError(f"{part} is not a folder, and the output must be one.", "Name another: -o DIR.")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {(error.strerror or 'error').lower()}.") from None
    return path


CELL_HELP = "A name of the gallery (lstm), a head (heads/softmax), or a file that ends in .cell."
CellArg = Annotated[str, typer.Argument(metavar="CELL", help=CELL_HELP)]
CellsArg = Annotated[list[str] | None, typer.Argument(metavar="CELL", help=CELL_HELP)]


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
