"""A linear layer."""


def step(p, x, s, t):
    """One step; returns outputs and carried values."""
    return {"o": x["h"] @ p["V"].T + p["c"]}, {}
