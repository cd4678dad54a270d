"""What goes to a terminal or a pipe: text without control characters, tables, progress."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from rich import markup
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

T = TypeVar("T")


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
