"""A page as LaTeX: amsmath and xcolor; Chinese through ctex."""

from __future__ import annotations

import re

from symrnn import emit
from symrnn.pages.document import Block, Code, Diagram, Document, Equation, Fold, Section, Table
from symrnn.pages.drawing import layout
from symrnn.pages.formulas.names import GREEK
from symrnn.pages.notation.latex import Latex
from symrnn.pages.notation.lines import broken, typeset
from symrnn.pages.writer import Writer, anchor

SUFFIX = ".tex"
#: Letters in a line of formulas and of code, on a page and in the narrower column of a document of one's own.
PAGE, COLUMN = (82, 108), (54, 78)
ROWS = 24
_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\char34{}", "`": r"\textasciigrave{}", "'": r"\textquotesingle{}",
}  # fmt: skip
_MATHS = {
    "⊙": r"\odot", "∂": r"\partial", "×": r"\times", "⁺": "{}^{+}", "−": "-", "→": r"\to", "∑": r"\sum", "·": r"\cdot",
    "≤": r"\le", "≥": r"\ge", "∞": r"\infty", "ŷ": r"\hat{y}", "′": "'", "√": r"\surd", "δ": r"\delta", "⋆": r"\star",
    "‖": r"\Vert", "∈": r"\in", "ᵀ": r"{}^{\top}", **{v: f"\\{k}" for k, v in GREEK.items() if k != "omicron"},
}  # fmt: skip
_LIGATURE = re.compile(r"([-,'])(?=\1)")
_TOKEN = re.compile(r"'[^']*'|\"[^\"]*\"|#.*|[()\[\]{} ]")  # what decides where a line of Python may end
_WIDE = re.compile(r"[\u2e80-\u9fff\uff00-\uffef\u3000-\u303f]")


def render(document: Document, lang: str, fragment: bool = False, prefix: str = "") -> str:
    """The page; a fragment has sections only, for \\input into a document of one's own.

    Labels of equations begin with `prefix`, the name of the cell if none is given.
    """
    writer = TexWriter(document, lang, COLUMN if fragment else PAGE, prefix)
    sections = "\n\n".join(writer.section(s, "*" if fragment else "") for s in document.sections)
    if fragment:
        return emit.render("pages/fragment.tex.j2", {"sections": sections})
    title, remarks, name = (writer.escape(x) for x in (document.headline, document.remarks, document.name))
    given = {"title": title, "remarks": remarks, "name": name, "sections": sections, "chinese": lang == "zh"}
    return emit.render("pages/page.tex.j2", given)


class TexWriter(Writer):
    """Writes blocks; Chinese text is passed through only where ctex will set it."""

    INLINE, MONO, RANGE = "${}$", r"\texttt{{{}}}", r"{} \in \{{{}\}}"
    DISPLAY, NEXT = "{{\\symrnnrows\n\\begin{{align}}\n{}\n\\end{{align}}}}", " \\\\\n"

    def __init__(self, document: Document, lang: str, widths: tuple[int, int] = PAGE, prefix: str = "") -> None:
        super().__init__(document, lang, Latex())
        self.width, self.code_width = widths
        self.prefix = prefix or document.name

    def escape(self, text: str) -> str:
        """Prose that means nothing to TeX, with the quotes of print."""
        text = re.sub(r"(?<![\w.,;:!?)\]”’])\"(?=\S)", "“", text).replace('"', "”")
        return self.literal(re.sub(r"(?<!\w)'(?=\w)", "‘", text).replace("'", "’"))

    def literal(self, text: str) -> str:
        """Text letter by letter; what basic fonts lack is named by its code point."""
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

    def section(self, s: Section, star: str = "") -> str:
        return f"\\section{star}{{{self.say(s.title)}}}\n{self.blocks(s.blocks)}"

    def blocks(self, blocks: tuple[Block, ...]) -> str:
        """A display belongs to the paragraph above it."""
        return super().blocks(blocks).replace("\n\n{\\symrnnrows", "\n{\\symrnnrows")

    def fold(self, block: Fold) -> str:
        heading = f"\\paragraph*{{{self.say(block.summary)}}}\\leavevmode\n"
        return "" if block.aside else heading + self.blocks(block.blocks)

    # -- equations -----------------------------------------------------------------------------------------

    def link(self, key: str, text: str) -> str:
        return f"\\eqref{{{self.label(key)}}}"

    def label(self, key: str) -> str:
        return f"{self.prefix}:{anchor(key)}"

    def row(self, e: Equation) -> str:
        """A row in as many lines as it needs; the last one has the number and, before it, what it follows from."""
        *lines, last = self.lines(e, self.width)
        by = self.say(e.by)
        if e.key:
            last = (f"\\symrnnby{{{by}}} " if by else "") + f"{last} \\label{{{self.label(e.key)}}}"
        else:
            last += f" \\tag*{{\\footnotesize {by}}}" if by else r" \notag"
        return self.NEXT.join([*(f"{line} \\notag" for line in lines), last])

    def lines(self, e: Equation, width: int) -> list[str]:
        """left &= right, broken into lines of about so many letters."""
        left, (first, *rest) = broken(e, self.pen.to, self.document.letters, width - 4 * len(e.over), typeset)
        lines = [f"{left} &= {first}", *(f"&\\qquad {line}" for line in rest)]
        return [*lines[:-1], lines[-1] + rf"\qquad {over}"] if (over := self.over(e)) else lines

    def copied(self, e: Equation) -> str:
        """The row in one line, for a document of the reader's own."""
        return " ".join(self.lines(e, 10**6)).replace("&=", "=", 1)

    # -- tables and code -----------------------------------------------------------------------------------

    def table(self, block: Table) -> str:
        """Columns as wide as their content, the widest a paragraph where they lack room; a head every ROWS rows."""
        head, *rows = [[self.say(p) for p in block.head], *([self.cell(c) for c in row] for row in block.rows)]
        widths = [max(map(_letters, column)) + 2 for column in zip(head, *rows, strict=True)]
        columns, widest = ["l"] * len(head), widths.index(max(widths))
        if sum(widths) > self.width:
            columns[widest] = rf"p{{{1 - (sum(widths) - widths[widest]) / self.width:.2f}\linewidth}}"
        top = rf"{{\small\noindent\begin{{tabular}}{{@{{}}{''.join(columns)}@{{}}}}"
        top += f"\n{' & '.join(head)} \\\\\n\\hline\n"
        bodies = (rows[k : k + ROWS] for k in range(0, len(rows), ROWS))
        made = (" \\\\\n".join(map(" & ".join, body)) + " \\\\\n\\end{tabular}\\par}" for body in bodies)
        return "\n\n".join(top + body for body in made)

    def code(self, block: Code) -> str:
        lines = (self.literal(x).replace(" ", r"\ ") for x in wrapped(block.lines, self.code_width))
        text = self.NEXT.join(rf"\mbox{{{x}}}" for x in lines)
        return f"{{\\footnotesize\\ttfamily\\raggedright\\noindent\n{text}\\par}}"

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


def _letters(tex: str) -> int:
    """About how many letters are seen of a text."""
    return len(re.sub(r"\\[A-Za-z]+ ?", "x", re.sub(r"\\(mathrm|texttt|footnotesize|tilde|bar|hat)|[{}$_^]", "", tex)))


def wrapped(lines: tuple[str, ...], width: int) -> list[str]:
    """Lines of Python broken where Python allows it: at a space in brackets, elsewhere with a backslash."""
    out, depth = [], 0
    for line in lines:
        start = len(line) - len(line.lstrip())
        spaces: list[tuple[int, str]] = []
        for found in _TOKEN.finditer(line, start):
            depth += (found[0] in "([{") - (found[0] in ")]}")
            spaces += [(found.start(), "" if depth else " \\")] if found[0] == " " else []
        while len(line) > width and (fits := [x for x in spaces if x[0] + len(x[1]) <= width]):
            at, mark = max(fits, key=lambda x: (x[1] == "", x[0]))
            out.append(line[:at] + mark)
            line = " " * (start + 4) + line[at + 1 :]
            spaces = [(k + start + 3 - at, m) for k, m in spaces if k > at]
        out.append(line)
    return out
