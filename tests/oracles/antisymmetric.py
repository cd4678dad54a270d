"""Chang et al. 2019: forward Euler with step 0.01 and diffusion 0.01."""

import numpy as np


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    h = s["h"]
    drift = h @ p["W"].T - h @ p["W"] - 0.01 * h
    h = h + 0.01 * np.tanh(drift + x["x"] @ p["V"].T + p["b"])
    return {"h": h}, {"h": h}
