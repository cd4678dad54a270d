"""The LSTM with one matrix a gate; the columns of each are those of h, then those of x."""

import numpy as np

from ._math import sigmoid


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    hx = np.concatenate([s["h"], x["x"]], axis=1)
    f = sigmoid(hx @ p["W_f"].T + p["b_f"])
    i = sigmoid(hx @ p["W_i"].T + p["b_i"])
    candidate = np.tanh(hx @ p["W_g"].T + p["b_g"])
    c = f * s["c"] + i * candidate
    o = sigmoid(hx @ p["W_o"].T + p["b_o"])
    h = o * np.tanh(c)
    return {"h": h}, {"h": h, "c": c}
