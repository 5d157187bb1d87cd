"""The report as people read it: a table on the terminal, and one page of HTML that needs nothing else."""

from __future__ import annotations

from html import escape

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tests.privacy.report import ABSENT, HELD, UNPROVEN, Row, Sink, Verdict

STYLE = """
:root { color-scheme: light dark; --ink: #1d2227; --soft: #5c6670; --line: #d9dee3; --page: #fff; --band: #f5f7f8;
  --good: #1a7441; --bad: #b3261e; --warn: #8a5a00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7ea; --soft: #98a2ac; --line: #353c43; --page: #15181b;
  --band: #1c2024; --good: #63c08a; --bad: #f2857c; --warn: #e0b15a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.5rem 4rem; max-width: 72rem; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", "Noto Sans", sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; font-weight: 650; }
h2 { font-size: 1.1rem; margin: 2.5rem 0 .5rem; font-weight: 650; }
p { margin: 0 0 .75rem; max-width: 46rem; }
.soft, caption { color: var(--soft); }
table { width: 100%; min-width: 52rem; table-layout: fixed; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { overflow-wrap: anywhere; }
th, td { text-align: left; vertical-align: top; padding: .5rem .75rem .5rem 0; border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--soft); font-size: .85rem; border-bottom-color: var(--soft); }
th.number, td.number { text-align: right; padding-right: 1.25rem; white-space: nowrap; }
td.name { font-weight: 550; }
td small { display: block; color: var(--soft); font-size: .85rem; }
.held, .clean { color: var(--good); } .broken { color: var(--bad); font-weight: 700; }
.unproven, .absent { color: var(--warn); font-weight: 650; }
.state { white-space: nowrap; }
.scroll { overflow-x: auto; }
.verdict { display: inline-block; padding: .15rem .6rem; border: 1px solid currentColor; border-radius: .25rem;
  font-weight: 650; margin: .5rem 0 1rem; }
details { margin: .25rem 0; } summary { cursor: pointer; color: var(--soft); }
ul { margin: .25rem 0 .75rem; padding-left: 1.25rem; columns: 2 20rem; }
ul.faults { columns: 1; } li { break-inside: avoid; overflow-wrap: anywhere; }
@media print { :root { --ink: #000; --soft: #444; --line: #bbb; --page: #fff; --good: #000; --bad: #000; --warn: #000; }
  body { padding: 0; max-width: none; font-size: 10pt; } tr { break-inside: avoid; } .scroll { overflow: visible; } table { min-width: 0; }
  details > ul { display: block; } }
"""


def caught(row: Row) -> str:
    if not row.controls:
        return "-"
    return "yes" if row.caught == row.controls else f"NO: {row.caught} of {row.controls}"


def terminal(verdict: Verdict, console: Console) -> None:
    table = Table(box=SIMPLE_HEAD, title="What was promised, and what was found")
    for name, justify in (("guarantee", "left"), ("paths tried", "right"), ("sinks searched", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    table.add_column("hits", justify="right")
    table.add_column("control caught")
    table.add_column("")
    for row in verdict.rows:
        colour = {HELD: "green", ABSENT: "yellow", UNPROVEN: "yellow"}.get(row.state, "bold red")
        cells = ("-",) * 4 if row.state == ABSENT else _cells(row)
        table.add_row(row.guarantee, *cells, f"[{colour}]{row.state}[/]")
    console.print(table)
    for row in verdict.rows:
        for text in (*row.failed, *row.hits):
            console.print(f"[bold red]{row.guarantee}[/]: {text}", soft_wrap=True)
        for text in row.skipped:
            console.print(f"[yellow]{row.guarantee}: a part did not run[/]: {text}", soft_wrap=True)
        if row.state == ABSENT:
            console.print(f"[yellow]NOT BUILT[/]: {row.guarantee}: {row.control}", soft_wrap=True)
    for sink in verdict.sinks:
        for leak in set(sink.controls) - set(sink.caught):
            console.print(f"[bold red]not caught[/]: the leak {leak} into {sink.name}")


def _cells(row: Row) -> tuple[str, str, str, str]:
    answer = caught(row)
    if answer == "yes" and row.controls > 1:
        answer = f"yes ({row.controls})"
    return str(row.paths), str(len(row.sinks)), str(len(row.hits)), answer


def page(verdict: Verdict, facts: dict[str, str]) -> str:
    """The whole page. ``facts`` stand under its title."""
    good = verdict.good
    word = "Every guarantee that is built held, every control was caught" if good else "Not every guarantee held"
    about = " · ".join(f"{escape(name)} {escape(value)}" for name, value in facts.items())
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Privacy report</title><style>{STYLE}</style></head>
<body>
<h1>Privacy report</h1>
<p class="soft">{about}</p>
<p class="verdict {"held" if good else "broken"}">{word}</p>
<p>Random markers were planted in every place of a request and an answer, then looked for wherever a gateway could have
kept them, in every encoding, compression and digest. A control is a fault made on purpose: where the search does not
find that one, finding nothing means nothing. <code>make privacy</code> makes this page anew.</p>
<h2>Guarantees</h2>
<div class="scroll"><table>
<colgroup><col style="width:25%"><col style="width:10%"><col style="width:28%"><col style="width:7%">
<col style="width:19%"><col style="width:11%"></colgroup>
<thead><tr><th>Guarantee</th><th class="number">Paths tried</th><th>Sinks searched</th><th class="number">Hits</th>
<th>Control caught</th><th>State</th></tr></thead>
<tbody>{"".join(_guarantee(row) for row in verdict.rows)}</tbody></table></div>
{_faults(verdict)}
<h2>Sinks of the hunt</h2>
<p class="soft">Bytes are summed over all runs of a gateway. A leak is a line of code that writes the marker there.</p>
<div class="scroll"><table>
<colgroup><col style="width:25%"><col style="width:15%"><col style="width:10%"><col></colgroup>
<thead><tr><th>Sink</th><th class="number">Bytes searched</th><th class="number">Hits</th><th>Leaks caught</th></tr></thead>
<tbody>{"".join(_sink(sink) for sink in verdict.sinks)}</tbody></table></div>
<h2>Paths of the hunt</h2>
{"".join(_paths(row) for row in verdict.rows if row.tried)}
</body></html>
"""


def _guarantee(row: Row) -> str:
    if row.state == ABSENT:
        return (
            f'<tr><td class="name">{escape(row.guarantee)}</td><td class="number">-</td><td>{escape(row.control)}</td>'
            f'<td class="number">-</td><td>-</td><td class="state absent">{row.state}</td></tr>'
        )
    notes = [f"<small>A part did not run: {escape(text)}</small>" for text in row.skipped]
    sinks = f"{len(row.sinks)}<small>{escape(', '.join(row.sinks))}</small>"
    answer = caught(row)
    count = f" ({row.caught} of {row.controls})" if answer == "yes" and row.controls > 1 else ""
    kind = {HELD: "held", UNPROVEN: "unproven"}.get(row.state, "broken")
    return (
        f'<tr><td class="name">{escape(row.guarantee)}{"".join(notes)}</td><td class="number">{row.paths}</td>'
        f'<td>{sinks}</td><td class="number {"broken" if row.hits else "clean"}">{len(row.hits)}</td>'
        f'<td class="{"" if answer == "yes" else "broken"}">{answer}{count}<small>{escape(row.control)}</small></td>'
        f'<td class="state {kind}">{row.state}</td></tr>'
    )


def _faults(verdict: Verdict) -> str:
    texts = [f"{row.guarantee}: {text}" for row in verdict.rows for text in (*row.hits, *row.failed)]
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f'<h2 class="broken">What was found</h2><ul class="faults">{items}</ul>' if texts else ""


def _sink(sink: Sink) -> str:
    missed = [leak for leak in sink.controls if leak not in sink.caught]
    leaks = escape(", ".join(sink.caught)) or '<span class="soft">none is made</span>'
    if missed:
        leaks += f' <span class="broken">MISSED: {escape(", ".join(missed))}</span>'
    return (
        f'<tr><td class="name">{escape(sink.name)}</td><td class="number">{sink.searched:,}</td>'
        f'<td class="number {"broken" if sink.hits else "clean"}">{sink.hits}</td><td>{leaks}</td></tr>'
    )


def _paths(row: Row) -> str:
    items = "".join(f"<li>{escape(path)}</li>" for path in row.tried)
    return f"<details><summary>{escape(row.guarantee)}: {row.paths}</summary><ul>{items}</ul></details>"
