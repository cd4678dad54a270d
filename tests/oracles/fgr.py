"""Greff et al. 2017, FGR: nine more matrices, R_ab from gate a to gate b."""

import numpy as np

from ._math import sigmoid


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    x, y, c = x["x"], s["y"], s["c"]
    i_old, f_old, o_old = s["i"], s["f"], s["o"]
    from_gates = {
        gate: i_old @ p["R_i" + gate].T + f_old @ p["R_f" + gate].T + o_old @ p["R_o" + gate].T for gate in "ifo"
    }
    z = np.tanh(x @ p["W_z"].T + y @ p["R_z"].T + p["b_z"])
    i = sigmoid(x @ p["W_i"].T + y @ p["R_i"].T + p["p_i"] * c + p["b_i"] + from_gates["i"])
    f = sigmoid(x @ p["W_f"].T + y @ p["R_f"].T + p["p_f"] * c + p["b_f"] + from_gates["f"])
    c = i * z + f * c
    o = sigmoid(x @ p["W_o"].T + y @ p["R_o"].T + p["p_o"] * c + p["b_o"] + from_gates["o"])
    y = o * np.tanh(c)
    return {"y": y}, {"y": y, "c": c, "i": i, "f": f, "o": o}
