"""``accounts``: users' credits and plans, and the acts of support.

Each act is noted in the audit stream, as ``cli``.
"""

from __future__ import annotations

import secrets
from dataclasses import asdict
from pathlib import Path

import click
import msgspec

from gateway.accounts.administration import LONGEST_KEY
from gateway.accounts.export import PersonExport, export_account
from gateway.accounts.opening import opened
from gateway.accounts.webhooks import make_webhooks
from gateway.auth.choice import REGIONS, Choice
from gateway.auth.principal import Mode
from gateway.cli.examples import examples
from gateway.cli.options import (
    CreditsParam,
    OperatorError,
    config_option,
    credits_text,
    json_option,
    load_config,
    write_json,
    write_table,
)
from gateway.cli.store import pid_of, run
from gateway.cli.usage import write_record
from gateway.config import Config
from gateway.config.providers import MOST_RETENTION_DAYS
from gateway.config.tiers import DEFAULT_TIER
from gateway.files import write_file
from metering import keys
from metering.accounts.audit import Actor
from metering.accounts.rights import Erasure, RecordMoved
from metering.ledger.ledger import Account
from metering.numbers import whole_number
from metering.usage import COUNTS, UsageRecord

DELIVERY_SECONDS = 20.0  # a command has more patience than a process that ends
AMOUNTS = ("granted", "spent", "held", "available")
CORRECTABLE = (*COUNTS, "cost", "charge", "unpriced")

user_option = click.option("--user", required=True, help="The user's id at your sign-in service.")


@click.group(epilog=examples("accounts list", "accounts grant --user alice --credits 500"))
def accounts() -> None:
    """Show and change users' accounts."""


@accounts.command("list", epilog=examples("accounts list", "accounts list --json"))
@config_option
@json_option
def list_(config_path: Path, as_json: bool) -> None:
    """List accounts with their credits (--json: micro-credits).

    The gateway does not store users' ids. To find a user's account, use `accounts show`.
    """
    found = run(_list(load_config(config_path, need_keys=False)))
    if as_json:
        for account in found:
            write_json({"pid": account.pid, "tier": _tier(account), **_amounts(account)})
        return
    write_table(
        f"{len(found)} accounts, in credits",
        ("account", "tier", *AMOUNTS, "restricted"),
        (
            (
                account.pid,
                _tier(account),
                *(credits_text(amount) for amount in _amounts(account).values()),
                "yes" if account.restricted else "",
            )
            for account in found
        ),
        brief=("account", "tier", "spent", "available"),
    )


async def _list(config: Config) -> list[Account]:
    async with opened(config) as at:
        return await at.administration().every(actor=Actor.CLI)


@accounts.command(epilog=examples("accounts show --user alice"))
@config_option
@user_option
@json_option
def show(config_path: Path, user: str, as_json: bool) -> None:
    """Show a user's credits (--json: micro-credits)."""
    _write_account(run(_show(load_config(config_path, need_keys=False), user)), as_json=as_json)


@accounts.command(epilog=examples("accounts grant --user alice --credits 500 --key invoice-7"))
@config_option
@user_option
@click.option("--credits", "amount", type=CreditsParam(), required=True, help="Amount, such as 500 or 2.5.")
@click.option(
    "--key",
    help="Idempotency key: within 400 days, a second grant with the same key has no effect. Default: a new key.",
)
@json_option
def grant(config_path: Path, user: str, amount: int, key: str | None, as_json: bool) -> None:
    """Grant credits to a user.

    If the user has no account, this creates one.
    """
    if not amount:
        raise click.BadParameter("write credits above 0", param_hint="--credits")
    if not user.strip():
        raise OperatorError("--user: is empty; state the user's id")
    if key is not None and not (0 < len(key) <= LONGEST_KEY and key.isprintable()):
        raise click.BadParameter(f"write 1 to {LONGEST_KEY} characters", param_hint="--key")
    account = run(_grant(load_config(config_path, need_keys=False), user, amount, key))
    _write_account(account, as_json=as_json)


async def _grant(config: Config, user: str, amount: int, key: str | None) -> Account:
    async with opened(config) as at:
        name = f"cli:{secrets.token_hex(16)}" if key is None else f"cli\0{key}"
        return await at.administration().grant(user, amount, name, actor=Actor.CLI)


def _tier(account: Account) -> str:
    return account.tier or DEFAULT_TIER


def _amounts(account: Account) -> dict[str, int]:
    return {name: getattr(account, name) for name in AMOUNTS}


def _write_account(account: Account, *, as_json: bool) -> None:
    if as_json:
        write_json(_amounts(account))
        return
    click.echo(f"account    {account.pid}")
    click.echo(f"tier       {_tier(account)}")
    for name, amount in _amounts(account).items():
        click.echo(f"{name:<9}  {credits_text(amount)} credits")


async def _show(config: Config, user: str) -> Account:
    async with opened(config) as at:
        account, _ = await at.administration().show(await pid_of(at, user), actor=Actor.CLI)
        return account


@accounts.command(
    epilog=examples("accounts export --user alice --output alice.json", "accounts export --user alice --format csv")
)
@config_option
@user_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "csv"]),
    default="json",
    show_default=True,
    help="json: one document; csv: one table.",
)
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="The file to create. Default: standard output."
)
def export(config_path: Path, user: str, form: str, output: Path | None) -> None:
    """Write everything that is stored about a user, as JSON or CSV."""
    if output is not None and output.exists():
        raise OperatorError("--output: the file exists; name a new one")
    held = run(_export(load_config(config_path, need_keys=False), user))
    text = held.csv() if form == "csv" else msgspec.json.encode(held.json()).decode() + "\n"
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        write_file(output, text.encode(), replace=False)
    except OSError as error:
        raise OperatorError(
            f"--output: cannot be written ({error.strerror}); name a file in a folder that you may write to"
        ) from None


async def _export(config: Config, user: str) -> PersonExport:
    async with opened(config) as at:
        held = await export_account(at.store, at.ledger, await pid_of(at, user), actor=Actor.CLI)
        if held is None:
            raise OperatorError("the account was erased in the meantime, so nothing is stored")
        return held


@accounts.command(epilog=examples("accounts erase --user alice", "accounts erase --user alice --yes --json"))
@config_option
@user_option
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@json_option
def erase(config_path: Path, user: str, yes: bool, as_json: bool) -> None:
    """Erase a user's account.

    Deletes its sessions, its credits, and the records that billing has booked.
    """
    if not yes:
        click.confirm("This cannot be undone. Erase the account?", abort=True, err=True)
    erasure = run(_erase(load_config(config_path, need_keys=False), user))
    if as_json:
        write_json({"pid": erasure.pid, "deleted": erasure.deleted, "waiting": erasure.waiting})
        return
    click.echo(f"erased; {erasure.deleted} records deleted, {erasure.waiting} more wait until billing has booked them")


async def _erase(config: Config, user: str) -> Erasure:
    webhooks = make_webhooks(config.webhooks)
    async with opened(config) as at:
        pid = await pid_of(at, user)
        webhooks.start()
        try:
            return await at.administration(webhooks).erase(pid, at.accounts.names(user), actor=Actor.CLI)
        finally:
            await webhooks.drain(DELIVERY_SECONDS)
            await webhooks.close()


@accounts.command(epilog=examples("accounts restrict --user alice", "accounts restrict --user alice --lift"))
@config_option
@user_option
@click.option("--lift", is_flag=True, help="Accept new requests again.")
@json_option
def restrict(config_path: Path, user: str, lift: bool, as_json: bool) -> None:
    """Refuse a user's new requests, or accept them again with --lift.

    Credits, sessions and records do not change.
    """
    account = run(_restrict(load_config(config_path, need_keys=False), user, restricted=not lift))
    if as_json:
        write_json({"restricted": account.restricted})
        return
    click.echo("restricted" if account.restricted else "no longer restricted")


async def _restrict(config: Config, user: str, *, restricted: bool) -> Account:
    async with opened(config) as at:
        pid = await pid_of(at, user)
        account = await at.administration().restrict(pid, restricted=restricted, actor=Actor.CLI)
        if account is None:
            raise OperatorError("no credits were ever granted to the user, so there is nothing to restrict")
        return account


@accounts.command(epilog=examples("accounts choose --user alice --region eu"))
@config_option
@user_option
@click.option(
    "--mode", type=click.Choice([mode.value for mode in Mode]), help="local: prompts are sent to no provider."
)
@click.option("--region", type=click.Choice(REGIONS), help="Use only providers that process prompts in this region.")
@click.option(
    "--max-retention-days",
    "retention",
    type=click.IntRange(0, MOST_RETENTION_DAYS),
    help="Use only providers that keep prompts for at most this many days; 0: not at all.",
)
@json_option
def choose(
    *, config_path: Path, user: str, mode: str | None, region: str | None, retention: int | None, as_json: bool
) -> None:
    """Set a user's choices, as the user does in the portal.

    This replaces the earlier choices: an option that is absent means no choice.
    """
    chosen = Choice(mode or "", region or "", retention)
    run(_choose(load_config(config_path, need_keys=False), user, chosen))
    if as_json:
        write_json(asdict(chosen))
        return
    for name, value in asdict(chosen).items():
        click.echo(f"{name:<18}  {'-' if value in ('', None) else value}")


async def _choose(config: Config, user: str, chosen: Choice) -> None:
    async with opened(config) as at:
        await at.administration().choose(await pid_of(at, user), chosen, actor=Actor.CLI)


@accounts.command(epilog=examples("accounts rectify --user alice RID --set charge=0"))
@config_option
@user_option
@click.argument("rid")
@click.option(
    "--set",
    "stated",
    multiple=True,
    required=True,
    metavar="FIELD=NUMBER",
    help="The corrected value of a field, such as charge=120. Repeatable.",
)
@json_option
def rectify(config_path: Path, user: str, rid: str, stated: tuple[str, ...], as_json: bool) -> None:
    """Replace a request's record with a corrected one.

    The new record has a higher rank, so readers use it and ignore the old one.
    """
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
        pid = await pid_of(at, user)
        try:
            rights = at.administration().rights
            record = await rights.rectify(pid, rid, actor=Actor.CLI, **corrected) if keys.is_id(rid) else None
        except RecordMoved as moved:
            raise OperatorError(
                f"another correction came first: the record's rank is now {moved.rev}; read it and correct it again"
            ) from None
        if record is None:
            raise OperatorError("the user has no record of this request; see: codegrex-gateway usage list --user U")
        return record
