"""Krause et al. 2016: an LSTM that sees m = (W_m x) * (U_m h) instead of h."""

import numpy as np

from ._math import sigmoid


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    x = x["x"]
    m = (x @ p["W_m"].T) * (s["h"] @ p["U_m"].T)
    candidate = np.tanh(x @ p["W_g"].T + m @ p["U_g"].T + p["b_g"])
    i = sigmoid(x @ p["W_i"].T + m @ p["U_i"].T + p["b_i"])
    o = sigmoid(x @ p["W_o"].T + m @ p["U_o"].T + p["b_o"])
    f = sigmoid(x @ p["W_f"].T + m @ p["U_f"].T + p["b_f"])
    c = f * s["c"] + i * candidate
    h = np.tanh(c) * o
    return {"h": h}, {"h": h, "c": c}
