"""The independent evaluation: the kinks it reports, and where its noise falls."""

from __future__ import annotations

import numpy as np
import pytest

import symrnn
from symrnn.meaning import evaluate

X = np.array([[[0.3, -0.2, 0.75]]])


def kinks(equation: str, x: np.ndarray = X) -> list[float]:
    cell = symrnn.parse(f"input x[N]\noutput y\n{equation}", "kinked")
    found: list[float] = []
    with np.errstate(all="ignore"):
        evaluate.run(cell, {}, {"x": x}, kinks=found)
    return found


@pytest.mark.parametrize(
    ("equation", "distance"),
    [
        ("y = relu(x)", 0.2),
        ("y = abs(x - 0.7)", 0.05),
        ("y = max(x, 0.8)", 0.05),
        ("y = clip(x, 0, 0.6)", 0.15),
        ("y = where(x > 0.5, x, 2 * x)", 0.2),
        ("y = where(0.5 >= x, x, 2 * x)", 0.2),
        ("y = max(x)", 0.45),
        ("y = min(x)", 0.45),
        ("y = x * max(x * x)", 0.05),
    ],
)
def test_the_nearest_kink_is_reported(equation: str, distance: float) -> None:
    assert min(kinks(equation)) == pytest.approx(distance)


@pytest.mark.parametrize(
    "equation",
    ["y = sin(x)", "y = where(t > 1, x, 2 * x)", "y = x * relu(t)", "y = x * abs(2 - t)", "y = softmax(x)"],
)
def test_what_no_derivative_passes_has_no_kink(equation: str) -> None:
    assert kinks(equation) == []


def test_the_one_component_of_an_axis_has_no_rival() -> None:
    assert kinks("y = max(x)", X[..., :1]) == []


def test_a_value_on_the_way_that_is_not_finite_is_reported() -> None:
    assert np.isnan(kinks("y = tanh(log(x - x))")).any()


def test_noise_moves_what_rounding_would_and_nothing_else() -> None:
    cell = symrnn.parse("input x[N]\noutput y, s\ny = x + x\ns = sin(t + 0.3) / N", "noisy")
    exact, _ = evaluate.run(cell, {}, {"x": X})
    noisy, _ = evaluate.run(cell, {}, {"x": X}, noise=evaluate.Noise(0))
    assert (noisy["s"] == exact["s"]).all(), "no rounding error of a constant is seen in a derivative"
    off = np.abs(noisy["y"] / exact["y"] - 1)
    assert (off > 2.0**-44).all() and (off < 2.0**-34).all()
    assert np.ptp(off) > 2.0**-44, "each component for itself"


def test_noise_moves_real_and_imaginary_parts_apart() -> None:
    value = np.full(5, 1 + 1e-40j)
    moved = evaluate.Noise(0)(value)
    for part in (moved.real - 1, moved.imag / 1e-40 - 1):
        assert (np.abs(part) > 2.0**-46).all() and (np.abs(part) <= 2.0**-35).all()


def test_what_is_carried_is_that_of_the_step_before() -> None:
    cell = symrnn.parse("input x[N]\nstate h[N]\noutput y\nh = x + 10 * h[t-1]\ny = h[t-2] + x[t-1]", "carried")
    x = np.arange(1.0, 4.0).reshape(3, 1, 1)
    outputs, last = evaluate.run(cell, {}, {"x": x})
    assert outputs["y"].ravel().tolist() == [0, 1, 1 + 2] and last["h"].ravel().tolist() == [123]


@pytest.mark.parametrize(("comparison", "holds"), [("<", False), (">", False), ("<=", True), (">=", True)])
def test_a_comparison_of_equals(comparison: str, holds: bool) -> None:
    cell = symrnn.parse(f"input x[N]\noutput y\ny = where(x {comparison} 0.5, 2 * x, x)", "tie")
    outputs, _ = evaluate.run(cell, {}, {"x": np.full((1, 1, 1), 0.5)})
    assert outputs["y"].item() == (1.0 if holds else 0.5)


def test_the_extremes_of_a_matrix_are_those_of_its_rows() -> None:
    W = np.array([[1.0, 5.0, 3.0], [2.0, -4.0, 0.5]])
    cell = symrnn.parse("input x[M]\noutput y, z\nparam W[M, N]\ny = x + max(W)\nz = x + min(W)", "extremes")
    outputs, _ = evaluate.run(cell, {"W": W}, {"x": np.zeros((1, 1, 2))})
    assert outputs["y"].ravel().tolist() == [5, 2] and outputs["z"].ravel().tolist() == [1, -4]
