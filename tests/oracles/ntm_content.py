"""Graves, Wayne and Danihelka 2014: content addressing, erase, add, read; one memory row at a time."""

import numpy as np

from ._math import sigmoid, softmax, softplus

EPS = 1e-6


def address(memory, key, strength, preference):
    """Softmax of scaled cosines plus preferences of the rows; squared lengths gain EPS."""
    cosines = np.empty(memory.shape[:2])
    for n in range(memory.shape[1]):
        row = memory[:, n]
        lengths = np.sqrt((row**2).sum(axis=1) + EPS) * np.sqrt((key**2).sum(axis=1) + EPS)
        cosines[:, n] = (row * key).sum(axis=1) / lengths
    return softmax(strength[:, None] * cosines + preference)


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    h = np.tanh(x["x"] @ p["W_h"].T + s["r"] @ p["U_h"].T + p["b_h"])
    write = address(s["M"], h @ p["W_w"].T, softplus(h @ p["v_w"] + p["b_w"]), p["s_w"])
    erase = sigmoid(h @ p["W_e"].T)
    add = h @ p["W_a"].T
    memory = s["M"].copy()
    for n in range(memory.shape[1]):
        memory[:, n] *= 1 - write[:, n, None] * erase
        memory[:, n] += write[:, n, None] * add
    read = address(memory, h @ p["W_r"].T, softplus(h @ p["v_r"] + p["b_r"]), p["s_r"])
    r = sum(read[:, n, None] * memory[:, n] for n in range(memory.shape[1]))
    return {"r": r}, {"r": r, "M": memory}
