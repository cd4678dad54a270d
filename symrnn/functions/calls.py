"""What a cell file may call, and with how many arguments."""

from __future__ import annotations

from collections.abc import Iterable

from symrnn.functions.table import ELEMENTWISE
from symrnn.functions.whole_axis import WHOLE_AXIS

#: Functions of the feature axes: (fewest, most) arguments.
STRUCTURAL: dict[str, tuple[int, int]] = {
    **dict.fromkeys((*WHOLE_AXIS, "identity"), (1, 1)),
    **dict.fromkeys(("dot", "outer"), (2, 2)),
    "concat": (2, 99),
}


def arities(name: str) -> set[int]:
    """How many arguments a cell file may give to a function."""
    least, most = STRUCTURAL.get(name, (1, 0))
    return {*range(least, most + 1), *([ELEMENTWISE[name]] if name in ELEMENTWISE else [])}


def callable_names() -> Iterable[str]:
    """Every name a cell file may call, in the order of the tables."""
    return dict.fromkeys((*ELEMENTWISE, *STRUCTURAL))
