"""Feng et al. 2024, minGRU."""

from ._math import sigmoid


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    z = sigmoid(x["x"] @ p["W_z"].T + p["b_z"])
    candidate = x["x"] @ p["W_h"].T + p["b_h"]
    h = (1 - z) * s["h"] + z * candidate
    return {"h": h}, {"h": h}
