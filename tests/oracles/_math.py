"""Elementary functions for the hand-written forward steps, on NumPy alone."""

import math

import numpy as np


def sigmoid(a):
    """The logistic function."""
    return 1 / (1 + np.exp(-a))


def relu(a):
    """The positive part."""
    return np.where(a > 0, a, 0)


def softplus(a):
    """log(1 + exp(a))."""
    return np.logaddexp(0, a)


def silu(a):
    """a times its logistic function."""
    return a / (1 + np.exp(-a))


def gelu(a):
    """a times the normal distribution function, exact."""
    return np.vectorize(lambda v: 0.5 * v * (1 + math.erf(v / math.sqrt(2))))(a)


def softmax(a):
    """Exponentials divided by their sum, over the last axis."""
    e = np.exp(a - a.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)
