"""Van der Westhuizen and Lasenby 2018, with beta = 1."""

import numpy as np

from ._math import sigmoid


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    x, c = x["x"], s["h"]
    a = c @ p["U_f"].T + x @ p["W_f"].T + p["b_f"]
    candidate = np.tanh(c @ p["U_c"].T + x @ p["W_c"].T + p["b_c"])
    c = sigmoid(a) * c + (1 - sigmoid(a - 1)) * candidate
    return {"h": c}, {"h": c}
