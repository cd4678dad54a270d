"""The command line: what it prints where, how it ends, and that no file, however hostile, makes it do anything else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import symrnn
from symrnn import build
from symrnn.cli.application import in_one_line
from symrnn.cli.main import app
from symrnn.language import load as cells
from symrnn.language.cell import Cell
from symrnn.proof.check import Report, Row

ROOT = Path(symrnn.__file__).resolve().parent.parent
GOOD = '"""A gate."""\n\ninput x[I]  # input\nstate h[H]  # state\n\nh = tanh(W @ x + U @ h[t-1])\n'


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in args], prog_name="symrnn")


def process(*args: str, **more: object) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "symrnn", *args]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, env=environment, **more)  # type: ignore[call-overload, no-any-return]


@pytest.fixture
def cell(tmp_path: Path) -> Path:
    path = tmp_path / "mine.cell"
    path.write_text(GOOD)
    return path


# -- list and show -----------------------------------------------------------------------------------------


def test_list_has_every_cell_and_head_on_a_line_of_its_own() -> None:
    result = run("list")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    names = [line.split()[0] for line in lines[1:]]
    assert names == [*cells.gallery(), *(f"heads/{h}" for h in cells.heads())]
    gru = next(line for line in lines if line.startswith("gru "))
    assert gru.split()[:3] == ["gru", "h", "9"]
    assert cells.load("gru").headline in gru


def test_show_prints_equations_names_and_gradients() -> None:
    result = run("show", "gru")
    assert result.exit_code == 0
    assert "n = tanh(W_n @ x + U_n @ (r * h[t-1]) + b_n)" in result.stdout
    assert any(line.split()[:3] == ["h", "state,", "output"] for line in result.stdout.splitlines())
    assert "d_U_n" in result.stdout
    assert "∂hₜ/∂hₜ₋₁ = diag(" in result.stdout


@pytest.mark.parametrize("name", ["heads/softmax", "mlstm"])
def test_show_takes_heads_and_cells_without_or_with_several_states(name: str) -> None:
    assert run("show", name).exit_code == 0


def test_show_prints_the_schedule_with_its_costs() -> None:
    """In numbers where all lengths are given, as formulas of those that are not."""
    result = run("show", "elman", "--schedule", "--sizes", "T=10,B=2,I=3,H=5")
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    (product,) = (row for row in rows if row[3:] == ["U_x", "=", "U", "@", "x"])
    assert product[:3] == [f"{4 * (10 * 2 * 3 + 3 * 5 + 10 * 2 * 5)}", f"{2 * 10 * 2 * 3 * 5}", "1"]
    (step,) = (row for row in rows if row[3:] == ["W_h", "=", "W", "@", "h[t-1]"])
    assert step[:3] == [f"{10 * 4 * (2 * 5 + 5 * 5 + 2 * 5):,}", f"{10 * 2 * 2 * 5 * 5:,}", "10"]
    assert f"The tape: {4 * (10 * 2 * 3 + 11 * 2 * 5)} bytes" in result.stdout
    formula = run("show", "elman", "--schedule", "--sizes", "T=10,I=3")
    assert "U_x = U @ x" in formula.stdout and "60*B*H" in formula.stdout


def test_show_takes_a_path(cell: Path) -> None:
    assert "h = tanh(W @ x + U @ h[t-1])" in run("show", cell).stdout


# -- generate ----------------------------------------------------------------------------------------------


def test_generate_writes_the_text_of_the_build(cell: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    result = run("generate", cell, "lstm", "-o", out)
    assert result.exit_code == 0
    assert sorted(p.name for p in out.iterdir()) == ["lstm.py", "mine.py"]
    assert (out / "lstm.py").read_text() == (ROOT / "generated" / "numpy" / "lstm.py").read_text()
    assert result.stdout.splitlines() == [str(out / "mine.py"), str(out / "lstm.py")]


def test_generate_does_not_touch_what_is_up_to_date(tmp_path: Path) -> None:
    run("generate", "gru", "-o", tmp_path)
    before = (tmp_path / "gru.py").stat().st_mtime_ns
    result = run("generate", "gru", "gru", "-o", tmp_path)
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "0 written, 1 up to date" in result.stderr
    assert (tmp_path / "gru.py").stat().st_mtime_ns == before


def test_generate_check_tells_missing_and_different_and_how_to_repair(tmp_path: Path) -> None:
    run("generate", "gru", "lstm", "-o", tmp_path)
    assert run("generate", "gru", "lstm", "-o", tmp_path, "--check").exit_code == 0
    path = tmp_path / "gru.py"
    path.write_text(path.read_text().replace(" h[t] = ", " h[t] = -", 1))
    (tmp_path / "lstm.py").unlink()
    result = run("generate", "gru", "lstm", "-o", tmp_path, "--check")
    assert result.exit_code == 1
    assert "gru.py: different" in result.stdout
    assert "lstm.py: missing" in result.stdout
    changed = [line for line in result.stdout.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert len(changed) == 2
    assert changed[0].startswith("-        h[t] = -")
    assert f"symrnn generate gru lstm -o {tmp_path}" in result.stderr
    assert not (tmp_path / "lstm.py").exists(), "comparing never writes"


def test_generate_check_tells_superfluous_files_of_a_whole_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("symrnn.cli.generate.gallery", lambda: ["gru"])
    assert run("generate", "-o", tmp_path).exit_code == 0
    (tmp_path / "forgotten.py").write_text("")
    result = run("generate", "-o", tmp_path, "--check")
    assert result.exit_code == 1
    assert "forgotten.py: superfluous" in result.stdout


def test_generate_without_checkout_wants_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(symrnn, "__file__", str(tmp_path / "symrnn" / "__init__.py"))
    result = run("generate", "gru")
    assert result.exit_code == 2
    assert "-o DIR" in result.stderr


def test_generate_keeps_foreign_cells_out_of_the_checkout(cell: Path) -> None:
    for name in (str(cell), "heads/softmax"):
        result = run("generate", name)
        assert result.exit_code == 2
        assert "-o DIR" in result.stderr


def test_generate_refuses_two_cells_of_one_name(tmp_path: Path) -> None:
    (tmp_path / "gru.cell").write_text(GOOD)
    result = run("generate", "gru", tmp_path / "gru.cell", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_generate_is_all_or_nothing(cell: Path, tmp_path: Path) -> None:
    (tmp_path / "wrong.cell").write_text(GOOD.replace("tanh", "tahn"))
    result = run("generate", cell, tmp_path / "wrong.cell", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", [["generate", "gru"], ["book", "gru"], ["flow", "gru"], ["demo"]])
@pytest.mark.parametrize("below", ["", "folder"])
def test_a_file_is_no_folder_to_write_to(command: list[str], below: str, tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("mine")
    result = run(*command, "-o", path / below)
    assert (result.exit_code, result.stdout) == (2, "")
    said = f"error: {path} is not a folder, and the output must be one. Name another: -o DIR.\n"
    assert result.stderr == said and path.read_text() == "mine"


def test_generate_where_nothing_can_be_written_is_a_mistake(tmp_path: Path) -> None:
    result = run("generate", "gru", "-o", tmp_path / ("n" * 300))
    assert result.exit_code == 2 and "cannot be written" in result.stderr
    assert [*tmp_path.iterdir()] == []


def test_generate_does_not_replace_the_module_for_another_backend(tmp_path: Path) -> None:
    assert run("generate", "gru", "-o", tmp_path).exit_code == 0
    before = (tmp_path / "gru.py").read_bytes()
    result = run("generate", "elman", "gru", "-o", tmp_path, "--backend", "cpp")
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{tmp_path / 'gru.py'} is the module for numpy" in result.stderr and "-o DIR" in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["gru.py"] and (tmp_path / "gru.py").read_bytes() == before


def test_nothing_of_the_checkout_is_written_where_a_file_of_the_users_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("symrnn.cli.generate.gallery", lambda: ["elman"])
    monkeypatch.setattr("symrnn.cli.generate.checkout_folder", lambda names: tmp_path)
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy" / "elman.py").write_text("mine")
    result = run("generate")
    assert result.exit_code == 2 and "elman.py was not written by symrnn" in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["numpy"]


# -- check -------------------------------------------------------------------------------------------------


def test_check_reports_and_succeeds(cell: Path) -> None:
    result = run("check", cell, "heads/softmax")
    assert result.exit_code == 0
    assert "mine (numpy, float64): ok" in result.stdout
    assert "softmax (numpy, float64): ok" in result.stdout


def test_check_fails_with_the_offending_quantity(cell: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = build.compile

    def sabotaged(*args: object, **options: object) -> object:
        module = compiled(*args, **options)  # type: ignore[arg-type]
        backward = module.backward

        def wrong(*given: object) -> object:
            dparams, dx, dstate = backward(*given)
            return {k: -v if k == "U" else v for k, v in dparams.items()}, dx, dstate

        module.backward = wrong  # type: ignore[attr-defined]
        return module

    monkeypatch.setattr(build, "compile", sabotaged)
    result = run("check", cell)
    assert result.exit_code == 1
    assert "dU at" in result.stdout
    assert "WRONG" in result.stdout
    assert "dW at" not in result.stdout


def test_check_all_covers_gallery_and_heads_and_what_is_named(cell: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def checked(cell: Cell, backend: str, host: bool, tell: object) -> Report:
        seen.append(cells.called(cell))
        return Report(cell.name, backend, "float64", [Row("y", "forward", "T=1", 0.0, 1e-12)])

    monkeypatch.setattr("symrnn.cli.check.checked", checked)
    assert run("check", "--all").exit_code == 0
    whole = [*cells.gallery(), *(f"heads/{h}" for h in cells.heads())]
    assert seen == whole
    seen.clear()
    assert run("check", "gru", cell, "heads/softmax", "--all").exit_code == 0
    assert seen == [*whole, "mine.cell"]


# -- what inference decides --------------------------------------------------------------------------------

GUESSED = """input x[I]
state h[H]
param b[H] = ones
g = sigmoid(w_h @ h[t-1])
h = g * tanh(s * layer_norm(W @ x) + b)
"""
INFERRED = """guessed: inferred, because no equation defines them:
  param w_h[H, H] = uniform
  param s[H] = ones
  param W[H, I] = uniform
"""


@pytest.fixture
def guessed(tmp_path: Path) -> Path:
    path = tmp_path / "guessed.cell"
    path.write_text(GUESSED)
    return path


def test_check_lists_inferred_parameters_with_shapes_and_starts(guessed: Path) -> None:
    assert run("check", guessed).stdout.endswith(INFERRED)


def test_generate_lists_inferred_parameters_on_stderr_once(guessed: Path, tmp_path: Path) -> None:
    result = run("generate", guessed, "-o", tmp_path)
    assert result.stderr.endswith(f"1 written, 0 up to date in {tmp_path}\n{INFERRED}")
    assert result.stdout == f"{tmp_path / 'guessed.py'}\n"
    assert "param W" not in run("generate", guessed, "-o", tmp_path, "--check").output


def test_show_marks_inferred_parameters_and_says_how_all_parameters_start(guessed: Path) -> None:
    rows = [line.split("  ") for line in run("show", guessed).stdout.splitlines()]
    words = [[w.strip() for w in row if w.strip()] for row in rows]
    assert ["w_h", "param, inferred", "[H, H]", "uniform"] in words
    assert ["s", "param, inferred", "[H]", "ones"] in words
    assert ["b", "param", "[H]", "ones"] in words


def test_nothing_is_listed_where_every_parameter_is_declared(cell: Path, tmp_path: Path) -> None:
    cell.write_text(GOOD.replace("\n\nh", "\nparam W[H, I], U[H, H]\n\nh"))
    for command in ("check", "show"):
        assert "inferred" not in run(command, cell).output
    assert "inferred" not in run("generate", cell, "-o", tmp_path).output


def test_the_whole_gallery_is_generated_and_checked_without_a_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in ("generate", "check"):
        monkeypatch.setattr(f"symrnn.cli.{command}.gallery", lambda: ["gru"])
    monkeypatch.setattr("symrnn.cli.check.heads", list)
    assert "inferred" not in run("generate", "-o", tmp_path).output
    assert "inferred" not in run("check", "--all").output
    assert "inferred" in run("check", "gru").output


# -- mistakes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args",
    [
        ["show", "lsmt"],
        ["show", "heads/nothing"],
        ["show", "nosuch.cell"],
        ["check"],
        ["check", "--host", "lstm"],
        ["check", "--all", "lsmt"],
        ["generate", "lstm", "-o", "out", "--check", "--no-check"],
        ["check", "lstm", "--backend", "nump"],
        ["generate", "lstm", "--backend", "nump"],
        ["demo", "--cell", "lsmt"],
        ["show", "../../etc/passwd"],
        ["show", "a\0b.cell"],
        ["show", ""],
        ["frobnicate"],
        ["show"],
        ["show", "lstm", "--sizes", "T=3"],
        ["show", "lstm", "--schedule", "--sizes", "T:3"],
        ["show", "lstm", "--schedule", "--sizes", "T=3,"],
        ["show", "lstm", "--schedule", "--sizes", "X=3"],
        ["show", "lstm", "--schedule", "--sizes", "H=0"],
        ["show", "lstm", "--schedule", "--sizes", "H=-1"],
        ["show", "lstm", "--schedule", "--sizes", "H=1.5"],
        ["show", "lstm", "--schedule", "--sizes", "H=3,H=4"],
        ["demo", "--epochs", "0"],
    ],
)
def test_mistakes_are_told_without_a_traceback(args: list[str]) -> None:
    result = run(*args)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "rror" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_error_in_a_cell_file_shows_its_place(tmp_path: Path) -> None:
    (tmp_path / "wrong.cell").write_text(GOOD.replace("tanh", "tahn"))
    result = run("show", tmp_path / "wrong.cell")
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert lines[0] == "error: wrong.cell:6:5"
    assert lines[2].index("^") == lines[1].index("tahn")
    assert "tanh" in lines[3]


HOSTILE = {
    "empty": b"",
    "binary": bytes(range(256)),
    "nul": b"input x[I]\0\noutput x",
    "utf16": GOOD.encode("utf-16"),
    "huge line": GOOD.encode() + b"# " + b"x" * 1_000_000 + b"\nh2 = 1\n",
    "huge expression": b"input x[I]\noutput y\ny = x" + b" + x" * 50_000 + b"\n",
    "deep parentheses": b"input x[I]\noutput y\ny = " + b"(" * 5_000 + b"x" + b")" * 5_000 + b"\n",
    "deep calls": b"input x[I]\noutput y\ny = " + b"tanh(" * 90 + b"x" + b")" * 89 + b"\n",
    "deep minus": b"input x[I]\noutput y\ny = " + b"-" * 20_000 + b"x\n",
    "import": b"import os\nos.system('touch owned')\n",
    "dunder": b"input x[I]\noutput y\ny = __import__('os').system('touch owned')\n",
    "lambda": b"input x[I]\noutput y\ny = (lambda: open('owned', 'w'))()\n",
    "attribute": b"input x[I]\noutput y\ny = x.__class__.__bases__\n",
    "walrus": b"input x[I]\noutput y\ny = (z := x)\n",
    "comprehension": b"input x[I]\noutput y\ny = [open('owned', 'w') for _ in x]\n",
    "f-string": b'input x[I]\noutput y\ny = f\'{open("owned", "w")}\'\n',
    "exec": b"exec(\"open('owned', 'w')\")\n",
    "extends path": b"extends ../../etc/passwd\n",
    "template": b"input x[I]\noutput y\ny = {{ cycler.__init__ }}\n",
    "escape codes": b"input x[I]\noutput y\ny = \x1b[31mx\x1b]0;owned\x07\n",
    "huge number": b"input x[I]\noutput y\ny = x * 1" + b"0" * 10_000 + b"\n",
    "huge power": b"input x[I]\noutput y\ny = x * 9**9**9**9\n",
    "huge delay": b"input x[I]\noutput y\ny = x[t-1000000000]\n",
}


@pytest.mark.parametrize("command", ["show", "check", "generate"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_end_in_one_message(
    name: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("hostile.cell").write_bytes(HOSTILE[name])
    more = ["-o", "out"] if command == "generate" else []
    start = time.perf_counter()
    result = run(command, "hostile.cell", *more)
    assert result.exit_code == 2, result.output[-2000:]
    assert result.stderr.startswith("error: ")
    assert "\x1b" not in result.stderr
    assert len(result.stderr) < 5_000, "a message is read by people"
    assert [p.name for p in tmp_path.iterdir()] == ["hostile.cell"], "nothing ran, nothing was written"
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize("command", ["show", "check", "generate"])
def test_a_folder_or_an_unreadable_name_is_no_cell(command: str, tmp_path: Path) -> None:
    (tmp_path / "folder.cell").mkdir()
    for path in (tmp_path / "folder.cell", tmp_path / "missing.cell", tmp_path / ("n" * 300 + ".cell")):
        result = run(command, path)
        assert result.exit_code == 2
        assert "cannot be read" in result.stderr


# -- internal errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["show", "check", "generate"])
@pytest.mark.parametrize(
    "fault", [AssertionError("d_h is assigned twice\nin Pointwise"), KeyError("local"), RecursionError(), OSError("?")]
)
def test_an_internal_error_asks_for_a_report_and_ends_with_70(
    command: str, fault: Exception, cell: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object) -> None:
        raise fault

    cell.write_text(GOOD.replace("gate", f"gate for {command} and {fault!r}"))  # nothing of it has been kept
    for function in ("symrnn.pages.show", "symrnn.emit.Entries"):
        monkeypatch.setattr(function, broken)
    more = ["-o", tmp_path / "out"] if command == "generate" else []
    result = run(command, cell, *more)
    assert result.exit_code == 70
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"internal error: {type(fault).__name__}")
    assert "report it with the cell's text" in line
    assert not (tmp_path / "out").exists()
    debugged = run("--debug", command, cell, *more)
    assert debugged.exit_code == 70
    assert "Traceback" in debugged.stderr and "in broken" in debugged.stderr
    assert debugged.stderr.splitlines()[-1] == line


def test_an_internal_error_is_one_line_however_long() -> None:
    assert len(in_one_line(AssertionError("x" * 100_000 + "\n" * 50))) < 400


def test_mistakes_are_no_internal_errors_even_with_debug() -> None:
    for args in (["--debug", "show", "lsmt"], ["--debug", "frobnicate"], ["--debug", "show"]):
        result = run(*args)
        assert result.exit_code == 2
        assert "Traceback" not in result.stderr and "internal" not in result.stderr


# -- streams and signals -----------------------------------------------------------------------------------


def test_output_in_a_pipe_has_no_escape_codes_and_is_not_cut() -> None:
    child = process("list")
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0
    assert b"\x1b" not in out + err
    longest = max((cells.load(n).headline for n in cells.gallery()), key=len)
    assert longest in out.decode()


def test_a_closed_pipe_is_no_error() -> None:
    child = process("list")
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.close()
    complaint = child.stderr.read()
    child.stderr.close()
    assert child.wait(timeout=60) == 141
    assert complaint == b""


def test_interrupt_ends_with_130_and_no_traceback() -> None:
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a background shell ignores it, and so would the child
    try:
        child = process("check", "--all")
    finally:
        signal.signal(signal.SIGINT, before)
    assert child.stdout is not None
    child.stdout.readline()
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert b"Traceback" not in err


@pytest.mark.parametrize("command", ["", "list", "show", "generate", "check", "demo"])
def test_help_has_examples(command: str) -> None:
    result = run(*[a for a in (command, "--help") if a])
    assert result.exit_code == 0
    assert "symrnn" in result.stdout
    assert command == "list" or "Examples" in result.stdout


def test_version() -> None:
    assert run("--version").stdout == f"symrnn {symrnn.__version__}\n"


@pytest.mark.skipif(find_spec("cupy") is not None, reason="CuPy is there")
def test_a_backend_that_cannot_run_says_so_in_one_line() -> None:
    done = CliRunner().invoke(app, ["check", "elman", "--backend", "cuda"], prog_name="symrnn")
    assert done.exit_code == 2 and "needs CuPy" in done.output and "--host" in done.output
