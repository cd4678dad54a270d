"""A page as LaTeX: amsmath, nothing that a basic TeX lacks; Chinese through ctex."""

from __future__ import annotations

import re
from typing import Any

from symrnn import emit
from symrnn.pages.document import Block, Code, Diagram, Document, Equations, Fold, Prose, Section, Table
from symrnn.pages.drawing import layout
from symrnn.pages.formulas.names import GREEK
from symrnn.pages.notation.latex import Latex
from symrnn.pages.notation.lines import broken, typeset
from symrnn.pages.writer import Writer

SUFFIX = ".tex"
WIDTH = 78
_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\char34{}", "`": r"\textasciigrave{}", "'": "'",
}  # fmt: skip
_MATHS = {
    "⊙": r"\odot", "∂": r"\partial", "×": r"\times", "⁺": "{}^{+}", "−": "-", "→": r"\to", "∑": r"\sum", "·": r"\cdot",
    "≤": r"\le", "≥": r"\ge", "∞": r"\infty", "ŷ": r"\hat{y}", "′": "'", "√": r"\surd", "‖": r"\Vert",
    **{v: f"\\{k}" for k, v in GREEK.items() if k != "omicron"},
}  # fmt: skip
_LIGATURE = re.compile(r"([-,'])(?=\1)")
_WIDE = re.compile(r"[\u2e80-\u9fff\uff00-\uffef\u3000-\u303f]")


def render(document: Document, lang: str, fragment: bool = False) -> str:
    """The page; a fragment has sections only, for \\input into a document of one's own."""
    writer = TexWriter(document, lang)
    sections = "\n\n".join(writer.section(s) for s in document.sections)
    if fragment:
        return f"% Needs \\usepackage{{amsmath}} and \\usepackage{{amssymb}}.\n{sections}\n"
    title, remarks = writer.escape(document.headline), writer.escape(document.remarks)
    return emit.render(
        "pages/page.tex.j2", {"title": title, "remarks": remarks, "sections": sections, "chinese": lang == "zh"}
    )


class TexWriter(Writer):
    """Writes blocks; Chinese text is passed through only where ctex will set it."""

    def __init__(self, document: Document, lang: str) -> None:
        super().__init__(document, lang, Latex())

    def escape(self, text: str) -> str:
        """Text that means nothing to TeX; what basic fonts lack is named by its code point."""
        out = []
        for c in text:
            if c in _SPECIAL:
                out.append(_SPECIAL[c])
            elif c in _MATHS:
                out.append(f"${_MATHS[c]}$")
            elif c.isascii() or (c.isalpha() and ord(c) < 0x17F) or c in "–—‘’“”…":
                out.append(c if c.isprintable() or c == " " else " ")
            elif _WIDE.match(c) and self.lang == "zh":
                out.append(c)
            else:
                out.append(f"[U+{ord(c):04X}]")
        return _LIGATURE.sub(r"\1{}", "".join(out))

    def section(self, s: Section) -> str:
        return f"\\section*{{{self.say(s.title)}}}\n\\label{{{s.anchor}}}\n{self.blocks(s.blocks)}"

    def blocks(self, blocks: tuple[Block, ...]) -> str:
        return "\n\n".join(self.block(b) for b in blocks).replace("\n\n\\begin{align*}", "\n\\begin{align*}")

    def inline(self, formula: Any) -> str:
        return f"${self.pen.text(formula)}$"

    def mono(self, text: str) -> str:
        return f"\\texttt{{{self.escape(text)}}}"

    def prose(self, block: Prose) -> str:
        return self.said(block)

    def fold(self, block: Fold) -> str:
        return f"\\paragraph{{{self.say(block.summary)}}}\\leavevmode\n\n{self.blocks(block.blocks)}"

    def equations(self, block: Equations) -> str:
        """One aligned display; a note stands between its rows."""
        text, rows = "", []
        for e in block.rows:
            left, lines = broken(e, self.pen.to, self.document.letters, WIDTH, typeset)
            made = " \\\\\n&\\qquad ".join([f"{left} &= {lines[0]}", *lines[1:]])
            if e.note is None:
                rows.append(made)
                continue
            text += _aligned(rows)
            text += f"\n\n\\noindent {self.say(e.note)}"
            rows = [made]
        return (text + _aligned(rows)).strip()

    def table(self, block: Table) -> str:
        """Columns as wide as their content, the last one a paragraph where it is long."""
        wide = len(block.head) == 5
        columns = r"@{}lllll@{}" if not wide else r"@{}llllp{0.44\textwidth}@{}"
        columns = columns if wide else "@{}" + "l" * len(block.head) + "@{}"
        head = " & ".join(self.say(p) for p in block.head)
        rows = " \\\\\n".join(" & ".join(self.cell(c) for c in row) for row in block.rows)
        return f"\\begin{{longtable}}{{{columns}}}\n{head} \\\\\n\\hline\n\\endhead\n{rows} \\\\\n\\end{{longtable}}"

    def code(self, block: Code) -> str:
        lines = [x for line in block.lines for x in _wrapped(line, 82)]
        text = r" \\".join(
            "\n" + r"\mbox{\ttfamily\footnotesize " + self.escape(x).replace(" ", r"\ ") + "}" for x in lines
        )
        return f"\\begin{{quote}}\\raggedright{text}\n\\end{{quote}}"

    def diagram(self, block: Diagram) -> str:
        """A picture of LaTeX's own kind; it is scaled by its unit to fit the line."""
        drawing = layout(block)
        unit = min(0.75, 430 / drawing.width)

        def flip(y: float) -> float:
            return drawing.height - y

        parts = []
        for (x, y), (u, v), bend in drawing.curves:
            mx, my = (x + u) / 2, (flip(y) + flip(v)) / 2
            parts.append(f"\\qbezier({x:.0f},{flip(y):.0f})({x + bend * 0.8:.0f},{flip(y):.0f})({mx:.0f},{my:.0f})")
            parts.append(f"\\qbezier({mx:.0f},{my:.0f})({u - bend * 0.8:.0f},{flip(v):.0f})({u - 6:.0f},{flip(v):.0f})")
            parts.append(f"\\put({u - 6:.0f},{flip(v):.0f}){{\\vector(1,0){{6}}}}")
        for node, x, y in drawing.boxes:
            text = self.pen.text(node.formula)
            box = "\\oval(58,34)" if node.kind in ("input", "before") else "\\framebox(58,34){}"
            place = f"({x},{flip(y)})" if node.kind in ("input", "before") else f"({x - 29},{flip(y) - 17})"
            parts.append(f"\\put{place}{{{box}}}\\put({x - 29},{flip(y) - 17}){{\\makebox(58,34){{${text}$}}}}")
        body = "\n".join(parts)
        size = f"\\setlength{{\\unitlength}}{{{unit:.3f}pt}}"
        picture = f"\\begin{{picture}}({drawing.width},{drawing.height})\n{body}\n\\end{{picture}}"
        return f"\\begin{{center}}\n{size}\n{picture}\n\\end{{center}}"


def _aligned(rows: list[str]) -> str:
    if not rows:
        return ""
    body = " \\\\\n".join(rows)
    return f"\n\\begin{{align*}}\n{body}\n\\end{{align*}}"


def _wrapped(line: str, width: int) -> list[str]:
    """A long line of code, broken at spaces."""
    out = []
    while len(line) > width:
        cut = line.rfind(" ", 20, width)
        cut = cut if cut > 0 else width
        out.append(line[:cut])
        line = "    " + line[cut:].lstrip()
    return [*out, line]
