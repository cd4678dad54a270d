"""Pages in every format: well formed, self-contained, and deaf to what a cell file would like them to do."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

import symrnn
from symrnn import pages
from symrnn.cli.main import app
from symrnn.errors import UsageError
from symrnn.language.cell import Cell
from symrnn.pages import book, phrases
from symrnn.pages.document import Code, flattened
from symrnn.pages.formats import pdf

NASTY = r'''"""A <script>alert(1)</script> \input{/etc/passwd} & 100% $x$ `m` [l](javascript:x). \write18 {}^_~# "q" """

input x[I]   # <img src=x onerror=alert(1)> \csname
state h[H]   # $\int$ | **bold** `code` </math></script>

h = tanh(U @ x + W @ h[t-1])   # \end{document} <b>
'''
VOID = {"meta", "link", "br", "img", "hr"}


def nasty() -> Cell:
    """A cell whose every text would like to be markup."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python has opinions on the backslashes
        return symrnn.parse(NASTY, "nasty")


class Tags(HTMLParser):
    """Collects tags and attributes, and checks that they close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes += [(k, v or "") for k, v in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(k, v or "") for k, v in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag


def read(text: str) -> Tags:
    tags = Tags()
    tags.feed(text)
    assert not tags.open
    return tags


@pytest.mark.parametrize("lang", phrases.languages())
@pytest.mark.parametrize("name", ["elman", "lstm", "deltanet", "lstm_blocks", "skip_rnn", "dense"])
def test_html_is_one_well_formed_file_that_fetches_nothing(name: str, lang: str) -> None:
    text = str(pages.render(symrnn.load(name), "html", lang))
    tags = read(text)
    assert "script" not in tags.seen and "math" in tags.seen
    assert all(v.startswith(("#", "data:", "url(#")) for k, v in tags.attributes if k in ("src", "href", "marker-end"))
    assert "http" not in re.sub(r"http://www.w3.org/\d+/\w+(/\w+)?", "", text)
    for math in re.findall(r"<math.*?</math>", text, re.S):
        ElementTree.fromstring(math)


def test_nothing_in_a_cell_file_reaches_the_page_as_markup() -> None:
    cell = nasty()
    tags = read(str(pages.render(cell, "html")))
    assert not {"script", "img", "b"} & tags.seen
    tex = str(pages.render(cell, "latex"))
    body = tex.split(r"\begin{document}", 1)[1]
    assert (
        r"\input" not in tex and r"\write18" not in tex and r"\csname" not in tex and body.count(r"\end{document}") == 1
    )
    markdown = str(pages.render(cell, "markdown"))
    assert "<script" not in markdown and "<img" not in markdown and "](javascript" not in markdown


def test_the_terminal_gets_no_control_characters() -> None:
    cell = replace(symrnn.load("elman"), title="A \x1b[31mred\x07 title.")
    text = str(pages.render(cell, "text"))
    assert "\x1b" not in text and "\x07" not in text


def test_every_language_has_the_same_phrases_with_the_same_gaps() -> None:
    english = phrases.table("en")
    for lang in phrases.languages():
        other = {k: v for k, v in phrases.table(lang).items() if not k.startswith("word.")}
        assert list(other) == list(english)
        for key, text in english.items():
            assert sorted(re.findall(r"\{\w+\}", other[key])) == sorted(re.findall(r"\{\w+\}", text)), key


def test_every_phrase_is_used() -> None:
    source = "".join(p.read_text(encoding="utf-8") for p in Path(pages.__file__).parent.rglob("*.py"))
    for key in phrases.table("en"):
        stem, _, tail = key.rpartition(".")
        assert key in source or f'f"{stem}.' in source or tail == "one", key


def test_chinese_pages_are_chinese() -> None:
    text = str(pages.render(symrnn.load("lstm"), "html", "zh"))
    assert "恒定误差通路" in text and "清除记忆" in text and 'lang="zh"' in text
    assert "The state" not in text and "遗忘门的偏置" in text


@pytest.mark.parametrize("name", ["elman", "lstm", "deltanet"])
def test_markdown_and_fragments(name: str) -> None:
    markdown = str(pages.render(symrnn.load(name), "markdown"))
    assert markdown.count("$$") % 2 == 0 and markdown.startswith("# ") and "\\begin{aligned}" in markdown
    fragment = str(pages.render(symrnn.load(name), "latex", fragment=True))
    assert r"\documentclass" not in fragment and r"\begin{align*}" in fragment


def test_mistakes_are_told() -> None:
    cell = symrnn.load("elman")
    with pytest.raises(UsageError, match="no format 'htm'"):
        pages.render(cell, "htm")
    with pytest.raises(UsageError, match="no phrases in 'fr'"):
        pages.render(cell, "html", "fr")
    with pytest.raises(UsageError, match="1 to 6 steps"):
        pages.render(cell, "html", unroll=99)
    with pytest.raises(UsageError, match="nothing to unroll"):
        pages.render(symrnn.load("dense"), "html", unroll=3)
    with pytest.raises(UsageError, match="no fragments"):
        pages.render(cell, "pdf", fragment=True)


def test_a_missing_tex_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UsageError, match="pdflatex, which is not installed"):
        pages.render(symrnn.load("elman"), "pdf")
    with pytest.raises(UsageError, match="texlive-lang-chinese"):
        pages.render(symrnn.load("elman"), "pdf", "zh")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs a TeX")
@pytest.mark.parametrize("name", symrnn.gallery())
def test_every_page_compiles_without_an_overfull_line(name: str) -> None:
    text = str(pages.render(symrnn.load(name), "latex"))
    made, log = pdf.compiled(text, shutil.which("pdflatex") or "")
    assert made.startswith(b"%PDF")
    assert "Overfull" not in log and "Missing character" not in log and "undefined" not in log


def test_two_hyphens_stay_two_hyphens() -> None:
    assert r"symrnn generate elman -{}-backend numpy" in str(pages.render(symrnn.load("elman"), "latex"))


@pytest.mark.skipif(shutil.which("xelatex") is None, reason="needs texlive-xetex and texlive-lang-chinese")
@pytest.mark.slow
def test_a_chinese_page_compiles() -> None:
    text = str(pages.render(symrnn.load("elman"), "latex", lang="zh", head=symrnn.load("heads/softmax_cross_entropy")))
    made, log = pdf.compiled(text, shutil.which("xelatex") or "")
    assert made.startswith(b"%PDF") and "Missing character" not in log and "Overfull" not in log


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs a TeX")
def test_a_nasty_title_compiles_as_text() -> None:
    assert bytes(pages.render(nasty(), "pdf")).startswith(b"%PDF")  # type: ignore[arg-type]


def test_the_book_links_its_pages() -> None:
    made = dict(book.book([symrnn.load("elman"), symrnn.load("gru")]))
    assert list(made) == ["index.html", "elman.html", "gru.html"]
    for text in made.values():
        for target in re.findall(r"href='([\w.]+\.html)'", text):
            assert target in made


def test_pages_do_not_depend_on_the_hash_seed() -> None:
    program = (
        "import symrnn, hashlib; from symrnn import pages\n"
        "made = [str(pages.render(symrnn.load(n), f)) for n in ('gru', 'ntm_content') for f in ('latex', 'html')]\n"
        "print(hashlib.sha256(''.join(made).encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_a_notebook_shows_a_cell() -> None:
    cell = symrnn.load("gru")
    assert "<math" in cell._repr_html_() and "<html" not in cell._repr_html_()
    assert cell._repr_latex_().startswith(r"$$\begin{aligned}r_{t} &= \sigma(")
    assert cell._repr_latex_().count(r"\\") == 3


@pytest.mark.parametrize(
    ("suffix", "begins"), [(".html", "<!DOCTYPE"), (".tex", "\\documentclass"), (".md", "#"), (".txt", "Simple")]
)
def test_the_name_of_the_file_says_the_format(tmp_path: Path, suffix: str, begins: str) -> None:
    page = tmp_path / f"page{suffix}"
    assert CliRunner().invoke(app, ["derive", "elman", "-o", str(page)], prog_name="symrnn").exit_code == 0
    assert page.read_text(encoding="utf-8").lstrip().startswith(begins)


def test_a_name_that_says_no_format_is_an_error(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["derive", "elman", "-o", str(tmp_path / "page.doc")], prog_name="symrnn")
    assert done.exit_code == 2 and ".html" in done.output and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        (["derive", "elman", "-o"], "cannot be written: "),
        (["book", "elman", "-o"], "file is not a folder, and the output must be one"),
        (["flow", "elman", "--T", "2", "--size", "2", "-o"], "file is not a folder, and the output must be one"),
    ],
)
def test_a_place_where_nothing_can_be_written_is_told(tmp_path: Path, command: list[str], wrong: str) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    done = CliRunner().invoke(app, [*command, str(tmp_path / "file" / "x.html")], prog_name="symrnn")
    assert done.exit_code == 2 and wrong in " ".join(done.output.split()) and not isinstance(done.exception, OSError)


def test_code_stands_under_what_it_computes() -> None:
    text = str(pages.render(symrnn.load("elman"), "text"))
    backward = text[text.index("Backward\n") :]
    order = [
        "all steps at once",
        "dh_dh_pre = ",
        "δh̄ₜ = ",
        "d_h_pre[t] = ",
        "Handed back",
        "d_h_prev = ",
        "δxₜ = ",
        "d_x = ",
    ]
    assert sorted(order, key=backward.index) == order


@pytest.mark.parametrize("name", ["hawk", "lstm_gaussian", "gru_d"])
def test_code_stands_in_whole_statements(name: str) -> None:
    page = pages.document(symrnn.load(name))
    shown = [b.lines for s in page.sections for b in flattened(s.blocks) if isinstance(b, Code)]
    module = (Path(symrnn.__file__).parents[1] / "generated" / "numpy" / f"{name}.py").read_text(encoding="utf-8")
    dedented = [line.strip() for line in module.splitlines()]
    for lines in shown:
        ast.parse("\n".join(lines))
        assert all(line.strip() in dedented for line in lines)


def test_the_command_line_writes_pages(tmp_path: Path) -> None:
    run = lambda *args: CliRunner().invoke(app, [str(a) for a in args], prog_name="symrnn")  # noqa: E731
    head = ("--head", "softmax_cross_entropy", "--unroll", "3")
    assert run("derive", "elman", *head, "--format", "html", "-o", tmp_path / "e.html").exit_code == 0
    assert (tmp_path / "e.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    shown = run("derive", "gru", "--lang", "zh")
    assert shown.exit_code == 0 and "状态雅可比矩阵" in shown.stdout
    assert run("derive", "gru", "--format", "pdf").exit_code == 2
    assert run("derive", "gru", "--format", "html", "-o", tmp_path / "no" / "x.html").exit_code == 2
    assert run("book", "elman", "gru", "-o", tmp_path / "book").exit_code == 0
    assert sorted(p.name for p in (tmp_path / "book").iterdir()) == ["elman.html", "gru.html", "index.html"]
    assert run("flow", "mgu", "--T", "5", "--seeds", "1", "--size", "3", "-o", tmp_path).exit_code == 0
    assert (tmp_path / "flow_mgu.svg").exists()
    compared = run("diff", "lstm", "lstm_misprint")
    assert compared.exit_code == 0 and "tanh(cₜ₋₁)" in compared.stdout
    assert "| | both |" in run("diff", "lstm", "gru", "--markdown").stdout
    assert "δn̄ₜ = δnₜ ⊙ (1 − nₜ²)" in run("show", "gru").stdout
