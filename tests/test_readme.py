"""The README and the pages beside it say what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

import symrnn
from symrnn.cli.main import app

ROOT = Path(symrnn.__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", README, re.M | re.S)


def test_the_cell_is_the_one_of_the_gallery() -> None:
    (shown,) = blocks("cell")
    assert shown in (ROOT / "symrnn" / "cells" / "gru.cell").read_text(encoding="utf-8")


def test_the_program_runs_and_the_excerpt_is_generated_text() -> None:
    program, excerpt = blocks("python")
    names: dict[str, object] = {}
    exec(compile(program, "README.md", "exec"), names)
    assert set(names["dparams"]) == set(names["params"])  # type: ignore[call-overload]
    assert excerpt in (ROOT / "generated" / "numpy" / "gru.py").read_text(encoding="utf-8"), (
        "copy it into the README anew"
    )


def test_the_commands_for_a_cell_of_ones_own_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my.cell").write_text(blocks("cell")[0], encoding="utf-8")
    commands = re.findall(r"^\.venv/bin/symrnn (.*?) +#", README, re.M)
    assert len(commands) > 4
    for command in commands:
        done = CliRunner().invoke(app, command.split(), prog_name="symrnn")
        assert done.exit_code == 0, f"{command}: {done.output}"
    assert Path("my.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert Path("models", "my.py").exists()


def test_the_two_commands_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in re.findall(r"^make (\w+)", README, re.M):
        assert re.search(rf"^{command}:", makefile, re.M)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target
