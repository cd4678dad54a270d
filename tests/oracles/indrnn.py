"""Li et al. 2018: elementwise recurrence."""

import numpy as np


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    a = x["x"] @ p["W"].T + p["u"] * s["h"] + p["b"]
    h = np.maximum(a, 0)
    return {"h": h}, {"h": h}
