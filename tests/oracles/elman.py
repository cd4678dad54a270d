"""Elman 1990: the hidden layer reads the input and its own last value."""

import numpy as np


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    h = np.tanh(x["x"] @ p["U"].T + s["h"] @ p["W"].T + p["b"])
    return {"h": h}, {"h": h}
