"""Zhou et al. 2016: the forget gate resets and updates."""

import numpy as np

from ._math import sigmoid


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    x, h = x["x"], s["h"]
    f = sigmoid(h @ p["U_f"].T + x @ p["W_f"].T + p["b_f"])
    candidate = np.tanh((f * h) @ p["U_h"].T + x @ p["W_h"].T + p["b_h"])
    h = (1 - f) * h + f * candidate
    return {"h": h}, {"h": h}
