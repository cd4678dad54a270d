"""Peng et al. 2023, time mixing: the paper's plain sums, scaled by exp(-m) only to be compared."""

import numpy as np

from ._math import sigmoid


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    now, before = x["x"], s["x"]
    r = (p["mu_r"] * now + (1 - p["mu_r"]) * before) @ p["W_r"].T
    k = (p["mu_k"] * now + (1 - p["mu_k"]) * before) @ p["W_k"].T
    v = (p["mu_v"] * now + (1 - p["mu_v"]) * before) @ p["W_v"].T
    values, weights = s["a"] * np.exp(s["m"]), s["b"] * np.exp(s["m"])
    bonus = np.exp(p["u"] + k)
    wkv = (values + bonus * v) / (weights + bonus)
    o = (sigmoid(r) * wkv) @ p["W_o"].T
    decay = np.exp(-np.exp(p["omega"]))
    values = decay * values + np.exp(k) * v
    weights = decay * weights + np.exp(k)
    m = np.maximum(s["m"] - np.exp(p["omega"]), k)
    return {"o": o}, {"a": values * np.exp(-m), "b": weights * np.exp(-m), "m": m, "x": now}
