"""Lei et al. 2018: light recurrence and highway."""

from ._math import sigmoid


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    x, c_old = x["x"], s["c"]
    f = sigmoid(x @ p["W_f"].T + c_old * p["v_f"] + p["b_f"])
    c = f * c_old + (1 - f) * (x @ p["W"].T)
    r = sigmoid(x @ p["W_r"].T + c_old * p["v_r"] + p["b_r"])
    h = r * c + (1 - r) * x
    return {"h": h}, {"c": c}
