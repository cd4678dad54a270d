"""Every sentence of a page, one table per language, all with the same keys."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from typing import Any

from symrnn.errors import UsageError
from symrnn.pages.document import Phrase, Words

_GAP = re.compile(r"\{(\w+)\}")


def languages() -> list[str]:
    """The languages there are tables for."""
    return sorted(
        f.name.removesuffix(".toml") for f in files("symrnn.pages.phrases").iterdir() if f.name.endswith(".toml")
    )


@cache
def table(lang: str) -> dict[str, str]:
    """The phrases of a language; UsageError if there are none."""
    if lang not in languages():
        raise UsageError(f"There are no phrases in {lang!r}.", f"Known: {', '.join(languages())}.")
    return tomllib.loads(files("symrnn.pages.phrases").joinpath(f"{lang}.toml").read_text(encoding="utf-8"))


def spoken(phrase: Phrase, lang: str, escape: Callable[[str], str], inline: Callable[[Any], str]) -> str:
    """A phrase with its gaps filled; `escape` writes text, `inline` a formula."""
    return "".join(_pieces(phrase, lang, escape, inline))


def _pieces(phrase: Phrase, lang: str, escape: Callable[[str], str], inline: Callable[[Any], str]) -> Iterator[str]:
    known = table(lang)
    if phrase.key == "meaning":
        words = str(phrase.gaps["words"])
        yield escape(known.get(f"word.{words}", words))
        return
    key = f"{phrase.key}.one" if phrase.gaps.get("count") == 1 and f"{phrase.key}.one" in known else phrase.key
    for k, piece in enumerate(_GAP.split(known[key])):
        yield _filled(phrase.gaps[piece], lang, escape, inline) if k % 2 else escape(piece)


def _filled(gap: Any, lang: str, escape: Callable[[str], str], inline: Callable[[Any], str]) -> str:
    match gap:
        case Phrase():
            return spoken(gap, lang, escape, inline)
        case Words():
            return escape(gap.text)
        case str() | int():
            return escape(str(gap))
        case list() | tuple():
            return joined([_filled(x, lang, escape, inline) for x in gap], lang, escape)
    return inline(gap)


def joined(items: list[str], lang: str, escape: Callable[[str], str]) -> str:
    """a, b and c."""
    known = table(lang)
    if len(items) < 2:
        return "".join(items)
    return escape(known["list.comma"]).join(items[:-1]) + escape(known["list.and"]) + items[-1]
