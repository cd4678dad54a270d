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
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

import symrnn
from symrnn import pages
from symrnn.cli.main import app
from symrnn.errors import CellError, UsageError
from symrnn.language.cell import Cell
from symrnn.pages import book, phrases
from symrnn.pages.document import Code, Document, Equations, Fold, Ref, Section, Words, flattened, say
from symrnn.pages.formats import html, latex, pdf
from symrnn.pages.formats import markdown as format_markdown
from symrnn.pages.formats import text as format_text
from symrnn.pages.formulas.names import letter
from symrnn.pages.notation.lines import columns

NASTY = r'''"""A <script>alert(1)</script> \input{/etc/passwd} & 100% $x$ `m` [l](javascript:x). \write18 {}^_~# "q" """

input x[I]   # <img src=x onerror=alert(1)> \csname
state h[H]   # $\int$ | **bold** `code` </math></script>

h = tanh(U @ x + W @ h[t-1])   # \end{document} <b>
'''
ELMAN = str(pages.render(symrnn.load("elman"), "html"))
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


def script_of(text: str) -> str:
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.S)
    return str(script)


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
    assert tags.seen >= {"script", "math", "main", "title"} and text.count("<script>") == 1
    assert len(ids := [v for k, v in tags.attributes if k == "id"]) == len(set(ids))
    assert all(v.startswith(("#", "data:", "url(#")) for k, v in tags.attributes if k in ("src", "href", "marker-end"))
    assert "http" not in re.sub(r"http://www.w3.org/\d+/\w+(/\w+)?|http-equiv", "", text)
    for math in re.findall(r"<math.*?</math>", text, re.S):
        ElementTree.fromstring(math)


def test_nothing_in_a_cell_file_reaches_the_page_as_markup() -> None:
    cell = nasty()
    tags = read(str(pages.render(cell, "html")))
    assert not {"img", "b"} & tags.seen and script_of(str(pages.render(cell, "html"))) == script_of(ELMAN)
    assert not {"script", "img", "b"} & read(str(pages.render(cell, "html", fragment=True))).seen
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
    assert r"\documentclass" not in fragment and r"\begin{align}" in fragment and "longtable" not in fragment


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


def test_latex_asks_for_no_package_beyond_the_recommended_ones() -> None:
    """Those of the distribution's packages that .ci/run installs and the message of a missing TeX names."""
    known = {"amsmath", "amssymb", "xcolor", "geometry", "hyperref", "inputenc", "fontenc", "lmodern"}
    for fragment in (False, True):
        text = str(pages.render(symrnn.load("lstm"), "latex", fragment=fragment))
        asked = re.findall(r"\\usepackage(?:\[[^]]*\])?\{([^}]*)\}", text)
        named = {name for names in asked for name in names.split(",")}
        assert {"amsmath", "amssymb", "xcolor"} <= named <= known


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
    shown = cell._repr_html_()
    tags = read(shown)
    assert "math" in tags.seen and not {"html", "script"} & tags.seen
    assert shown.index("class='eq'") < shown.index("<details class='fold'>") < shown.index("Backpropagation")
    (style,) = re.findall(r"<style>(.*?)</style>", shown, re.S)
    rules, depth = [""], 0
    for c in style:  # what stands before an opening brace outside all others
        depth += (c == "{") - (c == "}")
        rules = [*rules, ""] if c == "}" and not depth else [*rules[:-1], rules[-1] + c * (not depth)]
    assert len(rules) > 1 and all(r.strip().endswith(".symrnn-page") for r in rules if r.strip())
    assert cell._repr_markdown_().startswith("`gru`\n\n$$\\begin{aligned}")
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


# -- equations, by a small document made by hand -----------------------------------------------------------


def small(name: str = "lstm") -> Document:
    """Forward equations of a cell: one that stands for two, one with a note and a reason, one without a number."""
    whole = pages.document(symrnn.load(name))
    first, second, *_, last = [replace(e, note=None) for where, e in whole.equations() if where == "forward"]
    members = (replace(first, key="forward.first"), replace(second, key="forward.second"))
    rows = (
        replace(first, key="forward.⋆", members=members, over=(letter("i"), letter("f"))),
        replace(second, key="forward.c", note=say("table.role"), by=say("reason.next"), over=()),
        replace(last, key="forward.h", by=say("reason.product", reader=Ref("forward.second", 1))),
        replace(last, by=None),
    )
    folds = (
        Fold(say("table.name"), (Code(("kept = 1",)),)),
        Fold(say("table.role"), (Code(("cut = 1",)),), aside=True),
    )
    section = replace(whole.sections[0], anchor="forward", blocks=(Equations(rows), *folds))
    glossary = {"h": (Words("<b>hidden</b>"), "[H]", "forward.second"), "x": (say("role.input"), "[I]", "")}
    return replace(whole, sections=(section,), glossary=glossary)


def test_equations_have_numbers_that_lead_to_them() -> None:
    text = html.render(small(), "en")
    assert "<a href='#eq-forward.star'>(1)</a>" in text and "id='eq-forward.c'" in text
    assert "error of <a href='#eq-forward.star'>(1)</a> at step t+1 through a product</small>" in text
    assert "id='eq-forward.second'" in text and text.count("class='row'") == 4 and text.count("(4)") == 0
    assert "<dd data-s='h'><span>&lt;b&gt;hidden&lt;/b&gt;</span> <code>[H]</code> <a href='#eq-forward.star'>" in text
    assert "<mi>f</mi><mo stretchy='false'>}</mo>" in text and r"\in \{i,\, f\}'" in text
    plain = format_text.render(small(), "en")
    assert re.search(r"\n  iₜ = .*  ⋆ ∈ \{i, f\} +\(1\)\n", plain) and max(map(columns, plain.splitlines())) <= 96
    markdown = str(format_markdown.render(small(), "en"))
    assert r"f\} \qquad (1)" in markdown and r"\text{what step t1 hands back} \qquad (2)" in markdown.replace(
        "t+1", "t1"
    )
    tex = latex.render(small(), "en", fragment=True)
    assert r"\label{lstm:forward.star}" in tex and r"\symrnnby{the error of \eqref{lstm:forward.star}" in tex
    assert r"\label{mine:forward.c}" in latex.render(small(), "en", True, "mine")


def test_what_is_cut_stays_out_of_tex_alone() -> None:
    assert "kept" in latex.render(small(), "en") and "cut" not in latex.render(small(), "en")
    for made in (html.render(small(), "en"), format_text.render(small(), "en"), format_markdown.render(small(), "en")):
        assert "cut" in str(made)


def test_code_breaks_where_python_allows_it() -> None:
    lines = ("def f(a):", "    b = a if len('a long string that stays whole') > 3 else a + max(a, a, key=lambda x: x)")
    for width in (48, 60, 80):
        made = latex.wrapped(lines, width)
        assert max(map(len, made)) <= width and ast.dump(ast.parse("\n".join(made))) == ast.dump(
            ast.parse("\n".join(lines))
        )
    assert latex.wrapped(lines, 200) == list(lines)


def test_quotes_are_those_of_print_and_code_keeps_its_own() -> None:
    writer = latex.TexWriter(small(), "en")
    assert writer.escape("a \"word\" isn't 'one'") == "a “word” isn’t ‘one’"
    assert writer.mono("'\"") == r"\texttt{\textquotesingle{}\char34{}}"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs a TeX")
def test_two_fragments_share_a_document_of_their_own() -> None:
    parts = [str(pages.render(symrnn.load(n), "latex", fragment=True)) for n in ("lstm", "gru")]
    parts += [latex.render(replace(small(), sections=starless(small())), "en", True, p) for p in ("a", "b")]
    packages = re.findall(r"\\usepackage\{([\w,]+)\}", parts[0].splitlines()[0])
    head = f"\\documentclass{{article}}\n\\usepackage{{{packages[0]}}}\n\\begin{{document}}\n"
    made, log = pdf.compiled(
        head + "\n".join(parts) + r"\eqref{b:forward.h}\end{document}", shutil.which("pdflatex") or ""
    )
    assert made.startswith(b"%PDF") and "Overfull" not in log
    assert (
        "multiply" not in log and "undefined" not in log and "redefin" not in log.replace("LaTeX Info: Redefining", "")
    )


def starless(document: Document) -> tuple[Section, ...]:
    (section,) = document.sections
    rows = tuple(replace(e, over=()) for _, e in document.equations())
    return (replace(section, blocks=(Equations(rows),)),)


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="needs poppler")
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs a TeX")
def test_tex_counts_as_the_page_does(tmp_path: Path) -> None:
    document = replace(small(), sections=starless(small()))
    (tmp_path / "page.pdf").write_bytes(pdf.render(document, "en"))
    told = subprocess.run(
        ["pdftotext", "-layout", tmp_path / "page.pdf", "-"], capture_output=True, text=True, check=True
    )
    assert re.findall(r"\((\d)\)\n", told.stdout) == ["1", "2", "3"] and "the error of (1) at step t+1" in told.stdout
    told = subprocess.run(["pdfinfo", tmp_path / "page.pdf"], capture_output=True, text=True, check=True)
    assert re.search(r"Title: +Long short-term memory.*\(lstm\)", told.stdout) and "Keywords: " in told.stdout


def luminance(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_paths_can_be_read_on_paper_and_in_the_dark() -> None:
    found = re.findall(r"--route\d: light-dark\(#(\w+), #(\w+)\)", ELMAN)
    paper = re.findall(r"background: light-dark\(#(\w+), #(\w+)\); color", ELMAN)[0]
    assert len(set(found)) == 8
    for pair in found:
        for colour, ground in zip(pair, paper, strict=True):
            dark, light = sorted([luminance(colour), luminance(ground)])
            assert (light + 0.05) / (dark + 0.05) > 4.5, colour
    tex = str(pages.render(symrnn.load("elman"), "latex"))
    assert re.findall(r"\\providecolor\{route\d\}\{HTML\}\{(\w+)\}", tex) == [light.upper() for light, _ in found]


class Shell:
    """As much of a notebook as a magic needs."""

    def __init__(self) -> None:
        self.user_ns: dict[str, object] = {}
        self.magics: dict[tuple[str, str], object] = {}

    def register_magic_function(self, function: object, magic_kind: str, magic_name: str) -> None:
        self.magics[magic_kind, magic_name] = function


def test_a_cell_is_declared_where_one_stands() -> None:
    shell = Shell()
    symrnn.load_ipython_extension(shell)
    declare: Any = shell.magics["cell", "cell"]
    made = declare(" mine ", "input x[I]\nstate h[H]\nh = tanh(U @ x + W @ h[t-1])\n")
    assert made is shell.user_ns["mine"] and repr(made) == "<Cell mine: state h; input x; 2 parameters>"
    assert declare("more", "extends mine\nh = sigmoid(U @ x + W @ h[t-1])\n").extends == "mine"
    with pytest.raises(CellError) as caught:
        declare("bad", "input x[I]\nstate h[H]\nh = tanh(U @ x + W @ q[t-1])\n")
    lines = caught.value._render_traceback_()
    assert lines[0] == "%%cell bad:3:22" and "q is never assigned" in lines[-1] and "bad" not in shell.user_ns
