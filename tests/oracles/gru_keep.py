"""Cho et al. 2014: z keeps the old state."""

import numpy as np

from ._math import sigmoid


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    x, h = x["x"], s["h"]
    z = sigmoid(x @ p["W_z"].T + h @ p["U_z"].T + p["b_z"])
    r = sigmoid(x @ p["W_r"].T + h @ p["U_r"].T + p["b_r"])
    candidate = np.tanh(x @ p["W_n"].T + (h * r) @ p["U_n"].T + p["b_n"])
    h = candidate + z * (h - candidate)
    return {"h": h}, {"h": h}
