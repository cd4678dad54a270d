"""Continuous integration has every tool; elsewhere a missing one only skips what needs it."""

from __future__ import annotations

import os
import shutil

import pytest

from symrnn.native import compiler, nvrtc


@pytest.mark.skipif(not os.environ.get("CI"), reason="only continuous integration must have every tool")
def test_nothing_is_skipped_for_want_of_a_tool() -> None:
    assert compiler.compiler() is not None, "no C++ compiler"
    assert shutil.which("pdflatex"), "no TeX"
    assert shutil.which("chromium"), "no browser"
    assert nvrtc.available(), "no NVRTC"
