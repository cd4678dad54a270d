"""Beck et al. 2024, mLSTM: the paper's unstabilised memory, scaled by exp(-m) only to be compared."""

import numpy as np

from ._math import sigmoid


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    x = x["x"]
    old = np.exp(s["m"])
    memory = s["C"] * old[:, None, None]
    normaliser = s["n"] * old[:, None]
    q = x @ p["W_q"].T + p["b_q"]
    k = x @ p["W_k"].T / np.sqrt(q.shape[1]) + p["b_k"]
    v = x @ p["W_v"].T + p["b_v"]
    o = sigmoid(x @ p["W_o"].T + p["b_o"])
    i = np.exp(x @ p["w_i"] + p["b_i"])
    f = sigmoid(x @ p["w_f"] + p["b_f"])
    memory = f[:, None, None] * memory + i[:, None, None] * v[:, :, None] * k[:, None, :]
    normaliser = f[:, None] * normaliser + i[:, None] * k
    read = np.einsum("bhk,bk->bh", memory, q)
    weight = np.einsum("bk,bk->b", normaliser, q)
    h = o * read / np.maximum(np.abs(weight), 1)[:, None]
    m = np.maximum(np.log(f) + s["m"], np.log(i))
    scale = np.exp(-m)
    return {"h": h}, {"C": memory * scale[:, None, None], "n": normaliser * scale[:, None], "m": m}
