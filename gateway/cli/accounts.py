"""``usage`` and ``accounts``: what was used, what is left; what support does is in `gateway.cli.rights`."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from gateway.accounts.opening import opened
from gateway.cli.options import (
    OperatorError,
    Since,
    config_option,
    json_option,
    load_config,
    local_time,
    write_json,
    write_table,
)
from gateway.cli.rights import erase, export, rectify, restrict, show_request
from gateway.cli.store import note, pid_of, run
from gateway.config import Config
from metering.accounts.audit import Action
from metering.ledger.ledger import Account
from metering.reading.reader import read_usage
from metering.usage import INPUT_COUNTS, OUTPUT_COUNTS, UsageRecord

COLUMNS = ("request", "account", "model", "settled", "input", "output", "charge", "basis", "outcome")


@click.group()
def usage() -> None:
    """What requests used."""


@usage.command("list")
@config_option
@click.option("--user", default=None, help="Only this user's.")
@click.option("--since", type=Since(), default=None, help="2026-01-31, 2026-01-31T12:00Z, or a span such as 24h.")
@json_option
def list_(config_path: Path, user: str | None, since: int | None, as_json: bool) -> None:
    """Usage records, oldest first; amounts are micro-credits. With --json one record a line."""
    config = load_config(config_path, need_keys=False)

    shown: list[UsageRecord] = []
    run(_list(config, user, since, None if as_json else shown))
    if not as_json:
        write_table(f"{len(shown)} requests", COLUMNS, (_row(record) for record in shown))


async def _list(config: Config, user: str | None, since: int | None, shown: list[UsageRecord] | None) -> None:
    """Write the records as they are read, or gather them for a table."""
    async with opened(config) as at:
        pid = None if user is None else await pid_of(at, user)
        await note(at, Action.LOOKED_UP, pid or "")
        async for record in read_usage(at.store, pid=pid, since_ms=since):
            if shown is None:
                click.echo(msgspec.json.encode(record).decode())
            else:
                shown.append(record)


def _row(record: UsageRecord) -> tuple[object, ...]:

    return (
        record.rid,
        record.pid,
        record.model,
        local_time(record.settled_ms),
        sum(getattr(record, name) for name in INPUT_COUNTS),
        sum(getattr(record, name) for name in OUTPUT_COUNTS),
        record.charge,
        record.basis,
        record.outcome,
    )


@click.group()
def accounts() -> None:
    """What users have."""


@accounts.command()
@config_option
@click.option("--user", required=True, help="The user's id at your sign-in service.")
@json_option
def show(config_path: Path, user: str, as_json: bool) -> None:
    """Credits of an account, in micro-credits."""
    config = load_config(config_path, need_keys=False)

    account = run(_show(config, user))
    amounts = {name: getattr(account, name) for name in ("granted", "spent", "held", "available")}
    if as_json:
        write_json(amounts)
        return
    click.echo(f"account    {account.pid}")
    click.echo(f"tier       {account.tier or 'default'}")
    for name, amount in amounts.items():
        click.echo(f"{name:<9}  {amount}")


async def _show(config: Config, user: str) -> Account:

    async with opened(config) as at:
        pid = await pid_of(at, user)
        await note(at, Action.LOOKED_UP, pid)
        account = await at.ledger.account(pid)
        if account is None:
            raise OperatorError(
                "that user's account holds nothing yet; grant credits with: codegrex-gateway sessions create"
            )
        return account


for command in (export, erase, restrict, rectify):
    accounts.add_command(command)
usage.add_command(show_request)
