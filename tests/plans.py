"""A schedule and its kernel plan, run at the same random point."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from symrnn.calculus.ir import Value
from symrnn.compiled.layout import Layout
from symrnn.meaning import interpret, plans
from symrnn.schedule.program import Program

Arrays = dict[str, np.ndarray]
LENGTHS = (2, 3, 5, 7, 11, 13)


def both(program: Program, made: Layout, seed: int = 0) -> tuple[Arrays, Arrays]:
    """Results and what the sweeps carry out at their ends, by name: of the plan, and of the schedule."""
    one = program.sweeps[0].name == "step"
    sizes = dict(zip(program.derivation.cell.axes, LENGTHS, strict=False)) | {"T": 1 if one else 3, "B": 2}
    rng = np.random.default_rng(seed)

    def drawn(value: Value) -> np.ndarray:
        lead = ([sizes["T"]] if value.timed else []) + ([sizes["B"]] if value.batched else [])
        return 0.5 * rng.standard_normal([*lead, *(interpret.length(a, sizes) for a in value.axes)])

    given = {n: drawn(v) for n, v in program.values.items() if v.role in ("param", "input", "seed")}
    starts = {
        s.name: {c.key: drawn(replace(program.values[c.arrives], timed=False)) for c in s.carried}
        for s in program.sweeps
    }
    expected, ends = interpret.run(program, given, starts, sizes)
    found, left = plans.run(made, given, starts, sizes)
    return _flat(found, left), _flat({n: expected[n] for n in found}, ends)


def _flat(results: Arrays, ends: dict[str, Arrays]) -> Arrays:
    return results | {f"{key} after {sweep}": a for sweep, arrays in ends.items() for key, a in arrays.items()}
