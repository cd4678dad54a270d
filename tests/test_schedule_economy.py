"""Nothing in a schedule is superfluous: no dead statement, nothing saved in vain, no copy, no value left apart.

Each property is a function of a program that names what breaks it; passes planted with a fault must break one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import sympy as sp

import symrnn
from symrnn.calculus.derive import derive
from symrnn.calculus.ir import Pointwise, reads, times_read
from symrnn.language.cell import Cell
from symrnn.schedule import ORDER, PASSES, TRAIN, Entries
from symrnn.schedule.fuse import MAX_SIZE
from symrnn.schedule.place import place
from symrnn.schedule.program import Program, Sweep, read_in

ENTRIES = ("train", "states", "infer", "step", "jvp", "hvp")


def leaving(program: Program, sweep: Sweep) -> set[str]:
    """What somebody outside the sweep takes."""
    results = {*program.results, *program.saved, *program.read_by_others(sweep)}
    return results | {c.source for c in sweep.carried}


def dead_statements(program: Program) -> Iterator[str]:
    """Values that nobody reads, not even in another step."""
    for sweep in program.sweeps:
        wanted = leaving(program, sweep) | read_in(tuple(sweep.statements()))
        yield from (s.out.name for s in sweep.statements() if s.out.name not in wanted)


def saved_in_vain(program: Program) -> Iterator[str]:
    """Saved values that no later sweep reads, or computes for itself, or is handed anyway."""
    later = {n for sweep in program.sweeps[1:] for s in sweep.statements() for n in reads(s)}
    later -= {s.out.name for sweep in program.sweeps[1:] for s in sweep.statements()}
    handed = {n for n, v in program.values.items() if v.role in ("param", "seed")}
    yield from (n for n in program.saved if n not in later or n in handed)


def kept_in_vain(program: Program) -> Iterator[str]:
    """Values of a loop kept for every step though only the next step reads them."""
    for sweep in program.sweeps:
        outside = leaving(program, sweep) | read_in((*sweep.before, *sweep.after, *sweep.once, *sweep.finish))
        yield from (n for n in sweep.stored if n not in outside)


def copies(program: Program) -> Iterator[str]:
    """Adjoints and tangents that are another value under a second name, though no reader needs two labellings of it."""
    for sweep in program.sweeps:
        needed = leaving(program, sweep) | {c.arrives for c in sweep.carried}
        for s in sweep.statements():
            plain = isinstance(s, Pointwise) and isinstance(s.expr, sp.Symbol) and s.args[0].labels == s.out.labels
            if not plain or s.out.name in needed or program.values[s.out.name].role not in ("adjoint", "tangent"):
                continue
            readers = [x for x in sweep.statements() if s.out.name in reads(x)]
            if not any({s.args[0].name, s.out.name} <= {*reads(x)} for x in readers):
                yield s.out.name


def left_apart(program: Program) -> Iterator[str]:
    """Small pointwise values that one pointwise statement of the same block reads once, as they were computed."""
    for sweep in program.sweeps:
        needed, uses = leaving(program, sweep), times_read(sweep.statements())
        for _, block in sweep.blocks():
            made = {s.out.name: s for s in block if isinstance(s, Pointwise)}
            for s in made.values():
                for ref in s.args:
                    inner = made.get(ref.name)
                    if inner is None or ref.name in needed or uses[ref.name] > 1 or ref.labels != inner.out.labels:
                        continue
                    labels = {(r.name, r.labels) for r in (*s.args, *inner.args) if r != ref}
                    if len({n for n, _ in labels}) == len(labels) and _size(s) + _size(inner) <= MAX_SIZE:
                        yield f"{ref.name} in {s.out.name}"


def _size(s: Pointwise) -> int:
    return sum(1 for _ in sp.preorder_traversal(s.expr))


def slow_adjoints(program: Program) -> Iterator[str]:
    """Statements of a backward loop that call a function no carried value enters: it could stand before the loop."""
    for sweep in program.sweeps:
        variant = {s.out.name for s in sweep.loop} | {c.arrives for c in sweep.carried if c.where == "loop"}
        for s in sweep.loop if sweep.reverse else ():
            if isinstance(s, Pointwise):
                calls = [x for x in sp.preorder_traversal(s.expr) if hasattr(type(x), "row")]
                if any(not {n.name for n in x.free_symbols} & variant and x.free_symbols for x in calls):
                    yield s.out.name


PROPERTIES: dict[str, Callable[[Program], Iterator[str]]] = {
    f.__name__: f for f in (dead_statements, saved_in_vain, kept_in_vain, copies, left_apart, slow_adjoints)
}


@pytest.mark.parametrize("name", symrnn.gallery())
def test_nothing_is_superfluous(name: str) -> None:
    programs = Entries(symrnn.load(name))
    found = Counter(
        f"{entry}: {what}: {value}"
        for entry in ENTRIES
        for what, holds in PROPERTIES.items()
        for value in holds(getattr(programs, entry))
    )
    assert not found


# -- passes with a fault ---------------------------------------------------------------------------------------


def lazy(program: Program) -> Program:
    """A pass that does nothing."""
    return program


def saving_all(program: Program) -> Program:
    """Everything that the first sweep computes is saved."""
    program = PASSES["save"](program)
    first = program.sweeps[0]
    timed = tuple(s.out.name for s in first.statements() if program.values[s.out.name].timed)
    return replace(program, saved=(*program.saved, *(n for n in timed if n not in program.saved)))


def storing_all(program: Program) -> Program:
    """Every value of every loop is kept for all steps."""
    program = PASSES["save"](program)
    for sweep in program.sweeps:
        program = program.with_sweep(replace(sweep, stored=tuple(s.out.name for s in sweep.loop)))
    return program


#: A pass put in the place of another → the property it must break, in the schedule of some of these cells.
MUTANTS = [
    ("alias", lazy, "copies"),
    ("prune", lazy, "dead_statements"),
    ("fuse", lazy, "left_apart"),
    ("hoist", lazy, "slow_adjoints"),
    ("save", saving_all, "saved_in_vain"),
    ("save", storing_all, "kept_in_vain"),
]
SOME = ("lstm", "gru", "lstm_layernorm", "skip_rnn", "mlstm")


@pytest.mark.parametrize(("name", "mutant", "what"), MUTANTS, ids=lambda x: getattr(x, "__name__", x))
def test_a_pass_that_leaves_its_work_undone_is_found_out(
    name: str, mutant: Callable[[Program], Program], what: str
) -> None:
    passes = {**PASSES, name: mutant}
    programs = [scheduled(symrnn.load(cell), passes) for cell in SOME]
    assert any(list(PROPERTIES[what](program)) for program in programs)
    honest = [scheduled(symrnn.load(cell), PASSES) for cell in SOME]
    assert not any(list(PROPERTIES[what](program)) for program in honest)


def scheduled(cell: Cell, passes: dict[str, Callable[[Program], Program]]) -> Program:
    program = place(derive(cell), TRAIN)
    for step in ORDER:
        program = passes[step](program)
    return program
