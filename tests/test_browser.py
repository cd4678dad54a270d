"""Every page in a real browser, as wide as a phone and as a desk: no message, no missing glyph, nothing cut off."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import pytest

import symrnn
from symrnn import pages
from symrnn.pages.book import book
from symrnn.pages.document import Block, Code, Equations, Fold, Words, say
from symrnn.pages.formats import html

BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or ""
PROBE = (Path(__file__).parent / "probe.js").read_text(encoding="utf-8")
PHONE, DESK = 390, 1280
CHINESE = ("elman", "lstm")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(not BROWSER, reason="needs Chromium"),
]


def with_script(text: str, script: str) -> str:
    """A page on which a script of the test may run, after its own."""
    allowed = re.sub("script-src 'sha256-[^']+'", "script-src 'unsafe-inline'", text)
    return allowed.replace("</body>", f"<script>{script}</script></body>")


def chromium(folder: Path, page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        *(BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"),
        *("--virtual-time-budget=60000", f"--user-data-dir={folder / 'profile'}", *options, page.as_uri()),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=500)


Seen = dict[tuple[str, int], dict[str, object]]


def look(folder: Path, texts: dict[str, str]) -> tuple[Seen, list[str]]:
    """What the probe saw on every page at both widths, and everything else that the console printed."""
    for name, text in texts.items():
        assert "</body>" in text
        (folder / name).write_text(with_script(text, PROBE), encoding="utf-8")
    frames = [f"<iframe src='{n}' width='{w}' height='900'></iframe>" for n in texts for w in (PHONE, DESK)]
    desk = folder / "all.html"
    desk.write_text(f"<!DOCTYPE html><meta charset='utf-8'>{''.join(frames)}", encoding="utf-8")
    done = chromium(folder, desk, "--dump-dom")
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


#: Points at symbols, copies, folds, and says in an element what came of it.
USER = """
addEventListener("load", async () => {
  const told = {}, symbols = document.querySelectorAll(".sym"), note = document.getElementById("note");
  const clipboard = [], closed = async () => { throw new Error("no clipboard"); };
  const open = { writeText: async (text) => { clipboard.push(text); } };
  Object.defineProperty(navigator, "clipboard", { value: open });
  document.execCommand = () => { clipboard.push(document.activeElement.value); };
  symbols[0].dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
  told.note = note.hidden ? "" : note.textContent;
  told.inside = note.getBoundingClientRect().right <= innerWidth;
  document.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
  told.gone = note.hidden;
  const rows = document.querySelectorAll("[data-tex]");
  const copies = document.querySelectorAll("button.copy");
  told.copies = copies.length === rows.length;
  copies[0].click();
  open.writeText = closed;
  copies[0].click();
  await new Promise((done) => setTimeout(done, 200));
  told.copied = clipboard;
  const [shut, opened] = document.querySelectorAll(".tools button");
  const folds = [...document.querySelectorAll("details")];
  shut.click();
  told.shut = folds.every((d) => !d.open);
  location.hash = document.querySelector(".row[id]").id;
  await new Promise((done) => setTimeout(done, 200));
  told.revealed = document.querySelector(".row[id]").checkVisibility();
  opened.click();
  told.opened = folds.every((d) => d.open);
  console.info("USER " + btoa(JSON.stringify(told)));
});
"""


def alive() -> str:
    """A page with a glossary, a symbol that knows its name, and equations with keys."""
    made = pages.document(symrnn.load("elman"))

    def named(block: Block) -> Block:
        rows = block.rows if isinstance(block, Equations) else ()
        return Equations(tuple(replace(e, key=f"{e.left.name}.{id(e)}") for e in rows)) if rows else block  # type: ignore[union-attr]

    first = next(s for s in made.sections if s.anchor == "forward")
    keyed = replace(first, blocks=tuple(map(named, first.blocks)))
    fold = Fold(say("table.name"), (Code(("folded = 1",)), Fold(say("table.role"), (Code(("within = 2",)),))))
    sections = (keyed, replace(first, anchor="more", blocks=(fold,)))
    glossary = {"h": (Words("what it is"), "[H]", next(e.key for _, e in replace(made, sections=sections).equations()))}
    text = html.render(replace(made, sections=sections, glossary=glossary), "en")
    return re.sub(r"<msub>(?=<mi>h</mi>)", "<msub class='sym' data-s='h'>", text)


def test_a_page_answers_its_reader(tmp_path: Path) -> None:
    page = tmp_path / "alive.html"
    page.write_text(with_script(alive(), USER), encoding="utf-8")
    done = chromium(tmp_path, page, "--dump-dom", "--window-size=390,900")
    said = re.findall(r'CONSOLE[:(]\d+\)?\] "(.*?)", source', done.stderr)
    assert len(said) == 1 and said[0].startswith("USER "), said
    told = json.loads(b64decode(said[0].removeprefix("USER ")))
    first, second = told["copied"]
    assert first == second and first.startswith("h_{t} = ") and "what it is [H] (1)" in told["note"]
    assert [k for k, v in told.items() if not v] == []


def test_nothing_but_the_script_of_the_page_runs(tmp_path: Path) -> None:
    page = tmp_path / "alive.html"
    page.write_text(alive().replace("</main>", "<script>document.title = 'taken'</script></main>"), encoding="utf-8")
    shown = chromium(tmp_path, page, "--dump-dom").stdout
    assert "<title>taken" not in shown and 'class="copy"' in shown


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="needs poppler")
@pytest.mark.parametrize("cut", ["", "beforeprint", "::details-content"])
def test_what_is_folded_is_printed(tmp_path: Path, cut: str) -> None:
    """By the script, and by the style alone where no script runs."""
    page, made = tmp_path / "alive.html", tmp_path / "page.pdf"
    page.write_text(alive().replace(cut, "x") if cut else alive(), encoding="utf-8")
    chromium(tmp_path, page, f"--print-to-pdf={made}")
    told = subprocess.run(["pdftotext", made, "-"], capture_output=True, text=True, check=True).stdout
    assert "folded = 1" in told and "within = 2" in told and "Unfold all" not in told
