"""``top``: what a running gateway does, in a terminal, from the metrics of its internal listener."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import click
import msgspec

from gateway.cli.examples import examples
from gateway.cli.options import GAP, OperatorError, config_option, json_option, load_config
from gateway.cli.running import ask, internal_url
from gateway.telemetry.overview import Overview, OverviewTable, SlidingOverview

INTERVAL = 1.0
_BETWEEN = "    "
_NO_TERMINAL = (160, 10_000)
_TOP_OF_SCREEN = "\x1b[H\x1b[J"  # click removes it where the output is no terminal


@click.command(epilog=examples("top", "top --url http://127.0.0.1:9090", "top --once --json"))
@config_option
@click.option("--url", help="Internal listener of a running gateway. Default: the one of the configuration.")
@click.option("--once", is_flag=True, help="Write one table, of two samples a second apart, and exit.")
@json_option
def top(config_path: Path, url: str | None, *, once: bool, as_json: bool) -> None:
    """Show what a running gateway does, until Ctrl-C.

    Drawn once a second. Rates and percentiles are of the last ten seconds. A figure that is unknown is '-', one
    to look at has a '!'.
    """
    if url is None:
        url = internal_url(load_config(config_path, need_keys=False))
    if url is None:
        raise OperatorError("internal.port is 0, so it can be any: name the internal listener with --url")
    try:
        for count, found in enumerate(_overviews(url)):
            if once and not count:
                continue  # nothing to compare it with
            if as_json:
                click.echo(msgspec.json.encode(found))
            else:
                screen = shutil.get_terminal_size(_NO_TERMINAL)
                text = text_of(found, screen.columns)
                click.echo(text if once else _TOP_OF_SCREEN + _cut(text, screen.lines))
            if once:
                return
    except KeyboardInterrupt:
        return


def _overviews(url: str) -> Iterator[Overview]:
    sliding = SlidingOverview()
    while True:
        began = time.monotonic()
        try:
            text = ask(url, "/metrics").decode()
        except (OSError, ValueError):
            raise OperatorError(
                f"no gateway answers at {url}: start it, or name its internal listener with --url"
            ) from None
        if "codegrex_build_info" not in text:
            raise OperatorError(f"{url}: another program answers; name the gateway's internal listener with --url")
        yield sliding.add(text, began)
        time.sleep(max(0.0, INTERVAL - (time.monotonic() - began)))


def text_of(found: Overview, width: int) -> str:
    """The tables, side by side as far as the width goes. One that is too wide goes on below, with its names again."""
    of = "no earlier sample" if found.seconds is None else f"the last {found.seconds:.0f} s"
    lines = [f"codegrex-gateway {found.version}{GAP}rates and percentiles: {of}", ""]
    row: list[list[str]] = []
    for block in (block for table in found.tables for block in _blocks(table, width)):
        if row and sum(len(other[0]) + len(_BETWEEN) for other in row) + len(block[0]) > width:
            lines += (*_side_by_side(row), "")
            row = []
        row.append(block)
    return "\n".join((*lines, *_side_by_side(row)))


def _cut(text: str, height: int) -> str:
    """What a screen has room for; it would scroll otherwise."""
    lines = text.splitlines()
    if len(lines) < height:
        return text
    kept = max(1, height - 2)
    return "\n".join((*lines[:kept], f"{len(lines) - kept} more lines: make the terminal larger, or use --once"))


def _side_by_side(blocks: list[list[str]]) -> Iterator[str]:
    widths = [len(block[0]) for block in blocks]
    for parts in zip_longest(*blocks, fillvalue=""):
        yield _BETWEEN.join(part.ljust(width) for part, width in zip(parts, widths, strict=True)).rstrip()


def _blocks(table: OverviewTable, width: int) -> Iterator[list[str]]:
    """A table as one block of lines, or several of fewer columns if it is too wide."""
    begin = 0
    while begin < len(table.columns):
        end = len(table.columns)
        while len((block := _block(table, begin, end))[0]) > width and end > begin + 1:
            end -= 1
        yield block
        begin = end


def _block(table: OverviewTable, begin: int, end: int) -> list[str]:
    """Lines of one width, with some of the columns: a head, a rule, the rows."""
    rows = [
        (table.title, *table.columns[begin:end]),
        *((row.name, *(one.text + "!" * one.alarm for one in row.figures[begin:end])) for row in table.rows),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        GAP.join((row[0].ljust(widths[0]), *(cell.rjust(wide) for cell, wide in zip(row[1:], widths[1:], strict=True))))
        for row in rows
    ]
    return [lines[0], "-" * len(lines[0]), *lines[1:]]
