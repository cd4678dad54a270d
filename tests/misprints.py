"""Formulas that circulate in lecture notes and are wrong; the derivation is the judge, every verdict computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from symrnn.calculus.derive import derive
from symrnn.diff import compare
from symrnn.flow.measure import measure, paths_of
from symrnn.flow.runs import Draw, Run, log_norms
from symrnn.language.load import load
from symrnn.pages.evaluate.world import World
from symrnn.pages.formulas.formula import Add
from symrnn.pages.notation.latex import Latex
from symrnn.pages.notation.spelling import Spelling
from symrnn.pages.outline import subject, unchecked

STEP = 1e-4


def text() -> str:
    """The page docs/misprints.md."""
    parts = [
        old_cell_state(), sign_of_the_update(), long_dependence(), product_of_jacobians(), sum_over_steps(),
        mean_of_the_losses(), input_of_another_step(), candidate_of_the_cell_state(), shut_gate(), small_entries(),
        largest_eigenvalue(), factor_near_zero(), what_bounds_the_output(), coupled_gate(), concatenated_size(),
    ]  # fmt: skip
    head = (
        "# Misprints, judged by the derivation\n\n"
        "Formulas as lecture notes print them, and what the derivation says. Written by `python tests/misprints.py`;\n"
        "a test compares this file with what it writes.\n"
    )
    return head + "\n" + "\n\n".join(parts) + "\n"


def _section(title: str, printed: str, verdict: str, *rows: tuple[object, ...]) -> str:
    """A slip as printed, what is right, and a table with its head first."""
    table = "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)
    table = table.replace("\n", "\n|" + "---|" * len(rows[0]) + "\n", 1) if rows else ""
    return f"## {title}\n\nPrinted: {printed}\n\nVerdict: {verdict}" + (f"\n\n{table}" if rows else "")


def old_cell_state() -> str:
    """h = o ⊙ tanh(c[t-1])."""
    found = compare(load("lstm"), load("lstm_misprint"))
    pen = Spelling(Latex(), found.letters)
    rows = [
        (f"$`{pen.text(c.left)}`$", _terms(c.only_a, pen), _terms(c.only_b, pen))
        for c in (*found.equations, *found.gradients)
    ]
    return (
        _section(
            "The LSTM whose output reads the old cell state",
            "$`h_t = o_t \\odot \\tanh(c_{t-1})`$.",
            "wrong; it is $`h_t = o_t \\odot \\tanh(c_t)`$. With the misprint the loss of step t no longer\n"
            "reaches $`c_t`$, and so not the input gate, the forget gate and the candidate of its own step:",
            ("", "correct", "misprinted"), *rows,
        ) + "\n\nAll terms: `symrnn diff lstm lstm_misprint`."
    )  # fmt: skip


def _terms(terms: tuple[object, ...], pen: Spelling) -> str:
    return ", ".join(f"$`{pen.text(t)}`$" for t in terms) or "–"  # type: ignore[arg-type]


def sign_of_the_update() -> str:
    """θ + α ∇L."""
    rows = []
    for sign, mark in ((-1, "-"), (1, "+")):
        rows.append((f"$`\\theta {mark} \\alpha \\nabla L`$", "falls" if _moved(_elman(), sign) < 0 else "rises"))
    return _section(
        "The sign of the update",
        "$`V(t+1) = V(t) + \\alpha \\nabla V`$, and the same for U and W.",
        "wrong; gradient descent subtracts. An Elman network with softmax and cross-entropy, one small step\n"
        f"of all parameters (α = {STEP:g}):",
        ("update", "the loss"), *rows,
    )  # fmt: skip


def _moved(world: World, sign: int) -> float:
    """How the whole loss changes when every parameter takes one step along its gradient."""
    parameters = [n for n, v in world.kinds.items() if v.role == "param"]
    gradients = {n: world.adjoint(n, None) for n in parameters}
    before = _loss(world.run())
    for name, gradient in gradients.items():
        world.fixed[name] = world.fixed[name] + sign * STEP * gradient
    return _loss(world.run()) - before


def _loss(rows: list[dict[str, np.ndarray]]) -> float:
    return float(sum(np.real(row["head.loss"]).sum() for row in rows[1:]))


def long_dependence() -> str:
    """Which of U, V, W depends on earlier steps."""
    return _section(
        "Which parameter has the long dependence",
        "“W has no long dependence, U and V have”, beside formulas that say otherwise.",
        "U and W stand inside the recurrence and depend on all earlier steps; V, of the output layer, on\n"
        "none. Measured, each parameter moved at one step alone:",
        ("parameter", "steps whose use the loss of step 3 depends on"),
        *((name, _reach(_elman(3), key)) for name, key in (("U", "U"), ("W", "W"), ("V", "head.V"))),
    )


def _reach(world: World, name: str) -> str:
    return ", ".join(str(k) for k in (1, 2, 3) if np.abs(world.derivative("head.loss", 3, name, k)).max() > 0)


def _elman(steps: int = 4) -> World:
    return subject(load("elman"), load("heads/softmax_cross_entropy")).world(steps)


def _agrees(found: np.ndarray, truth: np.ndarray) -> str:
    error = np.abs(found - truth).max()
    return "agrees" if error < 1e-12 else f"differs by {error:.2g}"


def product_of_jacobians() -> str:
    """∏ from k = 1."""
    world = _elman()
    truth, one = world.between(4, 2), {k: world.between(k + 1, k) for k in (1, 2, 3)}
    rows = [
        ("$`\\prod_{k=1}^{t-1}`$, as printed", _agrees(one[3] @ one[2] @ one[1], truth)),
        ("$`\\prod_{k=i}^{t-1}`$, the latest step leftmost", _agrees(one[3] @ one[2], truth)),
        ("$`\\prod_{k=i}^{t-1}`$, the latest step rightmost", _agrees(one[2] @ one[3], truth)),
    ]
    return _section(
        "Where the product of the Jacobians begins",
        "$`\\frac{\\partial h_t}{\\partial h_i} = \\prod_{k=1}^{t-1} \\frac{\\partial h_{k+1}}{\\partial h_k}`$.",
        "wrong; the product begins at k = i, or it goes on past $`h_i`$ to $`h_1`$. The factors are matrices: the\n"
        "latest step stands leftmost. An Elman network, t = 4, i = 2:",
        ("product", "beside $`\\partial h_4 / \\partial h_2`$ by complex steps"), *rows,
    )  # fmt: skip


def sum_over_steps() -> str:
    """∂L/∂W = Σ over t of what the last loss alone gives, and with which last factor."""
    world, steps = _elman(), range(1, 5)

    def chained(last: int, direct: bool) -> np.ndarray:
        by = world.derivative("head.loss", last, "h", last)
        parts = [world.derivative("h", k, "W", k if direct else None) for k in range(1, last + 1)]
        onward = [world.between(last, k) if k < last else np.eye(len(by)) for k in range(1, last + 1)]
        return np.asarray(sum(np.tensordot(by @ j, p, axes=1) for j, p in zip(onward, parts, strict=True)))

    whole, latest = world.adjoint("W", None), world.loss("W", None, 4)
    sums = {
        "loss of step T, $`\\partial h_t / \\partial W`$ with all that W did before": chained(4, direct=False),
        "loss of step T, $`h_{t-1}`$ held fixed in $`\\partial h_t / \\partial W`$": chained(4, direct=True),
        "the same, summed over the losses of all steps": sum(chained(k, direct=True) for k in steps),
    }
    return _section(
        "Which losses and which derivative the sum over time has",
        "$`L = \\sum_t L_t`$, and\n$`\\frac{\\partial L}{\\partial W} = \\sum_{t=1}^{T} \\frac{\\partial L}{"
        "\\partial y_T} \\frac{\\partial y_T}{\\partial o_T} \\frac{\\partial o_T}{\\partial h_T} "
        "\\frac{\\partial h_T}{\\partial h_t} \\frac{\\partial h_t}{\\partial W}`$.",
        "this is the gradient of the last loss $`L_T`$, not of L; and the last factor must be the direct derivative,\n"
        "with $`h_{t-1}`$ held fixed, or earlier uses of W are counted again. Elman, softmax, cross-entropy, T = 4:",
        ("sum", "beside $`\\partial L / \\partial W`$", "beside $`\\partial L_T / \\partial W`$"),
        *((name, _agrees(np.asarray(v), whole), _agrees(np.asarray(v), latest)) for name, v in sums.items()),
    )


def mean_of_the_losses() -> str:
    """1/t of t + 1 terms."""
    world = _elman()
    losses = np.array([np.real(row["head.loss"]).item() for row in world.run()[1:]])
    t = len(losses) - 1
    return _section(
        "The mean of the losses",
        "$`L = \\frac{1}{t} \\sum_{t=0}^{t} L_t`$.",
        "from 0 to t there are t + 1 terms, and the index needs a name of its own:\n"
        "$`\\frac{1}{t+1} \\sum_{k=0}^{t} L_k`$. An Elman network with softmax and cross-entropy, t = 3:",
        ("mean", "value"), ("all four losses", ", ".join(f"{v:.4f}" for v in losses)),
        ("$`\\frac{1}{t} \\sum`$, as printed", f"{losses.sum() / t:.4f}"),
        ("$`\\frac{1}{t+1} \\sum`$", f"{losses.mean():.4f}"),
    )  # fmt: skip


def input_of_another_step() -> str:
    """x_t inside h_j."""
    world = _elman()
    read = [f"$`x_{k}`$" for k in (1, 2, 3, 4) if np.abs(world.derivative("h", 2, "x", k)).max() > 0]
    return _section(
        "The input that an earlier state reads",
        "$`h_j = \\tanh(U x_t + W h_{j-1} + b)`$, for the states $`h_{k+1}`$ to $`h_t`$.",
        f"wrong; $`x_j`$. Of the inputs of four steps $`h_2`$ depends on {' and '.join(read)}, on none to come.",
    )


def candidate_of_the_cell_state() -> str:
    """“from c[t-1]”."""
    world = subject(load("lstm")).world(3)
    sizes = {n: np.abs(world.derivative("g", 2, f"{n}_prev", 2)).max() for n in ("h", "c")}
    return _section(
        "What the candidate is computed from",
        "“a new input from $`x_t`$ and $`c_{t-1}`$”, beside $`\\tilde c_t = \\tanh(W_c [h_{t-1}, x_t] + b_c)`$.",
        "the formula is right, the words are not:",
        ("earlier state", "is read by the candidate"),
        *((f"$`{n}_{{t-1}}`$", "yes" if v > 0 else "no") for n, v in sizes.items()),
    )


def _driven(name: str, steps: int, entries: float = 0.0, **biases: float) -> Run:
    """A run at rest whose recurrent matrices have equal entries, with biases that drive its gates."""
    d = derive(load(name))
    draw = Draw(name, lambda rng, n: np.full((n, n), entries), {f"b_{k}": v for k, v in biases.items()})
    run = Run(d, (draw,), 1, 4, paths_of(d))
    return run.lane(run.forward(np.random.default_rng(0), steps, "at rest"), 0)


def shut_gate() -> str:
    """σ(g) = 0 “all open”."""
    rows = []
    for bias in (60.0, -60.0):
        row = _driven("lstm", 1, f=bias).rows[0]
        kept = float((row["c"] / row["c_prev"]).mean())
        rows.append((f"{row['f'].mean():.0f}", f"{kept:.0f}", "open" if kept > 0.5 else "shut"))
    return _section(
        "A gate at zero",
        "“σ(g) = 1: the valve is all open, o = x; σ(g) = 0: the valve is all open, o = 0”.",
        "at 0 it is shut. The forget gate of an LSTM without input, driven by its bias:",
        ("gate", "$`c_t / c_{t-1}`$", "so it is"), *rows,
    )  # fmt: skip


def factor_near_zero() -> str:
    """∂h_j/∂h_{j-1} ≈ 0."""
    rows = []
    for bias in (60.0, -60.0):
        run = _driven("lstm", 50, f=bias)
        logs = log_norms(run.jacobians())
        rows.append((f"{run.rows[-1]['f'].mean():.0f}", *(f"{logs[k]:.0f}" for k in (1, 50))))
    return _section(
        "Factors near zero",
        "“$`\\partial h_j / \\partial h_{j-1} \\approx 1`$ or $`\\approx 0`$ solves vanishing and exploding”.",
        "a factor near one solves it; one near zero is a gradient that has vanished at once. $`\\log_{10}`$ of\n"
        "the norm of the state's Jacobian, for an LSTM without recurrent matrices whose forget gate is driven:",
        ("forget gate", "one step back", "50 steps back"), *rows,
    )  # fmt: skip


def what_bounds_the_output() -> str:
    """“The output gate …, used to bound the output”."""
    rows = []
    for name, what in (("nog", "no output gate"), ("noaf", "no output activation function")):
        run = _driven(name, 100, i=60.0, f=60.0, z=60.0, o=60.0)
        rows.append((what, f"{np.abs(run.rows[-1]['c']).max():.0f}", f"{np.abs(run.rows[-1]['y']).max():.0f}"))
    return _section(
        "What bounds the output where the cell state is unbounded",
        "“the output gate is necessary whenever the cell state is unbounded”.",
        "it is the output activation function, as Greff et al. say: a gate is a factor up to 1, and bounds nothing.\n"
        "Two of their variants after 100 steps with all gates open and a block input of 1:",
        ("variant", "largest entry of c", "largest entry of y"), *rows,
    )  # fmt: skip


def small_entries() -> str:
    """W with entries between 0 and 1."""
    run = _driven("elman", 50, entries=0.5)
    norm, value = log_norms(run.jacobians())[50], np.linalg.eigvals(run.fixed["W"][0]).real.max()
    return _section(
        "Entries of W below one",
        "“if all entries of W lie between 0 and 1, $`\\prod_j \\tanh' W \\to 0`$, as $`0.01^{50} \\to 0`$”.",
        "not the entries decide, but the eigenvalues. With H = 4 and every entry 0.5, near h = 0 where\n"
        f"$`\\tanh' \\approx 1`$, the norm of the product of 50 Jacobians is $`10^{{{norm:.1f}}}`$: "
        f"W has the eigenvalue {value:.0f}.",
    )


def largest_eigenvalue() -> str:
    """Above one: explodes."""
    flow = measure(load("elman"), steps=200, seeds=1, initialisations=("radius 0.5", "radius 1.5"))
    return _section(
        "An eigenvalue above one",
        "“if the largest eigenvalue of $`W_{hh}`$ is above 1, the product is very large”.",
        "only where no unit saturates: each factor also has $`\\mathrm{diag}(\\sigma')`$, which the formula above it\n"
        "shows. The norm after 200 steps of an Elman network:",
        (
            "largest eigenvalue, its modulus",
            "setting",
            r"$`\log_{10} \lVert \partial h_T / \partial h_{T-200} \rVert`$",
        ),
        *((c.name.removeprefix("radius "), c.setting, f"{c.log_norm[-1]:.1f}") for c in flow.curves),
    )


def coupled_gate() -> str:
    """CIFG."""
    document = unchecked(subject(load("cifg")))
    pen = Spelling(Latex(), document.letters)
    row = next(e for a, e in document.equations() if a == "forward" and pen.text(e.left) == "f_{t}")
    assert isinstance(row.right, Add)
    return _section(
        "Which gates CIFG couples",
        "“forget gate coupled with the output gate”.",
        "Greff et al. couple input and forget gate, as the name says (coupled input and forget gate): "
        f"$`{pen.text(row.left)} = {pen.text(row.right)}`$.",
    )


def concatenated_size() -> str:
    """W_f on [h, x]."""
    shape = " × ".join(f"({a})" if "+" in a else a for a in load("lstm_concat").variable("W_f").axes).replace(
        "+", " + "
    )
    return _section(
        "The size of a matrix on the concatenation",
        "$`W_f`$ of $`W_f [h_{t-1}, x_t]`$ has the size H × H.",
        f"its shape follows from what it multiplies, and is {shape}.",
    )


if __name__ == "__main__":
    Path(__file__).parent.parent.joinpath("docs", "misprints.md").write_text(text(), encoding="utf-8")
