"""Mikolov et al. 2014: context units with alpha = 0.95, read by the hidden units of the same step."""

import numpy as np

from ._math import sigmoid


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    context = 0.05 * (x["x"] @ p["B"].T) + 0.95 * s["s"]
    hidden = sigmoid(context @ p["P"].T + x["x"] @ p["A"].T + s["h"] @ p["R"].T)
    return {"y": np.hstack([hidden, context])}, {"h": hidden, "s": context}
