"""Kusupati et al. 2018: h = (zeta (1 - z) + nu) * candidate + z * h, both scalars squashed."""

import numpy as np

from ._math import sigmoid


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    x, h = x["x"], s["h"]
    zeta, nu = sigmoid(p["zeta"]), sigmoid(p["nu"])
    z = sigmoid(x @ p["W"].T + h @ p["U"].T + p["b_z"])
    candidate = np.tanh(x @ p["W"].T + h @ p["U"].T + p["b_h"])
    h = (zeta * (1 - z) + nu) * candidate + z * h
    return {"h": h}, {"h": h}
