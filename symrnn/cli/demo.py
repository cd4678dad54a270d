"""The command demo: a character model trained with generated gradients."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from symrnn.cli.application import CELL_HELP, WRONG, a_folder, app
from symrnn.cli.terminal import Bar, escape, stderr, stdout

if TYPE_CHECKING:
    from symrnn.demo.network import Update


@app.command()
def demo(
    cell: Annotated[str, typer.Option("--cell", metavar="CELL", help=CELL_HELP)] = "lstm",
    hidden: Annotated[int, typer.Option("--hidden", min=1, help="Units of the cell.")] = 128,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Passes over the training text.")] = 6,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same result on the same machine.")] = 0,
    folder: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Where the plot goes.", callback=a_folder)
    ] = Path("out"),
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
