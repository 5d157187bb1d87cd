"""``usage list | show``: the usage records of requests."""

from __future__ import annotations

import time
from pathlib import Path

import click
import msgspec

from gateway.accounts.opening import opened
from gateway.cli.examples import examples
from gateway.cli.options import OperatorError, Since, config_option, json_option, load_config, local_time, write_table
from gateway.cli.store import note, pid_of, run
from gateway.config import Config
from metering import keys
from metering.accounts.audit import Action
from metering.reading.reader import read_usage
from metering.usage import INPUT_COUNTS, OUTPUT_COUNTS, UsageRecord

COLUMNS = ("request", "account", "model", "settled", "input", "output", "charge", "basis", "outcome")
BRIEF = ("request", "model", "charge", "outcome")


@click.group(epilog=examples("usage list --since 24h", "usage show RID"))
def usage() -> None:
    """Show the usage records of requests."""


@usage.command("list", epilog=examples("usage list --since 24h", "usage list --user alice --since 2026-07-01 --json"))
@config_option
@click.option("--user", default=None, help="Only records of this user.")
@click.option(
    "--since",
    type=Since(),
    default=None,
    help="Only records since then: 2026-01-31, 2026-01-31T12:00Z, or a duration such as 24h.",
)
@json_option
def list_(config_path: Path, user: str | None, since: int | None, as_json: bool) -> None:
    """List usage records, oldest first, in micro-credits."""
    config = load_config(config_path, need_keys=False)
    shown: list[UsageRecord] = []
    run(_list(config, user, since, None if as_json else shown))
    if not as_json:
        write_table(f"{len(shown)} requests", COLUMNS, (_row(record) for record in shown), brief=BRIEF)


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


@usage.command(epilog=examples("usage show RID", "usage show RID --user alice --json"))
@config_option
@click.argument("rid")
@click.option(
    "--user", default=None, help="The request's user. Without it, the command searches the records of all users."
)
@json_option
def show(config_path: Path, rid: str, user: str | None, as_json: bool) -> None:
    """Show the usage record of one request."""
    began = time.monotonic()
    record = run(_show(load_config(config_path, need_keys=False), rid, user))
    write_record(record, as_json=as_json)
    if not as_json and user is None:
        click.echo(f"found in {time.monotonic() - began:.1f} s", err=True)


async def _show(config: Config, rid: str, user: str | None) -> UsageRecord:
    async with opened(config) as at:
        found: UsageRecord | None = None
        if user is not None:
            pid = await pid_of(at, user)
            answer = await at.ledger.record(pid, rid) if keys.is_id(rid) else None
            found = answer if isinstance(answer, UsageRecord) else None
        else:
            async for record in read_usage(at.store):
                if record.rid == rid:
                    found = record
                    break
        if found is None:
            raise OperatorError(
                "no record has this request id: the request still runs, was not charged, or its record was deleted"
            )
        await note(at, Action.LOOKED_UP, found.pid)
        return found


def write_record(record: UsageRecord, *, as_json: bool) -> None:
    """One record, as JSON or as a line for each field."""
    if as_json:
        click.echo(msgspec.json.encode(record).decode())
        return
    for name, value in msgspec.structs.asdict(record).items():
        click.echo(f"{name:<18} {value}")
