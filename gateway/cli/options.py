"""What the commands share: options, values as people write them, faults, tables."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import IO, Any

import click
import orjson

from gateway.config import Config, ConfigError
from gateway.config.load import check_data_dir, load
from metering.clock import DAY_SECONDS
from metering.numbers import whole_number
from metering.usage import LARGEST_AMOUNT, MICRO_CREDITS

WIDEST = 10_000  # without a terminal, a table is as wide as needed
GAP = "  "

_DURATION = re.compile(r"(\d{1,9})([smhd])")
_NUMBER = re.compile(r"-?[0-9,]+(?:\.[0-9]+)?")
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": DAY_SECONDS}

config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("gateway.toml"),
    show_default=True,
    envvar="CODEGREX_CONFIG",
    help="Configuration file.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON, one object per line.")


class OperatorError(click.ClickException):
    """Something that the operator can fix: one line each on standard error, exit code 1."""

    exit_code = 1

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines

    def show(self, file: IO[Any] | None = None) -> None:
        for line in self.lines:
            click.echo(f"error: {line}", file=file, err=file is None)


class CreditsParam(click.ParamType[int]):
    """Whole or decimal credits as micro-credits."""

    name = "credits"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            amount = Decimal(value) * MICRO_CREDITS
        except InvalidOperation:
            self.fail("state a number of credits, such as 500 or 2.5", param, ctx)
        if not amount.is_finite() or not 0 <= amount <= LARGEST_AMOUNT or amount != int(amount):
            self.fail("state credits of 0 or more, with at most 6 decimals", param, ctx)
        return int(amount)


class Duration(click.ParamType[int]):
    """A span as seconds: ``90``, ``15m``, ``24h``, ``30d``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = _DURATION.fullmatch(value if whole_number(value) is None else value + "s")
        if match is None or int(match[1]) == 0:
            self.fail("state a duration such as 900, 15m, 24h or 30d", param, ctx)
        return int(match[1]) * _UNITS[match[2]]


class Since(click.ParamType[int]):
    """A moment as Unix milliseconds: a date or time in ISO 8601 (UTC unless it says so), or a span ago."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if match := _DURATION.fullmatch(value):
            moment = datetime.now(UTC) - timedelta(seconds=int(match[1]) * _UNITS[match[2]])
        else:
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                self.fail("state a date, a time such as 2026-01-31T12:00Z, or a duration such as 24h", param, ctx)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0, int(moment.timestamp() * 1_000))


def load_config(path: Path, *, need_keys: bool = True) -> Config:
    """The checked configuration, whose data directory can be used. Raises `OperatorError` with every line of what is
    wrong.
    """
    try:
        config = load(path, need_keys=need_keys)
        check_data_dir(config.server.data_dir)
    except ConfigError as error:
        raise OperatorError(*error.faults) from None
    return config


def write_json(value: object) -> None:
    click.echo(orjson.dumps(value).decode())


def write_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, brief: Sequence[str] = ()
) -> None:
    """A table for people, never folded or cut: ids are copied from it. Numbers are right-aligned.

    If the terminal is too narrow, only the columns ``brief`` are written; if it is for these, too, or there are none,
    each row is written as lines of a name and a value.
    """
    rows = [tuple(row) for row in rows]
    click.echo(title)
    if not rows:
        return
    cells = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    numeric = [all(_NUMBER.fullmatch(row[index]) for row in cells) for index in range(len(columns))]
    room = shutil.get_terminal_size((WIDEST, 0)).columns
    for chosen in (columns, brief):
        places = [columns.index(name) for name in chosen]
        widths = [max(len(columns[place]), *(len(row[place]) for row in cells)) for place in places]
        if chosen and sum(widths) + len(GAP) * (len(widths) - 1) <= room:
            click.echo()
            lines = [[row[place] for place in places] for row in (columns, *cells)]
            lines.insert(1, ["-" * width for width in widths])
            for line in lines:
                aligned = (
                    text.rjust(width) if numeric[place] else text.ljust(width)
                    for place, width, text in zip(places, widths, line, strict=True)
                )
                click.echo(GAP.join(aligned).rstrip())
            click.echo()
            return
    longest = max(len(name) for name in columns)
    for row in cells:
        click.echo()
        for name, text in zip(columns, row, strict=True):
            click.echo(f"{name:<{longest}}{GAP}{text}".rstrip())
    click.echo()


def local_time(milliseconds: int) -> str:
    """A Unix time as people read it, to the second."""
    return datetime.fromtimestamp(milliseconds / 1_000, UTC).astimezone().isoformat(" ", "seconds")


def span(seconds: int) -> str:
    """A duration for people, in the largest unit of which it has exactly one, or at least two."""
    for unit, length in (("d", DAY_SECONDS), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length or seconds == length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def credits_text(amount: int) -> str:
    """Micro-credits as credits, exactly: ``500``, ``2.5``, ``-0.000001``."""
    whole, rest = divmod(abs(amount), MICRO_CREDITS)
    decimals = f".{rest:06}".rstrip("0") if rest else ""
    return f"{'-' if amount < 0 else ''}{whole:,}{decimals}"
