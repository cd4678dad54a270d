"""Greff et al. 2017, NOG: no output gate."""

import numpy as np

from ._math import sigmoid


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    x, y, c = x["x"], s["y"], s["c"]
    z = np.tanh(x @ p["W_z"].T + y @ p["R_z"].T + p["b_z"])
    i = sigmoid(x @ p["W_i"].T + y @ p["R_i"].T + p["p_i"] * c + p["b_i"])
    f = sigmoid(x @ p["W_f"].T + y @ p["R_f"].T + p["p_f"] * c + p["b_f"])
    c = i * z + f * c
    y = np.tanh(c)
    return {"y": y}, {"y": y, "c": c}
