"""Lin et al. 1996: three delays."""

import numpy as np


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    feedback = s["h"] @ p["W_1"].T + s["h_lag1"] @ p["W_2"].T + s["h_lag2"] @ p["W_3"].T
    h = np.tanh(x["x"] @ p["U"].T + feedback + p["b"])
    return {"h": h}, {"h": h, "h_lag1": s["h"], "h_lag2": s["h_lag1"]}
