"""The whole gallery as linked pages with an index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path

from symrnn.language.cell import Cell
from symrnn.language.load import gallery, load
from symrnn.pages.document import say
from symrnn.pages.formats import html
from symrnn.pages.outline import outline, subject
from symrnn.pages.phrases import spoken, table


def book(cells: Iterable[Cell] = (), lang: str = "en") -> Iterator[tuple[str, str]]:
    """(file name, HTML) for every cell, by default the gallery's, and for index.html, which comes first."""
    table(lang)
    chosen = list(cells) or [load(n) for n in gallery()]
    yield "index.html", index(chosen, lang)
    for k, cell in enumerate(chosen):
        document = outline(subject(cell))
        before = chosen[k - 1].name if k else ""
        after = chosen[k + 1].name if k + 1 < len(chosen) else ""
        yield f"{cell.name}.html", html.render(document, lang, links=_links(before, after, lang))


def write(folder: Path, cells: Iterable[Cell] = (), lang: str = "en") -> list[Path]:
    """Write the book into a folder, which is made if need be; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in book(cells, lang):
        paths.append(folder / name)
        paths[-1].write_text(text, encoding="utf-8")
    return paths


def index(cells: list[Cell], lang: str) -> str:
    """The table of all pages."""
    head = "".join(f"<th>{_say(f'table.{k}', lang)}</th>" for k in ("cell", "title", "states", "params"))
    rows = "\n".join(
        f"<tr><td><a href='{escape(c.name)}.html'><code>{escape(c.name)}</code></a></td><td>{escape(c.headline)}</td>"
        f"<td>{escape(', '.join(v.name for v in c.states)) or '–'}</td><td>{len(c.params)}</td></tr>"
        for c in cells
    )
    title = _say("title.book", lang)
    intro = spoken(say("book.intro", count=len(cells)), lang, escape, str)
    body = f"<header><h1>{title}</h1><p>{intro}</p></header>"
    body += f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    return html.page(title, lang, body)


def _links(before: str, after: str, lang: str) -> str:
    parts = [f"<a href='index.html'>{_say('book.index', lang)}</a>"]
    for name, key, arrow in ((before, "book.previous", "←"), (after, "book.next", "→")):
        if name:
            label = f"{arrow} {escape(name)}" if arrow == "←" else f"{escape(name)} {arrow}"
            parts.append(f"<a href='{escape(name)}.html' title='{_say(key, lang)}'>{label}</a>")
    return f"<nav class='links'>{''.join(parts)}</nav>"


def _say(key: str, lang: str) -> str:
    return escape(table(lang)[key])
