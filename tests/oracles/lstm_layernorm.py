"""Ba, Kiros and Hinton 2016: normalise the 4H input parts, the 4H recurrent parts, and the cell state."""

import numpy as np

from ._math import sigmoid

GATES = "ifgo"


def normalise(a):
    """Mean zero and variance one over the last axis, in the biased estimate."""
    centred = a - a.mean(axis=1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    w = np.vstack([p["W_" + gate] for gate in GATES])
    u = np.vstack([p["U_" + gate] for gate in GATES])
    gain_w = np.concatenate([p["gamma_w" + gate] for gate in GATES])
    gain_u = np.concatenate([p["gamma_u" + gate] for gate in GATES])
    bias = np.concatenate([p["b_" + gate] for gate in GATES])
    a = normalise(x["x"] @ w.T) * gain_w + normalise(s["h"] @ u.T) * gain_u + bias
    i, f, g, o = np.split(a, 4, axis=1)
    c = sigmoid(f) * s["c"] + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(normalise(c) * p["gamma_c"] + p["beta_c"])
    return {"h": h}, {"h": h, "c": c}
