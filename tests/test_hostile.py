"""Files an attacker would write end in code and a page, or in one error, within seconds; nothing is executed."""

from __future__ import annotations

import os
import re
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from mutants import mutant
from typer.testing import CliRunner

import symrnn
from symrnn import pages
from symrnn.calculus.derive import derive
from symrnn.cli.main import app
from symrnn.emit import emit, targets
from symrnn.errors import CellError, SymrnnError
from symrnn.language import bounds
from symrnn.language.load import gallery
from symrnn.proof.check import check

SECONDS = 5
CELLS = Path(symrnn.__file__).parent / "cells"
GOOD = "input x[H]\nstate h[H]\n"


class TooSlow(BaseException):
    """Not an Exception: nothing on the way may take it for one."""


@contextmanager
def limited(seconds: float = SECONDS) -> Iterator[None]:
    """What runs inside may take so many seconds of the processor, whatever else the machine does."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def generate(text: str) -> symrnn.Cell:
    """Everything that `generate` does for every backend but writing; the Python text must compile."""
    with limited():
        cell = symrnn.parse(text, "hostile")
        derive(cell)
    for backend in targets():
        with limited():
            artifacts = emit(cell, backend)
        for artifact in artifacts:
            assert len(artifact.text.splitlines()) == artifact.text.count("\n"), "another separator of lines"
            if artifact.path.endswith(".py"):
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    compile(artifact.text, artifact.path, "exec")
            else:
                assert not any("//" in line and line.endswith("\\") for line in artifact.text.splitlines())
    return cell


def attempt(text: str) -> str:
    """The kind of the one error, or nothing if all went well. Anything but a SymrnnError passes through."""
    try:
        cell = generate(text)
        with limited():
            pages.show(cell)
    except SymrnnError as error:
        str(error).encode()
        assert len(str(error)) < 1_000, "a message is read by people"
        return error.kind if isinstance(error, CellError) else "usage"
    return ""


def equation(expression: str) -> str:
    return f"{GOOD}h = tanh(h[t-1]) * ({expression}) + x\n"


def chain(length: int, step: str) -> str:
    """Equations each of which reads the one before."""
    rows = [f"a{k} = {step.replace('%', f'a{k - 1}')}\n" for k in range(1, length)]
    return f"{GOOD}a0 = x\n{''.join(rows)}h = tanh(a{length - 1} + h[t-1])\n"


def nested(depth: int, opening: str, closing: str = ")") -> str:
    return f"{GOOD}h = {opening * depth}x + h[t-1]{closing * depth}\n"


# -- constants ---------------------------------------------------------------------------------------------

# fmt: off
NO_NUMBER = [
    "9**9**9", "2**1e9", "10**400", "1e300**2", "1e300*1e300", "1e-300*1e-300", "1e308*10*x", "1/1e308*x*1e-9",
    "3**700", "log(-1)", "log(0)", "log(-x/x)", "sqrt(-2)", "(-2)**0.5", "(-8)**(1/3)", "exp(1000)",
    "expm1(1000)", "log1p(-1)", "log1p(-2)", "1/(x-x)", "(x-x)**-1", "(x-x)/(x-x)", "0**-1", "1/(H-H)",
    "log(H-H)", "log(2**2000)", "1e300*x*1e300*h[t-1]", "x/1e-300/1e-300",
    "clip(log(0),0,1)", "relu(log(-1))", "softplus(1e308*10)",
]
# fmt: on


@pytest.mark.parametrize("expression", NO_NUMBER)
def test_a_constant_without_a_value_is_an_error(expression: str) -> None:
    assert attempt(equation(expression)) == "number"


@pytest.mark.parametrize("literal", ["1e309", "1e-400", "7" * 61, "7" * 5_000, f"0.{'0' * 400}1", f"1e{'9' * 5_000}"])
@pytest.mark.parametrize(
    "where", ["h = x * % + h[t-1]", "const c = %\nh = x * c + h[t-1]", "param w[H] = %\nh = x * w"]
)
def test_a_literal_is_one_of_float64(where: str, literal: str) -> None:
    assert attempt(GOOD + where.replace("%", literal)) in ("number", "size")


@pytest.mark.parametrize("expression", ["0**x", "(-2)**x", "(x-x)**x", "0.0**h[t-1]"])
def test_a_power_of_a_constant_that_has_no_logarithm_is_code_or_an_error(expression: str) -> None:
    assert attempt(equation(expression)) in ("number", "")


@pytest.mark.parametrize("condition", ["1 > 0", "1 > 2", "x - x >= 0", "2 <= 3"])
def test_a_condition_that_is_always_the_same_is_an_error(condition: str) -> None:
    assert attempt(equation(f"where({condition}, x, -x)")) == "constant"


# fmt: off
FOLDED = [
    "2**0.5", "0.5**1e9", "exp(-1000)", "0**0", "relu(-3)", "relu(3)", "elu(-2)", "elu(3)", "gelu(0.5)",
    "gelu(sqrt(2))", "softplus(1000)", "softplus(2)", "sigmoid(-1000)", "sigmoid(1000)", "silu(3)",
    "leaky_relu(-3)", "hard_sigmoid(2)", "clip(3,1,2)", "clip(x,1,1)", "min(1,2)", "abs(-3)", "sin(2**600)",
    "erf(1e300)", "tanh(x-x)", "norm(x-x)", "softmax(0*x)", "layer_norm(x-x)",
    "dot(x-x,x)", "(W-W)@x", "12345678901234567890123456789*x", "0.123456789012345678901234567890123456789*x",
    "1/3**30*x", "x**0.123456789012345678901", "(1/3)**600*x", "7**(1/3)*x", "1/(sqrt(2)+exp(x))",
    "(t-t)*x",
]
# fmt: on


@pytest.mark.parametrize("expression", FOLDED)
def test_a_constant_expression_is_its_value(expression: str) -> None:
    assert attempt(equation(expression)) == ""
    assert check(symrnn.parse(equation(expression), "folded")).ok


# fmt: off
REWRITTEN = [
    "sqrt(x**2)", "(x**2)**0.5", "(x**2)**1.5", "((x**2)**0.5)**3", "(x**4)**0.25", "(x*x)**0.5",
    "(x**2*h[t-1]**2)**0.5", "x/abs(x)", "((1+x)**2)**0.5", "((x-1)**2)**-0.5", "(exp(x)**2)**0.5",
    "(tanh(x)**2)**0.5", "(1/x**2)**0.5", "(0.1*x**2)**0.5", "(4*x**2)**0.5", "abs(abs(x))", "abs(x)**2",
    "abs(x)*abs(x)", "1/abs(x)**2", "abs(x**2)**0.5", "exp(2*x)**0.5", "max(x,-x)", "sqrt(x*x)*x",
    "(1+x**2)**0.5**2", "abs(x)**0.5*abs(x)**0.5",
]
# fmt: on


@pytest.mark.parametrize("expression", REWRITTEN)
def test_what_sympy_would_rewrite_with_functions_of_its_own_stays_as_written(expression: str) -> None:
    """√(x²) is |x| to SymPy, in one equation as in several that become one statement."""
    assert attempt(equation(expression)) == ""
    assert check(symrnn.parse(equation(expression), "rewritten")).ok
    again = re.sub(r"\bx\b", "a", expression)
    apart = f"{GOOD}a = 2 * x\nb = a**2\nc = b**0.5 + {again}\nh = tanh(h[t-1]) + c\n"
    assert attempt(apart) == ""


# fmt: off
HUGE = [
    "(-3*x**2)**0.5", "(-x**2)**0.5", "(0-x**2)**0.3", "x**1e9", "x**1e200", "(3*x)**1e9",
    "(((x**99)**99)**99)**99", "(x+1)**99", "x**(9**9)", "x**-1e200", "x**1e-300",
]
# fmt: on


@pytest.mark.parametrize("expression", HUGE)
def test_a_power_without_a_value_or_a_huge_one_is_still_code(expression: str) -> None:
    assert attempt(equation(expression)) == ""


@pytest.mark.parametrize("constant", ["t + 1", "H", "c"])
def test_equations_that_become_one_statement_are_not_rewritten_either(constant: str) -> None:
    declared = "const c = -2\n" if constant == "c" else ""
    text = f"{GOOD}{declared}a = ({constant})**2\nb = a**0.5\nh = tanh(b * x + h[t-1])\n"
    assert attempt(text) == ""
    assert check(symrnn.parse(text, "apart")).ok


def test_factors_of_several_equations_do_not_meet_beyond_float64() -> None:
    cell = symrnn.parse(chain(10, "1e299 * %"), "factors")
    texts = [a.text for backend in targets() for a in emit(cell, backend)]
    assert not any(re.search(r"\binf\b", text.split("tape", 1)[-1].split("def init")[0]) for text in texts)
    (module,) = emit(cell, "numpy")
    assert module.text.count("1e+299") >= 18, "forward and backward, one by one"


def test_many_digits_are_rounded_before_they_multiply() -> None:
    factors = f"\n * 0.{'123456789' * 6} * 8.{'100000073' * 6}" * 45
    assert attempt(f"{GOOD}h = (x + h[t-1]{factors})\n") == ""


def test_powers_and_factors_of_a_chain_stay_within_float64() -> None:
    for step in ("(3 * %)**99", "%**2", "1e299 * %", "% * 1e-299", "%**0.5", "(%**2)**0.5"):
        assert attempt(chain(40, step)) == "", step


VANISHING = [
    *(
        equation(e).removeprefix(GOOD)
        for e in ("t / t", "relu(x - x)", "max(x - x)", "max(x, x)", "where(x > x, x, -x)")
    ),
    "h = x - x + 0 * h[t-1]",
    "h = 1 + x - x + 0 * h[t-1]",
    "a = x - x\nh = a * h[t-1] + x",
    "output a\na = x - x\nh = a * h[t-1] + x",
    "a = x - x + 1\nh = W @ a + h[t-1]",
    "a = 0 * x\nb = softmax(a)\nh = outer(a, b) @ x + h[t-1]",
    "output a\na = h[t-1]\nh = x",
    "output y\ny = 0 * x + 1\nh = h[t-1]",
]


@pytest.mark.parametrize("equations", VANISHING)
def test_equations_may_come_out_as_a_constant(equations: str) -> None:
    assert attempt(f"{GOOD}{equations}\n") == ""


# -- size and depth ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["tanh(%)", "% + x", "% * % + %", "%", "W @ %", "1 / (2 + %)", "sqrt(1 + %**2)"])
def test_a_chain_of_many_equations_is_bounded(step: str) -> None:
    generate(chain(100, step))
    assert attempt(chain(bounds.MAX_EQUATIONS + 1, step)) == "size"


def test_a_chain_does_not_become_one_statement() -> None:
    generate(chain(250, "tanh(%)"))


OPENINGS = ["(", "-(", "tanh(", "(1 + x * ", "1 / (2 + ", "abs(x + ", "gelu(", "max(x, ", "sum(x) * (", "sqrt("]


@pytest.mark.parametrize("opening", OPENINGS)
def test_a_deep_expression_is_bounded(opening: str) -> None:
    for depth in (bounds.MAX_DEPTH + 1, 90, 400):
        assert attempt(nested(depth, opening)) in ("syntax", "size")
    generate(nested(bounds.MAX_DEPTH - 1, opening))


@pytest.mark.parametrize("operator", ["+", "-", "*", "/", "**", "@", "+ tanh(x) *", "* (x + 1) *"])
def test_a_long_expression_is_bounded(operator: str) -> None:
    def long(count: int) -> str:
        return f"{GOOD}h = h[t-1] + ({f' {operator} '.join(['x'] * count)})\n"

    assert attempt(long(bounds.MAX_TOKENS)) in ("size", "shape")
    attempt(long(20))


def test_a_product_of_many_parameters_has_its_gradients_in_time() -> None:
    cell = symrnn.parse(f"{GOOD}h = h[t-1] * x * {' * '.join(f'w{k}' for k in range(92))}\n")
    with limited(2.5):
        derive(cell)


LARGE = {
    "states": "input x[H]\n" + "".join(f"state h{k}[H]\nh{k} = x + h{k}[t-1]\n" for k in range(65)),
    "delays": "input x[H]\n" + "".join(f"state h{k}[H]\nh{k} = x + h{k}[t-32]\n" for k in range(3)),
    "inputs": "".join(f"input x{k}[H]\n" for k in range(301)) + "output y\ny = x0\n",
    "axes": f"input x[{', '.join(f'A{k}' for k in range(400))}]\noutput y\ny = x\n",
    "joined axes": GOOD + "a0 = x\n" + "".join(f"a{k + 1} = concat(a{k}, a{k})\n" for k in range(40)) + "h = W @ a40\n",
    "statements": chain(200, "layer_norm(softmax(%)) + logsumexp(%)"),
    "operations": chain(200, "% * x + % * x + % * x + %"),
    "characters": GOOD + "# nothing\n" * 30_000 + "h = x + h[t-1]\n",
    "line": GOOD + "h = x + h[t-1]  # " + "n" * 3_000,
}


@pytest.mark.parametrize("name", LARGE)
def test_a_large_cell_is_refused(name: str) -> None:
    assert attempt(LARGE[name]) == "size"


def test_the_gallery_stays_far_below_the_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_TEXT", "MAX_EQUATIONS", "MAX_DECLARED", "MAX_CARRIED", "MAX_OPERATIONS"):
        monkeypatch.setattr(bounds, name, getattr(bounds, name) // 4)
    for name in gallery():
        symrnn.load(name)


# -- characters --------------------------------------------------------------------------------------------

SEPARATORS = "\0\x0b\x0c\r\x1b\x1c\x1d\x1e\x7f\x85\u2028\u2029\u200b\u202e\ud800"
PLACES = {
    "comment": "input x[H]  # a%b = 3\nstate h[H]\nh = x + h[t-1]\n",
    "comment of an equation": GOOD + "h = x + h[t-1]  # a%int main();\n",
    "line of comment": "# state%h\n" + GOOD + "h = x + h[t-1]\n",
    "docstring": '"""A cell.%import os"""\n' + GOOD + "h = x + h[t-1]\n",
    "equation": GOOD + "h = x +% h[t-1]\n",
    "brackets": GOOD + "h = (x +% h[t-1]\n)\n",
    "end": GOOD + "h = x + h[t-1]%",
    "start": "%" + GOOD + "h = x + h[t-1]\n",
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("char", SEPARATORS, ids=lambda c: f"U+{ord(c):04X}")
def test_control_characters_and_other_line_ends_are_refused(char: str, place: str) -> None:
    text = PLACES[place].replace("%", char)
    with pytest.raises(CellError, match=f"U\\+{ord(char):04X}") as caught:
        symrnn.parse(text)
    assert char not in str(caught.value)
    assert caught.value.place is not None and caught.value.place.line == text[: text.index(char)].count("\n") + 1


def test_files_of_other_systems_are_read(tmp_path: Path) -> None:
    text = PLACES["docstring"].replace("%", "\n") + "# the end"
    made = []
    for name, ending in (("here", "\n"), ("there", "\r\n")):
        path = tmp_path / f"{name}.cell"
        path.write_bytes(text.replace("\n", ending).encode())
        cell = symrnn.load(path)
        made.append((cell.title, cell.equations[0].text, cell.source))
        assert attempt(text.replace("\n", ending)) == ""
    assert made[0] == made[1]
    (tmp_path / "old.cell").write_bytes(text.replace("\n", "\r").encode())
    with pytest.raises(CellError, match="U\\+000D"):
        symrnn.load(tmp_path / "old.cell")


@pytest.mark.parametrize(
    "text",
    [
        GOOD + "h = x + \\\n    h[t-1]\n",
        GOOD + "h = (x + \\\n    h[t-1])  # so \\\n",
        "input x[\\\nH]\nstate h[H]\nh = x + h[t-1]  # C:\\new\\\n",
        '"""\\N{DASH} \\x \\u {{ 1 }} {% raw %} */ <script>"""\n'
        + GOOD
        + "h = x + h[t-1]  # {{ x }} {# \\N{} */ ??/\n",
        "'''It says \"\"\" here'''\n" + GOOD + 'h = x + h[t-1]  # """\n',
        "'ends in \\\\'\n" + GOOD + "h = x + h[t-1]\n",
        *(f"# {word}\n{GOOD}h = x + h[t-1]  # {word} h is\n" for word in ("state", "input", "param", "extends")),
    ],
)
def test_text_of_a_file_stays_text(text: str) -> None:
    assert attempt(text) == ""


# -- nothing is executed -----------------------------------------------------------------------------------

PAYLOADS = [
    "__import__('os').system('touch owned')",
    "eval('1')",
    "exec('import this')",
    "open('owned', 'w')",
    "(lambda: open('owned', 'w'))()",
    "[open('owned', 'w') for _ in x]",
    "f'{open(chr(111), chr(119))}'",
    "x.__class__.__bases__[0].__subclasses__()",
    "(x := open('owned', 'w'))",
    "tanh(*[open('owned', 'w')])",
    "tanh(x, **{'a': exec('1')})",
    "{{ cycler.__init__.__globals__ }}",
    "Symbol('x') + sympify('__import__(\"os\")')",
    "compile + getattr(x, 'y')",
]
# fmt: off
FORBIDDEN = [
    "exec", "os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen", "open", "import",
    "socket.connect",
]
# fmt: on
watched: list[str] | None = None


def watch(event: str, args: tuple[Any, ...]) -> None:
    if watched is not None and event in FORBIDDEN:
        watched.append(event)


sys.addaudithook(watch)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_in_a_file_is_executed(payload: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    global watched  # noqa: PLW0603 - a hook cannot be taken away again
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SymrnnError):
        symrnn.parse(equation(payload))  # with all modules imported
    for text in (
        equation(payload),
        f"{payload}\n",
        f'"""{payload}"""\nextends {payload}\n',
        f"{GOOD}state h[{payload}]\n",
    ):
        watched = []
        try:
            symrnn.parse(text)
        except SymrnnError:
            pass
        else:
            pytest.fail(f"read without complaint: {text}")
        finally:
            seen, watched = watched, None
        assert seen == [], text
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - names are enough


def test_the_watch_sees_what_is_executed() -> None:
    global watched  # noqa: PLW0603 - as above
    watched = []
    try:
        eval(compile("1", "<test>", "eval"))
    finally:
        seen, watched = watched, None
    assert seen == ["exec"]


# -- the commands ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["show", "derive", "generate", "check", "diff"])
@pytest.mark.parametrize(
    "text",
    [
        equation("9**9**9"),
        equation("log(-1)"),
        PLACES["comment"].replace("%", "\x0c"),
        LARGE["states"],
        nested(200, "("),
    ],
)
def test_every_command_ends_in_one_error(text: str, command: str, tmp_path: Path) -> None:
    path = tmp_path / "hostile.cell"
    path.write_text(text)
    more = {"generate": ["-o", str(tmp_path / "out")], "diff": ["elman"]}.get(command, [])
    with limited():
        result = CliRunner().invoke(app, [command, str(path), *more], prog_name="symrnn")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ") and result.stdout == ""
    assert not (tmp_path / "out").exists()


# -- mangled cells of the gallery --------------------------------------------------------------------------


def attempt_mutants(seeds: range) -> None:
    """Every failure of the mutants of these seeds, with the text, so that it can be repeated."""
    names, failures, worked = gallery(), [], 0
    for seed in seeds:
        text = mutant((CELLS / f"{names[seed % len(names)]}.cell").read_text(), seed)
        try:
            worked += attempt(text) == ""
        except (Exception, TooSlow) as error:
            failures.append(f"seed {seed}: {type(error).__name__}: {error}\n{text}")
    assert not failures, "\n\n".join(failures)
    assert len(seeds) / 5 < worked < len(seeds) * 4 / 5, "mutants should fall on both sides"


@pytest.mark.parametrize("first", range(0, 160, 40))
def test_mangled_cells_work_or_are_refused(first: int) -> None:
    attempt_mutants(range(first, first + 40))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1_000, 6_000, 250))
def test_many_mangled_cells_work_or_are_refused(first: int) -> None:
    attempt_mutants(range(first, first + 250))
