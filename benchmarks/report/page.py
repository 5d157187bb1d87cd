"""One HTML page that needs nothing else: the table with its verdicts, then the charts."""

from __future__ import annotations

import time
from html import escape
from typing import Any

from benchmarks.report.figures import figures
from benchmarks.report.svg import draw

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #5b6470; --rule: #d9dee4; --page: #ffffff;
  --gateway: #0b62d6; --nginx: #14804a; --aiohttp: #b45309; --litellm: #a21caf; --direct: #5b6470;
  --good: #14804a; --bad: #b42318; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --soft: #9aa4b0; --rule: #333a42; --page: #14171b;
  --gateway: #6aa8ff; --nginx: #4cc38a; --aiohttp: #f0a44b; --litellm: #e08cf0; --direct: #9aa4b0;
  --good: #4cc38a; --bad: #ff8a80; } }
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1rem; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.05rem; margin: 2.2rem 0 .4rem; }
p, figcaption { color: var(--soft); } figure { margin: 0; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .6rem; border-bottom: 1px solid var(--rule); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; } th { color: var(--soft); font-weight: 600; }
.met { color: var(--good); font-weight: 600; } .missed { color: var(--bad); font-weight: 600; }
svg { width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif; }
.grid { stroke: var(--rule); } .tick { fill: var(--soft); } .name { fill: var(--ink); }
.line { fill: none; stroke-width: 2; }
"""
_CONTENDERS = ("gateway", "nginx", "aiohttp", "litellm", "direct")


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _table(result: dict[str, Any]) -> str:
    present = [name for name in _CONTENDERS if any(row["values"].get(name) for row in result["rows"])]
    heads = "".join(f"<th>{name}</th>" for name in present)
    lines = []
    for row in result["rows"]:
        cells = "".join(f"<td>{_number(row['values'].get(name))}</td>" for name in present)
        ratios, figure = row["ratios"], row["figure"]
        shown = _number(figure) + (" x" if ratios else "") if figure is not None else ""
        spread = f" ({min(ratios):.2f}-{max(ratios):.2f})" if len(ratios) > 1 else ""
        kind = {"met": "met", "goal met": "met", "missed": "missed"}.get(row["verdict"], "")
        limit = "" if row["limit"] is None else f"{row['limit']:g}"
        goal = f", goal {row['goal']:g}" if row["goal"] is not None else ""
        lines.append(
            f"<tr><td>{escape(row['name'])}</td><td>{escape(row['unit'])}</td>{cells}<td>{shown}{spread}</td>"
            f'<td>{limit}{goal}</td><td class="{kind}">{row["verdict"]}</td></tr>'
        )
    head = f"<tr><th>what</th><th>unit</th>{heads}<th>figure</th><th>limit</th><th>verdict</th></tr>"
    return f'<div class="scroll"><table>{head}{"".join(lines)}</table></div>'


def _style() -> str:
    rules = [
        f".line.{name} {{ stroke: var(--{name}); }} .dot.{name}, .bar.{name} {{ fill: var(--{name}); }}"
        for name in _CONTENDERS
    ]
    return _STYLE + "\n".join(rules)


def page(result: dict[str, Any]) -> str:
    """The page for one comparison's results."""
    machine = result["machine"]
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    about = (
        f"{machine['cpus']} processors, {escape(machine['system'])}, Python {machine['python']}; "
        f"{result['rounds']} rounds in {result['seconds']:.0f} s; {when}. "
        "Ratios are gateway to nginx within one round: median (smallest-largest)."
    )
    if result["forced"]:
        about += f" Measured on a busy machine: others kept {result['busy_before']} processors busy."
    skipped = "".join(
        f"<p>Not measured: {escape(name)} ({escape(why[:200])})</p>" for name, why in result["skipped"].items()
    )
    charts = "".join(
        f"<h2>{escape(figure.title)}</h2><figure>{draw(figure)}<figcaption>{escape(figure.unit)}</figcaption></figure>"
        for figure in figures(result)
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width, initial-scale=1"><title>Gateway benchmark</title>'
        f"<style>{_style()}</style></head><body><h1>Gateway benchmark</h1><p>{about}</p>{skipped}"
        f"{_table(result)}{charts}</body></html>"
    )
