"""The LSTM with the output taken from the old cell state."""

import numpy as np

from ._math import sigmoid


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    x, h, c_old = x["x"], s["h"], s["c"]
    i = sigmoid(x @ p["W_i"].T + h @ p["U_i"].T + p["b_i"])
    f = sigmoid(x @ p["W_f"].T + h @ p["U_f"].T + p["b_f"])
    o = sigmoid(x @ p["W_o"].T + h @ p["U_o"].T + p["b_o"])
    g = np.tanh(x @ p["W_g"].T + h @ p["U_g"].T + p["b_g"])
    h = o * np.tanh(c_old)
    return {"h": h}, {"h": h, "c": f * c_old + i * g}
