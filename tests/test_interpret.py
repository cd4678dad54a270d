"""The meaning of a program, statement by statement, is that of the generated module, which the check has proved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from points import alone, point

import symrnn
from symrnn.calculus.derive import derive
from symrnn.meaning import interpret
from symrnn.schedule import KERNEL_ORDER, ORDER, schedule

CELLS = ("lstm", "qrnn", "narx", "lru", "mingru", "dense")


def named(value: Any, names: list[str]) -> dict[str, np.ndarray]:
    return value if isinstance(value, dict) else {names[0]: value}


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("passes", [(), ORDER, KERNEL_ORDER], ids=["no passes", "for arrays", "for kernels"])
@pytest.mark.parametrize("name", CELLS)
def test_it_computes_what_the_module_does(name: str, passes: tuple[str, ...], steps: int) -> None:
    cell = symrnn.load(name)
    module, program, p = symrnn.compile(cell), schedule(derive(cell), passes), point(cell, steps=steps)
    y, _, tape = module.forward(p.params, p.x, p.state)
    dparams, dx, dstart = module.backward(p.params, tape, alone(p.dy), p.dstate)
    known = interpret.forward(program, p.params | p.inputs, p.state, p.sizes)
    for k, a in named(y, [v.name for v in cell.outputs]).items():
        np.testing.assert_allclose(known[k].reshape(a.shape), a, rtol=1e-12, atol=1e-13, err_msg=k)
    gradients, start = interpret.backward(program, known, p.dy, p.dstate, p.sizes)
    expected = dparams | named(dx, [v.name for v in cell.inputs])
    assert gradients.keys() == expected.keys() and start.keys() == dstart.keys()
    for k, a in [*expected.items(), *((f"state {k}", a) for k, a in dstart.items())]:
        found = start[k.removeprefix("state ")] if k.startswith("state ") else gradients[k]
        np.testing.assert_allclose(found.reshape(a.shape), a, rtol=1e-11, atol=1e-12, err_msg=k)
