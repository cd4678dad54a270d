"""Sun et al. 2023, recurrent retention, in complex numbers.

The memory is S = sum of gamma ** (n - m) v_m conj(k_m exp(i m theta)); its parts are S_a and -S_b.
"""

import numpy as np

GAMMA = 1 - 2.0**-5


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    x = x["x"]
    turn = np.exp(1j * t * p["theta"])
    q = (x @ p["W_qa"].T + 1j * (x @ p["W_qb"].T)) * turn
    k = (x @ p["W_ka"].T + 1j * (x @ p["W_kb"].T)) / np.sqrt(2 * q.shape[1]) * turn
    v = x @ p["W_v"].T
    memory = GAMMA * (s["S_a"] - 1j * s["S_b"]) + v[:, :, None] * np.conj(k)[:, None, :]
    y = np.real(np.einsum("bhk,bk->bh", memory, q))
    return {"y": y}, {"S_a": memory.real, "S_b": -memory.imag}
