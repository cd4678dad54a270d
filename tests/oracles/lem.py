"""Rusch et al. 2022: Dt_n, its bar, z_n, then y_n from z_n, with Dt = 1."""

import numpy as np

from ._math import sigmoid


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    u, y, z = x["x"], s["y"], s["z"]
    step_z = 1.0 * sigmoid(y @ p["W_1"].T + u @ p["V_1"].T + p["b_1"])
    step_y = 1.0 * sigmoid(y @ p["W_2"].T + u @ p["V_2"].T + p["b_2"])
    z = z + step_z * (np.tanh(y @ p["W_z"].T + u @ p["V_z"].T + p["b_z"]) - z)
    y = y + step_y * (np.tanh(z @ p["W_y"].T + u @ p["V_y"].T + p["b_y"]) - y)
    return {"y": y}, {"y": y, "z": z}
