"""Orvieto et al. 2023, in complex numbers: h = lambda h + exp(gamma_log) B u, y = Re(C h) + D u."""

import numpy as np


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    eigenvalue = np.exp(-np.exp(p["nu"]) + 1j * np.exp(p["theta"]))
    h = eigenvalue * (s["h_re"] + 1j * s["h_im"])
    h = h + np.exp(p["gamma_log"]) * (x["x"] @ (p["B_re"] + 1j * p["B_im"]).T)
    y = (h @ (p["C_re"] + 1j * p["C_im"]).T).real + p["D"] * x["x"]
    return {"y": y}, {"h_re": h.real, "h_im": h.imag}
