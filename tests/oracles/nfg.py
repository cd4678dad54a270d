"""Greff et al. 2017, NFG: no forget gate."""

import numpy as np

from ._math import sigmoid


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    x, y, c = x["x"], s["y"], s["c"]
    z = np.tanh(x @ p["W_z"].T + y @ p["R_z"].T + p["b_z"])
    i = sigmoid(x @ p["W_i"].T + y @ p["R_i"].T + p["p_i"] * c + p["b_i"])
    c = i * z + c
    o = sigmoid(x @ p["W_o"].T + y @ p["R_o"].T + p["p_o"] * c + p["b_o"])
    y = o * np.tanh(c)
    return {"y": y}, {"y": y, "c": c}
