"""``sessions create | list | revoke``: the operator creates and revokes users' tokens."""

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
from gateway.cli.examples import examples
from gateway.cli.options import (
    CreditsParam,
    Duration,
    OperatorError,
    config_option,
    json_option,
    load_config,
    local_time,
    span,
    write_json,
    write_table,
)
from gateway.cli.store import note, pid_of, run
from gateway.config import Config
from gateway.config.providers import MOST_RETENTION_DAYS
from gateway.config.tiers import DEFAULT_TIER
from metering import clock
from metering.accounts.audit import Action, Actor

DEFAULT_LIFE = "30d"


@click.group(epilog=examples("sessions create --user alice --credits 500", "sessions list"))
def sessions() -> None:
    """Create, list and revoke sessions and their access tokens."""


@sessions.command(
    epilog=examples(
        "sessions create --user alice --credits 500", "sessions create --user bob --tier pro --expires-in 30d"
    )
)
@config_option
@click.option("--user", required=True, help="The user's id at your sign-in service. It is not stored.")
@click.option("--credits", "amount", type=CreditsParam(), default="0", help="Credits to grant to the user.")
@click.option(
    "--tier",
    default=None,
    help="Set the user's plan to this [tiers.NAME] of the configuration. Default: no change.",
)
@click.option(
    "--mode",
    type=click.Choice(["cloud", "local"]),
    default="cloud",
    show_default=True,
    help="local: the gateway sends nothing to a provider.",
)
@click.option(
    "--max-retention-days",
    "retention",
    type=click.IntRange(0, MOST_RETENTION_DAYS),
    help="Use only providers that keep prompts for at most this many days; 0: not at all.",
)
@click.option(
    "--expires-in",
    "life",
    type=Duration(),
    default=DEFAULT_LIFE,
    show_default=True,
    help="Life of the session: 900 (seconds), 15m, 24h or 30d.",
)
@json_option
def create(
    *,
    config_path: Path,
    user: str,
    amount: int,
    tier: str | None,
    mode: str,
    retention: int | None,
    life: int,
    as_json: bool,
) -> None:
    """Create a session and print its token, which is shown only once.

    If the user has no account, this creates one.
    """
    config = load_config(config_path, need_keys=False)
    if tier is not None and tier not in config.tiers:
        raise OperatorError(f"--tier: the configuration has no such tier; use one of {', '.join(sorted(config.tiers))}")
    if not user.strip():
        raise OperatorError("--user: is empty; state the user's id")

    issued = run(_create(config, user, amount, tier=tier, mode=Mode(mode), retention=retention, life=life))
    if as_json:
        write_json(
            {
                "access_token": issued.access_token,
                "expires_in": issued.expires_in,
                "pid": issued.pid,
                "sid": sid_of(issued.access_token),
            }
        )
        return
    click.echo(f"access token  {issued.access_token}")
    click.echo(f"expires in    {span(issued.expires_in)} ({local_time(clock.now_ms() + issued.expires_in * 1_000)})")
    click.echo(f"session       {sid_of(issued.access_token)}")
    click.echo(f"account       {issued.pid}")


async def _create(
    config: Config, user: str, amount: int, *, tier: str | None, mode: Mode, retention: int | None, life: int
) -> Issued:
    async with opened(config) as at:
        pid = await at.accounts.pid_of(user, create=True)
        assert pid is not None
        grant_id = f"cli:{secrets.token_hex(16)}"
        if amount:
            await at.administration().grant(user, amount, grant_id, actor=Actor.CLI)
        else:  # this still makes the account, without which no request is served
            await at.ledger.grant(pid, 0, grant_id)
        if tier is None:
            account = await at.ledger.account(pid)
            tier = (account.tier if account is not None else "") or DEFAULT_TIER
        else:
            await note(at, Action.TIER_SET, pid)
            await at.ledger.set_tier(pid, tier)
        await note(at, Action.ISSUED, pid)
        return await stored.create(
            at.store.client, at.key, pid=pid, tier=tier, mode=mode, max_retention_days=retention, life_s=life
        )


@sessions.command("list", epilog=examples("sessions list", "sessions list --user alice --json"))
@config_option
@click.option("--user", default=None, help="Only sessions of this user.")
@json_option
def list_(config_path: Path, user: str | None, as_json: bool) -> None:
    """List sessions, including revoked and recently expired ones.

    The gateway does not store tokens, so the list does not show them.
    """
    config = load_config(config_path, need_keys=False)

    found = run(_list(config, user))
    if as_json:
        for session in found:
            write_json(dataclasses.asdict(session))
        return
    now_ms = clock.now_ms()
    write_table(
        f"{len(found)} sessions",
        ("session", "account", "tier", "mode", "made", "expires", "state"),
        (
            (
                session.sid,
                session.pid,
                session.tier,
                session.mode,
                local_time(session.created_ms),
                local_time(session.expires_ms),
                _state(session, now_ms),
            )
            for session in found
        ),
        brief=("session", "account", "tier", "mode", "state"),
    )


def _state(session: Session, now_ms: int) -> str:
    if session.revoked_ms is not None:
        return "revoked"
    left = (session.expires_ms - now_ms) // 1_000
    return f"{span(left)} left" if left > 0 else "expired"


async def _list(config: Config, user: str | None) -> list[Session]:
    async with opened(config) as at:
        pid = "" if user is None else await pid_of(at, user)
        await note(at, Action.LOOKED_UP, pid)
        return await (stored.of_account(at.store.client, pid) if pid else stored.all_held(at.store.client))


@sessions.command(epilog=examples("sessions revoke SESSION", "sessions revoke --user alice"))
@config_option
@click.argument("sids", metavar="[SESSION]...", nargs=-1)
@click.option("--user", default=None, help="Revoke all sessions of this user.")
@json_option
def revoke(config_path: Path, sids: tuple[str, ...], user: str | None, as_json: bool) -> None:
    """Revoke sessions by id, or all sessions of a user.

    `sessions list` shows the ids. Within seconds, every worker refuses the tokens.
    """
    if bool(sids) == (user is not None):
        raise click.UsageError("name sessions, or use --user for all sessions of a user")
    config = load_config(config_path, need_keys=False)

    revoked, unknown = run(_revoke(config, sids, user))
    if as_json:
        write_json({"revoked": revoked})
    else:
        click.echo(f"{revoked} revoked")
    if unknown:
        raise OperatorError(f"{unknown} of the sessions do not exist; see: codegrex-gateway sessions list")


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
