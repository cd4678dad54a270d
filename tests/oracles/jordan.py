"""Jordan 1986: the hidden layer reads the input and the last output."""

import numpy as np

from ._math import sigmoid


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    hidden = np.tanh(x["x"] @ p["U"].T + s["y"] @ p["W"].T + p["b"])
    y = sigmoid(hidden @ p["V"].T + p["c"])
    return {"y": y}, {"y": y}
