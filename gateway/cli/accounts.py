"""``accounts show | export | erase | restrict | rectify``: what users have, and what support does for them.

Each act is noted in the audit stream, as ``cli``.
"""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from gateway.accounts.administration import PersonExport
from gateway.accounts.opening import opened
from gateway.accounts.webhooks import WebhookEvent, make_webhooks
from gateway.cli.options import OperatorError, config_option, json_option, load_config, write_json
from gateway.cli.store import note, pid_of, run
from gateway.cli.usage import write_record
from gateway.config import Config
from gateway.files import write_file
from metering import keys
from metering.accounts.audit import Action, Actor
from metering.accounts.rights import Erasure, RecordMoved
from metering.ledger.ledger import Account
from metering.numbers import whole_number
from metering.usage import COUNTS, UsageRecord

DELIVERY_SECONDS = 20.0  # a command has more patience than a process that ends
CORRECTABLE = (*COUNTS, "cost", "charge", "unpriced")

user_option = click.option("--user", required=True, help="The user's id at your sign-in service.")


@click.group()
def accounts() -> None:
    """What users have."""


@accounts.command()
@config_option
@user_option
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


@accounts.command()
@config_option
@user_option
@click.option("--format", "form", type=click.Choice(["json", "csv"]), default="json", show_default=True)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="A new file; default: standard output.")
def export(config_path: Path, user: str, form: str, output: Path | None) -> None:
    """All that is held about a user, as one JSON document or one table."""
    if output is not None and output.exists():
        raise OperatorError("--output: exists already; name a new file")
    held = run(_export(load_config(config_path, need_keys=False), user))
    text = held.csv() if form == "csv" else msgspec.json.encode(held.json()).decode() + "\n"
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        write_file(output, text.encode(), replace=False)
    except OSError as error:
        raise OperatorError(
            f"--output: cannot be written ({error.strerror}); name a new file in a folder of yours"
        ) from None


async def _export(config: Config, user: str) -> PersonExport:
    async with opened(config) as at:
        held = await at.administration().export(user, actor=Actor.CLI)
        if held is None:
            raise OperatorError("that user has no account, so nothing is held")
        return held


@accounts.command()
@config_option
@user_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def erase(config_path: Path, user: str, yes: bool, as_json: bool) -> None:
    """Erase a user's account: sessions, credits, and the records that billing has booked."""
    if not yes:
        click.confirm("This cannot be undone. Erase the account?", abort=True, err=True)
    erasure = run(_erase(load_config(config_path, need_keys=False), user))
    if as_json:
        write_json({"pid": erasure.pid, "deleted": erasure.deleted, "waiting": erasure.waiting})
        return
    click.echo(f"erased; {erasure.deleted} records deleted, {erasure.waiting} are deleted once billing has booked them")


async def _erase(config: Config, user: str) -> Erasure:
    async with opened(config) as at:
        erasure = await at.administration().erase(user, actor=Actor.CLI)
    if erasure is None:
        raise OperatorError("that user has no account, so there is nothing to erase")
    webhooks = make_webhooks(config.webhooks)
    webhooks.start()
    webhooks.emit(WebhookEvent.ACCOUNT_ERASED, erasure.pid)
    await webhooks.drain(DELIVERY_SECONDS if config.webhooks is not None else 0)
    await webhooks.close()
    return erasure


@accounts.command()
@config_option
@user_option
@click.option("--lift", is_flag=True, help="Take new requests again.")
@json_option
def restrict(config_path: Path, user: str, lift: bool, as_json: bool) -> None:
    """Refuse a user's new requests, and leave what is held as it is."""
    account = run(_restrict(load_config(config_path, need_keys=False), user, restricted=not lift))
    if as_json:
        write_json({"restricted": account.restricted})
        return
    click.echo("restricted" if account.restricted else "no longer restricted")


async def _restrict(config: Config, user: str, *, restricted: bool) -> Account:
    async with opened(config) as at:
        account = await at.administration().restrict(user, restricted=restricted, actor=Actor.CLI)
        if account is None:
            raise OperatorError("that user has no account, or no credits were ever granted to it")
        return account


@accounts.command()
@config_option
@user_option
@click.argument("rid")
@click.option("--set", "stated", multiple=True, required=True, metavar="FIELD=NUMBER", help="Such as charge=120.")
@json_option
def rectify(config_path: Path, user: str, rid: str, stated: tuple[str, ...], as_json: bool) -> None:
    """Replace a request's record by a corrected one, of a higher rank."""
    corrected: dict[str, int] = {}
    for item in stated:
        name, _, value = item.partition("=")
        number = whole_number(value)
        if name not in CORRECTABLE or number is None:
            raise click.BadParameter("write FIELD=NUMBER with one of " + ", ".join(CORRECTABLE), param_hint="--set")
        corrected[name] = number
    record = run(_rectify(load_config(config_path, need_keys=False), user, rid, corrected))
    write_record(record, as_json=as_json)


async def _rectify(config: Config, user: str, rid: str, corrected: dict[str, int]) -> UsageRecord:
    async with opened(config) as at:
        try:
            admin = at.administration()
            record = await admin.rectify(user, rid, actor=Actor.CLI, **corrected) if keys.is_id(rid) else None
        except RecordMoved as moved:
            raise OperatorError(f"another correction came first: the record has the rank {moved.rev} now") from None
        if record is None:
            raise OperatorError("that user has no record of this request; see: codegrex-gateway usage list --user U")
        return record
