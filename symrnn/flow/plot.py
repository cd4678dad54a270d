"""Pictures of a Flow that stand on their own, and its numbers as JSON."""

from __future__ import annotations

import json
import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from symrnn.flow.measure import Curve, Flow
from symrnn.flow.runs import INITIALISATIONS

COLOURS = ("#1f5fa8", "#2f8f6b", "#c0582b", "#7a4fa3", "#8a6d1f", "#c2185b")
DECADES = 20.0


def write(flow: Flow, stem: Path) -> list[Path]:
    """`stem`.json, and where matplotlib is installed `stem`.png and `stem`.svg."""
    paths = [stem.with_suffix(s) for s in (".json", ".png", ".svg")]
    paths[0].write_text(as_json(flow), encoding="utf-8")
    if not can_draw():
        return paths[:1]
    figure = drawn(flow)
    for path in paths[1:]:
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
    return paths


def as_json(flow: Flow) -> str:
    """The numbers; null where a gradient is exactly zero and has no logarithm."""
    return json.dumps(_finite(flow.as_dict()), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _finite(data: Any) -> Any:
    match data:
        case dict():
            return {k: _finite(v) for k, v in data.items()}
        case list() | tuple():
            return [_finite(v) for v in data]
        case float():
            return data if math.isfinite(data) else None
    return data


def can_draw() -> bool:
    """Is matplotlib there? It comes with the extra `demo` only."""
    return find_spec("matplotlib") is not None


def drawn(flow: Flow) -> Any:
    """Norms against the lag, a panel for each setting; then the share of each path, where there are several."""
    import matplotlib as mpl  # noqa: PLC0415 (an optional extra)
    from matplotlib.figure import Figure  # noqa: PLC0415 (an optional extra)

    with mpl.rc_context(
        {
            "font.family": "DejaVu Sans",
            "font.size": 9.5,
            "svg.hashsalt": "symrnn",
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    ):
        settings = list(dict.fromkeys(c.setting for c in flow.curves))
        colours = dict(zip(dict.fromkeys(c.name for c in flow.curves), COLOURS, strict=False))
        shares = len(flow.curves[0].shares) > 1
        figure = Figure(figsize=(4.6 * len(settings) + 4 * shares, 4.8), layout="constrained")
        axes = figure.subplots(1, len(settings) + shares, squeeze=False)[0]
        for ax, setting in zip(axes, settings, strict=False):
            _norms(ax, [c for c in flow.curves if c.setting == setting], setting, colours)
        axes[0].set_ylabel("log₁₀ ‖∂s_T / ∂s_t‖")
        if shares:
            _shares(axes[-1], [c for c in flow.curves if c.setting == settings[-1]], colours)
        named = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
        figure.legend(named.values(), named.keys(), loc="outside lower left", ncols=6, frameon=False)
        figure.suptitle(
            f"{flow.cell}: what is left of a gradient after k steps back   "
            f"(size {flow.size}, mean and range of {flow.seeds} seeds)",
            fontsize=11.5, x=0.01, ha="left",
        )  # fmt: skip
    return figure


def _norms(ax: Any, curves: list[Curve], setting: str, colours: dict[str, str]) -> None:
    for curve in curves:
        colour = colours[curve.name]
        width = 1.7 if curve.name in (*INITIALISATIONS, "none") else 3.2
        ax.plot(curve.lags, curve.log_norm, color=colour, label=curve.name, lw=width)
        ax.fill_between(curve.lags, curve.lowest, curve.highest, color=colour, alpha=0.13, lw=0)
    ax.axhline(0, color="#888888", lw=0.8, ls=":")
    shown = [v for c in curves for v in (*c.log_norm, 0.0) if -DECADES < v < DECADES]
    ax.set_ylim(min(shown) - 1, max(shown) + 1)
    ax.set_xlabel("lag k = T − t")
    ax.set_title(setting, fontsize=10, loc="left")


def _shares(ax: Any, curves: list[Curve], colours: dict[str, str]) -> None:
    labels = [label for label, _ in curves[0].shares]
    height = 0.8 / len(curves)
    for k, curve in enumerate(curves):
        values = [share for _, share in curve.shares]
        ax.barh([n + k * height for n in range(len(labels))], values, height=height * 0.9, color=colours[curve.name])
    ax.set_yticks([n + 0.4 - height / 2 for n in range(len(labels))], labels)
    ax.invert_yaxis()
    ax.set_xlim(0, 1)
    ax.set_xlabel("share of a path from a state to itself, one step")
    ax.set_title(curves[0].setting, fontsize=10, loc="left")
