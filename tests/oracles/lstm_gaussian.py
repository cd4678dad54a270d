"""Thornton, Anumula and Liu 2019: an LSTM behind a time gate exp(-(t - mu)^2 / sigma^2)."""

import numpy as np

from ._math import sigmoid


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    x, h, c = x["x"], s["h"], s["c"]
    gate = np.exp(-((t - p["mu"]) ** 2) / p["sigma"] ** 2)
    i = sigmoid(x @ p["W_i"].T + h @ p["U_i"].T + p["b_i"])
    f = sigmoid(x @ p["W_f"].T + h @ p["U_f"].T + p["b_f"])
    o = sigmoid(x @ p["W_o"].T + h @ p["U_o"].T + p["b_o"])
    proposed_c = f * c + i * np.tanh(x @ p["W_g"].T + h @ p["U_g"].T + p["b_g"])
    proposed_h = o * np.tanh(proposed_c)
    c = gate * proposed_c + (1 - gate) * c
    h = gate * proposed_h + (1 - gate) * h
    return {"h": h}, {"h": h, "c": c}
