"""Every row of the table of functions over a whole axis: its value against the textbook, its rules by themselves."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from symrnn.functions.whole_axis import STD, WHOLE_AXIS, AxisFunction

ROWS = (*WHOLE_AXIS.values(), STD)
A = np.random.default_rng(3).normal(size=(4, 5))


def _normed(a: list[float]) -> list[float]:
    mean = sum(a) / len(a)
    return [(x - mean) / _spread(a) for x in a]


def _spread(a: list[float]) -> float:
    mean = sum(a) / len(a)
    return math.sqrt(sum((x - mean) ** 2 for x in a) / len(a) + 0.00001)


#: On a list of numbers.
TEXTBOOK: dict[str, Callable[[list[float]], float | list[float]]] = {
    "sum": sum,
    "mean": lambda a: sum(a) / len(a),
    "max": max,
    "min": min,
    "norm": lambda a: math.sqrt(sum(x * x for x in a)),
    "softmax": lambda a: [math.exp(x) / sum(map(math.exp, a)) for x in a],
    "logsumexp": lambda a: math.log(sum(map(math.exp, a))),
    "layer_norm": _normed,
    "std": _spread,
}


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_the_value_is_the_textbooks(row: AxisFunction) -> None:
    expected = [TEXTBOOK[row.name](list(a)) for a in A]
    np.testing.assert_allclose(row.value(A), expected, rtol=1e-13, atol=1e-15)
    assert np.ndim(expected) == (2 if row.keeps else 1)
