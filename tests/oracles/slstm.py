"""Beck et al. 2024, sLSTM: the paper's unstabilised sums, scaled by exp(-m) only to be compared.

With C and N the unstabilised cell state and normaliser, c = C exp(-m) and n = N exp(-m).
"""

import numpy as np

from ._math import sigmoid


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    x, h = x["x"], s["h"]
    cell = s["c"] * np.exp(s["m"])
    normaliser = s["n"] * np.exp(s["m"])
    z = np.tanh(x @ p["W_z"].T + h @ p["R_z"].T + p["b_z"])
    o = sigmoid(x @ p["W_o"].T + h @ p["R_o"].T + p["b_o"])
    i = np.exp(x @ p["W_i"].T + h @ p["R_i"].T + p["b_i"])
    f = sigmoid(x @ p["W_f"].T + h @ p["R_f"].T + p["b_f"])
    cell = f * cell + i * z
    normaliser = f * normaliser + i
    h = o * cell / normaliser
    m = np.maximum(np.log(f) + s["m"], np.log(i))
    return {"h": h}, {"h": h, "c": cell * np.exp(-m), "n": normaliser * np.exp(-m), "m": m}
