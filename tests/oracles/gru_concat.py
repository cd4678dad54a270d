"""The GRU with one matrix a gate; the columns of each are those of h, then those of x."""

import numpy as np

from ._math import sigmoid


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    x, h = x["x"], s["h"]
    hx = np.hstack([h, x])
    z = sigmoid(hx @ p["W_z"].T + p["b_z"])
    r = sigmoid(hx @ p["W_r"].T + p["b_r"])
    candidate = np.tanh(np.hstack([r * h, x]) @ p["W_n"].T + p["b_n"])
    h = (1 - z) * h + z * candidate
    return {"h": h}, {"h": h}
