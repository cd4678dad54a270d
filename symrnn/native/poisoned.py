"""Memory for a check: what nobody has written yet is NaN, so that reading it shows."""

from __future__ import annotations

from typing import Any

import numpy as np


class Poisoned:
    """NumPy whose new arrays of numbers are NaN."""

    def empty(self, shape: Any, dtype: Any = float) -> Any:
        return np.full(shape, np.nan if np.dtype(dtype).kind == "f" else 0, dtype)

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def scratch(name: str, shape: Any, dtype: Any) -> Any:
    """Scratch memory that remembers nothing of the call before, under any name."""
    return np.full(shape, np.nan, dtype)
