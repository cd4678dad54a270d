"""Henaff et al. 2017: the dynamic memory, one slot at a time; slope 0.01 below zero."""

import numpy as np

from ._math import sigmoid


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    x, h = x["x"], s["h"]
    new = np.empty_like(h)
    for j in range(h.shape[1]):
        slot, key = h[:, j], p["w"][j]
        gate = sigmoid((x * slot).sum(axis=1) + x @ key)
        a = slot @ p["U"].T + key @ p["V"].T + x @ p["W"].T
        slot = slot + gate[:, None] * np.where(a > 0, a, 0.01 * a)
        new[:, j] = slot / np.sqrt((slot**2).sum(axis=1, keepdims=True))
    return {"h": new}, {"h": new}
