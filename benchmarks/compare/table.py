"""The printed table: a line a row, absolute values, the paired ratio with its spread, the verdict."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.compare.rows import Row

_COLOURS = {"goal met": "bold green", "met": "green", "missed": "bold red", "not measured": "yellow", "shown": "dim"}


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def ratio_text(row: Row) -> str:
    """The figure that is judged, with the smallest and largest of its rounds."""
    figure = row.figure
    if figure is None:
        return "-"
    if not row.ratio:
        return f"{_number(figure)} {row.unit}"
    spread = f" ({min(row.ratios):.2f}-{max(row.ratios):.2f})" if len(row.ratios) > 1 else ""
    return f"{figure:.2f} x{spread}"


def wanted_text(row: Row) -> str:
    """The limit, and the goal where there is one."""
    if row.limit is None:
        return "-"
    unit = " x" if row.ratio else f" {row.unit}"
    goal = f", goal {row.goal:g}" if row.goal is not None else ""
    return f"{'>=' if row.at_least else '<='} {row.limit:g}{unit}{goal}"


def print_table(console: Console, rows: Sequence[Row], contenders: Sequence[str]) -> None:
    """Print the rows with one column a contender."""
    table = Table(title="ratios: gateway to nginx, paired within a round: median (smallest-largest)", expand=False)
    table.add_column("what")
    table.add_column("unit")
    for name in contenders:
        table.add_column(name, justify="right")
    table.add_column("figure", justify="right")
    table.add_column("wanted")
    table.add_column("verdict")
    for row in rows:
        values = [_number(row.values.get(name)) for name in contenders]
        verdict = f"[{_COLOURS[row.verdict]}]{row.verdict}[/]"
        table.add_row(row.name, row.unit, *values, ratio_text(row), wanted_text(row), verdict)
    console.print(table)
    for row in rows:
        if row.note:
            console.print(f"  {row.name}: {row.note}")
