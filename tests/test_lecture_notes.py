"""What lecture notes say about these cells, held by numbers."""

from __future__ import annotations

import numpy as np
import pytest
from points import point

import symrnn

GATES = ("i", "f", "g", "o")


def run(name: str, params: dict[str, np.ndarray], x: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, ...]:
    module = symrnn.compile(symrnn.load(name))
    y, _, tape = module.forward(params, x)
    dparams, dx, _ = module.backward(params, tape, dy)
    return y, dx, dparams


def test_both_notations_of_the_lstm_are_the_same_function() -> None:
    """W [h, x] on the concatenation has size H × (H + I), and is U h + W x split."""
    p = point(symrnn.load("lstm"))
    joined = {f"W_{g}": np.concatenate([p.params[f"U_{g}"], p.params[f"W_{g}"]], axis=1) for g in GATES}
    joined |= {f"b_{g}": p.params[f"b_{g}"] for g in GATES}
    y, dx, split = run("lstm", p.params, p.inputs["x"], p.dy["h"])
    y2, dx2, whole = run("lstm_concat", joined, p.inputs["x"], p.dy["h"])
    np.testing.assert_allclose(y2, y, rtol=1e-13)
    np.testing.assert_allclose(dx2, dx, rtol=1e-11, atol=1e-14)
    for g in GATES:
        np.testing.assert_allclose(
            whole[f"W_{g}"], np.concatenate([split[f"U_{g}"], split[f"W_{g}"]], axis=1), atol=1e-13
        )


@pytest.mark.parametrize(
    ("i", "f", "expected"),
    [(0, 0, "clear"), (0, 1, "keep"), (1, 0, "overwrite"), (1, 1, "use both")],
    ids=["0/0 clears", "0/1 keeps", "1/0 overwrites", "1/1 uses both"],
)
def test_the_gate_table(i: int, f: int, expected: str) -> None:
    """Gates driven to 0 and 1 by their biases show the four regimes of c = f c[t-1] + i g."""
    cell = symrnn.load("lstm")
    p = point(cell, steps=1)
    params = p.params | {"b_i": np.full(3, 60.0 * (2 * i - 1)), "b_f": np.full(3, 60.0 * (2 * f - 1))}
    module = symrnn.compile(cell)
    _, last, tape = module.forward(params, p.inputs["x"], p.state)
    old, new = p.state["c"], tape.g[0]
    regimes = {"clear": 0 * old, "keep": old, "overwrite": new, "use both": old + new}
    np.testing.assert_allclose(last["c"], regimes[expected], atol=1e-14)


def test_the_misprint_loses_the_gradient_of_the_last_step() -> None:
    """h = o tanh(c[t-1]) hides from h_t what step t wrote: no weight of i, f or g matters to a single step."""
    p = point(symrnn.load("lstm"), steps=1)
    x, dy = p.inputs["x"], p.dy["h"]
    right, wrong = (run(name, p.params, x, dy)[2] for name in ("lstm", "lstm_misprint"))
    assert all((wrong[f"W_{g}"] == 0).all() and (right[f"W_{g}"] != 0).all() for g in ("i", "g"))


def test_the_two_conventions_of_the_update_gate_are_one_function() -> None:
    """z in one convention is 1 - z in the other: its weights change sign."""
    p = point(symrnn.load("gru"))
    turned = p.params | {n: -p.params[n] for n in ("W_z", "U_z", "b_z")}
    y, dx, _ = run("gru", p.params, p.inputs["x"], p.dy["h"])
    y2, dx2, _ = run("gru_keep", turned, p.inputs["x"], p.dy["h"])
    np.testing.assert_allclose(y2, y, rtol=1e-12)
    np.testing.assert_allclose(dx2, dx, rtol=1e-10, atol=1e-14)


def test_memory_blocks_share_their_gates() -> None:
    cell = symrnn.load("lstm_blocks")
    assert any(len(s.axes) == 2 for s in cell.states), "the state is [blocks, cells of a block]"
    gates = [v for v in cell.values if "gate" in v.meaning]
    assert gates and all(len(g.axes) == 1 for g in gates)


W1 = [-2.267207, 1.2793622, -0.22873628, -0.08037159, 0.39103642, -1.0350872, 0.99171644, 0.45965433, -0.5615316]
CLIPPED = [-1.1261013, 0.6354477, -0.11361125, -0.03991984, 0.19422427, -0.5141185, 0.49257663, 0.22830616, -0.2789077]


def test_clipping_by_global_norm_gives_the_printed_numbers() -> None:
    """The notes print the first tensor before and after, and the norm of both before: 4.02665, after: 2."""
    w1 = np.array(W1)
    w2 = np.full((1, 1, 4), np.sqrt((4.02665**2 - (w1**2).sum()) / 4))
    module = symrnn.compile(symrnn.load("clip_by_global_norm"))
    y, _, _ = module.forward({"limit": np.array(2.0)}, {"a": w1.reshape(1, 1, -1), "b": w2})
    np.testing.assert_allclose(y["y_a"].ravel(), CLIPPED, rtol=2e-6)
    assert np.sqrt(sum((v**2).sum() for v in y.values())) == pytest.approx(2)


def test_clipping_by_norm_and_by_value() -> None:
    """A tensor of norm 15.314314842224121 is scaled to 10, a shorter one stays; components go to [0.3, 0.5]."""
    g = np.array(W1).reshape(1, 1, -1)
    long = g * (15.314314842224121 / np.sqrt((g**2).sum()))
    by_norm = symrnn.compile(symrnn.load("clip_by_norm")).forward
    assert np.sqrt((by_norm({"limit": np.array(10.0)}, long)[0] ** 2).sum()) == pytest.approx(10)
    np.testing.assert_allclose(by_norm({"limit": np.array(10.0)}, g)[0], g)
    by_value = symrnn.compile(symrnn.load("clip_by_value")).forward
    found = by_value({"low": np.array(0.3), "high": np.array(0.5)}, np.array([[[0.9, 0.1, 0.49528742, 0.36500812]]]))[0]
    np.testing.assert_array_equal(found.ravel(), [0.5, 0.3, 0.49528742, 0.36500812])
