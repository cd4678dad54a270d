"""Memory blocks (Hochreiter and Schmidhuber 1997), one block and one cell at a time.

The cells' weights are w[block, cell, source]; h is a linear projection of all cell outputs.
"""

import numpy as np

from ._math import sigmoid


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    x, h, c = x["x"], s["h"], s["c"]
    blocks, cells = c.shape[1:]
    new_c = np.empty_like(c)
    new_h = np.zeros_like(h)
    for j in range(blocks):
        i = sigmoid(x @ p["W_i"][j] + h @ p["U_i"][j] + p["b_i"][j])
        f = sigmoid(x @ p["W_f"][j] + h @ p["U_f"][j] + p["b_f"][j])
        o = sigmoid(x @ p["W_o"][j] + h @ p["U_o"][j] + p["b_o"][j])
        for v in range(cells):
            z = np.tanh(x @ p["W_z"][j, v] + h @ p["U_z"][j, v] + p["b_z"][j, v])
            new_c[:, j, v] = f * c[:, j, v] + i * z
            y = o * np.tanh(new_c[:, j, v])
            new_h += np.outer(y, p["W_h"][:, j, v])
    return {"h": new_h}, {"h": new_h, "c": new_c}
