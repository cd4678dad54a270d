"""Random cells judged by the check, and failures shrunk to small ones. The big run:

    python tests/random_faults.py --count 10000 --seed 1 --folder out/faults

draws that many cells in two processes and leaves each distinct failure as a cell file that says what is wrong with it.
`--replay SEED` shows one cell, whole and shrunk, and what is wrong with it.
"""

from __future__ import annotations

import argparse
import random
import re
import signal
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
from random_features import drawn
from random_language import Draft, Term, draw

import symrnn
from symrnn.language.cell import Cell
from symrnn.loading import module_to_check
from symrnn.pages.outline import check as check_page
from symrnn.pages.outline import subject, unchecked
from symrnn.proof.check import check

#: T, B and the axes all different, long enough for three delays; and one unit here and there.
SHAPES = [(5, 2, (3, 4, 6, 7)), (2, 3, (1, 2, 4, 5))]
PATIENCE = 120  # seconds for one judgement
TRIES = 150
NO_POINT = re.compile("was not finite|away from every kink|rounding alone")


@dataclass(frozen=True)
class Verdict:
    """`kind` is right, refused, not judged or wrong; `fault` names what is wrong by kind and place, `said` in full."""

    kind: str
    fault: str = ""
    said: str = ""
    cell: Cell | None = None


def ways(seed: int | str) -> tuple[str, ...]:
    """Every cell runs in NumPy, some in C++ too, as CUDA kernels on the processor, or as a page."""
    rng = random.Random(f"ways {seed}")
    return ("numpy", *(way for way, share in (("page", 10), ("cpp", 10), ("cuda", 30)) if rng.randrange(share) == 0))


def judge(text: str, on: tuple[str, ...] = ("numpy",)) -> Verdict:
    """What becomes of a cell text in these ways; the first that is not right decides."""
    try:
        cell = symrnn.parse(text, "random_cell")
    except symrnn.CellError as error:
        return Verdict("refused", error.kind, str(error))
    except Exception as error:
        return Verdict("wrong", f"parse: {type(error).__name__} in {_place(error)}", _told(error))
    verdicts = (proved(cell, way) for way in on)
    return next((v for v in verdicts if v.kind != "right"), Verdict("right", cell=cell))


def proved(cell: Cell, way: str) -> Verdict:
    """The check of a backend's module or of the page; whatever else goes wrong on the way is a fault too."""
    try:
        with limited(PATIENCE), np.errstate(all="ignore"):
            wrong = page(cell) if way == "page" else module(cell, way)
    except symrnn.CellError as error:  # a constant without a value is noticed when the cell is lowered
        return Verdict("refused", error.kind, str(error))
    except Exception as error:
        if isinstance(error, symrnn.UsageError) and NO_POINT.search(str(error)):
            return Verdict("not judged", "", str(error), cell)
        return Verdict("wrong", f"{way}: {type(error).__name__} in {_place(error)}", _told(error), cell)
    return wrong or Verdict("right", cell=cell)


def module(cell: Cell, backend: str) -> Verdict | None:
    """What the check finds wrong with a generated module."""
    report = check(cell, module_to_check(cell, backend), backend, shapes=SHAPES)
    tests = ", ".join(sorted({row.test for row in report.failures}))
    return None if report.ok else Verdict("wrong", f"{backend}: {tests}", str(report), cell)


def page(cell: Cell) -> Verdict | None:
    """Raises UsageError if an equation of the page does not hold."""
    about = subject(cell)
    if check_page(about, unchecked(about)).count == 0:
        return Verdict("wrong", "page: nothing was evaluated", "", cell)
    return None


def _told(error: BaseException) -> str:
    """The last line run and what went wrong there."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{last.line}\n{type(error).__name__}: {error}"


def _place(error: BaseException) -> str:
    """File and function in which an error rose; generated modules have numbers, which say nothing."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{re.sub(r'[0-9<>]', '', Path(last.filename).name).strip()} {last.name}"


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Raises TimeoutError if what is done inside takes longer."""

    def stop(number: int, frame: object) -> None:
        raise TimeoutError(f"longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# -- shrinking -------------------------------------------------------------------------------------------------


def shrunk(draft: Draft, on: tuple[str, ...], fault: str) -> Draft:
    """The smallest draft found by taking parts away that still has this fault in one of these ways."""
    tries = 0
    while True:
        for smaller in chain(_without_names(draft), _with_less(draft)):
            if smaller.size >= draft.size:
                continue
            tries += 1
            if tries > TRIES:
                return draft
            if judge(smaller.text, on).fault == fault:
                draft = smaller
                break
        else:
            return draft


def _without_names(draft: Draft) -> Iterator[Draft]:
    """One equation less, its name read as an input; one state or output less."""
    for name in draft.equations:
        known = draft.states.get(name) or draft.equations[name].axes
        equations = {n: t for n, t in draft.equations.items() if n != name}
        yield replace(
            draft,
            inputs=draft.inputs | {name: known},
            states={n: a for n, a in draft.states.items() if n != name},
            equations=equations,
            outputs=tuple(n for n in draft.outputs if n != name),
        )
    for name in draft.states:
        yield replace(draft, states={n: a for n, a in draft.states.items() if n != name})
    for name in draft.outputs:
        yield replace(draft, outputs=tuple(n for n in draft.outputs if n != name))


def _with_less(draft: Draft) -> Iterator[Draft]:
    """One expression replaced by a part of it, or by an input, of the same shape."""
    for name, term in draft.equations.items():
        for smaller, inputs in _lesser(term):
            yield replace(draft, equations=draft.equations | {name: smaller}, inputs=draft.inputs | inputs)


def _lesser(term: Term) -> Iterator[tuple[Term, dict[str, tuple[str, ...]]]]:
    if not term.args:
        if term.reads and not term.form.endswith(("[t-1]", term.reads)):
            yield replace(term, form=f"{term.reads}[t-1]"), {}
        return
    for part in term.walk():
        if part is not term and part.axes == term.axes:
            yield part, {}
    if term.axes:
        new = "x_" + "".join(term.axes).replace("+", "")
        yield Term(new, term.axes, reads=new), {new: term.axes}
    else:
        yield Term("2", ()), {}
    for k, arg in enumerate(term.args):
        for smaller, inputs in _lesser(arg):
            yield replace(term, args=(*term.args[:k], smaller, *term.args[k + 1 :])), inputs


# -- the run ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """The outcome for one seed: kind of verdict, what was drawn, and a failure's text, before and after shrinking."""

    seed: str
    kind: str
    fault: str = ""
    said: str = ""
    text: str = ""
    holds: frozenset[str] = frozenset()


def find(seed: str, on: tuple[str, ...] = (), shrink: bool = True) -> Found:
    """Draw the cell of this seed, judge it, shrink it if it is wrong."""
    draft, on = draw(seed), on or ways(seed)
    verdict = judge(draft.text, on)
    if verdict.kind != "wrong":
        holds = frozenset(drawn(verdict.cell)) if verdict.cell else frozenset()
        return Found(seed, verdict.kind, verdict.fault, holds=holds)
    on = (verdict.fault.split(":")[0],) if verdict.cell else ()
    small = shrunk(draft, on, verdict.fault) if shrink else draft
    return Found(seed, "wrong", verdict.fault, judge(small.text, on).said, small.text)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw random cells, check them, keep what fails.")
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--folder", type=Path, default=Path("out/faults"))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--replay", metavar="SEED")
    options = parser.parse_args()
    if options.replay:
        found = find(options.replay)
        print(draw(options.replay).text, found.kind, found.fault, found.text, found.said, sep="\n")
        return
    seeds = [f"{options.seed}.{k}" for k in range(options.count)]
    print(f"seed {options.seed}", flush=True)
    kinds: Counter[str] = Counter()
    kept: Counter[tuple[str, str]] = Counter()
    with ProcessPoolExecutor(options.processes) as pool:
        for number, found in enumerate(pool.map(find, seeds, chunksize=5), 1):
            kinds[found.kind] += 1
            if found.kind == "wrong":
                keep(found, kept, options.folder)
            if number % 100 == 0:
                print(number, dict(kinds), f"{len(kept)} faults", flush=True)
    print(dict(kinds))
    for (fault, shape), count in kept.most_common():
        print(f"{count:5} {fault}: {shape}")


def keep(found: Found, kept: Counter[tuple[str, str]], folder: Path) -> None:
    """Write a failure to the folder if none like it was there: the same fault in the same functions and operators."""
    key = found.fault, " ".join(sorted(set(re.findall(r"[a-z_]+(?=\()|\.T|[@*/]+|\[t-\d\]", found.text))))
    kept[key] += 1
    if kept[key] == 1:
        folder.mkdir(parents=True, exist_ok=True)
        said = "".join(f"# {line}\n" for line in found.said.splitlines())
        kept_text = f"# seed {found.seed}: {found.fault}\n{found.text}{said}"
        (folder / f"{found.seed}.cell").write_text(kept_text, encoding="utf-8")


if __name__ == "__main__":
    main()
