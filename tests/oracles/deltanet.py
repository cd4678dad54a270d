"""Yang et al. 2024: S (1 - beta k k') + beta v k', unit keys and queries."""

import numpy as np

from ._math import sigmoid, silu


def unit(a):
    """a divided by its length."""
    return a / np.linalg.norm(a, axis=1, keepdims=True)


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    x = x["x"]
    q, k = unit(silu(x @ p["W_q"].T)), unit(silu(x @ p["W_k"].T))
    v = silu(x @ p["W_v"].T)
    beta = sigmoid(x @ p["w_beta"])[:, None, None]
    forget = np.eye(k.shape[1]) - beta * k[:, :, None] * k[:, None, :]
    memory = s["S"] @ forget + beta * v[:, :, None] * k[:, None, :]
    return {"y": np.einsum("bhk,bk->bh", memory, q)}, {"S": memory}
