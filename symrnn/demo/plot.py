"""The one picture of the demo: how the loss fell, and what it had to beat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from symrnn.demo.text import Baselines

BLUE, GREY, RED = "#1f5fa8", "#777777", "#b3261e"


def plot(path: Path, title: str, *, losses: list[float], characters: int, held_out: float, known: Baselines) -> None:
    """Write a PNG: training loss over characters read, held-out loss at the end, baselines as lines.

    `losses` are in bits a character, one for every update; `characters` is how many were read in all.
    """
    import matplotlib  # noqa: PLC0415 (the only use of an optional package)

    matplotlib.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415

    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    read = np.linspace(0, characters, len(losses) + 1)[1:] / 1e6
    axes.plot(read, losses, color=BLUE, alpha=0.25, linewidth=0.8)
    axes.plot(read, _smoothed(losses), color=BLUE, label="network, training text")
    axes.plot(
        read[-1:], [held_out], "o", color=RED, zorder=3, clip_on=False, label=f"network, held out: {held_out:.2f}"
    )
    for name, bits in (("unigram", known.unigram), ("bigram", known.bigram)):
        axes.axhline(bits, color=GREY, linestyle="--", linewidth=1)
        axes.annotate(f"{name}, held out: {bits:.2f}", (1, bits), (-6, 4), **_AT_RIGHT)
    axes.set(title=title, xlabel="characters read (millions)", ylabel="loss (bits per character)")
    axes.set(xlim=(0, read[-1]), ylim=(0, max(6.0, known.unigram * 1.15)))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


_AT_RIGHT: dict[str, Any] = {
    "xycoords": ("axes fraction", "data"),
    "textcoords": "offset points",
    "ha": "right",
    "color": GREY,
}


def _smoothed(losses: list[float], weight: float = 0.95) -> list[float]:
    """Exponential average that does not remember a start at zero."""
    smooth, mean, total = [], 0.0, 0.0
    for loss in losses:
        mean, total = weight * mean + (1 - weight) * loss, weight * total + (1 - weight)
        smooth.append(mean / total)
    return smooth
