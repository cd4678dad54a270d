"""Every page in a real browser, as wide as a phone and as a desk: no message, no missing glyph, nothing cut off."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import symrnn
from symrnn import pages
from symrnn.pages.book import book

BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or ""
PROBE = (Path(__file__).parent / "probe.js").read_text(encoding="utf-8")
PHONE, DESK = 390, 1280
CHINESE = ("elman", "lstm")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(not BROWSER, reason="needs Chromium"),
]

Seen = dict[tuple[str, int], dict[str, object]]


def look(folder: Path, texts: dict[str, str]) -> tuple[Seen, list[str]]:
    """What the probe saw on every page at both widths, and everything else that the console printed."""
    for name, text in texts.items():
        assert "</body>" in text
        (folder / name).write_text(text.replace("</body>", f"<script>{PROBE}</script></body>"), encoding="utf-8")
    frames = [f"<iframe src='{n}' width='{w}' height='900'></iframe>" for n in texts for w in (PHONE, DESK)]
    desk = folder / "all.html"
    desk.write_text(f"<!DOCTYPE html><meta charset='utf-8'>{''.join(frames)}", encoding="utf-8")
    command = [
        *(BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"),
        *("--virtual-time-budget=60000", "--dump-dom", f"--user-data-dir={folder / 'profile'}", desk.as_uri()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=500)
    said = re.findall(r'CONSOLE[:(]\d+\)?\] "(.*?)", source: (\S+)', done.stderr)
    assert len(said) == done.stderr.count(":CONSOLE"), "a line of the console was not understood"
    found: Seen = {}
    rest = []
    for message, source in said:
        name = source.rsplit("/", 1)[-1]
        if message.startswith("PROBE "):
            seen = json.loads(message.removeprefix("PROBE "))
            found[name, seen["width"]] = seen
        else:
            rest.append(f"{name}: {message}")
    return found, rest


def verdict(texts: dict[str, str], found: Seen, rest: list[str]) -> list[str]:
    """Everything that is wrong with the pages, as lines."""
    wrong = list(rest)
    for name in texts:
        for width in (PHONE, DESK):
            seen = found.get((name, width))
            if seen is None:
                wrong.append(f"{name}: was not drawn at {width}")
                continue
            wrong += [f"{name}: no glyph for {c}" for c in seen["missing"]]  # type: ignore[attr-defined]
            if seen["over"]:
                wrong.append(f"{name}: {seen['over']} reaches over the edge at {width}")
            if not seen["maths"] and name != "index.html":
                wrong.append(f"{name}: shows no formula")
    return wrong


def test_every_page_of_the_book(tmp_path: Path) -> None:
    texts = dict(book([symrnn.load(n) for n in symrnn.gallery()]))
    for name in CHINESE:
        texts[f"{name}.zh.html"] = str(pages.render(symrnn.load(name), "html", lang="zh", unroll=3))
    assert len(texts) == len(symrnn.gallery()) + 1 + len(CHINESE)
    wrong = verdict(texts, *look(tmp_path, texts))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("flaw", "complaint"),
    [
        ("<script>console.error('no')</script>", "no"),
        ("<script>nothing_by_this_name()</script>", "Uncaught ReferenceError"),
        ("<p>a letter nobody has: &#x378;</p>", "no glyph for U\\+378"),
        ("<div style='width: 2000px'>wide</div>", "over the edge at 390"),
    ],
)
def test_a_flaw_is_seen(tmp_path: Path, flaw: str, complaint: str) -> None:
    texts = {"elman.html": str(pages.render(symrnn.load("elman"), "html")).replace("</main>", f"{flaw}</main>")}
    assert flaw in texts["elman.html"]
    wrong = verdict(texts, *look(tmp_path, texts))
    assert any(re.search(complaint, line) for line in wrong), wrong
