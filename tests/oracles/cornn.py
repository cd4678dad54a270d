"""Rusch and Mishra 2021: y'' = tanh(W_y y + W_z y' + V u + b) - gamma y - epsilon y'."""

import numpy as np

DT, GAMMA, EPSILON = 0.042, 2.7, 4.7


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    y, z = s["y"], s["z"]
    force = np.tanh(y @ p["W_y"].T + z @ p["W_z"].T + x["x"] @ p["V"].T + p["b"])
    z = z + DT * force - DT * GAMMA * y - DT * EPSILON * z
    y = y + DT * z
    return {"y": y}, {"y": y, "z": z}
