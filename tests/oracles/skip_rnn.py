"""Campos et al. 2018, with a GRU inside, one sequence at a time."""

import numpy as np

from ._math import sigmoid


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    h, probability = s["h"].copy(), s["p"].copy()
    for b in range(len(h)):
        u, old = x["x"][b], h[b].copy()
        update = old_probability = probability[b]
        update = update >= 0.5
        if update:
            r = sigmoid(p["W_r"] @ u + p["U_r"] @ old + p["b_r"])
            z = sigmoid(p["W_z"] @ u + p["U_z"] @ old + p["b_z"])
            candidate = np.tanh(p["W_n"] @ u + p["U_n"] @ (r * old) + p["b_n"])
            h[b] = (1 - z) * old + z * candidate
        increment = sigmoid(p["w_p"] @ h[b] + p["b_p"])
        if update:
            probability[b] = increment
        else:
            probability[b] = old_probability + min(increment, 1 - old_probability)
    return {"h": h}, {"h": h, "p": probability}
