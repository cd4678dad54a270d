"""The commands that print derivations: derive, book, flow, diff."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from symrnn.cli.application import CELL_HELP, CellArg, CellsArg, a_folder, app
from symrnn.cli.terminal import Bar, escape, relative, stderr, stdout
from symrnn.errors import UsageError
from symrnn.language.cell import Cell
from symrnn.language.load import gallery, heads, load

LangOption = Annotated[str, typer.Option("--lang", metavar="LANG", help="Language of the page: en or zh.")]


@app.command("derive")
def derive_page(
    cell: CellArg,
    format: Annotated[
        str | None,
        typer.Option("--format", metavar="NAME", help="html, latex, markdown, pdf or text; else by the name of FILE."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Where to write; else stdout.")
    ] = None,
    head: Annotated[
        str | None, typer.Option("--head", metavar="HEAD", help="An output layer or loss: softmax_cross_entropy, …")
    ] = None,
    unroll: Annotated[
        int, typer.Option("--unroll", metavar="T", help="Also write the recursion out for so many steps, at most 6.")
    ] = 0,
    fragment: Annotated[
        bool, typer.Option("--fragment", help="Sections only, to put into a document of your own.")
    ] = False,
    lang: LangOption = "en",
) -> None:
    """Print the derivation of a cell as a page; every formula on it is evaluated first.

    [bold]Examples[/]
    symrnn derive lstm -o lstm.html
    symrnn derive elman --head softmax_cross_entropy --unroll 3 -o elman.pdf
    symrnn derive my.cell --fragment -o my.tex
    """
    from symrnn import pages  # noqa: PLC0415 (only who asks for a derivation waits for it)

    format = format or pages.format_of(output)
    if format == "pdf" and output is None:
        raise UsageError("A PDF is not text for a terminal.", "Give a file: -o FILE.")
    made = pages.render(load(cell), format, lang, load_head(head) if head else None, unroll, fragment)
    if output is None:
        sys.stdout.write(str(made))
        return
    with writing(output):
        output.write_bytes(made if isinstance(made, bytes) else made.encode("utf-8"))
    stdout().print(f"wrote {escape(relative(output).as_posix())}", soft_wrap=True)


def load_head(name: str) -> Cell:
    """An output layer of symrnn's own by its name, or a cell file."""
    name = name.removeprefix("heads/")
    if name not in heads() and not name.endswith(".cell"):
        raise UsageError(f"There is no head {name!r}.", f"Known: {', '.join(heads())}; a file ends in .cell.")
    return load(name if name.endswith(".cell") else f"heads/{name}")


@app.command("book")
def book_pages(
    cells: CellsArg = None,
    folder: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="DIR", help="Folder to write to; made if missing.", callback=a_folder),
    ] = Path("book"),
    lang: LangOption = "en",
) -> None:
    """Print the derivations of some cells, or of the whole gallery, as linked HTML pages with an index.

    [bold]Examples[/]
    symrnn book -o book
    symrnn book elman lstm gru my.cell -o book --lang zh
    """
    from symrnn.pages.book import book  # noqa: PLC0415 (only who asks for a derivation waits for it)

    chosen = [load(n) for n in cells or gallery()]
    twins = [c.name for k, c in enumerate(chosen) if c.name in {d.name for d in chosen[:k]}]
    if twins:
        raise UsageError(f"Two cells are called {twins[0]}.", "Their pages would overwrite each other.")
    made = book(chosen, lang)
    with writing(folder), Bar(len(chosen) + 1) as bar:
        folder.mkdir(parents=True, exist_ok=True)
        for _ in bar.over(["index", *(c.name for c in chosen)]):
            name, text = next(made)
            (folder / name).write_text(text, encoding="utf-8")
    stdout().print(f"{len(chosen) + 1} pages in {escape(relative(folder).as_posix())}", soft_wrap=True)


@app.command("flow")
def flow_of(
    cell: CellArg,
    steps: Annotated[int, typer.Option("--T", min=1, help="Length of the sequence.")] = 200,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Runs an initialisation.")] = 3,
    size: Annotated[
        int | None,
        typer.Option("--size", min=1, help="Length of every axis; else 16, or less where a state is a matrix."),
    ] = None,
    seconds: Annotated[float, typer.Option("--seconds", help="What is not measured after so long is left out.")] = 60,
    folder: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for PNG, SVG and JSON.", callback=a_folder)
    ] = Path("out"),
) -> None:
    """Measure what is left of a gradient after many steps back, for several kinds of recurrent matrices.

    Each line is printed as soon as it is measured. The numbers are written
    as JSON too; pictures beside it need matplotlib, which the extra demo brings.

    [bold]Examples[/]
    symrnn flow elman
    symrnn flow lstm --T 500 --seeds 5 -o pictures
    """
    from symrnn.flow import Curve, Progress, measure, plot  # noqa: PLC0415 (only who asks for it waits for it)

    shown: list[Curve] = []
    with Bar(1) as bar:

        def show(progress: Progress) -> None:
            bar.update(bar.task, completed=progress.done, total=progress.total)
            bar.tell(progress.what)
            if progress.curve is not None:
                bar.stop()  # a line on the screen would run into the bar
                sys.stdout.write(flow_line(progress.curve, first=not shown))
                shown.append(progress.curve)
                sys.stdout.flush()
                bar.start()

        found = measure(load(cell), steps, seeds, size, seconds=seconds, watch=show)
    stdout().print(f"size {found.size}, steps {found.steps}, seeds {found.seeds}", soft_wrap=True)
    for what in found.left_out:
        stdout().print(f"left out: {escape(what)}", soft_wrap=True)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        paths = plot.write(found, folder / f"flow_{found.cell}")
    for path in paths:
        stdout().print(f"wrote {escape(relative(path).as_posix())}", soft_wrap=True)
    if not plot.can_draw():
        stderr().print("note: pictures need matplotlib: pip install 'symrnn[demo]'", soft_wrap=True, markup=False)


def flow_line(curve: Any, first: bool) -> str:
    """A row of the table of curves, the first one below its head."""
    head = f"{'setting':<16}{'log₁₀ per step':<16}{'leading exponent':<18}recurrent matrices\n" if first else ""
    return f"{head}{curve.setting:<16}{curve.decay:<+16.4f}{curve.exponents[0]:<+18.4f}{curve.name}\n"


@app.command("diff")
def diff_of(
    first: Annotated[str, typer.Argument(metavar="A", help=CELL_HELP)],
    second: Annotated[str, typer.Argument(metavar="B", help=CELL_HELP)],
    markdown: Annotated[bool, typer.Option("--markdown", help="Tables in Markdown instead of text.")] = False,
) -> None:
    """Put two cells side by side: equations, terms of Jacobian and gradients, parameters, work, memory.

    [bold]Examples[/]
    symrnn diff lstm gru
    symrnn diff lstm lstm_misprint
    """
    from symrnn import diff  # noqa: PLC0415 (only who asks for it waits for it)

    found = diff.compare(load(first), load(second))
    sys.stdout.write(diff.markdown(found) if markdown else diff.text(found))


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What is written inside belongs to `path`; a folder that is missing or closed is the user's mistake."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {(error.strerror or 'error').lower()}.") from None
