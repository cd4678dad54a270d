"""Pascanu et al. 2013, algorithm 1, on all gradients stacked."""

import numpy as np


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    both = np.concatenate([x["a"], x["b"]], axis=-1)
    norm = np.linalg.norm(both, axis=-1, keepdims=True)
    clipped = np.where(norm < p["limit"], both, both * p["limit"] / norm)
    n = x["a"].shape[-1]
    return {"y_a": clipped[:, :n], "y_b": clipped[:, n:]}, {}
