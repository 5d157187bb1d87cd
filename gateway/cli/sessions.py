"""``sessions create | list | revoke``: tokens for users, made and taken back by the operator."""

from __future__ import annotations

import dataclasses
import secrets
from pathlib import Path

import click

from gateway.accounts.opening import opened
from gateway.auth import revocation
from gateway.auth import sessions as stored
from gateway.auth.principal import Mode, is_sid, sid_of
from gateway.auth.sessions import Issued, Session
from gateway.cli.options import (
    CreditsParam,
    Duration,
    OperatorError,
    config_option,
    json_option,
    load_config,
    local_time,
    write_json,
    write_table,
)
from gateway.cli.store import note, pid_of, run
from gateway.config import Config
from metering.accounts.audit import Action, Actor

DEFAULT_LIFE = "30d"


@click.group()
def sessions() -> None:
    """Make, list and revoke access tokens."""


@sessions.command()
@config_option
@click.option("--user", required=True, help="The user's id at your sign-in service; it is not stored.")
@click.option("--credits", "amount", type=CreditsParam(), default="0", help="Credits to grant along with it.")
@click.option("--tier", default=None, help="The plan, a [tiers.NAME] of the configuration.")
@click.option("--mode", type=click.Choice(["cloud", "local"]), default="cloud", show_default=True)
@click.option("--expires-in", "life", type=Duration(), default=DEFAULT_LIFE, show_default=True)
@json_option
def create(*, config_path: Path, user: str, amount: int, tier: str | None, mode: str, life: int, as_json: bool) -> None:
    """Make a session and print its token, which is shown this once."""
    config = load_config(config_path, need_keys=False)
    tier = tier or "default"
    if tier not in config.tiers:
        raise OperatorError(f"--tier: the configuration has no such tier; use one of {', '.join(sorted(config.tiers))}")
    if not user.strip():
        raise OperatorError("--user: is empty; write the user's id")

    issued = run(_create(config, user, amount, tier=tier, mode=Mode(mode), life=life))
    if as_json:
        write_json({"access_token": issued.access_token, "expires_in": issued.expires_in, "pid": issued.pid})
        return
    click.echo(f"access token  {issued.access_token}")
    click.echo(f"expires in    {issued.expires_in} s")
    click.echo(f"account       {issued.pid}")


async def _create(config: Config, user: str, amount: int, *, tier: str, mode: Mode, life: int) -> Issued:

    async with opened(config) as at:
        pid = await at.accounts.pid_of(user, create=True)
        assert pid is not None
        grant_id = f"cli:{secrets.token_hex(16)}"
        if amount:
            await at.administration().grant(user, amount, grant_id, actor=Actor.CLI)
        else:  # this still makes the account, without which no request is served
            await at.ledger.grant(pid, 0, grant_id)
        await note(at, Action.TIER_SET, pid)
        await at.ledger.set_tier(pid, tier)
        await note(at, Action.ISSUED, pid)
        return await stored.create(at.store.client, at.key, pid=pid, tier=tier, mode=mode, life_s=life)


@sessions.command("list")
@config_option
@click.option("--user", default=None, help="Only this user's.")
@json_option
def list_(config_path: Path, user: str | None, as_json: bool) -> None:
    """The sessions that are held, revoked and just expired ones too. Tokens are not among it."""
    config = load_config(config_path, need_keys=False)

    found = run(_list(config, user))
    if as_json:
        for session in found:
            write_json(dataclasses.asdict(session))
        return
    write_table(
        f"{len(found)} sessions",
        ("session", "account", "tier", "mode", "made", "expires", "revoked"),
        (
            (
                session.sid,
                session.pid,
                session.tier,
                session.mode,
                local_time(session.created_ms),
                local_time(session.expires_ms),
                "" if session.revoked_ms is None else local_time(session.revoked_ms),
            )
            for session in found
        ),
    )


async def _list(config: Config, user: str | None) -> list[Session]:

    async with opened(config) as at:
        pid = "" if user is None else await pid_of(at, user)
        await note(at, Action.LOOKED_UP, pid)
        return await (stored.of_account(at.store.client, pid) if pid else stored.all_held(at.store.client))


@sessions.command()
@config_option
@click.argument("sids", metavar="[SESSION]...", nargs=-1)
@click.option("--user", default=None, help="All sessions of this user.")
@json_option
def revoke(config_path: Path, sids: tuple[str, ...], user: str | None, as_json: bool) -> None:
    """Revoke sessions by the ids that `sessions list` shows. Workers follow within seconds."""
    if bool(sids) == (user is not None):
        raise click.UsageError("name sessions, or --user for all of a user's")
    config = load_config(config_path, need_keys=False)

    revoked, unknown = run(_revoke(config, sids, user))
    if as_json:
        write_json({"revoked": revoked})
    else:
        click.echo(f"{revoked} revoked")
    if unknown:
        raise OperatorError(f"{unknown} of the sessions are not held; see codegrex-gateway sessions list")


async def _revoke(config: Config, sids: tuple[str, ...], user: str | None) -> tuple[int, int]:

    async with opened(config) as at:
        if user is not None:
            pid = await pid_of(at, user)
            return await revocation.revoke_all(at.store, pid, actor=Actor.CLI, journal=at.journal), 0
        revoked = 0
        for text in sids:
            sid = sid_of(text) or text  # a whole token names its session as well
            if is_sid(sid) and await revocation.revoke(at.store, sid, actor=Actor.CLI, journal=at.journal):
                revoked += 1
        return revoked, len(sids) - revoked
