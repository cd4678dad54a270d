"""Lee, Levy and Zettlemoyer 2017: additive memory, tanh output."""

import numpy as np

from ._math import sigmoid


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    x, h = x["x"], s["h"]
    i = sigmoid(h @ p["U_i"].T + x @ p["W_i"].T + p["b_i"])
    f = sigmoid(h @ p["U_f"].T + x @ p["W_f"].T + p["b_f"])
    c = i * (x @ p["W_c"].T) + f * s["c"]
    h = np.tanh(c)
    return {"h": h}, {"h": h, "c": c}
