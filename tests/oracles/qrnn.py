"""Bradbury et al. 2016: width two, fo-pooling."""

import numpy as np

from ._math import sigmoid


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    window = np.concatenate([s["x"], x["x"]], axis=1)
    z = np.tanh(window @ np.hstack([p["V_z"], p["W_z"]]).T)
    f = sigmoid(window @ np.hstack([p["V_f"], p["W_f"]]).T)
    o = sigmoid(window @ np.hstack([p["V_o"], p["W_o"]]).T)
    c = f * s["c"] + (1 - f) * z
    return {"h": o * c}, {"c": c, "x": x["x"]}
