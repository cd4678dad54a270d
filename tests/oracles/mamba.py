"""Gu and Dao 2023: the selective recurrence, one channel at a time."""

import numpy as np

from ._math import softplus


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    x = x["x"]
    delta = softplus(x @ p["W_r"].T @ p["W_d"].T + p["b_d"])
    write, read = x @ p["W_B"].T, x @ p["W_C"].T
    h = np.empty_like(s["h"])
    y = np.empty_like(x)
    for d in range(x.shape[1]):
        keep = np.exp(-delta[:, d, None] * np.exp(p["A_log"][d]))
        h[:, d] = keep * s["h"][:, d] + delta[:, d, None] * write * x[:, d, None]
        y[:, d] = (read * h[:, d]).sum(axis=1) + p["D"][d] * x[:, d]
    return {"y": y}, {"h": h}
