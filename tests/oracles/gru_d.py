"""Che et al. 2018: input decay with a diagonal matrix, hidden decay with a full one."""

import numpy as np

from ._math import sigmoid


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    value, mask, delta = x["x"], x["m"], x["delta"]
    decay_x = np.exp(-np.maximum(0, delta * p["w_x"] + p["b_x"]))
    decay_h = np.exp(-np.maximum(0, delta @ p["W_d"].T + p["b_d"]))
    guess = decay_x * s["x_last"] + (1 - decay_x) * p["x_mean"]
    filled = mask * value + (1 - mask) * guess
    h = decay_h * s["h"]
    r = sigmoid(filled @ p["W_r"].T + h @ p["U_r"].T + mask @ p["V_r"].T + p["b_r"])
    z = sigmoid(filled @ p["W_z"].T + h @ p["U_z"].T + mask @ p["V_z"].T + p["b_z"])
    candidate = np.tanh(filled @ p["W_n"].T + (r * h) @ p["U_n"].T + mask @ p["V_n"].T + p["b_n"])
    h = (1 - z) * h + z * candidate
    return {"h": h}, {"h": h, "x_last": mask * value + (1 - mask) * s["x_last"]}
