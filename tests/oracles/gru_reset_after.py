"""The GRU of cuDNN: the reset gate multiplies the product, bias included; z keeps the old state."""

import numpy as np

from ._math import sigmoid


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    x, h = x["x"], s["h"]
    r = sigmoid(x @ p["W_r"].T + h @ p["U_r"].T + p["b_r"])
    z = sigmoid(x @ p["W_z"].T + h @ p["U_z"].T + p["b_z"])
    recurrent = h @ p["U_n"].T + p["b_hn"]
    candidate = np.tanh(x @ p["W_n"].T + p["b_n"] + r * recurrent)
    h = z * h + (1 - z) * candidate
    return {"h": h}, {"h": h}
