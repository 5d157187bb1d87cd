"""What the commands share: options, values as people write them, faults, tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import IO, Any

import click
import orjson
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.config import Config, ConfigError
from gateway.config.load import load
from metering.clock import DAY_SECONDS
from metering.numbers import whole_number
from metering.usage import MICRO_CREDITS

LARGEST_AMOUNT = 2**53
WIDEST = 10_000  # a table takes what it needs of it

_DURATION = re.compile(r"(\d{1,9})([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": DAY_SECONDS}

config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("gateway.toml"),
    show_default=True,
    envvar="CODEGREX_CONFIG",
    help="The configuration file.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON, one object a line.")


class OperatorError(click.ClickException):
    """Something that the operator can mend: one line each on standard error, exit code 1."""

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
            self.fail("write a number of credits, such as 500 or 2.5", param, ctx)
        if not amount.is_finite() or not 0 <= amount <= LARGEST_AMOUNT or amount != int(amount):
            self.fail("write credits from 0 up, with 6 decimals at most", param, ctx)
        return int(amount)


class Duration(click.ParamType[int]):
    """A span as seconds: ``90``, ``15m``, ``24h``, ``30d``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = _DURATION.fullmatch(value if whole_number(value) is None else value + "s")
        if match is None or int(match[1]) == 0:
            self.fail("write a span such as 900, 15m, 24h or 30d", param, ctx)
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
                self.fail("write a date, a time such as 2026-01-31T12:00Z, or a span such as 24h", param, ctx)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0, int(moment.timestamp() * 1_000))


def load_config(path: Path, *, need_keys: bool = True) -> Config:
    """The checked configuration. Raises `OperatorError` with every line of what is wrong."""
    try:
        return load(path, need_keys=need_keys)
    except ConfigError as error:
        raise OperatorError(*error.faults) from None


def write_json(value: object) -> None:

    click.echo(orjson.dumps(value).decode())


def write_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table for people, never folded or cut: ids are copied from it. Numbers are right-aligned."""
    rows = [tuple(row) for row in rows]
    click.echo(title)
    if not rows:
        return
    table = Table(box=SIMPLE_HEAD)
    for index, column in enumerate(columns):
        numeric = all(isinstance(row[index], int) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(f"{cell:,}" if isinstance(cell, int) else str(cell)) for cell in row))
    Console(width=WIDEST).print(table)


def local_time(milliseconds: int) -> str:
    """A Unix time as people read it, to the second."""
    return datetime.fromtimestamp(milliseconds / 1_000, UTC).astimezone().isoformat(" ", "seconds")
