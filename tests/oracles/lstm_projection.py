"""Sak, Senior and Beaufays 2014: peepholes, and a projection that recurs."""

import numpy as np

from ._math import sigmoid


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    x, r, c = x["x"], s["r"], s["c"]
    i = sigmoid(x @ p["W_i"].T + r @ p["U_i"].T + c * p["p_i"] + p["b_i"])
    f = sigmoid(x @ p["W_f"].T + r @ p["U_f"].T + c * p["p_f"] + p["b_f"])
    c = f * c + i * np.tanh(x @ p["W_g"].T + r @ p["U_g"].T + p["b_g"])
    o = sigmoid(x @ p["W_o"].T + r @ p["U_o"].T + c * p["p_o"] + p["b_o"])
    r = (o * np.tanh(c)) @ p["W_r"].T
    return {"r": r}, {"r": r, "c": c}
