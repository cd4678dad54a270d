"""A page as PDF, if this machine has a TeX."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from symrnn.errors import UsageError
from symrnn.pages.document import Document
from symrnn.pages.formats import latex

SUFFIX = ".pdf"


def render(document: Document, lang: str, fragment: bool = False) -> bytes:
    """The compiled page; UsageError where TeX is missing or fails."""
    if fragment:
        raise UsageError("A PDF has no fragments.", "Use the format latex.")
    program = "xelatex" if lang == "zh" else "pdflatex"
    found = shutil.which(program)
    if found is None:
        needs = "texlive-xetex texlive-lang-chinese" if lang == "zh" else "texlive-latex-base texlive-latex-recommended"
        raise UsageError(
            f"A PDF needs {program}, which is not installed.",
            f"On Debian: apt-get install {needs}; or use the format latex or html.",
        )
    return compiled(latex.render(document, lang), found)[0]


def compiled(text: str, program: str) -> tuple[bytes, str]:
    """PDF and log of a LaTeX text; nothing outside its own folder is written, no command is run from it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "page.tex").write_text(text, encoding="utf-8")
        command = [program, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "page.tex"]
        for _ in range(2):
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, errors="replace", check=False, timeout=120
            )
            if done.returncode:
                reason = next((line for line in done.stdout.splitlines() if line.startswith("!")), "no reason given")
                raise UsageError(f"TeX could not compile the page: {reason}")
        return Path(folder, "page.pdf").read_bytes(), Path(folder, "page.log").read_text(
            encoding="utf-8", errors="replace"
        )
