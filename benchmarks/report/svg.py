"""Charts as inline SVG: no script, no font, no address; colours come from the page's style sheet."""

from __future__ import annotations

import math
from html import escape

from benchmarks.report.figures import Figure

WIDTH, HEIGHT = 720, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 130, 16, 40


def draw(figure: Figure) -> str:
    """The chart as one ``<svg>`` element."""
    inner = _bars(figure) if figure.kind == "bars" else _lines(figure)
    height = _bars_height(figure) if figure.kind == "bars" else HEIGHT
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(figure.title)}" '
        f'xmlns="http://www.w3.org/2000/svg">{inner}</svg>'
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _ticks(low: float, high: float, *, logarithmic: bool) -> list[float]:
    if logarithmic:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        return [10.0**power for power in range(first, last + 1)]
    step = 10.0 ** math.floor(math.log10(high or 1))
    if high / step < 2:
        step /= 5
    elif high / step < 5:
        step /= 2
    return [step * index for index in range(math.ceil(high / step) + 1)]


def _lines(figure: Figure) -> str:
    values = [value for points in figure.series.values() for value in points if value]
    ticks = _ticks(min(values), max(values), logarithmic=figure.logarithmic)
    low, high = ticks[0], ticks[-1]

    def x(index: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (index / max(1, len(figure.labels) - 1))

    def y(value: float) -> float:
        part = (
            (math.log10(value) - math.log10(low)) / (math.log10(high) - math.log10(low))
            if figure.logarithmic
            else (value - low) / (high - low)
        )
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * part

    out = []
    for tick in ticks:
        out.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        out.append(f'<text class="tick" x="{LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for index, label in enumerate(figure.labels):
        out.append(
            f'<text class="tick" x="{x(index):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{label}</text>'
        )
    ends: list[float] = []
    for name, points in figure.series.items():
        known = [(x(index), y(value), value) for index, value in enumerate(points) if value]
        if not known:
            continue
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py, _ in known)
        out.append(f'<polyline class="line {name}" points="{path}"/>')
        for px, py, value in known:
            tip = f"<title>{name}: {_number(value)}</title>"
            out.append(f'<circle class="dot {name}" cx="{px:.1f}" cy="{py:.1f}" r="3.5">{tip}</circle>')
        end = known[-1][1] + 4
        while any(abs(end - other) < 14 for other in ends):
            end += 7
        ends.append(end)
        out.append(
            f'<text class="name" x="{known[-1][0] + 10:.1f}" y="{end:.1f}">{name} {_number(known[-1][2])}</text>'
        )
    return "".join(out)


def _bars_height(figure: Figure) -> int:
    return 16 + 30 * len(figure.labels)


def _bars(figure: Figure) -> str:
    most = max(value for points in figure.series.values() for value in points if value)
    out = []
    for index, name in enumerate(figure.labels):
        value = figure.series[name][0] or 0.0
        top = 8 + 30 * index
        width = max(1.0, (WIDTH - 90 - RIGHT) * value / most)
        out.append(f'<text class="name" x="80" y="{top + 16}" text-anchor="end">{name}</text>')
        out.append(f'<rect class="bar {name}" x="90" y="{top}" width="{width:.1f}" height="22" rx="2"/>')
        out.append(
            f'<text class="tick" x="{96 + width:.1f}" y="{top + 16}">{_number(value)} {escape(figure.unit)}</text>'
        )
    return "".join(out)
