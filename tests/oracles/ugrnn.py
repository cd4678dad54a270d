"""Collins, Sohl-Dickstein and Sussillo 2016: the update gate RNN."""

import numpy as np

from ._math import sigmoid


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    x, h = x["x"], s["h"]
    c = np.tanh(h @ p["U_c"].T + x @ p["W_c"].T + p["b_c"])
    g = sigmoid(h @ p["U_g"].T + x @ p["W_g"].T + p["b_g"])
    h = g * h + (1 - g) * c
    return {"h": h}, {"h": h}
