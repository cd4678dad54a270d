"""What generated text looks like: lines of bearable length, short lengths, nothing that only silences a tool."""

from __future__ import annotations

import ast
import re
import subprocess
from importlib.resources import files
from importlib.resources.abc import Traversable

import pytest

import symrnn
from symrnn.emit import emit, targets
from symrnn.language.load import parse
from symrnn.native import compiler

LONGEST = 120
TREE = [(f"{t}/{p.name}", p) for t in targets() for p in files("symrnn.generated").joinpath(t).iterdir() if p.is_file()]
COMPILED = TREE


def code(name: str, text: str) -> list[str]:
    """The lines of a file; of a Python module those below its docstring, which is written by the cell's author."""
    lines = text.splitlines()
    if not name.endswith(".py") or not lines:
        return lines
    return lines[ast.parse(text).body[0].end_lineno :]


def too_long(name: str, text: str) -> list[str]:
    return [f"{name}: {line}" for line in code(name, text) if len(line) > LONGEST]


def test_no_line_of_the_gallery_is_long() -> None:
    assert [line for name, path in COMPILED for line in too_long(name, path.read_text(encoding="utf-8"))] == []


#: Equations of many terms, and names of many letters.
LONG = """
input signal[Sensor]
state memory[Unit], slow_memory[Unit]
candidate = tanh(W_in @ signal + U @ memory[t-1] + bias) * 1.7159 + 0.25 * sum(signal) * damping
forget_gate = sigmoid(W_f @ signal + U_f @ memory[t-1] + p_f * slow_memory[t-1] + c_f * slow_memory[t-2] + b_forget)
out_gate = sigmoid(W_o @ signal + U_o @ memory[t-1] + p_o * slow_memory[t-1] + c_o * slow_memory[t-2] + b_output)
slow_memory = forget_gate * slow_memory[t-1] + (1 - forget_gate) * candidate * exp(-slow_memory[t-1] ** 2) \
+ gelu(candidate * out_gate) * softplus(out_gate - forget_gate) / (1 + abs(candidate) + slow_memory[t-1] ** 2)
memory = out_gate * tanh(slow_memory) / (1 + norm(slow_memory)) + softmax(forget_gate) * dot(candidate, out_gate)
""".replace("\\\n", "")


@pytest.mark.parametrize("backend", ["cpp", "cuda"])
def test_long_equations_make_no_long_lines(backend: str) -> None:
    artifacts = emit(parse(LONG, "cell_of_many_words"), backend)
    assert [line for a in artifacts for line in too_long(a.path, a.text)] == []


@pytest.mark.parametrize("backend", targets())
def test_lines_that_cannot_be_short_are_whole(backend: str) -> None:
    """Names so long that no place to break a line is left."""
    text = LONG.replace("forget_gate", "gate_of_what_is_forgotten_at_every_step_of_the_sequence")
    for a in emit(parse(text, "cell_of_long_words"), backend):
        assert not a.path.endswith(".py") or ast.parse(a.text)


def test_equal_lengths_are_multiplied() -> None:
    for name, path in COMPILED:
        axes = symrnn.load(path.name.rsplit(".", 1)[0]).axes if not path.name.startswith("__") else ()
        text = "\n".join(code(name, path.read_text(encoding="utf-8")))
        for axis in axes:
            assert not re.search(rf"\b{axis} \+ (\d+ \* )?{axis}\b", text), f"{name}: {axis} + {axis}"


def test_nothing_only_silences_a_tool() -> None:
    for name, path in TREE:
        found = re.search(
            r"\(void\)|maybe_unused|type: ignore|noqa|NOLINT|pragma GCC diagnostic", path.read_text("utf-8")
        )
        assert found is None, f"{name}: {found}"


@pytest.mark.parametrize("end", [".cpp", ".cu"])
def test_kernels_are_printed_with_the_functions_they_call_and_no_others(end: str) -> None:
    texts = {name: re.sub("//.*", "", path.read_text("utf-8")) for name, path in TREE if name.endswith(end)}
    definition = re.compile(r"(?:\binline \w+ |using std::)(?!\w+_point)(\w+)[(;]")
    defined = {name: {*definition.findall(text)} for name, text in texts.items()}
    called = {name: {*re.findall(r"\b(\w+)\(", definition.sub("", text))} for name, text in texts.items()}
    every = set().union(*defined.values())
    assert {"square", "larger", "choose", "precedes", "sigmoid"} <= every
    for name in texts:
        assert defined[name] == called[name] & every, name


def warnings(paths: list[Traversable]) -> str:
    command = compiler.compiler()
    assert command is not None
    options = ["-std=c++14", "-fsyntax-only", "-Wall", "-Wextra", "-Wno-unknown-pragmas"]
    done = subprocess.run([command, *options, *map(str, paths)], capture_output=True, text=True, check=True)
    return done.stderr


@pytest.mark.skipif(compiler.compiler() is None, reason="no C++ compiler: install g++ or clang++")
@pytest.mark.parametrize("cells", ["few", pytest.param("all", marks=pytest.mark.slow)])
def test_kernels_read_every_argument_they_name(cells: str) -> None:
    """So that a compiler that warns of what is not used says nothing."""
    few = {"lstm.cpp", "retnet.cpp", "ntm_content.cpp", "indrnn.cpp"}
    chosen = [p for _, p in TREE if p.name.endswith(".cpp") and (cells == "all" or p.name in few)]
    assert len(chosen) >= len(few)
    assert warnings(chosen) == ""
