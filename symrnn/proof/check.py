"""Proves a generated module at several shapes and points.

Points too near a kink (relu, max, a tie) are drawn again, not tolerated; so is a point where rounding could hide an
error of 1e-6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from types import ModuleType

from symrnn.errors import NothingToCompareError
from symrnn.language.cell import Cell
from symrnn.loading import module_of
from symrnn.proof import entries, zero_gradients
from symrnn.proof.comparison import UNCLEAR, Comparison, Row
from symrnn.proof.trial import Trial

Shape = tuple[int, int, tuple[int, ...]]

#: (T, B) and the sizes given to the axes in turn: single step, single unit, single batch, distinct primes.
SHAPES: tuple[Shape, ...] = (
    (5, 3, (2, 7, 11, 13, 17, 19)),
    (1, 2, (3, 5, 2, 7, 11, 13)),
    (4, 1, (5, 3, 2, 7, 11, 13)),
    (3, 2, (1, 1, 1, 1, 1, 1)),
)
SMALL: Shape = (3, 2, (2, 3, 5, 7, 11, 13))
POINTS = 12


@dataclass
class Report:
    """All comparisons of one check."""

    cell: str
    backend: str
    dtype: str
    rows: list[Row] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return bool(self.rows) and all(r.ok for r in self.rows)

    @property
    def failures(self) -> list[Row]:
        return [r for r in self.rows if not r.ok]

    def worst(self) -> dict[str, Row]:
        """For each test, the comparison that came nearest to failing (or failed worst)."""
        worst: dict[str, Row] = {}
        for row in self.rows:
            known = worst.get(row.test)
            if known is None or row.share > known.share:
                worst[row.test] = row
        return worst

    def __str__(self) -> str:
        head = (
            f"{self.cell} ({self.backend}, {self.dtype}): {'ok' if self.ok else 'WRONG'}, {len(self.rows)} comparisons"
        )
        lines = [f"  {r}" for r in (self.failures or self.worst().values())]
        return "\n".join([head, *lines, *(f"  warning: {w}" for w in self.warnings)])


def check(
    cell: Cell,
    module: ModuleType | None = None,
    backend: str = "numpy",
    dtype: str = "float64",
    shapes: Iterable[Shape] = SHAPES,
    progress: Callable[[str], None] = lambda what: None,
) -> Report:
    """Compare a module (by default the one `backend` generates) with the cell's equations and their derivatives.

    Raises NothingToCompareError where each point lies too near a kink, or rounding could hide an error there.
    """
    module = module or module_of(cell, backend)
    report = Report(cell.name, backend, dtype)
    for k, shape in enumerate(shapes):
        sizes = sizes_at(cell, shape)
        progress(f"{cell.name} at {' '.join(f'{a}={n}' for a, n in sizes.items())}")
        one = clear(cell, module, sizes, k, dtype, thorough)
        report.rows += one.rows
        report.warnings += one.warnings
        if not k:
            report.warnings += one.from_rest() + zero_gradients.warnings(cell, sizes)
    return report


def quick(cell: Cell, module: ModuleType, backend: str = "numpy", dtype: str = "float64") -> Report:
    """The same at one small shape, with all gradients in one complex step: what every generated module goes through."""
    one = clear(cell, module, sizes_at(cell, SMALL), 0, dtype, brief)
    return Report(cell.name, backend, dtype, one.rows, one.warnings)


def thorough(one: Comparison) -> list[Row]:
    """Every quantity by itself, and all functions of the module."""
    return [*one.thorough(), *entries.thorough(one)]


def brief(one: Comparison) -> list[Row]:
    """Everything at once."""
    return [*one.brief(), *entries.brief(one)]


def sizes_at(cell: Cell, shape: Shape) -> dict[str, int]:
    """T, B and the length of every axis."""
    steps, batch, lengths = shape
    return {"T": steps, "B": batch} | {a: lengths[k % len(lengths)] for k, a in enumerate(cell.axes)}


def clear(
    cell: Cell,
    module: ModuleType,
    sizes: dict[str, int],
    seed: int,
    dtype: str,
    rows: Callable[[Comparison], list[Row]],
) -> Comparison:
    """The comparison at the first point where rounding cannot hide an error."""
    for again in range(POINTS):
        one = Comparison(module, _trial(cell, tuple(sizes.items()), seed, dtype, again))
        one.rows = rows(one)
        if not any(one.hides_errors(r) for r in one.rows):
            return one
    one = Comparison(module, one.trial, own_rounding=False)  # which a wrong module may have too much of
    one.rows = rows(one)
    if not any(one.hides_errors(r) for r in one.rows):
        return one
    raise NothingToCompareError(
        f"At each of {POINTS} random points rounding alone changes {cell.name} by more than {UNCLEAR[dtype]:.0e}:",
        "nothing can be proved there.",
    )


@lru_cache(maxsize=8)
def _trial(cell: Cell, sizes: tuple[tuple[str, int], ...], seed: int, dtype: str, again: int) -> Trial:
    """A trial is the same for every backend."""
    return Trial(cell, dict(sizes), seed, dtype, again)
