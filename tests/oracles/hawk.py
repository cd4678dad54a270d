"""De et al. 2024: the RG-LRU with c = 8, times a GeLU branch."""

import numpy as np

from ._math import gelu, sigmoid


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    u = x["x"] @ p["W_u"].T
    r = sigmoid(u @ p["W_a"].T + p["b_a"])
    i = sigmoid(u @ p["W_i"].T + p["b_i"])
    a = sigmoid(p["Lambda"]) ** (8 * r)
    h = a * s["h"] + np.sqrt(1 - a * a) * i * u
    return {"y": gelu(x["x"] @ p["W_y"].T) * h}, {"h": h}
