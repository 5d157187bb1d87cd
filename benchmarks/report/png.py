"""The same charts as PNG files, for documents that cannot show SVG. Needs matplotlib (extra ``bench``)."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

from benchmarks.report.figures import Figure, figures

_COLOURS = {
    "gateway": "#0b62d6",
    "nginx": "#14804a",
    "aiohttp": "#b45309",
    "litellm": "#a21caf",
    "direct": "#5b6470",
}


def available() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def write(result: dict[str, Any], folder: Path) -> list[Path]:
    """Draw every chart of a comparison into ``folder``. Raises ImportError without matplotlib."""
    module: Any = importlib.import_module("matplotlib.figure")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for figure in figures(result):
        canvas = module.Figure(figsize=(7.2, 3.4), layout="constrained")
        _draw(canvas.subplots(), figure)
        path = folder / f"{figure.name}.png"
        canvas.savefig(path, dpi=150)
        written.append(path)
    return written


def _draw(axes: Any, figure: Figure) -> None:
    axes.set_title(figure.title, fontsize=10, loc="left")
    axes.grid(axis="x" if figure.kind == "bars" else "y", color="#d9dee4", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if figure.kind == "bars":
        values = [figure.series[name][0] or 0.0 for name in figure.labels]
        bars = axes.barh(figure.labels, values, color=[_COLOURS.get(name, "#5b6470") for name in figure.labels])
        axes.bar_label(bars, fmt="%.3g", padding=3)
        axes.invert_yaxis()
        axes.set_xlabel(figure.unit)
        return
    for name, points in figure.series.items():
        if any(point is not None for point in points):
            axes.plot(figure.labels, points, marker="o", label=name, color=_COLOURS.get(name, "#5b6470"))
    if figure.logarithmic:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set_ylabel(figure.unit)
    axes.legend(frameon=False, fontsize=8)
