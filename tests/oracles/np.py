"""Greff et al. 2017, NP: no peepholes."""

import numpy as np

from ._math import sigmoid


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    x, y, c = x["x"], s["y"], s["c"]
    z = np.tanh(x @ p["W_z"].T + y @ p["R_z"].T + p["b_z"])
    i = sigmoid(x @ p["W_i"].T + y @ p["R_i"].T + p["b_i"])
    f = sigmoid(x @ p["W_f"].T + y @ p["R_f"].T + p["b_f"])
    o = sigmoid(x @ p["W_o"].T + y @ p["R_o"].T + p["b_o"])
    c = i * z + f * c
    y = o * np.tanh(c)
    return {"y": y}, {"y": y, "c": c}
