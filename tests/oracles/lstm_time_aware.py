"""Baytas et al. 2017: decompose the memory, discount the short-term part by 1 / log(e + delta)."""

import numpy as np

from ._math import sigmoid


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    u, delta, h, c = x["x"], x["delta"], s["h"], s["c"]
    short = np.tanh(c @ p["W_s"].T + p["b_s"])
    discounted = short * (1 / np.log(np.e + delta))[:, None]
    long = c - short
    adjusted = long + discounted
    f = sigmoid(u @ p["W_f"].T + h @ p["U_f"].T + p["b_f"])
    i = sigmoid(u @ p["W_i"].T + h @ p["U_i"].T + p["b_i"])
    o = sigmoid(u @ p["W_o"].T + h @ p["U_o"].T + p["b_o"])
    candidate = np.tanh(u @ p["W_g"].T + h @ p["U_g"].T + p["b_g"])
    c = f * adjusted + i * candidate
    h = o * np.tanh(c)
    return {"h": h}, {"h": h, "c": c}
