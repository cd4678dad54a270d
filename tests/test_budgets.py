"""What a step of every gallery cell costs on every target, as it stands in budgets.txt: more is a defect, less is news.

`python tests/test_budgets.py > tests/budgets.txt` writes it anew; the difference belongs into the commit that makes it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import symrnn
from symrnn.compiled.ops import Product
from symrnn.compiled.plan import plan
from symrnn.schedule import KERNEL_ORDER, ORDER, Entries, cost
from symrnn.schedule.products import times
from symrnn.schedule.program import Program

FILE = Path(__file__).with_name("budgets.txt")
ENTRIES = ("train", "states", "infer", "step", "jvp", "hvp")
TARGETS = {"numpy": ORDER, "kernels": KERNEL_ORDER}  # cpp and cuda have the same kernels
FEW = ("lstm", "gru", "lstm_layernorm", "mlstm", "indrnn", "entnet")
TITLE = (
    "# products + other calls a step, of each sweep of train, states, infer, step, jvp and hvp; and the tape of train\n"
    "# and states in bytes, in float32 at the lengths with which the schedule reckons\n"
)


def calls(program: Program, target: str) -> list[str]:
    """Products, and lines of NumPy or kernels and copies, in the loop of each sweep."""
    found = []
    for sweep in program.sweeps:
        if target == "numpy":
            of_loop = [times(s, program) is not None for s in sweep.loop]
        else:
            ops = plan(program).stage(sweep.name).ops["loop"]
            of_loop = [isinstance(op, Product) for op in ops]
        found.append(f"{sum(of_loop)}+{len(of_loop) - sum(of_loop)}")
    return found


def line(name: str, target: str) -> str:
    entries = Entries(symrnn.load(name), TARGETS[target])
    steps = [":".join(calls(getattr(entries, e), target)) for e in ENTRIES]
    tapes = [str(int(cost.tape_bytes(p, cost.usual))) for p in (entries.train, entries.states)]
    return " ".join([f"{name:22} {target:8}", *(f"{x:>12}" for x in steps), *(f"{x:>10}" for x in tapes)]).rstrip()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n not in FEW)) for n in symrnn.gallery()])
def test_a_step_costs_what_it_did(name: str, target: str) -> None:
    assert line(name, target) in FILE.read_text(encoding="utf-8").splitlines()


if __name__ == "__main__":
    print(TITLE + "\n".join(line(name, target) for name in symrnn.gallery() for target in TARGETS))
