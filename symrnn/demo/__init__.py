"""From the equations of a cell to a model that writes text, with nothing in between that is not generated."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from symrnn.build import load as load_module
from symrnn.calculus.derive import derive
from symrnn.demo.network import Network, Update, evaluate, network, sample, train
from symrnn.demo.plot import plot
from symrnn.demo.text import Baselines, Corpus, Ids, baselines, corpus, documentation, streams
from symrnn.emit import emit
from symrnn.errors import SymrnnError, UsageError
from symrnn.language.cell import Cell
from symrnn.language.load import load
from symrnn.proof.check import check

Say = Callable[[str], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """Sizes of the model and of its training; the defaults take about a minute and a half on one core."""

    hidden: int = 128
    epochs: int = 6
    batch: int = 32
    steps: int = 24
    rate: float = 0.008
    seed: int = 0
    sample: int = 600
    temperature: float = 0.7


class CheckFailed(SymrnnError):
    """The generated code is wrong, so there is nothing to train with."""


@dataclass(frozen=True)
class Result:
    """What the demo ends with; losses in bits a character, on held-out text."""

    loss: float
    known: Baselines
    sample: str
    plot: Path
    seconds: float

    @property
    def beats_bigram(self) -> bool:
        return self.loss < self.known.bigram


def run(name: str, settings: Settings, folder: Path, say: Say, show: Callable[[Update], None]) -> Result:
    """The whole demo. `say` receives finished lines, `show` every update of the training.

    Raises SymrnnError for a cell that is wrong or cannot read text.
    """
    need_matplotlib()
    cell = load(name)
    module = proven(cell, say)
    text = corpus(documentation())
    net = network(cell, module, len(text.alphabet), settings.hidden, settings.seed)
    head = f"{net.head.__name__}, generated as well"
    say(f"text      documentation of Python, {len(text.train)} characters to learn, {len(text.held_out)} held out")
    say(f"model     {sum(v.size for v in net.parameters.values())} parameters; on top: {head}")
    losses, seconds = trained(net, text, settings, show)
    here, following = streams(text.held_out, 16)
    loss = evaluate(net, here, following)
    known = baselines(text.train, here, following, len(text.alphabet))
    path = folder / f"demo-{cell.name}.png"
    read = len(losses) * settings.batch * settings.steps
    title = f"{cell.headline}: learning to write documentation"
    plot(path, title, losses=losses, characters=read, held_out=loss, known=known)
    written = text.text(sample(net, beginning(text), settings.sample, settings.temperature, settings.seed))
    return Result(loss, known, written, path, seconds)


def beginning(text: Corpus) -> Ids:
    """What the network reads before it writes: the end of the training text, up to the last paragraph's end."""
    end = text.text(text.train).rfind("\n\n") + 2
    return text.train[max(0, end - 200) : end] if end > 1 else text.train[:1]


def need_matplotlib() -> None:
    """Better to hear of it before training than after."""
    try:
        import matplotlib  # noqa: F401, PLC0415
    except ImportError:
        raise UsageError(
            "The demo draws its plot with matplotlib.", "Install it: pip install 'symrnn[demo]'."
        ) from None


def proven(cell: Cell, say: Say) -> ModuleType:
    """The generated module of a cell, after its check; says how long each stage took."""
    derivation, seconds = timed(lambda: derive(cell))
    say(f"derived   {cell.name}: {len(derivation.adjoints)} adjoints, {seconds:.2f} s")
    artifacts, seconds = timed(lambda: emit(cell))
    lines = sum(a.text.count("\n") for a in artifacts)
    say(f"generated {lines} lines of NumPy, {seconds:.2f} s")
    module = load_module(cell, artifacts)
    report, seconds = timed(lambda: check(cell, module))
    if not report.ok:
        raise CheckFailed(str(report))
    worst = ", ".join(f"{test} {row.error:.0e}" for test, row in report.worst().items())
    say(f"checked   {len(report.rows)} comparisons, {seconds:.2f} s; largest errors: {worst}")
    return module


def timed(what: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    return what(), time.perf_counter() - start


def trained(
    net: Network, text: Corpus, settings: Settings, show: Callable[[Update], None]
) -> tuple[list[float], float]:
    """The loss of every update, and how long it all took."""
    start, losses = time.perf_counter(), []
    how = {"batch": settings.batch, "steps": settings.steps, "epochs": settings.epochs}
    for update in train(net, text.train, **how, rate=settings.rate):
        losses.append(update.loss)
        show(update)
    return losses, time.perf_counter() - start
