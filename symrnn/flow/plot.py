"""Pictures of a Flow that stand on their own, and its numbers as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from symrnn.errors import UsageError
from symrnn.flow.measure import Flow

COLOURS = ("#1f5fa8", "#2f8f6b", "#c0582b", "#7a4fa3", "#8a6d1f")


def write(flow: Flow, stem: Path) -> list[Path]:
    """`stem`.json, `stem`.png and `stem`.svg; UsageError where matplotlib is missing."""
    paths = [stem.with_suffix(s) for s in (".json", ".png", ".svg")]
    paths[0].write_text(as_json(flow), encoding="utf-8")
    figure = drawn(flow)
    for path in paths[1:]:
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
    return paths


def as_json(flow: Flow) -> str:
    """The numbers."""
    return json.dumps(flow.as_dict(), indent=1, ensure_ascii=False, allow_nan=True) + "\n"


def drawn(flow: Flow) -> Any:
    """Norms against the lag on the left; on the right the share of each path of the Jacobian."""
    try:
        import matplotlib as mpl  # noqa: PLC0415 (an optional extra)
        from matplotlib.figure import Figure  # noqa: PLC0415 (an optional extra)
    except ImportError:
        raise UsageError(
            "Pictures need matplotlib.", "Install it: pip install symrnn[demo]; the numbers do without."
        ) from None
    with mpl.rc_context(
        {
            "font.family": "DejaVu Sans",
            "font.size": 9.5,
            "svg.hashsalt": "symrnn",
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    ):
        shares = any(c.shares for c in flow.curves)
        figure = Figure(figsize=(10.5 if shares else 7, 4.4), layout="constrained")
        axes = figure.subplots(1, 2, width_ratios=(1.5, 1)) if shares else [figure.subplots()]
        _norms(axes[0], flow)
        if shares:
            _shares(axes[1], flow)
        figure.suptitle(f"{flow.cell}: what is left of a gradient after k steps back", fontsize=12, x=0.01, ha="left")
    return figure


def _norms(ax: Any, flow: Flow) -> None:
    for colour, curve in zip(COLOURS, flow.curves, strict=False):
        ax.plot(
            curve.lags,
            _clipped(curve.log_norm),
            color=colour,
            lw=1.8,
            label=f"{curve.name}   (λ₁ = {curve.exponents[0]:+.3f})",
        )
        ax.fill_between(curve.lags, _clipped(curve.lowest), _clipped(curve.highest), color=colour, alpha=0.15, lw=0)
    ax.axhline(0, color="#888888", lw=0.8, ls=":")
    ax.set_xlabel("lag k = T − t")
    ax.set_ylabel("log₁₀ ‖∂s_T / ∂s_t‖")
    ax.set_title(
        f"states stacked, size {flow.size}, {flow.seeds} seeds; λ₁ is the leading Lyapunov exponent",
        fontsize=9,
        loc="left",
    )
    ax.legend(frameon=False, title="recurrent matrices", alignment="left")


def _clipped(values: tuple[float, ...]) -> list[float]:
    return [max(-16.0, min(16.0, v)) for v in values]


def _shares(ax: Any, flow: Flow) -> None:
    labels = [label for label, _ in flow.curves[0].shares]
    height = 0.8 / len(flow.curves)
    for k, (colour, curve) in enumerate(zip(COLOURS, flow.curves, strict=False)):
        values = [share for _, share in curve.shares]
        ax.barh([n + k * height for n in range(len(labels))], values, height=height * 0.9, color=colour)
    ax.set_yticks([n + 0.4 - height / 2 for n in range(len(labels))], labels)
    ax.invert_yaxis()
    ax.set_xlim(0, 1)
    ax.set_xlabel("share of each path from a state to itself")
    ax.set_title("one step, by norm", fontsize=9, loc="left")
